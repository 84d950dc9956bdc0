//! Words: what of an item is searched as words, and the index that finds them.

mod files;
mod fold;
mod index;
pub(crate) mod typo;
mod words;

pub(crate) use fold::fold;
pub use index::TextError;
pub(crate) use index::{TextIndex, TextSearcher};
pub(crate) use words::{Analyzer, Words};
