//! Given features of several kinds, how do they come to one scale? Each is
//! brought to mean 0 and deviation 1, and what lies far out is cut off.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::StartError;
use crate::layer::{Array, Layer, LayerError};

/// A deviation below this share of the largest value is rounding: such a feature
/// is constant, and becomes 0.
const CONSTANT: f64 = 1e-6;

/// `u = clip(x ⊙ scale + shift) − centre`.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    scale: Array1<f32>,
    shift: Array1<f32>,
    clip: f32,
    /// What is left of the mean after clipping.
    centre: Array1<f32>,
}

impl Standard {
    /// Measures `x` (pictures × features). `clip` is in deviations, over 0.
    ///
    /// # Errors
    /// `Empty` without rows or columns, `NotFinite`, and `Constant` if all
    /// features are constant. A single constant one becomes 0.
    pub fn fit(x: ArrayView2<'_, f32>, clip: f32) -> Result<Self, StartError> {
        let (n, d) = x.dim();
        if n == 0 || d == 0 {
            return Err(StartError::Empty { rows: n, columns: d });
        }
        if let Some(((row, column), &got)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(StartError::NotFinite { what: "features", row, column, got });
        }
        let mean = mean(x);
        let mut squares = Array1::<f64>::zeros(d);
        let mut most = Array1::<f64>::zeros(d);
        for row in x.rows() {
            for (i, &v) in row.iter().enumerate() {
                let v = f64::from(v);
                squares[i] += (v - mean[i]).powi(2);
                most[i] = most[i].max(v.abs());
            }
        }
        let deviation = squares.mapv(|v| (v / n as f64).sqrt());
        let scale: Array1<f64> = deviation
            .iter()
            .zip(&most)
            .map(
                |(&deviation, &most)| {
                    if deviation > CONSTANT * most { 1.0 / deviation } else { 0.0 }
                },
            )
            .collect();
        if scale.iter().all(|&s| s == 0.0) {
            return Err(StartError::Constant { rows: n, columns: d });
        }
        let shift = -(&mean * &scale);
        let mut standard = Self {
            scale: scale.mapv(|v| v as f32),
            shift: shift.mapv(|v| v as f32),
            clip,
            centre: Array1::zeros(d),
        };
        let mut sum = Array1::<f64>::zeros(d);
        for rows in x.axis_chunks_iter(Axis(0), 512) {
            sum += &standard.apply(rows).mapv(f64::from).sum_axis(Axis(0));
        }
        standard.centre = sum.mapv(|v| (v / n as f64) as f32);
        Ok(standard)
    }

    /// Features.
    pub fn width(&self) -> usize {
        self.scale.len()
    }

    /// Other rows of the same features, at the same scale.
    ///
    /// # Panics
    /// If the rows have another width.
    pub fn apply(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut u = &x * &self.scale + &self.shift;
        u.mapv_inplace(|v| v.clamp(-self.clip, self.clip));
        u - &self.centre
    }

    /// The first two steps as layers; the centre goes into the linear layer after them.
    pub(super) fn layers(&self) -> Result<Vec<Layer>, LayerError> {
        let array = |a: &Array1<f32>| Array::new(&[a.len()], a.to_vec());
        Ok(vec![
            Layer::Scale { scale: array(&self.scale)?, shift: array(&self.shift)? },
            Layer::Clip { low: -self.clip, high: self.clip },
        ])
    }

    pub(super) fn centre(&self) -> &Array1<f32> {
        &self.centre
    }
}

/// The mean of each column, summed in 64 bits.
pub(super) fn mean(x: ArrayView2<'_, f32>) -> Array1<f64> {
    let mut sum = Array1::<f64>::zeros(x.ncols());
    for row in x.rows() {
        sum.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v));
    }
    sum / x.nrows().max(1) as f64
}
