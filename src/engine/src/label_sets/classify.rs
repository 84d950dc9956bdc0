//! Given a picture and labels known by words, pictures or both, which fits, and how
//! probable is it that none does?
//!
//! Pictures resemble pictures more than they resemble words, so cosines to labels of
//! different kinds cannot be compared as they are. Each is put into deviations of what the
//! model's background pictures score for that very label; those can.

use std::sync::Arc;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Named, Origin};
use ekphrasis_models::{AnyLabelWeights, LabelCalibration};

use crate::confidence::{Confidence, Expected};
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
    pub(super) fn of(cosines: &[f32], expected: &[&Expected]) -> (usize, Self) {
        let strength = deviations(cosines, expected);
        let best = (0..strength.len()).max_by(|&a, &b| strength[a].total_cmp(&strength[b]));
        let best = best.unwrap_or(0);
        let second = (0..strength.len())
            .filter(|&i| i != best)
            .map(|i| strength[i])
            .fold(f64::NEG_INFINITY, f64::max);
        let gap = if second.is_finite() { strength[best] - second } else { 0.0 };
        let evidence = Self {
            deviations: strength[best],
            gap,
            // Of a library of one picture: the share of the background.
            rare: -expected[best].at_least(cosines[best], 1).ln(),
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

/// Cosines in deviations of the background's for each label.
pub(super) fn deviations(cosines: &[f32], expected: &[&Expected]) -> Vec<f64> {
    let of = |(cosine, e): (&f32, &&Expected)| (f64::from(*cosine) - e.mean) / e.deviation;
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
    /// `Invalid` for a set of one label: there is nothing to choose.
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
        if labels.len() < 2 {
            return Err(EngineError::Invalid(format!(
                "labelling compares labels with each other, and the set {:?} has only one; add \
                 another",
                named.name
            )));
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
        Ok(Self { labels, judge, logit_scale: towers.labels().logit_scale })
    }

    /// What fits a picture.
    pub(crate) fn classify(&self, image: &Embedding) -> Result<LabelReply, EngineError> {
        let cosines: Vec<f32> =
            self.labels.iter().map(|l| l.vector.cosine(image)).collect::<Result<_, _>>()?;
        // Labels of one kind can be compared as they are.
        let kind = |l: &One| (l.words, l.pictures);
        let differ = self.labels.windows(2).any(|w| kind(&w[0]) != kind(&w[1]));
        let (mut strength, mut scale, mut none) = (cosines.clone(), self.logit_scale, None);
        if let Some(judge) = &self.judge {
            let expected: Vec<&Expected> = judge.expected.iter().collect();
            let (best, evidence) = AnyEvidence::of(&cosines, &expected);
            let weights = match self.labels[best].pictures {
                true => &judge.calibration.pictures,
                false => &judge.calibration.words,
            };
            none = Some((1.0 - evidence.probability(weights)) as f32);
            if differ {
                strength = deviations(&cosines, &expected).into_iter().map(|d| d as f32).collect();
                scale = judge.calibration.sharpness as f32;
            }
        }
        let some = 1.0 - none.unwrap_or_default();
        let mut found: Vec<(f32, LabelScore)> = softmax(&strength, scale)
            .into_iter()
            .zip(&strength)
            .zip(self.labels.iter().zip(&cosines))
            .map(|((share, &strength), (one, &score))| {
                let probability = share * some;
                (strength, LabelScore { label: one.label.clone(), probability, score })
            })
            .collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.label.cmp(&b.1.label)));
        let labels = found.into_iter().map(|(_, label)| label).collect();
        Ok(LabelReply { labels, none_of_these: none })
    }
}
