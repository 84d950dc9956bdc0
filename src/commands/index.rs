//! `ek index`.

use std::path::PathBuf;

use ekphrasis_engine::{IndexOptions, IndexReport, Serving, WatchEvent, watch};
use ekphrasis_web::wire;
use serde_json::json;

use super::{Done, config, open_to_write, shared, stop_on_interrupt};
use crate::cli::{Global, IndexArgs};
use crate::failure::Failure;
use crate::forward::{Ended, Forward, texts};
use crate::output::{self, ProgressLine, count, printable};

/// Reasons shown at the end of a run.
const SHOWN_FAILURES: usize = 20;
/// Runs from this many seconds on say where their time went.
const WORTH_A_LOOK: f64 = 2.0;

pub(super) fn index(global: &Global, args: &IndexArgs) -> Result<Done, Failure> {
    if let Some(store) = &args.worker.store.store {
        return shared::index(global, args, store);
    }
    let config = config(global)?;
    if !args.watch
        && let Some(server) = Forward::to_holder(&config)
    {
        return through(global, &server, args);
    }
    let engine = open_to_write(global, &config, "ek index", None)?;
    super::warn(&engine);
    let stop = stop_on_interrupt()?;
    let options = IndexOptions {
        captions: args.captions.clone(),
        exclude: args.exclude.clone(),
        follow_links: args.follow_links,
        check_content: args.check_content,
        workers: 0,
        memory: args.memory.memory,
    };
    let shown = ProgressLine::new(global);
    let result = engine.index(&args.dirs, &options, &|p, path| shown.show(p, path), &stop);
    shown.clear();
    let report = result?;
    tell(global, &report)?;
    if !report.stopped {
        engine.settle();
        if let Some(recall) = engine.tend_recall()?
            && !global.quiet
        {
            output::note(&super::recall::sentence(&recall));
        }
    }
    if args.watch && !report.stopped {
        if !global.quiet {
            output::note("watching for changes; Ctrl-C ends it");
        }
        let roots = absolute(&args.dirs)?;
        let serving = Serving::new(engine);
        watch(&serving, &roots, &|event| tell_event(global.quiet, &event), &stop)?;
    }
    let partly = report.progress.failed > 0 || report.stopped;
    Ok(if partly { Done::NothingOrPartly } else { Done::Well })
}

/// The same by the server that holds the store.
fn through(global: &Global, server: &Forward, args: &IndexArgs) -> Result<Done, Failure> {
    let captions = args.captions.as_ref().map(|file| absolute(std::slice::from_ref(file)));
    let order = json!({
        "action": "index",
        "paths": texts(&there(&args.dirs)?)?,
        "captions": captions.transpose()?.map(|files| texts(&files)).transpose()?.map(|f| f.concat()),
        "exclude": args.exclude,
        "follow_links": args.follow_links,
        "check_content": args.check_content,
        "memory": args.memory.memory,
    });
    tell_of_job(global, &server.run(global, &order)?)
}

/// What a job of the server did, as if it had been done here.
pub(super) fn tell_of_job(global: &Global, job: &Ended) -> Result<Done, Failure> {
    match (global.json, global.quiet) {
        (true, _) => output::json(&job.report)?,
        (false, false) => tell(global, &job.as_report())?,
        (false, true) => {}
    }
    let partly = job.count("failed") > 0 || job.stopped;
    Ok(if partly { Done::NothingOrPartly } else { Done::Well })
}

/// Real paths of what has to be there.
fn there(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    if let Some(missing) = paths.iter().find(|path| !path.exists()) {
        return Err(Failure::Usage(format!("there is no folder {}", missing.display())));
    }
    absolute(paths)
}

/// What a run did: JSON on standard output, or a sentence and the failures.
pub(super) fn tell(global: &Global, report: &IndexReport) -> Result<(), Failure> {
    tell_and(global, report, "; `ek status --failures` lists all")
}

/// The same, with what is said of failures that are not shown.
pub(super) fn tell_and(
    global: &Global,
    report: &IndexReport,
    more_are: &str,
) -> Result<(), Failure> {
    if !global.quiet {
        for failure in report.failures.iter().take(SHOWN_FAILURES) {
            let path = printable(&failure.path.to_string_lossy());
            output::note(&format!("not indexed: {path}: {}", printable(&failure.reason)));
        }
        if report.failures.len() > SHOWN_FAILURES {
            let more = report.failures.len() - SHOWN_FAILURES;
            output::note(&format!("… and {more} more{more_are}"));
        }
        if let Some(first) = report.unmatched.first() {
            output::note(&format!(
                "the captions name {} that {} not in the store; the first: {}",
                count(report.unmatched.len() as u64, "file", "files"),
                if report.unmatched.len() == 1 { "is" } else { "are" },
                printable(&first.to_string_lossy())
            ));
        }
        if report.progress.seconds >= WORTH_A_LOOK {
            output::note(&where_time_went(report));
        }
    }
    if global.json {
        return output::json(&wire::Indexed::from(report));
    }
    if !global.quiet {
        output::line(&sentence(report))?;
    }
    Ok(())
}

pub(super) fn sentence(report: &IndexReport) -> String {
    let p = &report.progress;
    let mut text = format!("{} indexed", count(p.indexed, "item", "items"));
    let copies = p.reused - p.moved;
    let known = [(p.moved, "moved"), (copies, "known by content")];
    let known: Vec<_> =
        known.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if !known.is_empty() {
        text.push_str(&format!(" ({}, not encoded again)", known.join(", ")));
    }
    for (n, what) in [(p.unchanged, "unchanged"), (p.removed, "forgotten"), (p.failed, "failed")] {
        if n > 0 {
            text.push_str(&format!(", {n} {what}"));
        }
    }
    if p.still_failing > 0 {
        let again = format!(" ({} unchanged and not tried; `ek retry` does)", p.still_failing);
        text.push_str(&again);
    }
    text.push_str(&format!(", in {:.1} s", p.seconds));
    if report.stopped {
        text.push_str("; stopped before the end, the next run goes on from here");
    }
    text
}

/// What limits a run: its stages, the longest first.
fn where_time_went(report: &IndexReport) -> String {
    let mut stages = report.stages.each();
    stages.sort_by(|a, b| b.1.total_cmp(&a.1));
    let shown = stages.iter().filter(|(_, seconds)| *seconds >= 0.05);
    let shown: Vec<_> = shown.map(|(name, seconds)| format!("{name} {seconds:.1} s")).collect();
    format!("where the time went, all threads together: {}", shown.join(", "))
}

pub(super) fn tell_event(quiet: bool, event: &WatchEvent) {
    match event {
        WatchEvent::Indexed(report) if !quiet => output::note(&sentence(report)),
        WatchEvent::Failed(error) => output::note(&format!("ek: {error}")),
        WatchEvent::SweepOnly(root, why) if !quiet => output::note(&format!(
            "{} sends no change notices ({why}); it is looked through every ten minutes",
            root.display()
        )),
        _ => {}
    }
}

/// The real paths of what was typed: items are known by those.
pub(super) fn absolute(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    paths
        .iter()
        .map(|path| {
            // A file that is gone has no real path, but may still be forgotten.
            std::fs::canonicalize(path)
                .or_else(|_| std::path::absolute(path))
                .map_err(|e| Failure::Usage(format!("{}: {e}", path.display())))
        })
        .collect()
}
