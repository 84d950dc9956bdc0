//! Why is there no model?

use std::path::PathBuf;

use ekphrasis_models::ModelError;

use crate::config::ConfigError;
use crate::data::{FeatureError, SampleError, SplitError};
use crate::export::ExportError;
use crate::layer::LayerError;
use crate::run::{RunDirectoryError, TrainError};
use crate::start::StartError;

/// Why a job ended without a model. Whose fault it is: [`JobError::is_usage`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The pairs will not do; all that is wrong with them, a sentence a line.
    #[error("the pairs cannot be trained on:\n{0}")]
    Pairs(String),
    /// A model that is finished was trained on others.
    #[error(
        "{} was trained on other pairs: expected those of {} (data {expected}), got {pictures} \
         pictures that can be used (data {got}); go on with the same pairs, or name another --out",
        model.display(), pairs.display()
    )]
    OtherPairs {
        /// The model.
        model: PathBuf,
        /// The file of the pairs that it was trained on.
        pairs: PathBuf,
        /// Their hash.
        expected: String,
        /// Of those that are given, how many would be used.
        pictures: usize,
        /// Their hash.
        got: String,
    },
    /// The recipe.
    #[error("the recipe: {0}")]
    Config(#[from] ConfigError),
    /// The recipe asks the base for something that it does not have.
    #[error("the recipe does not fit the base model: {0}")]
    Base(String),
    /// No split.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// No batches.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The base model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// What the frozen towers say could not be had.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// No start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The run directory.
    #[error(transparent)]
    Directory(#[from] RunDirectoryError),
    /// The trained numbers are no network.
    #[error(transparent)]
    Layer(#[from] LayerError),
    /// The model could not be published.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The model is there, but its report is not.
    #[error("the model was published; {0}")]
    Report(#[from] crate::report::WriteError),
    /// It was asked to stop before there was anything to keep but the cache.
    #[error("stopped; what the base model said of the pictures so far is kept")]
    Stopped,
}

impl JobError {
    /// Whether the user can put it right by other pairs, recipe or arguments;
    /// otherwise something on the machine is missing or broken.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Pairs(_)
            | Self::OtherPairs { .. }
            | Self::Config(_)
            | Self::Base(_)
            | Self::Split(_)
            | Self::Sample(_) => true,
            Self::Start(e) => !matches!(e, StartError::NotFinite { .. }),
            Self::Train(e) => {
                matches!(
                    e,
                    TrainError::Data(_) | TrainError::Foreign(_) | TrainError::Diverged { .. }
                )
            }
            Self::Directory(e) => {
                matches!(e, RunDirectoryError::Taken { .. } | RunDirectoryError::Nothing { .. })
            }
            Self::Export(e) => matches!(e, ExportError::Exists(_)),
            Self::Model(_)
            | Self::Features(_)
            | Self::Layer(_)
            | Self::Report(_)
            | Self::Stopped => false,
        }
    }
}
