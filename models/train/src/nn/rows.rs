//! Given a head on a frozen tower and a batch, how do both passes go without a tape?
//!
//! A head's layers stand in one line, so its backward pass is written out here: no
//! parameter is copied, activations run on all threads, and nothing is computed that
//! no parameter needs. Towers with other layers go through burn, see
//! [`super::forward()`]. The same layers give the same numbers on either way, up to
//! rounding, and the same to the bit for any number of threads.

use ekphrasis_metric::Real;
use ndarray::{Array2, ArrayView2};
use rand_pcg::Pcg64;
use rayon::prelude::*;

use super::forward::{Gradient, kept};
use super::layer::{NORM_EPSILON, Op, UNIT_EPSILON};
use super::params::{Params, Slot};
use super::tower::{Base, Tower};

/// Rows a task.
const ROWS: usize = 16;
/// Columns a task.
const COLUMNS: usize = 64;

/// What a layer leaves for its gradient.
#[derive(Debug)]
enum Kept {
    Nothing,
    /// A linear layer's input.
    Input(Array2<f32>),
    /// What the gradient is multiplied by.
    Factors(Vec<f32>),
}

/// A forward pass.
#[derive(Debug)]
pub(super) struct Pass {
    base: Base,
    body: Vec<Op>,
    /// The base's rows, where they are mapped.
    rows: Option<Array2<f32>>,
    /// One a layer.
    kept: Vec<Kept>,
    embedding: Array2<f32>,
    lengths: Vec<f32>,
}

/// Whether a tower consists of what is written out here.
pub(super) fn takes(tower: &Tower) -> bool {
    let first = first_linear(&tower.body);
    tower.body.iter().enumerate().all(|(i, op)| match op {
        Op::Linear { .. } | Op::Gelu | Op::Dropout(_) => true,
        // Its gradient is never asked for there.
        Op::LayerNorm { affine: None, .. } => first.is_none_or(|first| i < first),
        _ => false,
    })
}

fn first_linear(body: &[Op]) -> Option<usize> {
    body.iter().position(|op| matches!(op, Op::Linear { .. }))
}

/// Runs a tower that [`takes`] said yes to; with dropout where there is an `rng`.
///
/// # Panics
/// If `base` and `features` are not what the tower reads.
pub(super) fn forward(
    tower: &Tower,
    params: &Params,
    base: Option<Array2<f32>>,
    features: Option<Array2<f32>>,
    mut rng: Option<Pcg64>,
) -> Pass {
    let (mut onto, rows) = match tower.base {
        Base::None => (None, None),
        Base::Plain => (Some(base.expect("a head on a base is fed the base")), None),
        Base::Mapped(slot) => {
            let rows = in_order(base.expect("a head on a base is fed the base"));
            (Some(product(rows.view(), weight(params, slot))), Some(rows))
        }
    };
    let mut kept_of = Vec::with_capacity(tower.body.len());
    let mut through = features.filter(|_| !tower.body.is_empty()).map(in_order);
    for (i, op) in tower.body.iter().enumerate() {
        let x = through.take().expect("layers are fed something");
        let (y, kept) = match op {
            Op::Linear { weight: slot, bias } => {
                // The last layer adds to the base at once.
                let onto = if i + 1 == tower.body.len() { onto.take() } else { None };
                let bias = bias.map(|slot| params.get(slot).values.as_slice());
                (linear(x.view(), weight(params, *slot), bias, onto), Kept::Input(x))
            }
            Op::LayerNorm { .. } => (standardised(x), Kept::Nothing),
            Op::Gelu => {
                let (y, slopes) = gelu(x);
                (y, Kept::Factors(slopes))
            }
            Op::Dropout(share) => match rng.as_mut().filter(|_| *share > 0.0) {
                Some(rng) => {
                    let factors = kept(rng, x.len(), *share);
                    (times(x, &factors), Kept::Factors(factors))
                }
                None => (x, Kept::Nothing),
            },
            other => unreachable!("{other:?} is no layer of a head"),
        };
        kept_of.push(kept);
        through = Some(y);
    }
    let sum = match (onto, through) {
        (Some(base), Some(through)) => base + through,
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => panic!("a tower has a base or layers"),
    };
    let (embedding, lengths) = normalised(in_order(sum));
    let (base, body) = (tower.base.clone(), tower.body.clone());
    Pass { base, body, rows, kept: kept_of, embedding, lengths }
}

