//! Given the ledger of what could not be indexed, can it be now? Tries exactly
//! those files again, whatever was found out about them before.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use ekphrasis_index::Failure;

use super::captions::Captions;
use super::walk::Walker;
use super::{IndexOptions, IndexReport, OnProgress, Stop, run};
use crate::{Engine, EngineError};

impl Engine {
    /// Tries again what the ledger names, or of that what lies at or below `paths` if
    /// there are any. Each file is taken with the options that its folder was indexed
    /// with, and ignored where a run over that folder ignores it by now; `memory`,
    /// `workers` as in [`IndexOptions`].
    ///
    /// A line whose file is gone leaves the ledger, unless its folder is gone too (a
    /// disk may be missing). Files that are tried count as in [`Engine::index`].
    ///
    /// # Errors
    /// Where store or model fail. A file that fails again is no error; it is in the report.
    pub fn retry(
        &self,
        paths: &[PathBuf],
        memory: Option<u64>,
        on_progress: OnProgress<'_>,
        stop: &AtomicBool,
    ) -> Result<IndexReport, EngineError> {
        self.running(stop, || self.retry_in_turn(paths, memory, on_progress, stop))
    }

    fn retry_in_turn(
        &self,
        paths: &[PathBuf],
        memory: Option<u64>,
        on_progress: OnProgress<'_>,
        stop: &AtomicBool,
    ) -> Result<IndexReport, EngineError> {
        let mut failures = self.store.failures()?;
        if !paths.is_empty() {
            failures.retain(|f| paths.iter().any(|path| f.path.starts_with(path)));
        }
        let roots = self.store.roots()?;
        let mut whole = IndexReport::default();
        let (mut groups, mut gone) = (BTreeMap::<PathBuf, Vec<PathBuf>>::new(), Vec::new());
        for failure in failures {
            match standing(&failure.path) {
                Standing::There => {
                    let base = base_of(&failure.path, &roots);
                    groups.entry(base).or_default().push(failure.path);
                }
                Standing::Gone => gone.push(failure.path),
                Standing::Unknown => keep(&mut whole, failure),
            }
        }
        self.store.clear_failures(&gone)?;
        for (base, paths) in groups {
            let options = IndexOptions { memory, ..self.options_of(&base)? };
            let spare = self.roots_within(&paths)?;
            let walker = Walker::only(&paths, base, spare, &options, &self.data)?;
            let plan = run::Plan {
                roots: &paths,
                walker,
                judged: HashMap::new(),
                captions: &Captions::default(),
                options: &options,
                whole: false,
            };
            add(&mut whole, self.run(plan, on_progress, &Stop::new(stop))?);
            if whole.stopped {
                break;
            }
        }
        Ok(whole)
    }
}

/// What lies where a failure was.
enum Standing {
    There,
    /// Its folder is there and it is not in it.
    Gone,
    /// Its folder is not there either, or it is a link, which is met by walking only.
    Unknown,
}

fn standing(path: &Path) -> Standing {
    match fs_err::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => Standing::Unknown,
        Ok(_) => Standing::There,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            if path.parent().is_some_and(Path::is_dir) {
                Standing::Gone
            } else {
                Standing::Unknown
            }
        }
        // Trying will say what is wrong.
        Err(_) => Standing::There,
    }
}

/// The innermost root that a path lies in, or its folder.
fn base_of(path: &Path, roots: &[PathBuf]) -> PathBuf {
    let around = roots.iter().filter(|root| path.starts_with(root));
    let innermost = around.max_by_key(|root| root.components().count());
    innermost.cloned().unwrap_or_else(|| path.parent().unwrap_or(path).to_path_buf())
}

/// A line that stays as it is.
fn keep(report: &mut IndexReport, failure: Failure) {
    report.progress.seen += 1;
    report.progress.failed += 1;
    report.progress.still_failing += 1;
    report.failures.push(failure);
}

fn add(whole: &mut IndexReport, part: IndexReport) {
    let (sum, add) = (&mut whole.progress, &part.progress);
    sum.seen += add.seen;
    sum.indexed += add.indexed;
    sum.unchanged += add.unchanged;
    sum.removed += add.removed;
    sum.failed += add.failed;
    sum.still_failing += add.still_failing;
    sum.reused += add.reused;
    sum.moved += add.moved;
    sum.seconds += add.seconds;
    whole.failures.extend(part.failures);
    whole.stopped |= part.stopped;
    whole.stages.add(&part.stages);
}
