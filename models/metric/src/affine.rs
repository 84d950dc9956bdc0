//! Given vectors of one space and where they should lie in another, which map of the kind
//! `W·x + b` comes nearest? Ridge regression in closed form.

use nalgebra::{DMatrix, DVector};

/// What a fit needs to know of pairs of vectors: sums, so that kinds of pairs can be added up
/// with weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    rows: f64,
    x: DVector<f64>,
    y: DVector<f64>,
    xx: DMatrix<f64>,
    yx: DMatrix<f64>,
}

/// A map between two spaces.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// W, row by row: as many rows as the target is wide.
    pub weights: Vec<f32>,
    /// b.
    pub bias: Vec<f32>,
}

/// Why nothing was fitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AffineError {
    /// Not one target a vector, none at all, or vectors of different widths.
    #[error("expected vectors of one width with a target each, got {0}")]
    Shape(String),
    /// NaN or infinite.
    #[error("vector {row} or its target is not finite")]
    NotFinite {
        /// Counted from 0.
        row: usize,
    },
    /// No penalty.
    #[error("the penalty is a number over 0, got {0}")]
    Penalty(f64),
}

impl Moments {
    /// Of pairs.
    ///
    /// # Shapes
    /// `x`: n × from, `y`: n × to, as rows.
    ///
    /// # Errors
    /// `Shape` and `NotFinite` as they say.
    pub fn of(x: &[&[f32]], y: &[&[f32]]) -> Result<Self, AffineError> {
        let width = |rows: &[&[f32]]| rows.first().map_or(0, |row| row.len());
        let (from, to) = (width(x), width(y));
        let even = |rows: &[&[f32]], width| rows.iter().all(|row| row.len() == width);
        if x.is_empty() || x.len() != y.len() || !even(x, from) || !even(y, to) || from * to == 0 {
            let got = format!("{} of {from} numbers and {} of {to}", x.len(), y.len());
            return Err(AffineError::Shape(got));
        }
        let finite = |row: &[f32]| row.iter().all(|v| v.is_finite());
        if let Some(row) = (0..x.len()).find(|&i| !finite(x[i]) || !finite(y[i])) {
            return Err(AffineError::NotFinite { row });
        }
        let table = |rows: &[&[f32]], width| {
            DMatrix::from_fn(rows.len(), width, |r, c| f64::from(rows[r][c]))
        };
        let (x, y) = (table(x, from), table(y, to));
        Ok(Self {
            rows: x.nrows() as f64,
            x: x.row_sum().transpose(),
            y: y.row_sum().transpose(),
            xx: x.tr_mul(&x),
            yx: y.tr_mul(&x),
        })
    }

    /// These pairs and others, each of which counts `weight` times as much.
    ///
    /// # Panics
    /// If the others are of other spaces.
    #[must_use]
    pub fn plus(&self, others: &Self, weight: f64) -> Self {
        Self {
            rows: self.rows + weight * others.rows,
            x: &self.x + &others.x * weight,
            y: &self.y + &others.y * weight,
            xx: &self.xx + &others.xx * weight,
            yx: &self.yx + &others.yx * weight,
        }
    }

    /// The map that minimises `mean ‖W·x + b − y‖² + penalty·v·‖W‖²`, where v is the mean
    /// variance of a coordinate of x; b is not held.
    ///
    /// # Errors
    /// `Penalty` for one that is not over 0, or so small that nothing is determined.
    ///
    /// # Source
    /// Hoerl and Kennard 1970.
    pub fn fit(&self, penalty: f64) -> Result<Affine, AffineError> {
        if !(penalty.is_finite() && penalty > 0.0) {
            return Err(AffineError::Penalty(penalty));
        }
        let (x, y) = (&self.x / self.rows, &self.y / self.rows);
        let mut spread = &self.xx / self.rows - &x * x.transpose();
        let together = &self.yx / self.rows - &y * x.transpose();
        let from = spread.nrows();
        let variance = spread.trace() / from as f64;
        // Where all vectors are the same one there is nothing but b; what rounding leaves of
        // their spread is far below their size.
        let size = self.xx.trace() / self.rows / from as f64;
        let held = (penalty * variance).max(1e-9 * size).max(f64::MIN_POSITIVE.sqrt());
        for i in 0..from {
            spread[(i, i)] += held;
        }
        let factor = spread.cholesky().ok_or(AffineError::Penalty(penalty))?;
        // W·S = C, so S·Wᵀ = Cᵀ.
        let weights = factor.solve(&together.transpose());
        let bias = &y - weights.tr_mul(&x);
        Ok(Affine {
            // Columns of Wᵀ one after another are rows of W.
            weights: weights.iter().map(|&v| v as f32).collect(),
            bias: bias.iter().map(|&v| v as f32).collect(),
        })
    }
}

