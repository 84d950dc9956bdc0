//! Given the first weights and the trained ones, how far should one go? Between
//! them lie models that keep more of what the first ones knew.

use serde::{Deserialize, Serialize};

use super::evaluate::{Score, evaluate};
use super::model::Model;
use super::supply::Supply;

/// A share of the way, and how good the model there is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// 0 is the start, 1 the trained weights.
    pub share: f64,
    /// Whether the weights are those of the last epoch, not of the best.
    pub last: bool,
    /// On the validation pictures; none without any.
    pub score: Option<Score>,
}

/// The model at `start + share · (end − start)`, weight by weight.
///
/// # Source
/// Wortsman et al. 2022, "Robust fine-tuning of zero-shot models" (WiSE-FT).
///
/// # Panics
/// If the two are not of one kind.
pub fn between(start: &Model, end: &Model, share: f64) -> Model {
    let mut model = end.clone();
    let share = share as f32;
    for (to, from) in model.params.list_mut().iter_mut().zip(start.params.list()) {
        assert_eq!(to.name, from.name, "models of one kind");
        to.values.iter_mut().zip(&from.values).for_each(|(to, &from)| {
            // So written, a share of 1 gives the trained weight to the bit.
            *to -= (1.0 - share) * (*to - from);
        });
    }
    model
}

/// Of the models at `shares` of the way to each of `ends` (with whether it is the
/// last epoch's) the one with the greatest rsum on the validation pictures, the
/// first among equals and without any; with all that were tried, and which it was.
///
/// # Panics
/// If there are no shares or no ends.
pub fn keep(
    start: &Model,
    ends: &[(&Model, bool)],
    shares: &[f64],
    supply: &dyn Supply,
) -> (Model, Vec<Tried>, usize) {
    let mut tried: Vec<Tried> = Vec::new();
    let mut best: Option<(Model, f64, usize)> = None;
    for &(end, last) in ends {
        for &share in shares {
            let model = between(start, end, share);
            let score = evaluate(&model, supply);
            let rsum = score.as_ref().map_or(f64::NEG_INFINITY, Score::rsum);
            if best.as_ref().is_none_or(|(_, most, _)| rsum > *most) {
                best = Some((model, rsum, tried.len()));
            }
            tried.push(Tried { share, last, score });
        }
    }
    let (model, _, which) = best.expect("at least one share and one end");
    (model, tried, which)
}
