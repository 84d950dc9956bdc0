//! The losses: (similarities, relations, options) → loss and gradient.

mod classification;
mod contrastive;
mod infonce;
mod magnet;
mod margin;
mod n_pair;
mod prototypes;
mod quadruplet;
mod smooth_max;
mod triplet;

use ndarray::Array2;

use crate::{Real, Tally};

pub use classification::{Classified, classification};
pub use contrastive::{Contrastive, Form, contrastive};
pub use infonce::{InfoNce, MAX_LOG_SCALE, info_nce};
pub use magnet::{Magnet, magnet};
pub use margin::{Margin, margin};
pub use n_pair::{NPair, length_penalty, n_pair};
pub use prototypes::{Episode, Prototyped, Prototypes, episode, prototypes};
pub use quadruplet::{Quadruplet, quadruplet};
pub use smooth_max::{SmoothMax, smooth_max};
pub use triplet::{Reduction, Shape, Triplet, triplet};

/// How far apart two unit vectors of cosine s are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// 1 − s, in 0..=2. A margin is in units of cosine.
    Cosine,
    /// ‖a − b‖² = 2 − 2s, in 0..=4. A margin of 2m here is one of m in cosine.
    SquaredEuclidean,
    /// ‖a − b‖ = √(2 − 2s), in 0..=2.
    Euclidean,
}

impl Distance {
    /// The distance at cosine `s`, and its slope by s. The Euclidean slope, which
    /// has no bound at s = 1, is taken of √(2 − 2s + 1e-8).
    pub fn at<T: Real>(self, s: T) -> (T, T) {
        let two = T::of(2.0);
        match self {
            Self::Cosine => (T::one() - s, -T::one()),
            Self::SquaredEuclidean => (two - two * s, -two),
            Self::Euclidean => {
                let d = ((two - two * s).max(T::zero()) + T::of(1e-8)).sqrt();
                (d, -T::one() / d)
            }
        }
    }
}

/// What a loss over similarities gives.
#[derive(Clone, Debug)]
pub struct Outcome<T> {
    /// The loss.
    pub loss: f64,
    /// ∂L/∂S, of S's shape.
    pub gradient: Array2<T>,
    /// ∂L/∂(the loss's own parameter): θ of InfoNCE's scale e^θ, β of the margin
    /// loss; 0 for others.
    pub parameter: f64,
    /// What was counted.
    pub tally: Tally,
}

/// What a loss over embeddings themselves gives.
#[derive(Clone, Debug)]
pub struct Embedded<T> {
    /// The loss.
    pub loss: f64,
    /// ∂L/∂x, of the embeddings' shape.
    pub gradient: Array2<T>,
    /// Each row's own loss; 0 where it took no part.
    pub rows: Vec<f64>,
    /// What was counted.
    pub tally: Tally,
}
