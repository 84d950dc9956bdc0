//! How long, how fast, and what comes out.

use serde::{Deserialize, Serialize};

use super::{ConfigError, at_least, share};
use crate::export::Storage;
use crate::nn::AdamWOptions;
use crate::run::{Plan, Rates, Schedule, Shape};

/// `[training]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Training {
    /// Times through the pictures.
    pub epochs: u64,
    /// Epochs without a better score on the validation pictures before training
    /// stops; 0: it goes through.
    pub patience: u64,
    /// How much of the running average of weights stays a step, such as 0.99; the
    /// average is what is measured and published. 0: no average.
    pub average: f32,
    /// Pictures (and texts) of a batch that go through a tower at once: the gradients of
    /// the whole batch in the memory of so many, for a second pass through the tower.
    /// 0: all at once. Not for towers with batch norm (`image.kind = "cnn"`).
    pub chunk: usize,
    /// Seconds between checkpoints within an epoch.
    pub checkpoint_seconds: f64,
    /// How far to go from the first weights to the trained ones for what is
    /// published: of these shares the one that does best on the validation
    /// pictures; the first without any. Less than 1 keeps more of what the start
    /// knew of things that are not in the pairs.
    pub keep: Vec<f64>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 12,
            patience: 0,
            average: 0.0,
            chunk: 0,
            checkpoint_seconds: 30.0,
            keep: vec![1.0],
        }
    }
}

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleShape {
    /// It stays.
    Constant,
    /// Half a cosine down to the floor. With warm-up = 0.3 this is one-cycle training.
    #[default]
    Cosine,
    /// A straight line down to the floor.
    Linear,
}

/// `[optimiser]`: AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Optimiser {
    /// The learning rate at its height.
    pub rate: f32,
    /// The image side's, relative to it.
    pub image: f32,
    /// The text side's.
    pub text: f32,
    /// That of the loss's own parameters (temperature, β, prototypes, classifiers).
    pub loss: f32,
    /// Share of a weight lost a step, times the rate; not for offsets and scales.
    pub weight_decay: f32,
    /// How much of the first moment stays.
    pub beta1: f32,
    /// How much of the second moment stays.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Greatest common length of a step's gradients.
    pub clip: f32,
    /// Share of all steps in which the rate rises.
    pub warm_up: f64,
    /// What comes then.
    pub schedule: ScheduleShape,
    /// Where it ends, relative to its height.
    pub floor: f64,
}

impl Default for Optimiser {
    fn default() -> Self {
        Self {
            rate: 1e-3,
            image: 1.0,
            text: 1.0,
            loss: 1.0,
            weight_decay: 1e-2,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip: 2.0,
            warm_up: 0.1,
            schedule: ScheduleShape::Cosine,
            floor: 0.0,
        }
    }
}

/// How weights are kept in the published model. What is measured at the end, and
/// compared with the runtime, is the model with its weights rounded to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageConfig {
    /// 32 bits.
    #[default]
    Bits32,
    /// 16 bits.
    Bits16,
    /// 12 bits with a scale a column.
    Bits12,
    /// 8 bits with a scale a column.
    Bits8,
}

/// `[publish]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct PublishConfig {
    /// How trained weights are kept.
    pub storage: StorageConfig,
    /// What cosines are multiplied by before labels share out their probability; 0:
    /// the base's.
    pub logit_scale: f32,
    /// One sentence on the model.
    pub summary: String,
    /// Licence of the weights.
    pub license: String,
}

impl Default for PublishConfig {
    fn default() -> Self {
        Self {
            storage: StorageConfig::Bits32,
            logit_scale: 0.0,
            summary: "Trained on pairs of one's own with ek train.".to_owned(),
            license: "unstated".to_owned(),
        }
    }
}

impl PublishConfig {
    /// How trained weights are kept.
    pub fn storage(&self) -> Storage {
        match self.storage {
            StorageConfig::Bits32 => Storage::F32,
            StorageConfig::Bits16 => Storage::F16,
            StorageConfig::Bits12 => Storage::Bits12,
            StorageConfig::Bits8 => Storage::Bits8,
        }
    }

    /// What the published model's own file would be refused for.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (name, text) in [("publish.summary", &self.summary), ("publish.license", &self.license)]
        {
            if text.trim().is_empty() {
                return Err(ConfigError::value(name, "some text", format!("{text:?}")));
            }
        }
        share("publish.logit-scale", f64::from(self.logit_scale), 0.0, 1000.0)
    }
}

impl Training {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        at_least("training.epochs", self.epochs as usize, 1)?;
        at_least("training.keep", self.keep.len(), 1)?;
        self.keep.iter().try_for_each(|&keep| share("training.keep", keep, 0.0, 1.0))?;
        share("training.average", f64::from(self.average), 0.0, 0.999_999)?;
        share("training.checkpoint-seconds", self.checkpoint_seconds, 0.0, 1e9)
    }
}

impl Optimiser {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (name, value, low, high) in [
            ("optimiser.rate", self.rate, 1e-12, 10.0),
            ("optimiser.image", self.image, 0.0, 1e4),
            ("optimiser.text", self.text, 0.0, 1e4),
            ("optimiser.loss", self.loss, 0.0, 1e4),
            ("optimiser.weight-decay", self.weight_decay, 0.0, 100.0),
            ("optimiser.beta1", self.beta1, 0.0, 0.999_99),
            ("optimiser.beta2", self.beta2, 0.0, 0.999_999),
            ("optimiser.epsilon", self.epsilon, 1e-20, 1.0),
            ("optimiser.clip", self.clip, 1e-12, f32::MAX),
        ] {
            share(name, f64::from(value), low, f64::from(high))?;
        }
        share("optimiser.warm-up", self.warm_up, 0.0, 0.9)?;
        share("optimiser.floor", self.floor, 0.0, 1.0)
    }

    /// What the loop has to know.
    pub fn plan(&self, training: &Training, seed: u64) -> Plan {
        let over = |v: f32| (v > 0.0).then_some(v);
        Plan {
            seed,
            epochs: training.epochs,
            rates: Rates {
                image: self.rate * self.image,
                text: self.rate * self.text,
                loss: self.rate * self.loss,
            },
            schedule: Schedule {
                warm_up: self.warm_up,
                shape: match self.schedule {
                    ScheduleShape::Constant => Shape::Constant,
                    ScheduleShape::Cosine => Shape::Cosine,
                    ScheduleShape::Linear => Shape::Linear,
                },
                floor: self.floor,
            },
            optimiser: AdamWOptions {
                beta1: self.beta1,
                beta2: self.beta2,
                epsilon: self.epsilon,
                weight_decay: self.weight_decay,
            },
            chunk: (training.chunk > 0).then_some(training.chunk),
            clip: self.clip,
            average: over(training.average),
            patience: (training.patience > 0).then_some(training.patience),
            checkpoint_seconds: training.checkpoint_seconds,
        }
    }
}
