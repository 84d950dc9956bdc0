//! Given a trained model, how does it become a folder that the engine loads?

use std::path::Path;

use ekphrasis_embed::ImageTensor;
use ndarray::{Array2, Array4};

use super::error::JobError;
use super::exported::{ImageFeatures, Plain, Side, Towers};
use super::prepare::{Job, Prepared};
use super::supply::TextInputs;
use crate::config::{ImageSide, TextSide};
use crate::export::{
    About, Export, ExportError, ImageTower, Published, Samples, TOLERANCE, TextTower, publish,
};
use crate::nn::Fed;
use crate::run::{Model, Supply};
use crate::start::Correct;

/// Pictures and texts on which trainer and runtime are compared.
const SAMPLES: usize = 16;

/// Publishes `model`, whose towers are `towers`, as `name` in the folder `out`, which
/// must be new or empty. The base's labels' templates and vocabulary go with it, the
/// vocabulary embedded anew.
///
/// # Errors
/// `Export` if trainer and runtime disagree, the sides end in different widths,
/// or the folder is taken; `Base`, `Model`, `Layer` as they say.
pub(super) fn publish_model(
    job: &Job<'_>,
    prepared: &Prepared,
    model: &Model,
    towers: &Towers,
    name: &str,
    out: &Path,
) -> Result<Published, JobError> {
    let config = &job.config;
    let supply = &prepared.supply;
    let places = chosen(&supply.held_out().pictures, supply.train());
    let images = image_samples(job, prepared, model, &places)?;
    let image_rows = expected("image", &images, &towers.image, towers.rounds())?;
    let (texts, text_rows) = match &towers.text {
        Some(side) => {
            let texts = text_samples(job, prepared, model)?;
            let rows = expected("text", &texts, side, towers.rounds())?;
            (texts.samples, rows)
        }
        None => kept_texts(job)?,
    };

    let manifest = job.base.manifest();
    let image = match (&config.image, &towers.image.trained, &prepared.preprocess) {
        (ImageSide::Frozen { base }, ..) if *base == manifest.image().output => {
            ImageTower::Kept(&job.base)
        }
        (_, Plain::Network(network), Some(preprocess)) => {
            ImageTower::Network { network, preprocess }
        }
        (_, Plain::Head(head), _) => ImageTower::Head { base: &job.base, head },
        (_, Plain::Network(_), None) => unreachable!("pixels were prepared for a network"),
    };
    let tokenizer;
    let text = match (&config.text, towers.text.as_ref().map(|side| &side.trained)) {
        (_, None) => TextTower::Kept(&job.base),
        (TextSide::Frozen {}, _) if prepared.start.is_none() => TextTower::Kept(&job.base),
        (_, Some(Plain::Head(head))) => TextTower::Head { base: &job.base, head },
        (_, Some(Plain::Network(network))) => {
            tokenizer = job
                .base
                .read(&manifest.text().tokenizer)
                .map_err(ekphrasis_models::ModelError::File)?;
            let pad_token = &manifest.text().pad_token;
            TextTower::Network { network, tokenizer: &tokenizer, pad_token }
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
        storage: towers.storage,
        words: &words,
        card: None,
        samples: Samples {
            images: &images.samples,
            image_rows: &image_rows,
            texts: &texts,
            text_rows: &text_rows,
        },
    };
    Ok(publish(&export, job.runtime, out)?)
}

/// Some pictures or texts, and what the trainer says of them.
struct Compared<T> {
    /// As the runtime is fed.
    samples: Vec<T>,
    /// The trained embeddings of each.
    trained: Array2<f32>,
    /// As plain layers are fed.
    fed: Fed,
}

/// What the runtime is to give: the trainer's embeddings with the weights as they are
/// stored. Where those are rounded, plain layers compute them, once these were seen
/// to compute with the trained weights what the trainer does.
fn expected<T>(
    tower: &'static str,
    compared: &Compared<T>,
    side: &Side,
    rounds: bool,
) -> Result<Vec<f32>, JobError> {
    if !rounds {
        return Ok(compared.trained.iter().copied().collect());
    }
    let plain = side.trained.rows(&compared.fed)?;
    let differences = plain.iter().zip(&compared.trained).map(|(a, b)| (a - b).abs());
    let largest = differences.max_by(f32::total_cmp).unwrap_or(0.0);
    if plain.dim() != compared.trained.dim() || largest.is_nan() || largest > TOLERANCE {
        return Err(ExportError::Layers { tower, largest, tolerance: TOLERANCE }.into());
    }
    Ok(side.stored.rows(&compared.fed)?.into_iter().collect())
}

/// Held-out pictures first: they were not learnt by heart.
fn chosen(held: &[usize], train: &[usize]) -> Vec<usize> {
    held.iter().chain(train).copied().take(SAMPLES).collect()
}

/// Tensors of some pictures, and the trainer's embeddings of them. What the base
/// says is asked anew: the cache may keep it in fewer bits.
fn image_samples(
    job: &Job<'_>,
    prepared: &Prepared,
    model: &Model,
    places: &[usize],
) -> Result<Compared<ImageTensor>, JobError> {
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
    let (trained_on, fed) = if own.is_some() {
        let side = preprocess.size() as usize;
        let numbers: Vec<f32> = tensors.iter().flat_map(|t| t.data().iter().copied()).collect();
        let shape = (n, 3, side, side);
        let pictures = Array4::from_shape_vec(shape, numbers).expect("tensors of one size");
        (Fed::Pictures(pictures.clone()), Fed::Pictures(pictures))
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
        let trained_on = match (&prepared.start, &features) {
            (Some(start), Some(raw)) => {
                let whitened = start.features(raw.view());
                let from = start.images(whitened.view(), base.as_ref().map(|b| b.view()));
                let features = match start.correct() {
                    Correct::Embedding => from.clone(),
                    Correct::Features => whitened,
                };
                Fed::Rows { base: Some(from), features: Some(features) }
            }
            _ => Fed::Rows { base: base.clone(), features: features.clone() },
        };
        (trained_on, Fed::Rows { base, features })
    };
    Ok(Compared { samples: tensors, trained: model.images(trained_on), fed })
}

/// Some of the texts, and the trainer's embeddings of them; what the base says is
/// asked anew, as for pictures.
fn text_samples<'a>(
    job: &Job<'_>,
    prepared: &'a Prepared,
    model: &Model,
) -> Result<Compared<&'a str>, JobError> {
    let supply = &prepared.supply;
    let all = supply.texts().len();
    let rows: Vec<usize> = (0..all).step_by(all.div_ceil(SAMPLES).max(1)).collect();
    let samples: Vec<&str> = rows.iter().map(|&r| supply.texts()[r].as_str()).collect();
    let (trained_on, fed) = match &supply.texts {
        TextInputs::Features { base, layers, .. } => {
            let encoder = job.base.ort_text_encoder(job.runtime, 1)?;
            let output = job.base.manifest().text().output.as_str();
            let got = encoder.outputs(&samples, &[output]);
            let flat = got.map_err(|e| JobError::Base(e.to_string()))?.concat();
            let shape = (samples.len(), flat.len() / samples.len().max(1));
            let raw = Array2::from_shape_vec(shape, flat).expect("whole rows");
            let fed = |rows: &Array2<f32>| Fed::Rows {
                base: base.then(|| rows.clone()),
                features: layers.then(|| rows.clone()),
            };
            match &prepared.start {
                // Published, its layers read what the base says and add to nothing.
                Some(start) => {
                    let plain = Fed::Rows { base: None, features: Some(raw.clone()) };
                    (fed(&start.texts(raw.view())), plain)
                }
                None => (fed(&raw), fed(&raw)),
            }
        }
        TextInputs::Tokens(_) | TextInputs::None => {
            let fed = supply.captions(&rows);
            (fed.clone(), fed)
        }
    };
    let trained = model.texts(trained_on).expect("there is a text side");
    Ok(Compared { samples, trained, fed })
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
