//! The engine: models and index wired together. Given a folder, a phrase or a
//! picture, [`Engine`] indexes, searches, labels and describes; everything
//! about where things lie and what the environment says is in [`Config`].

mod additions;
mod api;
mod bridge;
pub mod cluster;
pub mod confidence;
mod config;
mod copy;
mod diversity;
mod doctor;
mod duplicates;
mod engine;
mod error;
pub mod eval;
mod exchange;
mod facets;
mod facts;
mod generations;
mod identities;
pub mod ingest;
mod label_sets;
mod labels;
mod languages;
mod meter;
mod models;
mod naming;
mod nouns;
mod of_store;
pub mod pairs;
mod pictures;
mod probes;
mod queries;
mod ranked;
mod recall;
mod search;
mod secret;
#[cfg(feature = "milvus")]
mod shared;
mod steering;
mod thumbnails;
mod together;
mod towers;
mod watch;
mod why;

pub use additions::{Added, NewWords};
pub use api::{
    Description, LabelGroup, LabelReply, LabelRequest, LabelScore, Mode, Part, PartQuery,
    PartScore, Progress, SearchHit, SearchReply, SearchRequest, Source, Status, Told,
};
pub use bridge::{BridgeOptions, OnTexts, Through, make_bridge};
pub use confidence::{Anything, Confidence, Verdict};
pub use config::{Config, ConfigError, Flags, HubSettings, S3Settings, Secret};
pub use copy::{CopyOptions, CopyReport, StoreAt};
pub use doctor::{Check, diagnose};
pub use duplicates::{Duplicate, DuplicateGroup, DuplicateReport};
pub use engine::{Engine, IndexedFile, OpenFor};
pub use error::{EngineError, Fault};
pub use exchange::ExchangeForm;
pub use facets::{FacetGroup, FacetValue, Facets};
pub use facts::facts_in;
pub use generations::{
    Generation, Outcome, Preview, PreviewOptions, PreviewScores, Role, Serving, Unmade, UseOptions,
    Used, drop_old, generations, preview_model, use_model,
};
pub use identities::{
    Accepting, Candidate, Enrolment, Identified, IdentifyOptions, Identity, Operating, Scoring,
    Verified,
};
pub use ingest::{IndexOptions, IndexReport, Stages, check_exclude};
#[cfg(feature = "milvus")]
pub use ingest::{IndexPart, ParsePartError, SharedIndexOptions};
pub use label_sets::{
    AppliedLabels, ChangedLabelSet, LEAST_LABEL_PROBABILITY, LabelSet, LabelWords, NewLabel,
    SetLabel, Unapplied, Writing, check_label,
};
pub use labels::{describe, label_all};
pub use meter::{Histogram, Meters, Runs};
pub use models::{
    Known, RemovedModel, calibrate_model, former_model, import_model, known_models,
    measure_precisions, model_to_use, remove_model,
};
pub use naming::{Example, KnownExample, NotTaken};
pub use pictures::content_of_file;
pub use recall::{RECALL_QUERIES, RECALL_TARGET};
pub use secret::StoreSecret;
#[cfg(feature = "milvus")]
pub use shared::{
    BlobKind, BlobName, Blobs, FolderBlobs, ParseS3Error, S3Address, S3Blobs, S3Options,
    SharedEngine, SharedFile, SharedRecall, SharedStatus,
};
pub use steering::{Feedback, MOST_EXAMPLES, Rocchio};
pub use towers::{Computing, GivenTowers, LabelDefaults, OnnxTowers, Towers};
pub use watch::{WatchEvent, watch};
pub use why::{Why, WhyReason};

// What the edges meet in requests and replies, and who brings towers of their own.
pub use ekphrasis_embed::{Embedding, Space};
pub use ekphrasis_index::{
    Applied, Colour, Exposure, Expr, Facts, Failure, FileFacts, Filter, FilterError, FoundWord,
    GivenLabel, Holder, Item, ItemId, Kind, LabelRule, Place, Recall, Side as RecallSide, Taken,
    WordField, WordMatch,
};
#[cfg(feature = "milvus")]
pub use ekphrasis_milvus::{
    Address as MilvusAddress, MilvusStore, Open as MilvusOpen, Options as MilvusOptions,
    Token as MilvusToken,
};
pub use ekphrasis_models::{
    AcceptRate, Bridge, BridgeFigures, ImportOptions, Imported, LabelCalibration, Lexicon,
    Manifest, Measured, Precision, PrecisionChoice, Provider, ProviderChoice, Variant,
    Verification, Vocabulary,
};
