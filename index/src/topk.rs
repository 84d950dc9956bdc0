//! Given many scored candidates, which are the best k, in which order?

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::ItemId;

/// A found row and how good it is. Greater is better; of equal scores the
/// smaller id is better, so that equal stores answer equally.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scored {
    pub(crate) score: f32,
    pub(crate) id: ItemId,
    pub(crate) row: u64,
}

impl Ord for Scored {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then_with(|| other.id.cmp(&self.id))
            .then_with(|| self.row.cmp(&other.row))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scored {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scored {}

/// The best `k` of what was pushed.
pub(crate) struct TopK {
    k: usize,
    heap: BinaryHeap<Reverse<Scored>>,
}

impl TopK {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    pub(crate) fn push(&mut self, candidate: Scored) {
        if self.heap.len() < self.k {
            self.heap.push(Reverse(candidate));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && candidate > worst.0
        {
            worst.0 = candidate;
        }
    }

    pub(crate) fn merge(mut self, other: Self) -> Self {
        for candidate in other.heap {
            self.push(candidate.0);
        }
        self
    }

    /// How many it takes.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// The worst of the best `k`, once there are so many.
    pub(crate) fn worst(&self) -> Option<Scored> {
        if self.heap.len() < self.k { None } else { self.heap.peek().map(|w| w.0) }
    }

    /// The best first.
    pub(crate) fn into_ranking(self) -> Vec<Scored> {
        self.heap.into_sorted_vec().into_iter().map(|c| c.0).collect()
    }
}

/// Bits that compare as the numbers do with `total_cmp`.
pub(crate) fn ordered(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// The number whose [`ordered`] bits these are.
pub(crate) fn from_ordered(bits: u32) -> f32 {
    f32::from_bits(if bits >> 31 == 1 { bits & !(1 << 31) } else { !bits })
}

/// Rows whose scores are known to lie somewhere in an interval: all that may be
/// among the best `k` are kept.
pub(crate) struct Sieve {
    k: usize,
    /// The greatest lower ends: so many rows score at least that.
    floors: BinaryHeap<Reverse<u32>>,
    /// Rows, each with the upper end of its interval.
    kept: Vec<(f32, u64)>,
    /// As many kept rows as make sorting out those below the floor worth it.
    full: usize,
}

impl Sieve {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, floors: BinaryHeap::new(), kept: vec![], full: k.saturating_mul(4).max(1024) }
    }

    /// For as many as `top` takes, of which those are of interest that are as good as what it has.
    pub(crate) fn beside(top: &TopK) -> Self {
        let mut sieve = Self::new(top.k);
        top.heap.iter().for_each(|known| sieve.raise(ordered(known.0.score)));
        sieve
    }

    /// What a row has to reach to be of interest: so much is scored by `k` others already.
    pub(crate) fn floor(&self) -> f32 {
        match self.floors.peek() {
            Some(floor) if self.floors.len() >= self.k => from_ordered(floor.0),
            _ if self.k == 0 => f32::INFINITY,
            _ => f32::NEG_INFINITY,
        }
    }

    /// Takes in a row that scores `lower` to `upper`. Each row once.
    pub(crate) fn offer(&mut self, row: u64, lower: f32, upper: f32) {
        if upper < self.floor() {
            return;
        }
        self.raise(ordered(lower));
        self.kept.push((upper, row));
        if self.kept.len() >= self.full {
            self.sort_out();
            self.full = self.full.max(self.kept.len() * 2);
        }
    }

    fn raise(&mut self, lower: u32) {
        if self.floors.len() < self.k {
            self.floors.push(Reverse(lower));
        } else if let Some(mut least) = self.floors.peek_mut()
            && lower > least.0
        {
            least.0 = lower;
        }
    }

    fn sort_out(&mut self) {
        let floor = self.floor();
        self.kept.retain(|(upper, _)| *upper >= floor);
    }

    /// What both took in.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        for floor in other.floors {
            self.raise(floor.0);
        }
        self.kept.extend(other.kept);
        self.sort_out();
        self
    }

