//! Which rows are nearest, when every row is looked at?

use rayon::prelude::*;

use super::rows::{CHUNK, Rows};
use crate::filter::Pass;
use crate::topk::{Scored, TopK};

/// From this many rows on, threads share the work.
const PARALLEL_FROM: usize = 4 * CHUNK;

/// The best `k` of all living rows that `pass` lets through.
pub(crate) fn scan_rows(rows: &Rows, query: &[f32], k: usize, pass: &Pass) -> TopK {
    scan_tail(rows, 0, query, k, pass)
}

/// The best `k` of the rows from `from` on.
pub(crate) fn scan_tail(rows: &Rows, from: u64, query: &[f32], k: usize, pass: &Pass) -> TopK {
    let chunks = from as usize / CHUNK..rows.chunk_count();
    let one = |mut top: TopK, c: usize| {
        rows.each_in_chunk(c, from, query, pass, |id, row, score| {
            top.push(Scored { score, id, row });
        });
        top
    };
    if chunks.len() * CHUNK < PARALLEL_FROM {
        chunks.fold(TopK::new(k), one)
    } else {
        chunks.into_par_iter().fold(|| TopK::new(k), one).reduce(|| TopK::new(k), TopK::merge)
    }
}
