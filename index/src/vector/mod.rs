//! The vectors: the file that is their truth, the rows in it that count, and
//! the two ways to find the nearest.

mod file;
mod graph;
mod hnsw;
mod quantised;
mod rows;
mod scan;
mod sketch;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use file::VectorFile;
pub(crate) use graph::{Ask, Graph};
pub(crate) use quantised::QueryCodes;
pub(crate) use rows::{Added, Rows};
pub(crate) use scan::{scan, scan_tail};

/// Cosine of two unit vectors, in −1..=1, and never −0, so that equal scores are equal bits.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f32 {
    quantised::Kernel::best().dot(a, b).clamp(-1.0, 1.0) + 0.0
}

/// The instructions vectors are compared with: `portable`, `avx2`, `avx512-vnni` or `neon`.
pub(crate) fn kernel_name() -> &'static str {
    quantised::Kernel::best().name()
}
