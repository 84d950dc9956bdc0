//! The triplet loss with a smooth maximum over negatives.

use ndarray::{Array2, ArrayView2};

use super::Outcome;
use crate::{LossError, Real, Relation, Relations, Tally};

/// Options of [`smooth_max`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmoothMax {
    /// In units of cosine; ≥ 0. Default 0.2.
    pub margin: f64,
    /// τ > 0 in units of cosine: towards 0 only the hardest negative counts, as in
    /// VSE++. Default 0.05.
    pub temperature: f64,
}

/// τ·log(1 + Σ_j exp((s_ij − s_ip + m)/τ)), averaged over an anchor's positives and
/// over anchors. With m = 0 and one positive an anchor it is τ × InfoNCE.
///
/// # Shapes
/// `s`: n × m cosines, `relations` likewise; the gradient likewise.
///
/// # Errors
/// `NoNegatives`, `NoPositives`, `Shape`.
pub fn smooth_max<T: Real>(
    s: ArrayView2<'_, T>,
    relations: &Relations,
    options: &SmoothMax,
) -> Result<Outcome<T>, LossError> {
    let anchors = relations.check("smooth-max triplet loss", s.dim())?;
    let s = s.as_standard_layout();
    let mut gradient = Array2::zeros(s.dim());
    let mut tally = Tally { anchors, ..Tally::default() };
    let (inverse, margin) = (T::of(1.0 / options.temperature), T::of(options.margin));
    let mut powers = vec![T::zero(); s.ncols()];
    let mut own = Vec::new();
    let mut loss = 0.0;
    for i in 0..s.nrows() {
        let kinds = relations.row(i);
        relations.positives(i, &mut own);
        let (Some(cosine), Some(g)) = (s.row(i).to_slice(), gradient.row_mut(i).into_slice())
        else {
            unreachable!("both matrices are in row order");
        };
        let Some(hardest) = crate::select::hardest(cosine, kinds) else { continue };
        let before = tally.active;
        for &p in &own {
            let share = 1.0 / (anchors * own.len()) as f64;
            let base = margin - cosine[p];
            let worst = cosine[hardest] + base;
            tally.term(worst.wide());
            // Exponents are taken less the largest; the 1 of log(1 + …) is e⁰.
            let top = (worst * inverse).max(T::zero());
            for ((e, &c), &kind) in powers.iter_mut().zip(cosine).zip(kinds) {
                let power = ((c + base) * inverse - top).quick_exp();
                *e = if kind == Relation::Negative { power } else { T::zero() };
            }
            let sum = super::triplet::sum(&powers, |e| e);
            let total = sum + (-top.wide()).exp();
            loss += share * options.temperature * (total.ln() + top.wide());
            let weight = T::of(share / total);
            for (g, &e) in g.iter_mut().zip(&powers) {
                *g += weight * e;
            }
            g[p] -= T::of(share * sum / total);
        }
        tally.active_anchors += usize::from(tally.active > before);
    }
    Ok(Outcome { loss, gradient, parameter: 0.0, tally })
}
