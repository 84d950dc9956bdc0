//! Given pairs with a score each, how well does a threshold tell the same thing
//! from another?

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

/// One threshold's rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// Pairs that score at least this are taken for the same.
    pub threshold: f64,
    /// FAR: share of other pairs taken for the same.
    pub far: f64,
    /// TAR: share of same pairs taken for the same.
    pub tar: f64,
}

/// The receiver operating characteristic of some pairs. Pairs of one score are
/// taken together, so no order of the input matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    roc: Vec<RocPoint>,
    positives: usize,
    negatives: usize,
    auc: f64,
}

/// Why pairs cannot be judged.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerificationError {
    /// Without both kinds there is nothing to tell apart.
    #[error(
        "verification needs pairs of the same thing and of different things; got {same} and \
         {different}; give more pictures of each thing"
    )]
    OneSided {
        /// Pairs of the same.
        same: usize,
        /// Other pairs.
        different: usize,
    },
    /// NaN or infinite.
    #[error("the score of pair {position} is {score}, which is not finite; the model broke down")]
    NotFinite {
        /// Counted from 0.
        position: usize,
        /// The score.
        score: f32,
    },
    /// A fold with one kind of pairs only.
    #[error(
        "fold {fold} of {folds} has {same} pairs of the same and {different} of different things \
         once identities are kept apart; use fewer folds or more pictures"
    )]
    Fold {
        /// Counted from 1.
        fold: usize,
        /// How many were asked for.
        folds: usize,
        /// Pairs of the same in it.
        same: usize,
        /// Other pairs in it.
        different: usize,
    },
}

/// A false accept rate that so few negatives cannot show.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error(
    "TAR at FAR {far} needs at least {needed} pairs of different things (10 / FAR), got {negatives}"
)]
pub struct TooFewNegatives {
    /// The rate asked for.
    pub far: f64,
    /// 10 / FAR.
    pub needed: usize,
    /// Pairs of different things.
    pub negatives: usize,
}

/// Accuracy with a threshold chosen on other identities.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldedAccuracy {
    /// Folds.
    pub folds: usize,
    /// Mean over folds of (TAR + 1 − FAR) / 2: 0.5 is chance, however many
    /// pairs of each kind there are.
    pub mean: f64,
    /// Standard deviation over folds.
    pub sd: f64,
    /// Mean of the thresholds.
    pub threshold: f64,
    /// Pairs judged; those with identities of two folds are not.
    pub pairs: usize,
}

