//! Given what is to be walked, how do the stages work together? Each in threads of
//! its own, with a bounded queue to the next: whoever is too fast waits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use ekphrasis_index::{Filter, ItemId, Judged, StoreRead};

use super::captions::Captions;
use super::clock::Clock;
use super::commit::{Committer, Outcome};
use super::contents::Contents;
use super::memory::{Room, Shares};
use super::prepare::{Loaded, Prepared, Preparer};
use super::queue::Queue;
use super::read::{Reader, Task};
use super::walk::{Found, Known, Out, Walker};
use super::{IndexOptions, IndexReport, OnProgress, Stop, encode};
use crate::{Engine, EngineError, Progress};

/// Tasks that the walk may be ahead: enough to know how much there is to do, and a few
/// megabytes.
const AHEAD: usize = 1 << 16;
/// Outcomes that wait for the one who commits. They have no pixels any more.
const OUTCOMES: usize = 256;
/// Files that are read ahead of each who decodes.
const FILES: usize = 16;

/// Which decoders judged the files in the ledger. When they have learnt something, the
/// number changes and all get another chance.
const JUDGE: &str = concat!(env!("CARGO_PKG_VERSION"), "/1");
/// The setting that keeps it.
const JUDGED_BY: &str = "judged by";

/// The setting that says that a run over this root has not ended.
fn unfinished(root: &Path) -> String {
    format!("unfinished {}", ItemId::for_path(root))
}

/// What a run covers.
pub(super) struct Plan<'a> {
    /// What lies below these is forgotten if it is gone, and healed if it does not fail.
    pub(super) roots: &'a [PathBuf],
    pub(super) walker: Walker,
    pub(super) judged: HashMap<PathBuf, Judged>,
    pub(super) captions: &'a Captions,
    pub(super) options: &'a IndexOptions,
    /// Whether it covers all that is below the roots. Then it is noted until it ends.
    pub(super) whole: bool,
}

impl Engine {
    /// The files below `roots` that are not worth another look.
    pub(super) fn judged(
        &self,
        roots: &[PathBuf],
    ) -> Result<HashMap<PathBuf, Judged>, EngineError> {
        if self.store.get_setting(JUDGED_BY)?.as_deref() != Some(JUDGE) {
            self.store.forget_judged()?;
            self.store.set_setting(JUDGED_BY, Some(JUDGE))?;
        }
        let below = |j: &Judged| roots.iter().any(|root| j.failure.path.starts_with(root));
        let judged = self.store.judged()?.into_iter().filter(below);
        Ok(judged.map(|j| (j.failure.path.clone(), j)).collect())
    }

    /// Roots whose last run did not end.
    pub(crate) fn unfinished(&self) -> Result<Vec<PathBuf>, EngineError> {
        let mut roots = self.store.roots()?;
        let mut failure = None;
        roots.retain(|root| match self.store.get_setting(&unfinished(root)) {
            Ok(setting) => setting.is_some(),
            Err(error) => {
                failure = Some(error);
                false
            }
        });
        failure.map_or(Ok(roots), |error| Err(error.into()))
    }

