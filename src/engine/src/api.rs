//! What one may ask the engine and what it answers. Plain types: the edges
//! (command line, HTTP) turn them into their own wire forms.

use std::path::PathBuf;

use crate::Generation;
use crate::confidence::Anything;
use crate::{Feedback, Why};
use ekphrasis_embed::Embedding;
use ekphrasis_index::{Applied, Expr, FoundWord, GivenLabel, Hit, Item, ItemId, Kind, Recall};

/// Where a picture comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    Path(PathBuf),
    /// A file that was sent along.
    Sent {
        /// The part of the request that it came as, such as `image`.
        field: String,
        /// What is in it.
        bytes: Vec<u8>,
    },
}

/// One part of a query.
#[derive(Clone, Debug)]
pub struct Part {
    /// What to look for.
    pub what: PartQuery,
    /// How much it counts; below zero it pushes away. Finite, not zero.
    pub weight: f32,
}

/// What a part looks for.
#[derive(Clone, Debug)]
pub enum PartQuery {
    /// Words.
    Text(String),
    /// A picture.
    Image(Source),
    /// An item that is in the store ("more like this").
    Id(ItemId),
    /// A vector someone already has, in the store's space.
    Embedding(Embedding),
}

/// Which rankings take part in a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Vectors and words, fused by reciprocal rank.
    #[default]
    Hybrid,
    /// Vectors only.
    Vector,
    /// Words only (BM25 over captions, file and folder names, tags).
    Text,
}

/// A search.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// What to look for; at least one part with a positive weight, or something liked.
    pub parts: Vec<Part>,
    /// What was found to fit and not to fit: it steers the vector, and hides what was disliked.
    pub feedback: Feedback,
    /// Hits wanted, 1..=1000.
    pub k: usize,
    /// Hits to skip.
    pub offset: usize,
    /// Which rankings.
    pub mode: Mode,
    /// Only this kind of item.
    pub kind: Option<Kind>,
    /// Only items that this accepts.
    pub filter: Option<Expr>,
    /// Compare with every vector.
    pub exact: bool,
    /// Say of each hit which words found it.
    pub explain: bool,
    /// Of pictures that are copies of one another, give the best hit only.
    pub collapse: bool,
    /// How much the first 256 hits are to differ from one another, in 0..=1; with 0 they come by
    /// how well they fit alone.
    pub diversity: f32,
    /// Only pictures that fit with at least this probability, in 0..=1; texts stay.
    pub min_confidence: Option<f32>,
    /// Say of this item where it stands, or why it is not among the hits.
    pub why: Option<ItemId>,
    /// The model whose text tower embeds the words, through a bridge into the store's space.
    pub bridge: Option<String>,
}

