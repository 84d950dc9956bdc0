//! The contrastive loss: pairs of the same thing near, others beyond a margin.

use ndarray::{Array2, ArrayView2};

use super::{Distance, Outcome};
use crate::select::Selector;
use crate::{LossError, Real, Relation, Relations, Tally};

/// How distances cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// ½·[y d² + (1 − y)·[m − d]+²].
    Hadsell,
    /// y·d + (1 − y)·[m − d]+.
    Linear,
}

/// Options of [`contrastive`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contrastive {
    /// d. Euclidean in the papers.
    pub distance: Distance,
    /// Squared or not.
    pub form: Form,
    /// How far apart different things shall be, in the distance's unit; > 0.
    /// Default 1 (Euclidean), 0.5 (cosine).
    pub margin: f64,
    /// Whether positives and negatives are averaged apart and the two means added,
    /// so that a batch's B positives do not drown in B(B − 1) negatives. Otherwise
    /// the mean over all pairs, as in the paper.
    pub balanced: bool,
}

impl Contrastive {
    /// Hadsell's form on Euclidean distance, balanced.
    pub fn hadsell(margin: f64) -> Self {
        Self { distance: Distance::Euclidean, form: Form::Hadsell, margin, balanced: true }
    }
}

/// The contrastive loss over every positive pair and the negatives that `selector`
/// chooses for each anchor (relative to its first positive).
///
/// # Shapes
/// `s`: n × m cosines, `relations` likewise; the gradient likewise.
///
/// # Errors
/// `NoNegatives`, `NoPositives`, `Shape`.
///
/// # Source
/// Hadsell, Chopra, LeCun 2006, "Dimensionality reduction by learning an invariant mapping".
pub fn contrastive<T: Real>(
    s: ArrayView2<'_, T>,
    relations: &Relations,
    options: &Contrastive,
    selector: &mut Selector<'_>,
) -> Result<Outcome<T>, LossError> {
    let anchors = relations.check("contrastive loss", s.dim())?;
    let s = s.as_standard_layout();
    let mut gradient = Array2::zeros(s.dim());
    let mut tally = Tally { anchors, ..Tally::default() };
    let margin = T::of(options.margin);
    let (mut sums, mut counts) = ([0.0; 2], [0usize; 2]);
    let (mut own, mut chosen, mut closeness) = (Vec::new(), Vec::new(), Vec::new());
    let half = T::of(0.5);
    // Which part an entry belongs to is only weighted once both counts are known.
    let mut visited: Vec<(usize, usize)> = Vec::new();
    for i in 0..s.nrows() {
        let kinds = relations.row(i);
        let before = tally.active;
        let Some(cosine) = s.row(i).to_slice() else { unreachable!("in row order") };
        for (j, _) in kinds.iter().enumerate().filter(|(_, k)| **k == Relation::Positive) {
            let (d, slope) = options.distance.at(cosine[j]);
            let (cost, by_d) = match options.form {
                Form::Hadsell => (half * d * d, d),
                Form::Linear => (d, T::one()),
            };
            sums[0] += cost.wide();
            counts[0] += 1;
            gradient[[i, j]] = by_d * slope;
            visited.push((i, j));
        }
        relations.positives(i, &mut own);
        let first = own.first().copied().unwrap_or(0);
        closeness.clear();
        closeness.extend(cosine.iter().map(|&c| -options.distance.at(c).0));
        selector.choose(&closeness, cosine, kinds, first, margin, &mut chosen);
        for &j in &chosen {
            let (d, slope) = options.distance.at(cosine[j]);
            let inside = margin - d;
            tally.term(inside.wide());
            counts[1] += 1;
            if inside <= T::zero() {
                continue;
            }
            let (cost, by_d) = match options.form {
                Form::Hadsell => (half * inside * inside, -inside),
                Form::Linear => (inside, -T::one()),
            };
            sums[1] += cost.wide();
            gradient[[i, j]] = by_d * slope;
            visited.push((i, j));
        }
        tally.active_anchors += usize::from(tally.active > before);
    }
    let all = (counts[0] + counts[1]).max(1);
    let share = counts.map(|n| 1.0 / if options.balanced { n.max(1) } else { all } as f64);
    for at in visited {
        let part = usize::from(relations.of(at.0, at.1) == Relation::Negative);
        gradient[at] *= T::of(share[part]);
    }
    let loss = sums[0] * share[0] + sums[1] * share[1];
    Ok(Outcome { loss, gradient, parameter: 0.0, tally })
}
