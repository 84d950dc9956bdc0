//! Given results, how do they reach the terminal or the next program in a pipe?

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ekphrasis_engine::Progress;
use serde::Serialize;

use crate::failure::Failure;

/// A line on standard output. That the reader went away (`| head`) is no error.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    ended(writeln!(io::stdout().lock(), "{text}"))
}

/// One JSON object on a line of its own.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|e| Failure::Bug(format!("the answer is no JSON: {e}")))?;
    line(&text)
}

fn ended(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
        Err(e) => Err(Failure::Environment(format!("cannot write to standard output: {e}"))),
        Ok(()) => Ok(()),
    }
}

/// A line on standard error, for people. If nobody can read it, nothing is lost.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Shows an indexing run: one line that is rewritten on a terminal, a line
/// every few seconds elsewhere, nothing when quiet.
pub(crate) struct ProgressLine {
    quiet: bool,
    terminal: bool,
    shown: Mutex<Option<Instant>>,
}

impl ProgressLine {
    pub(crate) fn new(quiet: bool) -> Self {
        Self { quiet, terminal: io::stderr().is_terminal(), shown: Mutex::new(None) }
    }

    pub(crate) fn show(&self, progress: &Progress, path: &Path) {
        let every = if self.terminal { Duration::from_millis(100) } else { Duration::from_secs(5) };
        let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = shown.is_none_or(|last| last.elapsed() >= every);
        // Without a terminal, a run shorter than the interval needs no line of its own.
        let first = shown.is_none() && !self.terminal;
        if self.quiet || !due {
            return;
        }
        *shown = Some(Instant::now());
        if first {
            return;
        }
        let rate = progress.seen as f64 / progress.seconds.max(1e-3);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let text = format!("{} files, {rate:.0}/s, {} failed", progress.seen, progress.failed);
        if self.terminal {
            let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
            let _ = write!(io::stderr().lock(), "\r\x1b[K{text}  {name}");
        } else {
            note(&text);
        }
    }

    /// Wipes the line, so that what follows starts clean.
    pub(crate) fn clear(&self) {
        if self.terminal && !self.quiet {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// What a file's name or a text may do to a terminal, undone: control characters
/// are shown as escapes. Scripts take `--json`.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// `1 file`, `2 files`.
pub(crate) fn count(n: u64, one: &str, many: &str) -> String {
    let mut digits = n.to_string();
    let mut at = digits.len();
    while at > 3 {
        at -= 3;
        digits.insert(at, ',');
    }
    format!("{digits} {}", if n == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\nc é"), "a\\u{1b}[31mb\\nc é");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(1, "file", "files"), "1 file");
        assert_eq!(count(999, "file", "files"), "999 files");
        assert_eq!(count(1_234_567, "file", "files"), "1,234,567 files");
    }
}
