//! Given labels for some of the vectors that are to be grouped, how far is a
//! distance learned from them to be trusted? As far as it proves itself on labels
//! that it did not see.
//!
//! A full W has d·(d + 1)/2 numbers, and a handful of labels always leaves one that
//! draws the like together perfectly. So the learned W is shrunk towards the plain
//! distance, W_s = s·W + (1 − s)·c²·I (c gives unlike pairs the same mean distance
//! under both), and s is chosen by cross-validation, by what the distance is for:
//! with a fold of the labels held out of learning, all vectors are grouped, and
//! every pair with a held-out member is asked whether it is rightly together or
//! apart. Of equally good shares the smallest is taken; what no fold can check is
//! not trusted at all.

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::{
    Learned, Mahalanobis, MahalanobisError, MahalanobisOptions, PairSets, learn, pairs_from_labels,
};
use crate::cluster::{KMeansOptions, k_means};

/// How a distance for grouping is learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupingOptions {
    /// The form, and how it is solved.
    pub learn: MahalanobisOptions,
    /// Pairs of each kind that are learned from, at most.
    pub most_pairs: usize,
    /// Folds, at most; fewer labels are held out one at a time.
    pub folds: usize,
    /// Of every draw.
    pub seed: u64,
}

impl Default for GroupingOptions {
    fn default() -> Self {
        Self { learn: MahalanobisOptions::default(), most_pairs: 4000, folds: 10, seed: 0 }
    }
}

/// A learned distance, shrunk as far as the labels ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct Shrunk {
    /// The distance to use.
    pub metric: Mahalanobis,
    /// What was learned from all labels, before shrinking.
    pub learned: Learned,
    /// Pairs of like and of unlike vectors it was learned from.
    pub pairs: (usize, usize),
    /// s, the learned part of W, one of [`SHARES`]; 0 is the plain distance.
    pub share: f64,
    /// For each of [`SHARES`]: Cohen's κ of "same group" and "same label" over pairs
    /// with a held-out member, all folds together. `None` if no fold could be held
    /// out: some class then has too few labels to lose one.
    pub tried: Option<[f64; SHARES.len()]>,
}

/// The shares of the learned W that are tried.
pub const SHARES: [f64; 6] = [0.0, 0.25, 0.5, 0.75, 0.9, 1.0];

/// Starts of k-means in a fold; the final grouping is the caller's.
const RESTARTS: usize = 3;

/// Learns a distance for grouping `x` into as many groups as there are labels.
/// `labelled` are the positions whose labels are known, `labels` those labels.
/// Equal seeds give equal distances.
///
/// # Shapes
/// `x`: n × d; `labelled`, `labels`: one entry a label.
///
/// # Errors
/// As [`learn`].
///
/// # Panics
/// If the lengths differ, or a position is not below n.
///
/// # Source
/// The shrinkage is that of Friedman 1989, "Regularized discriminant analysis",
/// applied to the metric.
pub fn learn_for_grouping(
    x: ArrayView2<'_, f32>,
    labelled: &[usize],
    labels: &[usize],
    options: &GroupingOptions,
) -> Result<Shrunk, MahalanobisError> {
    assert_eq!(labelled.len(), labels.len(), "one label a position");
    let of = |kept: &[usize]| -> Result<(Learned, PairSets, f64), MahalanobisError> {
        let own: Vec<usize> = kept.iter().map(|&k| labels[k]).collect();
        let places: Vec<usize> = kept.iter().map(|&k| labelled[k]).collect();
        let sets = pairs_from_labels(&own, options.most_pairs, options.seed);
        let own = x.select(Axis(0), &places);
        let learned = learn(own.view(), &sets.similar, &sets.dissimilar, &options.learn)?;
        let scale = 1.0 / mean_distance(own.view(), &sets.dissimilar);
        Ok((learned, sets, scale))
    };
    let everyone: Vec<usize> = (0..labels.len()).collect();
    let (learned, sets, scale) = of(&everyone)?;

    let mut kinds = labels.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    let how = KMeansOptions { restarts: RESTARTS, ..KMeansOptions::new(kinds.len(), options.seed) };
    let grouped = |mapped: Array2<f32>| {
        k_means(mapped.view(), &how).expect("finite vectors, and at least one a label").assignment
    };
    // The plain distance is the same in every fold.
    let plain = grouped(x.to_owned());
    let mut tables = [Table::default(); SHARES.len()];
    for (fold, kept) in folds(labels, options.folds, options.seed) {
        // Too few labels are left: this fold says nothing.
        let Ok((learned, _, scale)) = of(&kept) else { continue };
        let mapped = learned.metric.apply(x);
        for (table, share) in tables.iter_mut().zip(SHARES) {
            let groups = match share {
                0.0 => plain.clone(),
                _ => grouped(blended(&mapped, x, share, scale)),
            };
            table.add(&groups, labelled, labels, &fold);
        }
    }
    let tried = (tables[0].pairs > 0.0).then(|| tables.map(|t| t.kappa()));
    let mut best = (0.0, f64::NEG_INFINITY);
    for (&kappa, share) in tried.iter().flatten().zip(SHARES) {
        if kappa > best.1 + 1e-9 {
            best = (share, kappa);
        }
    }
    let share = best.0;
    let weights = learned.metric.weights() * share
        + Array2::from_diag_elem(x.ncols(), (1.0 - share) * scale * scale);
    Ok(Shrunk {
        metric: Mahalanobis::from_weights(&weights)?,
        learned,
        pairs: (sets.similar.len(), sets.dissimilar.len()),
        share,
        tried,
    })
}

