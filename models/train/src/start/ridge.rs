//! Given features and where their pictures should lie, which linear map comes
//! nearest? Ridge regression, solved in closed form, and the coordinates in which
//! a correction of it is trained best.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::StartError;
use super::cholesky::{Cholesky, cross, gram};
use super::standard::Standard;

/// Rows that are whitened at once.
const ROWS: usize = 1024;

/// The map that minimises `mean ‖u·W − y‖² + penalty·‖W‖²` over the rows, for
/// standardised features u.
///
/// With `L·Lᵀ = UᵀU/n + penalty·I`, `W = L⁻ᵀ·V` and `V = Zᵀ·Y/n` for the whitened
/// features `z = L⁻¹·u`. So one factorisation gives the map and the coordinates.
/// In these every direction has a variance of at most 1, and a step of AdamW moves
/// all of them alike; among the features themselves, some of which say nearly the
/// same, it would move the directions they share far too fast.
///
/// # Source
/// Hoerl and Kennard 1970; whitening up to a rotation, as Kessy et al. 2018 show
/// for every factor of the covariance.
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    standard: Standard,
    factor: Cholesky,
    weight: Array2<f32>,
}

impl Ridge {
    /// Solves. The penalty counts beside features of variance 1.
    ///
    /// # Shapes
    /// `x`: n × features; `y`: n × dim, of mean 0.
    ///
    /// # Errors
    /// As [`Standard::fit`], `Rows` for another number of targets, `NotFinite`
    /// targets, `Penalty` for one that is not over 0.
    pub fn fit(
        x: ArrayView2<'_, f32>,
        y: ArrayView2<'_, f64>,
        penalty: f64,
        clip: f32,
    ) -> Result<Self, StartError> {
        if !(penalty.is_finite() && penalty > 0.0) {
            return Err(StartError::Penalty(penalty));
        }
        if x.nrows() != y.nrows() {
            return Err(StartError::Rows { features: x.nrows(), targets: y.nrows() });
        }
        if let Some(((row, column), &got)) = y.indexed_iter().find(|(_, v)| !v.is_finite()) {
            let got = got as f32;
            return Err(StartError::NotFinite { what: "targets", row, column, got });
        }
        let standard = Standard::fit(x, clip)?;
        let n = x.nrows() as f64;
        let u = standard.apply(x);
        let mut covariance = gram(u.view()) / n;
        covariance.diag_mut().iter_mut().for_each(|v| *v += penalty);
        // With a penalty over 0 the sum is positive definite; numbers so large that
        // they overflow would be the only way to fail.
        let factor = Cholesky::new(covariance).map_err(|_| StartError::Penalty(penalty))?;
        let moments = cross(u.view(), y) / n;
        // V = L⁻¹·(UᵀY/n), with its columns as the rows that are solved.
        let mut weight = moments.t().as_standard_layout().into_owned();
        factor.solve_rows(weight.view_mut());
        let weight = weight.t().mapv(|v| v as f32).as_standard_layout().into_owned();
        Ok(Self { standard, factor, weight })
    }

    /// How features are brought to one scale.
    pub fn standard(&self) -> &Standard {
        &self.standard
    }

    /// V: whitened features × dim.
    pub fn weight(&self) -> &Array2<f32> {
        &self.weight
    }

    /// z of other rows of the same features.
    ///
    /// # Panics
    /// If the rows have another width.
    pub fn whiten(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut z = Array2::zeros(x.dim());
        let parts = x.axis_chunks_iter(Axis(0), ROWS).zip(z.axis_chunks_iter_mut(Axis(0), ROWS));
        let parts: Vec<_> = parts.collect();
        parts.into_par_iter().for_each(|(x, mut z)| {
            let mut part = self.standard.apply(x).mapv(f64::from);
            self.factor.solve_rows(part.view_mut());
            z.assign(&part.mapv(|v| v as f32));
        });
        z
    }

    /// V as it would be without some of the rows it was fitted to, at the same
    /// scales and the same penalty on the sum of squares: exactly, by the
    /// leave-out formula, and at the cost of those rows alone.
    ///
    /// # Shapes
    /// `whitened`: left out × features; `residual`: left out × dim, what those
    /// rows' targets are minus what the whole map says; `rows`: all it was fitted to.
    ///
    /// # Errors
    /// `Penalty` if it is so small that the rest of the rows determine no map.
    ///
    /// # Source
    /// Allen 1974, the PRESS statistic, for groups of rows:
    /// `W₋ = W − A⁻¹·U_gᵀ·(I − H_g)⁻¹·e_g`, `H_g = U_g·A⁻¹·U_gᵀ`, `A = UᵀU + n·penalty·I`.
    pub fn without(
        &self,
        whitened: ArrayView2<'_, f32>,
        residual: ArrayView2<'_, f64>,
        rows: usize,
    ) -> Result<Array2<f32>, StartError> {
        let n = rows as f64;
        // A⁻¹ = L⁻ᵀ·L⁻¹/n, so H_g = Z_g·Z_gᵀ/n.
        let mut rest = gram(whitened.t()) / -n;
        rest.diag_mut().iter_mut().for_each(|v| *v += 1.0);
        let factor = Cholesky::new(rest).map_err(|_| StartError::Penalty(f64::EPSILON))?;
        let mut error = residual.t().as_standard_layout().into_owned();
        factor.solve_rows(error.view_mut());
        let mut error = error.t().as_standard_layout().into_owned();
        factor.solve_transposed(&mut error);
        let change = cross(whitened, error.view()) / n;
        Ok(&self.weight - &change.mapv(|v| v as f32))
    }

    /// The same map as `weight` on whitened features, but on standardised ones: `L⁻ᵀ·weight`.
    ///
    /// # Panics
    /// If it has another number of rows than there are features.
    pub fn unwhiten(&self, weight: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut columns = weight.mapv(f64::from);
        self.factor.solve_transposed(&mut columns);
        columns.mapv(|v| v as f32)
    }
}
