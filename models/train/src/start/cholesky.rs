//! Given a symmetric positive definite matrix A of some thousand rows, what is L
//! with A = L·Lᵀ, and what are L⁻¹·x and L⁻ᵀ·x? In blocks, so that nearly all of
//! the work is matrix products.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use rayon::prelude::*;

/// Columns of a block: small beside the matrix, large enough for matrix products.
const BLOCK: usize = 96;
/// Columns of the trailing matrix that are updated at once.
const WIDE: usize = 512;
/// Rows that are worked on at once.
const ROWS: usize = 512;

/// L, with the inverse of each of its diagonal blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Cholesky {
    lower: Array2<f64>,
    inverses: Vec<Array2<f64>>,
}

impl Cholesky {
    /// Factors `a`; only its lower triangle is read.
    ///
    /// # Errors
    /// The row at which `a` turns out not to be positive definite (or not finite).
    ///
    /// # Panics
    /// If `a` is not square.
    pub fn new(mut a: Array2<f64>) -> Result<Self, usize> {
        let n = a.nrows();
        assert_eq!(n, a.ncols(), "a square matrix");
        let mut inverses = Vec::with_capacity(n.div_ceil(BLOCK));
        for start in (0..n).step_by(BLOCK) {
            let end = (start + BLOCK).min(n);
            factor_block(a.slice_mut(s![start..end, start..end])).map_err(|row| start + row)?;
            let inverse = invert_block(a.slice(s![start..end, start..end]));
            let panel = a.slice(s![end.., start..end]).dot(&inverse.t());
            a.slice_mut(s![end.., start..end]).assign(&panel);
            for column in (end..n).step_by(WIDE) {
                let to = (column + WIDE).min(n);
                let rows = panel.slice(s![column - end.., ..]);
                let columns = panel.slice(s![column - end..to - end, ..]);
                let mut rest = a.slice_mut(s![column.., column..to]);
                general_mat_mul(-1.0, &rows, &columns.t(), 1.0, &mut rest);
            }
            inverses.push(inverse);
        }
        Ok(Self { lower: a, inverses })
    }

    /// Rows of A.
    pub fn len(&self) -> usize {
        self.lower.nrows()
    }

    /// Whether A has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each row x of `rows` (count × n) becomes L⁻¹·x.
    ///
    /// # Panics
    /// If the rows have another width than A.
    pub fn solve_rows(&self, mut rows: ArrayViewMut2<'_, f64>) {
        assert_eq!(rows.ncols(), self.len(), "rows as wide as the matrix");
        let parts: Vec<_> = rows.axis_chunks_iter_mut(ndarray::Axis(0), ROWS).collect();
        parts.into_par_iter().for_each(|mut part| {
            for (k, inverse) in self.inverses.iter().enumerate() {
                let start = k * BLOCK;
                let end = start + inverse.nrows();
                let (done, mut now) = part.view_mut().split_at(ndarray::Axis(1), start);
                let mut now = now.slice_mut(s![.., ..end - start]);
                let before = self.lower.slice(s![start..end, ..start]);
                general_mat_mul(-1.0, &done, &before.t(), 1.0, &mut now);
                let solved = now.dot(&inverse.t());
                now.assign(&solved);
            }
        });
    }

    /// Each column x of `columns` (n × count) becomes L⁻ᵀ·x.
    ///
    /// # Panics
    /// If the columns have another length than A has rows.
    pub fn solve_transposed(&self, columns: &mut Array2<f64>) {
        assert_eq!(columns.nrows(), self.len(), "columns as long as the matrix");
        for (k, inverse) in self.inverses.iter().enumerate().rev() {
            let start = k * BLOCK;
            let end = start + inverse.nrows();
            let (mut before, after) = columns.view_mut().split_at(ndarray::Axis(0), end);
            let mut now = before.slice_mut(s![start.., ..]);
            let below = self.lower.slice(s![end.., start..end]);
            general_mat_mul(-1.0, &below.t(), &after, 1.0, &mut now);
            let solved = inverse.t().dot(&now);
            now.assign(&solved);
        }
    }
}

/// The textbook recursion; the error is the row whose pivot is not over 0.
fn factor_block(mut a: ArrayViewMut2<'_, f64>) -> Result<(), usize> {
    for j in 0..a.nrows() {
        let before = a.slice(s![j, ..j]).dot(&a.slice(s![j, ..j]));
        let pivot = a[[j, j]] - before;
        if !(pivot.is_finite() && pivot > 0.0) {
            return Err(j);
        }
        let root = pivot.sqrt();
        a[[j, j]] = root;
        for i in j + 1..a.nrows() {
            let sum = a.slice(s![i, ..j]).dot(&a.slice(s![j, ..j]));
            a[[i, j]] = (a[[i, j]] - sum) / root;
        }
    }
    Ok(())
}

/// The inverse of a lower triangle; what is above the diagonal is not read.
fn invert_block(lower: ArrayView2<'_, f64>) -> Array2<f64> {
    let n = lower.nrows();
    let mut inverse = Array2::zeros((n, n));
    for column in 0..n {
        inverse[[column, column]] = 1.0 / lower[[column, column]];
        for row in column + 1..n {
            let sum: f64 = (column..row).map(|k| lower[[row, k]] * inverse[[k, column]]).sum();
            inverse[[row, column]] = -sum / lower[[row, row]];
        }
    }
    inverse
}

/// XᵀX in 64 bits; the upper triangle stays zero.
pub(super) fn gram(x: ArrayView2<'_, f32>) -> Array2<f64> {
    let d = x.ncols();
    let starts: Vec<usize> = (0..d).step_by(WIDE).collect();
    // Each strip of columns is summed in one order, however many threads there are.
    let strips: Vec<Array2<f64>> = starts
        .par_iter()
        .map(|&start| {
            let width = WIDE.min(d - start);
            let mut sum = Array2::zeros((d - start, width));
            for rows in x.axis_chunks_iter(ndarray::Axis(0), ROWS) {
                let rows = rows.slice(s![.., start..]).mapv(f64::from);
                let own = rows.slice(s![.., ..width]);
                general_mat_mul(1.0, &rows.t(), &own, 1.0, &mut sum);
            }
            sum
        })
        .collect();
    let mut gram = Array2::zeros((d, d));
    for (start, strip) in starts.into_iter().zip(strips) {
        gram.slice_mut(s![start.., start..start + strip.ncols()]).assign(&strip);
    }
    gram
}

/// XᵀY in 64 bits.
pub(super) fn cross(x: ArrayView2<'_, f32>, y: ArrayView2<'_, f64>) -> Array2<f64> {
    let mut sum = Array2::zeros((x.ncols(), y.ncols()));
    let rows = ndarray::Axis(0);
    for (x, y) in x.axis_chunks_iter(rows, ROWS).zip(y.axis_chunks_iter(rows, ROWS)) {
        general_mat_mul(1.0, &x.mapv(f64::from).t(), &y, 1.0, &mut sum);
    }
    sum
}
