//! Which numbers do the losses work in? f32 in training, f64 in tests.

use ndarray::{Array2, ArrayView2, Axis, NdFloat};
use rayon::prelude::*;

/// A floating-point number that losses are computed in: `f32` or `f64`.
pub trait Real: NdFloat + std::iter::Sum {
    /// The nearest number of this type.
    fn of(x: f64) -> Self;
    /// The same number in f64, in which all sums of losses are kept.
    fn wide(self) -> f64;
    /// eˣ in a form that the compiler turns into vector instructions; in f32 within
    /// 3 units in the last place for −87 ≤ x ≤ 88, clamped outside.
    fn quick_exp(self) -> Self;
    /// A whole number that stands for a number at a place.
    type Nearness: Copy + Ord;
    /// Orders from the largest number to the smallest, and equal numbers by their
    /// place, so that the largest of many are found without looking each up.
    fn nearness(self, place: u32) -> Self::Nearness;
    /// The place that went in.
    fn place(nearness: Self::Nearness) -> usize;
}

impl Real for f64 {
    fn of(x: f64) -> Self {
        x
    }
    fn wide(self) -> f64 {
        self
    }
    fn quick_exp(self) -> Self {
        self.exp()
    }
    type Nearness = u128;
    fn nearness(self, place: u32) -> u128 {
        let bits = self.to_bits();
        // Negative numbers grow as their bits shrink.
        let falling = if bits >> 63 == 1 { bits } else { !bits & (u64::MAX >> 1) };
        u128::from(falling) << 32 | u128::from(place)
    }
    fn place(nearness: u128) -> usize {
        nearness as u32 as usize
    }
}

impl Real for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
    fn wide(self) -> f64 {
        f64::from(self)
    }
    #[inline]
    fn quick_exp(self) -> Self {
        // Adding 1.5·2²³ rounds to a whole number, which then stands in the low bits.
        const ROUND: f32 = 12_582_912.0;
        // ln 2 in two parts, so that x − n·ln 2 loses no digit.
        const LN2_HIGH: f32 = 0.693_359_4;
        const LN2_LOW: f32 = -2.121_944_4e-4;
        let x = self.clamp(-87.0, 88.0);
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = x - n * LN2_HIGH - n * LN2_LOW;
        let mut p = 1.0 / 720.0;
        p = p * r + 1.0 / 120.0;
        p = p * r + 1.0 / 24.0;
        p = p * r + 1.0 / 6.0;
        p = p * r + 0.5;
        p = p * r + 1.0;
        p = p * r + 1.0;
        // 2ⁿ, written into the exponent.
        p * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
    }
    type Nearness = u64;
    fn nearness(self, place: u32) -> u64 {
        let bits = self.to_bits();
        let falling = if bits >> 31 == 1 { bits } else { !bits & (u32::MAX >> 1) };
        u64::from(falling) << 32 | u64::from(place)
    }
    fn place(nearness: u64) -> usize {
        nearness as u32 as usize
    }
}

/// Rows scaled to (nearly) unit length, with the lengths that their backward pass needs.
#[derive(Clone, Debug)]
pub struct Normalised<T> {
    /// n × d: x/√(Σx² + ε).
    pub rows: Array2<T>,
    /// √(Σx² + ε) of each row.
    pub lengths: Vec<T>,
}

/// ε of [`normalise`]: small beside any real embedding, large enough that a row of
/// zeros has a finite gradient.
pub const EPSILON: f64 = 1e-12;

/// Scales each row x to y = x/√(Σx² + ε). A row of zeros stays zero.
///
/// # Shapes
/// `x`: n × d; the result has the same shape.
pub fn normalise<T: Real>(x: ArrayView2<'_, T>) -> Normalised<T> {
    let mut rows = x.as_standard_layout().into_owned();
    let mut lengths = Vec::with_capacity(rows.nrows());
    for mut row in rows.outer_iter_mut() {
        let length = (row.dot(&row) + T::of(EPSILON)).sqrt();
        row.mapv_inplace(|v| v / length);
        lengths.push(length);
    }
    Normalised { rows, lengths }
}

