//! `ek copy`.

use std::io::{IsTerminal, Write};

use ekphrasis_engine::{CopyOptions, CopyReport};
use serde_json::json;

use super::stores::store_at;
use super::{Done, config, stop_on_interrupt};
use crate::cli::{CopyArgs, Global};
use crate::failure::Failure;
use crate::output::{self, count};

/// Items left out that are shown.
const SHOWN: usize = 10;

pub(super) fn copy(global: &Global, args: &CopyArgs) -> Result<Done, Failure> {
    let config = config(global)?;
    let (from, to) = (store_at(&args.from, &config)?, store_at(&args.to, &config)?);
    if from.name() == to.name() {
        return Err(Failure::Usage(format!("--from and --to are both {}", from.name())));
    }
    let stop = stop_on_interrupt()?;
    let show = !global.quiet && std::io::stderr().is_terminal();
    let options = CopyOptions { queries: args.queries };
    let on_progress = |seen: u64, all: u64| {
        if show {
            let wiped = if seen == all { "\r\x1b[K" } else { "" };
            let _ = write!(std::io::stderr(), "\r\x1b[K{seen} of {all} items{wiped}");
        }
    };
    let report = from.copy_to(&to, &options, &on_progress, &stop)?;
    if !global.quiet {
        for (id, why) in report.left_out.iter().take(SHOWN) {
            output::note(&format!("not copied: {id}: {why}"));
        }
        if report.left_out.len() > SHOWN {
            output::note(&format!("… and {} more", report.left_out.len() - SHOWN));
        }
        for id in report.differing.iter().take(SHOWN) {
            output::note(&format!("not there as it was written: {id}"));
        }
    }
    if global.json {
        let left_out: Vec<_> = report
            .left_out
            .iter()
            .map(|(id, why)| json!({ "id": id.to_string(), "reason": why }))
            .collect();
        let differing: Vec<_> = report.differing.iter().map(ToString::to_string).collect();
        output::json(&json!({
            "seen": report.seen,
            "copied": report.copied,
            "unchanged": report.unchanged,
            "left_out": left_out,
            "there": report.there,
            "differing": differing,
            "recall": report.recall,
            "queries": report.queries,
            "stopped": report.stopped,
            "whole": report.is_whole(),
            "seconds": report.seconds,
        }))?;
    } else if !global.quiet {
        output::line(&sentence(&report))?;
    }
    Ok(if report.is_whole() { Done::Well } else { Done::NothingOrPartly })
}

fn sentence(report: &CopyReport) -> String {
    let mut text = format!(
        "{} copied, {} there already, in {:.1} s; the copy has {}",
        count(report.copied, "item", "items"),
        report.unchanged,
        report.seconds,
        count(report.there, "item", "items"),
    );
    if report.others() > 0 {
        text.push_str(&format!(", {} of its own among them", report.others()));
    }
    match report.recall {
        Some(recall) => text.push_str(&format!(
            " and finds {:.1} % of the true ten nearest of {}",
            recall * 100.0,
            count(report.queries as u64, "query", "queries")
        )),
        None if report.stopped => {
            text.push_str("; stopped before the end, the same command goes on");
        }
        None => text.push_str("; how much it finds was not measured"),
    }
    text
}
