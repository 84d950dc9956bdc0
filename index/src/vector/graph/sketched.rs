//! Where none of the rows that pass a filter are near the query, which are nearest?
//!
//! There a walk through all finds none of them, and there are too many to compare them all by
//! their codes. So all are compared by their sketches, and those by their codes that may be
//! among the best after that.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::quantised::Scope;
use super::super::sketch::Sketches;
use super::noted::Nodes;
use super::segment::{Ask, Piece, Segment};
use super::trust::{Damaged, Trust};
use super::walk::trusted;
use crate::topk::{Sieve, TopK};

/// Nodes that are compared by their codes at a time; these are on the way by then.
const BATCH: usize = 64;
/// Blocks of sketches that are on the way while one is looked at.
const AHEAD: usize = 2;

/// The sketches of a part's nodes, once they are asked for a second time: a program that asks a
/// single question spends nothing on making them.
#[derive(Debug, Default)]
pub(super) struct Sketched {
    asked: AtomicUsize,
    made: OnceLock<Sketches>,
}

impl Sketched {
    /// `None` the first time, and while another thread is making them.
    fn of(&self, piece: &Piece<'_>, trust: &impl Trust) -> Result<Option<&Sketches>, Damaged> {
        // Relaxed: the number only tells who makes them.
        if self.made.get().is_none() && self.asked.fetch_add(1, Ordering::Relaxed) == 1 {
            let block = piece.view.block;
            trust.in_numbers(block.centre)?;
            trust.in_bytes(block.rows.of(0..block.rows.len()))?;
            trust.in_numbers(block.scales)?;
            let Some(made) = Sketches::of(block) else { return Ok(None) };
            return Ok(Some(self.made.get_or_init(|| made)));
        }
        Ok(self.made.get())
    }
}

impl Segment {
    /// Adds to `top` the best rows of a piece that are named by what is asked and live; `nodes`
    /// are theirs. `false` if that would be as much work as a scan.
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
        let Some(sketches) = piece.sketched.of(piece, trust)? else { return Ok(false) };
        let block = piece.view.block;
        let query = sketches.asked(ask.query, block.centre);
        let against = ask.codes.against(block, 0.0);
        let mut sieve = Sieve::beside(top);
        let compare = |batch: &[u32], sieve: &mut Sieve| -> Result<(), Damaged> {
            for &node in batch {
                trusted(&piece.view, node, trust)?;
                trust.in_words(&piece.rows[node as usize..][..1])?;
            }
            against.each_of_reaching(batch, sieve.floor(), |i, scope| {
                self.offer(ask, piece.rows[batch[i] as usize], scope, sieve)
            });
            Ok(())
        };
        let (mut batch, mut count) = ([0; BATCH], 0);
        for (i, named) in nodes.by_32().enumerate().filter(|(_, named)| *named != 0) {
            sketches.prefetch(i + AHEAD);
            let mut near = sketches.reaching(&query, i, sieve.floor()) & named;
            while near != 0 {
                let node = i as u32 * u32::BITS + near.trailing_zeros();
                near &= near - 1;
                block.rows.prefetch(node as usize);
                (batch[count], count) = (node, count + 1);
                if count == BATCH {
                    compare(&batch, &mut sieve)?;
                    count = 0;
                }
            }
        }
        compare(&batch[..count], &mut sieve)?;
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
