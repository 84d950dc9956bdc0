//! The diagonal form: min h(w) = mean_S d_w² − log mean_D d_w over w ≥ 0, by
//! Newton's method on the weights that are free to move.
//!
//! At the minimum mean_S d_w² = ½, so up to a factor on w it is the paper's
//! problem with the constraint. h has **minus** the logarithm in its value, its
//! slope and its curvature alike.
//!
//! Weights are measured in units of 1 / (similar scatter of their coordinate):
//! v = w·s, so that h(v) = Σv − log mean_D √(Σ v·u) with u = δ²/s.

use nalgebra::{Cholesky, DMatrix, DVector};
use ndarray::{Array1, Array2, Axis};

use super::MahalanobisOptions;
use super::learn::{Solved, ridge};

/// # Shapes
/// `similar`, `dissimilar`: differences, one a row, of one width.
pub(super) fn solve(
    similar: &Array2<f64>,
    dissimilar: &Array2<f64>,
    options: &MahalanobisOptions,
) -> Solved {
    let scatter = similar.mapv(|v| v * v).sum_axis(Axis(0)) / similar.nrows() as f64
        + ridge(dissimilar, options);
    let u = dissimilar.mapv(|v| v * v) / &scatter;
    // Where all weights w are equal, at the best such scale.
    let mut v = &scatter / (2.0 * scatter.sum());
    let start = mean_length(&u, &v);
    let before = v.sum() / (start * start);
    let (mut iterations, mut idle) = (0, 0);
    while iterations < options.max_iterations && idle < 3 {
        iterations += 1;
        let (value, gradient, hessian) = objective(&u, &v);
        let direction = newton(&v, &gradient, &hessian);
        let mut moved = None;
        let mut step = 1.0;
        for _ in 0..60 {
            let next = (&v + &(&direction * step)).mapv(|w| w.max(0.0));
            let reached = value_of(&u, &next);
            let promised = 1e-4 * (&gradient * &(&next - &v)).sum();
            if reached <= value + promised.min(0.0) {
                moved = Some((next, reached));
                break;
            }
            step /= 2.0;
        }
        let Some((next, reached)) = moved else { break };
        idle = if value - reached < options.tolerance { idle + 1 } else { 0 };
        v = next;
    }
    let mean = mean_length(&u, &v);
    let weights = &v / &scatter / (mean * mean);
    let after = v.sum() / (mean * mean);
    Solved { map: Array2::from_diag(&weights.mapv(f64::sqrt)), before, after, iterations }
}

fn lengths(u: &Array2<f64>, v: &Array1<f64>) -> Array1<f64> {
    u.dot(v).mapv(|s| s.max(0.0).sqrt())
}

fn mean_length(u: &Array2<f64>, v: &Array1<f64>) -> f64 {
    lengths(u, v).sum() / u.nrows() as f64
}

fn value_of(u: &Array2<f64>, v: &Array1<f64>) -> f64 {
    v.sum() - mean_length(u, v).ln()
}

/// h, ∇h and ∇²h. With D = mean √(u·v): ∇D = mean u/(2√), ∇²D = −mean uuᵀ/(4√³);
/// ∇h = 1 − ∇D/D, ∇²h = ∇D∇Dᵀ/D² − ∇²D/D.
fn objective(u: &Array2<f64>, v: &Array1<f64>) -> (f64, Array1<f64>, Array2<f64>) {
    let n = u.nrows() as f64;
    let lengths = lengths(u, v);
    let mean = lengths.sum() / n;
    // A pair at distance 0 has no slope; it pulls as one at a millionth of the mean.
    let lengths = lengths.mapv(|l| l.max(1e-6 * mean));
    let slope = u.t().dot(&lengths.mapv(|l| 0.5 / (n * l)));
    let weighted = u * &lengths.mapv(|l| 0.25 / (n * l.powi(3))).insert_axis(Axis(1));
    let column = slope.view().insert_axis(Axis(1));
    let hessian = column.dot(&column.t()) / (mean * mean) + weighted.t().dot(u) / mean;
    (v.sum() - mean.ln(), slope.mapv(|s| 1.0 - s / mean), hessian)
}

