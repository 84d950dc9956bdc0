//! Given a graph and a query, which nodes are near?
//!
//! From the top layer down to the lowest, always to the nearest neighbour; there, the
//! best `ef` nodes seen are kept, and the best one not yet looked at is looked at,
//! until none of the kept is left. Only codes are compared; the caller compares what
//! is kept with the vectors themselves.
//!
//! What is read is bounded by the lengths of the slices and each node is looked at
//! once, so no content of a damaged file can lead out of them or in circles.

use super::super::quantised::{CodeBlock, Kernel, QueryCodes, prefetch};
use super::trust::{Damaged, Trust};
use crate::topk::{from_ordered, ordered};

/// Links of a node on the lowest layer, at most.
pub(super) const DEGREE: usize = 32;
/// Links of a node on every other layer, at most.
pub(super) const UPPER_DEGREE: usize = 16;
/// Layers above the lowest, at most.
pub(super) const UPPER_LAYERS: usize = 15;
/// Fills up the places of links that are not there.
pub(super) const NONE: u32 = u32::MAX;
/// More nodes than this cannot be numbered.
pub(super) const MAX_NODES: usize = 1 << 31;

/// A layer above the lowest. Its nodes are counted through by themselves: links are
/// places in this layer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Layer<'a> {
    /// The node at each place.
    pub(super) nodes: &'a [u32],
    /// The same node's place one layer below; on the lowest, that is its number.
    pub(super) down: &'a [u32],
    /// [`UPPER_DEGREE`] places each, [`NONE`] behind the last.
    pub(super) links: &'a [u32],
}

/// A graph, wherever it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// The nodes' codes.
    pub(super) block: CodeBlock<'a>,
    /// [`DEGREE`] nodes each, [`NONE`] behind the last.
    pub(super) ground: &'a [u32],
    /// The layers above, the lowest first; as many as count.
    pub(super) upper: [Layer<'a>; UPPER_LAYERS],
    pub(super) layers: usize,
    /// Where to start: a place in the topmost layer.
    pub(super) entry: u32,
}

impl View<'_> {
    pub(super) fn nodes(&self) -> usize {
        self.block.scales.len()
    }
}

/// A node that was seen: its likeness, its number, and whether it was looked at. Greater
/// is better, so a list of these is sorted as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen(u64);

impl Seen {
    fn new(likeness: f32, node: u32) -> Self {
        Self(u64::from(ordered(likeness)) << 32 | u64::from(node) << 1)
    }

    fn node(self) -> u32 {
        self.0 as u32 >> 1
    }

    fn looked_at(self) -> bool {
        self.0 & 1 == 1
    }
}

/// What a walk needs in memory; used again by the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    visited: Visited,
    /// The best seen, the best first.
    kept: Vec<Seen>,
    batch: Vec<u32>,
    sums: Vec<i32>,
    /// For a vector that is compared afterwards.
    pub(super) vector: Vec<f32>,
    /// Comparisons of the last walk.
    pub(super) compared: usize,
}

impl Scratch {
    /// The nodes that the last walk kept and how like the query they are, the best first.
    pub(super) fn found(&self) -> impl Iterator<Item = (u32, f32)> {
        self.kept.iter().map(|seen| (seen.node(), from_ordered((seen.0 >> 32) as u32)))
    }

    fn start(&mut self, nodes: usize) {
        self.visited.clear(nodes);
        self.kept.clear();
        self.batch.resize(DEGREE.max(self.batch.len()), 0);
        self.sums.resize(DEGREE.max(self.sums.len()), 0);
        self.compared = 0;
    }
}

/// A set of nodes that is emptied in as many steps as there are nodes in it.
#[derive(Debug, Default)]
struct Visited {
    bits: Vec<u64>,
    nodes: Vec<u32>,
}

impl Visited {
    fn clear(&mut self, nodes: usize) {
        for &node in &self.nodes {
            self.bits[node as usize / 64] = 0;
        }
        self.nodes.clear();
        if self.bits.len() < nodes.div_ceil(64) {
            self.bits.resize(nodes.div_ceil(64), 0);
        }
    }

    /// Puts in a node and says whether it is new.
    #[inline(always)]
    fn add(&mut self, node: u32) -> bool {
        let new = self.mark(node);
        if new {
            self.nodes.push(node);
        }
        new
    }

