//! Words: what of an item is searched as words, and the index that finds them.

mod index;
mod read_only;
mod words;

pub use index::TextError;
pub(crate) use index::{TextIndex, TextSearcher};
pub(crate) use words::{Analyzer, Words};
