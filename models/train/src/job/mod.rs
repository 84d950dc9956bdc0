//! Given pairs, a base model and a recipe, how does one get a model? The whole
//! way: look at the pictures, hold some out, ask the frozen towers once, train,
//! measure, publish.

mod ablation;
mod build;
mod error;
mod exported;
mod finish;
mod prepare;
mod report;
mod start;
mod supply;
mod whole;

pub use ablation::{Row, Variant, ablation, variants};
// Who starts a job opens the base model.
pub use ekphrasis_models::Model as BaseModel;
pub use error::JobError;
pub use prepare::{Job, Prepared, Stage, prepare};
pub use supply::DataSupply;
pub use whole::{Done, Finished, Target, Told, finished, run_directory, train};
