//! What a store of embedded content is, whoever keeps it: a local directory
//! today, a cluster tomorrow.
//!
//! Reading and writing are two traits, so that a reader cannot be handed the
//! power to change anything. No method has a default body: an implementation
//! that forgets one does not compile.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ekphrasis_embed::{Embedding, Space};

use crate::{Expr, Facts, FoundWord, StoreError};

/// The stable name of an item: the same file path, or the same text, always
/// gets the same id. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemId(u128);

impl ItemId {
    /// The id of the file at `path`, which should be absolute.
    pub fn for_path(path: &std::path::Path) -> Self {
        Self::derive("path", path.as_os_str().as_encoded_bytes())
    }

    /// The id of a text.
    pub fn for_text(text: &str) -> Self {
        Self::derive("text", text.as_bytes())
    }

    /// The id of content that has no path, by the content itself.
    pub fn for_content(bytes: &[u8]) -> Self {
        Self::derive("content", bytes)
    }

    fn derive(domain: &str, bytes: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(domain.as_bytes()).update(&[0]).update(bytes);
        let mut id = [0; 16];
        id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(u128::from_be_bytes(id))
    }

    /// The id's 16 bytes, for storage.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// An id from its 16 stored bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an id is 32 hexadecimal digits, got {0:?}")]
pub struct ParseIdError(String);

impl FromStr for ItemId {
    type Err = ParseIdError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let hex = s.len() == 32 && s.bytes().all(|b| b.is_ascii_hexdigit());
        match u128::from_str_radix(s, 16) {
            Ok(id) if hex => Ok(Self(id)),
            _ => Err(ParseIdError(s.into())),
        }
    }
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A picture, usually a file.
    Image,
    /// A text of its own, or a caption.
    Text,
}

impl Kind {
    /// `image` or `text`, as in filters and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
        }
    }
}

/// Everything known of an item but its vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Stable id.
    pub id: ItemId,
    /// Picture or text.
    pub kind: Kind,
    /// Absolute path, for a file.
    pub path: Option<PathBuf>,
    /// The text itself, or a picture's captions, one a line. Searched as words.
    pub text: Option<String>,
    /// Tags. Searched as words.
    pub tags: Vec<String>,
    /// What it was said to show, in the words of a list of classes. Searched as words.
    pub labels: Vec<String>,
    /// Facts about the file, for an item that is one.
    pub file: Option<FileFacts>,
    /// What the file tells of the picture; `None` if nobody looked.
    pub facts: Option<Facts>,
}

impl Item {
    /// A text with nothing else to it.
    pub fn of_text(text: &str) -> Self {
        Self {
            id: ItemId::for_text(text),
            kind: Kind::Text,
            path: None,
            text: Some(text.into()),
            tags: vec![],
            labels: vec![],
            file: None,
            facts: None,
        }
    }

    /// A picture in a file at `path`, which should be absolute, with nothing else to it.
    pub fn of_picture(path: PathBuf, file: FileFacts) -> Self {
        Self {
            id: ItemId::for_path(&path),
            kind: Kind::Image,
            path: Some(path),
            text: None,
            tags: vec![],
            labels: vec![],
            file: Some(file),
            facts: None,
        }
    }
}

/// What was true of a file when it was embedded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Length in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970 UTC.
    pub mtime_ns: i64,
    /// BLAKE3 of the whole file.
    pub content: [u8; 32],
    /// Upright width in pixels.
    pub width: u32,
    /// Upright height in pixels.
    pub height: u32,
    /// Image format by content, lower case: `jpeg`, `png`…
    pub format: String,
}

/// An item with its vector: the unit of writing.
#[derive(Clone, Debug)]
pub struct Record {
    /// The item.
    pub item: Item,
    /// Its vector, in the store's space.
    pub embedding: Embedding,
}

/// Which items may be found. The default lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this kind.
    pub kind: Option<Kind>,
    /// Only what this accepts.
    pub expr: Option<Expr>,
}

impl Filter {
    /// Only items of this kind.
    pub fn of_kind(kind: Kind) -> Self {
        Self { kind: Some(kind), expr: None }
    }

    /// Whether `item` may be found.
    pub fn accepts(&self, item: &Item) -> bool {
        self.kind.is_none_or(|kind| kind == item.kind)
            && self.expr.as_ref().is_none_or(|expr| expr.accepts(item))
    }
}

impl From<Expr> for Filter {
    fn from(expr: Expr) -> Self {
        Self { kind: None, expr: Some(expr) }
    }
}

