//! What is asked of the embeddings: `[loss]`, `[selection]`, `[sides]`,
//! `[memory]`, `[classifier]`. Formulas are in `models/metric/LOSSES.md`.

use ekphrasis_metric::loss as metric;
use ekphrasis_metric::select::{Curriculum, Ramp, Selection};
use ekphrasis_metric::{Classifier, Loss, MagnetOptions, MemoryOptions, ObjectiveOptions, Sides};
use serde::{Deserialize, Serialize};

use super::{ConfigError, share};

/// In which a margin is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DistanceConfig {
    /// 1 − cosine.
    #[default]
    Cosine,
    /// ‖a − b‖² = 2 − 2 · cosine.
    SquaredEuclidean,
    /// ‖a − b‖.
    Euclidean,
}

/// What is summed for an anchor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReductionConfig {
    /// Its selected negatives are summed (VSE).
    Sum,
    /// They are averaged.
    #[default]
    Mean,
    /// All terms of the batch over the number above zero.
    NonZero,
}

/// `[loss]`: `kind` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum LossConfig {
    /// Pairs within and beyond a margin.
    Contrastive {
        /// In which the margin is measured.
        #[serde(default = "euclidean")]
        distance: DistanceConfig,
        /// Squared (Hadsell) or as it is (the lecture's form).
        #[serde(default = "yes")]
        squared: bool,
        /// How far apart different things shall be.
        #[serde(default = "one")]
        margin: f64,
        /// Positives and negatives averaged apart.
        #[serde(default = "yes")]
        balanced: bool,
    },
    /// Triplets; over both cross-modal sides the bidirectional loss L = L1 + L2.
    Triplet {
        /// In which the margin is measured.
        #[serde(default)]
        distance: DistanceConfig,
        /// How much farther than the positive a negative shall be.
        #[serde(default = "fifth")]
        margin: f64,
        /// Over 0: the hinge's corner is rounded, τ · log(1 + e^{z / τ}).
        #[serde(default)]
        temperature: f64,
        /// What is averaged.
        #[serde(default)]
        reduction: ReductionConfig,
    },
    /// The triplet with a smooth maximum: τ · log(1 + Σ_j exp((s_ij − s_ii + margin) / τ)).
    SmoothMax {
        /// In cosine; 0 makes it InfoNCE.
        #[serde(default = "tenth")]
        margin: f64,
        /// τ, in cosine.
        #[serde(default = "twentieth")]
        temperature: f64,
    },
    /// A softmax over candidates (InfoNCE, CLIP, SupCon).
    InfoNce {
        /// What cosines are multiplied by, at first if it is learned.
        #[serde(default = "fourteen")]
        scale: f64,
        /// Whether the scale is learned.
        #[serde(default = "yes")]
        learned: bool,
        /// Whether all of a group count as positives, or the paired one only.
        #[serde(default)]
        all_positives: bool,
    },
    /// A softmax over dot products of vectors as the towers give them, before unit
    /// length, with a penalty on their lengths (Sohn 2016).
    NPair {
        /// λ of λ · mean ‖x‖², a modality each.
        #[serde(default = "small")]
        penalty: f64,
    },
    /// Pairs nearer than any pair of different things.
    Quadruplet {
        /// α₁, of the anchor's own negatives.
        #[serde(default = "one")]
        margin: f64,
        /// α₂, of pairs without the anchor; under α₁.
        #[serde(default = "half")]
        other_margin: f64,
    },
    /// One boundary for all (with selection distance-weighted: Wu 2017).
    Margin {
        /// The boundary, a Euclidean distance, at first if it is learned.
        #[serde(default = "beta")]
        beta: f64,
        /// How far either side of it.
        #[serde(default = "fifth")]
        alpha: f64,
        /// Whether β is learned.
        #[serde(default)]
        learned: bool,
    },
    /// Classes in several clusters each (Rippel 2016). Batches are its own: a hard
    /// cluster and its nearest of other classes.
    Magnet {
        /// α.
        #[serde(default = "one")]
        alpha: f64,
        /// Clusters a class.
        #[serde(default = "three")]
        clusters: usize,
        /// Steps between two refreshes of the clusters, for each of which the model
        /// looks at all training pictures.
        #[serde(default = "fifty")]
        refresh: u64,
    },
    /// Nearest to the mean of one's own group.
    Prototypes {
        /// Factor of the squared distance in the softmax.
        #[serde(default = "ten")]
        scale: f64,
    },
}