    /// The same; new ones have to be noted in `nodes` too.
    #[inline(always)]
    fn mark(&mut self, node: u32) -> bool {
        let (word, bit) = (&mut self.bits[node as usize / 64], 1 << (node % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

/// Puts the best `ef` nodes near the query into `scratch`, in order of likeness.
///
/// # Errors
/// `Damaged` if `trust` is lost in something that is read.
pub(super) fn walk(
    view: &View<'_>,
    asked: &QueryCodes,
    ef: usize,
    scratch: &mut Scratch,
    trust: &impl Trust,
) -> Result<(), Damaged> {
    scratch.start(view.nodes());
    if view.nodes() == 0 || ef == 0 {
        return Ok(());
    }
    let start = descend(view, asked, scratch, trust)?;
    scratch.visited.add(start.node());
    scratch.kept.push(start);
    let kernel = Kernel::best();
    let mut next = 0;
    while let Some(&seen) = scratch.kept.get(next) {
        if seen.looked_at() {
            next += 1;
            continue;
        }
        scratch.kept[next].0 |= 1;
        let count = neighbours(view, seen.node(), scratch, trust)?;
        // Whoever is looked at next, in all likelihood.
        if let Some(likely) = scratch.kept[next..].iter().find(|seen| !seen.looked_at()) {
            prefetch_links(view, likely.node());
        }
        let first = keep(view, asked, kernel, ef, count, scratch);
        next = if first <= next { first } else { next + 1 };
    }
    Ok(())
}

/// Compares the first `count` nodes of the batch, keeps those that are among the best `ef`,
/// and says at which place the best of them came.
#[inline(always)]
fn keep(
    view: &View<'_>,
    asked: &QueryCodes,
    kernel: &Kernel,
    ef: usize,
    count: usize,
    scratch: &mut Scratch,
) -> usize {
    let Scratch { kept, batch, sums, compared, .. } = scratch;
    let (batch, sums) = (&batch[..count], &mut sums[..count]);
    kernel.each(asked.coarse(), view.block.rows, batch, sums);
    *compared += count;
    let mut first = usize::MAX;
    for (&node, &sum) in batch.iter().zip(&*sums) {
        let likeness = asked.likeness(sum, view.block.scales[node as usize]);
        let new = Seen::new(likeness, node);
        if kept.len() >= ef {
            if kept.last().is_some_and(|worst| new <= *worst) {
                continue;
            }
            kept.pop();
        }
        let place = kept.partition_point(|seen| *seen > new);
        kept.insert(place, new);
        first = first.min(place);
    }
    first
}

#[inline(always)]
fn prefetch_links(view: &View<'_>, node: u32) {
    let links = view.ground.as_ptr().wrapping_add(node as usize * DEGREE);
    prefetch(links);
    prefetch(links.wrapping_add(DEGREE / 2));
}

/// Collects the neighbours of `node` that were not visited, and says how many.
#[inline(always)]
fn neighbours(
    view: &View<'_>,
    node: u32,
    scratch: &mut Scratch,
    trust: &impl Trust,
) -> Result<usize, Damaged> {
    let links = &view.ground[node as usize * DEGREE..][..DEGREE];
    trust.in_words(links)?;
    let mut count = 0;
    for &link in links {
        // Behind the last link, or damaged.
        if link as usize >= view.nodes() {
            break;
        }
        if scratch.visited.mark(link) {
            view.block.rows.prefetch(link as usize);
            prefetch(&view.block.scales[link as usize]);
            scratch.batch[count] = link;
            count += 1;
        }
    }
    let batch = &scratch.batch[..count];
    scratch.visited.nodes.extend_from_slice(batch);
    for &node in batch {
        trusted(view, node, trust)?;
    }
    Ok(count)
}

#[inline(always)]
pub(super) fn trusted(view: &View<'_>, node: u32, trust: &impl Trust) -> Result<(), Damaged> {
    trust.in_bytes(view.block.rows.row(node as usize))?;
    trust.in_numbers(&view.block.scales[node as usize..][..1])
}

/// The nearest node that going to the nearest neighbour leads to, through the upper layers.
fn descend(
    view: &View<'_>,
    asked: &QueryCodes,
    scratch: &mut Scratch,
    trust: &impl Trust,
) -> Result<Seen, Damaged> {
    let last = view.nodes() as u32 - 1;
    let mut compare = |node: u32| {
        let node = node.min(last);
        trusted(view, node, trust)?;
        let mut sum = [0];
        Kernel::best().each(asked.coarse(), view.block.rows, &[node], &mut sum);
        scratch.compared += 1;
        Ok(Seen::new(asked.likeness(sum[0], view.block.scales[node as usize]), node))
    };
    let mut place = view.entry as usize;
    for layer in view.upper[..view.layers].iter().rev() {
        if layer.nodes.is_empty() {
            continue;
        }
        place = place.min(layer.nodes.len() - 1);
        trust.in_words(&layer.nodes[place..=place])?;
        let mut best = compare(layer.nodes[place])?;
        loop {
            let links = &layer.links[place * UPPER_DEGREE..][..UPPER_DEGREE];
            trust.in_words(links)?;
            let mut better = None;
            for &link in links.iter().take_while(|link| (**link as usize) < layer.nodes.len()) {
                trust.in_words(&layer.nodes[link as usize..][..1])?;
                let seen = compare(layer.nodes[link as usize])?;
                if seen > best {
                    (best, better) = (seen, Some(link as usize));
                }
            }
            match better {
                Some(there) => place = there,
                None => break,
            }
        }
        trust.in_words(&layer.down[place..=place])?;
        place = layer.down[place] as usize;
    }
    compare(place.min(last as usize) as u32)
}
