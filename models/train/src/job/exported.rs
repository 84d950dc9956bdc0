//! Given a trained model, what will its files hold? Its towers as plain layers, with
//! the numbers as they are stored, and what those say of pictures and texts.

use std::ops::Range;

use ekphrasis_onnx::Storage;
use ndarray::{Array2, Axis, concatenate, s};
use rayon::prelude::*;

use super::error::JobError;
use super::prepare::{Job, Prepared};
use super::supply::DataSupply;
use crate::config::{ImageSide, TextSide};
use crate::export::{rounded_head, rounded_network};
use crate::layer::{Feature, Flow, Head, Input, LayerError, Network};
use crate::nn::{Base, Fed, Tower};
use crate::run::{Model, Supply};

/// Rows that plain layers work on at once, on one thread.
const CHUNK: usize = 64;

/// A tower as plain layers.
#[derive(Clone, Debug)]
pub(super) enum Plain {
    /// On values of the base.
    Head(Head),
    /// On pixels or tokens.
    Network(Network),
}

/// A tower before and after its weights were rounded to their storage.
#[derive(Clone, Debug)]
pub(super) struct Side {
    /// The trained numbers.
    pub(super) trained: Plain,
    /// What the file gives back of them; equal where nothing is rounded.
    pub(super) stored: Plain,
}

/// Both sides of a model that is to be published.
#[derive(Clone, Debug)]
pub(super) struct Towers {
    pub(super) image: Side,
    /// None where the base's text side stays as it is, for lack of texts.
    pub(super) text: Option<Side>,
    pub(super) storage: Storage,
}

impl Towers {
    /// The towers of `model`, rounded to the recipe's storage.
    ///
    /// # Errors
    /// `Layer` if a number is not finite; `Base` and `Model` where the base does not
    /// say how wide its values are.
    pub(super) fn of(job: &Job<'_>, prepared: &Prepared, model: &Model) -> Result<Self, JobError> {
        let storage = job.config.publish.storage();
        let side = |trained: Plain| -> Result<Side, LayerError> {
            Ok(Side { stored: trained.rounded(storage)?, trained })
        };
        let image = side(image(job, prepared, model)?)?;
        let text = match (&job.config.text, &model.text) {
            (TextSide::None {}, _) | (_, None) => None,
            (_, Some(tower)) => Some(side(text(job, prepared, model, tower)?)?),
        };
        Ok(Self { image, text, storage })
    }

    /// Whether the stored numbers are other than the trained ones.
    pub(super) fn rounds(&self) -> bool {
        self.storage != Storage::F32
    }

    /// What the stored towers make of the held-out pictures and captions, in their
    /// order; no texts where there are no captions.
    ///
    /// # Errors
    /// `Layer` if the towers do not take what the supply feeds.
    pub(super) fn held_out(
        &self,
        supply: &DataSupply,
    ) -> Result<(Array2<f32>, Option<Array2<f32>>), JobError> {
        let held = supply.held_out();
        let images = in_chunks(held.pictures.len(), &|places| {
            self.image.stored.rows(&supply.published_pictures(places))
        })?;
        let texts = match &self.text {
            Some(text) if !held.captions.is_empty() => {
                Some(in_chunks(held.captions.len(), &|places| {
                    text.stored.rows(&supply.published_captions(places))
                })?)
            }
            _ => None,
        };
        Ok((images, texts))
    }
}

type Rows = Result<Array2<f32>, LayerError>;

fn in_chunks(count: usize, rows: &(dyn Fn(Range<usize>) -> Rows + Sync)) -> Rows {
    let starts: Vec<usize> = (0..count).step_by(CHUNK).collect();
    let parts = starts.into_par_iter().map(|at| rows(at..(at + CHUNK).min(count)));
    let parts: Vec<Array2<f32>> = parts.collect::<Result<_, _>>()?;
    let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
    Ok(concatenate(Axis(0), &views).unwrap_or_default())
}

impl Plain {
    fn rounded(&self, storage: Storage) -> Result<Self, LayerError> {
        Ok(match self {
            Self::Head(head) => Self::Head(rounded_head(head, storage)?),
            Self::Network(network) => Self::Network(rounded_network(network, storage)?),
        })
    }

