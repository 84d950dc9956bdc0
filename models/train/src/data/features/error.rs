//! What can go wrong with features.

use std::path::PathBuf;

use ekphrasis_embed::EncodeError;
use ekphrasis_models::ModelError;

/// Why there are no features. What was computed before is kept on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FeatureError {
    /// The cache's folder or file cannot be read or written.
    #[error("the feature cache: {0}; is there room, and may this user write there?")]
    Io(#[from] std::io::Error),
    /// Two runs at once would mix their entries.
    #[error(
        "{}: another run writes to this feature cache; wait for it, or name another cache", .0.display()
    )]
    Busy(PathBuf),
    /// A feature cache of something else under this name.
    #[error(
        "{}: expected {expected} numbers an entry, got {got}; the file belongs to something else, move it away", path.display()
    )]
    Width {
        /// The cache's file.
        path: PathBuf,
        /// What the tower gives.
        expected: usize,
        /// What the file or the caller says.
        got: usize,
    },
    /// The model cannot be loaded.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// The tower failed.
    #[error("{0}")]
    Encode(#[from] EncodeError),
    /// A tower whose output is not a row of finite numbers.
    #[error(
        "output {output:?} of the model gave {what} for {input}; such a tower cannot be learnt from"
    )]
    Output {
        /// Its name.
        output: String,
        /// What it gave.
        what: String,
        /// For which picture or text.
        input: String,
    },
}
