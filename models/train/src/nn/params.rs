//! What does training change? A list of named arrays, kept as plain numbers, so
//! that saving, averaging and updating them needs no framework.

use rand::RngExt;
use rand_pcg::Pcg64;

/// Which part of the model an array belongs to; each may learn at its own rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The image side.
    Image,
    /// The text side.
    Text,
}

/// A place in [`Params`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(crate) usize);

/// One array.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Unique, such as `image.hidden.weight`.
    pub name: String,
    /// The size of each axis.
    pub shape: Vec<usize>,
    /// Whose it is.
    pub group: Group,
    /// Whether the optimiser changes it; running statistics are not.
    pub trained: bool,
    /// Row-major.
    pub values: Vec<f32>,
}

impl Param {
    /// Whether weight decay applies: only to what has more than one axis, so not
    /// to offsets and scales.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1
    }
}

/// All arrays of a model, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    list: Vec<Param>,
}

impl Params {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an array.
    ///
    /// # Panics
    /// If the name is taken or the values do not fill the shape: both are
    /// mistakes in the code that builds a network.
    pub fn add(
        &mut self,
        group: Group,
        name: String,
        shape: &[usize],
        trained: bool,
        values: Vec<f32>,
    ) -> Slot {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name} does not fill {shape:?}");
        assert!(self.list.iter().all(|p| p.name != name), "{name} is there already");
        self.list.push(Param { name, shape: shape.to_vec(), group, trained, values });
        Slot(self.list.len() - 1)
    }

    /// All of them.
    pub fn list(&self) -> &[Param] {
        &self.list
    }

    /// All of them, to change.
    pub fn list_mut(&mut self) -> &mut [Param] {
        &mut self.list
    }

    /// One of them.
    pub fn get(&self, slot: Slot) -> &Param {
        &self.list[slot.0]
    }

    /// The numbers of one of them.
    pub fn values_mut(&mut self, slot: Slot) -> &mut Vec<f32> {
        &mut self.list[slot.0].values
    }

    /// How many numbers training changes.
    pub fn trained(&self) -> usize {
        self.list.iter().filter(|p| p.trained).map(|p| p.values.len()).sum()
    }

    /// The first array with a number that is none.
    pub fn broken(&self) -> Option<&str> {
        let broken = self.list.iter().find(|p| p.values.iter().any(|v| !v.is_finite()));
        broken.map(|p| p.name.as_str())
    }
}

/// Numbers drawn evenly from ± `bound`.
pub(crate) fn uniform(rng: &mut Pcg64, count: usize, bound: f32) -> Vec<f32> {
    (0..count).map(|_| (rng.random::<f32>() * 2.0 - 1.0) * bound).collect()
}

/// The bound under which `inputs → outputs` keeps the variance of values and
/// gradients (Glorot and Bengio 2010).
pub(crate) fn glorot(inputs: usize, outputs: usize) -> f32 {
    (6.0 / (inputs + outputs).max(1) as f32).sqrt()
}

/// The bound under which a layer before a ReLU keeps the variance (He 2015).
pub(crate) fn he(inputs: usize) -> f32 {
    (6.0 / inputs.max(1) as f32).sqrt()
}