fn euclidean() -> DistanceConfig {
    DistanceConfig::Euclidean
}
fn yes() -> bool {
    true
}
fn one() -> f64 {
    1.0
}
fn half() -> f64 {
    0.5
}
fn fifth() -> f64 {
    0.2
}
fn tenth() -> f64 {
    0.1
}
fn twentieth() -> f64 {
    0.05
}
fn ten() -> f64 {
    10.0
}
fn beta() -> f64 {
    1.2
}
fn fourteen() -> f64 {
    1.0 / 0.07
}
fn small() -> f64 {
    0.002
}
fn three() -> usize {
    3
}
fn fifty() -> u64 {
    50
}

impl Default for LossConfig {
    fn default() -> Self {
        Self::SmoothMax { margin: tenth(), temperature: twentieth() }
    }
}

/// Which negatives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Negatives {
    /// All.
    #[default]
    All,
    /// One by chance.
    Random,
    /// All that are farther than the positive, but not by the margin.
    SemiHard,
    /// The nearest.
    Hard,
    /// The `k` nearest.
    KHardest,
    /// One, so that all distances are about equally likely.
    DistanceWeighted,
}

/// `[selection]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SelectionConfig {
    /// Which negatives.
    pub negatives: Negatives,
    /// How many, for k-hardest.
    pub k: usize,
    /// The share of training in which all negatives count; 0: the selection from the start.
    pub warm_up: f64,
    /// From the end of the warm-up until this share of training the number of hardest
    /// negatives falls from all to the selection's; 0: at once.
    pub until: f64,
}

impl Default for SelectionConfig {
    fn default() -> Self {
        Self { negatives: Negatives::All, k: 32, warm_up: 0.0, until: 0.0 }
    }
}

/// `[sides]`: how much each counts. Left away: both cross-modal ones, or pictures
/// with pictures where there are no texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct SidesConfig {
    /// Pictures look for texts.
    pub image_to_text: f64,
    /// Texts look for pictures.
    pub text_to_image: f64,
    /// Pictures look for pictures; needs two of a group in a batch.
    pub image_to_image: f64,
    /// Texts look for texts; needs two of a group in a batch.
    pub text_to_text: f64,
}

/// `[memory]`: negatives from earlier batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct MemoryConfig {
    /// Embeddings a modality.
    pub size: usize,
    /// How much they count beside the batch.
    pub weight: f64,
    /// The share of training before which nothing is taken in.
    pub after: f64,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { size: 4096, weight: 1.0, after: 0.1 }
    }
}

/// `[classifier]`: classes told apart beside the loss.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ClassifierConfig {
    /// How much it counts over pictures.
    pub images: f64,
    /// How much it counts over texts.
    pub texts: f64,
    /// Whether both use the same weights.
    pub shared: bool,
    /// γ of γ · cosine.
    pub scale: f64,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self { images: 1.0, texts: 0.0, shared: true, scale: 16.0 }
    }
}

