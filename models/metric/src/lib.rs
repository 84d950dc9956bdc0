//! Deep metric learning as pure functions: losses with their gradients, selection of
//! negatives, Mahalanobis metrics, clustering, measures. No I/O, no runtime, no
//! automatic differentiation.
//!
//! [`Objective`] puts a loss together and applies it to a batch; `LOSSES.md` beside
//! this crate has every formula, distance, margin unit and reduction on one page.

pub mod affine;
mod bytes;
pub mod cluster;
mod detect;
mod error;
pub mod logistic;
pub mod loss;
pub mod mahalanobis;
pub mod measure;
mod memory;
mod near;
mod objective;
mod real;
mod relations;
pub mod select;
mod stats;

pub use detect::{Detectors, Finding};
pub use error::{LossError, Side};
pub use memory::Memory;
pub use near::Near;
pub use objective::{
    Batch, Classifier, Loss, MagnetIndex, MagnetOptions, MemoryOptions, Objective,
    ObjectiveOptions, Sides, Step,
};
pub use real::{EPSILON, Normalised, Real, normalise};
pub use relations::{Relation, Relations};
pub use stats::{Histogram, Stats, Suspect, Tally, modality_gap};
