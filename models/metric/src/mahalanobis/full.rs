//! The full form: max mean_D d_W subject to mean_S d_W² ≤ 1, W ⪰ 0, which is the
//! paper's problem up to a factor on W.
//!
//! With F the scatter of the similar pairs (ridge included), T = F^(−1/2) and
//! W = TᵀMT, the constraints become tr M ≤ 1 and M ⪰ 0. The nearest such matrix
//! is known in closed form (eigenvalues onto a simplex), so each step of the
//! paper's gradient ascent needs one eigendecomposition instead of its loop of
//! alternate projections. The optimum is the same: the problem is convex.

use ndarray::{Array1, Array2, Axis};

use super::MahalanobisOptions;
use super::learn::{Solved, ridge};
use super::linear::eigen;

/// # Shapes
/// `similar`, `dissimilar`: differences, one a row, of one width.
pub(super) fn solve(
    similar: &Array2<f64>,
    dissimilar: &Array2<f64>,
    options: &MahalanobisOptions,
) -> Solved {
    let dim = similar.ncols();
    let mut scatter = similar.t().dot(similar) / similar.nrows() as f64;
    scatter.diag_mut().mapv_inplace(|v| v + ridge(dissimilar, options));
    let (values, vectors) = eigen(&scatter);
    // Rows of T are the eigenvectors of F over the roots of its eigenvalues.
    let whiten = (&vectors / &values.mapv(f64::sqrt)).reversed_axes();
    let z = dissimilar.dot(&whiten.t());

    // Where W is the identity.
    let mut m = Array2::from_diag(&(&values / values.sum()));
    let (start, mut gradient) = objective(&z, &m);
    let mut value = start;
    let mut step = 0.5 / norm(&gradient).max(f64::MIN_POSITIVE);
    let (mut iterations, mut idle) = (0, 0);
    while iterations < options.max_iterations && idle < 3 {
        iterations += 1;
        let mut moved = None;
        for _ in 0..60 {
            let next = project(&(&m + &(&gradient * step)));
            let change = &next - &m;
            let (reached, slope) = objective(&z, &next);
            // The step is short enough if the parabola of curvature 1/step lies below.
            let promised =
                value + (&gradient * &change).sum() - norm(&change).powi(2) / (2.0 * step);
            if reached >= promised - 1e-13 * value.abs() && reached >= value {
                moved = Some((next, reached, slope));
                break;
            }
            step /= 2.0;
        }
        let Some((next, reached, slope)) = moved else { break };
        idle = if reached - value < options.tolerance * value.abs() { idle + 1 } else { 0 };
        (m, value, gradient) = (next, reached, slope);
        step *= 1.5;
    }

    let (values, vectors) = eigen(&m);
    let kept = values.iter().filter(|&&v| v > 1e-10 * values[0]).count().clamp(1, dim);
    let roots = (&vectors * &values.mapv(|v| v.max(0.0).sqrt())).reversed_axes();
    let map = roots.slice(ndarray::s![..kept, ..]).dot(&whiten);
    // tr M = 1 says that the similar scatter is 1; now the other side is made 1.
    let mean = mean_length(&dissimilar.dot(&map.t()));
    Solved {
        map: map / mean,
        before: 1.0 / (start * start),
        after: 1.0 / (value * value),
        iterations,
    }
}

fn mean_length(rows: &Array2<f64>) -> f64 {
    rows.axis_iter(Axis(0)).map(|r| r.dot(&r).sqrt()).sum::<f64>() / rows.nrows() as f64
}