    fn known(&self, roots: &[PathBuf]) -> Result<Known, EngineError> {
        // Looking at all vectors, and at what filters are answered from, is done once and not
        // at every change; the latter takes longest, and nothing here waits for it.
        let first = !self.checked.swap(true, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let healing = first.then(|| scope.spawn(|| self.store.heal_filters()));
            let mut known = self.known_files(roots)?;
            if first {
                // A picture whose vector was damaged is taken as if it were new.
                let damaged = self.store.damaged()?;
                if !damaged.is_empty() {
                    known.files.retain(|_, file| !damaged.contains(&file.id));
                }
            }
            if let Some(healing) = healing {
                healing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            }
            Ok(known)
        })
    }

    fn known_files(&self, roots: &[PathBuf]) -> Result<Known, EngineError> {
        let mut known = Known::default();
        for root in roots {
            for file in self.store.files_under(root)? {
                // Pictures that were sent lie where no walk comes.
                if self.is_upload(&file.path) {
                    continue;
                }
                known.files.insert(file.path.clone(), file);
            }
        }
        Ok(known)
    }

    pub(super) fn run(
        &self,
        plan: Plan<'_>,
        on_progress: OnProgress<'_>,
        stop: &Stop<'_>,
    ) -> Result<IndexReport, EngineError> {
        let start = Instant::now();
        let Plan { roots, walker, judged, captions, options, whole } = plan;
        let mut known = self.known(roots)?;
        known.judged = judged;
        let workers = match options.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        let shares = Shares::of(options.memory);
        ekphrasis_models::set_decode_memory(shares.decode);
        let towers = Arc::clone(&self.towers);
        let (clock, found) = (Clock::default(), Found::default());
        // In an empty store nothing is looked for: not what is in a file, nor its words.
        let blank = self.store.count(&Filter::default())? == 0;
        let contents = Contents::new(&self.store, blank)?;
        let room = Room::of(shares.files);
        let tasks = Queue::<Task>::new(AHEAD, u64::MAX);
        let loaded = Queue::<Loaded<'_>>::new(FILES * workers, u64::MAX);
        let prepared = Queue::<Prepared>::new(encode::BATCH * workers, shares.tensors);
        let done = Queue::<Outcome>::new(OUTCOMES, u64::MAX);
        let out = Out {
            tasks: tasks.giver(),
            done: done.giver(),
            captions,
            found: &found,
            stop,
            clock: &clock,
            check_content: options.check_content,
        };
        let reader = Reader {
            contents: &contents,
            captions,
            found: &found,
            clock: &clock,
            stop,
            limit: shares.largest,
            room: &room,
        };
        let preparer = Preparer { towers: &*towers, clock: &clock, stop };

        let mut committer = Committer::new(self, captions, blank);
        let mut progress = Progress::default();
        let mut pace = Pace::default();
        let outcome = std::thread::scope(|scope| {
            // Whoever ends takes its ends of the queues along, so that nobody waits for nobody.
            let results = done.taker();
            let clock = &clock;
            let threads = 0..workers;
            let readers = threads.clone().map(|_| (tasks.taker(), loaded.giver(), done.giver()));
            let preparers =
                threads.clone().map(|_| (loaded.taker(), prepared.giver(), done.giver()));
            let encoders = threads.map(|_| (prepared.taker(), done.giver()));
            let (readers, preparers) = (Vec::from_iter(readers), Vec::from_iter(preparers));
            for (prepared, done) in Vec::from_iter(encoders) {
                let towers = &*towers;
                scope.spawn(move || encode::work(&prepared, &done, towers, clock, stop));
            }
            for (loaded, prepared, done) in preparers {
                let preparer = &preparer;
                scope.spawn(move || preparer.work(&loaded, &prepared, &done));
            }
            for (tasks, loaded, done) in readers {
                let reader = &reader;
                scope.spawn(move || reader.work(&tasks, &loaded, &done));
            }
            scope.spawn(move || {
                let (walker, out) = (walker, out);
                walker.walk(known, &out);
            });
            while let Some(outcome) = results.take() {
                let began = Instant::now();
                if pace.note(&outcome) && whole {
                    self.mark_unfinished(roots, true)?;
                }
                let mut tell = |progress: &mut Progress, path: &Path| {
                    progress.seconds = start.elapsed().as_secs_f64();
                    (progress.waiting, progress.eta_seconds) = pace.rest(&found);
                    let mut shown = self.indexing.lock().unwrap_or_else(PoisonError::into_inner);
                    *shown = Some(progress.clone());
                    drop(shown);
                    on_progress(progress, path);
                };
                if let Err(error) = committer.take(outcome, &mut progress, &mut tell) {
                    stop.failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                clock.commit.add(began.elapsed());
            }
            Ok(())
        });
        outcome?;
        let stopped = stop.is_raised();
        let failures = clock.commit.elapsed(|| committer.finish(roots, &mut progress, stopped))?;
        if whole {
            self.mark_unfinished(roots, stopped)?;
        }
        let unmatched = if stopped { Vec::new() } else { self.unmatched(captions)? };
        progress.seconds = start.elapsed().as_secs_f64();
        (progress.waiting, progress.eta_seconds) = (0, None);
        Ok(IndexReport { progress, failures, unmatched, stopped, stages: clock.stages() })
    }

    /// Says of these roots that a run over them has begun, or has come to its end.
    fn mark_unfinished(&self, roots: &[PathBuf], yes: bool) -> Result<(), EngineError> {
        for root in roots {
            let key = unfinished(root);
            if self.store.get_setting(&key)?.is_some() != yes {
                self.store.set_setting(&key, yes.then_some("yes"))?;
            }
        }
        Ok(())
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

/// How fast files are done that have to be read.
#[derive(Default)]
struct Pace {
    first: Option<Instant>,
    done: u64,
}

impl Pace {
    /// Counts an outcome; whether it is the first that comes of reading a file.
    fn note(&mut self, outcome: &Outcome) -> bool {
        let read = match outcome {
            Outcome::Ready { .. } | Outcome::Reused { .. } | Outcome::Twin { .. } => true,
            Outcome::Failed { content, .. } => content.is_some(),
            _ => false,
        };
        self.done += u64::from(read);
        if read && self.first.is_none() {
            self.first = Some(Instant::now());
            return true;
        }
        false
    }

    /// How many are left, and for how many seconds.
    fn rest(&self, found: &Found) -> (u64, Option<f64>) {
        let done = self.done + found.skipped.load(Ordering::Relaxed);
        let left = found.tasks.load(Ordering::Relaxed).saturating_sub(done);
        let elapsed = self.first.map_or(0.0, |first| first.elapsed().as_secs_f64());
        let known = found.all.load(Ordering::Relaxed) && done > 1 && elapsed > 1.0;
        (left, known.then(|| left as f64 * elapsed / (done - 1) as f64))
    }
}
