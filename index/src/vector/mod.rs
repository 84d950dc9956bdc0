//! The vectors: the file that is their truth, the rows in it that count, and
//! the two ways to find the nearest.

mod file;
mod graph;
mod hnsw;
mod rows;
mod scan;

pub(crate) use file::VectorFile;
pub(crate) use graph::Graph;
pub(crate) use rows::{Added, Rows};
pub(crate) use scan::{scan_rows, scan_tail};

/// Cosine of two unit vectors, in −1..=1, and never −0, so that equal scores are equal bits.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    ekphrasis_embed::dot(a, b).clamp(-1.0, 1.0) + 0.0
}