/// Newton's direction over the coordinates that may move; those at the bound
/// that would leave it stay.
fn newton(v: &Array1<f64>, gradient: &Array1<f64>, hessian: &Array2<f64>) -> Array1<f64> {
    let near = 1e-9 * v.sum() / v.len() as f64;
    let free: Vec<usize> = (0..v.len()).filter(|&i| v[i] > near || gradient[i] < 0.0).collect();
    let mut direction = v.mapv(|w| if w <= near { -w } else { 0.0 });
    let n = free.len();
    let trace: f64 = free.iter().map(|&i| hessian[[i, i]]).sum();
    // Fewer pairs than coordinates leave directions without curvature.
    for damping in [1e-10, 1e-6, 1e-3, 1.0] {
        let matrix = DMatrix::from_fn(n, n, |i, j| {
            let diagonal = if i == j { damping * trace / n as f64 } else { 0.0 };
            hessian[[free[i], free[j]]] + diagonal
        });
        if let Some(factor) = Cholesky::new(matrix) {
            let solution = factor.solve(&DVector::from_fn(n, |i, _| -gradient[free[i]]));
            free.iter().zip(solution.iter()).for_each(|(&i, &d)| direction[i] = d);
            return direction;
        }
    }
    free.iter().for_each(|&i| direction[i] = -gradient[i]);
    direction
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn draw(rows: usize, columns: usize, low: f64, seed: u64) -> Array2<f64> {
        let mut rng = Pcg64::seed_from_u64(seed);
        Array2::from_shape_fn((rows, columns), |_| rng.random_range(low..1.0))
    }

    #[test]
    fn slope_and_curvature_are_those_of_finite_differences() {
        let u = draw(25, 4, 0.0, 1);
        let v = draw(1, 4, 0.1, 2).row(0).to_owned();
        let (value, gradient, hessian) = objective(&u, &v);
        assert!((value - value_of(&u, &v)).abs() < 1e-12);
        let h = 1e-6;
        for i in 0..4 {
            let at = |sign: f64| {
                let mut moved = v.clone();
                moved[i] += sign * h;
                objective(&u, &moved)
            };
            let (up, down) = (at(1.0), at(-1.0));
            assert!(((up.0 - down.0) / (2.0 * h) - gradient[i]).abs() < 1e-8);
            for j in 0..4 {
                let curvature = (up.1[j] - down.1[j]) / (2.0 * h);
                assert!((curvature - hessian[[i, j]]).abs() < 1e-7, "{curvature}");
            }
        }
    }

    #[test]
    fn nothing_on_a_grid_is_better() {
        let options = MahalanobisOptions { ridge: 0.0, ..MahalanobisOptions::default() };
        // Of like things only the first coordinate agrees; of the third, nothing is to be had.
        let mut similar = draw(50, 3, -1.0, 3);
        similar.column_mut(0).mapv_inplace(|v| v * 0.1);
        let mut dissimilar = draw(50, 3, -1.0, 4);
        dissimilar.column_mut(2).mapv_inplace(|v| v * 0.05);
        let solved = solve(&similar, &dissimilar, &options);
        let ratio = |w: [f64; 3]| {
            let mean = |rows: &Array2<f64>, root: bool| {
                let of = |r: ndarray::ArrayView1<'_, f64>| {
                    let square: f64 = r.iter().zip(w).map(|(v, w)| w * v * v).sum();
                    if root { square.sqrt() } else { square }
                };
                rows.axis_iter(Axis(0)).map(of).sum::<f64>() / rows.nrows() as f64
            };
            mean(&similar, false) / mean(&dissimilar, true).powi(2)
        };
        let found = solved.map.diag().mapv(|l| l * l);
        let own = ratio([found[0], found[1], found[2]]);
        assert!((own - solved.after).abs() < 1e-6, "{own} {}", solved.after);
        let mut best = f64::INFINITY;
        for a in 0..=100 {
            for b in 0..=(100 - a) {
                let rest = f64::from(100 - a - b) / 100.0;
                best = best.min(ratio([f64::from(a) / 100.0, f64::from(b) / 100.0, rest]));
            }
        }
        assert!(own <= best * 1.0001, "{own}, on the grid {best}");
        assert!(solved.after < solved.before);
        assert!(found[2] < 1e-9 * found[0], "a weight that does not pay is zero: {found}");
    }
}