fn norm(a: &Array2<f64>) -> f64 {
    a.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// mean over rows of √(zᵀMz) and its gradient, mean zzᵀ / (2√(zᵀMz)).
///
/// Roots are taken 1e-12 of the mean length away from zero, where they have no slope.
fn objective(z: &Array2<f64>, m: &Array2<f64>) -> (f64, Array2<f64>) {
    let n = z.nrows() as f64;
    let floor = 1e-24 * z.iter().map(|v| v * v).sum::<f64>() / n;
    let squares = (&z.dot(m) * z).sum_axis(Axis(1));
    let lengths: Array1<f64> = squares.mapv(|s| (s.max(0.0) + floor).sqrt());
    let weighted = z / &lengths.view().insert_axis(Axis(1));
    (lengths.sum() / n, weighted.t().dot(z) / (2.0 * n))
}

/// The nearest matrix with M ⪰ 0 and tr M = 1 (the objective grows with M, so
/// the bound is met).
fn project(m: &Array2<f64>) -> Array2<f64> {
    let (values, vectors) = eigen(m);
    (&vectors * &simplex(&values)).dot(&vectors.t())
}

/// The nearest point with entries ≥ 0 that sum to 1. `values` descend.
fn simplex(values: &Array1<f64>) -> Array1<f64> {
    let (mut sum, mut shift) = (0.0, 0.0);
    for (i, &v) in values.iter().enumerate() {
        sum += v;
        let candidate = (sum - 1.0) / (i + 1) as f64;
        if v > candidate {
            shift = candidate;
        }
    }
    values.mapv(|v| (v - shift).max(0.0))
}

#[cfg(test)]
mod tests {
    use ndarray::array;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn draw(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
        let mut rng = Pcg64::seed_from_u64(seed);
        Array2::from_shape_fn((rows, columns), |_| rng.random_range(-1.0..1.0))
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let (z, b) = (draw(30, 4, 1), draw(4, 4, 2));
        let m = b.t().dot(&b);
        let (_, gradient) = objective(&z, &m);
        let h = 1e-6;
        for i in 0..4 {
            for j in 0..4 {
                let at = |sign: f64| {
                    let mut moved = m.clone();
                    moved[[i, j]] += sign * h;
                    objective(&z, &moved).0
                };
                let slope = (at(1.0) - at(-1.0)) / (2.0 * h);
                assert!((slope - gradient[[i, j]]).abs() < 1e-7, "{slope} {}", gradient[[i, j]]);
            }
        }
    }

    #[test]
    fn the_projection_is_the_nearest_point() {
        let b = draw(3, 3, 3);
        let m = &b + &b.t();
        let nearest = project(&m);
        assert!((nearest.diag().sum() - 1.0).abs() < 1e-12);
        assert!(eigen(&nearest).0.iter().all(|&v| v > -1e-12));
        let distance = norm(&(&nearest - &m));
        for seed in 0..2000 {
            let c = draw(3, 3, 100 + seed);
            let other = c.t().dot(&c);
            let other = &other / other.diag().sum();
            // Points near the found one, too.
            for share in [1.0, 0.01] {
                let point = &nearest * (1.0 - share) + &other * share;
                assert!(norm(&(&point - &m)) >= distance - 1e-12, "seed {seed}");
            }
        }
    }

    /// All W in two dimensions with mean_S d² = 1, on a fine grid.
    #[test]
    fn nothing_on_a_grid_is_better() {
        let similar = draw(40, 2, 5).dot(&array![[0.2, 0.1], [0.0, 1.0]]);
        let dissimilar = draw(40, 2, 6).dot(&array![[1.0, 0.3], [0.2, 0.8]]);
        let options = MahalanobisOptions {
            ridge: 0.0,
            max_iterations: 5000,
            tolerance: 1e-13,
            ..MahalanobisOptions::default()
        };
        let solved = solve(&similar, &dissimilar, &options);
        let mean_square = |map: &Array2<f64>| {
            similar.dot(&map.t()).iter().map(|v| v * v).sum::<f64>() / similar.nrows() as f64
        };
        let mut best = f64::INFINITY;
        for a in 0..180 {
            let (sin, cos) = (f64::from(a) * std::f64::consts::PI / 180.0).sin_cos();
            for share in 0..=200 {
                let scale = 10f64.powf(f64::from(share) / 25.0 - 4.0);
                let map = array![[cos, sin], [-sin * scale, cos * scale]];
                let map = &map / mean_length(&dissimilar.dot(&map.t()));
                best = best.min(mean_square(&map));
            }
        }
        assert!((mean_length(&dissimilar.dot(&solved.map.t())) - 1.0).abs() < 1e-9);
        let own = mean_square(&solved.map);
        assert!((own - solved.after).abs() < 1e-6, "{own} {}", solved.after);
        assert!(own <= best * 1.0001 && own >= best * 0.99, "{own}, on the grid {best}");
        assert!(solved.after < solved.before);
    }

    #[test]
    fn the_simplex_is_met() {
        assert_eq!(simplex(&array![0.5, 0.3, 0.2]), array![0.5, 0.3, 0.2]);
        assert_eq!(simplex(&array![3.0, 0.0, -5.0]), array![1.0, 0.0, 0.0]);
        let mixed = simplex(&array![0.9, 0.6, -2.0]);
        assert!((&mixed - &array![0.65, 0.35, 0.0]).iter().all(|v| v.abs() < 1e-12), "{mixed}");
    }
}
