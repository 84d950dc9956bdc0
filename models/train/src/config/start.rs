//! Where training starts.

use serde::{Deserialize, Serialize};

use super::{ConfigError, ImageSide, TextSide, share};
use crate::start::{Correct, StartOptions};

/// How it is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StartKind {
    /// The base as it is.
    #[default]
    None,
    /// Ridge regression of the features onto the texts, in closed form. Needs
    /// `image.kind = "linear"` with a base, and `text.kind = "linear"` or
    /// `"frozen"`; both then train a correction in whitened features.
    Ridge,
}

/// `[start]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct StartConfig {
    /// How it is found.
    pub kind: StartKind,
    /// Of the ridge, beside features of variance 1.
    pub penalty: f64,
    /// Where features are cut off, in deviations from their mean.
    pub clip: f32,
    /// How much the mean of a picture's keywords counts beside its caption as what
    /// it should lie at.
    pub keywords: f32,
    /// How much of the base (minus its mean) is added.
    pub base: f32,
    /// Parts of the training pictures, whole groups each. While a correction is
    /// trained, each part starts from a map that did not see it, so that the
    /// correction does not learn what the map already knows by heart. 0: all start
    /// from the one map.
    pub folds: usize,
    /// How far the directions in which texts differ most are shrunk on both sides:
    /// the power of their covariance; 0: not at all.
    pub shrink: f64,
    /// What the correction on the image side reads.
    pub correct: Correct,
}

impl Default for StartConfig {
    fn default() -> Self {
        Self {
            kind: StartKind::None,
            penalty: 0.6,
            clip: 8.0,
            keywords: 0.5,
            base: 0.5,
            folds: 0,
            shrink: 0.0,
            correct: Correct::Embedding,
        }
    }
}

impl StartConfig {
    pub(super) fn check(&self, image: &ImageSide, text: &TextSide) -> Result<(), ConfigError> {
        share("start.penalty", self.penalty, 1e-6, 1e6)?;
        share("start.clip", f64::from(self.clip), 0.1, 1e6)?;
        share("start.keywords", f64::from(self.keywords), 0.0, 100.0)?;
        share("start.base", f64::from(self.base), 0.0, 100.0)?;
        if self.folds == 1 {
            return Err(ConfigError::value("start.folds", "0, or at least 2", 1));
        }
        share("start.shrink", self.shrink, 0.0, 1.0)?;
        if self.kind == StartKind::None {
            return Ok(());
        }
        let fits = matches!(image, ImageSide::Linear { base, map: false, features, start, dim: 0, .. }
            if !base.is_empty() && !features.is_empty() && *start == 0.0);
        if !fits {
            return Err(ConfigError::value(
                "start.kind",
                "image.kind = \"linear\" with a base and features, and without map, start and dim",
                "\"ridge\" with another image side",
            ));
        }
        if !matches!(text, TextSide::Frozen {} | TextSide::Linear { start: 0.0, .. }) {
            return Err(ConfigError::value(
                "start.kind",
                "text.kind = \"linear\" without start, or \"frozen\"",
                "\"ridge\" with another text side",
            ));
        }
        Ok(())
    }

    /// How it is computed; none where the base is the start.
    pub fn options(&self) -> Option<StartOptions> {
        let Self { penalty, clip, base, shrink, correct, .. } = *self;
        let options = StartOptions { penalty, clip, base, shrink, correct };
        (self.kind == StartKind::Ridge).then_some(options)
    }
}
