//! `ek doctor`.

use ekphrasis_engine::diagnose;

use super::{Done, config};
use crate::cli::Global;
use crate::failure::Failure;
use crate::output;

pub(super) fn doctor(global: &Global) -> Result<Done, Failure> {
    let config = config(global)?;
    let quiet = global.quiet;
    let checks = diagnose(&config, move |line| {
        if !quiet {
            output::note(line);
        }
    });
    if global.json {
        let checks: Vec<_> = checks
            .iter()
            .map(|c| serde_json::json!({ "name": c.name, "ok": c.ok, "detail": c.detail }))
            .collect();
        output::json(&serde_json::json!({ "checks": checks }))?;
    } else {
        for check in &checks {
            let mark = if check.ok { "ok  " } else { "BAD " };
            output::line(&format!("{mark} {:<13} {}", check.name, check.detail))?;
        }
    }
    match checks.iter().find(|c| !c.ok) {
        None => Ok(Done::Well),
        Some(bad) => Err(Failure::Environment(format!("{} is not as it should be", bad.name))),
    }
}
