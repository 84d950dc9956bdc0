//! Given many scored candidates, which are the best k, in which order?

use std::cmp::Ordering;
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
    heap: BinaryHeap<std::cmp::Reverse<Scored>>,
}

impl TopK {
    pub(crate) fn new(k: usize) -> Self {
        Self { k, heap: BinaryHeap::new() }
    }

    pub(crate) fn push(&mut self, candidate: Scored) {
        if self.heap.len() < self.k {
            self.heap.push(std::cmp::Reverse(candidate));
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

    /// The best first.
    pub(crate) fn into_ranking(self) -> Vec<Scored> {
        self.heap.into_sorted_vec().into_iter().map(|c| c.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
