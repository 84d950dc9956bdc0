//! How much searches miss, as it is said outside.

use ekphrasis_engine as engine;
use serde::Serialize;

use super::rounded;
use crate::date::rfc3339;

/// What was measured on the store itself.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Recall {
    /// What share of the true ten nearest was to be found.
    pub target: f64,
    /// Whether it was, by queries of every kind.
    pub met: bool,
    /// Whether every search compares with every vector, so that nothing can be missed.
    pub exact: bool,
    /// Candidates that the graph keeps in a search; null if there is no graph to ask.
    pub ef: Option<usize>,
    /// Vectors in the graph at the time; 0 if there was none.
    pub graph: u64,
    /// Vectors at the time.
    pub vectors: u64,
    /// When, RFC 3339 in UTC.
    pub measured: String,
    /// By what was asked for what.
    pub sides: Vec<RecallSide>,
}

/// Queries of one kind.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct RecallSide {
    /// `image` or `text`: what the queries were made of.
    pub from: &'static str,
    /// `image`, `text` or `all`: what they looked for.
    pub to: &'static str,
    /// How many there were.
    pub queries: usize,
    /// Recall@10, in 0..=1.
    pub recall: f64,
    /// Its standard error.
    pub error: f64,
    /// Whether each was compared with every vector.
    pub scanned: bool,
    /// Mean time of a search in milliseconds.
    pub ms: f64,
    /// Mean time of comparing with every vector.
    pub exact_ms: f64,
}

impl From<&engine::Recall> for Recall {
    fn from(recall: &engine::Recall) -> Self {
        let side = |side: &engine::RecallSide| RecallSide {
            from: side.from.as_str(),
            to: side.to.map_or("all", engine::Kind::as_str),
            queries: side.queries,
            recall: side.recall,
            error: side.error,
            scanned: side.scanned,
            ms: rounded(side.took.as_secs_f64() * 1e5) / 100.0,
            exact_ms: rounded(side.exact_took.as_secs_f64() * 1e5) / 100.0,
        };
        Self {
            target: recall.target,
            met: recall.met,
            exact: recall.is_exact(),
            ef: recall.ef,
            graph: recall.graph,
            vectors: recall.vectors,
            measured: rfc3339(recall.at),
            sides: recall.sides.iter().map(side).collect(),
        }
    }
}