fn mean_distance(x: ArrayView2<'_, f32>, pairs: &[(usize, usize)]) -> f64 {
    let of = |&(a, b): &(usize, usize)| {
        let square = |(&p, &q): (&f32, &f32)| (f64::from(p) - f64::from(q)).powi(2);
        x.row(a).iter().zip(x.row(b)).map(square).sum::<f64>().sqrt()
    };
    pairs.iter().map(of).sum::<f64>() / pairs.len() as f64
}

/// Rows whose Euclidean distance is that of s·W + (1 − s)·c²·I.
fn blended(mapped: &Array2<f32>, x: ArrayView2<'_, f32>, share: f64, scale: f64) -> Array2<f32> {
    let learned = mapped * (share.sqrt() as f32);
    let plain = x.to_owned() * ((1.0 - share).sqrt() * scale) as f32;
    concatenate(Axis(1), &[learned.view(), plain.view()]).expect("as many rows on both sides")
}

/// What is held out and what is kept, as positions among the labels. The members of
/// a class are dealt to different folds.
fn folds(labels: &[usize], most: usize, seed: u64) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut order: Vec<usize> = (0..labels.len()).collect();
    order.shuffle(&mut Pcg64::seed_from_u64(seed));
    order.sort_by_key(|&i| labels[i]);
    let count = most.min(labels.len());
    (0..count)
        .map(|fold| {
            let (held, kept): (Vec<_>, Vec<_>) =
                order.iter().enumerate().partition(|(place, _)| place % count == fold);
            let positions = |of: Vec<(usize, &usize)>| of.into_iter().map(|(_, &i)| i).collect();
            (positions(held), positions(kept))
        })
        .collect()
}

/// Pairs by whether they are in one group and whether they have one label.
#[derive(Clone, Copy, Debug, Default)]
struct Table {
    pairs: f64,
    agree: f64,
    together: f64,
    alike: f64,
}

impl Table {
    /// Counts the labelled pairs with a member in `held`.
    fn add(&mut self, groups: &[usize], labelled: &[usize], labels: &[usize], held: &[usize]) {
        let mut out = vec![false; labels.len()];
        held.iter().for_each(|&i| out[i] = true);
        for &a in held {
            for b in 0..labels.len() {
                // A pair of two held-out ones is met from both sides.
                if b == a || (out[b] && b > a) {
                    continue;
                }
                let together = groups[labelled[a]] == groups[labelled[b]];
                let alike = labels[a] == labels[b];
                self.pairs += 1.0;
                self.agree += f64::from(u8::from(together == alike));
                self.together += f64::from(u8::from(together));
                self.alike += f64::from(u8::from(alike));
            }
        }
    }

