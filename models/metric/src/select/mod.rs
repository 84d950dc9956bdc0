//! Which negatives teach an anchor?

mod curriculum;
mod distance_weighted;
#[cfg(test)]
mod tests;

use rand::RngExt;
use rand_pcg::Pcg64;

use crate::{Real, Relation};

pub use curriculum::{Curriculum, Ramp};
pub use distance_weighted::log_weight;

/// Which of an anchor's negatives a triplet is made with, for each positive p.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Selection {
    /// All.
    All,
    /// One, each equally likely.
    Random,
    /// All with d_ap < d_an < d_ap + margin, in the loss's own distance: farther
    /// than the positive, but not by the margin. None if there is no such negative.
    /// (FaceNet.)
    SemiHard,
    /// The nearest. (VSE++.)
    Hard,
    /// The k nearest; all if there are fewer.
    KHardest(usize),
    /// One, drawn so that all distances are about equally likely. (Wu 2017.)
    DistanceWeighted,
}

/// A selection with what it needs to run.
#[derive(Debug)]
pub struct Selector<'a> {
    /// Which negatives.
    pub selection: Selection,
    /// Width of the embeddings, which the density of distances depends on.
    pub dim: usize,
    /// Where chance comes from.
    pub rng: &'a mut Pcg64,
}

impl Selection {
    /// Whether chance has a part in it.
    pub(crate) fn draws(self) -> bool {
        matches!(self, Self::Random | Self::DistanceWeighted)
    }
}

impl Selector<'_> {
    /// Writes the chosen candidates.
    ///
    /// * `closeness`: larger is nearer, in the loss's own unit (2s for the squared
    ///   Euclidean distance, −d for the Euclidean one); one a candidate.
    /// * `cosine`: the similarities themselves.
    pub(crate) fn choose<T: Real>(
        &mut self,
        closeness: &[T],
        cosine: &[T],
        kinds: &[Relation],
        positive: usize,
        margin: T,
        into: &mut Vec<usize>,
    ) {
        into.clear();
        let negatives =
            || kinds.iter().enumerate().filter(|(_, k)| **k == Relation::Negative).map(|(j, _)| j);
        match self.selection {
            Selection::All => into.extend(negatives()),
            Selection::Random => {
                let count = negatives().count();
                if count > 0 {
                    into.extend(negatives().nth(self.rng.random_range(0..count)));
                }
            }
            Selection::SemiHard => {
                let p = closeness[positive];
                into.extend(negatives().filter(|&j| {
                    let behind = p - closeness[j];
                    behind > T::zero() && behind < margin
                }));
            }
            Selection::Hard => into.extend(hardest(closeness, kinds)),
            Selection::KHardest(k) => {
                let mut nearest: Vec<T::Nearness> =
                    negatives().map(|j| closeness[j].nearness(j as u32)).collect();
                if k < nearest.len() {
                    nearest.select_nth_unstable(k);
                    nearest.truncate(k);
                }
                into.extend(nearest.into_iter().map(T::place));
            }
            Selection::DistanceWeighted => {
                into.extend(distance_weighted::draw(cosine, kinds, self.dim, self.rng));
            }
        }
    }
}

/// The negative of greatest closeness; the first of equal ones.
pub(crate) fn hardest<T: Real>(closeness: &[T], kinds: &[Relation]) -> Option<usize> {
    const LANES: usize = 8;
    let masked = |v: T, k: Relation| if k == Relation::Negative { v } else { T::neg_infinity() };
    let mut most = [T::neg_infinity(); LANES];
    let mut values = closeness.chunks_exact(LANES);
    let mut marks = kinds.chunks_exact(LANES);
    for (v, k) in values.by_ref().zip(marks.by_ref()) {
        for lane in 0..LANES {
            let x = masked(v[lane], k[lane]);
            most[lane] = if x > most[lane] { x } else { most[lane] };
        }
    }
    let rest = values.remainder().iter().zip(marks.remainder()).map(|(&v, &k)| masked(v, k));
    let most =
        most.into_iter().chain(rest).fold(T::neg_infinity(), |a, b| if b > a { b } else { a });
    closeness.iter().zip(kinds).position(|(&v, &k)| k == Relation::Negative && v == most)
}
