//! Given vectors, what is their navigable small-world graph?
//!
//! Building is left to `hnsw_rs`; only this file knows it. The result is read
//! out at once and frozen, so nothing here meets its file format or lifetime.

use std::sync::atomic::{AtomicBool, Ordering};

use hnsw_rs::prelude::{Distance, Hnsw};

use super::graph::Layers;

/// Links per node and layer (twice as many on the lowest).
const LINKS: usize = 16;
/// Candidates looked at per insertion.
const EF_CONSTRUCTION: usize = 200;
const MAX_LAYERS: usize = 16;
/// Insertions between two looks at the cancel flag.
const SLICE: usize = 2048;

/// Compares nodes by number, so that the graph need not copy the vectors.
struct ByNode<'a> {
    vectors: &'a [&'a [f32]],
}

impl Distance<u32> for ByNode<'_> {
    fn eval(&self, a: &[u32], b: &[u32]) -> f32 {
        // The library's own dot distance panics where rounding makes it negative.
        let (a, b) = (self.vectors[a[0] as usize], self.vectors[b[0] as usize]);
        (1.0 - ekphrasis_embed::dot(a, b)).max(0.0)
    }
}

/// Builds the graph of `vectors` (unit, finite, all different); node numbers are
/// positions in it. `None` if `cancel` was raised meanwhile.
///
/// Built by several threads (`threads` > 1), two builds differ in their links,
/// not in their quality.
pub(crate) fn build(vectors: &[&[f32]], threads: usize, cancel: &AtomicBool) -> Option<Layers> {
    if vectors.is_empty() {
        return Some(Layers::default());
    }
    let hnsw: Hnsw<'_, u32, ByNode<'_>> =
        Hnsw::new(LINKS, vectors.len(), MAX_LAYERS, EF_CONSTRUCTION, ByNode { vectors });
    let nodes: Vec<[u32; 1]> = (0..vectors.len() as u32).map(|n| [n]).collect();
    // Its own threads, so that searches do not queue behind the building.
    let pool = (threads > 1)
        .then(|| rayon::ThreadPoolBuilder::new().num_threads(threads).build().ok())
        .flatten();
    for slice in nodes.chunks(SLICE) {
        if cancel.load(Ordering::Relaxed) {
            return None;
        }
        let batch: Vec<(&[u32], usize)> = slice.iter().map(|n| (&n[..], n[0] as usize)).collect();
        match &pool {
            Some(pool) => pool.install(|| hnsw.parallel_insert_slice(&batch)),
            None => batch.iter().for_each(|&point| hnsw.insert_slice(point)),
        }
    }
    Some(read_out(&hnsw, vectors.len()))
}

fn read_out(hnsw: &Hnsw<'_, u32, ByNode<'_>>, nodes: usize) -> Layers {
    let points = hnsw.get_point_indexation();
    let mut layers = Layers { entry: 0, links: vec![vec![vec![]; nodes]] };
    let mut top = 0;
    for level in 0..=usize::from(points.get_max_level_observed()) {
        for point in points.get_layer_iterator(level) {
            let node = point.get_origin_id();
            if level > top || (level == top && node < layers.entry as usize) {
                (top, layers.entry) = (level, node as u32);
            }
            for (layer, neighbours) in
                point.get_neighborhood_id().iter().enumerate().take(level + 1)
            {
                while layers.links.len() <= layer {
                    layers.links.push(vec![vec![]; nodes]);
                }
                layers.links[layer][node] =
                    neighbours.iter().map(|n| n.get_origin_id() as u32).collect();
            }
        }
    }
    layers
}
