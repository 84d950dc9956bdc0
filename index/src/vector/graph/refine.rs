//! Given a passable graph, what is a good one?
//!
//! Every node is searched for in the graph as it is; of what is found, and of the
//! neighbours it had, those become its neighbours that are nearer to it than to one
//! another; each of them links back, and keeps the best of what it got. Searching the
//! frozen graph is so much faster than inserting into a growing one that building with
//! few candidates and refining is cheaper than building with many, and finds more.
//!
//! # Source
//! The selection with a factor is that of S. Jayaram Subramanya et al.: DiskANN, NeurIPS
//! 2019, and without one that of HNSW (Yu. Malkov, D. Yashunin, 2016).

use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;

use super::super::quantised::{CodeBlock, Kernel, QueryCodes};
use super::trust::Proven;
use super::walk::{DEGREE, NONE, Scratch, View, walk};

/// Candidates looked at for each node.
const EF: usize = 100;
/// Neighbours a node chooses by itself; up to [`DEGREE`] with those that chose it.
const CHOSEN: usize = 20;
/// A candidate is left out if it is this many times nearer to one already chosen, in
/// squared distance.
const FACTOR: f32 = 1.05;
/// Nodes a thread takes at a time.
const SLICE: usize = 256;

/// Half squared distances between the vectors that codes say.
pub(super) struct Distances<'a> {
    block: CodeBlock<'a>,
    halves: Vec<f32>,
    kernel: &'static Kernel,
}

impl<'a> Distances<'a> {
    pub(super) fn of(block: CodeBlock<'a>) -> Self {
        let kernel = Kernel::best();
        let halves = (0..block.scales.len()).map(|i| block.half_square(kernel, i)).collect();
        Self { block, halves, kernel }
    }

    pub(super) fn half_square(&self, i: u32) -> f32 {
        self.halves[i as usize]
    }

    pub(super) fn between(&self, a: u32, b: u32) -> f32 {
        let (a, b) = (a as usize, b as usize);
        let sum = self.kernel.pair(self.block.rows.row(a), self.block.rows.row(b));
        let product = self.block.scales[a] * self.block.scales[b] * sum as f32;
        (self.halves[a] + self.halves[b] - product).max(0.0)
    }
}

/// A node and how far it is from another.
type Near = (f32, u32);

fn by_distance(a: &Near, b: &Near) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// The links that make `view` better, in the form of its own; `None` if `cancel` was
/// raised meanwhile. `vectors` are the nodes'.
///
/// The same whatever the number of threads.
pub(super) fn refine(
    view: &View<'_>,
    vectors: &[&[f32]],
    distances: &Distances<'_>,
    cancel: &AtomicBool,
) -> Option<Vec<u32>> {
    let nodes: Vec<u32> = (0..view.nodes() as u32).collect();
    let mut chosen: Vec<Vec<Near>> = vec![];
    nodes
        .par_chunks(SLICE)
        .map(|slice| {
            let mut scratch = Scratch::default();
            let one = |&node: &u32| choose(view, node, vectors, distances, &mut scratch);
            if cancel.load(Ordering::Relaxed) { vec![] } else { slice.iter().map(one).collect() }
        })
        .collect::<Vec<_>>()
        .into_iter()
        .for_each(|slice| chosen.extend(slice));
    if chosen.len() < nodes.len() || cancel.load(Ordering::Relaxed) {
        return None;
    }
    let mut back: Vec<Vec<Near>> = vec![vec![]; nodes.len()];
    for (node, near) in (0..).zip(&chosen) {
        for &(distance, other) in near {
            back[other as usize].push((distance, node));
        }
    }
    let mut ground = vec![NONE; nodes.len() * DEGREE];
    ground.par_chunks_mut(DEGREE).zip(chosen).zip(back).for_each(|((links, mut near), back)| {
        near.extend(back);
        near.sort_unstable_by(by_distance);
        near.dedup();
        if near.len() > DEGREE {
            near = diverse(&near, DEGREE, distances);
        }
        for (link, (_, other)) in links.iter_mut().zip(near) {
            *link = other;
        }
    });
    Some(ground)
}

/// The neighbours of one node.
fn choose(
    view: &View<'_>,
    node: u32,
    vectors: &[&[f32]],
    distances: &Distances<'_>,
    scratch: &mut Scratch,
) -> Vec<Near> {
    let asked = QueryCodes::of(vectors[node as usize]);
    // Nothing is read from a file here that could be damaged.
    let _ = walk(view, &asked, EF, scratch, &Proven);
    let links = view.ground[node as usize * DEGREE..][..DEGREE].iter().copied();
    let links = links.take_while(|link| *link != NONE);
    let candidates = scratch.found().map(|(other, _)| other).chain(links);
    let mut near: Vec<Near> = candidates
        .filter(|other| *other != node)
        .map(|other| (distances.between(node, other), other))
        .collect();
    near.sort_unstable_by(by_distance);
    near.dedup();
    diverse(&near, CHOSEN, distances)
}

/// Of candidates in order of distance the first `most` that are not much nearer to one
/// taken before.
fn diverse(near: &[Near], most: usize, distances: &Distances<'_>) -> Vec<Near> {
    let mut taken: Vec<Near> = Vec::with_capacity(most);
    for &(distance, other) in near {
        if taken.len() == most {
            break;
        }
        if taken.iter().all(|t| distances.between(t.1, other) * FACTOR > distance) {
            taken.push((distance, other));
        }
    }
    taken
}
