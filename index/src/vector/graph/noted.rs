//! Which nodes does a filter name?
//!
//! Noted once for all that is asked with the same filter, a bit a node.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::segment::{Piece, Segment};
use super::trust::{Damaged, Trust};
use crate::Kind;
use crate::filter::RowSet;

/// Filters whose nodes are noted, those of each kind by themselves.
const NOTED: usize = 16;

/// The nodes of a part whose row, or that of a twin, is named.
#[derive(Debug)]
pub(super) struct Nodes {
    bits: Vec<u64>,
    count: usize,
    /// Node and row of the twins that are named. Rows are counted from the segment's first.
    twins: Vec<(u32, u32)>,
}

impl Nodes {
    /// Rows are counted from `first`.
    fn of(
        piece: &Piece<'_>,
        named: &RowSet,
        first: u64,
        trust: &impl Trust,
    ) -> Result<Self, Damaged> {
        trust.in_words(piece.rows)?;
        trust.in_words(piece.twin_nodes)?;
        trust.in_words(piece.twin_rows)?;
        let bit = |i: usize, row: u32| u64::from(named.contains(first + u64::from(row))) << i;
        let word = |rows: &[u32]| (0..).zip(rows).fold(0, |word, (i, &row)| word | bit(i, row));
        let mut bits: Vec<u64> = piece.rows.chunks(64).map(word).collect();
        let mut twins = vec![];
        for (&node, &row) in piece.twin_nodes.iter().zip(piece.twin_rows) {
            // Whatever a file says, no node lies behind the last.
            if (node as usize) < piece.rows.len()
                && let Some(word) = bits.get_mut(node as usize / 64)
                && bit(0, row) == 1
            {
                *word |= 1 << (node % 64);
                twins.push((node, row));
            }
        }
        let count = bits.iter().map(|word| word.count_ones() as usize).sum();
        Ok(Self { bits, count, twins })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A bit for each of the 32 nodes from the `32 * i`-th on, the lowest for the first; none for
    /// those that are not there.
    #[inline(always)]
    pub(super) fn of_32(&self, i: usize) -> u32 {
        self.bits.get(i / 2).map_or(0, |word| (word >> (i % 2 * 32)) as u32)
    }

    /// Node and row of the twins that are named, ascending. Rows are counted from the segment's
    /// first.
    pub(super) fn twins(&self) -> &[(u32, u32)] {
        &self.twins
    }
}

/// The nodes of a kind that a filter named.
#[derive(Clone, Debug)]
struct Note {
    named: Weak<RowSet>,
    kind: Kind,
    nodes: Arc<Nodes>,
}

/// What is known of filters, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Noted(Mutex<Vec<Note>>);

impl Segment {
    /// The nodes of `piece` that are `named`.
    ///
    /// # Errors
    /// `Damaged` if something that was read is.
    pub(super) fn nodes_named(
        &self,
        piece: &Piece<'_>,
        named: &Arc<RowSet>,
        trust: &impl Trust,
    ) -> Result<Arc<Nodes>, Damaged> {
        let (note, kind) = (Arc::downgrade(named), piece.part.kind);
        let noted = || self.noted.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Its rows are the same as long as it is the same: sets that are named never change.
        let is_it = |known: &&Note| known.named.ptr_eq(&note) && known.kind == kind;
        let known = noted().iter().find(is_it).map(|known| Arc::clone(&known.nodes));
        if let Some(nodes) = known {
            return Ok(nodes);
        }
        let nodes = Arc::new(Nodes::of(piece, named, self.first(), trust)?);
        let mut noted = noted();
        noted.retain(|known| known.named.strong_count() > 0);
        let surplus = (noted.len() + 1).saturating_sub(NOTED);
        noted.drain(..surplus);
        noted.push(Note { named: note, kind, nodes: Arc::clone(&nodes) });
        Ok(nodes)
    }
}
