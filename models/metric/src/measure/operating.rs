//! Given pairs with a score each, from which score on are pairs of different things
//! taken for the same at a stated rate; and do the pairs allow to state it?

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::bootstrap::Interval;
use super::verification::{Verification, VerificationError};

/// A threshold with what it does to pairs like the ones it was chosen on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperatingPoint {
    /// The rate that was asked for: at most that share of the different pairs was taken
    /// for the same.
    pub far: f64,
    /// Pairs that score at least this are taken for the same.
    pub threshold: f64,
    /// Where the rate lies on other things of the kind, with 95 %: a bootstrap over
    /// things, since pairs of one thing are not independent of one another.
    pub interval: Interval,
    /// Share of the same pairs that were taken for the same.
    pub tar: f64,
}

/// Why a false accept rate is not stated.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownRate {
    /// The rule of thirty: a rate is known to within a third, with 90 %, if thirty errors
    /// were seen.
    #[error(
        "a false accept rate of {far} needs at least {needed} pairs of different things (30 / rate), got {pairs}"
    )]
    TooFewPairs {
        /// The rate asked for.
        far: f64,
        /// 30 / rate.
        needed: usize,
        /// Pairs of different things.
        pairs: usize,
    },
    /// An interval over few things says nothing, however many pairs they make.
    #[error(
        "a false accept rate of {far} needs pairs of at least {needed} things that do not hang together, got {things}"
    )]
    TooFewThings {
        /// The rate asked for.
        far: f64,
        /// 30.
        needed: usize,
        /// Things that pairs of different things come from.
        things: usize,
    },
    /// So many pairs have one score that the threshold lies far above the rate's place.
    #[error(
        "a false accept rate of {far} needs at least {needed} false accepts to be known by, got {accepted}: too many pairs have the same score"
    )]
    TooFewAccepted {
        /// The rate asked for.
        far: f64,
        /// 30.
        needed: usize,
        /// Pairs of different things above the threshold.
        accepted: usize,
    },
    /// Many pairs, but of few things.
    #[error(
        "a false accept rate of {far} is not known well enough: on other things it may be {high:.4} (more than twice as much), since the pairs come from only {things} things"
    )]
    TooWide {
        /// The rate asked for.
        far: f64,
        /// The upper end of its 95 % interval.
        high: f64,
        /// Things that the pairs come from.
        things: usize,
    },
    /// Scores that do not differ.
    #[error("no threshold keeps a false accept rate of {far}: too many pairs have the same score")]
    NoThreshold {
        /// The rate asked for.
        far: f64,
    },
}

/// A rate that was asked for, and where it is kept or why it cannot be stated.
pub type Stated = (f64, Result<OperatingPoint, UnknownRate>);

/// Errors that have to be seen for a rate to be stated.
const THIRTY: usize = 30;
/// Things that have to be there: of fewer, a bootstrap's interval is too narrow (of two
/// things, every draw that has a pair of both is the same).
const FEWEST: usize = 30;
/// How much larger than stated a rate may be.
const MOST: f64 = 2.0;
const RESAMPLES: usize = 500;
const LEVEL: f64 = 0.95;

