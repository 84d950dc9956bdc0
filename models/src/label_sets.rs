//! Given a model, how are labels compared that are known by words, by pictures, or by
//! both, and how probable is it that none fits? A section of the manifest; `ek model
//! calibrate` makes it.

use serde::{Deserialize, Serialize};

/// How labels are compared, as the manifest's `[label_sets]` has it. Needs the background
/// of `[confidence]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelCalibration {
    /// On what this was fitted, in a sentence.
    pub about: String,
    /// How much words count beside the mean of the pictures, in 0..=1.
    pub words_weight: f64,
    /// What deviations from the background's scores are multiplied by before the softmax,
    /// where labels are known by pictures.
    pub sharpness: f64,
    /// That any label fits, where the best one is known by words.
    pub words: AnyLabelWeights,
    /// The same where the best one is known by pictures, too.
    pub pictures: AnyLabelWeights,
    /// That a label fits, whatever others do; absent in what was fitted before there was this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<EachLabel>,
}

/// Weights for each label by itself.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EachLabel {
    /// For labels known by words.
    pub words: EachLabelWeights,
    /// For labels known by pictures, too.
    pub pictures: EachLabelWeights,
}

/// Weights for the logarithm of the odds that a label fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EachLabelWeights {
    /// What stands alone.
    pub bias: f64,
    /// Of its score, in deviations from the background's mean for it.
    pub deviations: f64,
    /// Of how few background pictures score as much: the negative logarithm of their share.
    pub rare: f64,
    /// Of the cosine itself.
    pub cosine: f64,
    /// Of the logarithm of the number of labels; 0 in what was fitted before there was this.
    #[serde(default)]
    pub labels: f64,
}

/// Weights for the logarithm of the odds that any of the labels fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnyLabelWeights {
    /// What stands alone.
    pub bias: f64,
    /// Of the best label's score, in deviations from the background's mean for it.
    pub deviations: f64,
    /// Of how far the second label is behind in that.
    pub gap: f64,
    /// Of how few background pictures score as much: the negative logarithm of their share.
    pub rare: f64,
    /// Of the best cosine itself.
    pub cosine: f64,
    /// Of the logarithm of the number of labels.
    pub labels: f64,
}

impl LabelCalibration {
    /// What is wrong with the numbers, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        if self.about.trim().is_empty() {
            return Some("nothing about what it was fitted on".into());
        }
        if !(0.0..=1.0).contains(&self.words_weight) {
            return Some(format!("a weight of {} for words", self.words_weight));
        }
        if !(self.sharpness.is_finite() && self.sharpness > 0.0) {
            return Some(format!("a sharpness of {}", self.sharpness));
        }
        let finite = |w: &AnyLabelWeights| {
            [w.bias, w.deviations, w.gap, w.rare, w.cosine, w.labels].iter().all(|v| v.is_finite())
        };
        let of_each = |e: &EachLabel| {
            let all =
                [e.words, e.pictures].map(|w| [w.bias, w.deviations, w.rare, w.cosine, w.labels]);
            all.iter().flatten().all(|v| v.is_finite())
        };
        let all =
            finite(&self.words) && finite(&self.pictures) && self.each.as_ref().is_none_or(of_each);
        (!all).then(|| "a weight that is not finite".into())
    }
}
