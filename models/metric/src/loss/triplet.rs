//! The triplet loss in all its forms: by distance, by shape of the hinge, by what is
//! summed, and by which negatives are selected.

use ndarray::{Array2, ArrayView2};

use super::{Distance, Outcome};
use crate::select::{Selection, Selector};
use crate::{LossError, Real, Relation, Relations, Tally};

/// What a violation z = d_ap − d_an + margin costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// `[z]+`.
    Hinge,
    /// τ·log(1 + e^{z/τ}): the hinge with a rounded corner; never quite zero.
    Soft {
        /// τ > 0, in the distance's unit.
        temperature: f64,
    },
}

/// What becomes of an anchor's terms. Anchors are always averaged (papers on VSE sum
/// them: theirs is × batch size), and so are an anchor's positives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// An anchor's selected negatives are summed.
    Sum,
    /// They are averaged.
    Mean,
    /// All terms of the batch are summed and divided by the number of those that cost
    /// something: of a hinge those above zero, of a soft one all.
    NonZero,
}

/// Options of [`triplet`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Triplet {
    /// In which the margin is measured.
    pub distance: Distance,
    /// Hard or soft corner.
    pub shape: Shape,
    /// How much farther than the positive a negative shall be; ≥ 0.
    pub margin: f64,
    /// What is averaged.
    pub reduction: Reduction,
}

impl Triplet {
    /// The hinge on cosine that VSE0 (with all negatives) and VSE++ (with the
    /// hardest) share: Σ_j [m + s_ij − s_ip]+. Default margin there: 0.2.
    pub fn hinge(margin: f64) -> Self {
        let (distance, shape) = (Distance::Cosine, Shape::Hinge);
        Self { distance, shape, margin, reduction: Reduction::Sum }
    }

    /// FaceNet's: [‖a − p‖² − ‖a − n‖² + α]+, α = 0.2, averaged.
    pub fn facenet() -> Self {
        let distance = Distance::SquaredEuclidean;
        Self { distance, shape: Shape::Hinge, margin: 0.2, reduction: Reduction::Mean }
    }

    /// τ·softplus((s_ij − s_ip + m)/τ), averaged over the selected negatives.
    pub fn soft(margin: f64, temperature: f64) -> Self {
        let (distance, shape) = (Distance::Cosine, Shape::Soft { temperature });
        Self { distance, shape, margin, reduction: Reduction::Mean }
    }
}

/// The triplet loss over similarities S of anchors (rows) and candidates (columns).
///
/// Each anchor's positives are averaged (the paired one, or all); negatives are
/// chosen by `selector` for each (anchor, positive); anchors are averaged.
///
/// # Shapes
/// `s`: n × m cosines, `relations` likewise; the gradient likewise.
///
/// # Errors
/// `NoNegatives`, `NoPositives`, `Shape`.
///
/// # Source
/// Schroff 2015 (FaceNet), Kiros 2014 (all negatives), Faghri 2018 (VSE++, hardest).
pub fn triplet<T: Real>(
    s: ArrayView2<'_, T>,
    relations: &Relations,
    options: &Triplet,
    selector: &mut Selector<'_>,
) -> Result<Outcome<T>, LossError> {
    let anchors = relations.check("triplet loss", s.dim())?;
    let s = s.as_standard_layout();
    let mut gradient = Array2::zeros(s.dim());
    let mut tally = Tally { anchors, ..Tally::default() };
    let mut row = Row::new(options, s.ncols());
    let (mut own, mut chosen) = (Vec::new(), Vec::new());
    let mut loss = 0.0;
    for i in 0..s.nrows() {
        let kinds = relations.row(i);
        relations.positives(i, &mut own);
        if own.is_empty() || !kinds.contains(&Relation::Negative) {
            continue;
        }
        let (Some(cosine), Some(g)) = (s.row(i).to_slice(), gradient.row_mut(i).into_slice())
        else {
            unreachable!("both matrices are in row order");
        };
        let before = tally.active;
        row.measure(cosine);
        let share = match options.reduction {
            Reduction::NonZero => 1.0,
            _ => 1.0 / (anchors * own.len()) as f64,
        };
        for &p in &own {
            loss += share
                * if selector.selection == Selection::All {
                    row.all(cosine, kinds, p, share, g, &mut tally)
                } else {
                    let closeness = row.closeness(cosine);
                    let margin = row.margin / row.factor;
                    selector.choose(closeness, cosine, kinds, p, margin, &mut chosen);
                    row.some(cosine, &chosen, p, share, g, &mut tally)
                };
        }
        row.chain(g);
        tally.active_anchors += usize::from(tally.active > before);
    }
    if options.reduction == Reduction::NonZero {
        let costly = match options.shape {
            Shape::Hinge => tally.active,
            Shape::Soft { .. } => tally.terms,
        };
        let count = costly.max(1) as f64;
        loss /= count;
        gradient.mapv_inplace(|v| v / T::of(count));
    }
    Ok(Outcome { loss, gradient, parameter: 0.0, tally })
}

/// One anchor's row. Works on a closeness c with z = factor·(c_n − c_p) + margin:
/// c = s for the cosine and squared distances, c = −d for the Euclidean one.
struct Row<'a, T> {
    options: &'a Triplet,
    factor: T,
    margin: T,
    /// −d of each candidate, for the Euclidean distance only.
    minus_distance: Vec<T>,
    /// Violations, for the soft shape over all negatives.
    inside: Vec<T>,
}