impl LossConfig {
    /// Its name for the record, such as `triplet`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Contrastive { .. } => "contrastive",
            Self::Triplet { .. } => "triplet",
            Self::SmoothMax { .. } => "smooth-max",
            Self::InfoNce { .. } => "info-nce",
            Self::NPair { .. } => "n-pair",
            Self::Quadruplet { .. } => "quadruplet",
            Self::Margin { .. } => "margin",
            Self::Magnet { .. } => "magnet",
            Self::Prototypes { .. } => "prototypes",
        }
    }

    /// Its margin, if it has one.
    pub fn margin(&self) -> Option<f64> {
        match *self {
            Self::Contrastive { margin, .. }
            | Self::Triplet { margin, .. }
            | Self::SmoothMax { margin, .. }
            | Self::Quadruplet { margin, .. } => Some(margin),
            Self::Margin { alpha, .. } | Self::Magnet { alpha, .. } => Some(alpha),
            Self::InfoNce { .. } | Self::NPair { .. } | Self::Prototypes { .. } => None,
        }
    }

    /// What would be taken for another loss; other ranges are the objective's.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Triplet { temperature, .. } => {
                share("loss.temperature", *temperature, 0.0, f64::MAX)
            }
            _ => Ok(()),
        }
    }

    fn loss(&self) -> Loss {
        let distance = |d: DistanceConfig| match d {
            DistanceConfig::Cosine => metric::Distance::Cosine,
            DistanceConfig::SquaredEuclidean => metric::Distance::SquaredEuclidean,
            DistanceConfig::Euclidean => metric::Distance::Euclidean,
        };
        match *self {
            Self::Contrastive { distance: d, squared, margin, balanced } => {
                let form = if squared { metric::Form::Hadsell } else { metric::Form::Linear };
                Loss::Contrastive(metric::Contrastive {
                    distance: distance(d),
                    form,
                    margin,
                    balanced,
                })
            }
            Self::Triplet { distance: d, margin, temperature, reduction } => {
                let shape = match temperature > 0.0 {
                    true => metric::Shape::Soft { temperature },
                    false => metric::Shape::Hinge,
                };
                let reduction = match reduction {
                    ReductionConfig::Sum => metric::Reduction::Sum,
                    ReductionConfig::Mean => metric::Reduction::Mean,
                    ReductionConfig::NonZero => metric::Reduction::NonZero,
                };
                Loss::Triplet(metric::Triplet { distance: distance(d), shape, margin, reduction })
            }
            Self::SmoothMax { margin, temperature } => {
                Loss::SmoothMax(metric::SmoothMax { margin, temperature })
            }
            Self::InfoNce { scale, learned, all_positives } => {
                Loss::InfoNce { options: metric::InfoNce { scale, all_positives }, learned }
            }
            Self::NPair { penalty } => Loss::NPair(metric::NPair { penalty }),
            Self::Quadruplet { margin, other_margin } => {
                Loss::Quadruplet(metric::Quadruplet { margin, other_margin })
            }
            Self::Margin { beta, alpha, learned } => {
                Loss::Margin { options: metric::Margin { beta, alpha }, learned }
            }
            Self::Magnet { alpha, clusters, refresh } => {
                Loss::Magnet(MagnetOptions { loss: metric::Magnet { alpha }, clusters, refresh })
            }
            Self::Prototypes { scale } => Loss::Prototypes(metric::Prototypes { scale }),
        }
    }
}

/// The options of the whole objective. `classes` is how many the data has.
pub(super) fn objective(config: &super::Config, classes: usize) -> ObjectiveOptions {
    let SelectionConfig { negatives, k, warm_up, until } = config.selection;
    let sides = match config.sides {
        Some(s) => Sides {
            image_to_text: s.image_to_text,
            text_to_image: s.text_to_image,
            image_to_image: s.image_to_image,
            text_to_text: s.text_to_text,
        },
        None if config.text.is_none() || matches!(config.loss, LossConfig::Magnet { .. }) => {
            Sides::IMAGES
        }
        None => Sides::BOTH_WAYS,
    };
    ObjectiveOptions {
        loss: config.loss.loss(),
        selection: match negatives {
            Negatives::All => Selection::All,
            Negatives::Random => Selection::Random,
            Negatives::SemiHard => Selection::SemiHard,
            Negatives::Hard => Selection::Hard,
            Negatives::KHardest => Selection::KHardest(k),
            Negatives::DistanceWeighted => Selection::DistanceWeighted,
        },
        curriculum: (warm_up > 0.0 || until > 0.0).then_some(Curriculum {
            warm_up,
            ramp: if until > 0.0 { Ramp::Shrink { until } } else { Ramp::Switch },
        }),
        sides,
        memory: config.memory.map(|m| MemoryOptions {
            size: m.size,
            weight: m.weight,
            after: m.after,
        }),
        classifier: config.classifier.map(|c| Classifier {
            classes,
            images: c.images,
            texts: c.texts,
            shared: c.shared,
            scale: c.scale,
        }),
    }
}
