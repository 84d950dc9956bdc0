//! Given a trained tower, which graph is it, and how is it fed?

use std::collections::HashSet;
use std::path::PathBuf;

use ekphrasis_embed::Preprocess;
use ekphrasis_models as models;
use ekphrasis_models::Model;
use ekphrasis_onnx as onnx;
use ekphrasis_onnx::{Graph, Storage, TensorType};

use super::error::ExportError;
use super::nodes::Writer;
use crate::layer::{Feature, Flow, Head, Layer, LayerError, Network};

/// What became of the picture encoder.
#[derive(Clone, Copy, Debug)]
pub enum ImageTower<'a> {
    /// The base's, as it is.
    Kept(&'a Model),
    /// A head on the base's.
    Head {
        /// The base.
        base: &'a Model,
        /// What was trained on it.
        head: &'a Head,
    },
    /// One of its own, from pictures of 3 × size × size to unit vectors.
    Network {
        /// Ends in [`Layer::Normalise`].
        network: &'a Network,
        /// What lies between a picture and it.
        preprocess: &'a Preprocess,
    },
}

/// What became of the text encoder.
#[derive(Clone, Copy, Debug)]
pub enum TextTower<'a> {
    /// The base's, as it is.
    Kept(&'a Model),
    /// A head on the base's.
    Head {
        /// The base.
        base: &'a Model,
        /// What was trained on it.
        head: &'a Head,
    },
    /// One of its own, from token ids to unit vectors.
    Network {
        /// Ends in [`Layer::Normalise`].
        network: &'a Network,
        /// The bytes of its `tokenizer.json`.
        tokenizer: &'a [u8],
        /// The token that short texts are filled up with.
        pad_token: &'a str,
    },
}

/// A graph and the name of the output that is the embedding.
pub(super) struct Built {
    pub(super) model: onnx::Model,
    pub(super) output: String,
    pub(super) dim: usize,
}

/// The output a head ends in; a graph that has one gets another with a number.
const ALIGNED: &str = "aligned";
/// The output of a network of its own.
const EMBEDDING: &str = "embedding";
/// The input of an image network of its own.
pub(super) const PIXELS: &str = "pixels";
const PRODUCER: &str = "ekphrasis-train";

impl ImageTower<'_> {
    pub(super) fn build(&self, storage: Storage) -> Result<Built, ExportError> {
        match self {
            Self::Kept(base) => {
                kept(base, base.manifest().image().file.as_str(), &base.manifest().image().output)
            }
            Self::Head { base, head } => on(base, &base.manifest().image().file, head, storage),
            Self::Network { network, preprocess } => {
                let side = preprocess.size() as usize;
                let expected = Flow::Picture { channels: 3, height: side, width: side };
                let dim = ends(network, &expected)?;
                let doc = "A picture encoder trained by Ekphrasis";
                let mut graph = Graph::new("image", PRODUCER, doc);
                let side = side as i64;
                let axes = [("batch", -1), ("channel", 3), ("height", side), ("width", side)];
                let pixels = graph.input(PIXELS, TensorType::F32, &axes);
                let unit =
                    Writer::new(&mut graph, storage).layers("net", &pixels, network.layers());
                Ok(out(graph, EMBEDDING, &unit, dim))
            }
        }
    }

    pub(super) fn manifest(&self) -> Option<&models::ImageTower> {
        match self {
            Self::Kept(base) | Self::Head { base, .. } => Some(base.manifest().image()),
            Self::Network { .. } => None,
        }
    }
}

impl TextTower<'_> {
    pub(super) fn build(&self, storage: Storage) -> Result<Built, ExportError> {
        match self {
            Self::Kept(base) => {
                kept(base, &base.manifest().text().file, &base.manifest().text().output)
            }
            Self::Head { base, head } => on(base, &base.manifest().text().file, head, storage),
            Self::Network { network, .. } => {
                let dim = ends(network, &Flow::Ids)?;
                let doc = "A text encoder trained by Ekphrasis";
                let mut graph = Graph::new("text", PRODUCER, doc);
                let axes = [("batch", -1), ("sequence", -1)];
                let [ids, mask] = ["input_ids", "attention_mask"]
                    .map(|name| graph.input(name, TensorType::I64, &axes));
                let unit = Writer::masked(&mut graph, storage, &mask).layers(
                    "net",
                    &ids,
                    network.layers(),
                );
                Ok(out(graph, EMBEDDING, &unit, dim))
            }
        }
    }

    /// Its `tokenizer.json`.
    pub(super) fn tokenizer(&self) -> Result<Vec<u8>, ExportError> {
        match self {
            Self::Kept(base) | Self::Head { base, .. } => {
                Ok(base.read(&base.manifest().text().tokenizer)?)
            }
            Self::Network { tokenizer, .. } => Ok(tokenizer.to_vec()),
        }
    }

    pub(super) fn base(&self) -> Option<&Model> {
        match self {
            Self::Kept(base) | Self::Head { base, .. } => Some(base),
            Self::Network { .. } => None,
        }
    }
}