/// For each of `rates`, the lowest threshold at which at most that share of the different
/// pairs is taken for the same, or why that rate cannot be stated. `things` says of each
/// pair which things its sides belong to, as numbers below `count`: what is drawn again
/// and again for the intervals. A draw without a pair of different things counts as if all
/// its pairs were taken for the same. Equal seeds give equal intervals.
///
/// # Shapes
/// `scores`, `same`, `things`: one entry a pair.
///
/// # Errors
/// As [`Verification::new`].
///
/// # Panics
/// If the lengths differ, or a thing has a number that is too high.
pub fn operating_points(
    scores: &[f32],
    same: &[bool],
    things: &[(usize, usize)],
    count: usize,
    rates: &[f64],
    seed: u64,
) -> Result<Vec<Stated>, VerificationError> {
    assert_eq!(scores.len(), things.len(), "two things a pair");
    let verification = Verification::new(scores, same)?;
    let draws = draws(count, seed);
    let different: Vec<usize> = (0..same.len()).filter(|&p| !same[p]).collect();
    // How often each draw has a pair, and all of them together.
    let weight = |draw: &[u16], p: usize| {
        let (a, b) = things[p];
        // A pair within one thing comes with it; copies of the thing are not paired.
        if a == b { u64::from(draw[a]) } else { u64::from(draw[a]) * u64::from(draw[b]) }
    };
    let present: BTreeSet<usize> =
        different.iter().flat_map(|&p| [things[p].0, things[p].1]).collect();
    let present = present.len();
    let all: Vec<u64> =
        draws.iter().map(|draw| different.iter().map(|&p| weight(draw, p)).sum()).collect();
    let of = |far: f64| {
        if present < FEWEST {
            return Err(UnknownRate::TooFewThings { far, needed: FEWEST, things: present });
        }
        let needed = (THIRTY as f64 / far - 1e-6).ceil() as usize;
        if verification.negatives() < needed {
            let pairs = verification.negatives();
            return Err(UnknownRate::TooFewPairs { far, needed, pairs });
        }
        let roc = verification.roc();
        let at = roc.partition_point(|p| p.far <= far) - 1;
        if at == 0 {
            return Err(UnknownRate::NoThreshold { far });
        }
        // Half-way to the next lower score, so that rounding decides nothing.
        let below = roc.get(at + 1).unwrap_or(&roc[at]);
        let threshold = f64::midpoint(roc[at].threshold, below.threshold);
        let accepted: Vec<usize> =
            different.iter().copied().filter(|&p| f64::from(scores[p]) >= threshold).collect();
        if accepted.len() < THIRTY {
            let accepted = accepted.len();
            return Err(UnknownRate::TooFewAccepted { far, needed: THIRTY, accepted });
        }
        let mut seen: Vec<f64> = draws
            .iter()
            .zip(&all)
            .map(|(draw, &all)| match all {
                0 => 1.0,
                _ => accepted.iter().map(|&p| weight(draw, p)).sum::<u64>() as f64 / all as f64,
            })
            .collect();
        seen.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            let last = seen.len().saturating_sub(1);
            seen.get((q * last as f64).round() as usize).copied().unwrap_or(1.0)
        };
        let interval =
            Interval { low: quantile((1.0 - LEVEL) / 2.0), high: quantile((1.0 + LEVEL) / 2.0) };
        if interval.high > MOST * far {
            return Err(UnknownRate::TooWide { far, high: interval.high, things: present });
        }
        Ok(OperatingPoint { far, threshold, interval, tar: roc[at].tar })
    };
    Ok(rates.iter().map(|&far| (far, of(far))).collect())
}

