//! Given a model's folder and pairs, how is it calibrated, and what is told of it? For
//! `ek model calibrate`, and for `ek train`, which ends with it.

use std::io::IsTerminal;
use std::path::Path;

use ekphrasis_engine::confidence::Calibrated;
use ekphrasis_engine::{EngineError, OnnxTowers, calibrate_model};
use serde_json::{Value, json};

use super::eval::eprint_progress;
use crate::cli::Global;

/// Learns of `pairs` and writes it into the model's folder.
pub(super) fn calibrate(
    global: &Global,
    towers: &OnnxTowers,
    pairs: &Path,
    seed: u64,
) -> Result<Calibrated, EngineError> {
    let show = !global.quiet && std::io::stderr().is_terminal();
    calibrate_model(towers, pairs, seed, &|done, total| {
        if show && (done % 50 == 0 || done == total) {
            eprint_progress(done, total);
        }
    })
}

/// What a calibration came to, for programs.
pub(super) fn as_json(found: &Calibrated, dir: &Path, seed: u64) -> Value {
    json!({
        "dir": dir.to_string_lossy(), "about": found.calibration.about,
        "background": found.background_pictures, "pictures": found.fitted_on.0,
        "captions": found.fitted_on.1, "concepts": found.fitted_on.2,
        "failed": found.failed, "seed": seed,
        "verification": verification(found),
        "label_sets": found.label_sets.as_ref().map_or_else(
            |e| json!({"refused": e.to_string()}),
            |known| json!({"about": known.about, "words_weight": known.words_weight}),
        ),
    })
}

fn verification(found: &Calibrated) -> Value {
    match &found.verification {
        Ok(known) => json!({
            "about": known.about, "refused": known.refused,
            "rates": known.rates.iter().map(|r| json!({
                "false_accept_rate": r.false_accept, "interval": [r.low, r.high],
                "threshold": r.threshold, "true_accept_rate": r.true_accept,
            })).collect::<Vec<_>>(),
        }),
        Err(e) => json!({"refused": [e.to_string()]}),
    }
}