    /// The best `k` by their true scores. Of those kept, `score` tells the true ones as
    /// long as that can change anything; those it knows nothing of are left out.
    ///
    /// # Errors
    /// The rows that `score` knew nothing of, if there were any: they may have kept
    /// others from being taken in.
    pub(crate) fn settle(
        mut self,
        mut score: impl FnMut(u64) -> Option<Scored>,
    ) -> Result<TopK, Vec<u64>> {
        self.sort_out();
        self.kept.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let (mut top, mut unknown) = (TopK::new(self.k), vec![]);
        for (upper, row) in self.kept {
            // One that scores as much may still have the smaller id.
            if top.worst().is_some_and(|worst| upper < worst.score) {
                break;
            }
            match score(row) {
                Some(scored) => top.push(scored),
                None => unknown.push(row),
            }
        }
        if unknown.is_empty() { Ok(top) } else { Err(unknown) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sieve_loses_nobody(
            scores in prop::collection::vec((0u8..12, 0u8..4, 0u8..4), 0..300),
            k in 0usize..20,
            split in 0usize..300,
            lost in prop::collection::vec(0u64..300, 0..2),
        ) {
            let scored = |row: u64| Scored {
                score: f32::from(scores[row as usize].0) / 2.0 - 3.0,
                id: ItemId::for_text(&row.to_string()),
                row,
            };
            let sift = |without: &[u64]| {
                let (mut left, mut right) = (Sieve::new(k), Sieve::new(k));
                for (row, &(_, below, above)) in (0..).zip(&scores) {
                    if without.contains(&row) {
                        continue;
                    }
                    let score = scored(row).score;
                    let side = if row < split as u64 { &mut left } else { &mut right };
                    side.offer(row, score - f32::from(below) / 3.0, score + f32::from(above) / 3.0);
                }
                left.merge(right)
            };
            let mut exact: Vec<Scored> =
                (0..scores.len() as u64).filter(|row| !lost.contains(row)).map(scored).collect();
            exact.sort_by(|a, b| b.cmp(a));
            exact.truncate(k);
            let known = |row: u64| (!lost.contains(&row)).then(|| scored(row));
            let mut without = vec![];
            let top = loop {
                match sift(&without).settle(known) {
                    Ok(top) => break top,
                    Err(unknown) => {
                        prop_assert!(unknown.iter().all(|row| lost.contains(row)));
                        prop_assert!(unknown.iter().all(|row| !without.contains(row)));
                        without.extend(unknown);
                    }
                }
            };
            prop_assert_eq!(top.into_ranking(), exact);
        }

        #[test]
        fn bits_in_order(a in any::<f32>(), b in any::<f32>()) {
            prop_assert_eq!(ordered(a).cmp(&ordered(b)), a.total_cmp(&b));
            prop_assert_eq!(from_ordered(ordered(a)).to_bits(), a.to_bits());
        }
    }

    proptest! {
        #[test]
        fn is_sort_and_truncate(scores in prop::collection::vec(0u8..6, 0..60), k in 0usize..70, split in 0usize..60) {
            let all: Vec<Scored> = scores.iter().enumerate().map(|(i, &s)| Scored {
                score: f32::from(s) / 2.0,
                id: ItemId::for_text(&(i % 20).to_string()),
                row: i as u64,
            }).collect();
            let mut sorted = all.clone();
            sorted.sort_by(|a, b| b.cmp(a));
            sorted.truncate(k);
            let (mut left, mut right) = (TopK::new(k), TopK::new(k));
            for (i, &c) in all.iter().enumerate() {
                if i < split { left.push(c) } else { right.push(c) }
            }
            prop_assert_eq!(left.merge(right).into_ranking(), sorted);
        }
    }
}
