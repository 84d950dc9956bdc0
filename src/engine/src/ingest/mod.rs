//! Given folders, how do their pictures get into the store? Walk → read → hash
//! → decode → embed → commit, in small atomic batches; what cannot be read is
//! written down with its reason and never stops the rest.

mod captions;
mod commit;
mod prepare;
mod walk;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use ekphrasis_index::{Failure, ItemId, StoreRead};

pub use captions::{CaptionError, Captions};
pub(crate) use walk::{ENDINGS, mtime_ns};

use crate::{Engine, EngineError, Progress};
use commit::Committer;
use prepare::{Outcome, Task};
use walk::Walker;

/// How to index.
#[derive(Clone, Debug, Default)]
pub struct IndexOptions {
    /// Captions, tags and texts for the files, as a pairs file (JSONL or CSV).
    pub captions: Option<PathBuf>,
    /// Globs of files and folders to leave out.
    pub exclude: Vec<String>,
    /// Walk into linked folders and take linked files.
    pub follow_links: bool,
    /// Pictures decoded and encoded at once; 0: one a core.
    pub workers: usize,
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
}

/// Why a run should end early: it was asked to, or it cannot go on.
struct Stop<'a> {
    asked: &'a AtomicBool,
    /// Ours alone: a failed run must not stop what else the caller's flag stops.
    failed: AtomicBool,
}

impl Stop<'_> {
    fn is_raised(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.failed.load(Ordering::Relaxed)
    }
}

/// Told after every file: the counts, and the file.
pub type OnProgress<'a> = &'a dyn Fn(&Progress, &Path);

impl Engine {
    /// Brings the store up to date with the folders (or single files) in `roots`.
    ///
    /// Files whose size and modification time did not change are left alone;
    /// files that are gone are forgotten, but not those below a folder that
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
        let captions = match &options.captions {
            Some(file) => Captions::read(file).map_err(|e| EngineError::Invalid(e.to_string()))?,
            None => Captions::default(),
        };
        let mut spare = self.store.roots()?;
        spare.retain(|other| {
            !roots.contains(other) && roots.iter().any(|root| other.starts_with(root))
        });
        let walker = Walker::new(&roots, spare, options, &self.data)?;
        for root in &roots {
            self.store.add_root(root)?;
            let (key, now) = (setting(root), options.remembered());
            if self.store.get_setting(&key)?.as_deref() != Some(&now) {
                self.store.set_setting(&key, Some(&now))?;
            }
        }
        let stop = Stop { asked: stop, failed: AtomicBool::new(false) };
        let result = self.run(&roots, walker, &captions, options.workers, on_progress, &stop);
        *self.indexing.lock().unwrap_or_else(PoisonError::into_inner) = None;
        result
    }

    /// How a folder was indexed last; the defaults if it never was.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn options_of(&self, root: &Path) -> Result<IndexOptions, EngineError> {
        let text = self.store.get_setting(&setting(root))?;
        Ok(text.as_deref().map(IndexOptions::recalled).unwrap_or_default())
    }

    fn run(
        &self,
        roots: &[PathBuf],
        walker: Walker,
        captions: &Captions,
        workers: usize,
        on_progress: OnProgress<'_>,
        stop: &Stop<'_>,
    ) -> Result<IndexReport, EngineError> {
        let start = Instant::now();
        let mut known = std::collections::HashMap::new();
        for root in roots {
            for file in self.store.files_under(root)? {
                known.insert(file.path.clone(), file);
            }
        }
        // A picture whose vector was damaged is taken as if it were new. Looking
        // means reading all vectors, so it is done once and not at every change.
        if !self.checked.swap(true, Ordering::Relaxed) {
            let damaged: HashSet<ItemId> = self.store.damaged()?.into_iter().collect();
            known.retain(|_, file| !damaged.contains(&file.id));
            self.store.heal_filters()?;
        }
        let workers = match workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        // A run that finds nothing to do must not pay for a model; the first task loads it.
        let towers = Arc::clone(&self.towers);
        let (task_in, task_out) = mpsc::sync_channel::<Task>(workers * 4);
        let (done_in, done_out) = mpsc::sync_channel::<Outcome>(workers * 8);
        let tasks = Arc::new(Mutex::new(task_out));

        let mut committer = Committer::new(self, captions);
        let mut progress = Progress::default();
        let outcome = std::thread::scope(|scope| {
            let walk_done = done_in.clone();
            scope.spawn(move || walker.walk(known, captions, &task_in, &walk_done, stop));
            for _ in 0..workers {
                let (tasks, done) = (Arc::clone(&tasks), done_in.clone());
                let towers = Arc::clone(&towers);
                scope.spawn(move || prepare::work(tasks, &done, &*towers, stop));
            }
            // Whoever ends last takes the channels along, so that nobody waits for nobody.
            drop((tasks, done_in));
            let mut first_error = None;
            for outcome in done_out {
                if first_error.is_some() {
                    continue; // Drain, so that nobody blocks on a full channel.
                }
                let taken = committer.take(outcome, &mut progress, &mut |progress, path| {
                    progress.seconds = start.elapsed().as_secs_f64();
                    let mut shown = self.indexing.lock().unwrap_or_else(PoisonError::into_inner);
                    *shown = Some(progress.clone());
                    drop(shown);
                    on_progress(progress, path);
                });
                if let Err(error) = taken {
                    stop.failed.store(true, Ordering::Relaxed);
                    first_error = Some(error);
                }
            }
            first_error.map_or(Ok(()), Err)
        });
        outcome?;
        let stopped = stop.is_raised();
        let failures = committer.finish(roots, &mut progress, stopped)?;
        let unmatched = if stopped { Vec::new() } else { self.unmatched(captions)? };
        progress.seconds = start.elapsed().as_secs_f64();
        Ok(IndexReport { progress, failures, unmatched, stopped })
    }

    /// Files that captions name and the store does not have.
    fn unmatched(&self, captions: &Captions) -> Result<Vec<PathBuf>, EngineError> {
        let paths: Vec<&PathBuf> = captions.paths().collect();
        let ids: Vec<ItemId> = paths.iter().map(|path| ItemId::for_path(path)).collect();
        let items = self.store.items(&ids)?;
        let missing = paths.into_iter().zip(items).filter(|(_, item)| item.is_none());
        Ok(missing.map(|(path, _)| path.clone()).collect())
    }
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
