//! Given a trained model, how does it become a folder that the engine loads?

use std::path::Path;

use ekphrasis_embed::ImageTensor;
use ndarray::{Array2, Array4};

use super::error::JobError;
use super::prepare::{Job, Prepared};
use super::supply::TextInputs;
use crate::config::{ImageSide, StorageConfig, TextSide};
use crate::export::{About, Export, ImageTower, Published, Samples, Storage, TextTower, publish};
use crate::layer::{Feature, Flow};
use crate::nn::{Fed, Tower};
use crate::run::{Model, Supply};
use crate::start::Correct;

/// Pictures and texts on which trainer and runtime are compared.
const SAMPLES: usize = 16;

/// Publishes `model` as `name` in the folder `out`, which must be new or empty.
/// The base's labels' templates and vocabulary go with it, the vocabulary
/// embedded anew.
///
/// # Errors
/// `Export` if trainer and runtime disagree, the sides end in different widths,
/// or the folder is taken; `Base`, `Model`, `Layer` as they say.
pub fn publish_model(
    job: &Job<'_>,
    prepared: &Prepared,
    model: &Model,
    name: &str,
    out: &Path,
) -> Result<Published, JobError> {
    let config = &job.config;
    let supply = &prepared.supply;
    let places = chosen(&supply.held_out().pictures, supply.train());
    let (images, image_rows) = image_samples(job, prepared, model, &places)?;
    let rows: Vec<usize> = {
        let all = supply.texts().len();
        let step = all.div_ceil(SAMPLES).max(1);
        (0..all).step_by(step).collect()
    };
    let manifest = job.base.manifest();
    let (texts, text_rows): (Vec<&str>, Vec<f32>) =
        match (&supply.texts, supply.captions_if_any(&rows).and_then(|fed| model.texts(fed))) {
            (TextInputs::None, _) | (_, None) => kept_texts(job)?,
            (_, Some(embeddings)) => (
                rows.iter().map(|&r| supply.texts()[r].as_str()).collect(),
                embeddings.iter().copied().collect(),
            ),
        };

    let feature = |name: &str, width: usize| Feature { name: name.to_owned(), width };
    let inputs = ImageFeatures::of(&config.image);
    let widths = image_widths(job, &inputs)?;
    let image_head = |tower: &Tower| {
        let base = inputs.base.map(|name| feature(name, widths[0]));
        let names = inputs.features.iter().zip(&widths[1..]);
        let features = names.map(|(n, w)| feature(n, *w)).collect();
        match (&prepared.start, base) {
            (Some(start), Some(base)) => start.image_head(tower, &model.params, base, features),
            (_, base) => tower.head(&model.params, base, features),
        }
    };
    let text_head = |tower: &Tower| {
        let own = feature(&manifest.text().output, job.base.space().dim());
        if let Some(start) = &prepared.start {
            return start.text_head(tower, &model.params, own);
        }
        let base = (!matches!(tower.base, crate::nn::Base::None)).then(|| own.clone());
        tower.head(&model.params, base, vec![own])
    };
    let (head, network);
    let image = match (&config.image, &prepared.preprocess) {
        (ImageSide::Frozen { base }, _) if *base == manifest.image().output => {
            ImageTower::Kept(&job.base)
        }
        (_, Some(preprocess)) => {
            let side = preprocess.size() as usize;
            let flow = Flow::Picture { channels: 3, height: side, width: side };
            network = model.image.network(&model.params, flow)?;
            ImageTower::Network { network: &network, preprocess }
        }
        _ => {
            head = image_head(&model.image)?;
            ImageTower::Head { base: &job.base, head: &head }
        }
    };
    let (text_head_, text_network, tokenizer);
    let text = match (&config.text, &model.text) {
        (TextSide::None {}, _) | (_, None) => TextTower::Kept(&job.base),
        (TextSide::Frozen {}, _) if prepared.start.is_none() => TextTower::Kept(&job.base),
        (TextSide::Transformer { .. }, Some(tower)) => {
            text_network = tower.network(&model.params, Flow::Ids)?;
            tokenizer = job
                .base
                .read(&manifest.text().tokenizer)
                .map_err(ekphrasis_models::ModelError::File)?;
            TextTower::Network {
                network: &text_network,
                tokenizer: &tokenizer,
                pad_token: &manifest.text().pad_token,
            }
        }
        (_, Some(tower)) => {
            text_head_ = text_head(tower)?;
            TextTower::Head { base: &job.base, head: &text_head_ }
        }
    };
    let words = job.base.vocabulary()?.map(|v| v.words().to_vec()).unwrap_or_default();
    let export = Export {
        image,
        text,
        about: About {
            name,
            summary: &config.publish.summary,
            license: &config.publish.license,
            languages: manifest.languages(),
            templates: manifest.templates(),
            logit_scale: match job.config.publish.logit_scale {
                own if own > 0.0 => own,
                _ => manifest.logit_scale(),
            },
            loss: config.loss.name(),
            margin: config.loss.margin(),
            data: &prepared.data,
        },
        storage: match config.publish.storage {
            StorageConfig::Bits32 => Storage::F32,
            StorageConfig::Bits16 => Storage::F16,
            StorageConfig::Bits12 => Storage::Bits12,
            StorageConfig::Bits8 => Storage::Bits8,
        },
        words: &words,
        card: None,
        samples: Samples {
            images: &images,
            image_rows: &image_rows,
            texts: &texts,
            text_rows: &text_rows,
        },
    };
    Ok(publish(&export, job.runtime, out)?)
}

