//! Which models are here, as JSON?

use ekphrasis_engine as engine;
use serde::Serialize;

use super::{Generation, shown};

/// The models that can be used.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ModelList {
    /// The one in use first.
    pub models: Vec<KnownModel>,
}

/// A model that can be used, or what is wrong with it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KnownModel {
    /// What `--model` takes.
    pub name: String,
    /// Its folder.
    pub dir: String,
    /// A search would use it now.
    pub chosen: bool,
    /// The store goes with it: it was made with it, or was told to.
    pub of_store: bool,
    /// The store's generation that is of its space; null if there is none.
    pub generation: Option<Generation>,
    /// What is known of it.
    #[serde(flatten)]
    pub facts: Option<ModelFacts>,
    /// What is wrong with it; then nothing else is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a model's description says.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ModelFacts {
    /// Its own name.
    pub title: String,
    /// A sentence on what it can and cannot do.
    pub summary: String,
    /// Its licence.
    pub license: String,
    /// Languages that it understands.
    pub languages: Vec<String>,
    /// Id of its space.
    pub space: String,
    /// Width of its embeddings.
    pub dim: usize,
    /// How its numbers are kept, such as `fp32` or `int8`; null if it does not say.
    pub precision: Option<&'static str>,
    /// Bytes of all its files.
    pub bytes: u64,
    /// How it was trained, if here.
    pub training: Option<ModelTraining>,
    /// By what its confidence was learned, if it was.
    pub confidence: Option<String>,
    /// False accept rates that can be stated when things are told apart, the largest
    /// first; null if that was not measured.
    pub false_accept_rates: Option<Vec<f64>>,
}

/// How a model was trained.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ModelTraining {
    /// Which both towers carry.
    pub pair: String,
    /// The model that it started from.
    pub base: Option<String>,
    /// The loss.
    pub loss: String,
    /// Its margin.
    pub margin: Option<f64>,
    /// What it was trained on.
    pub data: String,
}

impl ModelList {
    /// Of these models.
    pub fn new(models: &[engine::Known]) -> Self {
        Self { models: models.iter().map(KnownModel::from).collect() }
    }
}

impl From<&engine::Known> for KnownModel {
    fn from(model: &engine::Known) -> Self {
        Self {
            name: model.name.clone(),
            dir: shown(&model.dir),
            chosen: model.chosen,
            of_store: model.of_store,
            generation: model.generation.as_ref().map(Generation::from),
            facts: model.manifest.as_ref().ok().map(ModelFacts::from),
            problem: model.manifest.as_ref().err().cloned(),
        }
    }
}

impl From<&engine::Manifest> for ModelFacts {
    fn from(manifest: &engine::Manifest) -> Self {
        let training = manifest.training().map(|training| ModelTraining {
            pair: training.pair.clone(),
            base: training.base.clone(),
            loss: training.loss.clone(),
            margin: training.margin,
            data: training.data.clone(),
        });
        Self {
            title: manifest.name().into(),
            summary: manifest.summary().into(),
            license: manifest.license().into(),
            languages: manifest.languages().to_vec(),
            space: manifest.space().id().into(),
            dim: manifest.space().dim(),
            precision: manifest.precision().map(engine::Precision::name),
            bytes: manifest.files().values().map(|file| file.bytes).sum(),
            training,
            confidence: manifest.confidence().map(|c| c.about.clone()),
            false_accept_rates: manifest
                .verification()
                .map(|known| known.rates.iter().map(|rate| rate.false_accept).collect()),
        }
    }
}
