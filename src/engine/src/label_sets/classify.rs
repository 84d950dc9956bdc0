//! Given a picture and labels known by words, pictures or both, which fits, and how
//! probable is it that none does?
//!
//! Pictures resemble pictures more than they resemble words, so cosines to labels of
//! different kinds cannot be compared as they are. Each is put into deviations of what the
//! model's background pictures score for that very label; those can.

use std::borrow::{Borrow, Cow};
use std::sync::Arc;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Named, Origin};
use ekphrasis_models::{AnyLabelWeights, EachLabel, EachLabelWeights, LabelCalibration};
use ndarray::Array2;

use super::groups::groups;
use crate::confidence::{Confidence, Expected};
use crate::eval::rows;
use crate::labels::softmax;
use crate::{EngineError, LabelReply, LabelScore, Towers};

/// How much words count beside pictures for a model of which that was not measured: what
/// was best for the default model.
const WORDS_WEIGHT: f64 = 0.5;

/// How much words count beside the pictures of a label.
pub(crate) fn words_weight(towers: &dyn Towers) -> f64 {
    towers.label_sets().map_or(WORDS_WEIGHT, |c| c.words_weight)
}

/// What pictures are compared with.
pub(crate) struct LabelVectors {
    labels: Vec<One>,
    /// Whether they are of different kinds.
    differ: bool,
    /// What is known of how far scores can be believed.
    judge: Option<Judge>,
    logit_scale: f32,
}

/// A label.
struct One {
    label: String,
    vector: Embedding,
    /// Whether it is known by words.
    words: bool,
    /// Whether it is known by pictures.
    pictures: bool,
}

struct Judge {
    calibration: LabelCalibration,
    /// What the background scores for each label.
    expected: Vec<Expected>,
}

/// What tells whether any label fits.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnyEvidence {
    pub(super) deviations: f64,
    pub(super) gap: f64,
    pub(super) rare: f64,
    pub(super) cosine: f64,
    pub(super) labels: f64,
}

impl AnyEvidence {
    /// Of a picture's cosines with labels, given what the background scores for each. The
    /// best label's place, and the evidence. At least one label.
    pub(super) fn of<E: Borrow<Expected>>(cosines: &[f32], expected: &[E]) -> (usize, Self) {
        Self::of_strength(cosines, &deviations(cosines, expected), expected)
    }

    /// The same where the deviations are known.
    fn of_strength<E: Borrow<Expected>>(
        cosines: &[f32],
        strength: &[f64],
        expected: &[E],
    ) -> (usize, Self) {
        // The last of those that are equal.
        let (mut best, mut second) = (0, f64::NEG_INFINITY);
        for (i, &one) in strength.iter().enumerate().skip(1) {
            if one >= strength[best] {
                (best, second) = (i, strength[best]);
            } else if one > second {
                second = one;
            }
        }
        let gap = if second.is_finite() { strength[best] - second } else { 0.0 };
        let evidence = Self {
            deviations: strength[best],
            gap,
            // Of a library of one picture: the share of the background.
            rare: -expected[best].borrow().at_least(cosines[best], 1).ln(),
            cosine: f64::from(cosines[best]),
            labels: (cosines.len() as f64).ln(),
        };
        (best, evidence)
    }

    /// In the order of [`weights`].
    pub(super) fn figures(&self) -> Vec<f64> {
        vec![self.deviations, self.gap, self.rare, self.cosine, self.labels]
    }

    /// The probability that one of the labels fits.
    pub(super) fn probability(&self, w: &AnyLabelWeights) -> f64 {
        let weights = [w.deviations, w.gap, w.rare, w.cosine, w.labels];
        let sum: f64 = self.figures().iter().zip(weights).map(|(f, w)| f * w).sum();
        1.0 / (1.0 + (-(w.bias + sum)).exp())
    }
}

/// The weights of a fit over [`AnyEvidence::figures`].
pub(super) fn weights(bias: f64, w: &[f64]) -> AnyLabelWeights {
    AnyLabelWeights { bias, deviations: w[0], gap: w[1], rare: w[2], cosine: w[3], labels: w[4] }
}

/// Labels of the smallest sets that judging was learned on: each by itself, and whether any fits.
pub(super) const FEWEST_LEARNED: usize = 3;

