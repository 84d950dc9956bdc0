//! Given folders that were indexed, how does the store follow what happens in
//! them? The system's change notices, gathered for a moment, and a sweep now
//! and then for what the notices miss.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use notify::{RecursiveMode, Watcher};

use crate::{EngineError, IndexReport, Serving};

/// Changes come in bursts: wait until it is quiet for this long.
const QUIET: Duration = Duration::from_millis(500);
/// … but not longer than this.
const AT_MOST: Duration = Duration::from_secs(10);
/// Network folders send no notices, and queues overflow.
const SWEEP: Duration = Duration::from_secs(600);
/// How often it is asked whether the graph is to be measured again.
const TEND: Duration = Duration::from_secs(60);
/// How soon a request to stop is noticed.
const TICK: Duration = Duration::from_millis(200);

/// What happened while watching.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchEvent {
    /// A change was taken in.
    Indexed(IndexReport),
    /// A run failed; the next change or sweep tries again.
    Failed(EngineError),
    /// A folder sends no change notices; only sweeps see its changes.
    SweepOnly(PathBuf, String),
}

/// Keeps `roots` indexed until `stop` is raised, each with the options it was
/// indexed with last; one that
/// [`Engine::remove`](crate::Engine::remove) forgets is left alone from then on.
///
/// # Errors
/// If the system's change notices cannot be had at all.
pub fn watch(
    serving: &Serving,
    roots: &[PathBuf],
    on_event: &dyn Fn(WatchEvent),
    stop: &AtomicBool,
) -> Result<(), EngineError> {
    let (sender, changes) = mpsc::channel();
    let handler = move |event: notify::Result<notify::Event>| {
        let _ = sender.send(match event {
            // Being read is no change; without this, indexing would wake itself.
            Ok(event) if event.kind.is_access() => return,
            Ok(event) => event.paths,
            // An overflow: look everywhere.
            Err(_) => Vec::new(),
        });
    };
    let mut watcher = notify::recommended_watcher(handler)
        .map_err(|e| EngineError::Io(std::io::Error::other(e.to_string())))?;
    for root in roots {
        if let Err(error) = watcher.watch(root, RecursiveMode::Recursive) {
            on_event(WatchEvent::SweepOnly(root.clone(), error.to_string()));
        }
    }
    let (mut last_sweep, mut last_tended) = (Instant::now(), Instant::now());
    // What changed before the notices began, while the folders were first indexed above all,
    // is seen by looking once.
    let mut sweep_now = true;
    while !stop.load(Ordering::Relaxed) {
        let mut touched: Vec<PathBuf> = Vec::new();
        match changes.recv_timeout(TICK) {
            Ok(paths) => {
                note(&mut touched, paths, roots);
                let since = Instant::now();
                while let Ok(paths) = changes.recv_timeout(QUIET) {
                    note(&mut touched, paths, roots);
                    if since.elapsed() > AT_MOST || stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            }
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TICK),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if last_tended.elapsed() > TEND {
            if let Err(error) = serving.current().tend_recall() {
                on_event(WatchEvent::Failed(error));
            }
            last_tended = Instant::now();
        }
        if std::mem::take(&mut sweep_now) || last_sweep.elapsed() > SWEEP {
            touched = roots.to_vec();
            last_sweep = Instant::now();
        }
        // A root that is not there (an unplugged disk) is not a folder of deleted files.
        touched.retain(|root| root.exists());
        if touched.is_empty() || stop.load(Ordering::Relaxed) {
            continue;
        }
        for root in touched {
            match serving.run(|engine| engine.follow(&root, stop)) {
                Ok(report) => {
                    let p = &report.progress;
                    if p.indexed + p.removed + p.failed > 0 {
                        on_event(WatchEvent::Indexed(report));
                    }
                }
                Err(error) => on_event(WatchEvent::Failed(error)),
            }
        }
    }
    Ok(())
}

/// Adds the roots that `paths` lie in; no paths mean all.
fn note(touched: &mut Vec<PathBuf>, paths: Vec<PathBuf>, roots: &[PathBuf]) {
    for root in roots {
        let hit = |path: &PathBuf| path.starts_with::<&Path>(root.as_ref());
        if !touched.contains(root) && (paths.is_empty() || paths.iter().any(hit)) {
            touched.push(root.clone());
        }
    }
}