    /// Agreement beyond chance. Over all pairs it is the adjusted Rand index
    /// (Warrens 2008).
    fn kappa(&self) -> f64 {
        let share = |count: f64| count / self.pairs;
        let (together, alike) = (share(self.together), share(self.alike));
        let chance = together * alike + (1.0 - together) * (1.0 - alike);
        if chance >= 1.0 { 1.0 } else { (share(self.agree) - chance) / (1.0 - chance) }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::mahalanobis::Form;
    use crate::measure::adjusted_rand_index;

    fn normal(rng: &mut Pcg64) -> f64 {
        let (u, v): (f64, f64) = (rng.random_range(1e-12..1.0), rng.random_range(0.0..1.0));
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    /// `each` vectors of each of three classes in 24 coordinates. Classes lie `apart`;
    /// across them, vectors fall into four clumps that lie a length of 3 apart.
    fn drawn(each: usize, apart: f64, seed: u64) -> (Array2<f32>, Vec<usize>) {
        let mut rng = Pcg64::seed_from_u64(seed);
        let labels: Vec<usize> = (0..3 * each).map(|i| i % 3).collect();
        let x = Array2::from_shape_fn((3 * each, 24), |(i, c)| {
            let clump = 3.0 * f64::from(u8::from(c == 3 + (i / 3) % 4));
            let class = apart * f64::from(u8::from(c == labels[i]));
            (class + clump + 0.15 * normal(&mut rng)) as f32
        });
        (x, labels)
    }

    fn ari(x: &Array2<f32>, labels: &[usize], among: impl Fn(usize) -> bool) -> f64 {
        let groups = k_means(x.view(), &KMeansOptions::new(3, 0)).expect("groups").assignment;
        let (found, truth): (Vec<_>, Vec<_>) =
            (0..labels.len()).filter(|&i| among(i)).map(|i| (groups[i], labels[i])).unzip();
        adjusted_rand_index(&found, &truth)
    }

    #[test]
    fn what_hides_the_classes_is_turned_down() {
        for form in [Form::Full, Form::Diagonal] {
            for seed in 0..3 {
                let (x, labels) = drawn(40, 1.2, seed);
                // Eight labels a class: three for a clump.
                let known: Vec<usize> = (0..24).collect();
                let learn = MahalanobisOptions { form, ..MahalanobisOptions::default() };
                let options = GroupingOptions { learn, seed, ..GroupingOptions::default() };
                let got = learn_for_grouping(x.view(), &known, &labels[..24], &options)
                    .expect("pairs of both kinds");
                let before = ari(&x, &labels, |i| i >= 24);
                let after = ari(&got.metric.apply(x.view()), &labels, |i| i >= 24);
                let told = format!("{form:?}, seed {seed}: {before} → {after}, {:?}", got.tried);
                assert!(got.share > 0.0 && before < 0.3 && after > 0.9, "{told}");
            }
        }
    }

    #[test]
    fn what_the_plain_distance_does_as_well_is_left_to_it() {
        for form in [Form::Full, Form::Diagonal] {
            for seed in 0..3 {
                // Classes farther apart than clumps; three labels each in 24 coordinates.
                let (x, labels) = drawn(20, 9.0, seed);
                let known: Vec<usize> = (0..9).collect();
                let learn = MahalanobisOptions { form, ..MahalanobisOptions::default() };
                let options = GroupingOptions { learn, seed, ..GroupingOptions::default() };
                let got = learn_for_grouping(x.view(), &known, &labels[..9], &options)
                    .expect("pairs of both kinds");
                assert_eq!(got.share, 0.0, "{form:?}, seed {seed}: {:?}", got.tried);
                let (plain, used) = (ari(&x, &labels, |_| true), got.metric.apply(x.view()));
                assert_eq!((plain, ari(&used, &labels, |_| true)), (1.0, 1.0));
                // Scaled, so that unlike pairs have mean distance 1 as under any other share.
                let sets = pairs_from_labels(&labels[..9], 4000, seed);
                let mean = mean_distance(used.view(), &sets.dissimilar);
                assert!((mean - 1.0).abs() < 1e-5, "{mean}");
            }
        }
    }

    #[test]
    fn labels_that_cannot_be_checked_are_not_trusted() {
        // Whichever of the three is held out, one kind of pairs is gone with it.
        let x = Array2::from_shape_fn((3, 2), |(i, c)| [[0.0, 0.0], [0.0, 3.0], [1.0, 0.0]][i][c]);
        let got = learn_for_grouping(x.view(), &[0, 1, 2], &[0, 0, 1], &GroupingOptions::default())
            .expect("pairs of both kinds");
        assert_eq!((got.share, got.tried), (0.0, None));
        let error = learn_for_grouping(x.view(), &[0, 1], &[0, 1], &GroupingOptions::default());
        assert!(matches!(error, Err(MahalanobisError::Pairs { .. })), "{error:?}");
    }

    #[test]
    fn over_all_pairs_kappa_is_the_adjusted_rand_index() {
        let mut rng = Pcg64::seed_from_u64(9);
        for _ in 0..20 {
            let mut draw = || (0..30).map(|_| rng.random_range(0..4)).collect::<Vec<usize>>();
            let (groups, labels) = (draw(), draw());
            let all: Vec<usize> = (0..30).collect();
            let mut table = Table::default();
            table.add(&groups, &all, &labels, &all);
            assert_eq!(table.pairs, 435.0, "each pair once");
            let expected = adjusted_rand_index(&groups, &labels);
            assert!((table.kappa() - expected).abs() < 1e-12, "{} {expected}", table.kappa());
        }
    }

    #[test]
    fn each_label_is_held_out_once_and_classes_are_spread() {
        let labels: Vec<usize> = (0..25).map(|i| i % 4).collect();
        let parts = folds(&labels, 10, 3);
        assert_eq!(parts.len(), 10);
        let mut held: Vec<usize> = parts.iter().flat_map(|(held, _)| held.clone()).collect();
        held.sort_unstable();
        assert_eq!(held, (0..25).collect::<Vec<_>>());
        for (held, kept) in &parts {
            assert_eq!(held.len() + kept.len(), 25);
            assert!((0..4).all(|c| held.iter().filter(|&&i| labels[i] == c).count() <= 1));
        }
        assert_eq!(folds(&labels[..5], 10, 3).len(), 5, "one at a time");
    }
}
