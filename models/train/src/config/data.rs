//! What of the pairs is used, and how it comes in batches.

use serde::{Deserialize, Serialize};

use super::{ConfigError, at_least, share};
use crate::data;

/// Which pictures make up a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Batches {
    /// Any, each once an epoch.
    #[default]
    Shuffled,
    /// `per-group` pictures of each of batch / per-group groups: what losses
    /// need that compare pictures with pictures.
    ByGroup,
    /// The same by class.
    ByClass,
}

/// How features are kept on disk and in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrecisionConfig {
    /// 16 bits.
    Half,
    /// 32 bits.
    #[default]
    Single,
}

/// How often which words stand for a picture; shares relative to one another,
/// but for `pseudo`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct WordsConfig {
    /// One of the whole captions.
    pub caption: f32,
    /// Several keywords in a row.
    pub joined: f32,
    /// A single keyword.
    pub keyword: f32,
    /// How often the base's own surest class name replaces them; needs `names`.
    pub pseudo: f32,
    /// How sure the base must be of it.
    pub pseudo_least: f32,
    /// The name of the base's output with one score a class.
    pub pseudo_output: String,
    /// Names of those classes, one a line: a file, relative to the working
    /// folder; the base's vocabulary if empty.
    pub names: String,
}

impl Default for WordsConfig {
    fn default() -> Self {
        Self {
            caption: 0.6,
            joined: 0.2,
            keyword: 0.2,
            pseudo: 0.0,
            pseudo_least: 0.35,
            pseudo_output: "logits".to_owned(),
            names: String::new(),
        }
    }
}

/// How far an altered view may go from its picture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct AugmentConfig {
    /// Altered views of each picture beside itself; for frozen towers they are
    /// computed once and kept. Towers of their own see a new one each epoch
    /// where this is over 0.
    pub views: u32,
    /// The least part of each side that is kept.
    pub crop: f32,
    /// The least size of the picture on its square.
    pub scale: f32,
    /// Turned by up to this many degrees either way.
    pub degrees: f32,
    /// Brightness, contrast and saturation change by up to this factor.
    pub colour: f32,
    /// Chance of a mirrored view.
    pub mirror: f32,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        let data::Augment { crop, scale, degrees, colour, mirror } = data::Augment::default();
        Self { views: 0, crop, scale, degrees, colour, mirror }
    }
}

/// `[data]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct DataConfig {
    /// The share of pictures held out to choose by, where the file names no
    /// splits: whole groups.
    pub validation: f64,
    /// Pictures a batch.
    pub batch: usize,
    /// Which go together.
    pub batches: Batches,
    /// Pictures of a group in a batch.
    pub per_group: usize,
    /// Texts of other pictures with a cosine over this (by the base's text side)
    /// are no negatives; 1 or more: all are.
    pub near: f32,
    /// Which words stand for a picture.
    pub words: WordsConfig,
    /// Altered views.
    pub augment: AugmentConfig,
    /// How features are kept.
    pub precision: PrecisionConfig,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            validation: 0.2,
            batch: 512,
            batches: Batches::Shuffled,
            per_group: 4,
            near: 0.85,
            words: WordsConfig::default(),
            augment: AugmentConfig::default(),
            precision: PrecisionConfig::Single,
        }
    }
}

impl DataConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        at_least("data.batch", self.batch, 2)?;
        at_least("data.per-group", self.per_group, 2)?;
        if self.batches != Batches::Shuffled && self.batch / self.per_group < 2 {
            return Err(ConfigError::value(
                "data.batch",
                format!("at least {} (two groups of per-group)", 2 * self.per_group),
                self.batch,
            ));
        }
        share("data.validation", self.validation, 0.0, 0.8)?;
        share("data.near", f64::from(self.near), -1.0, f64::INFINITY)?;
        let w = &self.words;
        for (name, value) in [
            ("data.words.caption", w.caption),
            ("data.words.joined", w.joined),
            ("data.words.keyword", w.keyword),
        ] {
            share(name, f64::from(value), 0.0, 1e6)?;
        }
        if w.caption + w.joined + w.keyword <= 0.0 {
            return Err(ConfigError::value(
                "data.words",
                "a share over 0 for caption, joined or keyword",
                "none",
            ));
        }
        share("data.words.pseudo", f64::from(w.pseudo), 0.0, 1.0)?;
        share("data.words.pseudo-least", f64::from(w.pseudo_least), 0.0, 1.0)?;
        let a = &self.augment;
        share("data.augment.crop", f64::from(a.crop), 0.1, 1.0)?;
        share("data.augment.scale", f64::from(a.scale), 0.1, 1.0)?;
        share("data.augment.degrees", f64::from(a.degrees), 0.0, 45.0)?;
        share("data.augment.colour", f64::from(a.colour), 0.0, 0.9)?;
        share("data.augment.mirror", f64::from(a.mirror), 0.0, 1.0)
    }

    /// How altered views are made.
    pub fn augment(&self) -> data::Augment {
        let AugmentConfig { crop, scale, degrees, colour, mirror, .. } = self.augment;
        data::Augment { crop, scale, degrees, colour, mirror }
    }

    /// How features are kept.
    pub fn precision(&self) -> data::Precision {
        match self.precision {
            PrecisionConfig::Half => data::Precision::Half,
            PrecisionConfig::Single => data::Precision::Single,
        }
    }

    /// Which words stand for a picture.
    pub fn words(&self) -> data::TextShares {
        let WordsConfig { caption, joined, keyword, pseudo, .. } = self.words;
        data::TextShares { caption, joined, keyword, pseudo }
    }
}
