//! Given what a run did, how is it shown to a person? As one HTML page: no
//! script, nothing fetched, readable offline, on paper, on a telephone, in the dark.
//!
//! [`Report`] is plain data that the run fills in; [`html`] draws it, [`write()`]
//! puts it on disk whole or not at all. Nothing that a user wrote (captions,
//! paths, configuration) reaches the page unescaped, and a figure that is not a
//! number is shown as a dash, never drawn.

mod charts;
mod data;
mod escape;
mod examples;
mod number;
mod page;
mod plot;
mod scores;
mod similarity;
mod thumbnail;
mod verdict;
mod write;

#[cfg(test)]
mod tests;

pub use data::{
    Change, DataSet, Direction, EpochLine, Example, Exported, Figure, Finding, Hit, Report, Shown,
    Split, Way,
};
pub use page::html;
pub use similarity::{BINS, Histogram, Separation};
pub use thumbnail::{Picture, THUMBNAIL_SIDE};
pub use write::{WriteError, write};
