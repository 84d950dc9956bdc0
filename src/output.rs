//! Given results, how do they reach the terminal or the next program in a pipe?

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ekphrasis_engine::Progress;
use ekphrasis_web::wire;
use serde::Serialize;

use crate::cli::Global;
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

/// Puts `text` in place of the terminal's last line, on standard error.
pub(crate) fn rewrite(text: &str) {
    let _ = write!(io::stderr().lock(), "\r\x1b[K{text}");
}

/// Shows an indexing run on standard error: one line that is rewritten on a terminal,
/// a line every few seconds elsewhere, JSON objects if that was asked for, nothing
/// when quiet.
pub(crate) struct ProgressLine {
    form: Form,
    shown: Mutex<Option<Instant>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Nothing,
    Rewritten,
    Lines,
    Json,
}

impl Form {
    fn every(self) -> Duration {
        match self {
            Self::Rewritten => Duration::from_millis(100),
            Self::Json => Duration::from_secs(1),
            Self::Lines | Self::Nothing => Duration::from_secs(5),
        }
    }
}

impl ProgressLine {
    /// As `--quiet` and `--json` say.
    pub(crate) fn new(global: &Global) -> Self {
        let mut this = Self::plain(global.quiet);
        if global.json && !global.quiet {
            this.form = Form::Json;
        }
        this
    }

    /// For people, or nothing.
    pub(crate) fn plain(quiet: bool) -> Self {
        let form = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Form::Nothing,
            (false, true) => Form::Rewritten,
            (false, false) => Form::Lines,
        };
        Self { form, shown: Mutex::new(None) }
    }

    /// Whether nothing is to be told.
    pub(crate) fn is_silent(&self) -> bool {
        self.form == Form::Nothing
    }

    pub(crate) fn show(&self, progress: &Progress, path: &Path) {
        let mut shown = self.shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = shown.is_none_or(|last| last.elapsed() >= self.form.every());
        // Without a terminal, a run shorter than the interval needs no line of its own.
        let first = shown.is_none() && self.form != Form::Rewritten;
        if self.form == Form::Nothing || !due {
            return;
        }
        *shown = Some(Instant::now());
        if first {
            return;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match self.form {
            Form::Nothing => {}
            Form::Rewritten => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(40).collect();
                let _ = write!(io::stderr().lock(), "\r\x1b[K{}  {name}", counts(progress));
            }
            Form::Lines => note(&format!("{}  {}", counts(progress), printable(&name))),
            Form::Json => {
                let progress = wire::Progress::from(progress);
                let file = path.to_string_lossy();
                note(&serde_json::json!({ "progress": progress, "file": file }).to_string());
            }
        }
    }

    /// Wipes the line, so that what follows starts clean.
    pub(crate) fn clear(&self) {
        if self.form == Form::Rewritten {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// How far a run is, how fast, and how long it will take.
fn counts(p: &Progress) -> String {
    let rate = p.seen as f64 / p.seconds.max(1e-3);
    let mut text = format!("{}, {rate:.0}/s", count(p.seen, "file", "files"));
    if p.waiting > 0 {
        let waiting = count(p.waiting, "to do", "to do");
        text.push_str(&format!(", {waiting}"));
    }
    if let Some(seconds) = p.eta_seconds.filter(|_| p.waiting > 0) {
        text.push_str(&format!(", {} left", duration(seconds)));
    }
    if p.failed > 0 {
        text.push_str(&format!(", {} failed", p.failed));
    }
    text
}

/// `40 s`, `12 min`, `3 h 05 min`.
fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        0 | 1 => format!("{seconds:.0} s"),
        2..60 => format!("{minutes} min"),
        _ => format!("{} h {:02} min", minutes / 60, minutes % 60),
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
    fn a_run_says_how_far_it_is_and_for_how_long() {
        let mut progress = Progress { seen: 1200, seconds: 10.0, ..Progress::default() };
        assert_eq!(counts(&progress), "1,200 files, 120/s");
        (progress.waiting, progress.eta_seconds, progress.failed) = (4000, Some(11_000.0), 2);
        assert_eq!(counts(&progress), "1,200 files, 120/s, 4,000 to do, 3 h 03 min left, 2 failed");
        assert_eq!([30.4, 89.0, 600.0].map(duration), ["30 s", "89 s", "10 min"]);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(1, "file", "files"), "1 file");
        assert_eq!(count(999, "file", "files"), "999 files");
        assert_eq!(count(1_234_567, "file", "files"), "1,234,567 files");
    }
}
