//! Given a built model, is it the network it was made from? Its outputs are
//! compared with golden ones from PyTorch, and below the bounds nothing is
//! published.

use std::collections::BTreeMap;
use std::path::Path;

use ekphrasis_embed::{Embedding, ImageEncoder, ImageTensor, Pixels, TextEncoder};
use ekphrasis_models::{Model, OrtImageEncoder, OrtTextEncoder, Runtime};
use serde::Deserialize;

use super::{CLASSES, REFERENCE, efficientnet};
use crate::Result;

/// The least cosine to a golden vector.
const LEAST_COSINE: f64 = 0.9999;
/// The least probability of "cat" for the photograph of a cat.
const LEAST_CAT: f64 = 0.8;
const LABELS: [&str; 4] = ["cat", "dog", "bicycle", "coffee"];

#[derive(Deserialize)]
struct GoldenTexts {
    items: Vec<GoldenText>,
}

#[derive(Deserialize)]
struct GoldenText {
    text: String,
    ids: Vec<i64>,
    n_ids: usize,
    embedding_384: Vec<f64>,
}

#[derive(Deserialize)]
struct GoldenImage {
    pooled_1280: Vec<f64>,
    top3: Vec<(usize, String, f64)>,
}

/// Prints the figures.
///
/// # Errors
/// If the model is below one of the bounds, or cannot be run.
pub(super) fn check(model: &Model, runtime: &Runtime, names: &[String]) -> Result<()> {
    let texts = model.ort_text_encoder(runtime, 1)?;
    let images = model.ort_image_encoder(runtime, 1)?;
    let text = text_parity(&texts)?;
    println!("text tower: cosine to the golden embeddings, least of {}", text.report());
    let image = image_parity(&images, names)?;
    println!("image tower: cosine to the golden features, least of {}", image.report());
    for least in [&text, &image] {
        if least.cosine <= LEAST_COSINE {
            let Least { cosine, of, .. } = least;
            return Err(format!("{of}: cosine {cosine}, expected over {LEAST_COSINE}").into());
        }
    }
    let probabilities = cat(model, &texts, &images)?;
    let shown = LABELS.iter().zip(&probabilities).map(|(label, p)| format!("{label} {p:.4}"));
    println!("the photograph of a cat: {}", shown.collect::<Vec<_>>().join(", "));
    if probabilities[0] <= LEAST_CAT {
        return Err(format!("expected cat over {LEAST_CAT}").into());
    }
    Ok(())
}

/// The worst of some comparisons.
struct Least {
    cosine: f64,
    of: String,
    count: usize,
}

impl Least {
    fn new() -> Self {
        Self { cosine: f64::INFINITY, of: String::new(), count: 0 }
    }

    fn add(&mut self, cosine: f64, of: &str) {
        self.count += 1;
        // NaN counts as the worst of all.
        if cosine.is_nan() || cosine < self.cosine {
            self.cosine = if cosine.is_nan() { f64::NEG_INFINITY } else { cosine };
            self.of = format!("{of:?}");
        }
    }

    fn report(&self) -> String {
        format!("{}: {:.6} ({})", self.count, self.cosine, self.of)
    }
}

fn cosine(a: &[f32], b: &[f64]) -> f64 {
    let dot = |x: &mut dyn Iterator<Item = (f64, f64)>| x.map(|(p, q)| p * q).sum::<f64>();
    let wide = || a.iter().map(|&v| f64::from(v));
    let ab = dot(&mut wide().zip(b.iter().copied()));
    let aa = dot(&mut wide().zip(wide()));
    let bb = dot(&mut b.iter().copied().zip(b.iter().copied()));
    ab / (aa.sqrt() * bb.sqrt())
}

fn golden<T: serde::de::DeserializeOwned>(name: &str) -> Result<T> {
    let path = Path::new(REFERENCE).join(name);
    let text = fs_err::read_to_string(&path)?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()).into())
}

fn text_parity(encoder: &OrtTextEncoder) -> Result<Least> {
    let golden: GoldenTexts = golden("minilm_golden.json")?;
    let mut least = Least::new();
    for item in &golden.items {
        let shown: String = item.text.chars().take(40).collect();
        let ids = encoder.token_ids(&item.text)?;
        // Long texts have only their first ids in the golden file.
        if ids.len() != item.n_ids || !ids.starts_with(&item.ids) {
            return Err(format!("{shown:?}: expected the ids {:?}, got {ids:?}", item.ids).into());
        }
        let got = encoder.embed_texts(&[&item.text])?;
        least.add(cosine(got[0].values(), &item.embedding_384), &shown);
    }
    Ok(least)
}

fn image_parity(encoder: &OrtImageEncoder, names: &[String]) -> Result<Least> {
    let golden: BTreeMap<String, GoldenImage> = golden("efficientnet_lite0_golden.json")?;
    let mut least = Least::new();
    for (name, item) in &golden {
        let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
        let png =
            Path::new(REFERENCE).join(format!("preprocessed/{stem}__efficientnet_lite0_224.png"));
        // Of the model's own size already, so that nothing is resized or padded.
        let tensor = tensor(encoder, &png)?;
        let outputs = encoder.outputs(&[tensor], &["pooled", "logits"])?;
        let [pooled, logits] = outputs.as_slice() else {
            return Err("the image tower has other outputs".into());
        };
        if pooled.len() != efficientnet::FEATURES || logits.len() != CLASSES {
            return Err(format!("{} features, {} logits", pooled.len(), logits.len()).into());
        }
        least.add(cosine(pooled, &item.pooled_1280), name);
        let best = (0..CLASSES).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
        let (want, want_name, _) = &item.top3[0];
        if best != *want || names[best] != *want_name {
            return Err(format!("{name}: expected {want_name}, got {}", names[best]).into());
        }
    }
    Ok(least)
}

/// A picture file as the image tower takes it.
pub(super) fn tensor(encoder: &OrtImageEncoder, path: &Path) -> Result<ImageTensor> {
    let decoded = ekphrasis_models::decode(&fs_err::read(path)?)
        .map_err(|e| format!("{}: {e}", path.display()))?;
    let pixels: &Pixels = &decoded.pixels;
    Ok(encoder.preprocess().tensor(pixels)?)
}

/// A label's embedding: the mean over the templates.
pub(super) fn label(
    encoder: &OrtTextEncoder,
    templates: &[impl AsRef<str>],
    label: &str,
) -> Result<Embedding> {
    let texts: Vec<String> = templates.iter().map(|t| t.as_ref().replace("{}", label)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let embeddings = encoder.embed_texts(&texts)?;
    let parts: Vec<_> = embeddings.iter().map(|e| (e, 1.0)).collect();
    Ok(Embedding::combine(encoder.space(), &parts)?)
}

/// The probability of each of [`LABELS`] for the photograph of a cat.
fn cat(model: &Model, texts: &OrtTextEncoder, images: &OrtImageEncoder) -> Result<Vec<f64>> {
    let photo = tensor(images, &Path::new(REFERENCE).join("images/cat_451x300.jpg"))?;
    let photo = &images.embed_images(&[photo])?[0];
    let scale = f64::from(model.manifest().logit_scale());
    let weights = LABELS
        .iter()
        .map(|name| {
            let label = label(texts, model.manifest().templates(), name)?;
            Ok((scale * f64::from(photo.cosine(&label)?)).exp())
        })
        .collect::<Result<Vec<f64>>>()?;
    let total: f64 = weights.iter().sum();
    Ok(weights.iter().map(|w| w / total).collect())
}
