//! What would the loss be if all embeddings were one?

use ndarray::{Array2, ArrayView2};
use rand_pcg::Pcg64;

use super::{Batch, Loss, Objective, Step};
use crate::{LossError, Real, Stats};

impl Objective {
    /// The loss of the batch if all its rows were one: each modality's mean. Neither
    /// state nor chance changes.
    pub(super) fn collapsed<T: Real>(
        &self,
        batch: &Batch<'_, T>,
        progress: f64,
        out: &Step<T>,
        rng: &Pcg64,
    ) -> Result<Option<f64>, LossError> {
        let flat = |rows: ArrayView2<'_, T>| {
            let mean = rows.sum_axis(ndarray::Axis(0)) / T::of(rows.nrows().max(1) as f64);
            mean.broadcast(rows.dim()).map(|all| all.to_owned())
        };
        let Some(images) = flat(batch.images) else { return Ok(None) };
        let texts = batch.texts.and_then(flat);
        let batch =
            Batch { images: images.view(), texts: texts.as_ref().map(|t| t.view()), ..*batch };
        let mut flat = Step {
            loss: 0.0,
            images: Array2::zeros(images.dim()),
            texts: texts.as_ref().map(|t| Array2::zeros(t.dim())),
            parameters: out.parameters.clone(),
            image_lengths: None,
            text_lengths: None,
            stats: Stats::default(),
        };
        let mut rng = rng.clone();
        match self.options.loss.clone() {
            // Its clusters would change.
            Loss::Magnet(_) => return Ok(None),
            // Vectors of one direction still differ in length.
            Loss::NPair(_) => return Ok(None),
            Loss::Prototypes(options) => self.prototypes(&batch, &options, &mut flat, &mut rng)?,
            _ => self.similarities(&batch, progress, &mut flat, &mut rng)?,
        }
        Ok(Some(flat.loss))
    }
}
