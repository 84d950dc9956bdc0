//! `ek eval --confidence`: can its probabilities be believed?

use std::fmt::Write as _;
use std::path::Path;

use ekphrasis_engine::confidence::{ConfidenceReport, SetsBelieved, Signal};
use ekphrasis_engine::eval::{ReliabilityBin, calibration_error};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output;

pub(super) fn as_json(r: &ConfidenceReport) -> Value {
    let signals = |all: &[Signal]| -> Vec<Value> {
        all.iter()
            .map(|s| json!({"signal": s.name, "auroc": s.auroc.0, "auroc_sd": s.auroc.1}))
            .collect()
    };
    let bins = |all: &[ReliabilityBin]| {
        let bins: Vec<Value> = all
            .iter()
            .map(|b| json!({"said": b.said, "came_true": b.came_true, "count": b.count}))
            .collect();
        json!({"ece": calibration_error(all), "bins": bins})
    };
    let odd: Vec<Value> = r
        .odd
        .iter()
        .map(|o| {
            json!({"queries": o.name, "count": o.count, "best_cosine": o.best,
                "probability": o.probability, "good": o.good, "nothing": o.nothing})
        })
        .collect();
    json!({
        "pictures": r.over.0, "captions": r.over.1, "concepts": r.over.2,
        "library": r.library, "draws": r.draws, "base_rate": r.base_rate, "failed": r.failed,
        "words": signals(&r.signals), "by_picture": signals(&r.by_picture),
        "anything": bins(&r.anything),
        "anything_keywords_indexed": bins(&r.anything_with_words),
        "anything_by_picture": bins(&r.anything_by_picture),
        "hits": bins(&r.hits),
        "hits_auroc": {"cosine": r.hits_auroc.0, "learned": r.hits_auroc.1},
        "hits_keywords_indexed": bins(&r.hits_with_words),
        "hits_keywords_indexed_auroc": r.hits_with_words_auroc,
        "without_an_answer": odd,
        "labels": r.labels.as_ref().map(|l| json!({
            "things": l.things,
            "one_fits": bins(&l.any), "one_fits_auroc": l.any_auroc,
            "chosen": bins(&l.chosen), "chosen_auroc": l.chosen_auroc,
            "each_by_itself": bins(&l.each), "each_by_itself_auroc": l.each_auroc,
            "by_labels": l.by_labels.iter().map(of_size).collect::<Vec<_>>(),
        })),
    })
}

/// Label sets of one size.
fn of_size(s: &SetsBelieved) -> Value {
    json!({
        "labels": s.labels, "one_fits_ece": s.any_error, "chosen_ece": s.chosen_error,
        "each_by_itself_ece": s.each_error,
        "most_probable": s.first.map(|(said, came_true)| json!({"said": said, "came_true": came_true})),
    })
}

pub(super) fn table(r: &ConfidenceReport) -> Result<(), Failure> {
    output::line(&format!(
        "confidence: {} pictures, {} captions, {} concepts; half of the concepts out of the library \
         ({:.0} pictures), {:.0} % of the queries have something to find, {} draws",
        r.over.0,
        r.over.1,
        r.over.2,
        r.library,
        r.base_rate * 100.0,
        r.draws
    ))?;
    output::line("does anything match?                    AUROC   sd over draws   ECE (15 bins)")?;
    let row = |s: &Signal, ece: Option<f64>| {
        let ece = ece.map_or_else(String::new, |e| format!("{e:.3}"));
        output::line(&format!("  {:<36}  {:.3}   {:>13.3}   {ece}", s.name, s.auroc.0, s.auroc.1))
    };
    for signal in &r.signals {
        row(
            signal,
            match signal.name {
                "learned" => Some(calibration_error(&r.anything)),
                "learned, keywords indexed" => Some(calibration_error(&r.anything_with_words)),
                _ => None,
            },
        )?;
    }
    output::line("asked by a picture")?;
    for signal in &r.by_picture {
        let learned = signal.name == "learned";
        row(signal, learned.then(|| calibration_error(&r.anything_by_picture)))?;
    }
    output::line(&format!(
        "does this hit match? (first ten)  cosine AUROC {:.3}, learned {:.3}, ECE {:.3}",
        r.hits_auroc.0,
        r.hits_auroc.1,
        calibration_error(&r.hits)
    ))?;
    output::line(&format!(
        "  keywords indexed, and found by all words, too     learned {:.3}, ECE {:.3}",
        r.hits_with_words_auroc,
        calibration_error(&r.hits_with_words)
    ))?;
    output::line(
        "queries without an answer         count   best cosine   mean p   “good”   “nothing”",
    )?;
    for o in &r.odd {
        output::line(&format!(
            "  {:<30}  {:>5}   {:>11.3}   {:.3}   {:>5.0} %   {:>6.0} %",
            o.name,
            o.count,
            o.best,
            o.probability,
            o.good * 100.0,
            o.nothing * 100.0
        ))?;
    }
    if let Some(l) = &r.labels {
        output::line(&format!(
            "drawn label sets of {} things                AUROC   ECE",
            l.things
        ))?;
        output::line(&format!(
            "  one of the labels fits                      {:.3}   {:.3}",
            l.any_auroc,
            calibration_error(&l.any)
        ))?;
        output::line(&format!(
            "  the best label, where one is chosen         {:.3}   {:.3}",
            l.chosen_auroc,
            calibration_error(&l.chosen)
        ))?;
        if !l.each.is_empty() {
            output::line(&format!(
                "  a label by itself (--multi)                 {:.3}   {:.3}",
                l.each_auroc,
                calibration_error(&l.each)
            ))?;
        }
        output::line(
            "  labels of a set   ECE: one fits   chosen   by itself   most probable: said   fits",
        )?;
        for s in &l.by_labels {
            let or_none = |v: Option<f64>| v.map_or_else(|| "-".into(), |v| format!("{v:.3}"));
            output::line(&format!(
                "  {:>15}   {:>13.3}   {:>6.3}   {:>9}   {:>19}   {}",
                s.labels,
                s.any_error,
                s.chosen_error,
                or_none(s.each_error),
                or_none(s.first.map(|f| f.0)),
                or_none(s.first.map(|f| f.1))
            ))?;
        }
    }
    Ok(())
}

