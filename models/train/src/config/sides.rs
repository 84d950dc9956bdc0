//! What is trained on each side.

use serde::{Deserialize, Serialize};

use super::{ConfigError, at_least, share};

/// `[image]`: `kind` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum ImageSide {
    /// A head on the frozen base: normalise(base (· map) + linear(GELU(linear(LayerNorm(features))))).
    Mlp {
        /// The output of the base that is added to; "" for none.
        #[serde(default = "embedding")]
        base: String,
        /// Whether the base goes through a trained map that starts as the identity.
        #[serde(default)]
        map: bool,
        /// Outputs of the base that are read, joined.
        #[serde(default = "pooled")]
        features: Vec<String>,
        /// Numbers between the layers.
        #[serde(default = "hidden")]
        hidden: usize,
        /// Hidden layers.
        #[serde(default = "one")]
        depth: usize,
        /// Share of hidden numbers dropped in training.
        #[serde(default)]
        dropout: f32,
        /// Share of features dropped in training.
        #[serde(default)]
        input_dropout: f32,
        /// The last layer's first values, relative to the usual ones; 0 starts at the base.
        #[serde(default)]
        start: f32,
        /// Width of the embedding; 0: the base's.
        #[serde(default)]
        dim: usize,
    },
    /// A linear head: normalise(base (· map) + linear(features)). Without a base, and
    /// with `loss` on distances, a Mahalanobis metric.
    Linear {
        /// The output of the base that is added to; "" for none.
        #[serde(default = "embedding")]
        base: String,
        /// Whether the base goes through a trained map that starts as the identity.
        #[serde(default)]
        map: bool,
        /// Outputs of the base that are read, joined; none: only the map is trained.
        #[serde(default = "pooled")]
        features: Vec<String>,
        /// Whether an offset is added.
        #[serde(default = "yes")]
        bias: bool,
        /// Share of features dropped in training.
        #[serde(default)]
        input_dropout: f32,
        /// First values, relative to the usual ones; 0 starts at the base.
        #[serde(default)]
        start: f32,
        /// Width of the embedding; 0: the base's.
        #[serde(default)]
        dim: usize,
    },
    /// The base as it is.
    Frozen {
        /// The output of the base.
        #[serde(default = "embedding")]
        base: String,
    },
    /// A small convolutional network of its own, trained from scratch.
    Cnn {
        /// Pixels a side of its input, 16 to 128.
        #[serde(default = "side")]
        side: usize,
        /// Channels of each block; the size halves from block to block.
        #[serde(default = "widths")]
        widths: Vec<usize>,
        /// Share of the last numbers dropped in training.
        #[serde(default)]
        dropout: f32,
        /// Width of the embedding.
        #[serde(default = "dim")]
        dim: usize,
    },
    /// A small vision transformer of its own, trained from scratch.
    Vit {
        /// Pixels a side of its input, 16 to 128.
        #[serde(default = "side")]
        side: usize,
        /// Pixels a side of a patch; divides `side`.
        #[serde(default = "patch")]
        patch: usize,
        /// Numbers in a token.
        #[serde(default = "width")]
        width: usize,
        /// Blocks.
        #[serde(default = "depth")]
        depth: usize,
        /// Attention heads; divide `width`.
        #[serde(default = "heads")]
        heads: usize,
        /// Share of numbers dropped in training.
        #[serde(default)]
        dropout: f32,
        /// Width of the embedding.
        #[serde(default = "dim")]
        dim: usize,
    },
}

/// `[text]`: `kind` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum TextSide {
    /// A linear residual on the frozen base: normalise(base + linear(base)).
    Linear {
        /// Whether an offset is added.
        #[serde(default = "yes")]
        bias: bool,
        /// First values, relative to the usual ones; 0 starts at the base.
        #[serde(default)]
        start: f32,
    },
    /// An MLP residual on the frozen base.
    Mlp {
        /// Numbers between the layers.
        #[serde(default = "hidden")]
        hidden: usize,
        /// Hidden layers.
        #[serde(default = "one")]
        depth: usize,
        /// Share of hidden numbers dropped in training.
        #[serde(default)]
        dropout: f32,
        /// First values of the last layer, relative to the usual ones.
        #[serde(default)]
        start: f32,
    },
    /// A linear map of the frozen base into a space of another width, trained from scratch.
    Map {
        /// Width of the embedding.
        #[serde(default = "dim")]
        dim: usize,
    },
    /// The base as it is.
    Frozen {},
    /// A small transformer of its own over the base's tokenizer, trained from scratch.
    Transformer {
        /// Numbers in a token.
        #[serde(default = "width")]
        width: usize,
        /// Blocks.
        #[serde(default = "depth")]
        depth: usize,
        /// Attention heads; divide `width`.
        #[serde(default = "heads")]
        heads: usize,
        /// Tokens of the longest text; what is longer is cut.
        #[serde(default = "longest")]
        longest: usize,
        /// Share of numbers dropped in training.
        #[serde(default)]
        dropout: f32,
        /// Width of the embedding.
        #[serde(default = "dim")]
        dim: usize,
    },
    /// No texts: pictures are compared with pictures, and the base's text side is
    /// kept as it is.
    None {},
}

fn embedding() -> String {
    "embedding".to_owned()
}
fn pooled() -> Vec<String> {
    vec!["pooled".to_owned()]
}
fn yes() -> bool {
    true
}
fn one() -> usize {
    1
}
fn hidden() -> usize {
    1024
}
fn dim() -> usize {
    128
}
fn side() -> usize {
    48
}
fn widths() -> Vec<usize> {
    vec![24, 48, 96, 128]
}
fn patch() -> usize {
    8
}
fn width() -> usize {
    96
}
fn depth() -> usize {
    2
}
fn heads() -> usize {
    4
}
fn longest() -> usize {
    24
}

