//! Given a graph, a query and a filter, which of the nodes that pass are near?
//!
//! Where none of them are near the query, a walk through all finds none of them. Then the
//! graph is gone through among them only. Which nodes they are is noted once for all that is
//! asked with the same filter, a bit a node.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::super::quantised::{Kernel, QueryCodes};
use super::segment::{Piece, Segment};
use super::trust::{Damaged, Trust};
use super::walk::{DEGREE, Scratch, Seen, View, descend, prefetch_links, trusted};
use crate::Kind;
use crate::filter::RowSet;

/// Filters whose nodes are noted, those of each kind by themselves.
const NOTED: usize = 16;
/// Admitted nodes to start from, at most.
const STARTS: usize = 2048;
/// Nodes that are asked for it, at most.
const LOOKED: u64 = 8192;
/// Multiples of it are spread evenly over any number of nodes: 2³² over the golden ratio.
const SPREAD: u64 = 0x9E37_79B1;
/// With fewer admitted neighbours, those that are not are bridges.
const FEW: usize = DEGREE / 4;

/// The nodes of a part whose row, or that of a twin, is named.
#[derive(Debug)]
pub(super) struct Nodes {
    bits: Vec<u64>,
    count: usize,
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
        for (&node, &row) in piece.twin_nodes.iter().zip(piece.twin_rows) {
            if let Some(word) = bits.get_mut(node as usize / 64) {
                *word |= bit(node as usize % 64, row);
            }
        }
        let count = bits.iter().map(|word| word.count_ones() as usize).sum();
        Ok(Self { bits, count })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// # Panics
    /// If the part has no such node.
    #[inline(always)]
    pub(super) fn contains(&self, node: u32) -> bool {
        self.bits[node as usize / 64] >> (node % 64) & 1 == 1
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

/// Puts the best `ef` nodes near the query that `lets` admits into `scratch`, in order of
/// likeness. Only such are gone through, so it does not matter how many others are nearer;
/// one that is not admitted is a bridge to its neighbours, where there are few without.
///
/// # Errors
/// `Damaged` if `trust` is lost in something that is read.
///
/// # Source
/// Patel et al., "ACORN: Performant and Predicate-Agnostic Search Over Vector Embeddings and
/// Structured Data", 2024 (its ACORN-1); the many places to start from are ours.
pub(super) fn walk_among(
    view: &View<'_>,
    asked: &QueryCodes,
    ef: usize,
    lets: impl Fn(u32) -> bool,
    scratch: &mut Scratch,
    trust: &impl Trust,
) -> Result<(), Damaged> {
    scratch.start(view.nodes());
    if view.nodes() == 0 || ef == 0 {
        return Ok(());
    }
    let mut best = Best { view, asked, kernel: Kernel::best(), ef, floor: None };
    let start = descend(view, asked, scratch, trust)?.node();
    scratch.visited.add(start);
    let count = if lets(start) {
        scratch.batch[0] = start;
        1
    } else {
        neighbours(view, start, &lets, scratch, trust)?
    };
    best.offer(count, scratch);
    // From everywhere: those admitted may all be far from where the layers lead.
    let (mut found, mut count) = (0, 0);
    for i in 1..=LOOKED {
        // The fraction of a multiple of the golden ratio, as a share of all nodes.
        let share = u64::from((i * SPREAD) as u32);
        let node = ((share * view.nodes() as u64) >> 32) as u32;
        if !lets(node) || !scratch.visited.add(node) {
            continue;
        }
        trusted(view, node, trust)?;
        view.block.rows.prefetch(node as usize);
        scratch.batch[count] = node;
        (found, count) = (found + 1, count + 1);
        if count == DEGREE {
            best.offer(count, scratch);
            count = 0;
        }
        if found == STARTS {
            break;
        }
    }
    best.offer(count, scratch);
    while let Some(seen) = scratch.waiting.pop().filter(|seen| best.floor <= Some(*seen)) {
        let count = neighbours(view, seen.node(), &lets, scratch, trust)?;
        // Whoever is looked at next, in all likelihood.
        if let Some(likely) = scratch.waiting.peek() {
            prefetch_links(view, likely.node());
        }
        best.offer(count, scratch);
    }
    best.cut(&mut scratch.kept);
    scratch.kept.sort_unstable_by(|a, b| b.cmp(a));
    Ok(())
}

/// What is kept of a wide walk. To keep hundreds in order takes longer than to compare them, so
/// they are in none, and those that are too many go from time to time.
struct Best<'a> {
    view: &'a View<'a>,
    asked: &'a QueryCodes,
    kernel: &'static Kernel,
    ef: usize,
    /// The worst of the best `ef`, when that was last looked at.
    floor: Option<Seen>,
}

impl Best<'_> {
    /// Compares the first `count` nodes of the batch and keeps what may be among the best.
    #[inline(always)]
    fn offer(&mut self, count: usize, scratch: &mut Scratch) {
        let Scratch { kept, waiting, batch, sums, compared, .. } = scratch;
        let (batch, sums) = (&batch[..count], &mut sums[..count]);
        let block = &self.view.block;
        self.kernel.each(self.asked.coarse(), block.rows, batch, sums);
        *compared += count;
        for (&node, &sum) in batch.iter().zip(&*sums) {
            let new = Seen::new(self.asked.likeness(sum, block.scales[node as usize]), node);
            if Some(new) > self.floor {
                kept.push(new);
                waiting.push(new);
            }
        }
        if kept.len() > self.ef + self.ef / 4 + DEGREE {
            self.cut(kept);
        }
    }

    fn cut(&mut self, kept: &mut Vec<Seen>) {
        if kept.len() > self.ef {
            kept.select_nth_unstable_by(self.ef - 1, |a, b| b.cmp(a));
            kept.truncate(self.ef);
            self.floor = kept.last().copied();
        }
    }
}

/// Collects the neighbours of `node` that are admitted and were not visited, and, where few
/// are admitted, some of the others' neighbours; says how many.
#[inline(always)]
fn neighbours(
    view: &View<'_>,
    node: u32,
    lets: &impl Fn(u32) -> bool,
    scratch: &mut Scratch,
    trust: &impl Trust,
) -> Result<usize, Damaged> {
    let Scratch { visited, batch, .. } = scratch;
    let links = &view.ground[node as usize * DEGREE..][..DEGREE];
    trust.in_words(links)?;
    let (mut count, mut admitted, mut bridges, mut bridging) = (0, 0, [0; DEGREE], 0);
    for &link in links.iter().take_while(|link| (**link as usize) < view.nodes()) {
        if !lets(link) {
            (bridges[bridging], bridging) = (link, bridging + 1);
            continue;
        }
        admitted += 1;
        if visited.add(link) {
            view.block.rows.prefetch(link as usize);
            (batch[count], count) = (link, count + 1);
        }
    }
    let bridges = if admitted < FEW { &bridges[..bridging] } else { &[] };
    bridges.iter().for_each(|&bridge| prefetch_links(view, bridge));
    for &bridge in bridges {
        // One that was a bridge before leads nowhere new.
        if count == DEGREE || !visited.add(bridge) {
            continue;
        }
        let links = &view.ground[bridge as usize * DEGREE..][..DEGREE];
        trust.in_words(links)?;
        for &link in links.iter().take_while(|link| (**link as usize) < view.nodes()) {
            if count < DEGREE && lets(link) && visited.add(link) {
                view.block.rows.prefetch(link as usize);
                (batch[count], count) = (link, count + 1);
            }
        }
    }
    for &node in &batch[..count] {
        trusted(view, node, trust)?;
    }
    Ok(count)
}
