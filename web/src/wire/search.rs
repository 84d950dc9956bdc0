//! What a search was understood to be and what it found, as they are said outside.

use ekphrasis_engine as engine;
use serde::Serialize;

use super::confidence::Anything;
use super::item::{Item, Meta};
use super::why::Why;
use super::{rounded, shown};

/// What a search was understood to be, and what it found.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SearchReply {
    /// The request as understood, with every default filled in.
    pub query: SearchQuery,
    /// Milliseconds from request to reply, encoding included.
    pub took_ms: f64,
    /// How many items could have been found.
    pub total_candidates: u64,
    /// Id of the space that was searched in; another one once the store has another model.
    pub space: String,
    /// Whether anything fits; null where that cannot be told.
    pub anything: Option<Anything>,
    /// Hits of this page that `min_confidence` left out. Not there if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub below_confidence: usize,
    /// What became of the item that `why` named. Only there if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
    /// The best first.
    pub hits: Vec<Hit>,
    /// What the store noticed to be wrong with itself, a sentence each: something may be
    /// missing from the hits then. Left out if there is nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A search request, echoed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SearchQuery {
    /// What was looked for.
    pub parts: Vec<QueryPart>,
    /// What was liked: ids, or paths of pictures. Not there if nothing was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub liked: Vec<String>,
    /// What was disliked. Not there if nothing was.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disliked: Vec<String>,
    /// Hits wanted.
    pub k: usize,
    /// Hits left out before the first.
    pub offset: usize,
    /// `hybrid`, `vector` or `text`.
    pub mode: &'static str,
    /// `images`, `texts` or `all`.
    #[serde(rename = "for")]
    pub kind: &'static str,
    /// The filter as understood; null if there was none.
    pub filter: Option<String>,
    /// Whether every vector was compared.
    pub exact: bool,
    /// Whether copies are left out. Not there if they are not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub collapse: bool,
    /// How much hits are to differ. Not there if it is 0.
    #[serde(skip_serializing_if = "is_nothing")]
    pub diversity: f32,
    /// The least confidence that was asked for. Not there if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<f32>,
    /// The model that embedded the words, through a bridge. Not there if the store's own did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_nothing(n: &f32) -> bool {
    *n == 0.0
}

/// One part of a query: exactly one of its fields but the weight is there.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct QueryPart {
    /// Words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A picture: its path, or `upload`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// An item.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The space of a vector that was given as such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<String>,
    /// How much it counts.
    pub weight: f32,
}

/// One found item.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Hit {
    /// From 1, offset included.
    pub rank: usize,
    /// Stable id.
    pub id: String,
    /// `image` or `text`.
    pub kind: &'static str,
    /// Absolute path, for a file.
    pub path: Option<String>,
    /// The text itself, or a picture's captions.
    pub caption: Option<String>,
    /// Cosine in vector mode, BM25 in text mode, fused RRF score in hybrid mode.
    pub score: f32,
    /// Cosine to the query as it is steered; null if the query has no vector.
    pub cosine: Option<f32>,
    /// Calibrated probability of being relevant; null if the model is not calibrated.
    pub confidence: Option<f32>,
    /// Which rankings found it: `vector`, `text`.
    pub via: Vec<&'static str>,
    /// Each part's own cosine, and BM25 if words found it.
    pub parts: Vec<PartScore>,
    /// Which words found it, and where; there only if `explain` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matched: Option<Vec<Matched>>,
    /// How many copies of it were left out; there only if `collapse` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<usize>,
    /// Facts about the file, and tags.
    pub meta: Meta,
}

/// A word of the query and the word of an item that it found.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Matched {
    /// Of the query, without case and accents.
    pub word: String,
    /// Of the item, without case and accents.
    pub found: String,
    /// `caption`, `tag`, `name`, `folder` or `camera`.
    pub field: &'static str,
    /// `same`, `beginning` or `similar`.
    pub how: &'static str,
}

/// How much one part agrees with a hit.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct PartScore {
    /// The words, `image`, an item's id; `liked` and `disliked` for all that was; `words` for BM25.
    pub part: String,
    /// Cosine; BM25 for `words`, the mean of cosines for `liked` and `disliked`.
    pub score: f32,
    /// The part's weight.
    pub weight: f32,
}