/// A search: by vector, by words, or by both, which fuses the two rankings.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Rank by cosine to this.
    pub vector: Option<Embedding>,
    /// Rank by BM25 of these words.
    pub words: Option<String>,
    /// How many hits, at most.
    pub k: usize,
    /// How many of the best to leave out before the first (paging).
    pub offset: usize,
    /// How much each ranking counts where both are fused.
    pub balance: Balance,
    /// Who may be found.
    pub filter: Filter,
    /// Compare with every vector instead of asking the graph.
    pub exact: bool,
    /// Say of each hit which words found it.
    pub explain: bool,
}

/// How much the two rankings of a search by vector and words count: weights of
/// their fusion, finite. A ranking with a weight of 0 or less does not take part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// Of the ranking by vector.
    pub vector: f32,
    /// Of the ranking by words.
    pub words: f32,
}

/// Equal weights.
impl Default for Balance {
    fn default() -> Self {
        Self { vector: 1.0, words: 1.0 }
    }
}

/// One found item.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Who.
    pub id: ItemId,
    /// Cosine for a vector query, BM25 for words, the fused RRF score for both.
    pub score: f32,
    /// Cosine to the query's vector, in −1..=1. Always there if the query has
    /// a vector, also for hits that were found by words only.
    pub cosine: Option<f32>,
    /// BM25, if the words found this item.
    pub bm25: Option<f32>,
    /// Whether the vector ranking found it (it may be known by words only).
    pub via_vector: bool,
    /// Which of the query's words found it, and where, if that was asked for.
    pub words: Vec<FoundWord>,
}

/// The number of a committed change; grows by one a commit.
pub type Seq = u64;

/// The half that reads.
///
/// # Contract
/// Every call sees one committed state, never half a batch. Hits are ordered by
/// descending score, ties by ascending id, so that equal stores answer equally.
/// An empty store answers everything with nothing found.
pub trait StoreRead: Send + Sync {
    /// The space of every vector here.
    fn space(&self) -> &Space;

    /// The newest commit a reader sees.
    fn seq(&self) -> Seq;

    /// The items with these ids, in the order of `ids`; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn items(&self, ids: &[ItemId]) -> Result<Vec<Option<Item>>, StoreError>;

    /// The vectors of these ids, in the order of `ids`; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn embeddings(&self, ids: &[ItemId]) -> Result<Vec<Option<Embedding>>, StoreError>;

    /// The best `k` items after the first `offset`.
    ///
    /// A query with neither vector nor words finds nothing. Words that occur
    /// nowhere find nothing by text.
    ///
    /// # Errors
    /// `SpaceMismatch` if the vector is of another space; otherwise as the
    /// store's reading fails.
    fn search(&self, query: &Query) -> Result<Vec<Hit>, StoreError>;

    /// How many items the filter lets through.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn count(&self, filter: &Filter) -> Result<u64, StoreError>;

    /// The next `limit` items after `after` in the order of ids, for walking through all.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    fn scan(
        &self,
        after: Option<ItemId>,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Item>, StoreError>;
}

/// The half that writes.
///
/// # Contract
/// A call that returned `Ok` is durable: it survives `kill -9` and power loss.
/// A call is atomic: after a crash all of it is there or nothing.
pub trait StoreWrite: StoreRead {
    /// Adds the records; one with a known id replaces it. Of several with one
    /// id in a batch the last wins. An empty batch changes nothing.
    ///
    /// # Errors
    /// `SpaceMismatch` if any vector is of another space (nothing is written);
    /// otherwise as the store's writing fails.
    fn upsert(&self, records: &[Record]) -> Result<Seq, StoreError>;

    /// Forgets these ids and says how many were there. Unknown ids are no error.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be written.
    fn delete(&self, ids: &[ItemId]) -> Result<u64, StoreError>;
}

/// Refuses a vector's space unless it is the store's.
pub(crate) fn same_space(expected: &Space, got: &Space) -> Result<(), StoreError> {
    if expected == got {
        return Ok(());
    }
    Err(StoreError::SpaceMismatch { expected: expected.clone(), got: got.clone(), path: None })
}

/// A file that is not in the store, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The file or folder.
    pub path: PathBuf,
    /// The reason, in a sentence.
    pub reason: String,
    /// When, seconds since 1970 UTC.
    pub at: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_do_not_collide_across_kinds() {
        let id = ItemId::for_path("/a/b.jpg".as_ref());
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(ItemId::from_bytes(id.to_bytes()), id);
        assert_ne!(ItemId::for_text("/a/b.jpg"), id);
        for bad in ["", "xyz", "+1111111111111111111111111111111", &"0".repeat(33)] {
            assert!(bad.parse::<ItemId>().is_err(), "{bad:?}");
        }
    }
}
