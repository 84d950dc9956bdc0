//! The margin loss: one boundary β for all, learned.

use ndarray::{Array2, ArrayView2};

use super::{Distance, Outcome};
use crate::select::Selector;
use crate::{LossError, Real, Relations, Tally};

/// Options of [`margin`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margin {
    /// The boundary between same and different, a Euclidean distance; 1.2 at first.
    pub beta: f64,
    /// How far either side of it; 0.2.
    pub alpha: f64,
}

/// [d_ap − β + α]+ + [β − d_an + α]+ over each (anchor, positive) and the negatives
/// selected for it, divided by the number of terms above zero. d is Euclidean,
/// not squared. `parameter` is ∂L/∂β.
///
/// # Shapes
/// `s`: n × m cosines, `relations` likewise; the gradient likewise.
///
/// # Errors
/// `NoNegatives`, `NoPositives`, `Shape`.
///
/// # Source
/// Wu et al. 2017, "Sampling matters in deep embedding learning", eq. 6, with ν = 0.
pub fn margin<T: Real>(
    s: ArrayView2<'_, T>,
    relations: &Relations,
    options: &Margin,
    selector: &mut Selector<'_>,
) -> Result<Outcome<T>, LossError> {
    let anchors = relations.check("margin loss", s.dim())?;
    let s = s.as_standard_layout();
    let mut gradient: Array2<T> = Array2::zeros(s.dim());
    let mut tally = Tally { anchors, ..Tally::default() };
    let (beta, alpha) = (options.beta, options.alpha);
    let (mut own, mut chosen, mut closeness) = (Vec::new(), Vec::new(), Vec::new());
    let (mut loss, mut parameter) = (0.0, 0.0);
    for i in 0..s.nrows() {
        let kinds = relations.row(i);
        relations.positives(i, &mut own);
        let before = tally.active;
        let Some(cosine) = s.row(i).to_slice() else { unreachable!("in row order") };
        closeness.clear();
        closeness.extend(cosine.iter().map(|&c| -Distance::Euclidean.at(c).0));
        for &p in &own {
            selector.choose(&closeness, cosine, kinds, p, T::of(alpha), &mut chosen);
            for (j, sign) in std::iter::once((p, 1.0)).chain(chosen.iter().map(|&j| (j, -1.0))) {
                let (d, slope) = Distance::Euclidean.at(cosine[j]);
                let inside = sign * (d.wide() - beta) + alpha;
                tally.term(inside);
                if inside > 0.0 {
                    loss += inside;
                    parameter -= sign;
                    gradient[[i, j]] += T::of(sign) * slope;
                }
            }
        }
        tally.active_anchors += usize::from(tally.active > before);
    }
    let count = tally.active.max(1) as f64;
    gradient.mapv_inplace(|v| v / T::of(count));
    Ok(Outcome { loss: loss / count, gradient, parameter: parameter / count, tally })
}
