//! Given what the engine answers, how does it look as JSON? The same here for
//! HTTP and for `--json` on the command line.
//!
//! Field names are a promise to scripts: add, but rename nothing.

use std::path::Path;

use ekphrasis_engine as engine;
use serde::Serialize;

use crate::date::rfc3339;

/// What a search was understood to be, and what it found.
#[derive(Clone, Debug, Serialize)]
pub struct SearchReply {
    /// The request as understood, with every default filled in.
    pub query: SearchQuery,
    /// Milliseconds from request to reply, encoding included.
    pub took_ms: f64,
    /// How many items could have been found.
    pub total_candidates: u64,
    /// The best first.
    pub hits: Vec<Hit>,
}

/// A search request, echoed.
#[derive(Clone, Debug, Serialize)]
pub struct SearchQuery {
    /// What was looked for.
    pub parts: Vec<QueryPart>,
    /// Hits wanted.
    pub k: usize,
    /// Hits left out before the first.
    pub offset: usize,
    /// `hybrid`, `vector` or `text`.
    pub mode: &'static str,
    /// `images`, `texts` or `all`.
    #[serde(rename = "for")]
    pub kind: &'static str,
    /// Whether every vector was compared.
    pub exact: bool,
}

/// One part of a query: exactly one of its fields but the weight is there.
#[derive(Clone, Debug, Default, Serialize)]
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
    /// Cosine to the query; null if the query has no vector.
    pub cosine: Option<f32>,
    /// Calibrated probability of being relevant; null if the model is not calibrated.
    pub confidence: Option<f32>,
    /// Which rankings found it: `vector`, `text`.
    pub via: Vec<&'static str>,
    /// Each part's own cosine, and BM25 if words found it.
    pub parts: Vec<PartScore>,
    /// Facts about the file, and tags.
    pub meta: Meta,
}

/// How much one part agrees with a hit.
#[derive(Clone, Debug, Serialize)]
pub struct PartScore {
    /// The words, `image`, an item's id, or `words` for BM25.
    pub part: String,
    /// Cosine, or BM25 for `words`.
    pub score: f32,
    /// The part's weight.
    pub weight: f32,
}

/// An item without a score.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    /// Stable id.
    pub id: String,
    /// `image` or `text`.
    pub kind: &'static str,
    /// Absolute path, for a file.
    pub path: Option<String>,
    /// The text itself, or a picture's captions.
    pub caption: Option<String>,
    /// Facts about the file, and tags.
    pub meta: Meta,
}

/// Facts about an item; those of files are there for files only.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Meta {
    /// Upright width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Upright height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Length in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Format by content, such as `jpeg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// When the file was last changed, RFC 3339 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// BLAKE3 of the file, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A stretch of the items, in the order of ids.
#[derive(Clone, Debug, Serialize)]
pub struct ItemList {
    /// The items.
    pub items: Vec<Item>,
    /// What to give as `after` for the next stretch; null at the end.
    pub next: Option<String>,
}

/// What pictures were classified as.
#[derive(Clone, Debug, Serialize)]
pub struct LabelReply {
    /// In the order they were given.
    pub images: Vec<LabelledImage>,
}

/// What one picture was classified as.
#[derive(Clone, Debug, Serialize)]
pub struct LabelledImage {
    /// Its path; null for an upload.
    pub path: Option<String>,
    /// The most probable first; with `none_of_these` the probabilities sum to 1.
    pub labels: Vec<LabelScore>,
    /// The probability that no label fits; null if the model is not calibrated for it.
    pub none_of_these: Option<f32>,
}

/// One label's share.
#[derive(Clone, Debug, Serialize)]
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
pub struct DescribeReply {
    /// In the order they were given.
    pub images: Vec<DescribedImage>,
}

/// The texts nearest to one picture.
#[derive(Clone, Debug, Serialize)]
pub struct DescribedImage {
    /// Its path; null for an upload.
    pub path: Option<String>,
    /// The nearest first.
    pub descriptions: Vec<Description>,
}

