//! Given roots, which files are there to be indexed, and which of those known
//! are gone?

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ekphrasis_index::{Judged, KnownFile};
use ignore::overrides::{Override, OverrideBuilder};
use ignore::{DirEntry, WalkBuilder};

use super::captions::Captions;
use super::clock::Clock;
use super::commit::Outcome;
use super::queue::Giver;
use super::read::{Seen, Task};
use super::{EngineError, IndexOptions, Stop};
use crate::facts::Beside;

/// What is known of the files below the roots.
#[derive(Default)]
pub(super) struct Known {
    /// Those in the store.
    pub(super) files: HashMap<PathBuf, KnownFile>,
    /// Those that cannot be indexed as long as they stay as they are.
    pub(super) judged: HashMap<PathBuf, Judged>,
}

/// How far a walk is, for those who wait for it.
#[derive(Default)]
pub(super) struct Found {
    /// Files to be read, so far.
    pub(super) tasks: AtomicU64,
    /// Of those, the ones that turned out not to be new.
    pub(super) skipped: AtomicU64,
    /// Whether there will be no more.
    pub(super) all: AtomicBool,
}

/// Where the walk sends what it finds.
pub(super) struct Out<'a> {
    pub(super) tasks: Giver<'a, Task>,
    pub(super) done: Giver<'a, Outcome>,
    pub(super) captions: &'a Captions,
    pub(super) found: &'a Found,
    pub(super) clock: &'a Clock,
    pub(super) stop: &'a Stop<'a>,
    /// Files that seem not to have changed are read all the same.
    pub(super) check_content: bool,
}

impl Out<'_> {
    /// False if nobody listens any more.
    fn task(&self, task: Task) -> bool {
        self.found.tasks.fetch_add(1, Ordering::Relaxed);
        self.tasks.give(task, 0)
    }

    fn done(&self, outcome: Outcome) -> bool {
        self.done.give(outcome, 0)
    }
}

/// Files with these endings are pictures by name; if they cannot be read, that
/// is worth a line in the ledger. Others are asked for their first bytes.
pub(crate) const ENDINGS: &[&str] = &[
    "jpg", "jpeg", "jpe", "jfif", "png", "apng", "gif", "webp", "bmp", "dib", "tif", "tiff", "pnm",
    "pbm", "pgm", "ppm", "pam", "qoi", "ico", "heic", "heif", "avif", "jxl", "svg", "svgz", "jp2",
    "psd", "hif", "cr2", "cr3", "nef", "nrw", "arw", "sr2", "dng", "orf", "rw2", "raf", "pef",
    "srw", "erf", "3fr", "dcr",
];

/// Where an ignored path is named, gitignore-style.
const IGNORE_FILE: &str = ".ekignore";

/// Folders that systems and storage boxes keep for themselves, in lower case.
const SYSTEM: &[&str] = &[
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "@eadir",
    "@recycle",
    "#recycle",
    "#snapshot",
    "__macosx",
];

/// Pictures that a walk came by.
#[cfg(feature = "milvus")]
#[derive(Default)]
pub(super) struct Listed {
    /// In the order of the walk.
    pub(super) files: Vec<(PathBuf, Seen)>,
    /// What could not be looked at, and why.
    pub(super) failures: Vec<(PathBuf, String)>,
    /// Roots that are folders with something in them: what is not listed below is gone,
    /// but for what lies below a failure.
    pub(super) whole: Vec<PathBuf>,
}

/// What one walk will cover.
pub(super) struct Walker {
    builder: WalkBuilder,
    roots: Vec<PathBuf>,
    /// Roots of their own below ours: what is known there is not missed here.
    spare: Vec<PathBuf>,
    /// If there are any, nothing but them is walked.
    only: Option<Arc<Only>>,
}

/// Paths below a folder, which are all that is wanted of it.
struct Only {
    wanted: HashSet<PathBuf>,
    /// The folders that they lie in.
    above: HashSet<PathBuf>,
}

impl Only {
    fn new(paths: &[PathBuf]) -> Self {
        let mut above = HashSet::new();
        for path in paths {
            // Those above one that is known are known.
            for folder in path.ancestors().skip(1) {
                if !above.insert(folder.to_owned()) {
                    break;
                }
            }
        }
        Self { wanted: paths.iter().cloned().collect(), above }
    }

