//! What did a label set say of the pictures of a store? Answers that are kept beside
//! items, so that filters and facets know them and nothing is encoded again.

use crate::NameKind;

/// When a label counts as said of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelRule {
    /// The least probability, in 0..=1.
    pub minimum: f64,
    /// Whether a picture may have several labels, each judged by itself.
    pub multi: bool,
}

/// A label set that was applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The set.
    pub set: String,
    /// When its labels count.
    pub rule: LabelRule,
    /// When it was applied, or went on with newer pictures; seconds since 1970 UTC.
    pub at: i64,
    /// Living pictures that it was asked of.
    pub pictures: u64,
    /// Living pictures that came later.
    pub waiting: u64,
    /// Answers, those of pictures that are gone included.
    pub answers: u64,
    /// Whether the set is another one now: its answers are of the former.
    pub changed: bool,
}

/// A label that a set gave to a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenLabel {
    /// The set.
    pub set: String,
    /// The label.
    pub label: String,
    /// How probable it was, in 0..=1.
    pub probability: f32,
}

/// One answer: the picture in this row has that label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelAnswer {
    /// Of a [`Pictures`](crate::Pictures).
    pub row: u64,
    /// Place among the labels.
    pub label: u32,
    /// In 0..=1.
    pub probability: f32,
}

/// The answers of a set for the pictures that were looked at.
#[derive(Clone, Copy, Debug)]
pub struct LabelAnswers<'a> {
    /// The set, by name.
    pub set: &'a str,
    /// Of the set when its vectors were read; see [`LocalStore::stamp`](crate::LocalStore::stamp).
    pub stamp: i64,
    /// When labels count.
    pub rule: LabelRule,
    /// Its labels.
    pub labels: &'a [String],
    /// What was found.
    pub answers: &'a [LabelAnswer],
    /// Seconds since 1970 UTC.
    pub at: i64,
}

/// What became of answers that were to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// They are on disk.
    Yes,
    /// The set or the numbering of the pictures is another one meanwhile: nothing was
    /// written, look again.
    Outdated,
}

/// The kind of names that can be applied.
pub(crate) const KIND: NameKind = NameKind::LabelSet;
