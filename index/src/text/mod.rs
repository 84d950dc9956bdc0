//! Words: what of an item is searched as words, and the index that finds them.

mod files;
mod index;
mod words;

pub use index::TextError;
pub(crate) use index::{TextIndex, TextSearcher};
pub(crate) use words::{Analyzer, Words};
