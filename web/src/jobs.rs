//! Given folders to be indexed, who does it while requests go on? One thread, one
//! job after the other; each can be asked how far it is, and stopped. A move to another
//! model takes long and has a thread of its own.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use ekphrasis_engine::{
    Engine, EngineError, Fault, IndexOptions, IndexReport, Outcome, Progress, Serving, Towers,
    UseOptions,
};

use crate::date::rfc3339;
use crate::problem::Problem;
use crate::wire::{self, shown};

/// Jobs that wait.
const MOST_WAITING: usize = 100;
/// Jobs that have ended and are remembered.
const MOST_ENDED: usize = 100;
/// Failures and unmatched captions that a job's result lists.
const MOST_LISTED: usize = 1_000;

/// What is to be done.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    /// Bring the store up to date with these folders or files.
    Index {
        paths: Vec<PathBuf>,
        options: IndexOptions,
        /// Who asked may look at these very places and at nothing else.
        only_there: bool,
    },
    /// Try again what failed, below these paths or everywhere.
    Retry { paths: Vec<PathBuf>, memory: Option<u64> },
    /// Forget what is at or below these paths.
    Remove { paths: Vec<PathBuf> },
    /// Move the store to another model. Takes long, so that it holds up no other job.
    Use { model: Model, options: UseOptions },
}

/// A model that the store is to be moved to.
#[derive(Clone)]
pub(crate) struct Model {
    /// As it was asked for.
    pub(crate) name: String,
    pub(crate) towers: Arc<dyn Towers>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Whose turn a job waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// Runs over files, one after the other.
    Runs,
    /// Moves to another model.
    Moves,
}

impl Order {
    fn action(&self) -> &'static str {
        match self {
            Self::Index { .. } => "index",
            Self::Retry { .. } => "retry",
            Self::Remove { .. } => "remove",
            Self::Use { .. } => "use",
        }
    }

    fn lane(&self) -> Lane {
        match self {
            Self::Use { .. } => Lane::Moves,
            Self::Index { .. } | Self::Retry { .. } | Self::Remove { .. } => Lane::Runs,
        }
    }

    fn model(&self) -> Option<&str> {
        match self {
            Self::Use { model, .. } => Some(&model.name),
            _ => None,
        }
    }

    /// Whether it takes in what lies at or below `gone`, and nothing else.
    fn is_all_within(&self, gone: &[PathBuf]) -> bool {
        let Self::Index { paths, .. } = self else { return false };
        paths.iter().all(|path| gone.iter().any(|folder| path.starts_with(folder)))
    }

    fn paths(&self) -> &[PathBuf] {
        match self {
            Self::Index { paths, .. } | Self::Retry { paths, .. } | Self::Remove { paths } => paths,
            Self::Use { .. } => &[],
        }
    }
}

/// The jobs of a server.
pub(crate) struct Jobs {
    shared: Arc<Shared>,
    /// One a lane, from the first job of it on.
    workers: Mutex<Vec<(Lane, JoinHandle<()>)>>,
}

struct Shared {
    serving: Arc<Serving>,
    list: Mutex<List>,
    wake: Condvar,
    closing: AtomicBool,
}

#[derive(Default)]
struct List {
    made: u64,
    /// In the order in which they were asked for.
    jobs: VecDeque<Arc<Job>>,
}

