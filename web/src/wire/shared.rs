//! A store that other machines share.

use ekphrasis_engine as engine;
use serde::Serialize;

/// The state of a shared store in short.
#[derive(Clone, Debug, Serialize)]
pub struct SharedStatus {
    /// This program's version.
    pub version: &'static str,
    /// Its address.
    pub store: String,
    /// What its server calls itself.
    pub server: String,
    /// Whether it can be searched by words.
    pub finds_words: bool,
    /// Pictures in it.
    pub images: u64,
    /// Texts in it.
    pub texts: u64,
    /// Name of the model.
    pub model: String,
    /// Id of its space.
    pub space: String,
    /// Width of its embeddings.
    pub dim: usize,
}

impl From<&engine::SharedStatus> for SharedStatus {
    fn from(status: &engine::SharedStatus) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            store: status.at.clone(),
            server: status.server.clone(),
            finds_words: status.finds_words,
            images: status.images,
            texts: status.texts,
            model: status.model.clone(),
            space: status.space.clone(),
            dim: status.dim,
        }
    }
}

/// How much of the true nearest searches of a shared store find.
#[derive(Clone, Debug, Serialize)]
pub struct SharedRecall {
    /// What share of the true ten nearest was to be found.
    pub target: f64,
    /// Whether it was.
    pub met: bool,
    /// The share; null in an empty store.
    pub recall: Option<f64>,
    /// How many queries.
    pub queries: usize,
    /// What they were compared with.
    pub vectors: u64,
    /// How long half of the searches took at most.
    pub median_ms: f64,
    /// How long all but one in twenty took at most.
    pub p95_ms: f64,
}

impl SharedRecall {
    /// What was measured, against what was wanted.
    pub fn new(found: &engine::SharedRecall, target: f64) -> Self {
        Self {
            target,
            met: found.recall.is_none_or(|recall| recall >= target),
            recall: found.recall,
            queries: found.queries,
            vectors: found.vectors,
            median_ms: found.median.as_secs_f64() * 1e3,
            p95_ms: found.slow.as_secs_f64() * 1e3,
        }
    }
}