impl Verification {
    /// From a score a pair (higher is more alike) and whether it is the same thing.
    ///
    /// # Errors
    /// `OneSided` without both kinds, `NotFinite` for a score that is no number.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn new(scores: &[f32], same: &[bool]) -> Result<Self, VerificationError> {
        assert_eq!(scores.len(), same.len(), "one truth a score");
        if let Some(position) = scores.iter().position(|s| !s.is_finite()) {
            let score = scores[position];
            return Err(VerificationError::NotFinite { position, score });
        }
        let positives = same.iter().filter(|&&s| s).count();
        let negatives = same.len() - positives;
        if positives == 0 || negatives == 0 {
            return Err(VerificationError::OneSided { same: positives, different: negatives });
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        let mut roc = vec![RocPoint { threshold: f64::INFINITY, far: 0.0, tar: 0.0 }];
        let (mut accepted, mut falsely, mut wins) = (0usize, 0usize, 0.0);
        // Ties (also −0 = 0) are one group.
        for group in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
            let own = group.iter().filter(|&&p| same[p]).count();
            let others = group.len() - own;
            wins += others as f64 * (accepted as f64 + own as f64 / 2.0);
            accepted += own;
            falsely += others;
            roc.push(RocPoint {
                threshold: f64::from(scores[group[0]]),
                far: falsely as f64 / negatives as f64,
                tar: accepted as f64 / positives as f64,
            });
        }
        let auc = wins / (positives as f64 * negatives as f64);
        Ok(Self { roc, positives, negatives, auc })
    }

    /// From (∞, 0, 0) on by falling threshold to the point where all is accepted.
    pub fn roc(&self) -> &[RocPoint] {
        &self.roc
    }

    /// Pairs of the same thing.
    pub fn positives(&self) -> usize {
        self.positives
    }

    /// Pairs of different things.
    pub fn negatives(&self) -> usize {
        self.negatives
    }

    /// Area under the ROC: the chance that a pair of the same scores above a
    /// pair of different things, a tie counting one half.
    pub fn auc(&self) -> f64 {
        self.auc
    }

    /// Equal error rate: where FAR = 1 − TAR, linear between thresholds.
    pub fn eer(&self) -> f64 {
        for w in self.roc.windows(2) {
            let excess = |p: &RocPoint| p.far - (1.0 - p.tar);
            let (before, after) = (excess(&w[0]), excess(&w[1]));
            if after >= 0.0 {
                let part = if after == before { 0.0 } else { -before / (after - before) };
                return w[0].far + part * (w[1].far - w[0].far);
            }
        }
        1.0
    }

    /// The highest TAR at a threshold whose FAR is at most `far`: the most that
    /// can be had without breaking the promise. 0 if no threshold keeps it.
    ///
    /// # Errors
    /// [`TooFewNegatives`] below 10 / `far` of them: the rate would hang on a
    /// handful of pairs.
    pub fn tar_at(&self, far: f64) -> Result<f64, TooFewNegatives> {
        // 10 / 0.1 must be 100, whatever the rounding of 0.1.
        let needed = (10.0 / far - 1e-6).ceil() as usize;
        if self.negatives < needed {
            return Err(TooFewNegatives { far, needed, negatives: self.negatives });
        }
        let within = self.roc.partition_point(|p| p.far <= far);
        Ok(self.roc[within - 1].tar)
    }

    /// Accuracy with the threshold chosen on the other folds. Identities, not
    /// pairs, are dealt to the folds: no identity is on both sides, and a pair
    /// with identities of two folds serves neither for choosing (if one of them
    /// is tested) nor for testing.
    ///
    /// # Shapes
    /// `scores`, `same`, `identities`: one entry a pair.
    ///
    /// # Errors
    /// `Fold` if a fold has pairs of one kind only, `OneSided` and `NotFinite`
    /// as for [`new`](Self::new).
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn by_folds(
        scores: &[f32],
        same: &[bool],
        identities: &[(usize, usize)],
        folds: usize,
        seed: u64,
    ) -> Result<FoldedAccuracy, VerificationError> {
        assert_eq!(scores.len(), identities.len(), "two identities a pair");
        Self::new(scores, same)?;
        let fold_of = deal(identities, folds.max(2), seed);
        let folds = folds.max(2);
        let (mut accuracies, mut thresholds, mut judged) = (Vec::new(), Vec::new(), 0);
        for fold in 0..folds {
            let part = |keep: &dyn Fn(bool, bool) -> bool| -> (Vec<f32>, Vec<bool>) {
                (0..scores.len())
                    .filter(|&p| {
                        let (a, b) = identities[p];
                        keep(fold_of[&a] == fold, fold_of[&b] == fold)
                    })
                    .map(|p| (scores[p], same[p]))
                    .unzip()
            };
            let (train, test) = (part(&|a, b| !a && !b), part(&|a, b| a && b));
            let one_sided = |e| match e {
                VerificationError::OneSided { same, different } => {
                    VerificationError::Fold { fold: fold + 1, folds, same, different }
                }
                other => other,
            };
            let threshold = Self::new(&train.0, &train.1).map_err(one_sided)?.best_threshold();
            let tested = Self::new(&test.0, &test.1).map_err(one_sided)?;
            let at = tested.roc.partition_point(|p| p.threshold >= threshold);
            let point = tested.roc[at - 1];
            accuracies.push(f64::midpoint(point.tar, 1.0 - point.far));
            thresholds.push(threshold);
            judged += test.0.len();
        }
        let n = folds as f64;
        let mean = accuracies.iter().sum::<f64>() / n;
        let squares: f64 = accuracies.iter().map(|a| (a - mean) * (a - mean)).sum();
        Ok(FoldedAccuracy {
            folds,
            mean,
            sd: (squares / (n - 1.0)).sqrt(),
            threshold: thresholds.iter().sum::<f64>() / n,
            pairs: judged,
        })
    }

    /// The threshold with the largest TAR − FAR, half-way to the next lower score.
    fn best_threshold(&self) -> f64 {
        let gain = |i: &usize| self.roc[*i].tar - self.roc[*i].far;
        let best = (1..self.roc.len()).max_by(|a, b| gain(a).total_cmp(&gain(b)).then(b.cmp(a)));
        let best = best.unwrap_or(1);
        let below = self.roc.get(best + 1).unwrap_or(&self.roc[best]);
        f64::midpoint(self.roc[best].threshold, below.threshold)
    }
}

