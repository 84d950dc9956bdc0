//! Of rows that a filter names, which may be among the best by their codes?

use std::ops::Range;

use super::segment::{Ask, Segment};
use super::trust::{Blocks, Damaged, Proven, Trust};
use super::walk::NONE;
use crate::filter::Pass;
use crate::topk::Sieve;

/// Rows that are compared at a time; their codes are on the way by then.
const BATCH: usize = 64;

impl Segment {
    /// Offers `sieve` the rows in `range`, which is of this segment, that are named by what
    /// is asked, live and may be of interest, but for those in `without`.
    ///
    /// # Errors
    /// `Damaged` if something that was read is.
    pub(super) fn sift_named(
        &self,
        ask: &Ask<'_>,
        range: Range<u64>,
        without: &[u64],
        sieve: &mut Sieve,
    ) -> Result<(), Damaged> {
        if range.is_empty() {
            return Ok(());
        }
        let blocks = self.blocks();
        let nodes_of = match self.nodes_of.get() {
            Some(known) => known,
            None => {
                let found = self.find_nodes(&blocks)?;
                self.nodes_of.get_or_init(|| found)
            }
        };
        if self.is_trusted() {
            self.sift_trusting(ask, range, without, sieve, nodes_of, &Proven)
        } else {
            self.sift_trusting(ask, range, without, sieve, nodes_of, &blocks)
        }
    }

    /// Whether it was asked for rows by name.
    #[cfg(test)]
    pub(crate) fn knows_nodes(&self) -> bool {
        self.nodes_of.get().is_some()
    }

    /// The node of each row of the segment, counted within its part; [`NONE`] for those that
    /// have no code of their own.
    fn find_nodes(&self, blocks: &Blocks<'_>) -> Result<Vec<u32>, Damaged> {
        let mut nodes_of = vec![NONE; (self.end() - self.first()) as usize];
        for piece in self.pieces(&Pass::default()) {
            blocks.in_words(piece.rows)?;
            for (node, &row) in (0..).zip(piece.rows) {
                *nodes_of.get_mut(row as usize).ok_or(Damaged)? = node;
            }
        }
        Ok(nodes_of)
    }

    fn sift_trusting(
        &self,
        ask: &Ask<'_>,
        range: Range<u64>,
        without: &[u64],
        sieve: &mut Sieve,
        nodes_of: &[u32],
        trust: &impl Trust,
    ) -> Result<(), Damaged> {
        let Some(named) = ask.pass.rows() else { return Ok(()) };
        let mut buffer = vec![];
        for piece in self.pieces(ask.pass) {
            let block = piece.view.block;
            trust.in_numbers(block.centre)?;
            let against = ask.codes.against(block, 0.0);
            let (mut rows, mut nodes) = ([0u64; BATCH], [0u32; BATCH]);
            let mut count = 0;
            let mut rest = named.iter(range.start).take_while(|row| *row < range.end);
            loop {
                let next = rest.next();
                if count == BATCH || next.is_none() {
                    against.each_of_reaching(&nodes[..count], sieve.floor(), |i, scope| {
                        sieve.offer(rows[i], scope.lower, scope.upper);
                        sieve.floor()
                    });
                    count = 0;
                }
                let Some(row) = next else { break };
                let lives = ask
                    .rows
                    .live(row)
                    .is_some_and(|(_, kind)| kind == piece.part.kind && ask.pass.lets(row, kind));
                if !lives || without.contains(&row) {
                    continue;
                }
                let node = nodes_of[(row - self.first()) as usize];
                // The twin of another, or it came to the segment damaged.
                if node as usize >= piece.rows.len() {
                    if let Some(scored) = ask.score(row, &mut buffer) {
                        sieve.offer(row, scored.score, scored.score);
                    }
                    continue;
                }
                block.rows.prefetch(node as usize);
                trust.in_bytes(block.rows.row(node as usize))?;
                trust.in_numbers(&block.scales[node as usize..][..1])?;
                (rows[count], nodes[count]) = (row, node);
                count += 1;
            }
        }
        Ok(())
    }
}
