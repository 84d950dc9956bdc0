//! Given features of frozen towers and the texts of the training pictures, from
//! where should training start? From the best linear map in closed form, instead
//! of from the base alone: [`Start`]. What is trained is a correction of it, and
//! both are published as one linear layer.

mod cholesky;
mod fold;
mod ridge;
mod space;
mod standard;
#[cfg(test)]
mod tests;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

pub use cholesky::Cholesky;
pub use ridge::Ridge;
pub use space::TextSpace;
pub use standard::Standard;

/// How a start is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartOptions {
    /// Of the ridge, beside features of variance 1; over 0.
    pub penalty: f64,
    /// Where features are cut off, in deviations; over 0.
    pub clip: f32,
    /// How much of the base (minus its mean) is added to the map; 0: nothing.
    pub base: f32,
    /// How far the directions in which texts vary most are shrunk: their centred
    /// covariance to the power of minus this is applied to both sides. 0: not at all.
    pub shrink: f64,
    /// What the correction on the image side reads.
    pub correct: Correct,
}

/// What a correction on the image side reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Correct {
    /// Where the picture starts: dim × dim numbers, which new pictures share most.
    #[default]
    Embedding,
    /// The whitened features: features × dim numbers.
    Features,
}

/// Why there is no start.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Nothing to learn from.
    #[error(
        "the start needs training pictures and features: expected at least one of each, got {rows} pictures with {columns} numbers; add pairs, or set start.kind = \"none\""
    )]
    Empty {
        /// Pictures.
        rows: usize,
        /// Numbers a picture.
        columns: usize,
    },
    /// A NaN or an infinity.
    #[error(
        "{what} of the start, row {row}, number {column}: expected a finite number, got {got}; the base model is broken, or its cached values are: delete the cache"
    )]
    NotFinite {
        /// Features or targets.
        what: &'static str,
        /// Training picture.
        row: usize,
        /// Place in it.
        column: usize,
        /// What is there.
        got: f32,
    },
    /// All pictures look the same to the base.
    #[error(
        "the start needs features that differ: expected some of {columns} to, got the same for all {rows} pictures; add other pictures, or name other image.features"
    )]
    Constant {
        /// Pictures.
        rows: usize,
        /// Numbers a picture.
        columns: usize,
    },
    /// Not as many targets as pictures.
    #[error("the start: expected a target for each of {features} pictures, got {targets}")]
    Rows {
        /// Rows of features.
        features: usize,
        /// Rows of targets.
        targets: usize,
    },
    /// A penalty that makes no problem with one solution.
    #[error("start.penalty: expected a number over 0 that fits the features, got {0}")]
    Penalty(f64),
    /// The base and the texts lie in other spaces.
    #[error(
        "the start adds the base to a map into the texts' space: expected {texts} numbers, got {base}; set start.base = 0"
    )]
    Base {
        /// Width of the base.
        base: usize,
        /// Width of the texts.
        texts: usize,
    },
}

/// Where training starts, on both sides. Before unit length:
///
/// - pictures: `(b · (base − its mean) + u·W) · M`, u the standardised features;
/// - texts: `(text − mean caption) · M`,
///
/// each times a number that makes the mean length over the training pictures 1,
/// so that a correction weighs alike on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    ridge: Ridge,
    /// Whitened features × dim, M included.
    weight: Array2<f32>,
    /// b.
    base: f32,
    base_mean: Array1<f32>,
    space: TextSpace,
    image_gain: f32,
    text_gain: f32,
    correct: Correct,
}

