//! Given the texts that pictures are to be found by, in which space should both be
//! compared? One without the mean that all texts share, and in which the few
//! directions along which they differ most count for less.

use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array1, Array2, ArrayView2};

use super::{StartError, standard};

/// Added to the covariance's eigenvalues, relative to their mean: directions in
/// which texts do not differ at all must not grow without bound.
const LEAST: f64 = 1e-3;

/// `t ↦ (t − mean) · M` with `M = (C / mean eigenvalue)^(−shrink)`, C the centred
/// covariance of the captions.
///
/// Neighbours in the raw space are drawn to a few hubs (texts near the mean);
/// centring and shrinking loosen them.
///
/// # Source
/// Mu and Viswanath 2018, "All-but-the-top", for what the mean and the first
/// directions do to text embeddings; the power form is partial whitening.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSpace {
    mean: Array1<f32>,
    /// None: the identity.
    map: Option<Array2<f32>>,
}

impl TextSpace {
    /// Measures captions (texts × dim).
    ///
    /// # Errors
    /// `Empty`; `NotFinite`.
    pub fn fit(captions: ArrayView2<'_, f32>, shrink: f64) -> Result<Self, StartError> {
        let (n, d) = captions.dim();
        if n == 0 || d == 0 {
            return Err(StartError::Empty { rows: n, columns: d });
        }
        if let Some(((row, column), &got)) = captions.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(StartError::NotFinite { what: "texts", row, column, got });
        }
        let mean = standard::mean(captions);
        let centred = captions.mapv(f64::from) - &mean;
        let mean = mean.mapv(|v| v as f32);
        if shrink == 0.0 {
            return Ok(Self { mean, map: None });
        }
        let covariance = centred.t().dot(&centred) / n as f64;
        let level = covariance.diag().sum() / d as f64;
        if level <= 0.0 {
            return Ok(Self { mean, map: None });
        }
        let matrix = DMatrix::from_fn(d, d, |i, j| covariance[[i, j]] / level);
        let SymmetricEigen { eigenvectors, eigenvalues } = SymmetricEigen::new(matrix);
        let powers = eigenvalues.map(|v| (v.max(0.0) + LEAST).powf(-shrink));
        let map = &eigenvectors * DMatrix::from_diagonal(&powers) * eigenvectors.transpose();
        let map = Array2::from_shape_fn((d, d), |(i, j)| map[(i, j)] as f32);
        Ok(Self { mean, map: Some(map) })
    }

    /// The mean that is taken off.
    pub fn mean(&self) -> &Array1<f32> {
        &self.mean
    }

    /// M, dim × dim; none for the identity.
    pub fn map(&self) -> Option<&Array2<f32>> {
        self.map.as_ref()
    }

    /// `rows · M`.
    ///
    /// # Panics
    /// If the rows have another width.
    pub fn turn(&self, rows: ArrayView2<'_, f32>) -> Array2<f32> {
        match &self.map {
            Some(map) => rows.dot(map),
            None => rows.to_owned(),
        }
    }

    /// `(rows − mean) · M`.
    ///
    /// # Panics
    /// If the rows have another width.
    pub fn apply(&self, rows: ArrayView2<'_, f32>) -> Array2<f32> {
        self.turn((&rows - &self.mean).view())
    }
}
