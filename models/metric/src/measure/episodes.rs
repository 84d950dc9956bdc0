//! Given labelled vectors, how well is a class learned from a few examples?
//! By many small examinations of chance classes.
//!
//! Each draws its classes, their examples and the pictures that are asked, so the spread over
//! episodes has all three. All are drawn from the same pictures, though, again and again:
//! what the usual interval says is how far the mean is from that of all episodes of these
//! pictures, and it shrinks with their number. How things of other classes would do is told
//! by an interval over classes.

use std::collections::BTreeMap;

use ndarray::{Array1, ArrayView1, ArrayView2};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::bootstrap::{Interval, bootstrap_mean_by};

/// How episodes are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpisodeOptions {
    /// C: classes in an episode, at least 2.
    pub ways: usize,
    /// k: examples of each, at least 1.
    pub shots: usize,
    /// Other pictures of each class to be classified, at most.
    pub queries: usize,
    /// How many episodes, at least 2; 600 is usual.
    pub episodes: usize,
    /// Equal seeds draw equal episodes.
    pub seed: u64,
}

impl Default for EpisodeOptions {
    fn default() -> Self {
        Self { ways: 5, shots: 1, queries: 5, episodes: 600, seed: 0 }
    }
}

/// Accuracy over episodes, in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpisodeScore {
    /// Episodes.
    pub episodes: usize,
    /// Classes that have enough pictures to be drawn.
    pub classes: usize,
    /// Mean over episodes of the mean over classes of the share that is right.
    pub mean: f64,
    /// Half the width of the 95 % interval over draws of classes, examples and queries among
    /// these pictures: 1.96 · sd / √episodes.
    pub half_width: f64,
    /// The 95 % percentile interval over classes: a bootstrap of whole classes, each with all
    /// that was asked of it. The other classes of an episode count as given.
    pub over_classes: Interval,
}

/// Draws of classes for their interval.
const RESAMPLES: usize = 1_000;

/// Why no episode can be drawn.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EpisodeError {
    /// Too few classes are large enough.
    #[error(
        "{ways}-way {shots}-shot episodes need {ways} classes with at least {} pictures each; \
         {classes} of {all} classes have as many; use fewer ways or shots, or more pictures",
        shots + 1
    )]
    TooFew {
        /// Classes wanted in an episode.
        ways: usize,
        /// Examples wanted of each.
        shots: usize,
        /// Classes with enough pictures.
        classes: usize,
        /// All classes.
        all: usize,
    },
    /// Options that mean nothing.
    #[error(
        "an episode has at least 2 ways, 1 shot and 1 query, and there are at least 2 of them; got {0:?}"
    )]
    Options(EpisodeOptions),
}

/// Classifies by the nearest prototype: the mean of the unit vectors of the
/// examples, compared by cosine. A tie counts against the model.
///
/// # Shapes
/// `vectors`: n × d, `labels`: n.
///
/// # Errors
/// `TooFew` classes with `shots + 1` vectors, or `Options` out of range.
///
/// # Panics
/// If the lengths differ.
pub fn few_shot(
    vectors: ArrayView2<'_, f32>,
    labels: &[usize],
    options: &EpisodeOptions,
) -> Result<EpisodeScore, EpisodeError> {
    few_shot_by(vectors, labels, None, options)
}

/// The words of classes beside their examples.
#[derive(Clone, Copy, Debug)]
pub struct ClassWords<'a> {
    /// A unit vector for each label, by its number: l × d.
    pub vectors: ArrayView2<'a, f32>,
    /// How much they count beside the prototype of the examples, in 0..=1: 0 leaves them
    /// out, 1 the examples.
    pub weight: f32,
}

/// The same with words: a class is `(1 − weight) · prototype + weight · words`. Equal seeds
/// draw equal episodes with and without.
///
/// # Shapes
/// As [`few_shot`]; `words.vectors`: a row for each label's number.
///
/// # Errors
/// As [`few_shot`].
///
/// # Panics
/// If the lengths differ.
pub fn few_shot_with_words(
    vectors: ArrayView2<'_, f32>,
    labels: &[usize],
    words: ClassWords<'_>,
    options: &EpisodeOptions,
) -> Result<EpisodeScore, EpisodeError> {
    few_shot_by(vectors, labels, Some(words), options)
}

