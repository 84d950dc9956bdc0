//! InfoNCE: a softmax over candidates, with one or several right answers.

use ndarray::{Array2, ArrayView2};

use super::Outcome;
use crate::{LossError, Real, Relation, Relations, Tally};

/// θ of the scale e^θ is kept in 0..=ln 100, as CLIP does.
pub const MAX_LOG_SCALE: f64 = 4.605_170_185_988_092;

/// Options of [`info_nce`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InfoNce {
    /// t = 1/temperature, by which similarities are multiplied. CLIP starts at
    /// 1/0.07; N-pair uses 1 on vectors that are not normalised.
    pub scale: f64,
    /// Whether all positives of an anchor count (SupCon), or the paired one only
    /// while the others are left out (N-pair).
    pub all_positives: bool,
}

/// −1/|P| Σ_{p∈P} log(e^{t·s_ip} / Σ_j e^{t·s_ij}), averaged over anchors; j runs over
/// positives and negatives. With one positive an anchor it is cross-entropy
/// against the pair. `parameter` is ∂L/∂(ln t).
///
/// # Shapes
/// `s`: n × m similarities, `relations` likewise; the gradient likewise.
///
/// # Errors
/// `NoNegatives`, `NoPositives`, `Shape`.
///
/// # Source
/// van den Oord 2018; Khosla 2020 (SupCon, L_out); Radford 2021 (CLIP); Sohn 2016.
pub fn info_nce<T: Real>(
    s: ArrayView2<'_, T>,
    relations: &Relations,
    options: &InfoNce,
) -> Result<Outcome<T>, LossError> {
    let anchors = relations.check("InfoNCE", s.dim())?;
    let s = s.as_standard_layout();
    let mut gradient = Array2::zeros(s.dim());
    let mut tally = Tally { anchors, ..Tally::default() };
    let scale = T::of(options.scale);
    let mut powers = vec![T::zero(); s.ncols()];
    let mut own = Vec::new();
    let (mut loss, mut parameter) = (0.0, 0.0);
    for i in 0..s.nrows() {
        let kinds = relations.row(i);
        relations.positives(i, &mut own);
        let (Some(cosine), Some(g)) = (s.row(i).to_slice(), gradient.row_mut(i).into_slice())
        else {
            unreachable!("both matrices are in row order");
        };
        let Some(hardest) = crate::select::hardest(cosine, kinds) else { continue };
        if options.all_positives {
            own.clear();
            let all = kinds.iter().enumerate().filter(|(_, k)| **k == Relation::Positive);
            own.extend(all.map(|(j, _)| j));
        }
        if own.is_empty() {
            continue;
        }
        let best = own.iter().map(|&p| cosine[p]).fold(T::neg_infinity(), T::max);
        tally.term((cosine[hardest] - best).wide());
        tally.active_anchors += usize::from(cosine[hardest] > best);
        let top = scale * cosine[hardest].max(best);
        for ((e, &c), &kind) in powers.iter_mut().zip(cosine).zip(kinds) {
            let power = (c * scale - top).quick_exp();
            *e = if kind == Relation::Negative { power } else { T::zero() };
        }
        for &p in &own {
            powers[p] = (cosine[p] * scale - top).quick_exp();
        }
        let total = super::triplet::sum(&powers, |e| e);
        let log_total = total.ln() + top.wide();
        let share = 1.0 / anchors as f64;
        let weight = T::of(share * options.scale / total);
        for (g, &e) in g.iter_mut().zip(&powers) {
            *g = weight * e;
        }
        let each = 1.0 / own.len() as f64;
        for &p in &own {
            loss += share * each * (log_total - (scale * cosine[p]).wide());
            g[p] -= T::of(share * each * options.scale);
        }
        parameter += g.iter().zip(cosine).map(|(&g, &c)| g * c).sum::<T>().wide();
    }
    Ok(Outcome { loss, gradient, parameter, tally })
}
