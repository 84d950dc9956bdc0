//! Given labels, which pairs are like and which unlike?

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

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
/// `most` of each, drawn without repetition where there are more, each pair equally
/// likely. Equal seeds draw equal pairs. Takes memory for `labels` and for a few
/// times `most` pairs, however many pairs there are.
pub fn pairs_from_labels(labels: &[usize], most: usize, seed: u64) -> PairSets {
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, &label) in labels.iter().enumerate() {
        members.entry(label).or_default().push(i);
    }
    // Positions label by label, and where each label's lie among them.
    let order: Vec<usize> = members.values().flatten().copied().collect();
    let mut end = 0;
    let places: Vec<Range<usize>> = members
        .values()
        .map(|m| {
            end += m.len();
            end - m.len()..end
        })
        .collect();
    let n = order.len();
    let like = |own: &Range<usize>| own.len() * (own.len() - 1) / 2;
    // A pair of two labels is counted at both.
    let unlike = |own: &Range<usize>| own.len() * (n - own.len());
    let few = most.saturating_mul(4);
    let similar = if places.iter().map(like).sum::<usize>() <= few {
        let pairs = |own: &Range<usize>| {
            let start = own.start;
            own.clone().flat_map(move |b| (start..b).map(move |a| (a, b)))
        };
        some(places.iter().flat_map(pairs).collect(), most, &mut rng)
    } else {
        draw(&places, like, most, &mut rng, |own, rng| {
            let a = rng.random_range(own.clone());
            let b = rng.random_range(own.start..own.end - 1);
            (a, b + usize::from(b >= a))
        })
    };
    let dissimilar = if places.iter().map(unlike).sum::<usize>() / 2 <= few {
        let pairs = |own: &Range<usize>| {
            let end = own.end;
            own.clone().flat_map(move |a| (end..n).map(move |b| (a, b)))
        };
        some(places.iter().flat_map(pairs).collect(), most, &mut rng)
    } else {
        draw(&places, unlike, most, &mut rng, |own, rng| {
            let other = rng.random_range(0..n - own.len());
            let skipped = if other < own.start { 0 } else { own.len() };
            (rng.random_range(own.clone()), other + skipped)
        })
    };
    let positions = |pairs: Vec<(usize, usize)>| {
        let pair = |(a, b): (usize, usize)| (order[a].min(order[b]), order[a].max(order[b]));
        let mut pairs: Vec<_> = pairs.into_iter().map(pair).collect();
        pairs.sort_unstable();
        pairs
    };
    PairSets { similar: positions(similar), dissimilar: positions(dissimilar) }
}

/// At most `most` of all pairs.
fn some(mut all: Vec<(usize, usize)>, most: usize, rng: &mut Pcg64) -> Vec<(usize, usize)> {
    if all.len() > most { all.partial_shuffle(rng, most).0.to_vec() } else { all }
}

/// `most` different pairs by chance, of each label as many as it has: `pair` draws
/// one that has a label. Most draws are new, where there are four times as many.
fn draw(
    places: &[Range<usize>],
    count: impl Fn(&Range<usize>) -> usize,
    most: usize,
    rng: &mut Pcg64,
    pair: impl Fn(&Range<usize>, &mut Pcg64) -> (usize, usize),
) -> Vec<(usize, usize)> {
    let mut total = 0;
    let ends: Vec<usize> = places
        .iter()
        .map(|own| {
            total += count(own);
            total
        })
        .collect();
    let mut drawn = BTreeSet::new();
    while drawn.len() < most {
        let at = rng.random_range(0..total);
        let (a, b) = pair(&places[ends.partition_point(|&end| end <= at)], rng);
        drawn.insert((a.min(b), a.max(b)));
    }
    drawn.into_iter().collect()
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

    /// All of its 1.8 thousand million pairs would take 29 GB.
    #[test]
    fn one_large_class_is_drawn_from_and_not_listed() {
        let PairSets { similar, dissimilar } = pairs_from_labels(&[7; 60_000], 4_000, 1);
        assert_eq!((similar.len(), dissimilar.len()), (4_000, 0));
        assert!(similar.iter().all(|&(a, b)| a < b && b < 60_000));
        assert_eq!(similar.iter().collect::<BTreeSet<_>>().len(), 4_000, "no pair twice");
    }

    #[test]
    fn every_pair_is_drawn_equally_often() {
        // 3 + 10 + 1 like pairs, 31 unlike ones; far fewer are wanted.
        let labels = [0, 1, 0, 1, 1, 2, 1, 0, 2, 1];
        let seeds = 6_000;
        let mut counts: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for seed in 0..seeds {
            let PairSets { similar, dissimilar } = pairs_from_labels(&labels, 2, seed);
            assert_eq!((similar.len(), dissimilar.len()), (2, 2));
            similar.into_iter().chain(dissimilar).for_each(|p| *counts.entry(p).or_default() += 1);
        }
        assert_eq!(counts.len(), 45, "every pair comes");
        for ((a, b), count) in counts {
            let share = 2.0 / if labels[a] == labels[b] { 14.0 } else { 31.0 };
            let expected = seeds as f64 * share;
            let deviation = (expected * (1.0 - share)).sqrt();
            let off = (count as f64 - expected) / deviation;
            assert!(off.abs() < 4.5, "({a}, {b}): {count} times, expected {expected:.0}");
        }
    }

    #[test]
    fn one_class_has_no_unlike_pairs() {
        let PairSets { similar, dissimilar } = pairs_from_labels(&[4, 4, 4], 100, 0);
        assert_eq!((similar.len(), dissimilar.len()), (3, 0));
        assert_eq!(pairs_from_labels(&[], 100, 0), PairSets::default());
    }
}
