//! Why a trained model was not published.

use std::path::PathBuf;

use ekphrasis_embed::{EncodeError, SpaceError};
use ekphrasis_models::{FileError, ModelError};
use ekphrasis_onnx::{JoinError, ReadError};

use crate::layer::LayerError;

/// Why a trained model was not published. Nothing is left at the destination.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The layers do not make a tower.
    #[error("{0}")]
    Layer(#[from] LayerError),
    /// The base's graph cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The graph file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: ReadError,
    },
    /// The base's graph cannot be added to.
    #[error("{}: {source}", path.display())]
    Join {
        /// The graph file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: JoinError,
    },
    /// A value of the base is not as wide as the head was trained for.
    #[error("{}: expected {name:?} with {expected} numbers a row, got {got}; the head was trained on another base", path.display())]
    Width {
        /// The graph file.
        path: PathBuf,
        /// The value.
        name: String,
        /// Numbers the head takes.
        expected: usize,
        /// Numbers the graph declares.
        got: i64,
    },
    /// The towers end in spaces of different widths.
    #[error(
        "expected both towers to end in the same width, got {image} for pictures and {text} for texts"
    )]
    Dim {
        /// The image tower's.
        image: usize,
        /// The text tower's.
        text: usize,
    },
    /// The base, or what was written, does not open.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// A file of the base is not the promised one.
    #[error("{0}")]
    File(#[from] FileError),
    /// The runtime failed on the samples or the vocabulary.
    #[error("the exported model does not run: {0}")]
    Encode(#[from] EncodeError),
    /// The name cannot become that of a space.
    #[error("{0}")]
    Space(#[from] SpaceError),
    /// Writing failed; the message names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The manifest could not be written down.
    #[error("model.toml: {0}")]
    Manifest(#[from] toml::ser::Error),
    /// There is something already.
    #[error("{} exists and is not empty; name another folder, or move it away", .0.display())]
    Exists(PathBuf),
    /// Nothing to compare, or rows that do not belong to the samples.
    #[error("{tower} samples: expected {expected}, got {got}")]
    Samples {
        /// `image` or `text`.
        tower: &'static str,
        /// What would be right.
        expected: String,
        /// What was given.
        got: String,
    },
    /// The layers made of a trained tower do not compute what it computes.
    #[error(
        "{tower} tower: trainer and the layers to be published differ by {largest:.3e}, at most {tolerance:.1e} is allowed; nothing was published. Report it with the run's folder"
    )]
    Layers {
        /// `image` or `text`.
        tower: &'static str,
        /// max |Δ|.
        largest: f32,
        /// What is allowed.
        tolerance: f32,
    },
    /// Trainer and runtime compute different embeddings.
    #[error(
        "{tower} tower: trainer and runtime differ by {largest:.3e} (number {number} of sample {sample}: expected {expected:.6}, got {got:.6}), at most {tolerance:.1e} is allowed; nothing was published. Report it with the run's folder"
    )]
    Parity {
        /// `image` or `text`.
        tower: &'static str,
        /// max |Δ|.
        largest: f32,
        /// What is allowed.
        tolerance: f32,
        /// Where it is.
        sample: usize,
        /// Which number of the embedding.
        number: usize,
        /// The trainer's.
        expected: f32,
        /// The runtime's.
        got: f32,
    },
    /// One picture or text alone gives another embedding than in a batch.
    #[error(
        "{tower} tower: sample {sample} alone and in a batch differ by {largest:.3e}, at most {tolerance:.1e} is allowed; nothing was published"
    )]
    Batch {
        /// `image` or `text`.
        tower: &'static str,
        /// Which.
        sample: usize,
        /// max |Δ|.
        largest: f32,
        /// What is allowed.
        tolerance: f32,
    },
    /// The order of the best hits changed by more than a near tie.
    #[error(
        "{direction}: the best {k} of query {query} are {expected:?} for the trainer and {got:?} for the runtime, {gap:.3e} apart in cosine, at most {allowed:.1e} is a near tie; nothing was published"
    )]
    TopK {
        /// `image to text` or `text to image`.
        direction: &'static str,
        /// Which query.
        query: usize,
        /// How many hits are compared.
        k: usize,
        /// Sample numbers, best first.
        expected: Vec<usize>,
        /// Sample numbers, best first.
        got: Vec<usize>,
        /// How far the worst exchanged pair is apart, for the trainer.
        gap: f32,
        /// What counts as a near tie.
        allowed: f32,
    },
    /// The base takes any batch, but what was written does not say so.
    #[error("{}: expected output {output:?} with a batch of any size, got {got}", path.display())]
    FixedBatch {
        /// The graph file.
        path: PathBuf,
        /// The output.
        output: String,
        /// The declared shape.
        got: String,
    },
}
