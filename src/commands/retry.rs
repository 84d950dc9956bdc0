//! `ek retry`.

use super::index::{absolute, tell};
use super::{Done, config, open_to_write, stop_on_interrupt};
use crate::cli::{Global, RetryArgs};
use crate::failure::Failure;
use crate::output::{self, ProgressLine};

pub(super) fn retry(global: &Global, args: &RetryArgs) -> Result<Done, Failure> {
    let config = config(global)?;
    let engine = open_to_write(global, &config, "ek retry", None)?;
    super::warn(&engine);
    let stop = stop_on_interrupt()?;
    let paths = absolute(&args.paths)?;
    let shown = ProgressLine::new(global);
    let result = engine.retry(&paths, args.memory.memory, &|p, path| shown.show(p, path), &stop);
    shown.clear();
    let report = result?;
    if report.progress.seen == 0 && !report.stopped && !global.json && !global.quiet {
        output::line("nothing to try again: the ledger names no file that is there")?;
    } else {
        tell(global, &report)?;
    }
    let partly = report.progress.failed > 0 || report.stopped;
    Ok(if partly { Done::NothingOrPartly } else { Done::Well })
}