/// A text near a picture.
#[derive(Clone, Debug, Serialize)]
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
pub struct EmbedReply {
    /// Only vectors of one space can be compared.
    pub space: String,
    /// How many numbers.
    pub dim: usize,
    /// Of unit length.
    pub embedding: Vec<f32>,
}

/// A store's state in short.
#[derive(Clone, Debug, Serialize)]
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
    /// How vectors are searched.
    pub vector_index: String,
    /// Folders the store was made from.
    pub roots: Vec<String>,
    /// What the store noticed to be wrong with itself, a sentence each.
    pub warnings: Vec<String>,
    /// How far indexing is; null if none is going on.
    pub indexing: Option<Progress>,
}

/// How far an indexing run is, or what it did.
#[derive(Clone, Debug, Serialize)]
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
    /// Since the start.
    pub seconds: f64,
}

/// Files that are not in the store.
#[derive(Clone, Debug, Serialize)]
pub struct FailureList {
    /// One for each file or folder.
    pub failures: Vec<Failure>,
}

/// A file that is not in the store, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The file or folder.
    pub path: String,
    /// In a sentence.
    pub reason: String,
    /// RFC 3339 in UTC.
    pub at: String,
}

impl SearchReply {
    /// What `request` was answered with.
    pub fn new(reply: &engine::SearchReply, request: &engine::SearchRequest) -> Self {
        Self {
            query: SearchQuery::new(request, reply.mode),
            took_ms: rounded(reply.took_ms),
            total_candidates: reply.total_candidates,
            hits: reply.hits.iter().map(Hit::from).collect(),
        }
    }
}

impl SearchQuery {
    /// The request, with the rankings that took part.
    fn new(request: &engine::SearchRequest, mode: engine::Mode) -> Self {
        Self {
            parts: request.parts.iter().map(QueryPart::from).collect(),
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
            exact: request.exact,
        }
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
            engine::PartQuery::Image(engine::Source::Bytes(_)) => {
                Self { image: Some("upload".into()), ..empty }
            }
            engine::PartQuery::Id(id) => Self { id: Some(id.to_string()), ..empty },
            engine::PartQuery::Embedding(vector) => {
                Self { embedding: Some(vector.space().id().into()), ..empty }
            }
        }
    }
}

impl From<&engine::SearchHit> for Hit {
    fn from(hit: &engine::SearchHit) -> Self {
        let Item { id, kind, path, caption, meta } = (&hit.item).into();
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
            meta,
        }
    }
}

