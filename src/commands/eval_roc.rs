//! `ek eval --verify`: what does each threshold accept? The points of the receiver operating
//! characteristic, and a page that draws them.

use std::fmt::Write as _;
use std::path::Path;

use ekphrasis_engine::eval::{RocPoint, VerificationReport};
use serde_json::{Value, json};

use crate::failure::Failure;

pub(super) fn as_json(roc: &[RocPoint]) -> Value {
    let point = |p: &RocPoint| {
        json!({
            // Before the first pair is accepted the threshold is beyond all scores.
            "threshold": p.threshold.is_finite().then_some(p.threshold),
            "false_accept_rate": p.far, "true_accept_rate": p.tar,
        })
    };
    roc.iter().map(point).collect()
}

/// A page of its own with the curves.
pub(super) fn page(report: &VerificationReport, to: &Path) -> Result<(), Failure> {
    let mut html = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>The same or not</title>\
         <style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;\
         padding:0 1rem}figure{display:inline-block;margin:1rem}</style>\
         <h1>The same thing or not?</h1>",
    );
    let _ = write!(
        html,
        "<p>Pairs of {} pictures, the same by {}. From left to right the share of different pairs \
         that is taken for the same, from bottom to top that of the same pairs; each dot is a \
         threshold.</p>",
        report.pictures, report.same_by
    );
    let across = report.across_styles.as_ref().and_then(|p| p.as_ref().ok());
    let all = [("All pairs", Some(&report.all)), ("Pairs of two styles", across)];
    for (name, scores) in all.into_iter().filter_map(|(name, p)| Some((name, p?))) {
        let _ = write!(
            html,
            "<figure>{}<figcaption>{name}: AUC {:.3}, EER {:.3}</figcaption></figure>",
            curve(&scores.roc),
            scores.auc,
            scores.eer
        );
    }
    html.push_str("</html>");
    fs_err::write(to, html).map_err(|e| Failure::Environment(e.to_string()))
}

fn curve(roc: &[RocPoint]) -> String {
    let (x, y) = (|v: f64| 40.0 + v * 240.0, |v: f64| 260.0 - v * 240.0);
    let line: Vec<String> =
        roc.iter().map(|p| format!("{:.1},{:.1}", x(p.far), y(p.tar))).collect();
    let mut svg = format!(
        "<svg width=\"300\" height=\"300\" role=\"img\" aria-label=\"ROC curve\">\
         <rect x=\"40\" y=\"20\" width=\"240\" height=\"240\" fill=\"none\" stroke=\"#888\"/>\
         <line x1=\"40\" y1=\"260\" x2=\"280\" y2=\"20\" stroke=\"#888\" stroke-dasharray=\"4\"/>\
         <text x=\"160\" y=\"292\" text-anchor=\"middle\">false accepts</text>\
         <text x=\"14\" y=\"140\" text-anchor=\"middle\" transform=\"rotate(-90 14 140)\">true \
         accepts</text><polyline points=\"{}\" fill=\"none\" stroke=\"#2563eb\"/>",
        line.join(" ")
    );
    for p in roc {
        let _ = write!(
            svg,
            "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"#2563eb\"><title>from {:.3} on: false \
             {:.4}, true {:.3}</title></circle>",
            x(p.far),
            y(p.tar),
            p.threshold,
            p.far,
            p.tar
        );
    }
    svg.push_str("</svg>");
    svg
}
