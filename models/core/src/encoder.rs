//! Given tensors or texts, how does one get embeddings? Through these traits;
//! who implements them (ONNX Runtime, a fake in tests) is not known here.

use crate::{Embedding, EmbeddingError, ImageTensor, Preprocess, Space};

/// Why an encoder gave no embeddings. The whole call fails; nothing is half done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The tensor was made for another model.
    #[error("the model takes {expected} × {expected} pictures, got {got} × {got}")]
    InputSize {
        /// The side the model wants, in pixels.
        expected: u32,
        /// The side it got.
        got: u32,
    },
    /// The model gave something that is no embedding.
    #[error("the model's output is no embedding")]
    Output(#[from] EmbeddingError),
    /// The runtime failed.
    #[error("{what}")]
    Runtime {
        /// What was tried, and the runtime's own words.
        what: String,
    },
}

/// Embeds pictures.
///
/// # Contract
/// Output is in input order, one embedding a tensor, each in [`space`](Self::space).
/// An empty batch gives an empty result. A batch gives the same vectors as its
/// members one by one, up to rounding (cosine > 0.9999). Calls may come from
/// many threads at once.
pub trait ImageEncoder: Send + Sync {
    /// The space of every embedding this encoder gives.
    fn space(&self) -> &Space;

    /// How pictures are to be prepared for it.
    fn preprocess(&self) -> &Preprocess;

    /// Embeds a batch.
    ///
    /// # Errors
    /// `InputSize` for tensors of another model, `Output` and `Runtime` as they say.
    fn embed_images(&self, batch: &[ImageTensor]) -> Result<Vec<Embedding>, EncodeError>;
}

/// Embeds texts.
///
/// # Contract
/// As for [`ImageEncoder`]. Any string is valid, the empty one too; what is
/// longer than the model's context is cut. A text's vector does not depend on
/// the other texts of its batch (padding is masked).
pub trait TextEncoder: Send + Sync {
    /// The space of every embedding this encoder gives.
    fn space(&self) -> &Space;

    /// How much of a text the encoder has no words for: the share, 0 to 1, of its pieces
    /// that are unknown to it or only a part of a letter. 0 for the empty text.
    ///
    /// # Errors
    /// `Runtime` if that cannot be told.
    fn unknown_share(&self, text: &str) -> Result<f64, EncodeError>;

    /// Embeds a batch.
    ///
    /// # Errors
    /// `Output` and `Runtime` as they say.
    fn embed_texts(&self, batch: &[&str]) -> Result<Vec<Embedding>, EncodeError>;
}
