//! Given the files of a trained model, what does its `model.toml` say?

use std::collections::BTreeMap;

use ekphrasis_embed::{ChannelOrder, Preprocess};
use ekphrasis_models::{Clean, Padding, sha256_hex};
use serde::Serialize;

use super::error::ExportError;
use super::publish::About;
use super::tower::{ImageTower, PIXELS, TextTower};

pub(super) const IMAGE: &str = "image.onnx";
pub(super) const TEXT: &str = "text.onnx";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const WORDS: &str = "vocabulary.txt";
pub(super) const VECTORS: &str = "vocabulary.i8";
pub(super) const CARD: &str = "CARD.md";

/// The parts of a manifest that the towers decide.
pub(super) struct Parts<'a> {
    pub(super) pair: &'a str,
    pub(super) base: Option<&'a str>,
    pub(super) space: &'a str,
    pub(super) dim: usize,
    pub(super) image_output: &'a str,
    pub(super) text_output: &'a str,
    /// Whether there is a vocabulary.
    pub(super) vocabulary: bool,
}

#[derive(Serialize)]
struct Manifest<'a> {
    format: i64,
    name: &'a str,
    summary: &'a str,
    license: &'a str,
    languages: &'a [String],
    space: Space<'a>,
    image: Image<'a>,
    text: Text<'a>,
    labels: Labels<'a>,
    training: Training<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vocabulary: Option<Vocabulary>,
    files: BTreeMap<&'static str, File>,
}

#[derive(Serialize)]
struct Space<'a> {
    id: &'a str,
    dim: usize,
}

#[derive(Serialize)]
struct Image<'a> {
    file: &'static str,
    input: &'a str,
    output: &'a str,
    preprocess: Spec,
}

#[derive(Serialize)]
struct Spec {
    size: u32,
    resize: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fill: Option<[u8; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    edge: Option<u32>,
    interpolation: &'static str,
    mean: [f32; 3],
    std: [f32; 3],
    #[serde(skip_serializing_if = "Option::is_none")]
    channels: Option<&'static str>,
}

#[derive(Serialize)]
struct Text<'a> {
    file: &'static str,
    tokenizer: &'static str,
    output: &'a str,
    context: usize,
    padding: &'static str,
    pad_token: &'a str,
    pooling: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    clean: Option<&'static str>,
}

#[derive(Serialize)]
struct Labels<'a> {
    templates: &'a [String],
    logit_scale: f32,
}

#[derive(Serialize)]
struct Training<'a> {
    pair: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    base: Option<&'a str>,
    loss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    data: &'a str,
}

#[derive(Serialize)]
struct Vocabulary {
    words: &'static str,
    vectors: &'static str,
}

#[derive(Serialize)]
struct File {
    bytes: usize,
    sha256: String,
}

/// The text of `model.toml` for these files.
pub(super) fn manifest(
    about: &About<'_>,
    parts: &Parts<'_>,
    image: &ImageTower<'_>,
    text: &TextTower<'_>,
    files: &BTreeMap<&'static str, Vec<u8>>,
) -> Result<String, ExportError> {
    let input = image.manifest().map_or(PIXELS, |tower| &tower.input);
    let preprocess = match image {
        ImageTower::Network { preprocess, .. } => spec(preprocess),
        ImageTower::Kept(base) | ImageTower::Head { base, .. } => {
            spec(&base.manifest().image().preprocess)
        }
    };
    let manifest = Manifest {
        format: 1,
        name: about.name,
        summary: about.summary,
        license: about.license,
        languages: about.languages,
        space: Space { id: parts.space, dim: parts.dim },
        image: Image { file: IMAGE, input, output: parts.image_output, preprocess },
        text: text_section(text, parts.text_output),
        labels: Labels { templates: about.templates, logit_scale: about.logit_scale },
        training: Training {
            pair: parts.pair,
            base: parts.base,
            loss: about.loss,
            margin: about.margin,
            data: about.data,
        },
        vocabulary: parts.vocabulary.then_some(Vocabulary { words: WORDS, vectors: VECTORS }),
        files: files
            .iter()
            .map(|(&name, bytes)| (name, File { bytes: bytes.len(), sha256: sha256_hex(bytes) }))
            .collect(),
    };
    Ok(format!("# Written by `ek train`.\n{}", toml::to_string(&manifest)?))
}

fn text_section<'a>(tower: &'a TextTower<'_>, output: &'a str) -> Text<'a> {
    let (context, padding, pad_token, pooling, clean) = match tower {
        TextTower::Kept(base) | TextTower::Head { base, .. } => {
            let text = base.manifest().text();
            let padding = match text.padding {
                Padding::Longest => "longest",
                Padding::Context => "context",
            };
            let clean = match text.clean {
                Clean::None => None,
                Clean::LowerCase => Some("lower-case"),
                Clean::Canonical => Some("canonical"),
            };
            (text.context, padding, text.pad_token.as_str(), text.pooling.as_str(), clean)
        }
        TextTower::Network { network, pad_token, .. } => {
            (network.longest().unwrap_or(0), "longest", *pad_token, "mean", None)
        }
    };
    Text { file: TEXT, tokenizer: TOKENIZER, output, context, padding, pad_token, pooling, clean }
}

fn spec(preprocess: &Preprocess) -> Spec {
    let resize = preprocess.resize();
    let (fill, edge) = resize.fill_and_edge();
    let channels = preprocess.channels();
    Spec {
        size: preprocess.size(),
        resize: resize.name(),
        fill,
        edge,
        interpolation: preprocess.interpolation().name(),
        mean: preprocess.mean(),
        std: preprocess.std(),
        channels: (channels != ChannelOrder::default()).then(|| channels.name()),
    }
}