/// A page of its own with the reliability diagrams.
pub(super) fn page(r: &ConfidenceReport, to: &Path) -> Result<(), Failure> {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Confidence</title>\
         <style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;\
         padding:0 1rem}figure{display:inline-block;margin:1rem}td,th{padding:.2rem .8rem;\
         text-align:right}td:first-child,th:first-child{text-align:left}</style>\
         <h1>Can the probabilities be believed?</h1>",
    );
    let _ = write!(
        html,
        "<p>{} pictures, {} captions, {} concepts; half of the concepts out of the library, {:.0} % of \
         the queries have something to find; {} draws. Each dot is a fifteenth of the answers: what \
         was said, and how often it came true. On the line they agree.</p>",
        r.over.0,
        r.over.1,
        r.over.2,
        r.base_rate * 100.0,
        r.draws
    );
    let labels = r.labels.iter().flat_map(|labels| {
        [
            ("One of the labels fits", &labels.any),
            ("The best label, where one is chosen, fits", &labels.chosen),
            ("A label by itself fits", &labels.each),
        ]
    });
    let diagrams = [
        ("Anything matches, asked in words", &r.anything),
        ("The same, keywords indexed", &r.anything_with_words),
        ("Anything matches, asked by a picture", &r.anything_by_picture),
        ("This hit matches (first ten)", &r.hits),
    ];
    for (name, bins) in diagrams.into_iter().chain(labels).filter(|(_, bins)| !bins.is_empty()) {
        let _ = write!(
            html,
            "<figure>{}<figcaption>{name}: ECE {:.3}</figcaption></figure>",
            diagram(bins),
            calibration_error(bins)
        );
    }
    html.push_str("<table><tr><th>Asked in words</th><th>AUROC</th><th>sd</th></tr>");
    for s in &r.signals {
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{:.3}</td><td>{:.3}</td></tr>",
            s.name, s.auroc.0, s.auroc.1
        );
    }
    html.push_str("</table></html>");
    fs_err::write(to, html).map_err(|e| Failure::Environment(e.to_string()))
}

/// What was said from left to right, what came true from bottom to top.
fn diagram(bins: &[ReliabilityBin]) -> String {
    let (x, y) = (|v: f64| 40.0 + v * 240.0, |v: f64| 260.0 - v * 240.0);
    let mut svg = String::from(
        "<svg width=\"300\" height=\"300\" role=\"img\" aria-label=\"reliability diagram\">\
         <rect x=\"40\" y=\"20\" width=\"240\" height=\"240\" fill=\"none\" stroke=\"#888\"/>\
         <line x1=\"40\" y1=\"260\" x2=\"280\" y2=\"20\" stroke=\"#888\" stroke-dasharray=\"4\"/>\
         <text x=\"160\" y=\"292\" text-anchor=\"middle\">said</text>\
         <text x=\"14\" y=\"140\" text-anchor=\"middle\" transform=\"rotate(-90 14 140)\">came true</text>",
    );
    for v in [0.0, 0.5, 1.0] {
        let _ = write!(
            svg,
            "<text x=\"{:.0}\" y=\"276\" text-anchor=\"middle\" font-size=\"11\">{v}</text>\
             <text x=\"36\" y=\"{:.0}\" text-anchor=\"end\" font-size=\"11\">{v}</text>",
            x(v),
            y(v) + 4.0
        );
    }
    for b in bins {
        let _ = write!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"#2563eb\"><title>said {:.2}, came true {:.2}, {} answers</title></circle>",
            x(b.said),
            y(b.came_true),
            b.said,
            b.came_true,
            b.count
        );
    }
    svg.push_str("</svg>");
    svg
}
