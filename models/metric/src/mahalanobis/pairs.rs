//! Given labels, which pairs are like and which unlike?

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Pairs of positions, the smaller first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PairSets {
    /// Of like things.
    pub similar: Vec<(usize, usize)>,
    /// Of unlike things.
    pub dissimilar: Vec<(usize, usize)>,
}

/// Pairs of one label and pairs of two, as positions, the smaller first; at most
/// `most` of each, drawn without repetition where there are more. Equal seeds
/// draw equal pairs.
pub fn pairs_from_labels(labels: &[usize], most: usize, seed: u64) -> PairSets {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, &label) in labels.iter().enumerate() {
        members.entry(label).or_default().push(i);
    }
    let mut similar: Vec<(usize, usize)> = members
        .values()
        .flat_map(|m| m.iter().enumerate().flat_map(|(k, &b)| m[..k].iter().map(move |&a| (a, b))))
        .collect();
    let n = labels.len();
    let unlike = n * n.saturating_sub(1) / 2 - similar.len();
    if similar.len() > most {
        similar = similar.partial_shuffle(&mut rng, most).0.to_vec();
        similar.sort_unstable();
    }
    let dissimilar = if unlike <= most.saturating_mul(4) {
        let mut all: Vec<(usize, usize)> = (0..n)
            .flat_map(|b| (0..b).map(move |a| (a, b)))
            .filter(|&(a, b)| labels[a] != labels[b])
            .collect();
        all.shuffle(&mut rng);
        all.truncate(most);
        all.sort_unstable();
        all
    } else {
        // Most draws are new ones: there are four times as many as are wanted.
        let mut drawn = BTreeSet::new();
        while drawn.len() < most {
            let (a, b) = (rng.random_range(0..n), rng.random_range(0..n));
            if labels[a] != labels[b] {
                drawn.insert((a.min(b), a.max(b)));
            }
        }
        drawn.into_iter().collect()
    };
    PairSets { similar, dissimilar }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pairs_of_few_and_a_draw_of_many() {
        let PairSets { similar, dissimilar } = pairs_from_labels(&[1, 2, 1, 2], 100, 0);
        assert_eq!(similar, [(0, 2), (1, 3)]);
        assert_eq!(dissimilar, [(0, 1), (0, 3), (1, 2), (2, 3)]);
        let labels: Vec<usize> = (0..200).map(|i| i % 3).collect();
        let PairSets { similar, dissimilar } = pairs_from_labels(&labels, 50, 7);
        for (pairs, like) in [(&similar, true), (&dissimilar, false)] {
            assert_eq!(pairs.len(), 50);
            assert!(pairs.iter().all(|&(a, b)| a < b && (labels[a] == labels[b]) == like));
            assert_eq!(pairs.iter().collect::<BTreeSet<_>>().len(), 50, "no pair twice");
        }
        assert_eq!(pairs_from_labels(&labels, 50, 7), PairSets { similar, dissimilar }, "seeded");
    }

    #[test]
    fn one_class_has_no_unlike_pairs() {
        let PairSets { similar, dissimilar } = pairs_from_labels(&[4, 4, 4], 100, 0);
        assert_eq!((similar.len(), dissimilar.len()), (3, 0));
        assert_eq!(pairs_from_labels(&[], 100, 0), PairSets::default());
    }
}