/// What is said where so few labels are judged that it was not learned: each by itself if
/// `multi`, else how probable it is that none fits, which all other probabilities leave.
pub(super) fn doubt_of_few_labels(labels: usize, multi: bool) -> Option<String> {
    let (what, then) = match multi {
        true => ("judging each label by itself", "the probabilities are a guess"),
        false => (
            "how probable it is that none of the labels fits",
            "it is a guess, and so is what it leaves to them",
        ),
    };
    (labels < FEWEST_LEARNED).then(|| {
        format!(
            "{what} was learned on sets of {FEWEST_LEARNED} and more, where half of the pictures have \
             one; of fewer labels {then}"
        )
    })
}

impl LabelReply {
    /// What is to be doubted of it, in a sentence. `multi`: each label was judged by itself.
    pub fn doubt(&self, multi: bool) -> Option<String> {
        // Without calibration nothing was learned of larger sets either.
        let judged = multi || self.none_of_these.is_some();
        judged.then(|| doubt_of_few_labels(self.labels.len(), multi)).flatten()
    }
}

/// What tells whether a label fits, whatever others do.
#[derive(Clone, Copy, Debug)]
pub(super) struct EachEvidence {
    deviations: f64,
    rare: f64,
    cosine: f64,
    labels: f64,
}

impl EachEvidence {
    /// Of a label among so many: the more there are, the fewer of them fit.
    pub(super) fn of(cosine: f32, expected: &Expected, labels: usize) -> Self {
        Self {
            deviations: (f64::from(cosine) - expected.mean) / expected.deviation,
            rare: -expected.at_least(cosine, 1).ln(),
            cosine: f64::from(cosine),
            // Nothing was learned of fewer.
            labels: (labels.max(FEWEST_LEARNED) as f64).ln(),
        }
    }

    /// In the order of [`each_weights`].
    pub(super) fn figures(&self) -> Vec<f64> {
        vec![self.deviations, self.rare, self.cosine, self.labels]
    }

    pub(super) fn probability(&self, w: &EachLabelWeights) -> f64 {
        let weights = [w.deviations, w.rare, w.cosine, w.labels];
        let sum: f64 = self.figures().iter().zip(weights).map(|(f, w)| f * w).sum();
        1.0 / (1.0 + (-(w.bias + sum)).exp())
    }
}

/// The weights of a fit over [`EachEvidence::figures`].
pub(super) fn each_weights(bias: f64, w: &[f64]) -> EachLabelWeights {
    EachLabelWeights { bias, deviations: w[0], rare: w[1], cosine: w[2], labels: w[3] }
}

/// The largest of some numbers, eight at a time: this is done for every picture and label.
fn largest(numbers: &[f32]) -> f32 {
    let greater = |a: f32, b: f32| if a > b { a } else { b };
    let mut lanes = [f32::NEG_INFINITY; 8];
    let chunks = numbers.chunks_exact(8);
    let rest = chunks.remainder().iter();
    for chunk in chunks {
        for (lane, &one) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, one);
        }
    }
    rest.chain(&lanes).copied().fold(f32::NEG_INFINITY, greater)
}

/// Cosines in deviations of the background's for each label.
pub(super) fn deviations<E: Borrow<Expected>>(cosines: &[f32], expected: &[E]) -> Vec<f64> {
    let of = |(cosine, e): (&f32, &E)| {
        let e: &Expected = e.borrow();
        (f64::from(*cosine) - e.mean) / e.deviation
    };
    cosines.iter().zip(expected).map(of).collect()
}

/// A label's vector: the mean of its pictures, beside its words.
pub(super) fn mixed(
    words: Option<&Embedding>,
    pictures: &[&Embedding],
    words_weight: f64,
) -> Result<Embedding, EngineError> {
    let Some(first) = words.or(pictures.first().copied()) else {
        return Err(EngineError::Invalid("a label without words and pictures".into()));
    };
    let space = first.space();
    let mean = match pictures {
        [] => None,
        _ => {
            let parts: Vec<_> = pictures.iter().map(|e| (*e, 1.0)).collect();
            Some(Embedding::combine(space, &parts)?)
        }
    };
    Ok(match (words, mean) {
        (Some(words), Some(mean)) => {
            let w = words_weight as f32;
            Embedding::combine(space, &[(words, w), (&mean, 1.0 - w)])?
        }
        (None, Some(mean)) => mean,
        (Some(words), None) => words.clone(),
        (None, None) => first.clone(),
    })
}

impl LabelVectors {
    /// Labels known by words.
    pub(crate) fn of_words(
        towers: &dyn Towers,
        labels: &[String],
        vectors: Vec<Embedding>,
    ) -> Result<Self, EngineError> {
        let one = |(label, vector): (&String, Embedding)| One {
            label: label.clone(),
            vector,
            words: true,
            pictures: false,
        };
        Self::new(towers, labels.iter().zip(vectors).map(one).collect())
    }

