//! `ek retry`.

use serde_json::json;

use super::index::{absolute, tell, tell_of_job};
use super::{Done, config, open_to_write, stop_on_interrupt};
use crate::cli::{Global, RetryArgs};
use crate::failure::Failure;
use crate::forward::{Forward, texts};
use crate::output::{self, ProgressLine};

const NOTHING: &str = "nothing to try again: the ledger names no file that is there";

pub(super) fn retry(global: &Global, args: &RetryArgs) -> Result<Done, Failure> {
    let config = config(global)?;
    let paths = absolute(&args.paths)?;
    if let Some(server) = Forward::to_holder(&config) {
        let memory = args.memory.memory;
        let order = json!({ "action": "retry", "paths": texts(&paths)?, "memory": memory });
        let job = server.run(global, &order)?;
        if job.count("seen") == 0 && !job.stopped && !global.json && !global.quiet {
            output::line(NOTHING)?;
            return Ok(Done::Well);
        }
        return tell_of_job(global, &job);
    }
    let engine = open_to_write(global, &config, "ek retry", None)?;
    super::warn(&engine);
    let stop = stop_on_interrupt()?;
    let shown = ProgressLine::new(global);
    let result = engine.retry(&paths, args.memory.memory, &|p, path| shown.show(p, path), &stop);
    shown.clear();
    let report = result?;
    if report.progress.seen == 0 && !report.stopped && !global.json && !global.quiet {
        output::line(NOTHING)?;
    } else {
        tell(global, &report)?;
    }
    let partly = report.progress.failed > 0 || report.stopped;
    Ok(if partly { Done::NothingOrPartly } else { Done::Well })
}