impl SearchRequest {
    /// Ten hybrid hits for `parts`, of any kind.
    pub fn new(parts: Vec<Part>) -> Self {
        Self {
            parts,
            feedback: Feedback::default(),
            k: 10,
            offset: 0,
            mode: Mode::default(),
            kind: None,
            filter: None,
            exact: false,
            explain: false,
            collapse: false,
            diversity: 0.0,
            min_confidence: None,
            why: None,
            bridge: None,
        }
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct SearchReply {
    /// The best first.
    pub hits: Vec<SearchHit>,
    /// The rankings that took part: hybrid without words is vector.
    pub mode: Mode,
    /// How many items could have been found (the filter lets them through).
    pub total_candidates: u64,
    /// Id of the space that was searched in.
    pub space: String,
    /// Whether anything fits; `None` where that cannot be told: with texts among the hits,
    /// by words alone, or of pictures by a model that is not calibrated.
    pub anything: Option<Anything>,
    /// Hits of this page that were left out because they fit too little.
    pub below_confidence: usize,
    /// What became of the item that was asked about.
    pub why: Option<Why>,
    /// Milliseconds from request to reply, encoding included.
    pub took_ms: f64,
    /// What the store noticed to be wrong with itself, a sentence each.
    pub warnings: Vec<String>,
}

/// One found item.
#[derive(Clone, Debug)]
pub struct SearchHit {
    /// From 1, offset included.
    pub rank: usize,
    /// The item.
    pub item: Item,
    /// Cosine in vector mode, BM25 in text mode, fused RRF score in hybrid mode.
    pub score: f32,
    /// Cosine to the whole query as it is steered, if it has a vector.
    pub cosine: Option<f32>,
    /// Calibrated probability of being relevant; `None`: the model is not calibrated.
    pub confidence: Option<f32>,
    /// Found by its vector.
    pub via_vector: bool,
    /// Found by its words.
    pub via_text: bool,
    /// Each part's own cosine, and BM25 if the words found it.
    pub parts: Vec<PartScore>,
    /// Which words found it, and where, if that was asked for.
    pub words: Vec<FoundWord>,
    /// How many copies of it were left out after it, if that was asked for.
    pub copies: usize,
    /// Labels that it has of label sets that were applied, the most probable first.
    pub given: Vec<GivenLabel>,
}

impl SearchHit {
    /// What a store found, with how far each part of the query agrees with it. Nothing is known
    /// yet of confidence, copies and labels.
    pub(crate) fn found(rank: usize, item: Item, hit: Hit, mut parts: Vec<PartScore>) -> Self {
        if let Some(bm25) = hit.bm25 {
            parts.push(PartScore { part: "words".into(), score: bm25, weight: 1.0 });
        }
        Self {
            rank,
            item,
            score: hit.score,
            cosine: hit.cosine,
            confidence: None,
            via_vector: hit.via_vector,
            via_text: hit.bm25.is_some(),
            parts,
            words: hit.words,
            copies: 0,
            given: vec![],
        }
    }
}

/// How much one part agrees with a hit.
#[derive(Clone, Debug)]
pub struct PartScore {
    /// The words, `image`, the item's id; `liked` and `disliked` for all that was; `words` for
    /// the BM25 part.
    pub part: String,
    /// Cosine (BM25 for the `words` part, the mean of cosines for `liked` and `disliked`).
    pub score: f32,
    /// The part's weight.
    pub weight: f32,
}

/// Zero-shot classification of pictures.
#[derive(Clone, Debug)]
pub struct LabelRequest {
    /// At least two different labels.
    pub labels: Vec<String>,
    /// Prompt templates with `{}` for the label; empty: the model's own.
    pub templates: Vec<String>,
    /// Judge each label by itself, and not against the others.
    pub multi: bool,
}

/// What one picture was classified as.
#[derive(Clone, Debug)]
pub struct LabelReply {
    /// Every label, the most probable first; probabilities and `none_of_these` sum to 1,
    /// unless each label was judged by itself.
    pub labels: Vec<LabelScore>,
    /// The probability that none of the labels fits; `None`: the model is not calibrated for
    /// it, or each label was judged by itself.
    pub none_of_these: Option<f32>,
    /// The broader labels of those that are paths (`animal > dog`), the most probable first.
    pub groups: Vec<LabelGroup>,
}

/// A broader label, and what those below it come to.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelGroup {
    /// As in the labels: `animal` of `animal > dog`.
    pub label: String,
    /// The sum of its labels' shares; the largest, if each label was judged by itself. In 0..=1.
    pub probability: f32,
}

/// One label's share.
#[derive(Clone, Debug)]
pub struct LabelScore {
    /// The label as given.
    pub label: String,
    /// In 0..=1.
    pub probability: f32,
    /// Cosine between picture and label.
    pub score: f32,
}

/// A text near a picture.
#[derive(Clone, Debug)]
pub struct Description {
    /// The text.
    pub text: String,
    /// Cosine.
    pub score: f32,
    /// The text item, if it is one of the store and not of the vocabulary.
    pub id: Option<ItemId>,
}

/// A store's state in short.
#[derive(Clone, Debug)]
pub struct Status {
    /// Where the store lies.
    pub data: PathBuf,
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
    /// How vectors are searched: `exact scan`, or `graph` and its size.
    pub vector_index: String,
    /// How much that misses, if it was measured.
    pub recall: Option<Recall>,
    /// Folders the store was made from.
    pub roots: Vec<PathBuf>,
    /// What the store noticed to be wrong with itself, a sentence each.
    pub warnings: Vec<String>,
    /// Folders whose last run was stopped or killed: not all of them is known.
    pub unfinished: Vec<PathBuf>,
    /// Label sets that were applied to the pictures.
    pub labels: Vec<Applied>,
    /// Whether a scan of the folders is going on (`ek up`).
    pub indexing: Option<Progress>,
}

/// Of how many pictures something is known that their files tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// When they were taken.
    pub taken: u64,
    /// By which camera.
    pub camera: u64,
    /// Where.
    pub place: u64,
}

/// How far an indexing run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// Files looked at.
    pub seen: u64,
    /// Embedded and stored.
    pub indexed: u64,
    /// Left alone: nothing changed.
    pub unchanged: u64,
    /// Forgotten: the file is gone.
    pub removed: u64,
    /// Recorded in the ledger with a reason.
    pub failed: u64,
    /// Of `failed`: not tried again, since the files have not changed.
    pub still_failing: u64,
    /// Of `indexed`: not encoded again, since the same content was known.
    pub reused: u64,
    /// Of `reused`: files that were elsewhere before.
    pub moved: u64,
    /// Files found that are still to be read, decoded and encoded.
    pub waiting: u64,
    /// When those will be done, in seconds from now; `None` while not all files are
    /// found or no rate is known.
    pub eta_seconds: Option<f64>,
    /// Since the start.
    pub seconds: f64,
}
