//! Words: what of an item is searched as words, and the index that finds them.

mod files;
mod fold;
mod index;
mod search;
mod split;
pub(crate) mod typo;
mod words;

pub(crate) use fold::fold;
pub use index::TextError;
pub(crate) use index::TextIndex;
pub(crate) use search::{TextSearcher, Understood};
pub(crate) use words::{Analyzer, QueryWord, Token};
pub use words::{FoundWord, WordField, WordMatch};