impl Start {
    /// Solves for training pictures.
    ///
    /// # Shapes
    /// `features`: pictures × features; `base`: pictures × dim, needed where
    /// `options.base` is over 0; `targets`: pictures × dim, where each should lie,
    /// of unit length; `captions`: captions × dim, the texts that the space is
    /// centred by.
    ///
    /// # Errors
    /// As [`StartError`] says.
    pub fn fit(
        features: ArrayView2<'_, f32>,
        base: Option<ArrayView2<'_, f32>>,
        targets: ArrayView2<'_, f32>,
        captions: ArrayView2<'_, f32>,
        options: StartOptions,
    ) -> Result<Self, StartError> {
        let dim = targets.ncols();
        let centred = |x: ArrayView2<'_, f32>| {
            let mean = standard::mean(x);
            (x.mapv(f64::from) - &mean, mean.mapv(|v| v as f32))
        };
        let (mut y, _) = centred(targets);
        let mut base_mean = Array1::zeros(dim);
        if let Some(base) = base.filter(|_| options.base > 0.0) {
            if base.dim() != targets.dim() {
                return Err(StartError::Base { base: base.ncols(), texts: dim });
            }
            let (base, mean) = centred(base);
            // The map explains what the base leaves.
            y.scaled_add(-f64::from(options.base), &base);
            base_mean = mean;
        }
        let ridge = Ridge::fit(features, y.view(), options.penalty, options.clip)?;
        let space = TextSpace::fit(captions, options.shrink)?;
        let weight = space.turn(ridge.weight().view());
        let StartOptions { correct, base: by, .. } = options;
        let (image_gain, text_gain) = (1.0, 1.0);
        let mut start =
            Self { ridge, weight, base: by, base_mean, space, image_gain, text_gain, correct };
        let images = start.images(start.features(features).view(), base);
        let texts = start.texts(captions);
        start.image_gain = 1.0 / mean_length(&images);
        start.text_gain = 1.0 / mean_length(&texts);
        Ok(start)
    }

    /// Width of the embeddings.
    pub fn dim(&self) -> usize {
        self.weight.ncols()
    }

    /// What a correction is trained on: whitened features, pictures × features.
    ///
    /// # Panics
    /// If the rows have another width than those it was fitted to.
    pub fn features(&self, features: ArrayView2<'_, f32>) -> Array2<f32> {
        self.ridge.whiten(features)
    }

    /// Where the pictures of these whitened features (and base values) start,
    /// pictures × dim, before unit length.
    ///
    /// # Panics
    /// If the base is needed and absent, or widths differ.
    pub fn images(
        &self,
        whitened: ArrayView2<'_, f32>,
        base: Option<ArrayView2<'_, f32>>,
    ) -> Array2<f32> {
        self.images_by(&self.weight, whitened, base)
    }

    /// The same by another map than the start's own, as [`Self::without`] gives them.
    ///
    /// # Panics
    /// As [`Self::images`].
    pub fn images_by(
        &self,
        weight: &Array2<f32>,
        whitened: ArrayView2<'_, f32>,
        base: Option<ArrayView2<'_, f32>>,
    ) -> Array2<f32> {
        let mut out = whitened.dot(weight);
        if self.base > 0.0 {
            let base = base.expect("a start on a base is given the base");
            let moved = (&base - &self.base_mean) * self.base;
            out += &self.space.turn(moved.view());
        }
        out * self.image_gain
    }

    /// What the correction of pictures is trained on.
    pub fn correct(&self) -> Correct {
        self.correct
    }

    /// For each fold 0, 1, …, the map as it would be without the pictures of that
    /// fold. A correction that is trained from these learns from errors such as new
    /// pictures have; the start's own map fits its training pictures too well.
    ///
    /// # Shapes
    /// `whitened`, `base` and `targets` are those of all training pictures, in the
    /// order in which it was fitted; `folds` one number for each.
    ///
    /// # Errors
    /// `Penalty`, as [`Ridge::without`] says; `Rows` for another number of folds.
    pub fn without(
        &self,
        whitened: ArrayView2<'_, f32>,
        base: Option<ArrayView2<'_, f32>>,
        targets: ArrayView2<'_, f32>,
        folds: &[u32],
    ) -> Result<Vec<Array2<f32>>, StartError> {
        if folds.len() != whitened.nrows() {
            return Err(StartError::Rows { features: whitened.nrows(), targets: folds.len() });
        }
        let mut residual = targets.mapv(f64::from) - &standard::mean(targets);
        if let Some(base) = base.filter(|_| self.base > 0.0) {
            let moved = (&base - &self.base_mean).mapv(f64::from);
            residual.scaled_add(-f64::from(self.base), &moved);
        }
        residual -= &whitened.dot(self.ridge.weight()).mapv(f64::from);
        let count = folds.iter().max().map_or(0, |&most| most + 1);
        (0..count)
            .map(|fold| {
                let own: Vec<usize> = (0..folds.len()).filter(|&i| folds[i] == fold).collect();
                let (z, e) = (whitened.select(Axis(0), &own), residual.select(Axis(0), &own));
                let weight = self.ridge.without(z.view(), e.view(), folds.len())?;
                Ok(self.space.turn(weight.view()))
            })
            .collect()
    }

    /// Where texts start, texts × dim, before unit length.
    ///
    /// # Panics
    /// If the rows have another width.
    pub fn texts(&self, texts: ArrayView2<'_, f32>) -> Array2<f32> {
        self.space.apply(texts) * self.text_gain
    }
}

/// The mean length of rows; 1 where all are zero.
fn mean_length(rows: &Array2<f32>) -> f32 {
    let lengths = rows.rows().into_iter().map(|row| f64::from(row.dot(&row).sqrt()));
    let mean = lengths.sum::<f64>() / rows.nrows().max(1) as f64;
    if mean > 0.0 { mean as f32 } else { 1.0 }
}
