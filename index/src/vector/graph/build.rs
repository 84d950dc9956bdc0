//! Given the rows of a state, how does a segment come about?

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use memmap2::MmapMut;

use super::super::Rows;
use super::super::hnsw::{self, Layers};
use super::super::quantised::{CodeBlock, Codes};
use super::collapse::collapse;
use super::grown::grown;
use super::layout::{Head, Layout, Part, Sections};
use super::refine::{Distances, refine};
use super::segment::{Segment, last_crc};
use super::walk::{DEGREE, Layer, MAX_NODES, NONE, UPPER_DEGREE, UPPER_LAYERS, View};
use crate::{Kind, Seq};

const _: () = assert!(2 * hnsw::LINKS <= DEGREE && hnsw::LINKS <= UPPER_DEGREE);
const _: () = assert!(hnsw::MAX_LAYERS <= UPPER_LAYERS + 1);

/// A part before it is written down.
struct Draft {
    kind: Kind,
    /// In the order of nodes, everything from here on.
    codes: Codes,
    ground: Vec<u32>,
    upper: Vec<UpperLayer>,
    entry: u32,
    /// Counted from the first row.
    rows: Vec<u32>,
    /// Node and row, ascending.
    twins: Vec<(u32, u32)>,
    spread: f32,
}

#[derive(Default)]
struct UpperLayer {
    nodes: Vec<u32>,
    down: Vec<u32>,
    links: Vec<u32>,
}

impl Segment {
    /// Builds the graph of the living rows from `first` on, in memory. `None` if cancelled,
    /// or if such rows cannot be quantised.
    pub(super) fn build(
        rows: &Rows,
        first: u64,
        seq: Seq,
        threads: usize,
        cancel: &AtomicBool,
    ) -> Option<Self> {
        let dim = rows.dim().filter(|&dim| Codes::can(dim))?;
        // Rows are counted in 32 bits and nodes in 31; those beyond are not covered.
        let end = rows.len().min(first.saturating_add(MAX_NODES as u64 - 1));
        let mut drafts = vec![];
        for kind in [Kind::Image, Kind::Text] {
            let living = (first..end).filter(|&row| rows.live(row).is_some_and(|l| l.1 == kind));
            let there = living.filter_map(|row| Some(((row - first) as u32, rows.vector(row)?)));
            let (numbers, vectors): (Vec<u32>, Vec<&[f32]>) = there.unzip();
            if numbers.is_empty() {
                continue;
            }
            // Vectors are read when codes are made, and again when links are chosen. In between the
            // graph is at its largest, and a file's pages count as memory, too.
            let release = || rows.release(first..end);
            let draft = Draft::of(kind, dim, &numbers, &vectors, release, threads, cancel);
            rows.release(first..end);
            drafts.push(draft?);
        }
        let parts: Vec<Part> = drafts.iter().map(Draft::part).collect();
        let layout = Layout::of(&parts, dim);
        let mut image = MmapMut::map_anon(layout.body.end).ok()?;
        for (draft, sections) in drafts.iter().zip(&layout.sections) {
            draft.write(sections, &mut image[layout.body.clone()]);
        }
        let head = Head { first, end, seq, last: last_crc(rows, end), parts };
        Some(Self::of(head, layout, dim, image))
    }
}

impl Draft {
    fn of(
        kind: Kind,
        dim: usize,
        numbers: &[u32],
        vectors: &[&[f32]],
        release: impl Fn(),
        threads: usize,
        cancel: &AtomicBool,
    ) -> Option<Self> {
        let collapsed = collapse(vectors);
        let vectors: Vec<&[f32]> = collapsed.nodes.iter().map(|&i| vectors[i]).collect();
        let codes = Codes::of(dim, vectors.iter().map(|v| Some(*v)));
        let rows: Vec<u32> = collapsed.nodes.iter().map(|&i| numbers[i]).collect();
        release();
        let distances = Distances::of(codes.block());
        let half_square = |node| distances.half_square(node);
        // Its own threads, so that searches do not queue behind the building.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build().ok()?;
        let layers = pool.install(|| hnsw::build(codes.block(), half_square, threads, cancel))?;
        let mut draft = Self {
            kind,
            ground: flat(&layers.ground),
            upper: flat_upper(&layers),
            entry: 0,
            rows,
            twins: collapsed.twins.iter().map(|&(node, i)| (node, numbers[i])).collect(),
            spread: collapsed.spread,
            codes,
        };
        draft.entry = match draft.upper.last() {
            Some(layer) => place_in(&layer.nodes, layers.entry),
            None => layers.entry,
        };
        let view = draft.view();
        let distances = Distances::of(view.block);
        let mut ground = pool.install(|| refine(&view, &vectors, &distances, cancel))?;
        let order = in_reach(&mut ground, layers.entry);
        let order = grown(&ground, &order, |a, b| distances.between(a, b), cancel)?;
        drop(distances);
        draft.ground = ground;
        Some(draft.in_order(&order, &vectors))
    }