    /// Embeddings of unit length, rows × dim, computed in 64 bits.
    ///
    /// # Errors
    /// If `fed` is not what the layers take.
    pub(super) fn rows(&self, fed: &Fed) -> Rows {
        let (numbers, dim) = match (self, fed) {
            (Self::Head(head), Fed::Rows { base, features }) => {
                let count = base.as_ref().or(features.as_ref()).map_or(0, Array2::nrows);
                let base: Option<Vec<f32>> = base.as_ref().map(|b| b.iter().copied().collect());
                let mut parts: Vec<Vec<f32>> = Vec::new();
                let mut at = 0;
                for feature in head.features() {
                    let to = at + feature.width;
                    let own = features.as_ref().filter(|f| f.ncols() >= to);
                    parts.push(own.map_or_else(Vec::new, |f| {
                        f.slice(s![.., at..to]).iter().copied().collect()
                    }));
                    at = to;
                }
                let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
                (head.forward(count, base.as_deref(), &parts)?, head.dim())
            }
            (Self::Network(network), Fed::Pictures(pictures)) => {
                let numbers: Vec<f32> = pictures.iter().copied().collect();
                let out = network.forward(Input::Numbers(&numbers))?.into_data();
                (out, network.width().unwrap_or(0))
            }
            (Self::Network(network), Fed::Tokens(tokens)) => {
                let ids: Vec<i64> = tokens.ids.iter().copied().collect();
                let mask: Vec<i64> = tokens.mask.iter().map(|&m| i64::from(m > 0.0)).collect();
                let sequence = tokens.ids.ncols();
                let out = network.forward(Input::Ids { ids: &ids, mask: &mask, sequence })?;
                (out.into_data(), network.width().unwrap_or(0))
            }
            (Self::Head(_), _) | (Self::Network(_), Fed::Rows { .. }) => {
                unreachable!("a head is fed rows, a network pixels or tokens")
            }
        };
        let numbers: Vec<f32> = numbers.into_iter().map(|v| v as f32).collect();
        let count = numbers.len() / dim.max(1);
        Ok(Array2::from_shape_vec((count, dim), numbers).expect("whole rows"))
    }
}

fn image(job: &Job<'_>, prepared: &Prepared, model: &Model) -> Result<Plain, JobError> {
    if let Some(preprocess) = &prepared.preprocess {
        let side = preprocess.size() as usize;
        let flow = Flow::Picture { channels: 3, height: side, width: side };
        return Ok(Plain::Network(model.image.network(&model.params, flow)?));
    }
    let inputs = ImageFeatures::of(&job.config.image);
    let widths = image_widths(job, &inputs)?;
    let feature = |name: &str, width: usize| Feature { name: name.to_owned(), width };
    let base = inputs.base.map(|name| feature(name, widths[0]));
    let names = inputs.features.iter().zip(&widths[1..]);
    let features = names.map(|(n, w)| feature(n, *w)).collect();
    Ok(Plain::Head(match (&prepared.start, base) {
        (Some(start), Some(base)) => {
            start.image_head(&model.image, &model.params, base, features)?
        }
        (_, base) => model.image.head(&model.params, base, features)?,
    }))
}

fn text(
    job: &Job<'_>,
    prepared: &Prepared,
    model: &Model,
    tower: &Tower,
) -> Result<Plain, JobError> {
    if job.config.text.reads_tokens() {
        return Ok(Plain::Network(tower.network(&model.params, Flow::Ids)?));
    }
    let name = job.base.manifest().text().output.clone();
    let own = Feature { name, width: job.base.space().dim() };
    if let Some(start) = &prepared.start {
        return Ok(Plain::Head(start.text_head(tower, &model.params, own)?));
    }
    let base = (!matches!(tower.base, Base::None)).then(|| own.clone());
    Ok(Plain::Head(tower.head(&model.params, base, vec![own])?))
}

/// What of the base the image side reads.
pub(super) struct ImageFeatures<'a> {
    pub(super) base: Option<&'a str>,
    pub(super) features: &'a [String],
}

impl<'a> ImageFeatures<'a> {
    pub(super) fn of(side: &'a ImageSide) -> Self {
        let some = |base: &'a str| (!base.is_empty()).then_some(base);
        match side {
            ImageSide::Mlp { base, features, .. } | ImageSide::Linear { base, features, .. } => {
                Self { base: some(base), features }
            }
            ImageSide::Frozen { base } => Self { base: some(base), features: &[] },
            ImageSide::Cnn { .. } | ImageSide::Vit { .. } => Self { base: None, features: &[] },
        }
    }

    pub(super) fn names(&self) -> Vec<&'a str> {
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