/// The gradient of each parameter, by place. `params` are those of the forward pass.
pub(super) fn backward(pass: Pass, gradient: Gradient, params: &Params) -> Vec<Option<Vec<f32>>> {
    let mut gradients = vec![None; params.list().len()];
    let mut add = |slot: Slot, gradient: Vec<f32>| gradients[slot.0] = Some(gradient);
    let mut g = before_normalising(&pass, gradient);
    if let (Base::Mapped(slot), Some(rows)) = (&pass.base, &pass.rows) {
        add(*slot, product(rows.t(), g.view()).into_raw_vec_and_offset().0);
    }
    // Nothing before the first layer with parameters needs a gradient.
    let first = first_linear(&pass.body).unwrap_or(pass.body.len());
    for (i, (op, kept)) in pass.body.iter().zip(pass.kept).enumerate().skip(first).rev() {
        match (op, kept) {
            (Op::Linear { weight: slot, bias }, Kept::Input(x)) => {
                if let Some(bias) = bias {
                    add(*bias, sum_of_rows(&g));
                }
                add(*slot, product(x.t(), g.view()).into_raw_vec_and_offset().0);
                if i > first {
                    g = product(g.view(), weight(params, *slot).t());
                }
            }
            (_, Kept::Factors(factors)) => g = times(g, &factors),
            (Op::Dropout(_), Kept::Nothing) => {}
            (op, kept) => unreachable!("{op:?} leaves no {kept:?} behind a linear layer"),
        }
    }
    gradients
}

impl Pass {
    /// rows × dim, each of unit length.
    pub(super) fn embedding(&self) -> &Array2<f32> {
        &self.embedding
    }

    /// The same, and nothing else.
    pub(super) fn into_embedding(self) -> Array2<f32> {
        self.embedding
    }

    /// How long each row was before.
    pub(super) fn lengths(&self) -> &[f32] {
        &self.lengths
    }
}

fn weight(params: &Params, slot: Slot) -> ArrayView2<'_, f32> {
    let param = params.get(slot);
    let shape = (param.shape[0], param.shape[1]);
    ArrayView2::from_shape(shape, &param.values).expect("as many numbers as the shape says")
}

fn in_order(x: Array2<f32>) -> Array2<f32> {
    if x.is_standard_layout() { x } else { x.as_standard_layout().into_owned() }
}

/// All numbers, row after row.
fn flat(x: &mut Array2<f32>) -> &mut [f32] {
    x.as_slice_mut().expect("arrays are in row order here")
}

/// a · b.
fn product(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut to = Array2::zeros((a.nrows(), b.ncols()));
    multiply(&mut to, a, b, false);
    to
}

/// `to` = a · b, or `to` += a · b.
fn multiply(to: &mut Array2<f32>, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>, add: bool) {
    let ((m, k), (inner, n)) = (a.dim(), b.dim());
    assert!(inner == k && to.dim() == (m, n), "{m} × {k} · {inner} × {n} → {:?}", to.dim());
    let strides = |of: &[isize]| (of[1], of[0]);
    let ((to_column, to_row), (a_column, a_row), (b_column, b_row)) =
        (strides(to.strides()), strides(a.strides()), strides(b.strides()));
    // SAFETY: the arrays are as large as their shapes say, which were checked above, and
    // `to` is borrowed alone. Any of them may be transposed: strides are the arrays' own.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            to.as_mut_ptr(),
            to_column,
            to_row,
            add,
            a.as_ptr(),
            a_column,
            a_row,
            b.as_ptr(),
            b_column,
            b_row,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
}

