//! What does the loop have to know? Settings, resolved.

use super::schedule::Schedule;
use crate::nn::{AdamWOptions, Group};

/// Learning rates at the height of the schedule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of the image side.
    pub image: f32,
    /// Of the text side.
    pub text: f32,
    /// Of the loss's own parameters, such as a temperature or prototypes.
    pub loss: f32,
}

impl Rates {
    /// The rate of a group of parameters.
    pub fn of(&self, group: Group) -> f32 {
        match group {
            Group::Image => self.image,
            Group::Text => self.text,
        }
    }
}

/// How to train.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Everything random follows from it.
    pub seed: u64,
    /// Times through the training pictures, at least 1.
    pub epochs: u64,
    /// Learning rates.
    pub rates: Rates,
    /// How they change.
    pub schedule: Schedule,
    /// The optimiser's constants.
    pub optimiser: AdamWOptions,
    /// Rows of a batch that go through a tower at once, to the same gradients in less
    /// memory; none: all.
    pub chunk: Option<usize>,
    /// The greatest common length of all gradients of a step.
    pub clip: f32,
    /// How much of the average of weights stays a step; none: no average is kept.
    pub average: Option<f32>,
    /// Epochs without a better score on the validation pictures before training
    /// stops; none: it goes through.
    pub patience: Option<u64>,
    /// Seconds between checkpoints within an epoch; one is written after each epoch.
    pub checkpoint_seconds: f64,
}
