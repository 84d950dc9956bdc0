//! Given the built files, what does `model.toml` say?

use std::collections::BTreeMap;
use std::path::Path;

use ekphrasis_models::MANIFEST_FILE;
use serde::Serialize;

use super::{DIM, efficientnet};
use crate::Result;
use crate::packages::sha256;

pub(super) const IMAGE: &str = "image.onnx";
pub(super) const TEXT: &str = "text.onnx";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const WORDS: &str = "vocabulary.txt";
pub(super) const VECTORS: &str = "vocabulary.f16";
/// Everything but the manifest.
pub(super) const FILES: [&str; 5] = [IMAGE, TEXT, TOKENIZER, WORDS, VECTORS];

/// Both were chosen by `lite --calibrate`; CARD.md has the figures.
const TEMPLATES: [&str; 1] = ["a photo of a {}"];
const LOGIT_SCALE: f64 = 12.0;

const SUMMARY: &str = "Finds everyday things in photographs from English words: a 1,000-class \
    photographic backbone joined to a sentence encoder; drawings weakly, and no colours, counts, \
    relations, text in pictures or people by name.";

#[derive(Serialize)]
struct Manifest {
    format: i64,
    name: &'static str,
    summary: &'static str,
    license: &'static str,
    languages: [&'static str; 1],
    space: Space,
    image: Image,
    text: Text,
    labels: Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    vocabulary: Option<Vocabulary>,
    files: BTreeMap<&'static str, File>,
}

#[derive(Serialize)]
struct Space {
    id: &'static str,
    dim: usize,
}

#[derive(Serialize)]
struct Image {
    file: &'static str,
    input: &'static str,
    output: &'static str,
    preprocess: Preprocess,
}

#[derive(Serialize)]
struct Preprocess {
    size: u32,
    resize: &'static str,
    fill: [u8; 3],
    interpolation: &'static str,
    mean: [f64; 3],
    std: [f64; 3],
}

#[derive(Serialize)]
struct Text {
    file: &'static str,
    tokenizer: &'static str,
    output: &'static str,
    context: usize,
    padding: &'static str,
    pad_token: &'static str,
    pooling: &'static str,
}

#[derive(Serialize)]
struct Labels {
    templates: [&'static str; 1],
    logit_scale: f64,
}

#[derive(Serialize)]
struct Vocabulary {
    words: &'static str,
    vectors: &'static str,
}

#[derive(Serialize)]
struct File {
    bytes: u64,
    sha256: String,
}

/// Writes the manifest for the files in `folder`, with or without the vocabulary.
pub(super) fn write(folder: &Path, vocabulary: bool) -> Result<()> {
    let manifest = Manifest {
        format: 1,
        name: "lite",
        summary: SUMMARY,
        license: "Apache-2.0",
        languages: ["en"],
        space: Space { id: "lite-1", dim: DIM },
        image: Image {
            file: IMAGE,
            input: "pixels",
            output: "embedding",
            preprocess: Preprocess {
                size: efficientnet::SIZE,
                resize: "pad",
                fill: [255; 3],
                interpolation: "bicubic",
                // (pixel − 127) / 128, on a scale of 0 to 1.
                mean: [127.0 / 255.0; 3],
                std: [128.0 / 255.0; 3],
            },
        },
        text: Text {
            file: TEXT,
            tokenizer: TOKENIZER,
            output: "embedding",
            context: 256,
            padding: "longest",
            pad_token: "[PAD]",
            pooling: "mean",
        },
        labels: Labels { templates: TEMPLATES, logit_scale: LOGIT_SCALE },
        vocabulary: vocabulary.then_some(Vocabulary { words: WORDS, vectors: VECTORS }),
        files: files(folder, if vocabulary { &FILES } else { &FILES[..3] })?,
    };
    let text = format!(
        "# Written by `cargo run -p ekphrasis-forge -- lite`; see CARD.md.\n{}",
        toml::to_string(&manifest)?
    );
    Ok(fs_err::write(folder.join(MANIFEST_FILE), text)?)
}

fn files(folder: &Path, names: &[&'static str]) -> Result<BTreeMap<&'static str, File>> {
    names
        .iter()
        .map(|&name| {
            let path = folder.join(name);
            let bytes = fs_err::metadata(&path)?.len();
            Ok((name, File { bytes, sha256: sha256(&path)? }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_can_read_what_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in FILES {
            fs_err::write(folder.path().join(name), name).expect("writable");
        }
        write(folder.path(), true).expect("written");
        let model = ekphrasis_models::Model::open(folder.path()).expect("readable");
        let manifest = model.manifest();
        assert_eq!(model.space().to_string(), "lite-1 (384-d)");
        assert_eq!(manifest.templates(), TEMPLATES);
        assert_eq!(manifest.files().len(), FILES.len());
        let pixels = ekphrasis_embed::Pixels::new(1, 1, vec![255, 127, 0]).expect("a pixel");
        let tensor = manifest.image().preprocess.tensor(&pixels).expect("any picture");
        let plane = tensor.data().len() / 3;
        for (channel, want) in [1.0, 0.0, -127.0 / 128.0].into_iter().enumerate() {
            assert!((tensor.data()[channel * plane] - want).abs() < 1e-6);
        }
    }
}
