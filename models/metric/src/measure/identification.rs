//! Given how much each picture resembles each of those that are known, is the right one
//! named, and nobody where nobody is right? Closed and open set identification.

use super::rank::rank;

/// One picture, compared with all that are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// How much it resembles each of the known, in their order.
    pub scores: Vec<f32>,
    /// Which of them it shows; `None` for a stranger.
    pub truth: Option<usize>,
}

/// How well pictures are named at a threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtThreshold {
    /// From this score on, the best is named.
    pub threshold: f64,
    /// FPIR: the share of strangers to whom some name was given.
    pub fpir: f64,
    /// TPIR: the share of the known to whom the right name was given.
    pub tpir: f64,
}

/// Pictures of the known and of strangers, each with its best score.
#[derive(Clone, Debug, PartialEq)]
pub struct Identification {
    /// Of each picture of the known: its own score, where that is the best; −∞ elsewhere.
    right: Vec<f64>,
    /// Of each stranger the best score.
    strangers: Vec<f64>,
}

/// Why there is nothing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "identification needs pictures of the known and of strangers, got {known} and {strangers}; give more pictures of each thing"
)]
pub struct NobodyToIdentify {
    /// Pictures of the known.
    pub known: usize,
    /// Pictures of strangers.
    pub strangers: usize,
}

/// A false identification rate that so few strangers cannot show.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "TPIR at FPIR {fpir} needs at least {needed} pictures of strangers (10 / FPIR), got {strangers}"
)]
pub struct TooFewStrangers {
    /// The rate asked for.
    pub fpir: f64,
    /// 10 / rate.
    pub needed: usize,
    /// Pictures of strangers.
    pub strangers: usize,
}

impl Identification {
    /// Of pictures that were compared. A tie counts against the model.
    ///
    /// # Errors
    /// [`NobodyToIdentify`] without both kinds.
    ///
    /// # Panics
    /// If a truth is none of the scores.
    pub fn new(asked: &[Asked]) -> Result<Self, NobodyToIdentify> {
        let (mut right, mut strangers) = (Vec::new(), Vec::new());
        for one in asked {
            match one.truth {
                Some(own) => {
                    let is_own = |i: usize| i == own;
                    let first = rank(&one.scores, is_own) == Some(0);
                    right.push(if first { f64::from(one.scores[own]) } else { f64::NEG_INFINITY });
                }
                None => {
                    let best = one.scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    strangers.push(f64::from(best));
                }
            }
        }
        if right.is_empty() || strangers.is_empty() {
            let (known, strangers) = (right.len(), strangers.len());
            return Err(NobodyToIdentify { known, strangers });
        }
        Ok(Self { right, strangers })
    }

    /// Pictures of the known, and of strangers.
    pub fn counts(&self) -> (usize, usize) {
        (self.right.len(), self.strangers.len())
    }

    /// The share of the known whose best is the right one: the closed set.
    pub fn rank_1(&self) -> f64 {
        let right = self.right.iter().filter(|s| s.is_finite()).count();
        right as f64 / self.right.len() as f64
    }

    /// The rates at a threshold.
    pub fn at(&self, threshold: f64) -> AtThreshold {
        let share = |scores: &[f64]| {
            scores.iter().filter(|&&s| s >= threshold).count() as f64 / scores.len() as f64
        };
        AtThreshold { threshold, fpir: share(&self.strangers), tpir: share(&self.right) }
    }

    /// The best that can be had with at most `fpir` of the strangers named.
    ///
    /// # Errors
    /// [`TooFewStrangers`] below 10 / `fpir` of them.
    pub fn at_fpir(&self, fpir: f64) -> Result<AtThreshold, TooFewStrangers> {
        let (needed, strangers) = ((10.0 / fpir - 1e-6).ceil() as usize, self.strangers.len());
        if strangers < needed {
            return Err(TooFewStrangers { fpir, needed, strangers });
        }
        let mut sorted = self.strangers.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let named = (fpir * strangers as f64 + 1e-9).floor() as usize;
        // Just above the first stranger who is not to be named, and all who score the same.
        let threshold = sorted.get(named).map_or(f64::NEG_INFINITY, |s| s.next_up());
        Ok(self.at(threshold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(scores: &[f32], truth: Option<usize>) -> Asked {
        Asked { scores: scores.to_vec(), truth }
    }

    #[test]
    fn the_right_name_counts_only_over_the_threshold_and_alone() {
        let all = [
            asked(&[0.9, 0.1], Some(0)),
            asked(&[0.2, 0.5], Some(1)),
            asked(&[0.8, 0.7], Some(1)), // another is better
            asked(&[0.6, 0.6], Some(0)), // a tie
            asked(&[0.4, 0.1], None),
            asked(&[0.1, 0.65], None),
        ];
        let found = Identification::new(&all).expect("both kinds");
        assert_eq!((found.counts(), found.rank_1()), ((4, 2), 0.5));
        let at = |t| (found.at(t).fpir, found.at(t).tpir);
        assert_eq!(at(0.0), (1.0, 0.5));
        assert_eq!(at(0.45), (0.5, 0.5));
        assert_eq!(at(0.66), (0.0, 0.25));
        let error = found.at_fpir(0.1).expect_err("two strangers");
        assert_eq!((error.needed, error.strangers), (100, 2));
        let only = NobodyToIdentify { known: 4, strangers: 0 };
        assert_eq!(Identification::new(&all[..4]), Err(only));
    }

    #[test]
    fn the_threshold_keeps_the_rate_also_with_ties() {
        let known = (0..50).map(|i| asked(&[i as f32 / 50.0], Some(0)));
        let others = (0..100).map(|i| asked(&[(i / 20) as f32 / 10.0], None));
        let found = Identification::new(&known.chain(others).collect::<Vec<_>>()).expect("both");
        for fpir in [0.1, 0.15, 0.2, 0.5] {
            let at = found.at_fpir(fpir).expect("a hundred strangers");
            assert!(at.fpir <= fpir, "{fpir}: {at:?}");
            // Twenty have each score: one step more breaks the promise.
            let more = found.at(f64::from((at.threshold as f32).next_down()) - 1e-6);
            assert!(more.fpir > fpir, "{fpir}: {at:?} {more:?}");
        }
    }
}