/// One job.
pub(crate) struct Job {
    id: String,
    order: Order,
    created: i64,
    stop: AtomicBool,
    /// Grows with every change.
    version: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    started: Option<i64>,
    ended: Option<i64>,
    progress: Option<Progress>,
    file: Option<PathBuf>,
    result: Option<wire::JobResult>,
    error: Option<String>,
    fault: Option<Fault>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Waiting,
    Running,
    Done,
    Stopped,
    Failed,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }

    fn has_ended(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

impl Jobs {
    /// No jobs yet; the threads that do them start with the first of each lane.
    pub(crate) fn new(serving: Arc<Serving>) -> Self {
        let shared = Shared {
            serving,
            list: Mutex::default(),
            wake: Condvar::new(),
            closing: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), workers: Mutex::default() }
    }

    /// Puts a job at the end of the queue. What is to be forgotten need not be indexed first:
    /// jobs that do nothing else are stopped.
    ///
    /// # Errors
    /// 409 if the store is open for reading only or the server ends, 429 if too many wait.
    pub(crate) fn add(&self, order: Order) -> Result<wire::Job, Problem> {
        writable(&self.shared.serving.current())?;
        let lane = order.lane();
        let mut list = locked(&self.shared.list);
        if self.shared.closing.load(Ordering::Relaxed) {
            return Err(Problem::conflict("the server is about to end"));
        }
        let waiting = list.jobs.iter().filter(|job| job.phase() == Phase::Waiting).count();
        if waiting >= MOST_WAITING {
            return Err(Problem::too_busy(format!("{waiting} jobs are waiting already")));
        }
        let mut surplus = list
            .jobs
            .iter()
            .filter(|job| job.phase().has_ended())
            .count()
            .saturating_sub(MOST_ENDED - 1);
        list.jobs.retain(|job| {
            let goes = surplus > 0 && job.phase().has_ended();
            surplus -= usize::from(goes);
            !goes
        });
        if let Order::Remove { paths } = &order {
            for job in list.jobs.iter().filter(|job| job.order.is_all_within(paths)) {
                job.halt();
            }
        }
        list.made += 1;
        let job = Arc::new(Job {
            // The time, so that no other run of the server had one of this name.
            id: format!("{:x}-{}", now(), list.made),
            order,
            created: now(),
            stop: AtomicBool::new(false),
            version: AtomicU64::new(0),
            state: Mutex::default(),
        });
        list.jobs.push_back(Arc::clone(&job));
        drop(list);
        self.shared.wake.notify_all();
        let mut workers = locked(&self.workers);
        if !workers.iter().any(|(of, _)| *of == lane) {
            let shared = Arc::clone(&self.shared);
            let spawned =
                std::thread::Builder::new().name("jobs".into()).spawn(move || work(&shared, lane));
            let spawned = spawned.map_err(|e| Problem::bug(format!("no thread for jobs: {e}")))?;
            workers.push((lane, spawned));
        }
        Ok(job.wire())
    }

    /// All that are remembered, the newest first, without their lists of files.
    pub(crate) fn list(&self) -> wire::JobList {
        let list = locked(&self.shared.list);
        let brief = |job: &Arc<Job>| {
            let mut job = job.wire();
            // A hundred jobs with a thousand failures each would be megabytes.
            if let Some(result) = &mut job.result {
                result.failures.clear();
                result.unmatched.clear();
                if let Some(used) = &mut result.used {
                    used.missing.clear();
                }
            }
            job
        };
        wire::JobList { jobs: list.jobs.iter().rev().map(brief).collect() }
    }

    /// One of them.
    ///
    /// # Errors
    /// 404 if there is no such job.
    pub(crate) fn get(&self, id: &str) -> Result<Arc<Job>, Problem> {
        let list = locked(&self.shared.list);
        let found = list.jobs.iter().find(|job| job.id == id).cloned();
        found.ok_or_else(|| {
            Problem::not_found(format!("there is no job {id:?}; they end with the server"))
        })
    }

    /// Ends a job: one that waits at once, one that runs after the files in flight. One
    /// that has ended stays as it is.
    ///
    /// # Errors
    /// 404 if there is no such job.
    pub(crate) fn stop(&self, id: &str) -> Result<wire::Job, Problem> {
        let job = self.get(id)?;
        job.halt();
        Ok(job.wire())
    }

    /// Whether the server is about to end, so that nobody should wait for anything.
    pub(crate) fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Relaxed)
    }

    /// Begins to end: every job is told to stop, nobody is kept waiting.
    pub(crate) fn close(&self) {
        let list = locked(&self.shared.list);
        self.shared.closing.store(true, Ordering::Relaxed);
        list.jobs.iter().for_each(|job| job.stop.store(true, Ordering::Relaxed));
        drop(list);
        self.shared.wake.notify_all();
    }

    /// Waits until the jobs that were running have put down what they had in flight.
    pub(crate) fn join(&self) {
        self.close();
        let workers = std::mem::take(&mut *locked(&self.workers));
        for (_, worker) in workers {
            // Its panic has been printed already.
            let _ = worker.join();
        }
    }
}

