//! Given a model, data and a loss, how does training go, stop and go on?
//!
//! [`Trainer`] is the loop. What it trains on comes through [`Supply`], what is
//! asked of the embeddings through [`Criterion`]; both are drawn anew from the
//! seed and the step, so a [`Checkpoint`] needs no random state and a run that
//! was killed goes on with the same bits.

mod checkpoint;
mod criterion;
mod directory;
mod evaluate;
mod keep;
mod model;
mod objective;
mod pace;
mod passes;
mod plan;
mod schedule;
mod supply;
#[cfg(test)]
mod tests;
mod trainer;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use criterion::{Criterion, Judged, Judgement, Note, Refused};
pub use directory::{RunDirectory, RunDirectoryError};
pub use evaluate::{Direction, HeldOut, Score, evaluate};
pub(crate) use evaluate::{embed, score};
pub use keep::{Tried, between, keep};
pub use model::Model;
pub use objective::Judge;
pub use plan::{Plan, Rates};
pub use schedule::{Schedule, Shape};
pub use supply::{Learnt, Supplied, Supply};
pub use trainer::{EpochRecord, Event, Outcome, TrainError, Trainer};
