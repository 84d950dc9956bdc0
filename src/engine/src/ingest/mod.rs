//! Given folders, how do their pictures get into the store? Walk → read → hash
//! → decode → embed → commit, in small atomic batches; what cannot be read is
//! written down with its reason and never stops the rest.

mod captions;
mod clock;
mod commit;
mod contents;
mod encode;
mod memory;
#[cfg(feature = "milvus")]
mod part;
mod prepare;
mod queue;
mod read;
mod retry;
mod run;
#[cfg(feature = "milvus")]
mod shared;
mod walk;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use ekphrasis_index::{Failure, ItemId};

pub use captions::{CaptionError, Captions};
pub use clock::Stages;
#[cfg(feature = "milvus")]
pub use part::{IndexPart, ParsePartError};
#[cfg(feature = "milvus")]
pub use shared::SharedIndexOptions;
pub(crate) use walk::{ENDINGS, mtime_ns};

use crate::{Engine, EngineError, Progress};
use walk::Walker;

/// How often a run that waits for another looks whether that has ended.
const NEXT_TURN: Duration = Duration::from_millis(20);

/// How to index.
#[derive(Clone, Debug, Default)]
pub struct IndexOptions {
    /// Captions, tags and texts for the files, as a pairs file (JSONL or CSV).
    pub captions: Option<PathBuf>,
    /// Globs of files and folders to leave out.
    pub exclude: Vec<String>,
    /// Walk into linked folders and take linked files.
    pub follow_links: bool,
    /// Read files whose size and time did not change, too, and compare what is in them.
    pub check_content: bool,
    /// Pictures decoded at once, and encoded at once; 0: one a core.
    pub workers: usize,
    /// Bytes that pictures may take while they are worked on (as files, decoded, or
    /// waiting for the next step), the model and the store not counted. `None`: a
    /// quarter of the machine's memory, at most 2 GiB.
    pub memory: Option<u64>,
}

impl IndexOptions {
    /// What holds for a folder beyond one run, a line each: `ek up` goes by it.
    fn remembered(&self) -> String {
        let links = self.follow_links.then(|| "follow-links".to_owned());
        let globs = self.exclude.iter().map(|glob| format!("exclude {glob}"));
        links.into_iter().chain(globs).collect::<Vec<_>>().join("\n")
    }

    fn recalled(text: &str) -> Self {
        let globs = text.lines().filter_map(|line| line.strip_prefix("exclude "));
        Self {
            follow_links: text.lines().any(|line| line == "follow-links"),
            exclude: globs.map(str::to_owned).collect(),
            ..Self::default()
        }
    }
}

/// The setting that keeps a root's options.
fn setting(root: &Path) -> String {
    format!("options of {}", ItemId::for_path(root))
}

/// What an indexing run did.
#[derive(Clone, Debug, Default)]
pub struct IndexReport {
    /// The counts.
    pub progress: Progress,
    /// The files of this run that could not be indexed.
    pub failures: Vec<Failure>,
    /// Files that the captions name and the store does not have.
    pub unmatched: Vec<PathBuf>,
    /// It was asked to stop before the end; what is committed stays.
    pub stopped: bool,
    /// Where the time went.
    pub stages: Stages,
}

/// Why a run should end early: it was asked to, or it cannot go on.
struct Stop<'a> {
    asked: &'a AtomicBool,
    /// Ours alone: a failed run must not stop what else the caller's flag stops.
    failed: AtomicBool,
    /// All that it takes in is about to be forgotten.
    pointless: Arc<AtomicBool>,
}

impl<'a> Stop<'a> {
    fn new(asked: &'a AtomicBool) -> Self {
        Self { asked, failed: AtomicBool::new(false), pointless: Arc::default() }
    }

    fn is_raised(&self) -> bool {
        let flags = [self.asked, &self.failed, &*self.pointless];
        flags.into_iter().any(|flag| flag.load(Ordering::Relaxed))
    }
}

