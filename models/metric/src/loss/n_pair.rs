//! N-pair: a softmax over raw dot products, with a penalty on lengths.

use ndarray::ArrayView2;

use super::{InfoNce, Outcome, info_nce};
use crate::{LossError, Real, Relations};

/// Options of the N-pair loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NPair {
    /// λ ≥ 0 of λ · mean ‖x‖², over the vectors of each modality. Without it a softmax
    /// that is right gets better by lengths alone. Default 0.002.
    pub penalty: f64,
}

/// −log(e^{x_i·p_i} / (e^{x_i·p_i} + Σ_n e^{x_i·n})), averaged over anchors: the paired
/// positive against all negatives, by dot products of vectors that are *not* of unit
/// length. (Others of the group are left out.)
///
/// # Shapes
/// `s`: n × m dot products, `relations` likewise; the gradient likewise.
///
/// # Errors
/// `NoNegatives`, `NoPositives`, `Shape`.
///
/// # Source
/// Sohn 2016, "Improved deep metric learning with multi-class N-pair loss objective", eq. 7.
pub fn n_pair<T: Real>(
    s: ArrayView2<'_, T>,
    relations: &Relations,
) -> Result<Outcome<T>, LossError> {
    info_nce(s, relations, &InfoNce { scale: 1.0, all_positives: false })
}

/// λ · mean l² over lengths, and its gradient by each length.
///
/// # Source
/// Sohn 2016, section 3.2.2 (there the sum over both vectors of a pair; here each
/// modality has its mean, and the means are added).
pub fn length_penalty<T: Real>(lengths: &[T], penalty: f64) -> (f64, Vec<T>) {
    let share = penalty / lengths.len().max(1) as f64;
    let squares: f64 = lengths.iter().map(|l| l.wide() * l.wide()).sum();
    let slope = T::of(2.0 * share);
    (share * squares, lengths.iter().map(|&l| slope * l).collect())
}
