//! Selections against their definitions.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::{Selection, Selector, log_weight};
use crate::Relation;

const DIM: usize = 16;

/// One anchor's row: cosines, and relations with the positive at place 0.
fn row(seed: u64, width: usize) -> (Vec<f64>, Vec<Relation>) {
    let mut rng = Pcg64::seed_from_u64(seed);
    let cosines: Vec<f64> = (0..width).map(|_| rng.random_range(-0.5..0.9)).collect();
    let mut kinds: Vec<Relation> = (0..width)
        .map(|_| match rng.random_range(0..4) {
            0 => Relation::Ignore,
            1 => Relation::Positive,
            _ => Relation::Negative,
        })
        .collect();
    kinds[0] = Relation::Positive;
    (cosines, kinds)
}

fn choose(
    selection: Selection,
    cosines: &[f64],
    kinds: &[Relation],
    margin: f64,
    rng: &mut Pcg64,
) -> Vec<usize> {
    let mut out = Vec::new();
    let mut selector = Selector { selection, dim: DIM, rng };
    selector.choose(cosines, cosines, kinds, 0, margin, &mut out);
    out
}

fn negatives(kinds: &[Relation]) -> Vec<usize> {
    (0..kinds.len()).filter(|&j| kinds[j] == Relation::Negative).collect()
}

#[test]
fn semi_hard_is_farther_than_the_positive_but_not_by_the_margin() {
    let (mut some, mut none) = (0, 0);
    for seed in 0..200 {
        let (cosines, kinds) = row(seed, 13);
        let mut rng = Pcg64::seed_from_u64(seed);
        let seen = choose(Selection::SemiHard, &cosines, &kinds, 0.2, &mut rng);
        // As written in FaceNet, in d = 1 − s.
        let d = |j: usize| 1.0 - cosines[j];
        let expected: Vec<usize> =
            negatives(&kinds).into_iter().filter(|&j| d(0) < d(j) && d(j) < d(0) + 0.2).collect();
        assert_eq!(seen, expected, "seed {seed}");
        if seen.is_empty() { none += 1 } else { some += 1 }
    }
    assert!(some > 20 && none > 20, "both cases are met: {some}, {none}");
}

#[test]
fn the_hardest_are_the_first_of_a_sorted_list() {
    // Widths around the lanes in which the maximum is searched for.
    for (seed, width) in (0..100).zip((2..30).cycle()) {
        let (cosines, kinds) = row(seed, width);
        let mut sorted = negatives(&kinds);
        sorted.sort_by(|&a, &b| cosines[b].total_cmp(&cosines[a]));
        let mut rng = Pcg64::seed_from_u64(seed);
        let hard = choose(Selection::Hard, &cosines, &kinds, 0.2, &mut rng);
        assert_eq!(hard.first(), sorted.first(), "seed {seed}, width {width}");
        for k in [1, 3, 50] {
            let mut seen = choose(Selection::KHardest(k), &cosines, &kinds, 0.2, &mut rng);
            seen.sort_by(|&a, &b| cosines[b].total_cmp(&cosines[a]));
            assert_eq!(seen, sorted[..k.min(sorted.len())], "seed {seed}, width {width}, k {k}");
        }
    }
}

/// Shares of 20,000 draws against the weights; a share's standard deviation is at
/// most √(¼/20,000) = 0.0035.
#[test]
fn draws_are_in_proportion_to_the_weights() {
    const DRAWS: usize = 20_000;
    let (cosines, kinds) = row(3, 12);
    let places = negatives(&kinds);
    let distance = |j: usize| (2.0 - 2.0 * cosines[j]).sqrt();
    let weights: Vec<f64> = places.iter().map(|&j| log_weight(distance(j), DIM).exp()).collect();
    let total: f64 = weights.iter().sum();
    let even = vec![1.0 / places.len() as f64; places.len()];
    let weighted: Vec<f64> = weights.iter().map(|w| w / total).collect();
    for (selection, expected) in
        [(Selection::Random, even), (Selection::DistanceWeighted, weighted)]
    {
        let mut rng = Pcg64::seed_from_u64(11);
        let mut counts = vec![0usize; cosines.len()];
        for _ in 0..DRAWS {
            let seen = choose(selection, &cosines, &kinds, 0.2, &mut rng);
            assert_eq!(seen.len(), 1, "{selection:?}");
            counts[seen[0]] += 1;
        }
        for (&j, expected) in places.iter().zip(expected) {
            let share = counts[j] as f64 / DRAWS as f64;
            assert!((share - expected).abs() < 0.015, "{selection:?} {j}: {share} {expected}");
        }
    }
}

/// ```python
/// import math
/// w = lambda d, n: (2-n)*math.log(d) - (n-3)/2*math.log(1-d*d/4)
/// w(.5, 128), w(1, 128), w(1.3, 3) # 91.37020232, 17.98012954, -0.26236426
/// ```
#[test]
fn the_weight_is_the_paper_s() {
    for (d, dim, expected) in [
        (0.5, 128, 91.370_202_32),
        (0.1, 128, 91.370_202_32),
        (1.0, 128, 17.980_129_54),
        (1.3, 3, -0.262_364_26),
    ] {
        assert!((log_weight(d, dim) - expected).abs() < 1e-6, "{d} {dim}");
    }
    assert_eq!(log_weight(1.41, 128), f64::NEG_INFINITY);
}

#[test]
fn where_all_negatives_are_far_the_nearest_is_drawn() {
    let kinds = [Relation::Positive, Relation::Negative, Relation::Negative];
    let mut rng = Pcg64::seed_from_u64(0);
    let seen = choose(Selection::DistanceWeighted, &[0.9, -0.5, -0.1], &kinds, 0.2, &mut rng);
    assert_eq!(seen, [2]);
    for selection in [Selection::Random, Selection::DistanceWeighted, Selection::Hard] {
        let none = choose(selection, &[0.9], &kinds[..1], 0.2, &mut rng);
        assert!(none.is_empty(), "{selection:?}");
    }
}
