//! Given what the engine answers, how does it look as JSON? The same here for
//! HTTP and for `--json` on the command line.
//!
//! Field names are a promise to scripts: add, but rename nothing.

mod confidence;
mod duplicates;
mod facets;
mod generation;
mod identity;
mod item;
mod job;
mod label_set;
mod model;
mod recall;
mod search;
#[cfg(feature = "milvus")]
mod shared;
mod why;

use std::collections::BTreeMap;
use std::path::Path;

use ekphrasis_engine as engine;
use serde::Serialize;

pub use self::confidence::Anything;
pub use self::duplicates::{Duplicate, DuplicateGroup, DuplicateReport};
pub use self::facets::{Facet, FacetValue, Facets};
pub use self::generation::{Generation, Unmade, Used};
pub use self::identity::{
    Candidate, Enrolment, Forgotten, IdentifiedImage, IdentifyReply, Identity, IdentityList,
    KnownExample, NotTaken, Operating, VerifyReply,
};
pub use self::item::{Exposure, Item, ItemList, Meta, Removed};
pub use self::job::{Job, JobList, JobResult};
pub use self::label_set::{
    AppliedLabels, AppliedSet, ChangedLabelSet, GivenLabel, LabelCount, LabelSet, LabelSetList,
    SetLabel,
};
pub use self::model::{KnownModel, ModelFacts, ModelList, ModelTraining};
pub use self::recall::{Recall, RecallSide};
pub use self::search::{Hit, Matched, PartScore, QueryPart, SearchQuery, SearchReply};
#[cfg(feature = "milvus")]
pub use self::shared::{SharedRecall, SharedStatus};
pub use self::why::{CopyOf, Why};
use crate::date::rfc3339;

/// What pictures were classified as.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LabelReply {
    /// In the order they were given.
    pub images: Vec<LabelledImage>,
    /// What is to be doubted of them. Left out if there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What one picture was classified as.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LabelledImage {
    /// Its path; null for an upload.
    pub path: Option<String>,
    /// The most probable first; with `none_of_these` the probabilities sum to 1, unless each
    /// label was judged by itself.
    pub labels: Vec<LabelScore>,
    /// The probability that no label fits; null if the model is not calibrated for it, or if
    /// each label was judged by itself: none fits where each is improbable.
    pub none_of_these: Option<f32>,
    /// The broader labels of those that are paths (`animal > dog`), the most probable first.
    pub groups: Vec<LabelGroup>,
}

/// A broader label, and what those below it come to.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LabelGroup {
    /// `animal` of `animal > dog`.
    pub label: String,
    /// The sum of its labels' probabilities; the largest, if each label was judged by itself.
    pub probability: f32,
}

/// One label's share.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LabelScore {
    /// As given.
    pub label: String,
    /// In 0..=1.
    pub probability: f32,
    /// Cosine between picture and label.
    pub score: f32,
}

/// The texts nearest to pictures.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DescribeReply {
    /// In the order they were given.
    pub images: Vec<DescribedImage>,
}

/// The texts nearest to one picture.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DescribedImage {
    /// Its path; null for an upload.
    pub path: Option<String>,
    /// The nearest first.
    pub descriptions: Vec<Description>,
}

/// A text near a picture.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Description {
    /// The text.
    pub text: String,
    /// Cosine.
    pub score: f32,
    /// The text item; null if it is of the vocabulary and not of the store.
    pub id: Option<String>,
}

/// A vector and the space it belongs to.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct EmbedReply {
    /// Only vectors of one space can be compared.
    pub space: String,
    /// How many numbers.
    pub dim: usize,
    /// Of unit length.
    pub embedding: Vec<f32>,
}

/// That all is well.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Health {
    /// `ok` or `ready`.
    pub status: &'static str,
}

/// A store's state in short.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Status {
    /// This program's version.
    pub version: &'static str,
    /// Where the store lies.
    pub data: String,
    /// Pictures in the store.
    pub images: u64,
    /// Texts in the store.
    pub texts: u64,
    /// Files that could not be indexed.
    pub failures: u64,
    /// Of how many pictures is known what filters ask for.
    pub told: Told,
    /// The newest commit.
    pub seq: u64,
    /// Name of the model.
    pub model: String,
    /// Id of its space.
    pub space: String,
    /// Width of its embeddings.
    pub dim: usize,
    /// A sentence on what the model can and cannot do.
    pub model_note: String,
    /// Which of the data folder's stores this is.
    pub generation: u32,
    /// All of them: of former models, and of one that the store is being moved to.
    pub generations: Vec<Generation>,
    /// How vectors are searched.
    pub vector_index: String,
    /// How much that misses; null if it was not measured.
    pub recall: Option<Recall>,
    /// Folders the store was made from.
    pub roots: Vec<String>,
    /// What the store noticed to be wrong with itself, a sentence each.
    pub warnings: Vec<String>,
    /// Folders whose last run was stopped or killed: not all of them is known.
    pub unfinished: Vec<String>,
    /// Label sets that were applied to the pictures.
    pub applied_label_sets: Vec<AppliedSet>,
    /// How far indexing is; null if none is going on.
    pub indexing: Option<Progress>,
}

/// Of how many pictures something is known that their files tell.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Told {
    /// When they were taken.
    pub taken: u64,
    /// By which camera.
    pub camera: u64,
    /// Where.
    pub place: u64,
}

