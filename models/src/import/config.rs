//! Given the `config.json` of an export, which family of models is it, and what does it
//! say of sizes?

use std::path::Path;

use serde::Deserialize;

use super::refusal::{Refusal, json};

/// Which kind of model it is: that decides which output is the embedding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// CLIP and what is built like it: outputs are projected.
    Clip,
    /// SigLIP: what is pooled is the embedding.
    Siglip,
    /// As open_clip has it.
    OpenClip,
    /// Another, by its name.
    Other(String),
}

impl Family {
    /// What names of spaces begin with.
    pub(super) fn word(&self) -> &str {
        match self {
            Self::Clip => "clip",
            Self::Siglip => "siglip",
            Self::OpenClip => "open-clip",
            Self::Other(_) => "model",
        }
    }

    /// A phrase for one sentence about the model.
    pub(super) fn phrase(&self) -> String {
        match self {
            Self::Clip => "CLIP".into(),
            Self::Siglip => "SigLIP".into(),
            Self::OpenClip => "open_clip".into(),
            Self::Other(name) => name.clone(),
        }
    }
}

/// What `config.json` says that matters here.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) family: Family,
    /// Numbers of an embedding.
    pub(super) dim: Option<usize>,
    /// The most tokens of a text.
    pub(super) context: Option<usize>,
    /// Rows of the table of tokens.
    pub(super) vocabulary: Option<usize>,
    pub(super) pad_id: Option<u32>,
    pub(super) eos_id: Option<u32>,
    /// The side of a picture.
    pub(super) side: Option<u32>,
    /// Texts are brought to small letters without punctuation first.
    pub(super) canonical: bool,
}

/// As transformers writes it.
#[derive(Deserialize)]
struct Transformers {
    model_type: String,
    projection_dim: Option<usize>,
    text_config: Option<TextConfig>,
    vision_config: Option<VisionConfig>,
    /// A text model alone has these here.
    max_position_embeddings: Option<usize>,
    vocab_size: Option<usize>,
    pad_token_id: Option<u32>,
}

#[derive(Default, Deserialize)]
struct TextConfig {
    max_position_embeddings: Option<usize>,
    vocab_size: Option<usize>,
    pad_token_id: Option<u32>,
    eos_token_id: Option<u32>,
    projection_size: Option<usize>,
    hidden_size: Option<usize>,
}

#[derive(Default, Deserialize)]
struct VisionConfig {
    image_size: Option<u32>,
}

/// As open_clip writes it.
#[derive(Deserialize)]
struct OpenClip {
    embed_dim: usize,
    vision_cfg: OpenVision,
    text_cfg: OpenText,
}

#[derive(Deserialize)]
struct OpenVision {
    image_size: Option<Side>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Side {
    One(u32),
    Two([u32; 2]),
}

#[derive(Deserialize)]
struct OpenText {
    context_length: Option<usize>,
    vocab_size: Option<usize>,
    #[serde(default)]
    tokenizer_kwargs: OpenTokenizer,
}

#[derive(Default, Deserialize)]
struct OpenTokenizer {
    clean: Option<String>,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self, Refusal> {
        let value: serde_json::Value = json(path, "the model's configuration")?;
        // open_clip_config.json has the model one level below.
        let inner = value.get("model_cfg").unwrap_or(&value);
        let wrong = |e: serde_json::Error| {
            let expected = "a config.json of transformers (model_type, text_config, vision_config) or of open_clip (embed_dim, vision_cfg, text_cfg)";
            Refusal::new(
                path,
                expected,
                e.to_string(),
                "fetch the config.json that belongs to the graphs",
            )
        };
        if inner.get("embed_dim").is_some() {
            return OpenClip::deserialize(inner).map_err(wrong).and_then(|c| c.check(path));
        }
        Transformers::deserialize(inner).map_err(wrong).map(Transformers::check)
    }
}

impl Transformers {
    fn check(self) -> Config {
        let family = match self.model_type.as_str() {
            "clip" | "chinese_clip" | "clip_vision_model" | "clip_text_model" => Family::Clip,
            "siglip" | "siglip2" => Family::Siglip,
            other => Family::Other(other.to_owned()),
        };
        let text = self.text_config.unwrap_or_default();
        let dim = match family {
            Family::Siglip => text.projection_size.or(text.hidden_size),
            _ => self.projection_dim,
        };
        Config {
            family,
            dim,
            context: text.max_position_embeddings.or(self.max_position_embeddings),
            vocabulary: text.vocab_size.or(self.vocab_size),
            pad_id: text.pad_token_id.or(self.pad_token_id),
            eos_id: text.eos_token_id,
            side: self.vision_config.and_then(|v| v.image_size),
            canonical: false,
        }
    }
}

impl OpenClip {
    fn check(self, path: &Path) -> Result<Config, Refusal> {
        let side = match self.vision_cfg.image_size {
            None => None,
            Some(Side::One(side)) => Some(side),
            Some(Side::Two([a, b])) if a == b => Some(a),
            Some(Side::Two([a, b])) => {
                let got = format!("{a} × {b}");
                let next = "only square inputs are supported so far";
                return Err(Refusal::new(path, "a square image_size", got, next));
            }
        };
        let canonical = match self.text_cfg.tokenizer_kwargs.clean.as_deref() {
            None | Some("whitespace" | "lower") => false,
            Some("canonicalize") => true,
            Some(other) => {
                let expected = "tokenizer_kwargs.clean of whitespace, lower or canonicalize";
                let next = "how its texts are cleaned is not known here";
                return Err(Refusal::new(path, expected, format!("{other:?}"), next));
            }
        };
        Ok(Config {
            family: Family::OpenClip,
            dim: Some(self.embed_dim),
            context: self.text_cfg.context_length,
            vocabulary: self.text_cfg.vocab_size,
            pad_id: None,
            eos_id: None,
            side,
            canonical,
        })
    }
}