/// x · weight + bias (+ onto).
fn linear(
    x: ArrayView2<'_, f32>,
    weight: ArrayView2<'_, f32>,
    bias: Option<&[f32]>,
    onto: Option<Array2<f32>>,
) -> Array2<f32> {
    let add = bias.is_some() || onto.is_some();
    let mut to = match onto {
        Some(onto) => in_order(onto),
        None => Array2::zeros((x.nrows(), weight.ncols())),
    };
    if let Some(bias) = bias {
        flat(&mut to).par_chunks_mut((ROWS * bias.len()).max(1)).for_each(|rows| {
            for row in rows.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(to, b)| *to += b);
            }
        });
    }
    multiply(&mut to, x, weight, add);
    to
}

/// Each row less its mean, over its standard deviation.
fn standardised(mut x: Array2<f32>) -> Array2<f32> {
    let width = x.ncols().max(1);
    flat(&mut x).par_chunks_mut(ROWS * width).for_each(|rows| {
        for row in rows.chunks_exact_mut(width) {
            let mean = sum(row, |v| v) / width as f32;
            let variance = sum(row, |v| (v - mean) * (v - mean)) / width as f32;
            let by = 1.0 / (variance + NORM_EPSILON).sqrt();
            row.iter_mut().for_each(|v| *v = (*v - mean) * by);
        }
    });
    x
}

/// Each row over its length; the lengths, too.
fn normalised(mut x: Array2<f32>) -> (Array2<f32>, Vec<f32>) {
    let width = x.ncols().max(1);
    let mut lengths = vec![0.0; x.nrows()];
    let rows = flat(&mut x).par_chunks_mut(ROWS * width).zip(lengths.par_chunks_mut(ROWS));
    rows.for_each(|(rows, lengths)| {
        for (row, length) in rows.chunks_exact_mut(width).zip(lengths) {
            *length = (sum(row, |v| v * v) + UNIT_EPSILON).sqrt();
            row.iter_mut().for_each(|v| *v /= *length);
        }
    });
    (x, lengths)
}

/// From y = x/l with l = √(Σx² + ε) back to x: (g − y(y·g))/l + y·h, where g = ∂loss/∂y
/// and h = ∂loss/∂l.
fn before_normalising(pass: &Pass, gradient: Gradient) -> Array2<f32> {
    let mut g = in_order(gradient.embeddings);
    assert_eq!(pass.embedding.dim(), g.dim(), "one gradient an embedding");
    let width = g.ncols().max(1);
    let of_lengths = gradient.lengths.unwrap_or_else(|| vec![0.0; g.nrows()]);
    let y = pass.embedding.as_slice().expect("arrays are in row order here");
    let rows = flat(&mut g).par_chunks_mut(ROWS * width).zip(y.par_chunks(ROWS * width));
    let lengths = pass.lengths.par_chunks(ROWS).zip(of_lengths.par_chunks(ROWS));
    rows.zip(lengths).for_each(|((gs, ys), (ls, hs))| {
        let rows = gs.chunks_exact_mut(width).zip(ys.chunks_exact(width));
        for ((g, y), (l, h)) in rows.zip(ls.iter().zip(hs)) {
            let along = dot(g, y);
            g.iter_mut().zip(y).for_each(|(g, y)| *g = (*g - y * along) / l + y * h);
        }
    });
    g
}

/// GELU in its exact form, x · Φ(x), and its slopes.
fn gelu(mut x: Array2<f32>) -> (Array2<f32>, Vec<f32>) {
    let mut y = Array2::zeros(x.dim());
    let task = (ROWS * x.ncols()).max(1);
    flat(&mut x).par_chunks_mut(task).zip(flat(&mut y).par_chunks_mut(task)).for_each(
        |(xs, ys)| {
            for (x, y) in xs.iter_mut().zip(ys) {
                (*y, *x) = gelu_at(*x);
            }
        },
    );
    // The slopes took the place of what was read.
    (y, x.into_raw_vec_and_offset().0)
}

