//! The whole page.

use std::fmt::Write;

use super::data::{Exported, Report};
use super::escape::escape;
use super::number::{NONE, count, duration, fixed, of, short};
use super::{charts, examples, scores, similarity, verdict};

const STYLE: &str = include_str!("style.css");

/// The page as one file's text: HTML that is also well-formed XML after its first
/// line, with style and pictures inside. At most a few MB: pictures beyond 12 MB
/// are left away, which the page says.
pub fn html(report: &Report) -> String {
    let title = escape(if report.title.is_empty() { "Training" } else { &report.title });
    let mut budget = examples::Budget::default();
    let mut out =
        String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>");
    // Should an escape ever be missing, nothing runs and nothing is fetched all the same.
    out.push_str(r#"<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"/>"#);
    out.push_str(r#"<meta name="viewport" content="width=device-width, initial-scale=1"/><meta name="color-scheme" content="light dark"/>"#);
    let _ = write!(out, "<title>{title}</title><style>{STYLE}</style></head><body><main>");
    header(&mut out, report, &title);
    findings(&mut out, report);
    section(&mut out, "scores", "Before and after", &{
        let mut part = scores::section(&report.scores);
        if !report.intervals.is_empty() && !report.scores.is_empty() {
            let _ = write!(part, r#"<p class="quiet">{}</p>"#, escape(&report.intervals));
        }
        part
    });
    out.push_str(&examples::section(report, &mut budget));
    out.push_str(&budget.note());
    if let Some((before, after)) = &report.similarity {
        section(
            &mut out,
            "similarity",
            "Similarity of held-out pairs",
            &similarity::section(before, after),
        );
    }
    let ending = format!(r#"<p class="quiet">{}</p>"#, escape(&report.ending));
    section(&mut out, "training", "Training", &(ending + &charts::section(report)));
    section(&mut out, "data", "Data", &data(report));
    if let Some(export) = &report.export {
        section(&mut out, "export", "Exported", &exported(export));
    }
    section(&mut out, "run", "Run", &run(report));
    out + "</main></body></html>\n"
}

fn section(out: &mut String, id: &str, name: &str, inner: &str) {
    let _ = write!(
        out,
        r#"<section aria-labelledby="{id}"><h2 id="{id}">{name}</h2>{inner}</section>"#
    );
}

fn header(out: &mut String, report: &Report, title: &str) {
    let (judgement, reason) = verdict::trust(report);
    let _ = write!(out, r#"<header><h1>{title}</h1><p class="lead">"#);
    let data = &report.data;
    let _ = write!(
        out,
        "Trained {}{} on {} from {}.</p>",
        escape(if report.model.is_empty() { "a model" } else { &report.model }),
        if report.loss.is_empty() {
            String::new()
        } else {
            format!(" with {}", escape(&report.loss))
        },
        of(data.pairs, "pair"),
        escape(if data.source.is_empty() { "an unnamed source" } else { &data.source }),
    );
    let _ = write!(
        out,
        r#"<p class="result">{}</p><p class="trust"><strong>{judgement}</strong> {}</p></header>"#,
        escape(&verdict::outcome(report)),
        escape(&reason)
    );
}

fn findings(out: &mut String, report: &Report) {
    if report.findings.is_empty() {
        return;
    }
    let mut list = String::from(r#"<ul class="findings">"#);
    for finding in &report.findings {
        let _ = write!(
            list,
            "<li><strong>{}</strong> {}</li>",
            escape(&finding.what),
            escape(&finding.advice)
        );
    }
    section(out, "findings", "Worth a look", &(list + "</ul>"));
}

fn data(report: &Report) -> String {
    let data = &report.data;
    let mut out = String::from(
        r#"<div class="scroll"><table class="plain"><thead><tr><th scope="col">Part</th><th scope="col">Pairs</th><th scope="col">Pictures</th><th scope="col">Groups</th></tr></thead><tbody>"#,
    );
    let rows = data.splits.iter().map(|s| (s.name.as_str(), s.pairs, s.pictures, s.groups));
    for (name, pairs, pictures, groups) in
        rows.chain([("all", data.pairs, data.pictures, data.groups)])
    {
        let _ = write!(
            out,
            r#"<tr><th scope="row">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>"#,
            escape(name),
            count(pairs),
            count(pictures),
            count(groups)
        );
    }
    out + r#"</tbody></table></div><p class="quiet">Pictures and captions of one group show the same thing: they are never each other's negatives, and a group lies in one part only.</p>"#
}

fn facts(rows: &[(&str, String)]) -> String {
    let mut out = String::from(r#"<dl class="facts">"#);
    for (name, value) in rows {
        let _ = write!(out, "<dt>{name}</dt><dd>{}</dd>", escape(value));
    }
    out + "</dl>"
}

fn exported(export: &Exported) -> String {
    facts(&[
        ("Folder", export.folder.clone()),
        ("Space", export.space.clone()),
        ("Pair", export.pair.clone()),
        ("Dimensions", export.dim.to_string()),
        ("Margin", export.margin.map_or_else(|| NONE.into(), short)),
        ("Trainer and runtime differ by at most", short(export.parity)),
    ])
}

fn run(report: &Report) -> String {
    let last = report.epochs.last();
    let mut out = facts(&[
        ("Time", duration(report.seconds)),
        ("Epochs", last.map_or(0, |e| e.epoch).to_string()),
        ("Steps", last.map_or_else(|| "0".into(), |e| count(e.step as usize))),
        ("Epoch time, mean", {
            let trained: Vec<f64> =
                report.epochs.iter().filter(|e| e.epoch > 0).map(|e| e.seconds).collect();
            let mean = trained.iter().sum::<f64>() / trained.len() as f64;
            if mean.is_finite() { format!("{} s", fixed(mean, 2)) } else { NONE.into() }
        }),
        ("Seed", report.seed.to_string()),
        ("Threads", report.threads.to_string()),
    ]);
    if !report.config.is_empty() {
        let _ = write!(
            out,
            "<details><summary>Configuration</summary><pre>{}</pre></details>",
            escape(&report.config)
        );
    }
    out
}