    /// Whether it is wanted, or lies in what is.
    fn has(&self, path: &Path) -> bool {
        path.ancestors().any(|folder| self.wanted.contains(folder))
    }
}

impl Walker {
    /// Over `roots`; globs to leave out are as in a `.gitignore` in one of `bases`,
    /// which are the roots, or folders that these lie in. `spare` are roots of their own
    /// below; what their options leave out is left out here, too, so that no two roots
    /// take in and forget the same file in turns.
    pub(super) fn new(
        roots: &[PathBuf],
        bases: &[PathBuf],
        spare: Vec<(PathBuf, IndexOptions)>,
        options: &IndexOptions,
        data: &Path,
    ) -> Result<Self, EngineError> {
        Self::with(roots, bases, spare, options, data, None)
    }

    /// Over what lies at or below `paths` alone, as a walk over the `root` that they lie
    /// in would come to it: ignored on the way is ignored.
    pub(super) fn only(
        paths: &[PathBuf],
        root: PathBuf,
        spare: Vec<(PathBuf, IndexOptions)>,
        options: &IndexOptions,
        data: &Path,
    ) -> Result<Self, EngineError> {
        let (roots, only) = ([root], Arc::new(Only::new(paths)));
        let walker = Self::with(&roots, &roots, spare, options, data, Some(only))?;
        Ok(Self { roots: paths.to_vec(), ..walker })
    }

    fn with(
        roots: &[PathBuf],
        bases: &[PathBuf],
        spare: Vec<(PathBuf, IndexOptions)>,
        options: &IndexOptions,
        data: &Path,
        only: Option<Arc<Only>>,
    ) -> Result<Self, EngineError> {
        let (first, rest) = roots
            .split_first()
            .ok_or_else(|| EngineError::Invalid("no folder was named".into()))?;
        let mut builder = WalkBuilder::new(first);
        for root in rest {
            builder.add(root);
        }
        let own = bases.iter().map(|root| (root, &options.exclude));
        let excluded = own
            .chain(spare.iter().map(|(root, theirs)| (root, &theirs.exclude)))
            .map(|(root, globs)| Ok((root.clone(), exclude(root, globs)?)))
            .collect::<Result<Vec<_>, EngineError>>()?;
        let unlinked: Vec<PathBuf> = spare
            .iter()
            .filter(|(_, theirs)| options.follow_links && !theirs.follow_links)
            .map(|(root, _)| root.clone())
            .collect();
        let linked = move |entry: &DirEntry| {
            entry.path_is_symlink()
                && unlinked
                    .iter()
                    .any(|root| entry.path() != root.as_path() && entry.path().starts_with(root))
        };
        let allowed = move |entry: &DirEntry| {
            let is_dir = entry.file_type().is_some_and(|t| t.is_dir());
            !excluded.iter().any(|(root, globs)| {
                entry.path().starts_with(root) && globs.matched(entry.path(), is_dir).is_ignore()
            })
        };
        let within = only.clone();
        let wanted = move |path: &Path| {
            within.as_ref().is_none_or(|only| only.above.contains(path) || only.has(path))
        };
        // A store inside an indexed folder must not index its own thumbnails.
        let own = fs_err::canonicalize(data).unwrap_or_else(|_| data.to_path_buf());
        builder
            .standard_filters(false)
            .hidden(true)
            .add_custom_ignore_filename(IGNORE_FILE)
            .follow_links(options.follow_links)
            .filter_entry(move |entry| {
                entry.path() != own
                    && wanted(entry.path())
                    && !is_of_the_system(entry)
                    && allowed(entry)
                    && !linked(entry)
            })
            .sort_by_file_name(OsStr::cmp);
        let spare = spare.into_iter().map(|(root, _)| root).collect();
        Ok(Self { builder, roots: roots.to_vec(), spare, only })
    }