/// How often each thing is in each draw of `count` things with replacement.
fn draws(count: usize, seed: u64) -> Vec<Vec<u16>> {
    let mut rng = Pcg64::seed_from_u64(seed);
    (0..RESAMPLES)
        .map(|_| {
            let mut draw = vec![0u16; count];
            (0..count).for_each(|_| draw[rng.random_range(0..count)] += 1);
            draw
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `things` of four pictures each; pairs of the same score about 0.8, others about 0.4,
    /// and those of a thing with a number below `odd` with another such one 0.7.
    fn pairs(things: usize, odd: usize) -> (Vec<f32>, Vec<bool>, Vec<(usize, usize)>) {
        let mut rng = Pcg64::seed_from_u64(3);
        let (mut scores, mut same, mut of) = (vec![], vec![], vec![]);
        for a in 0..things * 4 {
            for b in 0..a {
                let (x, y) = (a / 4, b / 4);
                let middle = match x == y {
                    true => 0.8,
                    false if x < odd && y < odd => 0.7,
                    false => 0.4,
                };
                scores.push(middle + rng.random_range(-0.2f32..0.2));
                same.push(x == y);
                of.push((x, y));
            }
        }
        (scores, same, of)
    }

    #[test]
    fn the_threshold_keeps_its_rate_and_the_interval_holds_it() {
        let (scores, same, things) = pairs(60, 0);
        let rates = [0.1, 0.01, 0.0001];
        let found = operating_points(&scores, &same, &things, 60, &rates, 1).expect("both kinds");
        for (far, point) in &found[..2] {
            let point = point.as_ref().expect("enough pairs");
            let (mut falsely, mut others, mut truly, mut own) = (0, 0, 0, 0);
            for (score, same) in scores.iter().zip(&same) {
                let accepted = usize::from(f64::from(*score) >= point.threshold);
                if *same {
                    (truly, own) = (truly + accepted, own + 1);
                } else {
                    (falsely, others) = (falsely + accepted, others + 1);
                }
            }
            let seen = f64::from(falsely as u32) / f64::from(others);
            assert!(seen <= *far && seen > 0.95 * far, "{far}: {seen}");
            assert!((point.tar - truly as f64 / f64::from(own)).abs() < 1e-12);
            assert!(point.interval.low <= seen && seen <= point.interval.high, "{point:?}");
        }
        // 28,320 pairs of others: under 30 / 0.0001.
        let refused = found[2].1.expect_err("too few");
        assert!(matches!(refused, UnknownRate::TooFewPairs { needed: 300_000, .. }), "{refused}");
        assert_eq!(
            operating_points(&scores, &same, &things, 60, &rates, 1).expect("both kinds"),
            found,
            "seeded"
        );
    }

    #[test]
    fn a_rate_that_hangs_on_a_few_things_is_refused_however_many_pairs_there_are() {
        // Three of sixty things are alike: all false accepts at 0.2 % are among their pairs.
        let (scores, same, things) = pairs(60, 3);
        let found = operating_points(&scores, &same, &things, 60, &[0.1, 0.0015], 1);
        let found = found.expect("both kinds");
        assert!(found[0].1.is_ok(), "{found:?}");
        let refused = found[1].1.expect_err("refused");
        assert!(matches!(refused, UnknownRate::TooWide { things: 60, .. }), "{refused}");
        assert!(refused.to_string().contains("only 60 things"), "{refused}");
    }

    #[test]
    fn scores_that_say_nothing_have_no_threshold() {
        let (_, same, things) = pairs(30, 0);
        let scores = vec![0.5; same.len()];
        let found = operating_points(&scores, &same, &things, 30, &[0.1], 1).expect("both kinds");
        assert_eq!(found[0].1, Err(UnknownRate::NoThreshold { far: 0.1 }));
        // A threshold between two heaps, at which nothing was falsely accepted, shows no rate.
        let scores: Vec<f32> = same.iter().map(|&same| if same { 0.9 } else { 0.5 }).collect();
        let found = operating_points(&scores, &same, &things, 30, &[0.1], 1).expect("both kinds");
        let refused = UnknownRate::TooFewAccepted { far: 0.1, needed: 30, accepted: 0 };
        assert_eq!(found[0].1, Err(refused));
    }

    #[test]
    fn few_things_state_no_rate_however_many_pictures_they_have() {
        let mut rng = Pcg64::seed_from_u64(5);
        let (mut scores, mut same, mut of) = (vec![], vec![], vec![]);
        for a in 0..80 {
            for b in 0..a {
                scores.push(rng.random_range(-1f32..1.0));
                same.push(a % 2 == b % 2);
                of.push((a % 2, b % 2));
            }
        }
        let found = operating_points(&scores, &same, &of, 2, &[0.1], 1).expect("both kinds");
        let refused = found[0].1.expect_err("two things");
        assert_eq!(refused, UnknownRate::TooFewThings { far: 0.1, needed: 30, things: 2 });
        assert!(refused.to_string().contains("at least 30 things"), "{refused}");
        // Numbers that no pair has are no things.
        let found = operating_points(&scores, &same, &of, 50, &[0.1], 1).expect("both kinds");
        assert_eq!(found[0].1, Err(refused));
        let (scores, same, of) = pairs(29, 0);
        let found = operating_points(&scores, &same, &of, 29, &[0.1], 1).expect("both kinds");
        assert!(matches!(found[0].1, Err(UnknownRate::TooFewThings { things: 29, .. })));
    }
}
