//! Of the rows that a filter names, wherever they lie to the query, which are nearest?
//!
//! A walk through all finds none of them if none are near, and there are too many to compare them
//! all by their codes. So all blocks of nodes are compared by what is likely of them, those by their nodes'
//! sketches that may have one among the best after that, and those nodes by their codes that
//! still may.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

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
/// Blocks that are looked at before it is decided which others are: what the best of their rows
/// reach, the others' have to.
const FIRST: usize = 64;
/// Deviations above its mean that a block is put among these by.
const REACHING: f32 = 3.0;
/// How many of the best may be missed for being in blocks that were passed over, a tenth best or
/// first alike: as many as sketches are expected to miss.
const MISSED: f32 = 0.001;

/// The sketches of a part's nodes, once they are asked for a second time: a program that asks a
/// single question spends nothing on making them.
#[derive(Debug, Default)]
pub(super) struct Sketched {
    asked: AtomicUsize,
    made: OnceLock<(Cells, Sketches)>,
}

impl Sketched {
    /// `None` the first time, and while another thread is making them.
    fn of(
        &self,
        piece: &Piece<'_>,
        trust: &impl Trust,
    ) -> Result<Option<&(Cells, Sketches)>, Damaged> {
        // Relaxed: the number only tells who makes them.
        if self.made.get().is_none() && self.asked.fetch_add(1, Ordering::Relaxed) == 1 {
            let block = piece.view.block;
            trust.in_numbers(block.centre)?;
            trust.in_bytes(block.rows.of(0..block.rows.len()))?;
            trust.in_numbers(block.scales)?;
            let made = Cells::of(block).zip(Sketches::of(block));
            let Some(made) = made else { return Ok(None) };
            return Ok(Some(self.made.get_or_init(|| made)));
        }
        Ok(self.made.get())
    }
}

/// Nodes that are to be compared by their codes.
struct Batch {
    nodes: [u32; BATCH],
    count: usize,
}

impl Segment {
    /// Adds to `top` the best rows of a piece that are named by what is asked and live; `nodes`
    /// are theirs. `false` if there are no sketches yet.
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
        let Some((cells, sketches)) = piece.sketched.of(piece, trust)? else { return Ok(false) };
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
        for i in likely.likeliest(FIRST, REACHING, |i| named(i) != 0) {
            look_at(i, &mut sieve, &mut batch)?;
            likely.forget(i);
        }
        compare(&mut batch, &mut sieve)?;
        let missed = MISSED * top.k() as f32;
        let enough = likely.enough(sieve.floor(), missed, |i| named(i).count_ones());
        let others = likely.reaching(sieve.floor(), enough, |i| named(i) != 0);
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