/// x · Φ(x) and Φ(x) + x · φ(x), with Φ to 1e-7.
///
/// # Source
/// Abramowitz and Stegun 7.1.26, whose exponential is that of φ, too.
#[inline]
fn gelu_at(x: f32) -> (f32, f32) {
    const P: f32 = 0.327_591_1;
    const A: [f32; 5] = [0.254_829_6, -0.284_496_74, 1.421_413_7, -1.453_152, 1.061_405_4];
    const DENSITY: f32 = 0.398_942_3;
    let bell = (-0.5 * x * x).quick_exp();
    let t = 1.0 / (1.0 + P * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let series = t * (A[0] + t * (A[1] + t * (A[2] + t * (A[3] + t * A[4]))));
    // 1 − Φ(|x|).
    let tail = 0.5 * series * bell;
    let phi = if x < 0.0 { tail } else { 1.0 - tail };
    (x * phi, phi + x * bell * DENSITY)
}

fn times(mut x: Array2<f32>, factors: &[f32]) -> Array2<f32> {
    assert_eq!(x.len(), factors.len(), "one factor a number");
    const TASK: usize = 1 << 14;
    let tasks = flat(&mut x).par_chunks_mut(TASK).zip(factors.par_chunks(TASK));
    tasks.for_each(|(x, factors)| x.iter_mut().zip(factors).for_each(|(x, f)| *x *= f));
    x
}

fn sum_of_rows(x: &Array2<f32>) -> Vec<f32> {
    let mut sums = vec![0.0; x.ncols()];
    let width = x.ncols();
    let numbers = x.as_slice().expect("arrays are in row order here");
    sums.par_chunks_mut(COLUMNS).enumerate().for_each(|(i, sums)| {
        for row in numbers.chunks_exact(width) {
            sums.iter_mut().zip(&row[i * COLUMNS..]).for_each(|(sum, v)| *sum += v);
        }
    });
    sums
}

const LANES: usize = 16;

/// Σ f(x), in lanes that the compiler turns into vectors.
#[inline]
fn sum(xs: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = xs.as_chunks::<LANES>();
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, &x)| *lane += f(x));
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|&x| f(x)).sum::<f32>()
}

/// Σ a·b, likewise.
#[inline]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        lanes.iter_mut().zip(a.iter().zip(b)).for_each(|(lane, (a, b))| *lane += a * b);
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gelu_and_its_slope_have_their_values() {
        // from math import erf, exp, pi
        // P = lambda x: (1 + erf(x / 2**.5)) / 2
        // [(x, x * P(x), P(x) + x * exp(-x*x/2) / (2*pi)**.5) for x in (-6, -3, -1, -.1, 0, .1, 1, 3, 6)]
        let table = [
            (-6.0, -5.919_525_9e-9, -3.546_871e-8),
            (-3.0, -0.004_049_694, -0.011_945_647),
            (-1.0, -0.158_655_25, -0.083_315_47),
            (-0.1, -0.046_017_216, 0.420_476_9),
            (0.0, 0.0, 0.5),
            (0.1, 0.053_982_783, 0.579_523_1),
            (1.0, 0.841_344_8, 1.083_315_5),
            (3.0, 2.995_950_3, 1.011_945_6),
            (6.0, 6.0, 1.0),
        ];
        for (x, value, slope) in table {
            let (y, dy) = gelu_at(x);
            assert!((y - value).abs() < 5e-7 && (dy - slope).abs() < 5e-7, "{x}: {y}, {dy}");
        }
        // Far out it is 0 and x, and never NaN.
        for x in [20.0f32, 1e3, 1e18] {
            assert_eq!((gelu_at(x), gelu_at(-x).0.abs() < 1e-30), ((x, 1.0), true));
        }
    }
}
