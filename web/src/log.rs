//! Given requests that were refused, what does the server's owner read? A line
//! each, but no flood of them, and nothing that the client sent but method and path.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in a stretch of time; the rest is counted.
const MOST: u32 = 10;
const STRETCH: Duration = Duration::from_secs(10);
/// Characters of a path that are shown.
const SHOWN: usize = 100;

/// Writes a line somewhere.
pub(crate) type Write = Box<dyn Fn(&str) + Send + Sync>;

/// Tells of refused requests.
pub(crate) struct Log {
    write: Write,
    told: Mutex<Told>,
}

struct Told {
    since: Instant,
    lines: u32,
    more: u64,
}

impl Log {
    pub(crate) fn new(write: Write) -> Self {
        let told = Told { since: Instant::now(), lines: 0, more: 0 };
        Self { write, told: Mutex::new(told) }
    }

    /// A request was refused.
    pub(crate) fn refused(&self, method: &str, path: &str, status: u16, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.since.elapsed() > STRETCH {
            if told.more > 0 {
                (self.write)(&format!("refused: {} more requests", told.more));
            }
            *told = Told { since: Instant::now(), lines: 0, more: 0 };
        }
        if told.lines >= MOST {
            told.more += 1;
            return;
        }
        told.lines += 1;
        drop(told);
        let shown = |text: &str| -> String {
            // Neither colours nor line breaks of the client's choice.
            text.chars().take(SHOWN).flat_map(char::escape_debug).collect()
        };
        let (method, path) = (shown(method), shown(path));
        (self.write)(&format!("refused: {method} {path} ({status}): {why}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_flood_is_counted_and_nothing_is_smuggled_in() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let log = Log::new(Box::new(move |line| {
            kept.lock().expect("no panic").push(line.to_owned());
        }));
        log.refused("GET", "/a\n\u{1b}[31mb", 403, "no");
        for _ in 0..1_000 {
            log.refused("GET", &"/x".repeat(10_000), 403, "no");
        }
        let lines = lines.lock().expect("no panic");
        assert_eq!(lines[0], "refused: GET /a\\n\\u{1b}[31mb (403): no");
        assert_eq!(lines.len(), MOST as usize);
        assert!(lines.iter().all(|line| line.len() < 200));
    }
}
