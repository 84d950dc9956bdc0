//! Classification on top of embeddings: a learned direction for each class.

use ndarray::{Array2, ArrayView2};

use crate::{LossError, Real, Tally, normalise};

/// What [`classification`] gives.
#[derive(Clone, Debug)]
pub struct Classified<T> {
    /// The loss.
    pub loss: f64,
    /// ∂L/∂x, n × d.
    pub gradient: Array2<T>,
    /// ∂L/∂weights, classes × d.
    pub weights: Array2<T>,
    /// What was counted: a term is active where another class scores higher.
    pub tally: Tally,
}

/// −log softmax_c(γ · cos(x_i, w_c)) at the row's own class, averaged over rows.
///
/// The classes' directions `weights` need not be of unit length; the gradient goes
/// through their normalisation.
///
/// # Shapes
/// `x`: n × d, unit rows; `classes`: n; `weights`: classes × d.
///
/// # Errors
/// `Shape`; `Class` for a class beyond the weights; `NoNegatives` with fewer than two classes.
///
/// # Source
/// Zheng et al. 2017, "Dual-path convolutional image-text embeddings with instance loss", with
/// cosines scaled by γ (64 there).
pub fn classification<T: Real>(
    x: ArrayView2<'_, T>,
    classes: &[u32],
    weights: ArrayView2<'_, T>,
    scale: f64,
) -> Result<Classified<T>, LossError> {
    let (n, width) = x.dim();
    if classes.len() != n || weights.ncols() != width {
        return Err(LossError::Shape {
            what: "classes and the classifier's weights",
            expected: format!("{n} classes, weights of width {width}"),
            got: format!("{} classes, weights of width {}", classes.len(), weights.ncols()),
        });
    }
    let count = weights.nrows();
    if count < 2 {
        return Err(LossError::NoNegatives { what: "classification".into(), candidates: count });
    }
    for (row, &class) in classes.iter().enumerate() {
        if class as usize >= count {
            return Err(LossError::Class { row, class, classes: count });
        }
    }
    let directions = normalise(weights);
    let cosines = x.dot(&directions.rows.t());
    let mut slopes = Array2::<T>::zeros(cosines.dim());
    let mut tally = Tally { anchors: n, ..Tally::default() };
    let (share, scale_t) = (1.0 / n.max(1) as f64, T::of(scale));
    let mut loss = 0.0;
    for ((row, mut slope), &class) in cosines.outer_iter().zip(slopes.outer_iter_mut()).zip(classes)
    {
        let own = class as usize;
        let top = row.iter().copied().fold(T::neg_infinity(), T::max) * scale_t;
        let mut total = 0.0;
        let mut best_other = T::neg_infinity();
        for (j, (&c, s)) in row.iter().zip(slope.iter_mut()).enumerate() {
            *s = (c * scale_t - top).exp();
            total += s.wide();
            if j != own {
                best_other = best_other.max(c);
            }
        }
        let inside = (best_other - row[own]).wide();
        tally.term(inside);
        tally.active_anchors += usize::from(inside > 0.0);
        loss += share * (total.ln() + top.wide() - (row[own] * scale_t).wide());
        let weight = T::of(share * scale / total);
        slope.mapv_inplace(|s| s * weight);
        slope[own] -= T::of(share * scale);
    }
    let gradient = slopes.dot(&directions.rows);
    let weights = directions.backward(slopes.t().dot(&x).view());
    Ok(Classified { loss, gradient, weights, tally })
}