    /// The labels of a set.
    ///
    /// # Errors
    /// As the model's background cannot be read.
    pub(crate) fn of_set(towers: &dyn Towers, named: &Named) -> Result<Self, EngineError> {
        let weight = words_weight(towers);
        let mut labels = Vec::new();
        for of in named.vectors.chunk_by(|a, b| a.part == b.part) {
            let is_words = |v: &&ekphrasis_index::NamedVector| matches!(v.origin, Origin::Words(_));
            let words = of.iter().find(is_words).map(|v| &v.embedding);
            let pictures: Vec<&Embedding> =
                of.iter().filter(|v| !is_words(v)).map(|v| &v.embedding).collect();
            labels.push(One {
                label: of[0].part.clone(),
                vector: mixed(words, &pictures, weight)?,
                words: words.is_some(),
                pictures: !pictures.is_empty(),
            });
        }
        Self::new(towers, labels)
    }

    fn new(towers: &dyn Towers, labels: Vec<One>) -> Result<Self, EngineError> {
        let confidence: Option<Arc<Confidence>> = match towers.label_sets() {
            Some(_) => towers.confidence()?,
            None => None,
        };
        let judge = towers.label_sets().zip(confidence).map(|(calibration, confidence)| Judge {
            calibration: calibration.clone(),
            expected: labels.iter().map(|l| confidence.expected(l.vector.values())).collect(),
        });
        let kind = |l: &One| (l.words, l.pictures);
        let differ = labels.windows(2).any(|w| kind(&w[0]) != kind(&w[1]));
        Ok(Self { labels, differ, judge, logit_scale: towers.labels().logit_scale })
    }

    /// The labels, in the order of cosines.
    pub(super) fn names(&self) -> Vec<String> {
        self.labels.iter().map(|one| one.label.clone()).collect()
    }

    /// Whether there are enough of the set's labels.
    ///
    /// # Errors
    /// `Invalid` for one that is not judged by itself: there is nothing to choose.
    pub(crate) fn check_count(&self, set: &str, multi: bool) -> Result<(), EngineError> {
        if multi || self.labels.len() > 1 {
            return Ok(());
        }
        Err(EngineError::of_field(
            "multi",
            format!(
                "labels are compared with each other, and the set {set:?} has only one; add another, \
             or judge it by itself (`--multi`; over HTTP `multi`)"
            ),
        ))
    }

    /// Whether it is known how probable it is that none of them fits.
    pub(super) fn tells_none(&self) -> bool {
        self.judge.is_some()
    }

    /// The labels' vectors, a row each.
    pub(super) fn matrix(&self) -> Array2<f32> {
        rows(self.labels.iter().map(|one| &one.vector))
    }

