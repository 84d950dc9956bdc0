//! Which vectors are so near each other that one node stands for them all?
//!
//! Thousands of nearly equal vectors would link to one another only, and wall off the
//! rest. Those nearer to each other than codes can tell apart become twins of one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::super::quantised::Kernel;

/// Twins are at most so far from their node's vector: about what rounding to codes
/// moves a vector by, a cosine of 0.99995.
const NEAR: f32 = 0.01;
/// Width of a cell, in which near vectors fall on most directions together.
const CELL: f32 = 0.02;
/// Directions that make a cell's name, and names a vector has: the more names, the fewer
/// pairs have none in common.
const DIRECTIONS: usize = 6;
const NAMES: usize = 2;
/// Vectors of a cell that one is compared with, at most.
const COMPARED: usize = 8;

/// Vectors that stand for themselves, and those that others stand for.
#[derive(Debug, Default)]
pub(super) struct Collapsed {
    /// Numbers of vectors, ascending: the nodes.
    pub(super) nodes: Vec<usize>,
    /// For others the place in `nodes` of who stands for them, and their own number;
    /// ascending.
    pub(super) twins: Vec<(u32, usize)>,
    /// How far twins are from who stands for them, at most.
    pub(super) spread: f32,
}

/// Sorts `vectors` (units of one dimension) into nodes and twins. Equal ones are always
/// twins, near ones nearly always.
pub(super) fn collapse(vectors: &[&[f32]]) -> Collapsed {
    let mut collapsed = Collapsed::default();
    let Some(dim) = vectors.first().map(|v| v.len()) else { return collapsed };
    let directions = directions(dim);
    let mut equal: HashMap<&[u8], u32> = HashMap::with_capacity(vectors.len());
    let mut cells: [HashMap<[i16; DIRECTIONS], Vec<u32>>; NAMES] = Default::default();
    let kernel = Kernel::best();
    for (i, vector) in vectors.iter().enumerate() {
        let place = collapsed.nodes.len() as u32;
        let slot = match equal.entry(bytemuck::cast_slice(vector)) {
            Entry::Occupied(node) => {
                collapsed.twins.push((*node.get(), i));
                continue;
            }
            Entry::Vacant(slot) => slot,
        };
        let names = names(vector, &directions);
        let near = cells.iter().zip(&names).find_map(|(cells, name)| {
            let inside = cells.get(name)?.iter().rev().take(COMPARED);
            inside.copied().find_map(|node| {
                let other = vectors[collapsed.nodes[node as usize]];
                // Only where this says that it may be near is the distance worth measuring.
                if kernel.dot(vector, other) < 1.0 - NEAR * NEAR {
                    return None;
                }
                let distance = distance(vector, other);
                (distance <= NEAR).then_some((node, distance))
            })
        });
        match near {
            Some((node, distance)) => {
                slot.insert(node);
                collapsed.spread = collapsed.spread.max(distance);
                collapsed.twins.push((node, i));
            }
            None => {
                slot.insert(place);
                for (cells, name) in cells.iter_mut().zip(names) {
                    cells.entry(name).or_default().push(place);
                }
                collapsed.nodes.push(i);
            }
        }
    }
    collapsed.twins.sort_unstable();
    collapsed
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    let squares = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    (squares.sum::<f64>().sqrt() * (1.0 + 1e-6)) as f32
}

/// Directions that have nothing to do with the data, the same each time.
fn directions(dim: usize) -> Vec<Vec<f32>> {
    let mut state = 0x5851_f42d_4c95_7f2d_u64;
    let mut number = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    // Numbers of mean square 1/12 each: about a unit vector after scaling.
    let scale = (12.0 / dim as f32).sqrt();
    (0..NAMES * DIRECTIONS)
        .map(|_| (0..dim).map(|_| (0..4).map(|_| number()).sum::<f32>() / 2.0 * scale).collect())
        .collect()
}

fn names(vector: &[f32], directions: &[Vec<f32>]) -> [[i16; DIRECTIONS]; NAMES] {
    let kernel = Kernel::best();
    std::array::from_fn(|n| {
        std::array::from_fn(|d| {
            (kernel.dot(vector, &directions[n * DIRECTIONS + d]) / CELL).floor() as i16
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Random;
    use super::*;

    #[test]
    fn near_ones_are_twins_and_far_ones_are_not() {
        let seed = 17;
        println!("seed {seed}");
        let mut random = Random(seed);
        let dim = 96;
        let families: Vec<Vec<f32>> =
            (0..40).map(|_| random.vector(&vec![0.0; dim], 1.0)).collect();
        // As near as a second JPEG of one picture hardly is; and as near as sisters are.
        let (mut vectors, mut family) = (vec![], vec![]);
        for i in 0..4000 {
            let spread = if i % 4 == 0 { 0.3 } else { 0.001 };
            vectors.push(random.vector(&families[i % 40], spread));
            family.push(if i % 4 == 0 { None } else { Some(i % 40) });
        }
        vectors.push(vectors[7].clone());
        family.push(family[7]);
        let slices: Vec<&[f32]> = vectors.iter().map(|v| &v[..]).collect();
        let collapsed = collapse(&slices);
        assert_eq!(collapsed.nodes.len() + collapsed.twins.len(), vectors.len());
        assert!(collapsed.nodes.is_sorted() && collapsed.twins.is_sorted());
        let mut farthest = 0f32;
        for &(node, twin) in &collapsed.twins {
            let node = collapsed.nodes[node as usize];
            assert!(node < twin, "the first stands for the others");
            assert!(family[twin].is_some() && family[node] == family[twin]);
            farthest = farthest.max(distance(&vectors[node], &vectors[twin]));
        }
        assert!(farthest <= collapsed.spread && collapsed.spread <= NEAR, "{farthest}");
        assert!(collapsed.twins.iter().any(|t| t.1 == 4000), "equal ones always");
        println!("{} nodes of {} vectors", collapsed.nodes.len(), vectors.len());
        // 1,000 loners and 30 families; a family may be split among a few cells.
        assert!(collapsed.nodes.len() < 1000 + 30 * 12, "{}", collapsed.nodes.len());
    }

    #[test]
    fn none_and_one() {
        assert!(collapse(&[]).nodes.is_empty());
        assert_eq!(collapse(&[&[1.0]]).nodes, [0]);
        let collapsed = collapse(&[&[1.0], &[1.0], &[-1.0]]);
        assert_eq!((collapsed.nodes, collapsed.twins), (vec![0, 2], vec![(0, 1)]));
    }
}
