//! What is asked of the embeddings.

use serde::{Deserialize, Serialize};

use super::{ConfigError, TextSide, share};
use crate::run::{Criterion, SmoothMax};

/// `[loss]`: `kind` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum LossConfig {
    /// Both ways: τ · log(1 + Σ_j exp((s_ij − s_ii + margin) / τ)) over the
    /// negatives of each anchor, in mean. With margin 0 this is InfoNCE.
    SmoothMax {
        /// τ, in cosine.
        #[serde(default = "temperature")]
        temperature: f32,
        /// In cosine.
        #[serde(default = "margin")]
        margin: f32,
    },
}

fn temperature() -> f32 {
    0.05
}
fn margin() -> f32 {
    0.1
}

impl Default for LossConfig {
    fn default() -> Self {
        Self::SmoothMax { temperature: temperature(), margin: margin() }
    }
}

impl LossConfig {
    pub(super) fn check(&self, text: &TextSide) -> Result<(), ConfigError> {
        let Self::SmoothMax { temperature, margin } = self;
        if text.is_none() {
            let expected = "a text side, which loss.kind = \"smooth-max\" needs";
            return Err(ConfigError::value("text.kind", expected, "none"));
        }
        share("loss.temperature", f64::from(*temperature), 1e-4, 10.0)?;
        share("loss.margin", f64::from(*margin), 0.0, 2.0)
    }

    /// Its name for the record.
    pub fn name(&self) -> String {
        let Self::SmoothMax { temperature, margin } = self;
        format!("smooth-max, temperature {temperature}, margin {margin}")
    }

    /// Its margin, if it has one.
    pub fn margin(&self) -> Option<f64> {
        let Self::SmoothMax { margin, .. } = self;
        Some(f64::from(*margin))
    }

    /// The loss itself.
    pub fn criterion(&self) -> Box<dyn Criterion> {
        let Self::SmoothMax { temperature, margin } = *self;
        Box::new(SmoothMax { temperature, margin })
    }
}
