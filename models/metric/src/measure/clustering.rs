//! Given groups that were found and the true classes, how far do they agree?
//! Both measures ignore how groups are numbered.

use std::collections::BTreeMap;

/// How often each pair of (found, true) occurs, and the two sides' own counts.
struct Contingency {
    cells: Vec<f64>,
    found: Vec<f64>,
    truth: Vec<f64>,
    n: f64,
}

impl Contingency {
    fn new(found: &[usize], truth: &[usize]) -> Self {
        assert_eq!(found.len(), truth.len(), "one class a member");
        let mut cells: BTreeMap<(usize, usize), f64> = BTreeMap::new();
        let (mut rows, mut columns) = (BTreeMap::new(), BTreeMap::new());
        for (&f, &t) in found.iter().zip(truth) {
            *cells.entry((f, t)).or_default() += 1.0;
            *rows.entry(f).or_default() += 1.0;
            *columns.entry(t).or_default() += 1.0;
        }
        Self {
            cells: cells.into_values().collect(),
            found: rows.into_values().collect(),
            truth: columns.into_values().collect(),
            n: found.len() as f64,
        }
    }

    fn entropy(&self, counts: &[f64]) -> f64 {
        -counts.iter().map(|c| c / self.n * (c / self.n).ln()).sum::<f64>()
    }
}

/// Normalised mutual information, I / mean of both entropies (the arithmetic
/// mean, as scikit-learn does by default): 0 independent, 1 the same groups.
/// Two partitions into one group agree (1).
///
/// # Panics
/// If the lengths differ.
pub fn normalised_mutual_information(found: &[usize], truth: &[usize]) -> f64 {
    let table = Contingency::new(found, truth);
    if table.found.len() <= 1 && table.truth.len() <= 1 {
        return 1.0;
    }
    let (of_found, of_truth) = (table.entropy(&table.found), table.entropy(&table.truth));
    let information = of_found + of_truth - table.entropy(&table.cells);
    (information / f64::midpoint(of_found, of_truth)).clamp(0.0, 1.0)
}

/// Rand index adjusted for chance: 0 on average for chance groups (it may be
/// below), 1 the same groups.
///
/// # Panics
/// If the lengths differ.
pub fn adjusted_rand_index(found: &[usize], truth: &[usize]) -> f64 {
    let table = Contingency::new(found, truth);
    let pairs = |counts: &[f64]| counts.iter().map(|c| c * (c - 1.0) / 2.0).sum::<f64>();
    let both = pairs(&table.cells);
    let (of_found, of_truth) = (pairs(&table.found), pairs(&table.truth));
    let all = table.n * (table.n - 1.0) / 2.0;
    let (expected, most) = (of_found * of_truth / all, f64::midpoint(of_found, of_truth));
    // All in one group, or each in its own, on both sides.
    if all == 0.0 || most == expected { 1.0 } else { (both - expected) / (most - expected) }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    /// ```python
    /// from sklearn.metrics import normalized_mutual_info_score as nmi, adjusted_rand_score as ari
    /// t=[0,0,0,1,1,1,2,2,2,2]; p=[0,0,1,1,1,2,2,2,2,0]
    /// nmi(t, p), ari(t, p)                # 0.44270128334605, 0.20454545454545456
    /// nmi([0,0,1,1],[0,0,1,2])            # 0.8
    /// ari([0,0,1,1],[0,0,1,2])            # 0.5714285714285714
    /// nmi([0,0,1,1],[0,1,0,1])            # 0.0
    /// ari([0,0,1,1],[0,1,0,1])            # -0.5
    /// ```
    #[test]
    fn agrees_with_scikit_learn() {
        let (t, p) = ([0, 0, 0, 1, 1, 1, 2, 2, 2, 2], [0, 0, 1, 1, 1, 2, 2, 2, 2, 0]);
        for (truth, found, nmi, ari) in [
            (&t[..], &p[..], 0.442_701_283_346_05, 0.204_545_454_545_454_5),
            (&[0, 0, 1, 1], &[0, 0, 1, 2], 0.8, 0.571_428_571_428_571_4),
            (&[0, 0, 1, 1], &[0, 1, 0, 1], 0.0, -0.5),
        ] {
            let seen = normalised_mutual_information(found, truth);
            assert!((seen - nmi).abs() < 1e-12, "{seen} {nmi}");
            let seen = adjusted_rand_index(found, truth);
            assert!((seen - ari).abs() < 1e-12, "{seen} {ari}");
        }
    }

    #[test]
    fn numbering_does_not_matter_and_chance_is_nothing() {
        let mut rng = Pcg64::seed_from_u64(1);
        let truth: Vec<usize> = (0..3000).map(|_| rng.random_range(0..7)).collect();
        let renamed: Vec<usize> = truth.iter().map(|t| (t * 3 + 1) % 7 + 10).collect();
        assert!((normalised_mutual_information(&renamed, &truth) - 1.0).abs() < 1e-12);
        assert!((adjusted_rand_index(&renamed, &truth) - 1.0).abs() < 1e-12);
        let chance: Vec<usize> = (0..3000).map(|_| rng.random_range(0..7)).collect();
        assert!(normalised_mutual_information(&chance, &truth) < 0.01);
        assert!(adjusted_rand_index(&chance, &truth).abs() < 0.01);
    }

    #[test]
    fn the_index_counts_pairs() {
        // By the definition, over all pairs of members.
        let mut rng = Pcg64::seed_from_u64(8);
        let draw =
            |rng: &mut Pcg64| -> Vec<usize> { (0..40).map(|_| rng.random_range(0..4)).collect() };
        let (found, truth) = (draw(&mut rng), draw(&mut rng));
        let (mut both, mut one, mut other, mut all) = (0.0, 0.0, 0.0, 0.0);
        for a in 0..40 {
            for b in 0..a {
                let (f, t) = (found[a] == found[b], truth[a] == truth[b]);
                both += f64::from(u8::from(f && t));
                one += f64::from(u8::from(f));
                other += f64::from(u8::from(t));
                all += 1.0;
            }
        }
        let expected = one * other / all;
        let by_hand = (both - expected) / ((one + other) / 2.0 - expected);
        assert!((adjusted_rand_index(&found, &truth) - by_hand).abs() < 1e-12);
    }

    #[test]
    fn one_group_on_both_sides_agrees() {
        assert_eq!(normalised_mutual_information(&[3, 3], &[0, 0]), 1.0);
        assert_eq!(adjusted_rand_index(&[3, 3], &[0, 0]), 1.0);
        assert_eq!(adjusted_rand_index(&[1, 2], &[0, 1]), 1.0);
        assert_eq!(adjusted_rand_index(&[], &[]), 1.0);
        assert_eq!(normalised_mutual_information(&[0, 0], &[0, 1]), 0.0);
    }
}
