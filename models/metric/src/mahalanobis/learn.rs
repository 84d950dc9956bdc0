//! Given vectors and pairs of their positions, learns the distance: checks,
//! then one of the two forms.

use ndarray::{Array2, ArrayView2};

use super::{Mahalanobis, diagonal, full, linear};

/// Which W is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Any positive semidefinite W.
    Full,
    /// A weight ≥ 0 for each coordinate.
    Diagonal,
}

/// How a distance is learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MahalanobisOptions {
    /// Which W is looked for.
    pub form: Form,
    /// The full form works within this many principal directions of the
    /// vectors, at most; W then has at most this rank. 64 keeps a step at
    /// milliseconds; the diagonal form uses all coordinates as they are.
    pub max_dim: usize,
    /// Added to the scatter of the similar pairs, as a share of the mean scatter
    /// of the dissimilar ones along a direction. The paper has none; without it
    /// a direction along which no similar pair happens to differ is worth
    /// infinitely much.
    pub ridge: f64,
    /// Steps, at most.
    pub max_iterations: usize,
    /// Ends when a step improves the objective by less than this share of it.
    pub tolerance: f64,
}

impl Default for MahalanobisOptions {
    fn default() -> Self {
        Self { form: Form::Full, max_dim: 64, ridge: 0.1, max_iterations: 300, tolerance: 1e-6 }
    }
}

/// What was learned.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// The distance, scaled so that the mean distance of the dissimilar pairs is 1.
    pub metric: Mahalanobis,
    /// Mean squared distance of the similar pairs (ridge included) when the mean
    /// distance of the dissimilar ones is 1, by the Euclidean distance (for the
    /// full form: within the principal directions).
    pub before: f64,
    /// The same by the learned distance; never more than `before`.
    pub after: f64,
    /// Steps taken.
    pub iterations: usize,
}

/// Why no distance can be learned.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MahalanobisError {
    /// Without pairs of both kinds there is nothing to bring together or apart.
    #[error(
        "a distance is learned from pairs of like and pairs of unlike things; got {similar} and \
         {dissimilar}: {}",
        one_sided(*similar, *dissimilar)
    )]
    Pairs {
        /// Similar pairs.
        similar: usize,
        /// Dissimilar pairs.
        dissimilar: usize,
    },
    /// A pair that names what is not there, or one thing twice.
    #[error("the pair ({first}, {second}) is not of two of the {rows} vectors (counted from 0)")]
    Pair {
        /// One position.
        first: usize,
        /// The other.
        second: usize,
        /// How many vectors there are.
        rows: usize,
    },
    /// NaN or infinite.
    #[error("number {column} of vector {row} is {value}, which is not finite")]
    NotFinite {
        /// Counted from 0.
        row: usize,
        /// Counted from 0.
        column: usize,
        /// The number.
        value: f32,
    },
    /// No distance can tell equal vectors apart.
    #[error("all {0} pairs of unlike things have equal vectors; no distance tells them apart")]
    Equal(usize),
    /// A map that is empty or not finite.
    #[error("a map of {rows} × {dim} finite numbers is needed, both at least 1")]
    Map {
        /// Rows.
        rows: usize,
        /// Columns.
        dim: usize,
    },
}

fn one_sided(similar: usize, dissimilar: usize) -> &'static str {
    match (similar, dissimilar) {
        (0, 0) => "label some pictures first",
        (0, _) => "without like ones any distance would do; give at least two of one class",
        _ => "without unlike ones the best distance is zero for all; give at least two classes",
    }
}

/// Learns a distance from similar and dissimilar pairs of positions.
///
/// Both forms solve min Σ_S d_W² subject to Σ_D d_W ≥ 1 (sums as means here),
/// W ⪰ 0; no square in the constraint, or the solution would have rank 1. The
/// problem is convex, so the start does not matter.
///
/// # Shapes
/// `x`: n × d; pairs: positions below n.
///
/// # Errors
/// `Pairs` without both kinds, `Pair` for a position out of range or twice the
/// same, `NotFinite`, `Equal` if no dissimilar pair differs.
///
/// # Source
/// Xing, Ng, Jordan, Russell 2002, "Distance metric learning, with application
/// to clustering with side-information".
pub fn learn(
    x: ArrayView2<'_, f32>,
    similar: &[(usize, usize)],
    dissimilar: &[(usize, usize)],
    options: &MahalanobisOptions,
) -> Result<Learned, MahalanobisError> {
    check(x, similar, dissimilar)?;
    let x = x.mapv(f64::from);
    let differences = |x: &Array2<f64>, pairs: &[(usize, usize)]| {
        Array2::from_shape_fn((pairs.len(), x.ncols()), |(p, c)| {
            x[[pairs[p].0, c]] - x[[pairs[p].1, c]]
        })
    };
    if differences(&x, dissimilar).iter().all(|v| *v == 0.0) {
        return Err(MahalanobisError::Equal(dissimilar.len()));
    }
    let solved = match options.form {
        Form::Diagonal => {
            diagonal::solve(&differences(&x, similar), &differences(&x, dissimilar), options)
        }
        Form::Full => {
            let directions = linear::principal(&x, options.max_dim.max(1));
            let y = x.dot(&directions.t());
            let mut solved =
                full::solve(&differences(&y, similar), &differences(&y, dissimilar), options);
            solved.map = solved.map.dot(&directions);
            solved
        }
    };
    Ok(Learned {
        metric: Mahalanobis::new(solved.map)?,
        before: solved.before,
        after: solved.after,
        iterations: solved.iterations,
    })
}