/// Insists that the store may be written.
///
/// # Errors
/// 409 if it is open for reading only.
pub(crate) fn writable(engine: &Engine) -> Result<(), Problem> {
    if engine.is_writable() {
        return Ok(());
    }
    Err(Problem::conflict(
        "this server only reads the store; one started by `ek up` may write to it",
    ))
}

impl Job {
    fn phase(&self) -> Phase {
        locked(&self.state).phase
    }

    /// Grows with every change.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.phase().has_ended()
    }

    /// Ends it: at once if it waits, after the files in flight if it runs.
    fn halt(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.change(|state| {
            if state.phase == Phase::Waiting {
                state.end(Phase::Stopped);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut locked(&self.state));
        self.version.fetch_add(1, Ordering::Release);
    }

    /// As it is now.
    pub(crate) fn wire(&self) -> wire::Job {
        let state = locked(&self.state);
        wire::Job {
            id: self.id.clone(),
            action: self.order.action(),
            model: self.order.model().map(str::to_owned),
            paths: self.order.paths().iter().map(|path| shown(path)).collect(),
            state: state.phase.as_str(),
            created: rfc3339(self.created),
            started: state.started.map(rfc3339),
            ended: state.ended.map(rfc3339),
            progress: state.progress.as_ref().map(wire::Progress::from),
            file: state.file.as_deref().map(shown),
            result: state.result.clone(),
            error: state.error.clone(),
            fault: state.fault.map(fault_name),
        }
    }

    /// Does it; whatever happens, it has ended then.
    fn run(&self, serving: &Serving) {
        let mut goes = false;
        self.change(|state| {
            goes = state.phase == Phase::Waiting;
            if goes {
                state.phase = Phase::Running;
                state.started = Some(now());
            }
        });
        if !goes {
            return;
        }
        let done =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.carry_out(serving)));
        self.change(|state| match done {
            Ok(Ok((result, stopped))) => {
                state.result = Some(result);
                state.end(if stopped { Phase::Stopped } else { Phase::Done });
            }
            Ok(Err(error)) => {
                state.error = Some(error.to_string());
                state.fault = Some(error.fault());
                state.end(Phase::Failed);
            }
            Err(_) => {
                state.error =
                    Some("it was cut off by a panic, which is in the server's log".into());
                state.fault = Some(Fault::Bug);
                state.end(Phase::Failed);
            }
        });
    }

    fn carry_out(&self, serving: &Serving) -> Result<(wire::JobResult, bool), EngineError> {
        let tell = |progress: &Progress, path: &Path| {
            self.change(|state| {
                state.progress = Some(progress.clone());
                state.file = Some(path.into());
            });
        };
        let report = match &self.order {
            Order::Index { paths, options, only_there } => serving.run(|engine| {
                if *only_there {
                    paths.iter().chain(&options.captions).try_for_each(|path| unmoved(path))?;
                    paths.iter().try_for_each(|path| as_left_out(engine, path, options))?;
                }
                engine.index(paths, options, &tell, &self.stop)
            })?,
            Order::Retry { paths, memory } => {
                serving.run(|engine| engine.retry(paths, *memory, &tell, &self.stop))?
            }
            Order::Remove { paths } => {
                let result = serving.run(|engine| removed(engine, paths, &self.stop))?;
                let stopped = result.removed.is_none();
                return Ok((result, stopped));
            }
            Order::Use { model, options } => {
                let used = serving.use_model(&model.towers, options, &tell, &self.stop)?;
                self.change(|state| state.progress = Some(used.progress.clone()));
                let stopped = used.outcome == Outcome::Stopped;
                let result = wire::JobResult {
                    used: Some(wire::Used::new(&used, MOST_LISTED)),
                    ..wire::JobResult::default()
                };
                return Ok((result, stopped));
            }
        };
        self.change(|state| state.progress = Some(report.progress.clone()));
        Ok((result_of(&report), report.stopped))
    }
}

