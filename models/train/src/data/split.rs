//! Given groups, which are held out? Whole groups, by a seed.

use rand::seq::SliceRandom;

use super::Groups;
use super::seeded::generator;

/// What an example is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Learnt from.
    Train,
    /// Chosen by.
    Val,
    /// Measured on, once.
    Test,
}

/// The shares of all pictures that are held out, each in 0..1, together at most 0.8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// For choosing when to stop.
    pub val: f64,
    /// For the final figure; 0: none.
    pub test: f64,
}

/// Why nothing can be held out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// Shares that are none.
    #[error("held-out shares are at least 0 and together at most 0.8; got val {val}, test {test}")]
    Shares {
        /// As given.
        val: f64,
        /// As given.
        test: f64,
    },
    /// Too few groups to hold any out and still have negatives to learn from.
    #[error(
        "a split that holds out whole groups needs at least {needed} groups, got {got}; add pictures of other things, or give each line a split yourself"
    )]
    Groups {
        /// Two to learn from, one for each part that is asked for.
        needed: usize,
        /// There are.
        got: usize,
    },
}

/// Deals whole groups to the parts: never a group in two parts, and because
/// [`Groups`] joins equal contents, never one file's content in two parts.
///
/// Groups come in the seed's order; each goes to `val`, else `test`, where its
/// pictures still fit in the stated share, else to `train`. A part that was
/// asked for gets at least its smallest group, and `train` keeps at least two.
/// The result is one part an example.
///
/// # Errors
/// `Shares`, or `Groups` if there are too few.
pub fn split(groups: &Groups, shares: Shares, seed: u64) -> Result<Vec<Part>, SplitError> {
    let Shares { val, test } = shares;
    let fine = |s: f64| s.is_finite() && s >= 0.0;
    if !(fine(val) && fine(test) && val + test <= 0.8) {
        return Err(SplitError::Shares { val, test });
    }
    let asked: Vec<(Part, f64)> =
        [(Part::Val, val), (Part::Test, test)].into_iter().filter(|(_, s)| *s > 0.0).collect();
    let needed = 2 + asked.len();
    if groups.count() < needed {
        return Err(SplitError::Groups { needed, got: groups.count() });
    }
    let members = groups.members();
    let total = groups.of().len() as f64;
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.shuffle(&mut generator(seed, "split", &[]));

    let mut part_of = vec![Part::Train; members.len()];
    let mut left = members.len();
    let mut filled = vec![0usize; asked.len()];
    for &g in &order {
        let size = members[g].len();
        // Where the most room is left for its share, so that both fill evenly.
        let fits = asked
            .iter()
            .enumerate()
            .filter(|(k, (_, share))| (filled[*k] + size) as f64 <= share * total)
            .min_by(|(a, (_, x)), (b, (_, y))| {
                (filled[*a] as f64 / x).total_cmp(&(filled[*b] as f64 / y))
            });
        let Some((k, (part, _))) = fits else { continue };
        // Two are kept to learn from, and one for each part that has none yet.
        let waiting = (0..asked.len()).filter(|&other| other != k && filled[other] == 0).count();
        if left > 2 + waiting {
            part_of[g] = *part;
            filled[k] += size;
            left -= 1;
        }
    }
    for ((part, _), _) in asked.iter().zip(&filled).filter(|(_, filled)| **filled == 0) {
        let free = order.iter().filter(|&&g| part_of[g] == Part::Train);
        if let Some(&g) = free.min_by_key(|&&g| members[g].len()) {
            part_of[g] = *part;
        }
    }
    Ok(groups.of().iter().map(|&g| part_of[g as usize]).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{ContentHash, Example};
    use super::*;

    /// Groups with the given sizes, every fifth example a copy of another's content.
    fn groups(sizes: &[usize]) -> (Groups, Vec<Option<ContentHash>>) {
        let mut examples = Vec::new();
        for (g, &size) in sizes.iter().enumerate() {
            for _ in 0..size {
                examples.push(Example { group: Some(g.to_string()), ..Example::default() });
            }
        }
        let content = |i: usize| ContentHash::of(&(i / 5 * 5 + (i % 5).min(3)).to_le_bytes());
        let contents: Vec<_> = (0..examples.len()).map(|i| Some(content(i))).collect();
        (Groups::new(&examples, &contents), contents)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn nothing_leaks_and_shares_hold(
            sizes in proptest::collection::vec(1usize..12, 4..60),
            val in 0.0f64..0.4, test in 0.0f64..0.4, seed in 0u64..1000,
        ) {
            let (groups, contents) = groups(&sizes);
            let shares = Shares { val, test };
            let parts = match split(&groups, shares, seed) {
                Ok(parts) => parts,
                Err(e) => {
                    prop_assert!(matches!(e, SplitError::Groups { .. }) && groups.count() < 4, "{e}");
                    return Ok(());
                }
            };
            prop_assert_eq!(&parts, &split(&groups, shares, seed).expect("as before"));
            for (i, a) in parts.iter().enumerate() {
                for (j, b) in parts.iter().enumerate() {
                    let same = groups.of()[i] == groups.of()[j] || contents[i] == contents[j];
                    prop_assert!(!same || a == b, "{i} and {j} belong together");
                }
            }
            let largest = groups.members().iter().map(Vec::len).max().unwrap_or(0);
            for (part, share) in [(Part::Val, val), (Part::Test, test)] {
                let count = parts.iter().filter(|p| **p == part).count();
                prop_assert_eq!(count > 0, share > 0.0, "{:?} {}", part, share);
                let most = (share * parts.len() as f64).max(largest as f64);
                prop_assert!(count as f64 <= most, "{part:?}: {count} of {most}");
            }
            let mut train: Vec<u32> = (0..parts.len())
                .filter(|&i| parts[i] == Part::Train)
                .map(|i| groups.of()[i])
                .collect();
            train.dedup();
            prop_assert!(train.len() >= 2, "something to learn from, with negatives");
        }
    }

    #[test]
    fn many_small_groups_reach_their_share() {
        let (groups, _) = groups(&[1; 1000]);
        let parts = split(&groups, Shares { val: 0.1, test: 0.2 }, 5).expect("enough");
        let count = |p: Part| parts.iter().filter(|x| **x == p).count() as f64 / 1000.0;
        assert!((count(Part::Val) - 0.1).abs() < 0.01, "{}", count(Part::Val));
        assert!((count(Part::Test) - 0.2).abs() < 0.01);
        let other = split(&groups, Shares { val: 0.1, test: 0.2 }, 6).expect("enough");
        assert_ne!(parts, other, "another seed, another split");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let (few, _) = groups(&[5, 5, 5]);
        let error = split(&few, Shares { val: 0.2, test: 0.2 }, 0).expect_err("three groups");
        assert!(error.to_string().contains("at least 4 groups, got"), "{error}");
        for bad in [f64::NAN, -0.1, 0.9] {
            let shares = Shares { val: bad, test: 0.0 };
            assert!(matches!(split(&few, shares, 0), Err(SplitError::Shares { .. })));
        }
    }
}
