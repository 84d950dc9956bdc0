//! What became of one item in a search, as it is said outside.

use ekphrasis_engine as engine;
use serde::Serialize;

use super::shown;

/// What became of the item that was asked about.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Why {
    /// The item.
    pub id: String,
    /// Its file; null if it is none, or not known.
    pub path: Option<String>,
    /// `shown`, `other_page`, `not_indexed`, `failed`, `other_kind`, `filtered`, `disliked`,
    /// `copy`, `below_confidence` or `not_ranked`: the first that holds.
    pub reason: &'static str,
    /// The same for a person.
    pub words: String,
    /// Its place among all hits, from 1; null if it has none.
    pub rank: Option<usize>,
    /// What it was ranked by; null if it was not.
    pub score: Option<f32>,
    /// Cosine to the query as it is steered; null if the query has no vector.
    pub cosine: Option<f32>,
    /// Calibrated probability of being relevant; null if the model is not calibrated.
    pub confidence: Option<f32>,
    /// The conditions of the filter that it does not meet. Not there if it meets all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmet: Vec<String>,
    /// The item of which it is a copy. Only there if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<CopyOf>,
}

/// An item that stands for its copies.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct CopyOf {
    /// The item.
    pub id: String,
    /// Its file.
    pub path: Option<String>,
}

impl Why {
    /// What became of it in `request`.
    pub(super) fn new(why: &engine::Why, request: &engine::SearchRequest) -> Self {
        use engine::WhyReason as Reason;
        let rank = why.rank.unwrap_or_default();
        let (reason, words) = match &why.reason {
            Reason::Shown => ("shown", format!("it is hit {rank}")),
            Reason::OtherPage => (
                "other_page",
                format!(
                    "it is hit {rank}; shown are {} to {}",
                    request.offset + 1,
                    request.offset + request.k
                ),
            ),
            Reason::NotIndexed => (
                "not_indexed",
                "it is not in the index, and nothing failed: its folder was not indexed since it \
                 is there, or it was left out"
                    .into(),
            ),
            Reason::Failed(reason) => ("failed", format!("it could not be indexed: {reason}")),
            Reason::OtherKind => {
                let wanted = match request.kind {
                    Some(engine::Kind::Text) => "only texts were looked for, and it is a picture",
                    _ => "only pictures were looked for, and it is a text",
                };
                ("other_kind", wanted.into())
            }
            Reason::Filtered(unmet) => (
                "filtered",
                format!("the filter keeps it out: it does not meet {}", unmet.join(", nor ")),
            ),
            Reason::Disliked => ("disliked", "it was disliked".into()),
            Reason::CopyOf(id, path) => {
                let name = path.as_ref().map_or_else(|| id.to_string(), |path| shown(path));
                ("copy", format!("it is left out as a copy of {name}"))
            }
            Reason::BelowConfidence => (
                "below_confidence",
                match why.confidence {
                    Some(p) => format!(
                        "it would be hit {rank}, but fits with a probability of {p:.2}, under {}",
                        request.min_confidence.unwrap_or_default()
                    ),
                    None => format!("it would be hit {rank}, but how well it fits cannot be told"),
                },
            ),
            Reason::NotRanked if request.mode == engine::Mode::Text => {
                ("not_ranked", "none of the words is in its caption, tags or name".into())
            }
            Reason::NotRanked => ("not_ranked", "too many others fit better".into()),
        };
        let copy_of = match &why.reason {
            Reason::CopyOf(id, path) => {
                Some(CopyOf { id: id.to_string(), path: path.as_deref().map(shown) })
            }
            _ => None,
        };
        let unmet = match &why.reason {
            Reason::Filtered(unmet) => unmet.clone(),
            _ => vec![],
        };
        Self {
            id: why.id.to_string(),
            path: why.path.as_deref().map(shown),
            reason,
            words,
            rank: why.rank,
            score: why.score,
            cosine: why.cosine,
            confidence: why.confidence,
            unmet,
            copy_of,
        }
    }
}