/// A fold for each identity, in turn after a seeded shuffle.
fn deal(identities: &[(usize, usize)], folds: usize, seed: u64) -> BTreeMap<usize, usize> {
    let known: std::collections::BTreeSet<usize> =
        identities.iter().flat_map(|&(a, b)| [a, b]).collect();
    let mut known: Vec<usize> = known.into_iter().collect();
    known.shuffle(&mut Pcg64::seed_from_u64(seed));
    known.into_iter().enumerate().map(|(i, identity)| (identity, i % folds)).collect()
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    const SCORES: [f32; 10] = [0.9, 0.8, 0.8, 0.7, 0.6, 0.55, 0.5, 0.5, 0.3, 0.1];
    const SAME: [bool; 10] = [true, true, false, true, false, true, false, true, false, false];

    /// ```python
    /// from sklearn.metrics import roc_auc_score, roc_curve
    /// from scipy.optimize import brentq; from scipy.interpolate import interp1d
    /// s=[.9,.8,.8,.7,.6,.55,.5,.5,.3,.1]; y=[1,1,0,1,0,1,0,1,0,0]
    /// roc_auc_score(y, s)                                        # 0.76
    /// f,t,_ = roc_curve(y, s, drop_intermediate=False)
    /// brentq(lambda x: 1-x-interp1d(f,t)(x), 0, 1)               # 0.4 (to 1e-12)
    /// ```
    #[test]
    fn agrees_with_scikit_learn() {
        let v = Verification::new(&SCORES, &SAME).expect("both kinds");
        assert!((v.auc() - 0.76).abs() < 1e-12, "{}", v.auc());
        assert!((v.eer() - 0.4).abs() < 1e-9, "{}", v.eer());
        assert_eq!((v.positives(), v.negatives()), (5, 5));
        let point = v.roc()[2];
        assert_eq!((point.far, point.tar), (0.2, 0.4), "0.8 is one step for two pairs");
    }

    #[test]
    fn the_area_is_the_share_of_pairs_of_pairs_that_are_ordered_right() {
        let mut rng = Pcg64::seed_from_u64(5);
        for round in 0..30 {
            let scores: Vec<f32> = (0..60).map(|_| rng.random_range(0..12) as f32).collect();
            let mut same: Vec<bool> = (0..60).map(|_| rng.random_bool(0.3)).collect();
            (same[0], same[1]) = (true, false);
            let v = Verification::new(&scores, &same).expect("both kinds");
            let (mut wins, mut all) = (0.0, 0.0);
            for p in (0..60).filter(|&p| same[p]) {
                for n in (0..60).filter(|&n| !same[n]) {
                    all += 1.0;
                    wins += match scores[p].total_cmp(&scores[n]) {
                        std::cmp::Ordering::Greater => 1.0,
                        std::cmp::Ordering::Equal => 0.5,
                        std::cmp::Ordering::Less => 0.0,
                    };
                }
            }
            assert!((v.auc() - wins / all).abs() < 1e-12, "round {round}");
            // The trapezoids under the curve are the same area.
            let area: f64 = v
                .roc()
                .windows(2)
                .map(|w| (w[1].far - w[0].far) * f64::midpoint(w[0].tar, w[1].tar))
                .sum();
            assert!((v.auc() - area).abs() < 1e-12, "round {round}");
        }
    }

    #[test]
    fn scores_that_say_nothing_are_chance_and_perfect_ones_all() {
        let v = Verification::new(&[0.5; 4], &[true, false, false, true]).expect("both kinds");
        assert_eq!((v.auc(), v.eer(), v.tar_at(1.0).is_err()), (0.5, 0.5, true));
        let v = Verification::new(&[0.9, 0.8, 0.2], &[true, true, false]).expect("both kinds");
        assert_eq!((v.auc(), v.eer()), (1.0, 0.0));
        let v = Verification::new(&[0.1, 0.9], &[true, false]).expect("both kinds");
        assert_eq!((v.auc(), v.eer()), (0.0, 1.0));
    }

    #[test]
    fn a_rate_that_cannot_be_shown_is_refused() {
        let mut scores = vec![0.75f32, 0.25];
        let mut same = vec![true, true];
        scores.extend((0..100).map(|i| i as f32 / 100.0 * 0.78));
        same.extend([false; 100]);
        let v = Verification::new(&scores, &same).expect("both kinds");
        // 0.75 is beaten by 3 of 100 (0.7566, 0.7644, 0.7722).
        assert_eq!(v.tar_at(0.1), Ok(0.5));
        let error = v.tar_at(0.01).expect_err("refused");
        assert_eq!((error.needed, error.negatives), (1000, 100));
        scores[0] = 0.5;
        let v = Verification::new(&scores, &same).expect("both kinds");
        assert_eq!(v.tar_at(0.1), Ok(0.0), "no threshold keeps it");
    }

    #[test]
    fn one_kind_or_nan_is_refused() {
        assert_eq!(
            Verification::new(&[0.1], &[true]),
            Err(VerificationError::OneSided { same: 1, different: 0 })
        );
        let error = Verification::new(&[0.1, f32::NAN], &[true, false]).expect_err("refused");
        assert!(error.to_string().contains("pair 1"), "{error}");
    }

    #[test]
    fn folds_share_no_identity() {
        // Twelve things, four pictures each; the score is right but for a shift by identity.
        let mut rng = Pcg64::seed_from_u64(11);
        let (mut scores, mut same, mut identities) = (Vec::new(), Vec::new(), Vec::new());
        for a in 0..48usize {
            for b in 0..a {
                let own = a / 4 == b / 4;
                scores.push(f32::from(u8::from(own)) + rng.random_range(-0.8f32..0.8));
                same.push(own);
                identities.push((a / 4, b / 4));
            }
        }
        let seen = Verification::by_folds(&scores, &same, &identities, 3, 1).expect("enough");
        assert!(seen.mean > 0.7 && seen.mean < 0.9, "{seen:?}");
        assert!((seen.threshold - 0.5).abs() < 0.25, "{seen:?}");
        // Each fold: 16 pictures, 120 pairs.
        assert_eq!((seen.pairs, seen.folds), (360, 3));
        let error = Verification::by_folds(&scores, &same, &identities, 12, 1).expect_err("few");
        assert!(matches!(error, VerificationError::Fold { different: 0, .. }), "{error:?}");
        let fold = deal(&identities, 3, 1);
        assert_eq!(fold.len(), 12);
        assert!((0..3).all(|f| fold.values().filter(|&&v| v == f).count() == 4));
    }
}
