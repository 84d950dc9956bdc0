//! Given roots, which files are there to be indexed, and which of those known
//! are gone?

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use ekphrasis_index::{FileFacts, ItemId};
use ignore::overrides::OverrideBuilder;
use ignore::{DirEntry, WalkBuilder};

use super::captions::Captions;
use super::prepare::{Outcome, Task};
use super::{EngineError, IndexOptions, Stop};

/// Files known to the store below the roots.
pub(super) type Known = HashMap<PathBuf, (ItemId, FileFacts)>;

/// Files with these endings are pictures by name; if they cannot be read, that
/// is worth a line in the ledger. Others are asked for their first bytes.
const ENDINGS: &[&str] = &[
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "webp", "bmp", "dib", "tif", "tiff", "pnm",
    "pbm", "pgm", "ppm", "pam", "qoi", "ico", "heic", "heif", "avif", "jxl", "svg", "svgz", "jp2",
    "psd", "cr2", "cr3", "nef", "arw", "dng", "orf", "rw2", "raf", "pef", "srw",
];

/// Where an ignored path is named, gitignore-style.
const IGNORE_FILE: &str = ".ekignore";

/// What one walk will cover.
pub(super) struct Walker {
    builder: WalkBuilder,
}

impl Walker {
    pub(super) fn new(
        roots: &[PathBuf],
        options: &IndexOptions,
        data: &Path,
    ) -> Result<Self, EngineError> {
        let (first, rest) = roots
            .split_first()
            .ok_or_else(|| EngineError::Invalid("no folder was named".into()))?;
        let mut builder = WalkBuilder::new(first);
        for root in rest {
            builder.add(root);
        }
        let mut overrides = OverrideBuilder::new("/");
        for glob in &options.exclude {
            overrides
                .add(&format!("!{glob}"))
                .map_err(|e| EngineError::Invalid(format!("--exclude {glob:?}: {e}")))?;
        }
        let overrides =
            overrides.build().map_err(|e| EngineError::Invalid(format!("--exclude: {e}")))?;
        // A store inside an indexed folder must not index its own thumbnails.
        let own = fs_err::canonicalize(data).unwrap_or_else(|_| data.to_path_buf());
        builder
            .standard_filters(false)
            .hidden(true)
            .add_custom_ignore_filename(IGNORE_FILE)
            .overrides(overrides)
            .follow_links(options.follow_links)
            .filter_entry(move |entry| entry.path() != own)
            .sort_by_file_name(OsStr::cmp);
        Ok(Self { builder })
    }

    /// Walks, sends what has to be embedded to `tasks` and everything else that
    /// is to be known to `done`; ends with [`Outcome::Walked`].
    pub(super) fn walk(
        self,
        mut known: Known,
        captions: &Captions,
        tasks: &SyncSender<Task>,
        done: &SyncSender<Outcome>,
        stop: &Stop<'_>,
    ) {
        let mut unreadable = Vec::new();
        for entry in self.builder.build() {
            if stop.is_raised() {
                return;
            }
            // A closed channel means the other side gave up: nothing more to do.
            let sent = match entry {
                Ok(entry) => visit(&entry, &mut known, captions, tasks, done),
                Err(error) => {
                    let (path, reason) = explain(&error);
                    unreadable.push(path.clone());
                    done.send(Outcome::Failed { path, reason, gone: None }).is_ok()
                }
            };
            if !sent {
                return;
            }
        }
        // Below a folder that could not be read, nothing is known to be gone.
        known.retain(|path, _| !unreadable.iter().any(|folder| path.starts_with(folder)));
        let gone = known.into_values().map(|(id, _)| id).collect();
        let _ = done.send(Outcome::Walked { gone });
    }
}

/// One entry; false if nobody listens any more.
fn visit(
    entry: &DirEntry,
    known: &mut Known,
    captions: &Captions,
    tasks: &SyncSender<Task>,
    done: &SyncSender<Outcome>,
) -> bool {
    let path = entry.path();
    let Some(kind) = entry.file_type() else { return true };
    if kind.is_dir() || kind.is_symlink() {
        return true;
    }
    if !kind.is_file() {
        let reason = "a FIFO, socket or device, not a file".to_owned();
        return !by_name(path)
            || done.send(Outcome::Failed { path: path.into(), reason, gone: None }).is_ok();
    }
    let before = known.remove(path);
    let meta = match entry.metadata() {
        Ok(meta) => meta,
        Err(error) => {
            let reason = explain(&error).1;
            return done.send(Outcome::Failed { path: path.into(), reason, gone: None }).is_ok();
        }
    };
    let mtime_ns = mtime_ns(&meta);
    let same = before.as_ref().is_some_and(|(_, f)| (f.size, f.mtime_ns) == (meta.len(), mtime_ns));
    if let (true, Some((id, _))) = (same, &before) {
        let outcome = match captions.of(path) {
            Some(_) => Outcome::Recaption { path: path.into(), id: *id },
            None => Outcome::Unchanged { path: path.into() },
        };
        return done.send(outcome).is_ok();
    }
    if before.is_none() && !by_name(path) && !by_content(path) {
        return true;
    }
    tasks
        .send(Task {
            path: path.into(),
            size: meta.len(),
            mtime_ns,
            known: before.map(|(id, _)| id),
        })
        .is_ok()
}

/// Nanoseconds since 1970, negative before.
pub(super) fn mtime_ns(meta: &std::fs::Metadata) -> i64 {
    let Ok(time) = meta.modified() else { return 0 };
    let clip = |d: std::time::Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    match time.duration_since(std::time::UNIX_EPOCH) {
        Ok(after) => clip(after),
        Err(before) => -clip(before.duration()),
    }
}

fn by_name(path: &Path) -> bool {
    path.extension()
        .and_then(OsStr::to_str)
        .is_some_and(|ending| ENDINGS.contains(&ending.to_ascii_lowercase().as_str()))
}

fn by_content(path: &Path) -> bool {
    let mut head = Vec::with_capacity(32);
    let read = fs_err::File::open(path).and_then(|f| f.take(32).read_to_end(&mut head));
    read.is_ok() && image::guess_format(&head).is_ok()
}

/// The path an error is about and its reason in plain words.
fn explain(error: &ignore::Error) -> (PathBuf, String) {
    match error {
        ignore::Error::WithPath { path, err } => (path.clone(), explain(err).1),
        ignore::Error::WithDepth { err, .. } => explain(err),
        ignore::Error::Loop { ancestor, child } => (
            child.clone(),
            format!("a link that leads back to {}, which was being walked", ancestor.display()),
        ),
        ignore::Error::Io(io) => (PathBuf::new(), io.to_string()),
        other => (PathBuf::new(), other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_known_by_name_in_any_case_and_by_content() {
        assert!(by_name("a/B.JPeG".as_ref()) && by_name("x.heic".as_ref()));
        assert!(!by_name("notes.txt".as_ref()) && !by_name("jpg".as_ref()));
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("no-ending");
        fs_err::write(&file, b"\x89PNG\r\n\x1a\nrest").expect("written");
        assert!(by_content(&file));
        fs_err::write(&file, b"hello").expect("written");
        assert!(!by_content(&file));
    }
}
