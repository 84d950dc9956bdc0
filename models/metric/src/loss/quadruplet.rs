//! The quadruplet loss: pairs of the same thing nearer than *any* pair of different ones.

use ndarray::{Array2, ArrayView2};

use super::Outcome;
use crate::select::Selector;
use crate::{LossError, Real, Relation, Relations, Tally};

/// Options of [`quadruplet`]; margins are on squared Euclidean distance (twice those
/// on cosine).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quadruplet {
    /// α₁, of the anchor's own negatives; 1.0 in the paper's code.
    pub margin: f64,
    /// α₂ < α₁, of pairs that have nothing to do with the anchor; 0.5.
    pub other_margin: f64,
}

/// [d(a,p)² − d(a,n₁)² + α₁]+ + [d(a,p)² − d(n₁,n₂)² + α₂]+, where n₁ is what `selector`
/// chooses for (a, p), and n₂ the nearest to n₁ that is of neither a's nor n₁'s
/// group; averaged over the chosen, over an anchor's positives and over anchors.
///
/// The second term reads row n₁ of S, so rows and columns must be the same items in
/// the same order, as in a batch.
///
/// # Shapes
/// `s`: n × n cosines, `relations` likewise; the gradient likewise.
///
/// # Errors
/// `NoNegatives`, `NoPositives`, `Shape` (also if S is not square).
///
/// # Source
/// Chen et al. 2017, "Beyond triplet loss: a deep quadruplet network".
pub fn quadruplet<T: Real>(
    s: ArrayView2<'_, T>,
    relations: &Relations,
    options: &Quadruplet,
    selector: &mut Selector<'_>,
) -> Result<Outcome<T>, LossError> {
    let anchors = relations.check("quadruplet loss", s.dim())?;
    if s.nrows() != s.ncols() {
        return Err(LossError::Shape {
            what: "similarities of the quadruplet loss",
            expected: "a square matrix".to_owned(),
            got: format!("{:?}", s.dim()),
        });
    }
    let s = s.as_standard_layout();
    let mut gradient: Array2<T> = Array2::zeros(s.dim());
    let mut tally = Tally { anchors, ..Tally::default() };
    let two = T::of(2.0);
    // In cosine: d² = 2 − 2s.
    let (first, second) = (T::of(options.margin / 2.0), T::of(options.other_margin / 2.0));
    let (mut own, mut chosen) = (Vec::new(), Vec::new());
    let mut loss = 0.0;
    for i in 0..s.nrows() {
        let kinds = relations.row(i);
        relations.positives(i, &mut own);
        let before = tally.active;
        let Some(cosine) = s.row(i).to_slice() else { unreachable!("in row order") };
        for &p in &own {
            selector.choose(cosine, cosine, kinds, p, first, &mut chosen);
            let share = 1.0 / (anchors * own.len() * chosen.len().max(1)) as f64;
            for &n in &chosen {
                let other = nearest_other(s.view(), relations, i, n);
                let terms = [Some((i, n, first)), other.map(|k| (n, k, second))];
                for (row, column, margin) in terms.into_iter().flatten() {
                    let z = two * (s[[row, column]] - cosine[p] + margin);
                    tally.term(z.wide());
                    if z > T::zero() {
                        loss += share * z.wide();
                        gradient[[row, column]] += T::of(share) * two;
                        gradient[[i, p]] -= T::of(share) * two;
                    }
                }
            }
        }
        tally.active_anchors += usize::from(tally.active > before);
    }
    Ok(Outcome { loss, gradient, parameter: 0.0, tally })
}

/// The candidate nearest to `n` that is a negative of both `n` and `anchor`.
fn nearest_other<T: Real>(
    s: ArrayView2<'_, T>,
    relations: &Relations,
    anchor: usize,
    n: usize,
) -> Option<usize> {
    let (of_anchor, of_n) = (relations.row(anchor), relations.row(n));
    (0..s.ncols())
        .filter(|&k| of_anchor[k] == Relation::Negative && of_n[k] == Relation::Negative)
        .max_by(|&a, &b| s[[n, a]].wide().total_cmp(&s[[n, b]].wide()).then(b.cmp(&a)))
}