/// Reads a graph of a model.
pub(super) fn graph(base: &Model, file: &str) -> Result<(onnx::Model, PathBuf), ExportError> {
    let path = base.dir().join(file);
    match onnx::read(&base.read(file)?) {
        Ok(model) => Ok((model, path)),
        Err(source) => Err(ExportError::Read { path, source }),
    }
}

fn kept(base: &Model, file: &str, output: &str) -> Result<Built, ExportError> {
    let (model, _) = graph(base, file)?;
    Ok(Built { model, output: output.into(), dim: base.space().dim() })
}

fn on(base: &Model, file: &str, head: &Head, storage: Storage) -> Result<Built, ExportError> {
    let (model, path) = graph(base, file)?;
    // Of maps and sequences all numbers of a row count, one after another.
    let declared = |name: &str| -> Option<(usize, Option<i64>)> {
        let shape = model.shape(name)?;
        let row: Option<Vec<i64>> = shape.get(1..)?.iter().copied().collect();
        Some((shape.len(), row.map(|sizes| sizes.iter().product())))
    };
    let check = |feature: &Feature| match declared(&feature.name).and_then(|(_, width)| width) {
        Some(got) if got != feature.width as i64 => Err(ExportError::Width {
            path: path.clone(),
            name: feature.name.clone(),
            expected: feature.width,
            got,
        }),
        _ => Ok(()),
    };
    let named = || head.base().into_iter().chain(head.features());
    named().try_for_each(check)?;
    let plain: HashSet<String> = named()
        .filter(|f| declared(&f.name).is_some_and(|(rank, _)| rank == 2))
        .map(|f| f.name.clone())
        .collect();
    let join = |source| ExportError::Join { path: path.clone(), source };
    let mut graph = Graph::extend(model, "head.").map_err(join)?;
    // A row a picture or text, as the trainer was fed.
    let rows = |graph: &mut Graph, feature: &Feature| {
        let value = graph.value(&feature.name).map_err(join)?;
        Ok::<_, ExportError>(match plain.contains(&feature.name) {
            true => value,
            false => graph.op("rows", "Flatten", &[&value], &[("axis", onnx::Attr::Int(1))]),
        })
    };
    let mut sum = None;
    if let Some(feature) = head.base() {
        let base = rows(&mut graph, feature)?;
        sum = Some(match head.map() {
            None => base,
            Some(map) => Writer::new(&mut graph, storage).linear("map", &base, map, None),
        });
    }
    if let Some(body) = head.body() {
        let values = head.features().iter().map(|f| rows(&mut graph, f));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let joined = match &values[..] {
            [one] => one.clone(),
            many => {
                let all: Vec<_> = many.iter().collect();
                graph.op("features", "Concat", &all, &[("axis", onnx::Attr::Int(-1))])
            }
        };
        let y = Writer::new(&mut graph, storage).layers("body", &joined, body.layers());
        sum = Some(match sum {
            None => y,
            Some(base) => graph.op("sum", "Add", &[&base, &y], &[]),
        });
    }
    let sum = sum.expect("a head has a base or a body");
    let unit = graph.normalise("unit", &sum, head.epsilon());
    Ok(out(graph, ALIGNED, &unit, head.dim()))
}

fn out(mut graph: Graph, name: &str, unit: &onnx::Value, dim: usize) -> Built {
    let (batch, size) = graph.batch_axis();
    let axes = [(batch.as_str(), size), ("dim", dim as i64)];
    let output = graph.output(name, unit, TensorType::F32, &axes);
    Built { model: graph.finish(), output: output.name().into(), dim }
}

/// The width of a network that starts and ends as a tower does.
fn ends(network: &Network, expected: &Flow) -> Result<usize, ExportError> {
    let refuse = |expected: &dyn std::fmt::Display, got: &dyn std::fmt::Display| LayerError {
        place: "tower".into(),
        expected: expected.to_string(),
        got: got.to_string(),
        advice: "",
    };
    if network.input() != expected {
        return Err(refuse(expected, network.input()).into());
    }
    match (network.width(), network.layers().last()) {
        (Some(dim), Some(Layer::Normalise { .. })) => Ok(dim),
        (_, last) => {
            let got = format!("{} after {}", network.output(), last.map_or("nothing", Layer::name));
            Err(refuse(&"rows of unit length at its end", &got).into())
        }
    }
}