impl Affine {
    /// Where a vector lies in the other space.
    ///
    /// # Panics
    /// If it has another width than those that it was fitted to.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        assert_eq!(x.len() * self.bias.len(), self.weights.len(), "a vector of the first space");
        let rows = self.weights.chunks_exact(x.len()).zip(&self.bias);
        rows.map(|(row, b)| b + row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>()).collect()
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn rows(rng: &mut Pcg64, n: usize, width: usize) -> Vec<Vec<f32>> {
        (0..n).map(|_| (0..width).map(|_| rng.random_range(-1.0..1.0f32)).collect()).collect()
    }

    fn refs(rows: &[Vec<f32>]) -> Vec<&[f32]> {
        rows.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn a_map_that_is_affine_is_found() {
        let mut rng = Pcg64::seed_from_u64(4);
        let truth = Affine { weights: rows(&mut rng, 1, 15).remove(0), bias: vec![0.5, -2.0, 0.1] };
        let x = rows(&mut rng, 60, 5);
        let y: Vec<Vec<f32>> = x.iter().map(|row| truth.apply(row)).collect();
        let map = Moments::of(&refs(&x), &refs(&y)).expect("pairs").fit(1e-9).expect("a map");
        let far =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(far(&map.weights, &truth.weights) < 1e-4, "{map:?} {truth:?}");
        assert!(far(&map.bias, &truth.bias) < 1e-4, "{map:?} {truth:?}");
        // With nothing but penalty, what is left is the mean.
        let held = Moments::of(&refs(&x), &refs(&y)).expect("pairs").fit(1e12).expect("a map");
        let mean: Vec<f32> =
            (0..3).map(|i| y.iter().map(|row| row[i]).sum::<f32>() / y.len() as f32).collect();
        assert!(far(&held.bias, &mean) < 1e-3 && far(&held.weights, &[0.0; 15]) < 1e-3, "{held:?}");
    }

    /// By the normal equations, worked out for one dimension: slope `Sxy / (Sxx + λ·v)`.
    #[test]
    fn one_dimension_is_as_worked_out_by_hand() {
        let x: Vec<Vec<f32>> = [0.0, 1.0, 2.0, 3.0].map(|v| vec![v]).to_vec();
        let y: Vec<Vec<f32>> = [1.0, 2.0, 2.0, 5.0].map(|v| vec![v]).to_vec();
        let moments = Moments::of(&refs(&x), &refs(&y)).expect("pairs");
        // Variance 1.25, covariance 1.5; with a penalty of 1, 1.5 / (1.25 + 1.25) = 0.6.
        let map = moments.fit(1.0).expect("a map");
        assert!((map.weights[0] - 0.6).abs() < 1e-6, "{map:?}");
        assert!((map.bias[0] - (2.5 - 0.6 * 1.5)).abs() < 1e-6, "{map:?}");
        // Pairs that count twice are as good as pairs that are there twice.
        let last = Moments::of(&[&[3.0]], &[&[5.0]]).expect("a pair");
        let (mut x, mut y) = (x, y);
        x.push(vec![3.0]);
        y.push(vec![5.0]);
        let twice = Moments::of(&refs(&x), &refs(&y)).expect("pairs");
        assert_eq!(moments.plus(&last, 1.0), twice);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let one: &[f32] = &[1.0, 2.0];
        assert!(matches!(Moments::of(&[], &[]), Err(AffineError::Shape(_))));
        assert!(matches!(Moments::of(&[one], &[]), Err(AffineError::Shape(_))));
        assert!(matches!(Moments::of(&[one, &[1.0]], &[one, one]), Err(AffineError::Shape(_))));
        let odd: &[f32] = &[1.0, f32::NAN];
        let error = Moments::of(&[one, odd], &[one, one]).expect_err("no number");
        assert_eq!(error, AffineError::NotFinite { row: 1 });
        let moments = Moments::of(&[one], &[one]).expect("a pair");
        for bad in [0.0, -1.0, f64::NAN] {
            assert!(matches!(moments.fit(bad), Err(AffineError::Penalty(_))));
        }
        // One pair alone: everything goes where it goes.
        let map = moments.fit(0.1).expect("a map");
        assert_eq!(map.apply(&[9.0, -7.0]), [1.0, 2.0]);
    }
}