/// A run that goes on.
#[derive(Debug)]
pub(crate) struct Going {
    roots: Vec<PathBuf>,
    pointless: Arc<AtomicBool>,
}

/// Told after every file: the counts, and the file.
pub type OnProgress<'a> = &'a dyn Fn(&Progress, &Path);

impl Engine {
    /// Brings the store up to date with the folders (or single files) in `roots`.
    ///
    /// Files whose size and modification time did not change are left alone, also
    /// those that could not be indexed for what is in them ([`Engine::retry`] looks at
    /// them again). A picture whose content is known, because it was moved or copied,
    /// is not encoded again; one that was moved keeps its captions, tags and labels.
    /// Files that are gone are forgotten, but not those below a folder that
    /// could not be read. Raising `stop` ends it after the files in flight.
    ///
    /// # Errors
    /// `NotFound` for a root that is not there, `Invalid` for a wrong glob or
    /// captions file, and where store or model fail. A file that cannot be
    /// indexed is no error; it is in the report.
    pub fn index(
        &self,
        roots: &[PathBuf],
        options: &IndexOptions,
        on_progress: OnProgress<'_>,
        stop: &AtomicBool,
    ) -> Result<IndexReport, EngineError> {
        let roots = resolve(roots)?;
        check_exclude(&options.exclude)?;
        let captions = read_captions(options)?;
        self.running(stop, || self.in_turn(&roots, &captions, options, on_progress, stop))
    }

    /// [`Engine::index`] for a folder that is watched, with the options it was indexed with
    /// last. One that was forgotten meanwhile stays so.
    pub(crate) fn follow(
        &self,
        root: &Path,
        stop: &AtomicBool,
    ) -> Result<IndexReport, EngineError> {
        let roots = resolve(&[root.to_path_buf()])?;
        self.running(stop, || {
            let known = self.store.roots()?;
            let mut report = IndexReport::default();
            for root in roots.iter().filter(|root| known.contains(root)) {
                let (only, options) = (std::slice::from_ref(root), self.options_of(root)?);
                report = self.in_turn(only, &Captions::default(), &options, &|_, _| {}, stop)?;
            }
            Ok(report)
        })
    }

    /// What is to be done is found out when it is done: a run before, or `remove`, may have
    /// changed it.
    fn in_turn(
        &self,
        roots: &[PathBuf],
        captions: &Captions,
        options: &IndexOptions,
        on_progress: OnProgress<'_>,
        stop: &AtomicBool,
    ) -> Result<IndexReport, EngineError> {
        let spare = self.roots_within(roots)?;
        let walker = Walker::new(roots, roots, spare, options, &self.data)?;
        for root in roots {
            self.store.add_root(root)?;
            let (key, now) = (setting(root), options.remembered());
            if self.store.get_setting(&key)?.as_deref() != Some(&now) {
                self.store.set_setting(&key, Some(&now))?;
            }
        }
        let judged = self.judged(roots)?;
        let plan = run::Plan { roots, walker, judged, captions, options, whole: true };
        let stop = Stop::new(stop);
        let going = Going { roots: roots.to_vec(), pointless: Arc::clone(&stop.pointless) };
        *self.going.lock().unwrap_or_else(PoisonError::into_inner) = Some(going);
        self.run(plan, on_progress, &stop)
    }

