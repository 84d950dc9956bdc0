//! Given a recipe (a TOML file), what is to be done? `recipes/README.md`
//! documents every key; each recipe beside it is read and run by a test.

mod data;
mod loss;
mod sides;
mod start;
mod training;

use std::fmt::Display;

use ekphrasis_metric::{LossError, Objective, ObjectiveOptions};
use serde::{Deserialize, Serialize};

pub use data::{AugmentConfig, Batches, DataConfig, PrecisionConfig, WordsConfig};
pub use loss::{
    ClassifierConfig, DistanceConfig, LossConfig, MemoryConfig, Negatives, ReductionConfig,
    SelectionConfig, SidesConfig,
};
pub use sides::{ImageSide, TextSide};
pub use start::{StartConfig, StartKind};
pub use training::{Optimiser, PublishConfig, ScheduleShape, StorageConfig, Training};

/// The recipe that `ek train` uses without `--config`.
pub const FINETUNE: &str = include_str!("../../recipes/finetune.toml");

/// A recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Everything random follows from it.
    pub seed: u64,
    /// Pictures and words.
    pub data: DataConfig,
    /// What is trained on the image side.
    pub image: ImageSide,
    /// What is trained on the text side.
    pub text: TextSide,
    /// Where training starts.
    pub start: StartConfig,
    /// What is asked of the embeddings.
    pub loss: LossConfig,
    /// Which negatives, for losses of pairs and triplets.
    pub selection: SelectionConfig,
    /// Which sides count; left away: see [`SidesConfig`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sides: Option<SidesConfig>,
    /// Negatives from earlier batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryConfig>,
    /// Classes told apart beside the loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classifier: Option<ClassifierConfig>,
    /// The loop.
    pub training: Training,
    /// How gradients change weights.
    pub optimiser: Optimiser,
    /// What is published at the end.
    pub publish: PublishConfig,
}

/// Why a recipe cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No TOML, an unknown key, or a value of another type; with the line.
    #[error("{0}")]
    Syntax(String),
    /// A value out of its range.
    #[error("{key}: expected {expected}, got {got}")]
    Value {
        /// The key, such as `data.batch`.
        key: String,
        /// What would do.
        expected: String,
        /// What is there.
        got: String,
    },
    /// Options of the loss, selection or sides that exclude each other.
    #[error("loss: {0}")]
    Loss(String),
}

impl ConfigError {
    pub(crate) fn value(key: &str, expected: impl Display, got: impl Display) -> Self {
        Self::Value { key: key.to_owned(), expected: expected.to_string(), got: got.to_string() }
    }
}

pub(crate) fn at_least(key: &str, got: usize, least: usize) -> Result<(), ConfigError> {
    if got < least {
        return Err(ConfigError::value(key, format!("at least {least}"), got));
    }
    Ok(())
}

/// `low <= got <= high`; refuses NaN.
pub(crate) fn share(key: &str, got: f64, low: f64, high: f64) -> Result<(), ConfigError> {
    if !(low..=high).contains(&got) {
        return Err(ConfigError::value(key, format!("{low} to {high}"), got));
    }
    Ok(())
}

impl Config {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// `Syntax` with the line and, for an unknown key or name, those that exist;
    /// `Value` for what is out of range or does not go together.
    pub fn read(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)
            .map_err(|e| ConfigError::Syntax(e.to_string().trim().to_owned()))?;
        config.check()?;
        Ok(config)
    }

    /// What is trained, as part of a sentence; `base` is what stays frozen.
    pub fn sides(&self, base: &str) -> String {
        let own = self.image.reads_pixels();
        let image = if own { "a small image tower" } else { "an image head" };
        let text = match (&self.text, self.text.reads_tokens()) {
            (_, true) => " and a small text tower",
            (TextSide::None {} | TextSide::Frozen {}, _) => "",
            _ => " and a text head",
        };
        let frozen = if own && self.text.reads_tokens() { "with the tokenizer of" } else { "on" };
        format!("{image}{text} {frozen} {base}")
    }

    /// Has "embedding" in `image.base` and `image.features` mean the output that `base`
    /// names as its embedding.
    pub fn on(&mut self, base: &ekphrasis_models::Manifest) {
        self.image.named_as_in(&base.image().output);
    }

    /// The recipe as text, every key written out.
    pub fn write(&self) -> String {
        toml::to_string(self).expect("names and numbers are TOML")
    }

    /// The options of the objective, for data with this many classes.
    pub fn objective(&self, classes: usize) -> ObjectiveOptions {
        loss::objective(self, classes)
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.data.check()?;
        self.image.check()?;
        self.text.check()?;
        self.training.check()?;
        self.optimiser.check()?;
        if self.training.chunk > 0 && matches!(self.image, ImageSide::Cnn { .. }) {
            return Err(ConfigError::value(
                "training.chunk",
                "0 where image.kind = \"cnn\", whose batch norm needs the whole batch (\"vit\" has none)",
                self.training.chunk,
            ));
        }
        self.publish.check()?;
        self.loss.check()?;
        if self.data.words.pseudo > 0.0 && self.image.reads_pixels() {
            return Err(ConfigError::value(
                "data.words.pseudo",
                "0 where image.kind is \"cnn\" or \"vit\": class names come from a frozen base's output",
                self.data.words.pseudo,
            ));
        }
        if self.text.is_none() {
            let asked = [
                ("data.words.pseudo", f64::from(self.data.words.pseudo)),
                ("classifier.texts", self.classifier.map_or(0.0, |c| c.texts)),
            ];
            if let Some((key, got)) = asked.into_iter().find(|(_, value)| *value != 0.0) {
                return Err(ConfigError::value(key, "0 where text.kind is \"none\"", got));
            }
        }
        let loss = |e: LossError| ConfigError::Loss(e.to_string());
        Objective::new(self.objective(2), 2, 0).map_err(loss)?;
        let sides = self.objective(2).sides;
        let crosses = sides.image_to_text + sides.text_to_image + sides.text_to_text > 0.0;
        if self.text.is_none() && crosses {
            return Err(ConfigError::value(
                "text.kind",
                "a text side, which [sides] asks for",
                "none",
            ));
        }
        self.start.check(&self.image, &self.text)?;
        let own = |dim| (dim > 0).then_some(dim);
        let image = match self.image {
            ImageSide::Mlp { dim, .. } | ImageSide::Linear { dim, .. } => own(dim),
            ImageSide::Cnn { dim, .. } | ImageSide::Vit { dim, .. } => own(dim),
            ImageSide::Frozen { .. } => None,
        };
        let text = match self.text {
            TextSide::Map { dim } | TextSide::Transformer { dim, .. } => own(dim),
            _ => None,
        };
        if let (Some(image), Some(text)) = (image, text)
            && image != text
        {
            return Err(ConfigError::value("text.dim", format!("image.dim = {image}"), text));
        }
        let fixed = matches!(self.text, TextSide::Frozen {} | TextSide::None {});
        if fixed && matches!(self.image, ImageSide::Frozen { .. }) {
            return Err(ConfigError::value(
                "image.kind",
                "something to train on one side",
                "frozen on both",
            ));
        }
        Ok(())
    }
}
