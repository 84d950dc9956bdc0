//! Given rows of figures and whether each came true, with which weights do the
//! figures give the probability? Logistic regression, by Newton's method.

use nalgebra::{DMatrix, DVector};

/// Weights that make a probability out of figures: the logistic function of
/// `bias + Σ weight · figure`.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    /// What stands alone.
    pub bias: f64,
    /// One for each figure.
    pub weights: Vec<f64>,
}

/// Why nothing was fitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LogisticError {
    /// Rows of different lengths, none at all, or not one truth a row.
    #[error("expected rows of one length and one outcome each, got {0}")]
    Shape(String),
    /// A probability cannot be learned from one outcome.
    #[error("expected both outcomes, got {came_true} that came true and {other} that did not")]
    OneSided {
        /// How many came true.
        came_true: usize,
        /// How many did not.
        other: usize,
    },
    /// NaN or infinite.
    #[error("figure {figure} of row {row} is not finite")]
    NotFinite {
        /// Counted from 0.
        row: usize,
        /// Counted from 0.
        figure: usize,
    },
}

/// Newton's steps: a handful is enough, and each halves until it improves.
const STEPS: usize = 50;

impl Logistic {
    /// Fits by maximum likelihood with a penalty: half of `penalty` times the squares of
    /// the weights that the figures would have if each had a deviation of 1. The bias
    /// is not held. A figure that is the same in all rows gets a weight of 0.
    ///
    /// # Errors
    /// Each variant of [`LogisticError`] as it says.
    ///
    /// # Panics
    /// If the penalty is not above 0.
    pub fn fit(rows: &[Vec<f64>], truth: &[bool], penalty: f64) -> Result<Self, LogisticError> {
        assert!(penalty > 0.0, "a penalty over 0 keeps the matrix regular");
        let figures = rows.first().map_or(0, Vec::len);
        if rows.is_empty() || rows.len() != truth.len() || rows.iter().any(|r| r.len() != figures) {
            let got = format!("{} rows and {} outcomes", rows.len(), truth.len());
            return Err(LogisticError::Shape(got));
        }
        for (row, values) in rows.iter().enumerate() {
            if let Some(figure) = values.iter().position(|v| !v.is_finite()) {
                return Err(LogisticError::NotFinite { row, figure });
            }
        }
        let came_true = truth.iter().filter(|&&t| t).count();
        if came_true == 0 || came_true == truth.len() {
            return Err(LogisticError::OneSided { came_true, other: truth.len() - came_true });
        }
        let scale = Standard::of(rows);
        let table = DMatrix::from_fn(rows.len(), figures + 1, |r, c| {
            if c == figures { 1.0 } else { scale.apply(c, rows[r][c]) }
        });
        let truth =
            DVector::from_iterator(truth.len(), truth.iter().map(|&t| f64::from(u8::from(t))));
        let held = DVector::from_fn(figures + 1, |i, _| if i == figures { 1e-9 } else { penalty });
        let loss = |w: &DVector<f64>| {
            let z = &table * w;
            let fit: f64 = z.iter().zip(truth.iter()).map(|(&z, t)| softplus(z) - z * t).sum();
            fit + 0.5 * w.iter().zip(held.iter()).map(|(w, h)| h * w * w).sum::<f64>()
        };
        let mut w = DVector::zeros(figures + 1);
        let mut now = loss(&w);
        for _ in 0..STEPS {
            let p = (&table * &w).map(sigmoid);
            let gradient = table.transpose() * (&p - &truth) + w.component_mul(&held);
            let spread = p.map(|p| p * (1.0 - p));
            let weighted =
                DMatrix::from_fn(table.nrows(), table.ncols(), |r, c| table[(r, c)] * spread[r]);
            let hessian = table.transpose() * weighted + DMatrix::from_diagonal(&held);
            let Some(step) = hessian.cholesky().map(|c| c.solve(&gradient)) else { break };
            let mut share = 1.0;
            let next = loop {
                let tried = &w - &step * share;
                let value = loss(&tried);
                if value < now || share < 1e-6 {
                    break (tried, value);
                }
                share /= 2.0;
            };
            if next.1 >= now {
                break;
            }
            let gain = now - next.1;
            (w, now) = next;
            if gain < 1e-10 * now.abs() {
                break;
            }
        }
        Ok(scale.undo(&w))
    }