/// What a form gives back.
pub(super) struct Solved {
    /// L, scaled so that the mean distance of the dissimilar pairs is 1.
    pub(super) map: Array2<f64>,
    pub(super) before: f64,
    pub(super) after: f64,
    pub(super) iterations: usize,
}

/// The share of the mean dissimilar scatter that is added along each direction.
pub(super) fn ridge(dissimilar: &Array2<f64>, options: &MahalanobisOptions) -> f64 {
    let cells = dissimilar.len().max(1) as f64;
    options.ridge.max(1e-9) * dissimilar.iter().map(|v| v * v).sum::<f64>() / cells
}

fn check(
    x: ArrayView2<'_, f32>,
    similar: &[(usize, usize)],
    dissimilar: &[(usize, usize)],
) -> Result<(), MahalanobisError> {
    if similar.is_empty() || dissimilar.is_empty() {
        let (similar, dissimilar) = (similar.len(), dissimilar.len());
        return Err(MahalanobisError::Pairs { similar, dissimilar });
    }
    let rows = x.nrows();
    let wrong = |&&(a, b): &&(usize, usize)| a == b || a.max(b) >= rows;
    if let Some(&(first, second)) = similar.iter().chain(dissimilar).find(wrong) {
        return Err(MahalanobisError::Pair { first, second, rows });
    }
    match x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), &value)) => Err(MahalanobisError::NotFinite { row, column, value }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::mahalanobis::{PairSets, pairs_from_labels};

    /// A sum of twelve uniform numbers: near enough to the normal distribution.
    fn normal(rng: &mut Pcg64) -> f64 {
        (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0
    }

    /// Vectors whose pairs (2i, 2i + 1) differ by `spread`·B·noise: the first
    /// `count` pairs with spread 1 (similar), as many with spread 3 (dissimilar).
    fn drawn(b: &Array2<f64>, count: usize, seed: u64) -> (Array2<f32>, PairSets) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let dim = b.nrows();
        let mut x = Array2::<f32>::zeros((count * 4, dim));
        for pair in 0..count * 2 {
            let spread = if pair < count { 1.0 } else { 3.0 };
            let base = Array1::from_shape_fn(dim, |_| normal(&mut rng));
            let difference = b.dot(&Array1::from_shape_fn(dim, |_| normal(&mut rng))) * spread;
            for c in 0..dim {
                x[[2 * pair, c]] = base[c] as f32;
                x[[2 * pair + 1, c]] = (base[c] + difference[c]) as f32;
            }
        }
        let pairs = |range: std::ops::Range<usize>| range.map(|p| (2 * p, 2 * p + 1)).collect();
        (x, PairSets { similar: pairs(0..count), dissimilar: pairs(count..2 * count) })
    }

    /// The cosine between two matrices as long vectors.
    fn alike(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
        let dot = |a: &Array2<f64>, b: &Array2<f64>| (a * b).sum();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    }

    /// If differences of both kinds have covariance ∝ W*⁻¹, whitening makes the
    /// problem the same in every direction, so its solution is ∝ W*.
    #[test]
    fn a_known_metric_is_recovered() {
        let options = MahalanobisOptions { ridge: 1e-6, ..MahalanobisOptions::default() };
        let b = array![[1.0, 0.4, 0.0], [0.0, 0.5, 0.3], [0.2, 0.0, 2.0]];
        let (x, PairSets { similar, dissimilar }) = drawn(&b, 4000, 21);
        let learned = learn(x.view(), &similar, &dissimilar, &options).expect("pairs");
        let inverse = nalgebra::DMatrix::from_fn(3, 3, |i, j| b.dot(&b.t())[[i, j]])
            .try_inverse()
            .expect("of full rank");
        let truth = Array2::from_shape_fn((3, 3), |(i, j)| inverse[(i, j)]);
        let cosine = alike(&learned.metric.weights(), &truth);
        assert!(cosine > 0.995, "cosine {cosine} of {} and {truth}", learned.metric.weights());

        let b = Array2::from_diag(&array![0.3, 1.0, 2.0, 0.7]);
        let (x, PairSets { similar, dissimilar }) = drawn(&b, 4000, 22);
        let options = MahalanobisOptions { form: Form::Diagonal, ..options };
        let learned = learn(x.view(), &similar, &dissimilar, &options).expect("pairs");
        let truth = Array2::from_diag(&b.diag().mapv(|v| 1.0 / (v * v)));
        let cosine = alike(&learned.metric.weights(), &truth);
        assert!(cosine > 0.995, "cosine {cosine} of {}", learned.metric.weights());
    }

    /// Two coordinates tell the class, six are loud noise.
    fn noisy(seed: u64) -> (Array2<f32>, Vec<usize>) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let labels: Vec<usize> = (0..90).map(|i| i % 3).collect();
        let x = Array2::from_shape_fn((90, 8), |(i, c)| {
            let angle = labels[i] as f64 * 2.1;
            let signal = match c {
                0 => angle.cos(),
                1 => angle.sin(),
                _ => 0.0,
            };
            (signal + normal(&mut rng) * if c < 2 { 0.15 } else { 1.5 }) as f32
        });
        (x, labels)
    }

    #[test]
    fn noise_is_turned_down_and_the_constraints_hold() {
        let (x, labels) = noisy(4);
        let PairSets { similar, dissimilar } = pairs_from_labels(&labels, 2000, 1);
        for form in [Form::Full, Form::Diagonal] {
            let options = MahalanobisOptions { form, ..MahalanobisOptions::default() };
            let learned = learn(x.view(), &similar, &dissimilar, &options).expect("pairs");
            let (l, metric) = (&learned, &learned.metric);
            assert!(l.after < 0.5 * l.before, "{form:?}: {} → {}", l.before, l.after);
            let mean = |pairs: &[(usize, usize)], power: i32| {
                let of = |&(a, b): &(usize, usize)| metric.distance(x.row(a), x.row(b)).powi(power);
                pairs.iter().map(of).sum::<f64>() / pairs.len() as f64
            };
            assert!((mean(&dissimilar, 1) - 1.0).abs() < 1e-6, "{form:?}: the constraint");
            let within = mean(&similar, 2);
            assert!(within <= l.after + 1e-9, "{form:?}: {within} without, {} with ridge", l.after);
            let w = metric.weights();
            let (values, _) = linear::eigen(&w);
            assert!(values.iter().all(|&v| v > -1e-9 * values[0]), "{form:?}: W ⪰ 0: {values}");
            let loud = w.diag().iter().skip(2).copied().fold(0.0, f64::max);
            assert!(w[[0, 0]].min(w[[1, 1]]) > 20.0 * loud, "{form:?}: {}", w.diag());
        }
    }

    #[test]
    fn more_coordinates_than_vectors_are_no_trouble() {
        let mut rng = Pcg64::seed_from_u64(6);
        let x = Array2::from_shape_fn((12, 384), |(i, c)| {
            (normal(&mut rng) + if c == i % 2 { 4.0 } else { 0.0 }) as f32
        });
        let labels: Vec<usize> = (0..12).map(|i| i % 2).collect();
        let PairSets { similar, dissimilar } = pairs_from_labels(&labels, 500, 1);
        for form in [Form::Full, Form::Diagonal] {
            let options = MahalanobisOptions { form, ..MahalanobisOptions::default() };
            let learned = learn(x.view(), &similar, &dissimilar, &options).expect("pairs");
            assert!(learned.after <= learned.before, "{form:?}");
            assert_eq!(learned.metric.dim(), 384);
            assert!(learned.metric.map().nrows() <= if form == Form::Full { 11 } else { 384 });
        }
    }

    #[test]
    fn what_cannot_be_learned_from_is_said() {
        let x = array![[0f32, 1.0], [1.0, 0.0], [0.0, 1.0]];
        let of = |similar: &[(usize, usize)], dissimilar: &[(usize, usize)]| {
            let options = MahalanobisOptions::default();
            learn(x.view(), similar, dissimilar, &options).expect_err("refused").to_string()
        };
        assert!(of(&[], &[]).contains("label some"), "{}", of(&[], &[]));
        assert!(of(&[], &[(0, 1)]).contains("two of one class"));
        assert!(of(&[(0, 1)], &[]).contains("two classes"));
        assert!(of(&[(0, 1)], &[(0, 3)]).contains("(0, 3)"));
        assert!(of(&[(0, 1)], &[(1, 1)]).contains("(1, 1)"));
        assert!(of(&[(0, 1)], &[(0, 2)]).contains("equal vectors"));
        let broken = array![[0f32, f32::NAN], [1.0, 0.0]];
        let options = MahalanobisOptions::default();
        let error = learn(broken.view(), &[(0, 1)], &[(0, 1)], &options).expect_err("refused");
        assert!(matches!(error, MahalanobisError::NotFinite { row: 0, column: 1, .. }));
    }
}
