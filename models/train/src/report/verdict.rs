//! What is to be said first: what came out, and is it to be trusted?

use super::data::{Direction, Figure, Report};
use super::number::percent;
use super::scores::queries;

/// Under this many queries a single one moves recall by over a point.
const FEW: usize = 100;

/// What came out, one sentence, for the first direction that has figures.
pub(super) fn outcome(report: &Report) -> String {
    let Some(d) = report.scores.first() else {
        return "No score: nothing was held out to measure on.".into();
    };
    let parts: Vec<_> = [(1, d.recall[0]), (10, d.recall[2])]
        .into_iter()
        .filter_map(|(k, change)| {
            let after = percent(finite(change.after)?.value);
            Some(match finite(change.before) {
                Some(before) => format!(
                    "recall@{k}\u{a0}{}\u{a0}%\u{a0}→\u{a0}{after}\u{a0}%",
                    percent(before.value)
                ),
                None => format!("recall@{k} {after} % (not measured before)"),
            })
        })
        .collect();
    if parts.is_empty() {
        return format!("{}: no score after training.", d.way.name());
    }
    format!("{}: {}.", d.way.name(), parts.join(", "))
}

fn finite(figure: Option<Figure>) -> Option<Figure> {
    figure.filter(|f| f.value.is_finite())
}

/// How far that is to be believed: a short judgement and the reason.
pub(super) fn trust(report: &Report) -> (&'static str, String) {
    let Some(d) = report.scores.first().filter(|d| d.queries > 0) else {
        return (
            "Not measured.",
            "Keep some pairs out of training (a validation and a test split) to learn what this model can do.".into(),
        );
    };
    let on = if report.measured_on.is_empty() {
        String::new()
    } else {
        format!(" of {}", report.measured_on)
    };
    let base = format!("{}{on}", queries(d.queries));
    let Some((before, after)) = finite(d.recall[0].before).zip(finite(d.recall[0].after)) else {
        return ("No comparison.", format!("Measured on {base}."));
    };
    let span = match after.interval {
        Some([low, high]) => {
            format!("; recall@1 lies between {} % and {} %", percent(low), percent(high))
        }
        None => String::new(),
    };
    let said = format!("Measured on {base}{span}.");
    let worse = worse(&report.scores);
    if !worse.is_empty() {
        return ("Not better everywhere.", format!("{said} {worse} fell."));
    }
    if d.queries < FEW {
        let one = percent(1.0 / d.queries as f64);
        return ("Too few to be sure.", format!("{said} One query alone is {one} points."));
    }
    match (before.interval, after.interval) {
        (Some([_, high]), Some([low, _])) if low > high => {
            ("A clear gain.", format!("{said} That is above the interval before training."))
        }
        (Some(_), Some(_)) => (
            "May be chance.",
            format!("{said} It overlaps with the interval before training; measure on more pairs."),
        ),
        _ => ("Without an interval.", said),
    }
}

/// Where recall@1 or @10 became lower.
fn worse(scores: &[Direction]) -> String {
    let mut names = Vec::new();
    for d in scores {
        for (k, change) in [(1, d.recall[0]), (10, d.recall[2])] {
            if let Some((b, a)) = finite(change.before).zip(finite(change.after))
                && a.value < b.value
            {
                names.push(format!("{} recall@{k}", d.way.name()));
            }
        }
    }
    names.join(", ")
}
