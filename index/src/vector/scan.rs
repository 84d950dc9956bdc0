//! Which rows are nearest, when every row is looked at?
//!
//! Rows are compared by their codes, which say of each between what its cosine lies;
//! those that may be among the best are compared in full. The result is that of
//! comparing all in full, to the last bit. Codes are those of the graph for rows it
//! covers, and made in memory for the others.

use rayon::prelude::*;

use super::cosine;
use super::graph::{Ask, Damaged, Graph};
use super::quantised::QueryCodes;
use super::rows::{CHUNK, Rows};
use crate::filter::Pass;
use crate::topk::{Scored, Sieve, TopK};

/// From this many rows on, threads share the work.
const PARALLEL_FROM: usize = 4 * CHUNK;
/// If one in so many rows is wanted, codes spare nothing.
const SHARE: u64 = 8;
/// If one in so many rows is named, looking at all, one after the other, is faster than
/// going from one to the next.
const NAMED_SHARE: u64 = 3;
/// So often a scan goes again over rows of which some proved damaged when they were compared.
const ROUNDS: usize = 8;
/// Fewer named rows are compared in full: where their codes lie need not be known for that.
const NAMED_FROM: u64 = 128;

/// The best `k` of all living rows that `pass` lets through. `graph`, of these rows or of
/// the first of them, lends its codes.
pub(crate) fn scan(
    rows: &Rows,
    graph: Option<&Graph>,
    query: &[f32],
    k: usize,
    pass: &Pass,
) -> TopK {
    let few = pass.rows().is_some() && rows.estimate(pass) < rows.len() / NAMED_SHARE;
    let found = graph.and_then(|graph| match few {
        true => named(rows, graph, query, k, pass),
        false => sifted(rows, Some(graph), graph.covered(), query, k, pass),
    });
    // Without the graph, or if it proved damaged.
    found.unwrap_or_else(|| scan_tail(rows, 0, query, k, pass))
}

/// The best `k` of the rows from `from` on.
pub(crate) fn scan_tail(rows: &Rows, from: u64, query: &[f32], k: usize, pass: &Pass) -> TopK {
    sifted(rows, None, from, query, k, pass)
        .unwrap_or_else(|| scan_in_full(rows, from, query, k, pass))
}

/// The best `k` of the rows in `graph` and of those from `from` on, with the help of
/// codes; `None` if they do not help.
fn sifted(
    rows: &Rows,
    graph: Option<&Graph>,
    from: u64,
    query: &[f32],
    k: usize,
    pass: &Pass,
) -> Option<TopK> {
    let first = if graph.is_some() { 0 } else { from };
    if k as u64 > rows.len().saturating_sub(first) / SHARE {
        return None;
    }
    let ask = Ask { rows, query, codes: &QueryCodes::of(query), pass };
    let chunks = from as usize / CHUNK..rows.chunk_count().max(from as usize / CHUNK);
    let nodes = graph.map_or(0, Graph::nodes);
    let pieces = nodes.div_ceil(CHUNK) + chunks.len();
    let (mut without, mut buffer) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let one = |sieve: Result<Sieve, Damaged>, piece: usize| {
            let mut sieve = sieve?;
            match graph.filter(|_| piece < nodes.div_ceil(CHUNK)) {
                Some(graph) => {
                    let range = (piece * CHUNK, ((piece + 1) * CHUNK).min(nodes));
                    graph.sift(&ask, range, &without, &mut sieve)?;
                }
                None => {
                    let c = chunks.start + piece - nodes.div_ceil(CHUNK);
                    rows.sift_chunk(c, from, &ask, &without, &mut sieve);
                }
            }
            Ok(sieve)
        };
        let start = || Ok(Sieve::new(k));
        let sieve = fold(0..pieces, start, one, |a, b| Ok(a?.merge(b?))).ok()?;
        match sieve.settle(|row| ask.score(row, &mut buffer)) {
            Ok(top) => return Some(top),
            // Found out just now to be damaged; once more, without them.
            Err(damaged) => without.extend(damaged),
        }
    }
    Some(scan_by_place(rows, first, query, k, pass))
}

/// The best `k` of the rows that `pass` names, with the help of the codes in `graph`; `None`
/// if they do not help.
fn named(rows: &Rows, graph: &Graph, query: &[f32], k: usize, pass: &Pass) -> Option<TopK> {
    let passing = rows.estimate(pass);
    if passing < NAMED_FROM || k as u64 > passing / SHARE {
        return None;
    }
    let ask = Ask { rows, query, codes: &QueryCodes::of(query), pass };
    let covered = graph.covered();
    // As much to look at in each piece as others have.
    let step = (covered.saturating_mul(CHUNK as u64) / passing).max(CHUNK as u64);
    let (mut without, mut buffer) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let one = |sieve: Result<Sieve, Damaged>, piece: usize| {
            let (mut sieve, from) = (sieve?, piece as u64 * step);
            graph.sift_named(&ask, from..covered.min(from + step), &without, &mut sieve)?;
            Ok(sieve)
        };
        let pieces = 0..covered.div_ceil(step) as usize;
        let start = || Ok(Sieve::new(k));
        let mut sieve = fold(pieces, start, one, |a, b| Ok(a?.merge(b?))).ok()?;
        for c in covered as usize / CHUNK..rows.chunk_count() {
            rows.sift_chunk(c, covered, &ask, &without, &mut sieve);
        }
        match sieve.settle(|row| ask.score(row, &mut buffer)) {
            Ok(top) => return Some(top),
            Err(damaged) => without.extend(damaged),
        }
    }
    Some(scan_by_place(rows, 0, query, k, pass))
}

/// As [`scan_tail`], of whatever can be read: much of the file is damaged, or the disk is
/// gone, so that reading through the map could end the process.
fn scan_by_place(rows: &Rows, from: u64, query: &[f32], k: usize, pass: &Pass) -> TopK {
    let (mut top, mut buffer) = (TopK::new(k), vec![]);
    for row in from..rows.len() {
        let Some((id, _)) = rows.live(row).filter(|(_, kind)| pass.lets(row, *kind)) else {
            continue;
        };
        if let Some(vector) = rows.read(row, &mut buffer) {
            top.push(Scored { score: cosine(query, vector), id, row });
        }
    }
    top
}

/// As [`scan_tail`], without the help of codes.
fn scan_in_full(rows: &Rows, from: u64, query: &[f32], k: usize, pass: &Pass) -> TopK {
    let one = |mut top: TopK, c: usize| {
        rows.each_in_chunk(c, from, pass, |id, row, vector| {
            top.push(Scored { score: cosine(query, vector), id, row });
        });
        top
    };
    fold(from as usize / CHUNK..rows.chunk_count(), || TopK::new(k), one, TopK::merge)
}

/// Folds pieces of about [`CHUNK`] rows, by several threads if there are many.
fn fold<T: Send>(
    pieces: std::ops::Range<usize>,
    start: impl Fn() -> T + Send + Sync,
    one: impl Fn(T, usize) -> T + Send + Sync,
    join: impl Fn(T, T) -> T + Send + Sync,
) -> T {
    if pieces.len() * CHUNK < PARALLEL_FROM {
        pieces.fold(start(), one)
    } else {
        pieces.into_par_iter().fold(&start, one).reduce(&start, join)
    }
}

#[cfg(test)]
mod tests;
