//! What is trained: two sides, or one.

use ndarray::Array2;

use crate::nn::{Fed, Params, Tower, infer};

/// An image side and, unless only pictures are compared, a text side, with all
/// their numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The numbers of both.
    pub params: Params,
    /// The image side.
    pub image: Tower,
    /// The text side; none for training on pictures alone. One without layers
    /// and with a plain base is frozen.
    pub text: Option<Tower>,
}

impl Model {
    /// Embeddings of pictures, rows × dim, of unit length.
    pub fn images(&self, fed: Fed) -> Array2<f32> {
        infer(&self.image, &self.params, fed)
    }

    /// Embeddings of texts, rows × dim, of unit length; none without a text side.
    pub fn texts(&self, fed: Fed) -> Option<Array2<f32>> {
        self.text.as_ref().map(|tower| infer(tower, &self.params, fed))
    }

    /// How many numbers training changes.
    pub fn trained(&self) -> usize {
        self.params.trained()
    }
}