    /// What fits a picture best; or, if `multi`, what fits it, each label judged by itself.
    ///
    /// # Errors
    /// As [`LabelVectors::check_multi`] if `multi`.
    pub(crate) fn classify(
        &self,
        image: &Embedding,
        multi: bool,
    ) -> Result<LabelReply, EngineError> {
        let cosines: Vec<f32> =
            self.labels.iter().map(|l| l.vector.cosine(image)).collect::<Result<_, _>>()?;
        let read = self.read(&cosines);
        let probabilities = match multi {
            true => self.each_probability(&cosines, self.check_multi()?),
            false => read.shares(),
        };
        // Those judged by themselves are compared by that.
        let order: &[f32] = if multi { &probabilities } else { &read.strength };
        let mut found: Vec<(f32, LabelScore)> = probabilities
            .iter()
            .zip(order)
            .zip(self.labels.iter().zip(&cosines))
            .map(|((&probability, &strength), (one, &score))| {
                (strength, LabelScore { label: one.label.clone(), probability, score })
            })
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.label.cmp(&b.1.label)));
        let labels: Vec<LabelScore> = found.into_iter().map(|(_, label)| label).collect();
        let groups = groups(&labels, multi);
        // What is said of all labels together and of each alone comes of different fits, and
        // need not agree: of those judged alone it is left out.
        let none_of_these = if multi { None } else { read.none };
        Ok(LabelReply { labels, none_of_these, groups })
    }

    /// How each label is judged by itself.
    ///
    /// # Errors
    /// `Invalid` if the model was not calibrated for that.
    pub(crate) fn check_multi(&self) -> Result<&EachLabel, EngineError> {
        let each = self.judge.as_ref().and_then(|judge| judge.calibration.each.as_ref());
        each.ok_or_else(|| {
            EngineError::of_field(
                "multi",
                "each label by itself can only be judged by a model that is calibrated for it; \
                 `ek model calibrate` does that"
                    .into(),
            )
        })
    }

    /// Of each label, how probable it is that it fits, whatever others do.
    fn each_probability(&self, cosines: &[f32], each: &EachLabel) -> Vec<f32> {
        let expected = self.judge.iter().flat_map(|judge| &judge.expected);
        let of = |((one, &cosine), expected): ((&One, &f32), &Expected)| {
            let evidence = EachEvidence::of(cosine, expected, cosines.len());
            evidence.probability(one.weights(each)) as f32
        };
        self.labels.iter().zip(cosines).zip(expected).map(of).collect()
    }

    /// From which cosine on each label has at least this probability by itself; 2 where none
    /// is enough.
    pub(super) fn least_cosines(&self, each: &EachLabel, minimum: f64) -> Vec<f32> {
        let expected = self.judge.iter().flat_map(|judge| &judge.expected);
        let least = |(one, expected): (&One, &Expected)| {
            let weights = one.weights(each);
            // How much a cosine that is higher by one adds, beside what becomes rarer.
            let slope = weights.deviations / expected.deviation + weights.cosine;
            if weights.rare < 0.0 || slope < 0.0 {
                // More may mean less: every picture is judged.
                return -2.0;
            }
            // Rounded as what is compared in the end.
            let enough = |cosine: f32| {
                let evidence = EachEvidence::of(cosine, expected, self.labels.len());
                f64::from(evidence.probability(weights) as f32) >= minimum
            };
            let (mut too_few, mut least) = (-1.0f32, 1.0f32);
            if !enough(least) {
                return 2.0;
            }
            for _ in 0..32 {
                let middle = f32::midpoint(too_few, least);
                *(if enough(middle) { &mut least } else { &mut too_few }) = middle;
            }
            too_few
        };
        self.labels.iter().zip(expected).map(least).collect()
    }

    /// The probability of one label by itself.
    pub(super) fn probability_of(&self, label: usize, cosine: f32, each: &EachLabel) -> f32 {
        self.judge.as_ref().map_or(0.0, |judge| {
            let evidence = EachEvidence::of(cosine, &judge.expected[label], self.labels.len());
            evidence.probability(self.labels[label].weights(each)) as f32
        })
    }

    /// The label that fits a picture best, with its probability, and that of none.
    pub(super) fn best(&self, cosines: &[f32]) -> (usize, f32, Option<f32>) {
        let read = self.read(cosines);
        let (scale, strongest) = (read.scale, largest(&read.strength));
        let best = (0..cosines.len())
            .filter(|&i| read.strength[i] == strongest)
            .min_by_key(|&i| &self.labels[i].label)
            .unwrap_or(0);
        let sum: f64 =
            read.strength.iter().map(|&s| f64::from(((s - strongest) * scale).exp())).sum();
        let some = 1.0 - read.none.unwrap_or_default();
        (best, (1.0 / sum) as f32 * some, read.none)
    }

    fn read<'a>(&self, cosines: &'a [f32]) -> Read<'a> {
        let mut read =
            Read { strength: Cow::Borrowed(cosines), scale: self.logit_scale, none: None };
        if let Some(judge) = &self.judge {
            let strength = deviations(cosines, &judge.expected);
            let (best, evidence) = AnyEvidence::of_strength(cosines, &strength, &judge.expected);
            let weights = match self.labels[best].pictures {
                true => &judge.calibration.pictures,
                false => &judge.calibration.words,
            };
            read.none = Some((1.0 - evidence.probability(weights)) as f32);
            // Labels of one kind can be compared as they are.
            if self.differ {
                read.strength = strength.into_iter().map(|d| d as f32).collect();
                read.scale = judge.calibration.sharpness as f32;
            }
        }
        read
    }
}

/// What a picture's cosines say of labels that are compared with one another.
struct Read<'a> {
    strength: Cow<'a, [f32]>,
    scale: f32,
    /// The probability that none fits.
    none: Option<f32>,
}

impl Read<'_> {
    /// The probability of each label.
    fn shares(&self) -> Vec<f32> {
        let some = 1.0 - self.none.unwrap_or_default();
        softmax(&self.strength, self.scale).into_iter().map(|share| share * some).collect()
    }
}

impl One {
    fn weights<'a>(&self, each: &'a EachLabel) -> &'a EachLabelWeights {
        if self.pictures { &each.pictures } else { &each.words }
    }
}

