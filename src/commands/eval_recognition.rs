//! `ek eval --identify`: is the right one named, and nobody for a stranger?

use ekphrasis_engine::Scoring;
use ekphrasis_engine::eval::{Compared, Enrolled, MeanAndSpread, RecognitionReport};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output;

pub(super) fn as_json(r: &RecognitionReport) -> Value {
    let stated = r.stated.as_ref().map(|s| {
        let rates: Vec<Value> = s
            .rates
            .iter()
            .map(|at| {
                json!({
                    "threshold": at.stated.threshold,
                    "stated_false_accept_rate": at.stated.false_accept,
                    "false_accept_rate": at.far, "true_accept_rate": at.tar,
                })
            })
            .collect();
        json!({
            "same": s.pairs.0, "different": s.pairs.1, "auc": s.auc_eer.0, "eer": s.auc_eer.1,
            "rates": rates,
        })
    });
    let enrolled: Vec<Value> = r.enrolled.iter().map(one).collect();
    json!({ "thresholds": stated, "enrolled": enrolled })
}

fn spread(m: &MeanAndSpread) -> Value {
    json!({ "mean": m.mean, "sd": m.sd })
}

fn one(e: &Enrolled) -> Value {
    let mut value = json!({ "examples": e.examples, "scoring": e.scoring.as_str() });
    match &e.found {
        Err(why) => value["refused"] = json!(why.to_string()),
        Ok(c) => {
            let tpir: Vec<Value> = c
                .tpir_at
                .iter()
                .map(|(fpir, tpir)| match tpir {
                    Ok(tpir) => json!({ "fpir": fpir, "tpir": spread(tpir) }),
                    Err(why) => json!({ "fpir": fpir, "tpir": null, "refused": why.to_string() }),
                })
                .collect();
            let (enrolled, known, strangers) = c.counts;
            value["draws"] = json!(c.draws);
            value["enrolled"] = json!(enrolled);
            value["known"] = json!(known);
            value["strangers"] = json!(strangers);
            value["rank_1"] = spread(&c.rank_1);
            value["tpir_at_fpir"] = json!(tpir);
            value["at_rule"] = c.at_rule.as_ref().map_or(Value::Null, |at| {
                json!({
                    "promised_fpir": at.promised, "fpir": spread(&at.fpir), "tpir": spread(&at.tpir),
                })
            });
        }
    }
    value
}

pub(super) fn table(r: &RecognitionReport) -> Result<(), Failure> {
    match &r.stated {
        None => output::line("the model states no false accept rates")?,
        Some(s) => {
            output::line(&format!(
                "the same thing or not, by the model's thresholds: {} same pairs, {} different: AUC \
                 {:.3}, EER {:.3}",
                s.pairs.0, s.pairs.1, s.auc_eer.0, s.auc_eer.1
            ))?;
            for at in &s.rates {
                output::line(&format!(
                    "  threshold {:.4}: false accepts {:.5} (stated {}), true accepts {:.3}",
                    at.stated.threshold, at.far, at.stated.false_accept, at.tar
                ))?;
            }
        }
    }
    for e in &r.enrolled {
        let name = format!("enrolled by {}, {}", e.examples, e.scoring.as_str());
        match &e.found {
            Err(why) => output::line(&format!("{name}: not measured: {why}"))?,
            Ok(c) => compared(&name, c, e.scoring == Scoring::USED)?,
        }
    }
    Ok(())
}

/// `used`: scored as `ek identify` does it.
fn compared(name: &str, c: &Compared, used: bool) -> Result<(), Failure> {
    let shown = |m: &MeanAndSpread| format!("{:.3} ± {:.3}", m.mean, m.sd);
    output::line(&format!(
        "{name}: {:.0} known, {:.0} pictures of them, {:.0} of strangers, {} draws (± sd over them)",
        c.counts.0, c.counts.1, c.counts.2, c.draws
    ))?;
    output::line(&format!("  the best is the right one (closed set): {}", shown(&c.rank_1)))?;
    for (fpir, tpir) in &c.tpir_at {
        output::line(&match tpir {
            Ok(tpir) => format!("  TPIR {} at FPIR {fpir}", shown(tpir)),
            Err(why) => format!("  not measured: {why}"),
        })?;
    }
    if let Some(at) = c.at_rule.as_ref().filter(|_| used) {
        let promised = at
            .promised
            .map_or_else(|| "no promise".to_owned(), |p| format!("at most {p:.3} promised"));
        output::line(&format!(
            "  as `ek identify` decides: TPIR {} at FPIR {} ({promised})",
            shown(&at.tpir),
            shown(&at.fpir)
        ))?;
    }
    Ok(())
}