fn few_shot_by(
    vectors: ArrayView2<'_, f32>,
    labels: &[usize],
    words: Option<ClassWords<'_>>,
    options: &EpisodeOptions,
) -> Result<EpisodeScore, EpisodeError> {
    assert_eq!(vectors.nrows(), labels.len(), "one label a vector");
    let EpisodeOptions { ways, shots, queries, episodes, seed } = *options;
    if ways < 2 || shots < 1 || queries < 1 || episodes < 2 {
        return Err(EpisodeError::Options(*options));
    }
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, &label) in labels.iter().enumerate() {
        members.entry(label).or_default().push(i);
    }
    let all = members.len();
    let mut classes: Vec<Vec<usize>> = members.into_values().filter(|m| m.len() > shots).collect();
    if classes.len() < ways {
        return Err(EpisodeError::TooFew { ways, shots, classes: classes.len(), all });
    }
    let mut rng = Pcg64::seed_from_u64(seed);
    let (mut of_class, mut class_of) = (Vec::new(), Vec::new());
    let accuracies: Vec<f64> = (0..episodes)
        .map(|_| {
            let (drawn, _) = classes.partial_shuffle(&mut rng, ways);
            drawn.iter_mut().for_each(|class| class.shuffle(&mut rng));
            let prototypes: Vec<Array1<f32>> = drawn
                .iter()
                .map(|class| {
                    let examples = prototype(vectors, &class[..shots]);
                    match words {
                        None => examples,
                        Some(words) => {
                            let own = words.vectors.row(labels[class[0]]);
                            unit(examples * (1.0 - words.weight) + &own * words.weight)
                        }
                    }
                })
                .collect();
            let right = drawn.iter().enumerate().map(|(own, class)| {
                let asked: Vec<usize> = class.iter().skip(shots).take(queries).copied().collect();
                let right = asked.iter().filter(|&&q| is_first(vectors.row(q), &prototypes, own));
                let share = right.count() as f64 / asked.len() as f64;
                of_class.push(share);
                class_of.push(labels[class[0]]);
                share
            });
            right.sum::<f64>() / ways as f64
        })
        .collect();
    let n = episodes as f64;
    let mean = accuracies.iter().sum::<f64>() / n;
    let squares: f64 = accuracies.iter().map(|a| (a - mean) * (a - mean)).sum();
    let sd = (squares / (n - 1.0)).sqrt();
    let over_classes = bootstrap_mean_by(&of_class, &class_of, RESAMPLES, 0.95, seed);
    Ok(EpisodeScore {
        episodes,
        classes: classes.len(),
        mean,
        half_width: 1.96 * sd / n.sqrt(),
        over_classes: over_classes.unwrap_or(Interval { low: mean, high: mean }),
    })
}

/// The unit vector of the sum of unit vectors; zero where there is no direction.
fn prototype(vectors: ArrayView2<'_, f32>, rows: &[usize]) -> Array1<f32> {
    let mut sum = Array1::<f32>::zeros(vectors.ncols());
    for &row in rows {
        let row = vectors.row(row);
        sum.scaled_add(1.0 / row.dot(&row).sqrt().max(f32::MIN_POSITIVE), &row);
    }
    unit(sum)
}

fn unit(vector: Array1<f32>) -> Array1<f32> {
    let norm = vector.dot(&vector).sqrt().max(f32::MIN_POSITIVE);
    vector / norm
}

