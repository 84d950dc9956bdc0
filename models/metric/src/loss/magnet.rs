//! The Magnet loss: each class in several clusters, each cluster away from those of others.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};

use super::Embedded;
use crate::{LossError, Real, Tally};

/// Options of [`magnet`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Magnet {
    /// α, the margin between a row's own cluster and those of other classes, in units
    /// of squared distance over 2σ². 1 in the paper's code.
    pub alpha: f64,
}

/// 1/N Σ_n [ ‖r_n − μ(r_n)‖²/(2σ²) + α + log Σ_{c ≠ C(r_n)} Σ_k e^{−‖r_n − μ_k^c‖²/(2σ²)} ]+
/// with σ² = 1/(N − 1) Σ ‖r_n − μ(r_n)‖². Means and σ² are those of the batch, and
/// the gradient goes through both.
///
/// (The divisor is 2σ², as the paper has it; some ports square σ² once more.)
///
/// # Shapes
/// `x`: n × d; `classes`, `clusters`: n. A cluster is of one class.
///
/// # Errors
/// `NoNegatives` with fewer than two classes; `NoPositives` if all clusters have one
/// row (σ² would be 0); `Shape`, also for a cluster of two classes.
///
/// # Source
/// Rippel et al. 2016, "Metric learning with adaptive density discrimination", eq. 4 and 5.
pub fn magnet<T: Real>(
    x: ArrayView2<'_, T>,
    classes: &[u32],
    clusters: &[u32],
    options: &Magnet,
) -> Result<Embedded<T>, LossError> {
    let n = x.nrows();
    if classes.len() != n || clusters.len() != n {
        return Err(LossError::Shape {
            what: "classes and clusters of the Magnet loss",
            expected: format!("{n} each"),
            got: format!("{} and {}", classes.len(), clusters.len()),
        });
    }
    let mut place: BTreeMap<u32, usize> = clusters.iter().map(|&c| (c, 0)).collect();
    place.values_mut().enumerate().for_each(|(k, at)| *at = k);
    let own: Vec<usize> = clusters.iter().map(|c| place[c]).collect();
    let mut class_of = vec![None; place.len()];
    let mut counts = vec![0usize; place.len()];
    let mut means = Array2::<T>::zeros((place.len(), x.ncols()));
    for (i, &k) in own.iter().enumerate() {
        if class_of[k].is_some_and(|c| c != classes[i]) {
            return Err(LossError::Shape {
                what: "clusters of the Magnet loss",
                expected: "rows of one class in each cluster".into(),
                got: format!(
                    "rows of classes {:?} and {} in cluster {}",
                    class_of[k], classes[i], clusters[i]
                ),
            });
        }
        class_of[k] = Some(classes[i]);
        counts[k] += 1;
        means.row_mut(k).scaled_add(T::one(), &x.row(i));
    }
    for (mut mean, &count) in means.outer_iter_mut().zip(&counts) {
        mean.mapv_inplace(|v| v / T::of(count as f64));
    }
    let what = || "Magnet loss".to_owned();
    if class_of.iter().all(|c| *c == class_of[0]) {
        return Err(LossError::NoNegatives { what: what(), candidates: place.len() });
    }
    let distance = Array2::from_shape_fn((n, place.len()), |(i, k)| {
        let d: T = x.row(i).iter().zip(means.row(k)).map(|(&a, &b)| (a - b) * (a - b)).sum();
        d.wide()
    });
    let within: f64 = (0..n).map(|i| distance[[i, own[i]]]).sum();
    // Rows that lie on their mean up to rounding have no spread to measure by.
    if n < 2 || within < 1e-10 * n as f64 {
        return Err(LossError::NoPositives { what: what(), candidates: place.len() });
    }
    let v = (n as f64 - 1.0) / (2.0 * within);
    let mut tally = Tally { anchors: n, ..Tally::default() };
    let mut rows = vec![0.0; n];
    // ∂L/∂distance, at first with v held; and ∂L/∂v.
    let mut by_distance = Array2::<f64>::zeros(distance.dim());
    let mut by_v = 0.0;
    let share = 1.0 / n as f64;
    for i in 0..n {
        let others = || (0..class_of.len()).filter(|&k| class_of[k] != Some(classes[i]));
        let top = others().map(|k| -v * distance[[i, k]]).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = others().map(|k| (-v * distance[[i, k]] - top).exp()).sum();
        let inside = v * distance[[i, own[i]]] + options.alpha + total.ln() + top;
        tally.term(inside);
        if inside <= 0.0 {
            continue;
        }
        tally.active_anchors += 1;
        rows[i] = inside;
        by_distance[[i, own[i]]] += share * v;
        by_v += share * distance[[i, own[i]]];
        for k in others() {
            let q = (-v * distance[[i, k]] - top).exp() / total;
            by_distance[[i, k]] -= share * v * q;
            by_v -= share * q * distance[[i, k]];
        }
    }
    // v = (N − 1)/(2 Σ own distances).
    let through_v = by_v * -v / within;
    let mut gradient = Array2::<T>::zeros(x.dim());
    let mut by_mean = Array2::<T>::zeros(means.dim());
    for i in 0..n {
        by_distance[[i, own[i]]] += through_v;
        for k in 0..class_of.len() {
            let weight = T::of(2.0 * by_distance[[i, k]]);
            if weight != T::zero() {
                let difference = &x.row(i) - &means.row(k);
                gradient.row_mut(i).scaled_add(weight, &difference);
                by_mean.row_mut(k).scaled_add(-weight, &difference);
            }
        }
    }
    for (i, &k) in own.iter().enumerate() {
        gradient.row_mut(i).scaled_add(T::of(1.0 / counts[k] as f64), &by_mean.row(k));
    }
    let loss = rows.iter().sum::<f64>() * share;
    Ok(Embedded { loss, gradient, rows, tally })
}
