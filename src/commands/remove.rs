//! `ek remove`.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use super::index::absolute;
use super::{Done, config, open_to_write};
use crate::cli::{Global, RemoveArgs};
use crate::failure::Failure;
use crate::forward::{Forward, texts};
use crate::output::{self, count, printable};

pub(super) fn remove(global: &Global, args: &RemoveArgs) -> Result<Done, Failure> {
    let config = config(global)?;
    let paths = absolute(&args.paths)?;
    if let Some(server) = Forward::to_holder(&config) {
        let order = serde_json::json!({ "action": "remove", "paths": texts(&paths)? });
        let job = server.run(global, &order)?;
        if job.stopped {
            output::note("stopped; nothing was forgotten");
            return Ok(Done::NothingOrPartly);
        }
        let within = job.within().into_iter().map(PathBuf::from).collect::<Vec<_>>();
        return tell(global, job.removed(), &within);
    }
    let engine = open_to_write(global, &config, "ek remove", None)?;
    // Nothing else goes on in this process, so nothing is waited for.
    let removed = engine.remove(&paths, &AtomicBool::new(false))?.unwrap_or_default();
    // A folder around what was forgotten would bring it back.
    let around =
        engine.roots()?.into_iter().filter(|root| paths.iter().any(|p| p.starts_with(root)));
    tell(global, removed, &around.collect::<Vec<_>>())
}

fn tell(global: &Global, removed: u64, around: &[PathBuf]) -> Result<Done, Failure> {
    if global.json {
        let roots: Vec<_> = around.iter().map(|root| root.to_string_lossy()).collect();
        output::json(&serde_json::json!({ "removed": removed, "within": roots }))?;
    } else if !global.quiet {
        output::line(&format!(
            "{} forgotten; no file was touched",
            count(removed, "item", "items")
        ))?;
        for root in around {
            output::note(&format!(
                "the next run over {} takes up again what is still there; \
                 name it in an .ekignore there, or leave it out by --exclude",
                printable(&root.to_string_lossy())
            ));
        }
    }
    Ok(if removed == 0 { Done::NothingOrPartly } else { Done::Well })
}
