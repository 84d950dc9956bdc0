//! `ek eval --feedback`: what does judging the first hits do for the next?

use ekphrasis_engine::Rocchio;
use ekphrasis_engine::eval::{FeedbackReport, Interval, Measured, Steered};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output;

/// After how many rounds a row's ranking is.
const ROUNDS: [&str; 3] = ["no feedback", "one round", "two rounds"];

pub(super) fn as_json(report: &FeedbackReport) -> Value {
    let tried: Vec<Value> = report
        .tried
        .iter()
        .map(|one| {
            json!({
                "weights": weights(one.weights),
                "by_words": {"ndcg@10": one.by_words, "seen_of_30": one.seen_by_words},
                "by_picture": {"ndcg@10": one.by_picture, "seen_of_30": one.seen_by_picture},
            })
        })
        .collect();
    json!({
        "same_by": report.same_by.to_string(), "pictures": report.pictures,
        "weights": weights(report.weights),
        "by_words": steered(&report.by_words), "by_picture": steered(&report.by_picture),
        "tried": tried,
    })
}

fn weights(weights: Rocchio) -> Value {
    // As they were written: a number of 32 bits has more digits in 64.
    let short = |weight: f32| (f64::from(weight) * 1e4).round() / 1e4;
    json!({
        "liked": short(weights.liked), "disliked": short(weights.disliked),
        "disliked_alone": short(weights.disliked_alone),
    })
}

fn steered(of: &Steered) -> Value {
    let row = |m: &Measured| {
        json!({
            "recall@10": m.recall.0, "recall@10_95": ends(m.recall.1),
            "ndcg@10": m.ndcg.0, "ndcg@10_95": ends(m.ndcg.1),
        })
    };
    let residuals: Vec<Value> = of
        .residuals
        .iter()
        .map(|residual| {
            json!({
                "queries": residual.queries,
                "rows": residual.rows.iter().map(row).collect::<Vec<_>>(),
                "gain": residual.gain.as_ref().map(row),
            })
        })
        .collect();
    let seen: Vec<Value> = of
        .seen
        .iter()
        .map(|seen| {
            json!({
                "pictures": seen.pictures, "judging": seen.judging, "paging": seen.paging,
                "gain": seen.gain.0, "gain_95": ends(seen.gain.1),
            })
        })
        .collect();
    json!({
        "queries": of.queries, "things": of.things, "with_a_like": of.with_a_like,
        "residuals": residuals, "seen": seen,
    })
}

fn ends(interval: Interval) -> [f64; 2] {
    [interval.low, interval.high]
}

pub(super) fn table(report: &FeedbackReport) -> Result<(), Failure> {
    output::line(&format!(
        "liking and disliking the first ten hits (what was liked counts {}, what was disliked {}, \
         {} as long as nothing is liked; relevant: the same {}; what was judged is out of all rows; \
         95 % bootstrap over things):",
        report.weights.liked,
        report.weights.disliked,
        report.weights.disliked_alone,
        report.same_by
    ))?;
    for (name, of) in [("a caption", &report.by_words), ("a picture", &report.by_picture)] {
        output::line(&format!(
            "  asked by {name}: {} queries for {} things, {:.0} % have something to like",
            of.queries,
            of.things,
            of.with_a_like * 100.0
        ))?;
        for (round, residual) in of.residuals.iter().enumerate() {
            let what = match round {
                0 => "all pictures".to_owned(),
                n => format!("without the {} judged", 10 * n),
            };
            output::line(&format!("    {what} ({} queries):", residual.queries))?;
            for (name, row) in ROUNDS.iter().zip(&residual.rows) {
                measured(name, row, false)?;
            }
            if let Some(gain) = &residual.gain {
                measured("gain", gain, true)?;
            }
        }
        for seen in &of.seen {
            output::line(&format!(
                "    seen after {} pictures: {:.3} by judging, {:.3} by paging on ({:+.3}, {:+.3} to {:+.3})",
                seen.pictures,
                seen.judging,
                seen.paging,
                seen.gain.0,
                seen.gain.1.low,
                seen.gain.1.high
            ))?;
        }
    }
    if !report.tried.is_empty() {
        output::line(
            "  liked  disliked  alone   nDCG@10 after one, two rounds by a caption; by a picture   seen of 30",
        )?;
    }
    for one in &report.tried {
        let ([w1, w2], [p1, p2]) = (one.by_words, one.by_picture);
        output::line(&format!(
            "  {:>5}  {:>8}  {:>5}   {w1:.4} {w2:.4}; {p1:.4} {p2:.4}   {:.4}; {:.4}",
            one.weights.liked,
            one.weights.disliked,
            one.weights.disliked_alone,
            one.seen_by_words,
            one.seen_by_picture
        ))?;
    }
    Ok(())
}

fn measured(name: &str, m: &Measured, signed: bool) -> Result<(), Failure> {
    let number = |x: f64| if signed { format!("{x:+.3}") } else { format!("{x:.3}") };
    let one = |(mean, i): (f64, Interval)| {
        format!("{} ({} to {})", number(mean), number(i.low), number(i.high))
    };
    output::line(&format!("      {name:<12} R@10 {}  nDCG@10 {}", one(m.recall), one(m.ndcg)))
}
