//! How does a batch stand? Figures that a training log shows and detectors read.

use ndarray::{ArrayView2, Axis};

use crate::{Real, Relation, Relations};

/// Counts of cosine similarities in [`Histogram::BINS`] equal bins over −1..=1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Bin b counts −1 + b/20 ≤ s < −1 + (b+1)/20; the last also s = 1.
    pub bins: [u32; Self::BINS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { bins: [0; Self::BINS] }
    }
}

impl Histogram {
    /// Number of bins.
    pub const BINS: usize = 40;

    /// Counts one similarity; outside −1..=1 it goes to the nearest bin, NaN to none.
    pub fn add(&mut self, similarity: f64) {
        if !similarity.is_nan() {
            let bin = ((similarity + 1.0) * 0.5 * Self::BINS as f64).floor();
            self.bins[bin.clamp(0.0, (Self::BINS - 1) as f64) as usize] += 1;
        }
    }
}

/// A negative that scores above its anchor's positive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspect {
    /// The anchor's row.
    pub anchor: usize,
    /// The candidate's row.
    pub candidate: usize,
    /// By how much, in cosine.
    pub excess: f64,
}

/// Figures of one batch. Those of loss terms are over all sides; those of
/// similarities are of the first side with a weight.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Anchors with a positive and a negative.
    pub anchors: usize,
    /// Terms of the loss looked at (pairs, triplets, anchors: as the loss counts).
    pub terms: u64,
    /// Terms above zero.
    pub active: u64,
    /// Anchors with a term above zero.
    pub active_anchors: usize,
    /// Sum of all terms' violations (the hinge's inside where above zero).
    pub violation: f64,
    /// The largest violation.
    pub worst: f64,
    /// Mean cosine of the positives.
    pub positive: f64,
    /// Mean cosine of the negatives.
    pub negative: f64,
    /// Largest less smallest cosine, of positives and negatives together.
    pub spread: f64,
    /// What the loss is when the batch's similarities are all equal (at their present
    /// height); told where they nearly are, but for the Magnet loss.
    pub collapsed: Option<f64>,
    /// Share of anchors whose hardest negative scores at least as high as the positive.
    pub beaten: f64,
    /// Cosines of positives.
    pub positives: Histogram,
    /// Cosines of the negatives of at most 16 evenly spaced anchors.
    pub negatives: Histogram,
    /// Entries that groups and near-duplicates took from the negatives.
    pub masked: usize,
    /// ‖mean(images) − mean(texts)‖, if there are texts.
    pub modality_gap: Option<f64>,
    /// The 8 negatives that score highest above their anchor's positive.
    pub suspects: Vec<Suspect>,
    /// Sides with a weight that this batch had no positives for.
    pub skipped: Vec<crate::Side>,
}

impl Stats {
    /// Similarities closer together than this are one.
    pub const FLAT: f64 = 1e-3;

    /// Share of terms above zero; 0 without terms.
    pub fn active_fraction(&self) -> f64 {
        self.active as f64 / self.terms.max(1) as f64
    }

    /// Share of anchors with a term above zero; 0 without anchors.
    pub fn active_anchor_fraction(&self) -> f64 {
        self.active_anchors as f64 / self.anchors.max(1) as f64
    }

    /// Mean violation of the terms above zero; 0 without any.
    pub fn mean_violation(&self) -> f64 {
        self.violation / self.active.max(1) as f64
    }

    pub(crate) fn count(&mut self, tally: &Tally) {
        self.anchors += tally.anchors;
        self.terms += tally.terms;
        self.active += tally.active;
        self.active_anchors += tally.active_anchors;
        self.violation += tally.violation;
        self.worst = self.worst.max(tally.worst);
    }

    /// Fills in what is known from similarities alone.
    pub(crate) fn look<T: Real>(&mut self, s: ArrayView2<'_, T>, relations: &Relations) {
        const SHOWN: usize = 16;
        const SUSPECTS: usize = 8;
        let rows = s.nrows();
        let step = rows.div_ceil(SHOWN).max(1);
        let (mut positive, mut negative) = ((0.0, 0usize), (0.0, 0usize));
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut beaten, mut anchors) = (0usize, 0usize);
        let mut own = Vec::new();
        for (i, row) in s.outer_iter().enumerate() {
            let kinds = relations.row(i);
            let (mut sum, mut count) = (T::zero(), 0u32);
            let (mut least, mut most) = (T::infinity(), T::neg_infinity());
            for (&v, &kind) in row.iter().zip(kinds) {
                let on = kind == Relation::Negative;
                sum += if on { v } else { T::zero() };
                count += u32::from(on);
                least = if on && v < least { v } else { least };
                most = if on && v > most { v } else { most };
            }
            if i % step == 0 {
                for (v, _) in row.iter().zip(kinds).filter(|(_, k)| **k == Relation::Negative) {
                    self.negatives.add(v.wide());
                }
            }
            negative = (negative.0 + sum.wide(), negative.1 + count as usize);
            relations.positives(i, &mut own);
            for &p in &own {
                let v = row[p].wide();
                self.positives.add(v);
                positive = (positive.0 + v, positive.1 + 1);
                low = low.min(v);
                high = high.max(v);
            }
            if count > 0 {
                low = low.min(least.wide());
                high = high.max(most.wide());
                let best = own.iter().map(|&p| row[p]).fold(T::neg_infinity(), T::max);
                anchors += usize::from(!own.is_empty());
                if !own.is_empty() && most >= best {
                    beaten += 1;
                    let candidate = (0..row.len())
                        .find(|&j| kinds[j] == Relation::Negative && row[j] == most)
                        .unwrap_or(0);
                    let excess = (most - best).wide();
                    self.suspects.push(Suspect { anchor: i, candidate, excess });
                }
            }
        }
        self.suspects.sort_by(|a, b| b.excess.total_cmp(&a.excess));
        self.suspects.truncate(SUSPECTS);
        self.positive = positive.0 / positive.1.max(1) as f64;
        self.negative = negative.0 / negative.1.max(1) as f64;
        self.spread = (high - low).max(0.0);
        self.beaten = beaten as f64 / anchors.max(1) as f64;
    }
}

/// ‖mean(images) − mean(texts)‖: how far apart the two modalities lie.
///
/// # Shapes
/// n × d and m × d; 0 if either has no row.
///
/// # Source
/// Liang et al. 2022, "Mind the gap".
pub fn modality_gap<T: Real>(images: ArrayView2<'_, T>, texts: ArrayView2<'_, T>) -> f64 {
    if images.nrows() == 0 || texts.nrows() == 0 {
        return 0.0;
    }
    let mean = |x: ArrayView2<'_, T>| x.sum_axis(Axis(0)) / T::of(x.nrows() as f64);
    let gap = mean(images) - mean(texts);
    gap.dot(&gap).sqrt().wide()
}

/// What a loss counts while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Anchors with a positive and a negative.
    pub anchors: usize,
    /// Terms looked at.
    pub terms: u64,
    /// Terms above zero.
    pub active: u64,
    /// Anchors with a term above zero.
    pub active_anchors: usize,
    /// Sum of violations above zero.
    pub violation: f64,
    /// The largest violation.
    pub worst: f64,
}

impl Tally {
    /// Counts a term with what stands inside its hinge.
    pub(crate) fn term(&mut self, inside: f64) {
        self.terms += 1;
        if inside > 0.0 {
            self.active += 1;
            self.violation += inside;
            self.worst = self.worst.max(inside);
        }
    }
}