/// Held-out pictures first: they were not learnt by heart.
fn chosen(held: &[usize], train: &[usize]) -> Vec<usize> {
    held.iter().chain(train).copied().take(SAMPLES).collect()
}

/// What of the base the image side reads.
struct ImageFeatures<'a> {
    base: Option<&'a str>,
    features: &'a [String],
}

impl<'a> ImageFeatures<'a> {
    fn of(side: &'a ImageSide) -> Self {
        let some = |base: &'a str| (!base.is_empty()).then_some(base);
        match side {
            ImageSide::Mlp { base, features, .. } | ImageSide::Linear { base, features, .. } => {
                Self { base: some(base), features }
            }
            ImageSide::Frozen { base } => Self { base: some(base), features: &[] },
            ImageSide::Cnn { .. } | ImageSide::Vit { .. } => Self { base: None, features: &[] },
        }
    }

    fn names(&self) -> Vec<&'a str> {
        self.base.into_iter().chain(self.features.iter().map(String::as_str)).collect()
    }
}

/// Width of the base output (0 without one), then of each feature.
fn image_widths(job: &Job<'_>, inputs: &ImageFeatures<'_>) -> Result<Vec<usize>, JobError> {
    let names = inputs.names();
    if names.is_empty() {
        return Ok(vec![0]);
    }
    let encoder = job.base.ort_image_encoder(job.runtime, 1)?;
    let size = job.base.manifest().image().preprocess.size();
    let grey = ekphrasis_embed::Pixels::new(size, size, vec![128; (size * size * 3) as usize]);
    let grey = grey.expect("a square of the model's size");
    let tensor =
        job.base.manifest().image().preprocess.tensor(&grey).expect("no resizing to be done");
    let got = encoder.outputs(&[tensor], &names).map_err(|e| JobError::Base(e.to_string()))?;
    let widths = got.iter().map(Vec::len);
    Ok(if inputs.base.is_some() {
        widths.collect()
    } else {
        std::iter::once(0).chain(widths).collect()
    })
}

/// Tensors of some pictures, and the trainer's embeddings of them. What the base
/// says is asked anew: the cache may keep it in fewer bits.
fn image_samples(
    job: &Job<'_>,
    prepared: &Prepared,
    model: &Model,
    places: &[usize],
) -> Result<(Vec<ImageTensor>, Vec<f32>), JobError> {
    let own = prepared.preprocess.as_ref();
    let preprocess = own.unwrap_or(&job.base.manifest().image().preprocess);
    let mut tensors = Vec::with_capacity(places.len());
    for &place in places {
        let path = &prepared.examples[place].path;
        let wrong = |what: String| JobError::Pairs(format!("{}: {what}", path.display()));
        let bytes = fs_err::read(path).map_err(|e| wrong(e.to_string()))?;
        let picture = ekphrasis_models::decode(&bytes).map_err(|e| wrong(e.to_string()))?;
        tensors.push(preprocess.tensor(&picture.pixels).map_err(|e| wrong(e.to_string()))?);
    }
    let n = tensors.len();
    let fed = if own.is_some() {
        let side = preprocess.size() as usize;
        let numbers: Vec<f32> = tensors.iter().flat_map(|t| t.data().iter().copied()).collect();
        let shape = (n, 3, side, side);
        Fed::Pictures(Array4::from_shape_vec(shape, numbers).expect("tensors of one size"))
    } else {
        let inputs = ImageFeatures::of(&job.config.image);
        let encoder = job.base.ort_image_encoder(job.runtime, 1)?;
        let got = encoder.outputs(&tensors, &inputs.names());
        let mut got = got.map_err(|e| JobError::Base(e.to_string()))?.into_iter();
        let rows =
            |flat: Vec<f32>| Array2::from_shape_vec((n, flat.len() / n), flat).expect("whole rows");
        let base = inputs.base.and_then(|_| got.next()).map(rows);
        let parts: Vec<Array2<f32>> = got.map(rows).collect();
        let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
        let features = (!views.is_empty()).then(|| {
            ndarray::concatenate(ndarray::Axis(1), &views).expect("rows of the same pictures")
        });
        match (&prepared.start, &features) {
            (Some(start), Some(raw)) => {
                let whitened = start.features(raw.view());
                let base = start.images(whitened.view(), base.as_ref().map(|b| b.view()));
                let features = match start.correct() {
                    Correct::Embedding => base.clone(),
                    Correct::Features => whitened,
                };
                Fed::Rows { base: Some(base), features: Some(features) }
            }
            _ => Fed::Rows { base, features },
        }
    };
    Ok((tensors, model.images(fed).iter().copied().collect()))
}

/// Two texts through the base's own text side, for a model that keeps it.
fn kept_texts<'a>(job: &Job<'_>) -> Result<(Vec<&'a str>, Vec<f32>), JobError> {
    use ekphrasis_embed::TextEncoder;
    let texts = vec!["a red bicycle", "two cats asleep on a sofa"];
    let encoder = job.base.ort_text_encoder(job.runtime, 1)?;
    let embedded = encoder.embed_texts(&texts).map_err(|e| JobError::Base(e.to_string()))?;
    let rows = embedded.iter().flat_map(|e| e.values().iter().copied()).collect();
    Ok((texts, rows))
}
