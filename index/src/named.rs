//! What stands for a name that is no item? Vectors that were given for it: examples of
//! an identity, the words and pictures of each label of a set.

use ekphrasis_embed::Embedding;

/// What a name stands for. Names of different kinds do not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameKind {
    /// One thing, known by examples.
    Identity,
    /// A list of labels, each known by words, by examples, or by both.
    LabelSet,
}

/// A name with the vectors that stand for it, in the order in which they were given.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// The name, as written.
    pub name: String,
    /// When it was last changed, seconds since 1970 UTC.
    pub at: i64,
    /// The vectors; of the space that they were made in, which may be another than the
    /// store's.
    pub vectors: Vec<NamedVector>,
}

/// One vector of a name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedVector {
    /// Which part of the whole it belongs to: a label of a set, nothing for an identity.
    pub part: String,
    /// What it was made of.
    pub origin: Origin,
    /// The vector.
    pub embedding: Embedding,
}

/// What a vector was made of; neither is needed any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Words.
    Words(String),
    /// A picture.
    Picture {
        /// BLAKE3 of its file.
        content: [u8; 32],
        /// Its path, or what it was called.
        source: String,
    },
}