impl Default for ImageSide {
    fn default() -> Self {
        Self::Mlp {
            base: embedding(),
            map: false,
            features: pooled(),
            hidden: hidden(),
            depth: 1,
            dropout: 0.2,
            input_dropout: 0.0,
            start: 0.0,
            dim: 0,
        }
    }
}

impl Default for TextSide {
    fn default() -> Self {
        Self::Linear { bias: true, start: 0.0 }
    }
}

fn transformer(side: &str, width: usize, depth: usize, heads: usize) -> Result<(), ConfigError> {
    at_least(&format!("{side}.width"), width, 4)?;
    at_least(&format!("{side}.depth"), depth, 1)?;
    if heads == 0 || !width.is_multiple_of(heads) {
        return Err(ConfigError::value(
            &format!("{side}.heads"),
            format!("a number that divides width = {width}"),
            heads,
        ));
    }
    Ok(())
}

impl ImageSide {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let drop = |value: f32| share("image.dropout", f64::from(value), 0.0, 0.95);
        match self {
            Self::Mlp {
                base, map, features, hidden, depth, dropout, input_dropout, start, ..
            } => {
                at_least("image.hidden", *hidden, 1)?;
                at_least("image.depth", *depth, 1)?;
                at_least("image.features", features.len(), 1)?;
                drop(*dropout)?;
                share("image.input-dropout", f64::from(*input_dropout), 0.0, 0.95)?;
                based(base, *map, *start)
            }
            Self::Linear { base, map, features, input_dropout, start, .. } => {
                share("image.input-dropout", f64::from(*input_dropout), 0.0, 0.95)?;
                if features.is_empty() && !*map {
                    return Err(ConfigError::value(
                        "image.features",
                        "features, or map = true",
                        "neither",
                    ));
                }
                based(base, *map, if features.is_empty() { 1.0 } else { *start })
            }
            Self::Frozen { base } => {
                if base.is_empty() {
                    return Err(ConfigError::value("image.base", "the name of an output", "\"\""));
                }
                Ok(())
            }
            Self::Cnn { side, widths, dropout, dim } => {
                at_least("image.dim", *dim, 2)?;
                at_least("image.widths", widths.len(), 1)?;
                widths.iter().try_for_each(|w| at_least("image.widths", *w, 1))?;
                drop(*dropout)?;
                sides(*side)
            }
            Self::Vit { side, patch, width, depth, heads, dropout, dim } => {
                at_least("image.dim", *dim, 2)?;
                drop(*dropout)?;
                sides(*side)?;
                if *patch == 0 || !side.is_multiple_of(*patch) {
                    let expected = format!("a number that divides side = {side}");
                    return Err(ConfigError::value("image.patch", expected, patch));
                }
                transformer("image", *width, *depth, *heads)
            }
        }
    }

    /// "embedding" means the base's embedding, whatever its file calls that output, in
    /// `base` and in `features`: a model that was trained before has it under another
    /// name.
    pub(super) fn named_as_in(&mut self, output: &str) {
        let (base, features) = match self {
            Self::Mlp { base, features, .. } | Self::Linear { base, features, .. } => {
                (base, features.as_mut_slice())
            }
            Self::Frozen { base } => (base, &mut [][..]),
            Self::Cnn { .. } | Self::Vit { .. } => return,
        };
        let names = std::iter::once(base).chain(features).filter(|name| **name == embedding());
        names.for_each(|name| output.clone_into(name));
    }

    /// Whether it reads pixels rather than what a frozen base says.
    pub fn reads_pixels(&self) -> bool {
        matches!(self, Self::Cnn { .. } | Self::Vit { .. })
    }
}

fn sides(side: usize) -> Result<(), ConfigError> {
    if !(16..=128).contains(&side) {
        return Err(ConfigError::value("image.side", "16 to 128 pixels", side));
    }
    Ok(())
}

/// Without a base, layers that start at zero would stay there: all embeddings are 0 / √ε.
fn based(base: &str, map: bool, start: f32) -> Result<(), ConfigError> {
    share("image.start", f64::from(start), 0.0, 10.0)?;
    if base.is_empty() && map {
        return Err(ConfigError::value("image.map", "false where base = \"\"", true));
    }
    if base.is_empty() && start <= 0.0 {
        return Err(ConfigError::value(
            "image.start",
            "over 0 (such as 1) where base = \"\"",
            start,
        ));
    }
    Ok(())
}

impl TextSide {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Linear { start, .. } => share("text.start", f64::from(*start), 0.0, 10.0),
            Self::Mlp { hidden, depth, dropout, start } => {
                at_least("text.hidden", *hidden, 1)?;
                at_least("text.depth", *depth, 1)?;
                share("text.dropout", f64::from(*dropout), 0.0, 0.95)?;
                share("text.start", f64::from(*start), 0.0, 10.0)
            }
            Self::Map { dim } => at_least("text.dim", *dim, 2),
            Self::Transformer { width, depth, heads, longest, dropout, dim } => {
                at_least("text.dim", *dim, 2)?;
                at_least("text.longest", *longest, 4)?;
                share("text.dropout", f64::from(*dropout), 0.0, 0.95)?;
                transformer("text", *width, *depth, *heads)
            }
            Self::Frozen {} | Self::None {} => Ok(()),
        }
    }

    /// Whether it reads tokens rather than what a frozen base says.
    pub fn reads_tokens(&self) -> bool {
        matches!(self, Self::Transformer { .. })
    }

    /// Whether there are no texts at all.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None {})
    }
}
