//! Given a model that `ek train` made, how sure is it? Learned from the pairs that were held
//! out from training: of those it was trained on it is surer than it will be of others. The
//! trainer says in the run's folder which are which.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ekphrasis_engine::confidence::Calibrated;
use ekphrasis_engine::{Config, EngineError, OnnxTowers, pairs};
use serde_json::{Value, json};

use super::{calibration, cores};
use crate::cli::Global;
use crate::output;

/// The seed that `ek model calibrate` has by default, so that both come to the same.
const SEED: u64 = 0;

/// What became of a trained model's confidence. Training succeeded whatever it is.
pub(super) enum Confidence {
    /// It was learned.
    Learned(Box<Calibrated>),
    /// It had been learned before, of this.
    Known(String),
    /// Why it was not learned.
    Refused(String),
    /// Nobody wants it.
    LeftOut,
}

/// Calibrates the model in `dir` by the pairs of its run that were held out.
pub(super) fn learn(
    global: &Global,
    config: &Config,
    dir: &Path,
    pairs: &Path,
    stop: &AtomicBool,
) -> Confidence {
    if stop.load(Ordering::Relaxed) {
        return Confidence::Refused(
            "it was stopped; the same command with --resume does it".into(),
        );
    }
    let quiet = global.quiet;
    let log = move |line: &str| {
        if !quiet {
            output::note(line);
        }
    };
    log("learning from the pairs that were held out how sure it can be");
    let learned = || -> Result<Confidence, EngineError> {
        if !holds_out(pairs)? {
            let why = "no pairs were held out from training, and of others it is too sure";
            return Ok(Confidence::Refused(why.into()));
        }
        let towers = OnnxTowers::at(config, dir, cores(), log)?;
        let found = calibration::calibrate(global, &towers, pairs, SEED)?;
        Ok(Confidence::Learned(Box::new(found)))
    };
    learned().unwrap_or_else(|e| Confidence::Refused(e.to_string()))
}

/// Whether a file names pairs of the split `val`.
fn holds_out(file: &Path) -> Result<bool, EngineError> {
    let pairs = pairs::read(file).map_err(|e| EngineError::Invalid(e.to_string()))?;
    Ok(pairs.iter().any(|pair| pair.split.as_deref() == Some("val")))
}

impl Confidence {
    /// One line for a person, with what to do.
    pub(super) fn line(&self, out: &Path, pairs: &Path) -> String {
        let (out, pairs) = (out.display(), pairs.display());
        match self {
            Self::Learned(found) => {
                let about = &found.calibration.about;
                format!("calibrated by {about}; ek model info {out} says what for")
            }
            Self::Known(about) => format!("calibrated before by {about}"),
            Self::Refused(why) => format!(
                "not calibrated: {why}; ek model calibrate {out} --pairs FILE lets it say how sure \
                 it is"
            ),
            Self::LeftOut => format!(
                "not calibrated: ek model calibrate {out} --pairs {pairs} lets it say how sure it is"
            ),
        }
    }

    /// The same for programs; null if it was left out.
    pub(super) fn as_json(&self, out: &Path) -> Value {
        match self {
            Self::Learned(found) => calibration::as_json(found, out, SEED),
            Self::Known(about) => json!({"about": about}),
            Self::Refused(why) => json!({"refused": why}),
            Self::LeftOut => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_not_calibrated_by_what_it_was_trained_on() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("pairs.jsonl");
        let learned = "{\"path\":\"a.png\",\"caption\":\"a\",\"split\":\"train\"}\n";
        let held = "{\"path\":\"b.png\",\"caption\":\"b\",\"split\":\"val\"}\n";
        for (lines, expected) in [(learned.to_owned(), false), (format!("{learned}{held}"), true)] {
            fs_err::write(&file, &lines).expect("written");
            assert_eq!(holds_out(&file).expect("pairs"), expected, "{lines}");
        }
    }

    #[test]
    fn who_was_not_calibrated_hears_how() {
        let (out, pairs) = (Path::new("out/mine"), Path::new("out/mine.run/pairs.jsonl"));
        let line = Confidence::Refused("too few".into()).line(out, pairs);
        assert!(line.contains("too few; ek model calibrate out/mine --pairs FILE"), "{line}");
        let line = Confidence::LeftOut.line(out, pairs);
        assert!(line.contains("calibrate out/mine --pairs out/mine.run/pairs.jsonl"), "{line}");
        assert!(Confidence::LeftOut.as_json(out).is_null());
    }
}