    /// The turn, for forgetting `paths`. A run that goes on over nothing but them is ended,
    /// since all its work would be forgotten; another one's end is waited for, as it would
    /// bring back what is forgotten meanwhile. `None` once `stop` is raised.
    pub(crate) fn turn_to_forget(
        &self,
        paths: &[PathBuf],
        stop: &AtomicBool,
    ) -> Option<MutexGuard<'_, ()>> {
        loop {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(going) = &*self.going.lock().unwrap_or_else(PoisonError::into_inner)
                && going.roots.iter().all(|root| paths.iter().any(|path| root.starts_with(path)))
            {
                going.pointless.store(true, Ordering::Relaxed);
            }
            match self.turn.try_lock() {
                Ok(turn) => return Some(turn),
                Err(TryLockError::Poisoned(turn)) => return Some(turn.into_inner()),
                Err(TryLockError::WouldBlock) => std::thread::sleep(NEXT_TURN),
            }
        }
    }

    /// How a folder was indexed last; the defaults if it never was.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn options_of(&self, root: &Path) -> Result<IndexOptions, EngineError> {
        let text = self.store.get_setting(&setting(root))?;
        Ok(text.as_deref().map(IndexOptions::recalled).unwrap_or_default())
    }

    /// Folders of their own that lie within `roots` and are none of them, and how each was
    /// indexed.
    fn roots_within(&self, roots: &[PathBuf]) -> Result<Vec<(PathBuf, IndexOptions)>, EngineError> {
        let within = self.store.roots()?.into_iter().filter(|other| {
            !roots.contains(other) && roots.iter().any(|root| other.starts_with(root))
        });
        within.map(|root| Ok((root.clone(), self.options_of(&root)?))).collect()
    }

    /// One after the other; whatever happens within, nothing is going on any more afterwards.
    fn running(
        &self,
        stop: &AtomicBool,
        run: impl FnOnce() -> Result<IndexReport, EngineError>,
    ) -> Result<IndexReport, EngineError> {
        let _turn = loop {
            if stop.load(Ordering::Relaxed) {
                return Ok(IndexReport { stopped: true, ..IndexReport::default() });
            }
            // Runs that follow one another closely would never let a switch in.
            if self.asked_for.load(Ordering::Relaxed) {
                std::thread::sleep(NEXT_TURN);
                continue;
            }
            match self.turn.try_lock() {
                Ok(turn) => break turn,
                Err(TryLockError::Poisoned(turn)) => break turn.into_inner(),
                Err(TryLockError::WouldBlock) => std::thread::sleep(NEXT_TURN),
            }
        };
        self.still_serves()?;
        let result = run();
        if result.is_ok() {
            // What cannot be labelled is indexed all the same; the state tells how many wait.
            let _ = self.label_new();
        }
        *self.indexing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.going.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Ok(report) = &result {
            self.meters.note_run(report);
        }
        result
    }
}

/// The captions file, if there is one.
fn read_captions(options: &IndexOptions) -> Result<Captions, EngineError> {
    match &options.captions {
        Some(file) => Captions::read(file).map_err(|e| EngineError::Invalid(e.to_string())),
        None => Ok(Captions::default()),
    }
}

/// Insists that globs to leave out are globs. None is blank, which would leave out everything;
/// none has a line break: options are remembered a line each, and a glob of two lines would
/// set what nobody allowed.
///
/// # Errors
/// `InvalidField` about `exclude`, with the glob and what is wrong with it.
pub fn check_exclude(globs: &[String]) -> Result<(), EngineError> {
    let wrong = |glob: &str, what: &str| {
        let message = format!("{glob:?} in exclude is no glob: {what}");
        Err(EngineError::of_field("exclude", message))
    };
    for glob in globs {
        if glob.trim_matches(|c: char| c.is_whitespace() || matches!(c, '/' | '!')).is_empty() {
            return wrong(glob, "it names nothing, and everything would be left out");
        }
        if glob.contains(['\n', '\r']) {
            return wrong(glob, "it has a line break");
        }
    }
    // Whatever the folder is.
    walk::exclude(Path::new(""), globs).map(|_| ())
}

/// Roots as the real paths they are, each once. One inside another stays: it
/// may be hidden or excluded there, and was asked for by name.
fn resolve(roots: &[PathBuf]) -> Result<Vec<PathBuf>, EngineError> {
    let mut real = Vec::new();
    for root in roots {
        let path = fs_err::canonicalize(root).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                EngineError::NotFound(format!("there is no folder {}", root.display()))
            }
            _ => e.into(),
        })?;
        // A folder that cannot even be listed is told at once, not found "empty".
        if path.is_dir() {
            fs_err::read_dir(&path)?;
        }
        real.push(path);
    }
    real.sort();
    real.dedup();
    Ok(real)
}