/// How far an indexing run is, or what it did.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Progress {
    /// Files looked at.
    pub seen: u64,
    /// Embedded and stored.
    pub indexed: u64,
    /// Left alone: nothing changed.
    pub unchanged: u64,
    /// Forgotten: the file is gone.
    pub removed: u64,
    /// Recorded with a reason.
    pub failed: u64,
    /// Of `failed`: not tried again, since the files have not changed.
    pub still_failing: u64,
    /// Of `indexed`: not encoded again, since the same content was known.
    pub reused: u64,
    /// Of `reused`: files that were elsewhere before.
    pub moved: u64,
    /// Files found that are still to be done.
    pub waiting: u64,
    /// When those will be done, in seconds from now; null if that is not known.
    pub eta_seconds: Option<f64>,
    /// Since the start.
    pub seconds: f64,
}

/// What an indexing run did.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Indexed {
    /// The counts.
    #[serde(flatten)]
    pub progress: Progress,
    /// It was stopped before the end.
    pub stopped: bool,
    /// Seconds that each stage took, all threads together.
    #[cfg_attr(feature = "server", schema(value_type = BTreeMap<String, f64>))]
    pub stages: BTreeMap<&'static str, f64>,
}

/// Files that are not in the store.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FailureList {
    /// One for each file or folder.
    pub failures: Vec<Failure>,
}

/// A file that is not in the store, and why.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Failure {
    /// The file or folder.
    pub path: String,
    /// In a sentence.
    pub reason: String,
    /// RFC 3339 in UTC.
    pub at: String,
}

impl LabelledImage {
    /// What the picture at `path` (`None`: an upload) was classified as.
    pub fn new(path: Option<&Path>, reply: &engine::LabelReply) -> Self {
        let labels = reply.labels.iter().map(|label| LabelScore {
            label: label.label.clone(),
            probability: label.probability,
            score: label.score,
        });
        let groups = reply
            .groups
            .iter()
            .map(|group| LabelGroup { label: group.label.clone(), probability: group.probability });
        Self {
            path: path.map(shown),
            labels: labels.collect(),
            none_of_these: reply.none_of_these,
            groups: groups.collect(),
        }
    }
}

impl DescribedImage {
    /// The texts nearest to the picture at `path` (`None`: an upload).
    pub fn new(path: Option<&Path>, descriptions: &[engine::Description]) -> Self {
        let descriptions = descriptions.iter().map(|found| Description {
            text: found.text.clone(),
            score: found.score,
            id: found.id.map(|id| id.to_string()),
        });
        Self { path: path.map(shown), descriptions: descriptions.collect() }
    }
}

impl From<&engine::Embedding> for EmbedReply {
    fn from(embedding: &engine::Embedding) -> Self {
        Self {
            space: embedding.space().id().into(),
            dim: embedding.space().dim(),
            embedding: embedding.values().to_vec(),
        }
    }
}

impl From<&engine::Status> for Status {
    fn from(status: &engine::Status) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            data: shown(&status.data),
            images: status.images,
            texts: status.texts,
            failures: status.failures,
            told: Told {
                taken: status.told.taken,
                camera: status.told.camera,
                place: status.told.place,
            },
            seq: status.seq,
            model: status.model.clone(),
            space: status.space.clone(),
            dim: status.dim,
            model_note: status.model_note.clone(),
            generation: status.generation,
            generations: status.generations.iter().map(Generation::from).collect(),
            vector_index: status.vector_index.clone(),
            recall: status.recall.as_ref().map(Recall::from),
            roots: status.roots.iter().map(|root| shown(root)).collect(),
            warnings: status.warnings.clone(),
            unfinished: status.unfinished.iter().map(|root| shown(root)).collect(),
            applied_label_sets: status.labels.iter().map(AppliedSet::from).collect(),
            indexing: status.indexing.as_ref().map(Progress::from),
        }
    }
}

impl From<&engine::Progress> for Progress {
    fn from(progress: &engine::Progress) -> Self {
        Self {
            seen: progress.seen,
            indexed: progress.indexed,
            unchanged: progress.unchanged,
            removed: progress.removed,
            failed: progress.failed,
            still_failing: progress.still_failing,
            reused: progress.reused,
            moved: progress.moved,
            waiting: progress.waiting,
            eta_seconds: progress.eta_seconds.map(rounded),
            seconds: rounded(progress.seconds),
        }
    }
}

impl From<&engine::IndexReport> for Indexed {
    fn from(report: &engine::IndexReport) -> Self {
        let stages = report.stages.each().map(|(name, seconds)| (name, rounded(seconds)));
        Self { progress: (&report.progress).into(), stopped: report.stopped, stages: stages.into() }
    }
}

impl FailureList {
    /// The ledger as it stands.
    pub fn new(failures: &[engine::Failure]) -> Self {
        let failures = failures.iter().map(|failure| Failure {
            path: shown(&failure.path),
            reason: failure.reason.clone(),
            at: rfc3339(failure.at),
        });
        Self { failures: failures.collect() }
    }
}

/// JSON has no bytes; a path that is no UTF-8 is shown with replacement characters.
pub(crate) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// To hundredths: finer times are noise.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests;