impl From<&engine::Item> for Item {
    fn from(item: &engine::Item) -> Self {
        let mut meta = Meta { tags: item.tags.clone(), ..Meta::default() };
        if let Some(file) = &item.file {
            meta.width = Some(file.width);
            meta.height = Some(file.height);
            meta.size = Some(file.size);
            meta.format = Some(file.format.clone());
            meta.modified = Some(rfc3339(file.mtime_ns.div_euclid(1_000_000_000)));
            meta.blake3 = Some(file.content.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        Self {
            id: item.id.to_string(),
            kind: item.kind.as_str(),
            path: item.path.as_deref().map(shown),
            caption: item.text.clone(),
            meta,
        }
    }
}

impl ItemList {
    /// A stretch of items that was asked for with this `limit`.
    pub fn new(items: &[engine::Item], limit: usize) -> Self {
        // A short stretch is the last one; a full one may be, which the next call shows.
        let last = items.last().filter(|_| items.len() >= limit);
        Self {
            items: items.iter().map(Item::from).collect(),
            next: last.map(|item| item.id.to_string()),
        }
    }
}

impl LabelledImage {
    /// What the picture at `path` (`None`: an upload) was classified as.
    pub fn new(path: Option<&Path>, reply: &engine::LabelReply) -> Self {
        let labels = reply.labels.iter().map(|label| LabelScore {
            label: label.label.clone(),
            probability: label.probability,
            score: label.score,
        });
        Self { path: path.map(shown), labels: labels.collect(), none_of_these: reply.none_of_these }
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
            seq: status.seq,
            model: status.model.clone(),
            space: status.space.clone(),
            dim: status.dim,
            model_note: status.model_note.clone(),
            vector_index: status.vector_index.clone(),
            roots: status.roots.iter().map(|root| shown(root)).collect(),
            warnings: status.warnings.clone(),
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
            seconds: rounded(progress.seconds),
        }
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
fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// To hundredths: finer times are noise.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn picture() -> engine::Item {
        engine::Item {
            id: engine::ItemId::from_bytes([0xab; 16]),
            kind: engine::Kind::Image,
            path: Some("/pictures/a cat.jpg".into()),
            text: None,
            tags: vec![],
            file: Some(engine::FileFacts {
                size: 1234,
                mtime_ns: 1_700_000_000_500_000_000,
                content: [7; 32],
                width: 40,
                height: 30,
                format: "jpeg".into(),
            }),
        }
    }

    #[test]
    fn a_search_reply_has_the_promised_names() {
        let part = |what| engine::Part { what, weight: 1.0 };
        let mut request = engine::SearchRequest::new(vec![
            part(engine::PartQuery::Text("cat".into())),
            part(engine::PartQuery::Image(engine::Source::Bytes(vec![1]))),
        ]);
        request.kind = Some(engine::Kind::Image);
        let hit = engine::SearchHit {
            rank: 1,
            item: picture(),
            score: 0.25,
            cosine: Some(0.25),
            confidence: None,
            via_vector: true,
            via_text: false,
            parts: vec![engine::PartScore { part: "cat".into(), score: 0.5, weight: 1.0 }],
        };
        let reply = engine::SearchReply {
            hits: vec![hit],
            total_candidates: 9,
            mode: engine::Mode::Hybrid,
            took_ms: 3.7512,
        };
        let seen = serde_json::to_value(SearchReply::new(&reply, &request)).expect("plain data");
        assert_eq!(
            seen,
            json!({
                "query": {
                    "parts": [{"text": "cat", "weight": 1.0}, {"image": "upload", "weight": 1.0}],
                    "k": 10, "offset": 0, "mode": "hybrid", "for": "images", "exact": false,
                },
                "took_ms": 3.75,
                "total_candidates": 9,
                "hits": [{
                    "rank": 1, "id": "ab".repeat(16), "kind": "image",
                    "path": "/pictures/a cat.jpg", "caption": null,
                    "score": 0.25, "cosine": 0.25, "confidence": null, "via": ["vector"],
                    "parts": [{"part": "cat", "score": 0.5, "weight": 1.0}],
                    "meta": {"width": 40, "height": 30, "size": 1234, "format": "jpeg",
                             "modified": "2023-11-14T22:13:20Z", "blake3": "07".repeat(32)},
                }],
            })
        );
    }

    #[test]
    fn a_label_reply_has_the_promised_names() {
        let score = engine::LabelScore { label: "cat".into(), probability: 0.75, score: 0.5 };
        let reply = engine::LabelReply { labels: vec![score], none_of_these: Some(0.25) };
        let images = vec![LabelledImage::new(Some(Path::new("/a.jpg")), &reply)];
        let seen = serde_json::to_value(LabelReply { images }).expect("plain data");
        let label = json!({"label": "cat", "probability": 0.75, "score": 0.5});
        let image = json!({"path": "/a.jpg", "labels": [label], "none_of_these": 0.25});
        assert_eq!(seen, json!({"images": [image]}));
    }

    #[test]
    fn a_listing_ends_when_it_comes_short() {
        let items = [picture(), picture()];
        assert_eq!(ItemList::new(&items, 3).next, None);
        assert_eq!(ItemList::new(&items, 2).next, Some("ab".repeat(16)));
        assert_eq!(ItemList::new(&[], 2).next, None);
    }
}
