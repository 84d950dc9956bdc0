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
/// Two numbers behind the codes of each point: its scale, and half its squared length.
const TRAILER: usize = 8;

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

/// Half the squared distance of two points, each a row of codes with its trailer.
struct OfCodes(&'static Kernel);

impl Distance<u8> for OfCodes {
    fn eval(&self, a: &[u8], b: &[u8]) -> f32 {
        let number =
            |x: &[u8], at: usize| f32::from_le_bytes([x[at], x[at + 1], x[at + 2], x[at + 3]]);
        let codes = a.len() - TRAILER;
        let product = self.0.pair(&a[..codes], &b[..codes]) as f32;
        let product = product * number(a, codes) * number(b, codes);
        // The library does not bear distances below 0, which rounding makes.
        (number(a, codes + 4) + number(b, codes + 4) - product).max(0.0)
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
    let hnsw: Hnsw<'_, u8, OfCodes> =
        Hnsw::new(LINKS, nodes, MAX_LAYERS, EF_CONSTRUCTION, OfCodes(Kernel::best()));
    let point = |node: u32| {
        let mut point = block.rows.row(node as usize).to_vec();
        point.extend_from_slice(&block.scales[node as usize].to_le_bytes());
        point.extend_from_slice(&half_square(node).to_le_bytes());
        point
    };
    for start in (0..nodes).step_by(SLICE) {
        if cancel.load(Ordering::Relaxed) {
            return None;
        }
        let slice = start as u32..nodes.min(start + SLICE) as u32;
        let points: Vec<Vec<u8>> = slice.clone().map(point).collect();
        let batch: Vec<(&[u8], usize)> =
            points.iter().zip(slice).map(|(p, n)| (&p[..], n as usize)).collect();
        if threads > 1 {
            hnsw.parallel_insert_slice(&batch);
        } else {
            batch.iter().for_each(|&point| hnsw.insert_slice(point));
        }
    }
    Some(read_out(&hnsw, nodes))
}

fn read_out(hnsw: &Hnsw<'_, u8, OfCodes>, nodes: usize) -> Layers {
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
