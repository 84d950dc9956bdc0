//! `ek eval`.

use std::io::IsTerminal;

use ekphrasis_engine::eval::{EvalOptions, EvalReport, RetrievalScore, evaluate};
use serde_json::json;

use super::{Done, config, cores, towers};
use crate::cli::{EvalArgs, Global};
use crate::failure::Failure;
use crate::output;

pub(super) fn eval(global: &Global, args: &EvalArgs) -> Result<Done, Failure> {
    let config = config(global)?;
    let towers = towers(global, &config, cores())?;
    let options = EvalOptions { split: args.split.clone(), templates: args.template.clone() };
    let show = !global.quiet && std::io::stderr().is_terminal();
    let report = evaluate(&*towers, &args.pairs, &options, &|done, total| {
        if show && (done % 50 == 0 || done == total) {
            eprint_progress(done, total);
        }
    })?;
    for (path, reason) in &report.failed {
        output::note(&format!("not used: {}: {reason}", path.display()));
    }
    if global.json {
        output::json(&as_json(&report))?;
    } else {
        table(&report)?;
    }
    Ok(if report.failed.is_empty() { Done::Well } else { Done::NothingOrPartly })
}

#[expect(clippy::print_stderr, reason = "a line that is rewritten in place")]
fn eprint_progress(done: usize, total: usize) {
    eprint!("\r\x1b[K{done} of {total} pictures{}", if done == total { "\r\x1b[K" } else { "" });
}

fn as_json(report: &EvalReport) -> serde_json::Value {
    let direction = |s: &RetrievalScore| {
        json!({
            "queries": s.queries, "candidates": s.candidates,
            "recall@1": s.recall_at_1, "recall@5": s.recall_at_5, "recall@10": s.recall_at_10,
            "median_rank": s.median_rank,
        })
    };
    json!({
        "pictures": report.pictures,
        "failed": report.failed.len(),
        "text_to_image": direction(&report.text_to_image),
        "image_to_text": direction(&report.image_to_text),
        "rsum": report.rsum(),
        "zero_shot": {
            "classes": report.zero_shot.classes,
            "top_1": report.zero_shot.top_1, "top_5": report.zero_shot.top_5,
        },
    })
}

fn table(report: &EvalReport) -> Result<(), Failure> {
    output::line("                 queries   over     R@1     R@5    R@10   median rank")?;
    for (name, s) in
        [("text → image", &report.text_to_image), ("image → text", &report.image_to_text)]
    {
        output::line(&format!(
            "{name:<15} {:>8} {:>6}   {:.3}   {:.3}   {:.3}   {:>11}",
            s.queries, s.candidates, s.recall_at_1, s.recall_at_5, s.recall_at_10, s.median_rank
        ))?;
    }
    output::line(&format!("rsum {:.1} of 600; ties count against the model", report.rsum()))?;
    let z = &report.zero_shot;
    output::line(&format!(
        "zero-shot over {} classes: top-1 {:.3}, top-5 {:.3}",
        z.classes, z.top_1, z.top_5
    ))
}
