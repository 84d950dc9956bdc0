//! Given quantised vectors, what is their navigable small-world graph?
//!
//! Building is left to `hnsw_rs`; only this file knows it. The result is read
//! out at once and frozen, so nothing here meets its file format or lifetime.

use std::sync::atomic::{AtomicBool, Ordering};

use hnsw_rs::prelude::{Distance, Hnsw};

use super::quantised::{CodeBlock, Kernel};

/// Links per node and layer (twice as many on the lowest).
pub(super) const LINKS: usize = 16;
/// Candidates looked at per insertion: few, because the graph is refined afterwards.
const EF_CONSTRUCTION: usize = 40;
pub(super) const MAX_LAYERS: usize = 16;
/// Insertions between two looks at the cancel flag.
const SLICE: usize = 2048;

/// Links as they come out of building.
#[derive(Debug, Default)]
pub(super) struct Layers {
    /// A node of the topmost layer.
    pub(super) entry: u32,
    /// Of each node on the lowest layer.
    pub(super) ground: Vec<Vec<u32>>,
    /// The layers above, the lowest first: their nodes, ascending, each with its links.
    pub(super) upper: Vec<Vec<(u32, Vec<u32>)>>,
}

/// Half the squared distance of two points. A point is the number of its node alone: the
/// library keeps a copy of what it is given, and codes are there already.
struct OfNodes<'a> {
    kernel: &'static Kernel,
    block: CodeBlock<'a>,
    half_squares: Vec<f32>,
}

impl Distance<u32> for OfNodes<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        let [a, b] = [a, b].map(|point| point.first().map_or(0, |&node| node as usize));
        let (rows, scales) = (&self.block.rows, &self.block.scales);
        let product = self.kernel.pair(rows.row(a), rows.row(b)) as f32;
        let product = product * scales[a] * scales[b];
        // The library does not bear distances below 0, which rounding makes.
        (self.half_squares[a] + self.half_squares[b] - product).max(0.0)
    }
}

/// Builds the graph of the vectors in `block` (all there, hardly any equal), whose half
/// squared lengths `half_square` tells; node numbers are positions in it. `None` if
/// `cancel` was raised meanwhile.
///
/// Built by several threads (in a pool of more than one), two builds differ in their
/// links, not in their quality.
pub(super) fn build(
    block: CodeBlock<'_>,
    half_square: impl Fn(u32) -> f32,
    threads: usize,
    cancel: &AtomicBool,
) -> Option<Layers> {
    let nodes = block.scales.len();
    if nodes == 0 {
        return Some(Layers::default());
    }
    let half_squares = (0..nodes as u32).map(half_square).collect();
    let of_nodes = OfNodes { kernel: Kernel::best(), block, half_squares };
    let hnsw = Hnsw::new(LINKS, nodes, MAX_LAYERS, EF_CONSTRUCTION, of_nodes);
    let numbers: Vec<u32> = (0..nodes as u32).collect();
    for slice in numbers.chunks(SLICE) {
        if cancel.load(Ordering::Relaxed) {
            return None;
        }
        let batch: Vec<(&[u32], usize)> =
            slice.iter().map(|node| (std::slice::from_ref(node), *node as usize)).collect();
        if threads > 1 {
            hnsw.parallel_insert_slice(&batch);
        } else {
            batch.iter().for_each(|&point| hnsw.insert_slice(point));
        }
    }
    Some(read_out(&hnsw, nodes))
}

fn read_out(hnsw: &Hnsw<'_, u32, OfNodes<'_>>, nodes: usize) -> Layers {
    let points = hnsw.get_point_indexation();
    let top = usize::from(points.get_max_level_observed());
    let mut layers = Layers { entry: 0, ground: vec![vec![]; nodes], upper: vec![vec![]; top] };
    let mut entry = None;
    for level in 0..=top {
        for point in points.get_layer_iterator(level) {
            let node = point.get_origin_id() as u32;
            if level == top {
                entry = Some(entry.map_or(node, |least: u32| least.min(node)));
            }
            let lists = point.get_neighborhood_id();
            for (layer, list) in lists.iter().enumerate().take(level + 1) {
                let links: Vec<u32> = list.iter().map(|n| n.get_origin_id() as u32).collect();
                match layer.checked_sub(1) {
                    None => layers.ground[node as usize] = links,
                    Some(upper) => layers.upper[upper].push((node, links)),
                }
            }
        }
    }
    layers.upper.iter_mut().for_each(|layer| layer.sort_unstable_by_key(|(node, _)| *node));
    layers.entry = entry.unwrap_or(0);
    layers
}