impl<'a, T: Real> Row<'a, T> {
    fn new(options: &'a Triplet, width: usize) -> Self {
        let factor = match options.distance {
            Distance::SquaredEuclidean => T::of(2.0),
            _ => T::one(),
        };
        let margin = T::of(options.margin);
        let inside = vec![T::zero(); width];
        Self { options, factor, margin, minus_distance: Vec::new(), inside }
    }

    fn measure(&mut self, cosine: &[T]) {
        if self.options.distance == Distance::Euclidean {
            self.minus_distance.clear();
            self.minus_distance.extend(cosine.iter().map(|&s| -self.options.distance.at(s).0));
        }
    }

    fn closeness<'b>(&'b self, cosine: &'b [T]) -> &'b [T] {
        if self.minus_distance.is_empty() { cosine } else { &self.minus_distance }
    }

    /// From ∂L/∂c to ∂L/∂s.
    fn chain(&self, g: &mut [T]) {
        if self.options.distance == Distance::Euclidean {
            g.iter_mut().zip(&self.minus_distance).for_each(|(g, &c)| *g /= -c);
        }
    }

    fn some(
        &self,
        cosine: &[T],
        chosen: &[usize],
        p: usize,
        share: f64,
        g: &mut [T],
        tally: &mut Tally,
    ) -> f64 {
        let each = match self.options.reduction {
            Reduction::Mean => 1.0 / chosen.len().max(1) as f64,
            _ => 1.0,
        };
        let weight = T::of(share * each) * self.factor;
        let closeness = self.closeness(cosine);
        let mut loss = 0.0;
        for &j in chosen {
            let z = self.factor * (closeness[j] - closeness[p]) + self.margin;
            tally.term(z.wide());
            let (cost, slope) = match self.options.shape {
                Shape::Hinge if z > T::zero() => (z.wide(), T::one()),
                Shape::Hinge => continue,
                Shape::Soft { temperature } => soft(z, T::of(temperature)),
            };
            loss += cost;
            g[j] += weight * slope;
            g[p] -= weight * slope;
        }
        loss * each
    }

    fn all(
        &mut self,
        cosine: &[T],
        kinds: &[Relation],
        p: usize,
        share: f64,
        g: &mut [T],
        tally: &mut Tally,
    ) -> f64 {
        let closeness =
            if self.minus_distance.is_empty() { cosine } else { &self.minus_distance[..] };
        let base = self.margin - self.factor * closeness[p];
        let (mut terms, mut active) = (0u32, 0u32);
        let mut worst = T::zero();
        for ((z, &c), &kind) in self.inside.iter_mut().zip(closeness).zip(kinds) {
            let on = kind == Relation::Negative;
            *z = if on { self.factor * c + base } else { T::neg_infinity() };
            terms += u32::from(on);
            active += u32::from(*z > T::zero());
            worst = if *z > worst { *z } else { worst };
        }
        let each = match self.options.reduction {
            Reduction::Mean => 1.0 / f64::from(terms.max(1)),
            _ => 1.0,
        };
        let weight = T::of(share * each) * self.factor;
        let violation = sum(&self.inside, |z| z.max(T::zero()));
        let (loss, pull) = match self.options.shape {
            Shape::Hinge => {
                for (g, &z) in g.iter_mut().zip(&self.inside) {
                    *g += if z > T::zero() { weight } else { T::zero() };
                }
                (violation, weight * T::of(f64::from(active)))
            }
            Shape::Soft { temperature } => {
                let temperature = T::of(temperature);
                let mut pull = T::zero();
                // The cost takes the place of z, so that the sum runs over a slice.
                for ((g, z), &kind) in g.iter_mut().zip(&mut self.inside).zip(kinds) {
                    if kind == Relation::Negative {
                        let (cost, slope) = soft(*z, temperature);
                        *z = T::of(cost);
                        *g += weight * slope;
                        pull += weight * slope;
                    } else {
                        *z = T::zero();
                    }
                }
                (sum(&self.inside, |z| z), pull)
            }
        };
        g[p] -= pull;
        tally.terms += u64::from(terms);
        tally.active += u64::from(active);
        tally.violation += violation;
        tally.worst = tally.worst.max(worst.wide());
        loss * each
    }
}

/// τ·log(1 + e^{z/τ}) and its slope, without overflow.
fn soft<T: Real>(z: T, temperature: T) -> (f64, T) {
    let x = z / temperature;
    let e = (-x.abs()).quick_exp();
    let one = T::one();
    let slope = if x >= T::zero() { one / (one + e) } else { e / (one + e) };
    let cost = temperature * (x.max(T::zero()) + e.ln_1p());
    (cost.wide(), slope)
}

/// Σ f(x), in lanes of this type and chunks of f64.
pub(super) fn sum<T: Real>(xs: &[T], f: impl Fn(T) -> T) -> f64 {
    const LANES: usize = 8;
    let mut total = 0.0;
    for block in xs.chunks(512) {
        let mut lanes = [T::zero(); LANES];
        let chunks = block.chunks_exact(LANES);
        let rest: T = chunks.remainder().iter().map(|&x| f(x)).sum();
        for chunk in chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane += f(x);
            }
        }
        total += lanes.into_iter().sum::<T>().wide() + rest.wide();
    }
    total
}
