//! Given a batch, what is the loss and where should each embedding go? An
//! [`Objective`] puts a loss, a selection, a curriculum, a memory and classifiers
//! together, and applies them to the sides that have a weight.

mod collapsed;
mod magnet_index;
mod n_pair;
mod options;
mod prototypes;
mod state;
mod step;
#[cfg(test)]
mod tests;

pub use magnet_index::MagnetIndex;
pub use options::{Classifier, Loss, MagnetOptions, MemoryOptions, ObjectiveOptions, Sides};
pub use step::{Batch, Objective, Step};