    fn view(&self) -> View<'_> {
        let mut upper = [Layer::default(); UPPER_LAYERS];
        for (layer, from) in upper.iter_mut().zip(&self.upper) {
            *layer = Layer { nodes: &from.nodes, down: &from.down, links: &from.links };
        }
        View {
            block: self.codes.block(),
            ground: &self.ground,
            upper,
            layers: self.upper.len(),
            entry: self.entry,
        }
    }

    /// The same with its nodes in another order; `order` tells the old number at each new place.
    fn in_order(self, order: &[u32], vectors: &[&[f32]]) -> Self {
        let mut place = vec![0u32; order.len()];
        for (new, &old) in (0..).zip(order) {
            place[old as usize] = new;
        }
        let moved = |node: &u32| if *node == NONE { NONE } else { place[*node as usize] };
        let mut codes = Codes::around(self.codes.block().centre.to_vec());
        codes.reserve(order.len());
        let mut ground = Vec::with_capacity(self.ground.len());
        for &old in order {
            codes.push(Some(vectors[old as usize]));
            ground.extend(self.ground[old as usize * DEGREE..][..DEGREE].iter().map(moved));
        }
        let mut upper = self.upper;
        for (i, layer) in upper.iter_mut().enumerate() {
            layer.nodes.iter_mut().for_each(|node| *node = place[*node as usize]);
            if i == 0 {
                layer.down.clone_from(&layer.nodes);
            }
        }
        let mut twins: Vec<(u32, u32)> =
            self.twins.iter().map(|&(node, row)| (place[node as usize], row)).collect();
        twins.sort_unstable();
        Self {
            entry: if upper.is_empty() { place[self.entry as usize] } else { self.entry },
            rows: order.iter().map(|&old| self.rows[old as usize]).collect(),
            kind: self.kind,
            spread: self.spread,
            codes,
            ground,
            upper,
            twins,
        }
    }

    fn part(&self) -> Part {
        Part {
            kind: self.kind,
            nodes: self.rows.len(),
            twins: self.twins.len(),
            entry: self.entry,
            spread: self.spread,
            bound: self.codes.block().bound,
            upper: self.upper.iter().map(|layer| layer.nodes.len()).collect(),
        }
    }

    fn write(&self, sections: &Sections, body: &mut [u8]) {
        let CodeBlock { rows, scales, centre, .. } = self.codes.block();
        let (nodes, twin_rows): (Vec<u32>, Vec<u32>) = self.twins.iter().copied().unzip();
        let mut upper: Vec<u32> = vec![];
        for layer in &self.upper {
            for words in [&layer.nodes, &layer.down, &layer.links] {
                upper.extend_from_slice(words);
            }
        }
        let all: [(&std::ops::Range<usize>, &[u8]); 8] = [
            (&sections.centre, bytemuck::cast_slice(centre)),
            (&sections.codes, rows.of(0..rows.len())),
            (&sections.scales, bytemuck::cast_slice(scales)),
            (&sections.ground, bytemuck::cast_slice(&self.ground)),
            (&sections.rows, bytemuck::cast_slice(&self.rows)),
            (&sections.twin_nodes, bytemuck::cast_slice(&nodes)),
            (&sections.twin_rows, bytemuck::cast_slice(&twin_rows)),
            (&sections.upper, bytemuck::cast_slice(&upper)),
        ];
        for (range, bytes) in all {
            body[range.clone()].copy_from_slice(bytes);
        }
    }
}