/// Whether the own prototype is nearer than every other. The query's own length
/// does not change the order.
fn is_first(query: ArrayView1<'_, f32>, prototypes: &[Array1<f32>], own: usize) -> bool {
    let score = query.dot(&prototypes[own]);
    prototypes.iter().enumerate().all(|(c, p)| c == own || query.dot(p) < score)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::RngExt;

    use super::*;

    /// Classes of six around random directions, with noise.
    fn blobs(classes: usize, noise: f32) -> (Array2<f32>, Vec<usize>) {
        let mut rng = Pcg64::seed_from_u64(9);
        let centres = Array2::from_shape_fn((classes, 16), |_| rng.random_range(-1f32..1.0));
        let labels: Vec<usize> = (0..classes * 6).map(|i| i / 6).collect();
        let vectors = Array2::from_shape_fn((labels.len(), 16), |(i, d)| {
            centres[[labels[i], d]] + noise * rng.random_range(-1f32..1.0)
        });
        (vectors, labels)
    }

    #[test]
    fn clear_classes_are_learned_from_one_example_and_noise_is_chance() {
        let (vectors, labels) = blobs(12, 0.01);
        let score = few_shot(vectors.view(), &labels, &EpisodeOptions::default()).expect("enough");
        assert_eq!((score.mean, score.half_width, score.classes), (1.0, 0.0, 12));
        // Without any class structure: one in five.
        let mut rng = Pcg64::seed_from_u64(2);
        let noise = Array2::from_shape_fn((600, 16), |_| rng.random_range(-1f32..1.0));
        let labels: Vec<usize> = (0..600).map(|i| i / 20).collect();
        let score = few_shot(noise.view(), &labels, &EpisodeOptions::default()).expect("enough");
        assert!((score.mean - 0.2).abs() < 3.0 * score.half_width, "{score:?}");
        assert!(score.half_width > 0.002 && score.half_width < 0.02, "{score:?}");
    }

    #[test]
    fn more_examples_help_and_seeds_repeat() {
        let (vectors, labels) = blobs(20, 1.2);
        let of = |shots, seed| {
            let options = EpisodeOptions { shots, seed, queries: 1, ..EpisodeOptions::default() };
            few_shot(vectors.view(), &labels, &options).expect("enough")
        };
        let (one, five) = (of(1, 4), of(5, 4));
        assert!(five.mean > one.mean + one.half_width, "{one:?} {five:?}");
        assert_eq!(one, of(1, 4));
        assert_ne!(one, of(1, 5));
    }

    /// Pools of classes, of which some are easy and some are hard, from one population: what
    /// does an interval of one pool say of the population?
    #[test]
    fn an_interval_over_classes_holds_for_others_and_one_over_episodes_does_not() {
        let seed = 21;
        eprintln!("seed {seed}");
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut pool = |classes: usize, episodes: usize| {
            let mut rows = Array2::zeros((classes * 6, 16));
            for class in 0..classes {
                let centre: Vec<f32> = (0..16).map(|_| rng.random_range(-1f32..1.0)).collect();
                let noise = if rng.random_range(0..2) == 0 { 0.3 } else { 3.0 };
                for i in 0..6 {
                    let of = |d: usize| centre[d] + noise * rng.random_range(-1f32..1.0);
                    let row: Vec<f32> = (0..16).map(of).collect();
                    rows.row_mut(class * 6 + i).assign(&Array1::from(row));
                }
            }
            let labels: Vec<usize> = (0..classes * 6).map(|i| i / 6).collect();
            let options = EpisodeOptions { episodes, ..EpisodeOptions::default() };
            few_shot(rows.view(), &labels, &options).expect("enough")
        };
        let truth = pool(2_000, 6_000).mean;
        let (mut by_classes, mut by_episodes) = (0, 0);
        for _ in 0..60 {
            let score = pool(24, 300);
            let within = |low: f64, high: f64| usize::from((low..=high).contains(&truth));
            by_classes += within(score.over_classes.low, score.over_classes.high);
            by_episodes += within(score.mean - score.half_width, score.mean + score.half_width);
            assert!(score.over_classes.low <= score.mean && score.mean <= score.over_classes.high);
        }
        // Of 95 %, some is lost to so few classes.
        assert!(by_classes >= 50 && by_episodes <= 30, "of 60: {by_classes}, {by_episodes}");
    }

    #[test]
    fn words_count_as_much_as_they_are_weighted() {
        let (vectors, labels) = blobs(12, 1.2);
        let options = EpisodeOptions { queries: 1, ..EpisodeOptions::default() };
        let plain = few_shot(vectors.view(), &labels, &options).expect("enough");
        // Words that are the true middles, and words that are another class's.
        let middles = Array2::from_shape_fn((12, 16), |(class, d)| {
            (0..6).map(|i| vectors[[class * 6 + i, d]]).sum::<f32>()
        });
        let wrong = Array2::from_shape_fn((12, 16), |(class, d)| middles[[(class + 1) % 12, d]]);
        let with = |words: &Array2<f32>, weight| {
            let norms = words.map_axis(ndarray::Axis(1), |r| r.dot(&r).sqrt());
            let words = words / &norms.insert_axis(ndarray::Axis(1));
            let words = ClassWords { vectors: words.view(), weight };
            few_shot_with_words(vectors.view(), &labels, words, &options).expect("enough")
        };
        assert_eq!(with(&middles, 0.0), plain);
        let (some, all) = (with(&middles, 0.5), with(&middles, 1.0));
        assert!(some.mean > plain.mean + plain.half_width, "{plain:?} {some:?}");
        assert!(all.mean > plain.mean + plain.half_width, "{plain:?} {all:?}");
        assert!(with(&wrong, 1.0).mean < 0.3, "only words count");
    }

    #[test]
    fn a_constant_encoder_scores_nothing() {
        let labels: Vec<usize> = (0..30).map(|i| i / 3).collect();
        let same = Array2::<f32>::ones((30, 8));
        let score = few_shot(same.view(), &labels, &EpisodeOptions::default()).expect("enough");
        assert_eq!(score.mean, 0.0);
    }

    #[test]
    fn what_cannot_be_drawn_is_said() {
        let (vectors, labels) = blobs(4, 0.1);
        let error = few_shot(vectors.view(), &labels, &EpisodeOptions::default());
        let error = error.expect_err("four classes");
        assert_eq!(error, EpisodeError::TooFew { ways: 5, shots: 1, classes: 4, all: 4 });
        assert!(error.to_string().contains("at least 2 pictures"), "{error}");
        let options = EpisodeOptions { ways: 1, ..EpisodeOptions::default() };
        let error = few_shot(vectors.view(), &labels, &options);
        assert_eq!(error, Err(EpisodeError::Options(options)));
    }
}
