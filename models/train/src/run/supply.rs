//! Where do batches come from?

use super::evaluate::HeldOut;
use crate::nn::Fed;

/// The inputs of one step. All rows belong together by place: text `i` is one of
/// picture `i`.
#[derive(Clone, Debug)]
pub struct Supplied {
    /// Of the image side.
    pub images: Fed,
    /// Of the text side; none in training on pictures alone.
    pub texts: Option<Fed>,
    /// The concept of each picture.
    pub groups: Vec<u32>,
    /// The class of each picture, where the data has classes.
    pub classes: Option<Vec<u32>>,
    /// The number of each picture's text, as [`Supply::near`] has them; none in
    /// training on pictures alone.
    pub words: Option<Vec<u32>>,
}

/// What is learnt from, whatever the batches of an epoch leave out.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnt {
    /// Positions of pictures, each once.
    pub pictures: Vec<usize>,
    /// The concept of each.
    pub groups: Vec<u32>,
    /// The class of each, where the data has classes.
    pub classes: Option<Vec<u32>>,
}

/// What a run trains on and is measured on.
///
/// # Contract
/// Each answer is a function of the arguments and of the seed it was made with:
/// asked again, in another process, it is the same to the bit.
pub trait Supply {
    /// The batches of an epoch, as positions of pictures. The number of batches
    /// may differ a little between epochs.
    ///
    /// # Errors
    /// In words, if the data allows no batch.
    fn epoch(&self, epoch: u64) -> Result<Vec<Vec<usize>>, String>;

    /// The inputs of a training step.
    fn batch(&self, pictures: &[usize], step: u64) -> Supplied;

    /// All pictures that are learnt from.
    fn learnt(&self) -> Learnt;

    /// For each text, by number, the others that say nearly the same, each way round: a
    /// picture that one of them was written for is no negative. None: all are.
    fn near(&self) -> Option<&[Vec<u32>]> {
        None
    }

    /// What is measured on.
    fn held_out(&self) -> &HeldOut;

    /// Inputs for pictures as they are, neither altered nor dropped.
    fn pictures(&self, pictures: &[usize]) -> Fed;

    /// Inputs for captions, by the numbers that [`HeldOut`] uses.
    fn captions(&self, captions: &[usize]) -> Fed;
}
