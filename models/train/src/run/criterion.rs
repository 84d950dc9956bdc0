//! What is asked of embeddings? The seam between the loop and the losses.

use ekphrasis_metric::Near;
use ndarray::Array2;
use rand_pcg::Pcg64;

use super::supply::Learnt;
use crate::nn::Gradient;

/// What a loss is shown.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// rows × dim, of unit length.
    pub images: &'a Array2<f32>,
    /// The same for their texts; none in training on pictures alone.
    pub texts: Option<&'a Array2<f32>>,
    /// How long each row of `images` was before it was scaled to 1.
    pub image_lengths: &'a [f32],
    /// The same for texts.
    pub text_lengths: Option<&'a [f32]>,
    /// The concept of each row.
    pub groups: &'a [u32],
    /// The class of each row.
    pub classes: Option<&'a [u32]>,
    /// Which rows say nearly the same; none: all are negatives.
    pub near: Option<Near<'a>>,
    /// The positions of the pictures, which last over the run.
    pub rows: &'a [u32],
}

/// A figure of a step for the record.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// Such as `active`.
    pub name: String,
    /// Averaged over an epoch.
    pub value: f64,
}

/// What a loss says.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Lower is better.
    pub loss: f64,
    /// By the images.
    pub images: Gradient,
    /// By the texts.
    pub texts: Option<Gradient>,
    /// ∂loss/∂parameters of the loss, in their order.
    pub parameters: Vec<Vec<f32>>,
    /// For the record.
    pub notes: Vec<Note>,
    /// What is wrong, with advice, in plain words.
    pub findings: Vec<String>,
}

/// Why a batch was not judged, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It leaves nothing to learn from; another may do.
    Batch(String),
    /// None will do.
    All(String),
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self::All(why)
    }
}

/// A loss with its memory.
///
/// # Contract
/// A function of the batch, the progress, the numbers drawn from `rng`, and its
/// own state; [`Self::export`] holds all of that state.
pub trait Criterion {
    /// Judges the embeddings of a step. `progress` is the share of the run that
    /// is done, in [0, 1].
    ///
    /// # Errors
    /// `Batch` if this one leaves nothing to learn from (then the state is as before),
    /// `All` for what is wrong with any.
    fn judge(
        &mut self,
        batch: &Judged<'_>,
        progress: f64,
        rng: &mut Pcg64,
    ) -> Result<Judgement, Refused>;

    /// Whether [`Self::refresh`] is to come before the next step.
    fn refresh_due(&self) -> bool {
        false
    }

    /// Looks at all training pictures as the model, at inference, sees them now:
    /// `images` has a row for each, of unit length.
    ///
    /// # Errors
    /// In words, if that leaves nothing to learn from.
    fn refresh(&mut self, _learnt: &Learnt, _images: &Array2<f32>) -> Result<(), String> {
        Ok(())
    }

    /// The pictures of the next step, where the loss chooses them itself; none:
    /// the epoch's.
    fn choose(&self, _batch: usize, _rng: &mut Pcg64) -> Option<Vec<usize>> {
        None
    }

    /// The loss's own parameters, to be changed by the optimiser.
    fn parameters(&mut self) -> Vec<&mut [f32]>;

    /// After the optimiser changed them: back into their range.
    fn constrain(&mut self) {}

    /// Its state, parameters included.
    fn export(&self) -> Vec<u8>;

    /// Takes up a saved state.
    ///
    /// # Errors
    /// In words, if it is none of this loss.
    fn import(&mut self, state: &[u8]) -> Result<(), String>;
}