impl<T: Real> Normalised<T> {
    /// ∂L/∂x from ∂L/∂y, by (g − y(y·g))/√(Σx² + ε). For a row of zeros: g/√ε.
    ///
    /// # Panics
    /// If the shape is not that of the rows.
    pub fn backward(&self, gradient: ArrayView2<'_, T>) -> Array2<T> {
        assert_eq!(self.rows.dim(), gradient.dim(), "one gradient a row");
        let mut out = gradient.as_standard_layout().into_owned();
        for ((mut g, y), &length) in
            out.outer_iter_mut().zip(self.rows.outer_iter()).zip(&self.lengths)
        {
            let along = g.dot(&y);
            g.zip_mut_with(&y, |g, &y| *g = (*g - y * along) / length);
        }
        out
    }
}

/// Rows of a product that are worth a task of their own.
const ROWS: usize = 64;

/// `to` += `weight`·A·B, its rows shared out among threads. Each number is summed in
/// the same order for any number of them.
fn add_product<T: Real>(to: &mut Array2<T>, weight: T, a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) {
    let each = a.nrows().div_ceil(rayon::current_num_threads()).max(ROWS);
    let tasks = to.axis_chunks_iter_mut(Axis(0), each).zip(a.axis_chunks_iter(Axis(0), each));
    tasks.collect::<Vec<_>>().into_par_iter().for_each(|(mut to, a)| {
        ndarray::linalg::general_mat_mul(weight, &a, &b, T::one(), &mut to);
    });
}

/// A·Cᵀ: the cosines of rows of unit length.
pub(crate) fn cosines<T: Real>(a: ArrayView2<'_, T>, c: ArrayView2<'_, T>) -> Array2<T> {
    let mut s = Array2::zeros((a.nrows(), c.nrows()));
    add_product(&mut s, T::one(), a, c.t());
    s
}

const BLOCK: usize = 16;

/// The transpose in row order, by blocks that stay in the cache.
pub(crate) fn transposed<T: Real>(a: &Array2<T>) -> Array2<T> {
    let mut out = Array2::zeros((a.ncols(), a.nrows()));
    add_transposed(&mut out, a);
    out
}

/// `to` += `from`ᵀ. Both in row order.
pub(crate) fn add_transposed<T: Real>(to: &mut Array2<T>, from: &Array2<T>) {
    let (rows, columns) = from.dim();
    let (Some(to), Some(from)) = (to.as_slice_mut(), from.as_slice()) else {
        unreachable!("both matrices were made in row order here");
    };
    for i0 in (0..rows).step_by(BLOCK) {
        for j0 in (0..columns).step_by(BLOCK) {
            for j in j0..(j0 + BLOCK).min(columns) {
                for i in i0..(i0 + BLOCK).min(rows) {
                    to[j * rows + i] += from[i * columns + j];
                }
            }
        }
    }
}

/// Adds `weight`·G·C to `rows` and `weight`·Gᵀ·A to `columns`: from ∂L/∂S to the
/// embeddings that S = A·Cᵀ was made of. Where few entries of G are not zero, as for
/// hardest negatives, only those are visited.
pub(crate) fn pull_back<T: Real>(
    g: &Array2<T>,
    weight: T,
    a: ArrayView2<'_, T>,
    c: ArrayView2<'_, T>,
    rows: &mut Array2<T>,
    columns: Option<&mut Array2<T>>,
) {
    // Where the two ways take the same time, at 512 × 512 and 384 wide.
    let dense = g.iter().filter(|v| **v != T::zero()).count() * 5 > g.len();
    if dense {
        add_product(rows, weight, g.view(), c);
        if let Some(columns) = columns {
            add_product(columns, weight, g.t(), a);
        }
        return;
    }
    let entries = || g.indexed_iter().filter(|(_, v)| **v != T::zero());
    let to_rows =
        || entries().for_each(|((i, j), &v)| rows.row_mut(i).scaled_add(weight * v, &c.row(j)));
    let to_columns = || {
        if let Some(columns) = columns {
            entries().for_each(|((i, j), &v)| columns.row_mut(j).scaled_add(weight * v, &a.row(i)));
        }
    };
    rayon::join(to_rows, to_columns);
}