impl State {
    fn end(&mut self, phase: Phase) {
        self.phase = phase;
        self.ended = Some(now());
        self.file = None;
    }
}

fn fault_name(fault: Fault) -> &'static str {
    match fault {
        Fault::User | Fault::NotFound => "user",
        Fault::Busy => "busy",
        Fault::Environment => "environment",
        Fault::Bug => "bug",
    }
}

/// Insists that a path, which was a real one when it was asked for, has not become a link
/// since: that may lead anywhere.
fn unmoved(path: &Path) -> Result<(), EngineError> {
    if fs_err::canonicalize(path)? == path {
        return Ok(());
    }
    Err(EngineError::Invalid(format!(
        "{} is not where it was when this was asked for: it, or a folder around it, is a link now",
        path.display()
    )))
}

/// Insists that the owner has not indexed a folder with other options since it was asked for.
fn as_left_out(engine: &Engine, path: &Path, options: &IndexOptions) -> Result<(), EngineError> {
    let now = engine.options_of(path)?;
    let all = now.exclude.iter().all(|glob| options.exclude.contains(glob));
    if all && now.follow_links == options.follow_links {
        return Ok(());
    }
    Err(EngineError::Invalid(format!(
        "{} was indexed with other options since this was asked for; ask again",
        path.display()
    )))
}

fn removed(
    engine: &Engine,
    paths: &[PathBuf],
    stop: &AtomicBool,
) -> Result<wire::JobResult, EngineError> {
    let Some(removed) = engine.remove(paths, stop)? else {
        return Ok(wire::JobResult::default());
    };
    // A folder around what was forgotten would bring it back.
    let roots = engine.roots()?.into_iter();
    let within = roots.filter(|root| paths.iter().any(|path| path.starts_with(root)));
    Ok(wire::JobResult {
        removed: Some(removed),
        within: within.map(|root| shown(&root)).collect(),
        ..wire::JobResult::default()
    })
}

fn result_of(report: &IndexReport) -> wire::JobResult {
    let first = report.failures.len().min(MOST_LISTED);
    wire::JobResult {
        report: Some(report.into()),
        failures: wire::FailureList::new(&report.failures[..first]).failures,
        unmatched: report.unmatched.iter().take(MOST_LISTED).map(|path| shown(path)).collect(),
        unmatched_count: report.unmatched.len(),
        ..wire::JobResult::default()
    }
}

/// Does one job of a lane after the other, until the server ends.
fn work(shared: &Shared, lane: Lane) {
    loop {
        let mut list = locked(&shared.list);
        let job = loop {
            if shared.closing.load(Ordering::Relaxed) {
                return;
            }
            let next = list
                .jobs
                .iter()
                .find(|job| job.order.lane() == lane && job.phase() == Phase::Waiting);
            if let Some(job) = next {
                break Arc::clone(job);
            }
            list = shared.wake.wait(list).unwrap_or_else(PoisonError::into_inner);
        };
        drop(list);
        job.run(&shared.serving);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_place_that_became_a_link_is_another_place() {
        let dir = tempfile::tempdir().expect("tempdir");
        let home = fs_err::canonicalize(dir.path()).expect("there");
        let (folder, other) = (home.join("folder"), home.join("other"));
        fs_err::create_dir_all(folder.join("sub")).expect("made");
        fs_err::create_dir_all(other.join("sub")).expect("made");
        unmoved(&folder.join("sub")).expect("where it was");
        fs_err::remove_dir_all(&folder).expect("removed");
        std::os::unix::fs::symlink(&other, &folder).expect("linked");
        let refused = unmoved(&folder.join("sub")).expect_err("elsewhere");
        assert_eq!(refused.fault(), Fault::User, "{refused}");
    }
}