    /// Walks, sends what has to be read to `out.tasks` and everything else that
    /// is to be known to `out.done`; ends with [`Outcome::Walked`].
    pub(super) fn walk(self, mut known: Known, out: &Out<'_>) {
        let mut unreadable = Vec::new();
        // A root inside another may be met twice.
        let roots: HashSet<&Path> = self.roots.iter().map(PathBuf::as_path).collect();
        let nested = |root: &PathBuf| root.ancestors().skip(1).any(|a| roots.contains(a));
        let mut met = self.roots.iter().any(nested).then(HashSet::new);
        let mut entries = self.builder.build();
        let mut beside = Beside::default();
        while let Some(entry) = out.clock.walk.elapsed(|| entries.next()) {
            if out.stop.is_raised() {
                return;
            }
            // A closed queue means the other side gave up: nothing more to do.
            let sent = match entry {
                Ok(entry) if met.as_mut().is_some_and(|m| !m.insert(entry.path().to_owned())) => {
                    true
                }
                // A folder on the way to it.
                Ok(entry) if self.only.as_ref().is_some_and(|only| !only.has(entry.path())) => true,
                Ok(entry) => visit(&entry, &mut known, &mut beside, out),
                Err(error) => {
                    let (path, reason) = explain(&error);
                    let failed = self.concerned(path);
                    unreadable.extend(failed.iter().cloned());
                    failed.into_iter().all(|path| out.done(Outcome::failed(path, reason.clone())))
                }
            };
            if !sent {
                return;
            }
        }
        let mut known = known.files;
        for root in self.roots.iter().filter(|root| is_empty(root)) {
            let count = known.keys().filter(|path| path.starts_with(root)).count();
            if count > 0 {
                // What an unplugged disk leaves behind looks just like this.
                let reason = format!(
                    "the folder is empty, but {count} pictures of it are known; \
                     they are kept, in case a disk is missing (`ek remove` forgets them)"
                );
                unreadable.push(root.clone());
                let _ = out.done(Outcome::failed(root.clone(), reason));
            }
        }
        // Below a folder that could not be read, nothing is known to be gone.
        unreadable.extend(self.spare);
        known.retain(|path, _| !unreadable.iter().any(|folder| path.starts_with(folder)));
        let gone = known.into_values().map(|file| file.id).collect();
        out.found.all.store(true, Ordering::Relaxed);
        let _ = out.done(Outcome::Walked { gone });
    }

    /// All pictures there are.
    #[cfg(feature = "milvus")]
    pub(super) fn list(self) -> Listed {
        let mut listed = Listed::default();
        // A root inside another is met twice.
        let mut met = HashSet::new();
        for entry in self.builder.build() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    listed.failures.push(explain(&error));
                    continue;
                }
            };
            let path = entry.path();
            let is_picture = entry.file_type().is_some_and(|kind| kind.is_file())
                && (by_name(path) || by_content(path));
            if !is_picture || !met.insert(path.to_owned()) {
                continue;
            }
            match entry.metadata() {
                Ok(meta) => {
                    let seen = Seen { size: meta.len(), mtime_ns: mtime_ns(&meta) };
                    listed.files.push((entry.into_path(), seen));
                }
                Err(error) => listed.failures.push((entry.into_path(), explain(&error).1)),
            }
        }
        let is_whole = |root: &&PathBuf| root.is_dir() && !is_empty(root);
        listed.whole = self.roots.iter().filter(is_whole).cloned().collect();
        listed
    }

    /// What fails with `path`: if not all is walked, that of what is wanted.
    fn concerned(&self, path: PathBuf) -> Vec<PathBuf> {
        match &self.only {
            Some(only) if !only.has(&path) => {
                only.wanted.iter().filter(|wanted| wanted.starts_with(&path)).cloned().collect()
            }
            _ => vec![path],
        }
    }
}

/// One entry; false if nobody listens any more.
fn visit(entry: &DirEntry, known: &mut Known, beside: &mut Beside, out: &Out<'_>) -> bool {
    let path = entry.path();
    let Some(kind) = entry.file_type() else { return true };
    if kind.is_dir() || kind.is_symlink() {
        return true;
    }
    if !kind.is_file() {
        let reason = "a FIFO, socket or device, not a file".to_owned();
        return !by_name(path) || out.done(Outcome::failed(path.into(), reason));
    }
    let before = known.files.remove(path);
    let meta = match out.clock.walk.elapsed(|| entry.metadata()) {
        Ok(meta) => meta,
        Err(error) => return out.done(Outcome::failed(path.into(), explain(&error).1)),
    };
    let seen = Seen { size: meta.len(), mtime_ns: mtime_ns(&meta) };
    let unchanged =
        |known: &&KnownFile| seen == Seen { size: known.file.size, mtime_ns: known.file.mtime_ns };
    let path = path.to_path_buf();
    if let Some(known) = before.as_ref().filter(unchanged) {
        let (id, content) = (known.id, known.file.content);
        if !known.told || out.clock.walk.elapsed(|| beside.stamp(&path)) != known.beside {
            // Indexed by a version of this program that did not look for facts, or what lies
            // beside it says something else now.
            return out.task(Task::Look { path, id });
        }
        if out.check_content {
            return out.task(Task::Check { path, seen, id, content });
        }
        return out.done(match out.captions.of(&path) {
            Some(_) => Outcome::Recaption { path, id, facts: None },
            None => Outcome::Unchanged { path },
        });
    }
    if let Some(judged) = known.judged.remove(&path)
        && !out.check_content
        && seen == (Seen { size: judged.size, mtime_ns: judged.mtime_ns })
    {
        return out.done(Outcome::StillFailing { failure: judged.failure });
    }
    if before.is_none() && !by_name(&path) && !by_content(&path) {
        return true;
    }
    out.task(Task::Embed { path, seen })
}

