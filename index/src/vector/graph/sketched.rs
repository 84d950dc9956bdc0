//! Of the rows that a filter names, wherever they lie to the query, which are nearest?
//!
//! A walk through all finds none of them if none are near, and there are too many to compare them
//! all by their codes. So all blocks of nodes are compared by what is likely of them, those by
//! their nodes' sketches that may have one among the best after that, and those nodes by their
//! codes that still may.

use std::sync::{Mutex, OnceLock, TryLockError};

use super::super::quantised::Scope;
use super::super::sketch::{Cells, QuerySketch, Sketches};
use super::noted::Nodes;
use super::segment::{Ask, Piece, Segment};
use super::trust::{Damaged, Trust};
use super::walk::trusted;
use crate::topk::{Sieve, TopK};

/// Nodes that are compared by their codes at a time; these are on the way by then.
const BATCH: usize = 64;
/// Blocks of sketches that are on the way while one is looked at.
const AHEAD: usize = 2;
/// Blocks that are looked at, about, before it is decided which others are: what the best of
/// their rows reach, the others' have to. Few in tests, so that small graphs have others.
const FIRST: usize = if cfg!(test) { 4 } else { 64 };
/// They have so many times as many named rows as are wanted.
const TIMES: usize = 4;
/// So often rows are scanned before sketches are made: a program that asks a question or two
/// spends nothing on them.
const WORTH: usize = 8;
/// Nodes of a part that has come beside larger ones: making its sketches takes some milliseconds,
/// scanning the others more.
const SMALL: usize = 20_000;

/// The sketches of a part's nodes, once they are worth it.
#[derive(Debug, Default)]
pub(super) struct Sketched {
    /// How often they were asked for. Locked by who makes them.
    asked: Mutex<usize>,
    made: OnceLock<(Cells, Sketches)>,
}

impl Sketched {
    /// Whether they were made.
    pub(super) fn is_made(&self) -> bool {
        self.made.get().is_some()
    }

    /// Whether they are there. They are not the first few times, unless it is a small part and
    /// `others` have theirs, while another thread is making them, nor without the memory.
    ///
    /// # Errors
    /// `Damaged` if something that was read is.
    pub(super) fn is_ready(
        &self,
        others: bool,
        piece: &Piece<'_>,
        trust: &impl Trust,
    ) -> Result<bool, Damaged> {
        if self.made.get().is_some() {
            return Ok(true);
        }
        let mut asked = match self.asked.try_lock() {
            Ok(asked) => asked,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(false),
        };
        *asked += 1;
        if *asked <= WORTH && !(others && piece.part.nodes <= SMALL) {
            return Ok(false);
        }
        // Whether or not it comes to something: it is not tried again at once.
        *asked = 0;
        let block = piece.view.block;
        trust.in_numbers(block.centre)?;
        trust.in_bytes(block.rows.of(0..block.rows.len()))?;
        trust.in_numbers(block.scales)?;
        let made = Cells::of(block).zip(Sketches::of(block));
        Ok(made.is_some_and(|made| {
            self.made.get_or_init(|| made);
            true
        }))
    }
}

/// Nodes that are to be compared by their codes.
struct Batch {
    nodes: [u32; BATCH],
    count: usize,
}

impl Segment {
    /// Adds to `top` the best rows of a piece that are named by what is asked and live; `nodes`
    /// are theirs. `false` if there are no sketches.
    ///
    /// # Errors
    /// `Damaged` if something that was read is.
    pub(super) fn search_sketched(
        &self,
        ask: &Ask<'_>,
        piece: &Piece<'_>,
        nodes: &Nodes,
        buffer: &mut Vec<f32>,
        top: &mut TopK,
        trust: &impl Trust,
    ) -> Result<bool, Damaged> {
        let Some((cells, sketches)) = piece.sketched.made.get() else { return Ok(false) };
        let block = piece.view.block;
        let query = QuerySketch::of(ask.query, block.centre);
        let (near, mut likely) = (sketches.against(&query), cells.likely(ask.query, &query));
        let against = ask.codes.against(block, 0.0);
        let mut sieve = Sieve::beside(top);
        let compare = |batch: &mut Batch, sieve: &mut Sieve| -> Result<(), Damaged> {
            let nodes = &batch.nodes[..std::mem::take(&mut batch.count)];
            for &node in nodes {
                trusted(&piece.view, node, trust)?;
                trust.in_words(&piece.rows[node as usize..][..1])?;
            }
            against.each_of_reaching(nodes, sieve.floor(), |i, scope| {
                self.offer(ask, piece.rows[nodes[i] as usize], scope, sieve)
            });
            Ok(())
        };
        let mut batch = Batch { nodes: [0; BATCH], count: 0 };
        let look_at = |i: usize, sieve: &mut Sieve, batch: &mut Batch| {
            let mut near = near.reaching(i, sieve.floor()) & nodes.of_32(i);
            while near != 0 {
                let node = i as u32 * u32::BITS + near.trailing_zeros();
                near &= near - 1;
                block.rows.prefetch(node as usize);
                batch.nodes[batch.count] = node;
                batch.count += 1;
                if batch.count == BATCH {
                    compare(batch, sieve)?;
                }
            }
            Ok(())
        };
        let named = |i: usize| nodes.of_32(i);
        // Of all rows, for so many that are named.
        let rows = TIMES.saturating_mul(top.k()).saturating_mul(piece.part.nodes) / nodes.count();
        let first = FIRST.max(rows / u32::BITS as usize);
        // Once more if they had too few.
        while sieve.floor() == f32::NEG_INFINITY {
            let likeliest = likely.likeliest(first, |i| named(i) != 0);
            if likeliest.is_empty() {
                break;
            }
            for i in likeliest {
                look_at(i, &mut sieve, &mut batch)?;
                likely.forget(i);
            }
            compare(&mut batch, &mut sieve)?;
        }
        let others = likely.reaching(sieve.floor(), |i| named(i) != 0);
        for (at, &i) in others.iter().enumerate() {
            if let Some(&soon) = others.get(at + AHEAD) {
                sketches.prefetch(soon);
            }
            look_at(i, &mut sieve, &mut batch)?;
        }
        compare(&mut batch, &mut sieve)?;
        // Twins are near their node's vector, not at it.
        let against = ask.codes.against(block, piece.part.spread);
        for &(node, row) in nodes.twins() {
            trusted(&piece.view, node, trust)?;
            against.each_of_reaching(&[node], sieve.floor(), |_, scope| {
                self.offer(ask, row, scope, &mut sieve)
            });
        }
        // If some proved damaged when they were compared, a scan finds the others.
        let Ok(found) = sieve.settle(|row| ask.score(row, buffer)) else { return Ok(false) };
        *top = std::mem::replace(top, TopK::new(0)).merge(found);
        Ok(true)
    }

    /// Offers a row, counted from the segment's first, if it may be found; says what is to be
    /// reached from here on.
    fn offer(&self, ask: &Ask<'_>, row: u32, scope: Scope, sieve: &mut Sieve) -> f32 {
        let row = self.first() + u64::from(row);
        if ask.rows.live(row).is_some_and(|(_, kind)| ask.pass.lets(row, kind)) {
            sieve.offer(row, scope.lower, scope.upper);
        }
        sieve.floor()
    }
}