impl SearchReply {
    /// What `request` was answered with.
    pub fn new(reply: &engine::SearchReply, request: &engine::SearchRequest) -> Self {
        Self {
            query: SearchQuery::new(request, reply.mode),
            took_ms: rounded(reply.took_ms),
            total_candidates: reply.total_candidates,
            space: reply.space.clone(),
            anything: reply.anything.as_ref().map(Anything::from),
            below_confidence: reply.below_confidence,
            why: reply.why.as_ref().map(|why| Why::new(why, request)),
            hits: reply.hits.iter().map(|hit| Hit::new(hit, request)).collect(),
            warnings: reply.warnings.clone(),
        }
    }
}

impl SearchQuery {
    /// The request, with the rankings that took part.
    fn new(request: &engine::SearchRequest, mode: engine::Mode) -> Self {
        Self {
            parts: request.parts.iter().map(QueryPart::from).collect(),
            liked: request.feedback.liked.iter().map(judged).collect(),
            disliked: request.feedback.disliked.iter().map(judged).collect(),
            k: request.k,
            offset: request.offset,
            mode: match mode {
                engine::Mode::Hybrid => "hybrid",
                engine::Mode::Vector => "vector",
                engine::Mode::Text => "text",
            },
            kind: match request.kind {
                Some(engine::Kind::Image) => "images",
                Some(engine::Kind::Text) => "texts",
                None => "all",
            },
            filter: request.filter.as_ref().map(ToString::to_string),
            exact: request.exact,
            collapse: request.collapse,
            diversity: request.diversity,
            min_confidence: request.min_confidence,
            bridge: request.bridge.clone(),
        }
    }
}

/// What was judged, by what it is known by.
fn judged(example: &engine::Example) -> String {
    match example {
        engine::Example::Item(id) => id.to_string(),
        engine::Example::Picture(engine::Source::Path(path)) => shown(path),
        engine::Example::Picture(engine::Source::Sent { .. }) => "upload".into(),
    }
}

impl From<&engine::Part> for QueryPart {
    fn from(part: &engine::Part) -> Self {
        let empty = Self { weight: part.weight, ..Self::default() };
        match &part.what {
            engine::PartQuery::Text(text) => Self { text: Some(text.clone()), ..empty },
            engine::PartQuery::Image(engine::Source::Path(path)) => {
                Self { image: Some(shown(path)), ..empty }
            }
            engine::PartQuery::Image(engine::Source::Sent { .. }) => {
                Self { image: Some("upload".into()), ..empty }
            }
            engine::PartQuery::Id(id) => Self { id: Some(id.to_string()), ..empty },
            engine::PartQuery::Embedding(vector) => {
                Self { embedding: Some(vector.space().id().into()), ..empty }
            }
        }
    }
}

impl Hit {
    fn new(hit: &engine::SearchHit, request: &engine::SearchRequest) -> Self {
        let Item { id, kind, path, caption, meta } = Item::labelled(&hit.item, &hit.given);
        let via = [(hit.via_vector, "vector"), (hit.via_text, "text")];
        let parts = hit.parts.iter().map(|part| PartScore {
            part: part.part.clone(),
            score: part.score,
            weight: part.weight,
        });
        Self {
            rank: hit.rank,
            id,
            kind,
            path,
            caption,
            score: hit.score,
            cosine: hit.cosine,
            confidence: hit.confidence,
            via: via.into_iter().filter_map(|(found, name)| found.then_some(name)).collect(),
            parts: parts.collect(),
            copies: request.collapse.then_some(hit.copies),
            matched: request.explain.then(|| hit.words.iter().map(Matched::from).collect()),
            meta,
        }
    }
}

impl From<&engine::FoundWord> for Matched {
    fn from(found: &engine::FoundWord) -> Self {
        Self {
            word: found.word.clone(),
            found: found.found.clone(),
            field: found.field.as_str(),
            how: found.how.as_str(),
        }
    }
}