/// Not so if it was asked for by name.
fn is_of_the_system(entry: &DirEntry) -> bool {
    entry.depth() > 0
        && entry.file_type().is_some_and(|kind| kind.is_dir())
        && entry
            .file_name()
            .to_str()
            .is_some_and(|name| SYSTEM.iter().any(|system| name.eq_ignore_ascii_case(system)))
}

/// The globs to leave out, relative to a root as in a `.gitignore` there.
pub(super) fn exclude(root: &Path, globs: &[String]) -> Result<Override, EngineError> {
    let wrong = |glob: &str, e: ignore::Error| {
        EngineError::of_field("exclude", format!("{glob:?} in exclude is no glob: {e}"))
    };
    let mut builder = OverrideBuilder::new(root);
    for glob in globs {
        // In an override, what is marked with `!` is left out.
        builder.add(&format!("!{glob}")).map_err(|e| wrong(glob, e))?;
    }
    builder.build().map_err(|e| wrong("", e))
}

/// A folder that can be listed and has nothing in it.
fn is_empty(root: &Path) -> bool {
    fs_err::read_dir(root).is_ok_and(|mut entries| entries.next().is_none())
}

/// Nanoseconds since 1970, negative before.
pub(crate) fn mtime_ns(meta: &std::fs::Metadata) -> i64 {
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
    let mut head = Vec::with_capacity(2048);
    let read = fs_err::File::open(path).and_then(|f| f.take(2048).read_to_end(&mut head));
    read.is_ok() && ekphrasis_models::looks_like_picture(&head)
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

    #[test]
    fn what_alone_is_wanted_is_come_to_as_from_its_root() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| dir.path().join(name);
        for (name, text) in [
            (".ekignore", "skip/\nsmall.png\n"),
            ("keep/a.png", ""),
            ("keep/beside.png", ""),
            ("keep/small.png", ""),
            ("skip/b.png", ""),
            ("sub/.ekignore", "!small.png\n"),
            ("sub/deep/c.png", ""),
            ("sub/deep/small.png", ""),
            ("sub/deep/draft.png", ""),
            ("z.png", ""),
        ] {
            fs_err::create_dir_all(at(name).parent().expect("a folder")).expect("made");
            fs_err::write(at(name), text).expect("written");
        }
        let wanted = ["keep/a.png", "keep/small.png", "skip/b.png", "sub/deep"].map(at);
        let options = IndexOptions { exclude: vec!["draft*".into()], ..Default::default() };
        let root = dir.path().to_path_buf();
        let walker = Walker::only(&wanted, root, vec![], &options, &at("data")).expect("a walker");
        let only = walker.only.as_ref().expect("not all");
        let entries = walker.builder.build().map(|entry| entry.expect("readable").into_path());
        let found: Vec<_> = entries.filter(|p| p.is_file() && only.has(p)).collect();
        let expected = ["keep/a.png", "sub/deep/c.png", "sub/deep/small.png"].map(at);
        assert_eq!(found, expected);

        // What is wrong with a folder on the way concerns what is wanted below it.
        let mut failed = walker.concerned(at("keep"));
        failed.sort();
        assert_eq!(failed, [at("keep/a.png"), at("keep/small.png")]);
        assert_eq!(walker.concerned(at("sub/deep/x")), [at("sub/deep/x")]);
        assert!(walker.concerned(at("keep/beside.png")).is_empty());
    }
}
