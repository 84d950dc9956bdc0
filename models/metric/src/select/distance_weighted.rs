//! Which distance should a negative have, so that all are tried?

use rand::RngExt;
use rand_pcg::Pcg64;

use crate::{Real, Relation};

/// Nearer negatives are treated as this far: their gradients are mostly noise.
const NEAREST: f64 = 0.5;
/// Farther ones are never drawn: past √2 they violate nothing.
const FARTHEST: f64 = 1.4;

/// Logarithm of the weight of a negative at Euclidean distance `d` between unit
/// vectors in `dim` dimensions: the inverse of the density that distances between
/// random points of the sphere have; −∞ beyond 1.4. Distances below 0.5 count as 0.5.
///
/// log w = (2 − n)·log d − ((n − 3)/2)·log(1 − d²/4)
///
/// # Source
/// Wu et al. 2017, "Sampling matters in deep embedding learning", eq. 5.
pub fn log_weight(d: f64, dim: usize) -> f64 {
    if d > FARTHEST {
        return f64::NEG_INFINITY;
    }
    let (d, n) = (d.max(NEAREST), dim as f64);
    (2.0 - n) * d.ln() - (n - 3.0) / 2.0 * (1.0 - d * d / 4.0).ln()
}

/// One negative; the nearest if all are beyond 1.4; none if there is no negative.
pub(super) fn draw<T: Real>(
    cosine: &[T],
    kinds: &[Relation],
    dim: usize,
    rng: &mut Pcg64,
) -> Option<usize> {
    // Gumbel trick: the largest of (log w + Gumbel noise) is a draw in proportion
    // to w, in one pass and without a table.
    let mut best: Option<(f64, usize)> = None;
    for (j, (&s, &kind)) in cosine.iter().zip(kinds).enumerate() {
        if kind != Relation::Negative {
            continue;
        }
        let d = (2.0 - 2.0 * s.wide()).max(0.0).sqrt();
        let weight = log_weight(d, dim);
        if weight == f64::NEG_INFINITY {
            continue;
        }
        let uniform: f64 = rng.random_range(f64::MIN_POSITIVE..1.0);
        let key = weight - (-uniform.ln()).ln();
        if best.is_none_or(|(most, _)| key > most) {
            best = Some((key, j));
        }
    }
    best.map(|(_, j)| j).or_else(|| super::hardest(cosine, kinds))
}
