//! Whether anything fits a search, as it is said outside.

use ekphrasis_engine as engine;
use serde::Serialize;

/// Whether anything in the store fits.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Anything {
    /// Calibrated probability; null if the model is not calibrated.
    pub probability: Option<f64>,
    /// `good`, `perhaps` or `nothing`.
    pub verdict: &'static str,
    /// The same for a person.
    pub words: &'static str,
    /// Whether the probability was learned for this model. If not, the verdict only
    /// compares with what everyday words score here.
    pub calibrated: bool,
}

impl From<&engine::Anything> for Anything {
    fn from(anything: &engine::Anything) -> Self {
        Self {
            // Four digits: more would be made up.
            probability: anything.probability.map(|p| (p * 1e4).round() / 1e4),
            verdict: anything.verdict.as_str(),
            words: anything.verdict.words(),
            calibrated: anything.probability.is_some(),
        }
    }
}