/// The links of all nodes, [`DEGREE`] each.
fn flat(lists: &[Vec<u32>]) -> Vec<u32> {
    let mut ground = vec![NONE; lists.len() * DEGREE];
    for (links, list) in ground.chunks_mut(DEGREE).zip(lists) {
        links.iter_mut().zip(list).for_each(|(link, other)| *link = *other);
    }
    ground
}

fn flat_upper(layers: &Layers) -> Vec<UpperLayer> {
    let mut upper: Vec<UpperLayer> = vec![];
    for layer in &layers.upper {
        let nodes: Vec<u32> = layer.iter().map(|(node, _)| *node).collect();
        let down = match upper.last() {
            Some(below) => nodes.iter().map(|&node| place_in(&below.nodes, node)).collect(),
            None => nodes.clone(),
        };
        let places: HashMap<u32, u32> = (0..).zip(&nodes).map(|(place, &n)| (n, place)).collect();
        let mut links = vec![NONE; nodes.len() * UPPER_DEGREE];
        for (links, (_, list)) in links.chunks_mut(UPPER_DEGREE).zip(layer) {
            // What does not reach so high is no neighbour here.
            let others = list.iter().filter_map(|other| places.get(other));
            links.iter_mut().zip(others).for_each(|(link, place)| *link = *place);
        }
        upper.push(UpperLayer { nodes, down, links });
    }
    upper
}

/// The place of a node in an ascending list that has it.
fn place_in(nodes: &[u32], node: u32) -> u32 {
    nodes.partition_point(|n| *n < node) as u32
}

/// All nodes in the order in which links lead to them from `entry`. To those that none
/// leads to, one is made to lead.
fn in_reach(ground: &mut [u32], entry: u32) -> Vec<u32> {
    let nodes = ground.len() / DEGREE;
    // By whose link each node is reached; these links stay.
    let mut by = vec![NONE; nodes];
    let mut order = vec![entry];
    by[entry as usize] = entry;
    let (mut done, mut next) = (0, 0);
    loop {
        while let Some(&node) = order.get(done) {
            done += 1;
            for &link in &ground[node as usize * DEGREE..][..DEGREE] {
                if link == NONE {
                    break;
                }
                if by[link as usize] == NONE {
                    by[link as usize] = node;
                    order.push(link);
                }
            }
        }
        while next < nodes && by[next] != NONE {
            next += 1;
        }
        if next == nodes {
            return order;
        }
        let node = next as u32;
        let own = ground[next * DEGREE..][..DEGREE].to_vec();
        let near = own.into_iter().filter(|n| *n != NONE && by[*n as usize] != NONE);
        // The nearest reached neighbour that has a place; there are more places in all than
        // reached nodes, so someone has one.
        let mut given = near.chain(order.iter().copied()).filter_map(|from| {
            let links = &ground[from as usize * DEGREE..][..DEGREE];
            let spare = |&link: &u32| link == NONE || by[link as usize] != from;
            Some((from, links.iter().position(|l| *l == NONE).or(links.iter().rposition(spare))?))
        });
        let Some((from, place)) = given.next() else { return order };
        ground[from as usize * DEGREE + place] = node;
        by[next] = from;
        order.push(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_reached() {
        // Islands of 40, each node linked to all others of its own.
        let count = 200u32;
        let mut ground = vec![NONE; count as usize * DEGREE];
        for node in 0..count {
            let island = node / 40 * 40;
            let others = (0..40).map(|i| island + (node + 1 + i) % 40).filter(|n| *n != node);
            let links = &mut ground[node as usize * DEGREE..][..DEGREE];
            links.iter_mut().zip(others).for_each(|(link, other)| *link = other);
        }
        let order = in_reach(&mut ground, 7);
        let mut all = order.clone();
        all.sort_unstable();
        assert_eq!(all, (0..count).collect::<Vec<_>>());
        assert_eq!(order[0], 7);
        let links = ground.clone();
        let mut all = in_reach(&mut ground, 7);
        all.sort_unstable();
        assert_eq!(all, (0..count).collect::<Vec<_>>());
        assert_eq!(ground, links, "all were in reach already");
    }
}