    /// The probability for a row of figures.
    ///
    /// # Panics
    /// If there are not as many figures as weights.
    pub fn probability(&self, figures: &[f64]) -> f64 {
        sigmoid(self.logit(figures))
    }

    /// The logarithm of the odds.
    ///
    /// # Panics
    /// As [`Self::probability`].
    pub fn logit(&self, figures: &[f64]) -> f64 {
        assert_eq!(figures.len(), self.weights.len(), "one weight for each figure");
        self.bias + self.weights.iter().zip(figures).map(|(w, x)| w * x).sum::<f64>()
    }
}

/// Mean and deviation of each figure.
struct Standard {
    of: Vec<(f64, f64)>,
}

impl Standard {
    fn of(rows: &[Vec<f64>]) -> Self {
        let n = rows.len() as f64;
        let one = |c: usize| {
            let mean = rows.iter().map(|r| r[c]).sum::<f64>() / n;
            let deviation = (rows.iter().map(|r| (r[c] - mean).powi(2)).sum::<f64>() / n).sqrt();
            // The same in all rows, but for rounding: it says nothing.
            let same = deviation <= 1e-12 * (1.0 + mean.abs());
            (mean, if same { f64::INFINITY } else { deviation })
        };
        Self { of: (0..rows[0].len()).map(one).collect() }
    }

    fn apply(&self, figure: usize, value: f64) -> f64 {
        let (mean, deviation) = self.of[figure];
        (value - mean) / deviation
    }

    fn undo(&self, w: &DVector<f64>) -> Logistic {
        let weights: Vec<f64> = self.of.iter().zip(w.iter()).map(|((_, d), w)| w / d).collect();
        let shift: f64 = self.of.iter().zip(&weights).map(|((mean, _), w)| mean * w).sum();
        Logistic { bias: w[self.of.len()] - shift, weights }
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// `ln(1 + e^z)` without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt as _, SeedableRng};
    use rand_pcg::Pcg64;

    #[test]
    fn the_weights_that_made_the_outcomes_are_found() {
        let mut rng = Pcg64::seed_from_u64(3);
        let made = Logistic { bias: -0.7, weights: vec![1.5, -0.8, 0.0] };
        let rows: Vec<Vec<f64>> = (0..20_000)
            .map(|_| vec![rng.random_range(-2.0..2.0), rng.random_range(3.0..9.0), 5.0])
            .collect();
        let truth: Vec<bool> =
            rows.iter().map(|r| rng.random_range(0.0..1.0) < made.probability(r)).collect();
        let found = Logistic::fit(&rows, &truth, 1e-3).expect("fitted");
        for (found, made) in found.weights.iter().zip(&made.weights) {
            assert!((found - made).abs() < 0.12, "{found} for {made}");
        }
        // Of the mean probability nothing is left to chance: it is the share of the truths.
        let mean = rows.iter().map(|r| found.probability(r)).sum::<f64>() / rows.len() as f64;
        let share = truth.iter().filter(|&&t| t).count() as f64 / truth.len() as f64;
        assert!((mean - share).abs() < 1e-6, "{mean} for {share}");
    }

    #[test]
    fn what_can_be_told_apart_fully_stays_finite() {
        let rows: Vec<Vec<f64>> = (0..40).map(|i| vec![f64::from(i)]).collect();
        let truth: Vec<bool> = (0..40).map(|i| i >= 20).collect();
        let found = Logistic::fit(&rows, &truth, 1.0).expect("fitted");
        assert!(found.weights[0] > 0.1 && found.weights[0].is_finite(), "{found:?}");
        assert!(found.probability(&[0.0]) < 0.1 && found.probability(&[39.0]) > 0.9);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let row = |x: f64| vec![x];
        let fit = |rows: &[Vec<f64>], truth: &[bool]| Logistic::fit(rows, truth, 1.0);
        assert!(matches!(fit(&[], &[]), Err(LogisticError::Shape(_))));
        assert!(matches!(fit(&[row(1.0)], &[true, false]), Err(LogisticError::Shape(_))));
        let one = fit(&[row(1.0), row(2.0)], &[true, true]);
        assert_eq!(one, Err(LogisticError::OneSided { came_true: 2, other: 0 }));
        let nan = fit(&[row(1.0), row(f64::NAN)], &[true, false]);
        assert_eq!(nan, Err(LogisticError::NotFinite { row: 1, figure: 0 }));
    }
}