#[cfg(test)]
mod tests {
    use ekphrasis_embed::Space;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn weights_by_chance(rng: &mut Pcg64) -> EachLabelWeights {
        // Mostly as they are fitted; now and then more means less.
        let sign = |rng: &mut Pcg64| if rng.random_range(0..6) == 0 { -1.0 } else { 1.0 };
        EachLabelWeights {
            bias: rng.random_range(-12.0..3.0),
            deviations: sign(rng) * rng.random_range(0.0..2.0),
            rare: sign(rng) * rng.random_range(0.0..1.0),
            cosine: sign(rng) * rng.random_range(0.0..20.0),
            labels: rng.random_range(-1.0..0.5),
        }
    }

    /// Labels whose background scores anything.
    fn labels_by_chance(rng: &mut Pcg64, each: EachLabel) -> LabelVectors {
        let space = Space::new("three-1", 3).expect("a space");
        let vector = Embedding::new(&space, vec![1.0, 2.0, 3.0]).expect("a direction");
        let labels = (0..4)
            .map(|i| One {
                label: i.to_string(),
                vector: vector.clone(),
                words: true,
                pictures: i % 2 == 1,
            })
            .collect();
        let expected = (0..4)
            .map(|_| {
                let (mean, width) = (rng.random_range(-0.2..0.6), rng.random_range(0.001..0.4));
                let score = |_| rng.random_range(mean - width..mean + width);
                Expected::of((0..100).map(score).collect())
            })
            .collect();
        let calibration = LabelCalibration {
            about: String::new(),
            words_weight: 0.5,
            sharpness: 1.0,
            words: AnyLabelWeights::default(),
            pictures: AnyLabelWeights::default(),
            each: Some(each),
        };
        let judge = Some(Judge { calibration, expected });
        LabelVectors { labels, differ: false, judge, logit_scale: 1.0 }
    }

    /// Every cosine of a fine grid, and those next to what was found.
    fn cosines(near: f32) -> impl Iterator<Item = f32> {
        let grid = (-2_000..=2_000).map(|i| i as f32 / 2_000.0);
        let next = |from: f32, step: fn(f32) -> f32| {
            std::iter::successors(Some(from), move |&at| Some(step(at))).take(40)
        };
        let near = if near.abs() <= 1.0 { near } else { 0.0 };
        grid.chain(next(near, f32::next_up)).chain(next(near, f32::next_down))
    }

    #[test]
    fn what_lies_below_the_least_cosine_is_not_probable_enough() {
        let seed = 11;
        eprintln!("seed {seed}");
        let mut rng = Pcg64::seed_from_u64(seed);
        let (mut within, mut never, mut always) = (0, 0, 0);
        for _ in 0..60 {
            let each = EachLabel {
                words: weights_by_chance(&mut rng),
                pictures: weights_by_chance(&mut rng),
            };
            let vectors = labels_by_chance(&mut rng, each);
            let minimum = rng.random_range(0.01..0.99);
            for (label, &least) in vectors.least_cosines(&each, minimum).iter().enumerate() {
                let enough = |cosine: f32| {
                    f64::from(vectors.probability_of(label, cosine, &each)) >= minimum
                };
                for cosine in cosines(least).filter(|c| c.abs() <= 1.0) {
                    assert!(!enough(cosine) || cosine >= least, "{cosine} under {least}: {each:?}");
                }
                match least {
                    2.0 => never += 1,
                    -2.0 => always += 1,
                    least => {
                        within += 1;
                        // And hardly anything is looked at in vain.
                        let above = cosines(least).filter(|&c| c > least.next_up() && c <= 1.0);
                        assert!(above.into_iter().all(enough), "above {least}: {each:?}");
                    }
                }
            }
        }
        assert!(within > 50 && never > 10 && always > 10, "{within} {never} {always}");
    }

    #[test]
    fn fewer_labels_than_were_learned_on_are_judged_as_the_fewest_that_were() {
        let expected = Expected::of((0..100u8).map(|i| f32::from(i) / 100.0).collect());
        let of = |labels| EachEvidence::of(0.7, &expected, labels).figures();
        assert_eq!(of(1), of(FEWEST_LEARNED));
        assert_eq!(of(2), of(FEWEST_LEARNED));
        assert!(of(FEWEST_LEARNED + 1)[3] > of(FEWEST_LEARNED)[3]);
        for multi in [true, false] {
            let doubted = [1, 2, 3, 100].map(|labels| doubt_of_few_labels(labels, multi).is_some());
            assert_eq!(doubted, [true, true, false, false]);
        }
    }
}
