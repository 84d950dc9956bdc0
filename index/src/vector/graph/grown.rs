//! In which order do nodes lie, so that those beside each other are near each other?
//!
//! A group is a node and the nearest of those that links lead to from it, over several if need be;
//! the next begins beside it. A walk then finds the nodes that it goes through in fewer places,
//! and sketches of whole groups say much of their rows ([`super::super::sketch::Cells`]).

use std::sync::atomic::{AtomicBool, Ordering};

use super::walk::{DEGREE, NONE};

/// Nodes of a group: as many as have a common mean in what sketches are looked at by.
const GROUP: usize = super::super::sketch::ROWS;
/// Nodes that a group is chosen from.
const CHOSEN_FROM: usize = 4 * GROUP;
/// So many nodes are looked at, at most, to find these: those that are in groups already are
/// passed through.
const LOOKED_AT: usize = 1024;

/// All nodes in their order. Where links lead to none that is free, the first in `order` is where
/// it goes on. `None` if cancelled.
pub(super) fn grown(
    ground: &[u32],
    order: &[u32],
    between: impl Fn(u32, u32) -> f32,
    cancel: &AtomicBool,
) -> Option<Vec<u32>> {
    // By which search each was met last.
    let (mut met, mut placed) = (vec![NONE; order.len()], vec![false; order.len()]);
    let mut grown = Vec::with_capacity(order.len());
    let (mut queue, mut free) = (Vec::<u32>::new(), Vec::<(f32, u32)>::new());
    let mut others = order.iter().copied();
    for search in 0.. {
        // Relaxed: it only has to be seen some time.
        if cancel.load(Ordering::Relaxed) {
            return None;
        }
        // The nearest that was left over, if any was.
        let beside = free.first().map(|near| near.1);
        let Some(seed) = beside.or_else(|| others.find(|&node| !placed[node as usize])) else {
            break;
        };
        queue.clear();
        free.clear();
        queue.push(seed);
        met[seed as usize] = search;
        let mut next = 0;
        while free.len() < CHOSEN_FROM
            && let Some(&node) = queue.get(next)
        {
            next += 1;
            if !placed[node as usize] {
                // Itself surely: nothing else may lead back to it.
                free.push((if node == seed { -1.0 } else { between(seed, node) }, node));
            }
            if queue.len() < LOOKED_AT {
                let links = &ground[node as usize * DEGREE..][..DEGREE];
                for &link in links.iter().take_while(|link| **link != NONE) {
                    if std::mem::replace(&mut met[link as usize], search) != search {
                        queue.push(link);
                    }
                }
            }
        }
        free.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let group = free.drain(..free.len().min(GROUP - grown.len() % GROUP));
        grown.extend(group.map(|(_, node)| {
            placed[node as usize] = true;
            node
        }));
    }
    assert_eq!(grown.len(), order.len(), "every node has its place");
    Some(grown)
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Random;
    use super::*;

    /// All nodes as near as can be, each with one link that leads on: many are met by no search but
    /// their own.
    #[test]
    fn none_is_lost_among_those_that_are_alike() {
        let (mut random, count) = (Random(20_261_130), 3000usize);
        let mut ground = vec![NONE; count * DEGREE];
        (0..count).for_each(|node| ground[node * DEGREE] = random.below(count) as u32);
        let order: Vec<u32> = (0..count as u32).rev().collect();
        let never = AtomicBool::new(false);
        let mut all = grown(&ground, &order, |_, _| 0.0, &never).expect("not cancelled");
        all.sort_unstable();
        assert_eq!(all, (0..count as u32).collect::<Vec<_>>());
    }

    #[test]
    fn all_are_there_once_and_those_that_are_linked_lie_beside_each_other() {
        let seed = 20_261_129;
        println!("seed {seed}");
        let mut random = Random(seed);
        // Islands of 64 nodes, whose numbers are given by chance, each with ten links within its own
        // and some with one to another.
        let (islands, size) = (40usize, 64usize);
        let count = islands * size;
        let mut numbers: Vec<u32> = (0..count as u32).collect();
        for i in (1..count).rev() {
            numbers.swap(i, random.below(i + 1));
        }
        let mut ground = vec![NONE; count * DEGREE];
        for (i, &node) in numbers.iter().enumerate() {
            let links = &mut ground[node as usize * DEGREE..][..DEGREE];
            let away = if i % 7 == 0 { random.below(count) } else { i };
            let near = (0..10).map(|_| i / size * size + random.below(size)).chain([away]);
            links.iter_mut().zip(near).for_each(|(link, other)| *link = numbers[other]);
        }
        let mut order: Vec<u32> = (0..count as u32).collect();
        for i in (1..count).rev() {
            order.swap(i, random.below(i + 1));
        }
        let mut island = vec![0; count];
        numbers.iter().enumerate().for_each(|(i, &node)| island[node as usize] = i / size);
        let never = AtomicBool::new(false);
        let apart =
            |a: u32, b: u32| if island[a as usize] == island[b as usize] { 0.0 } else { 1.0 };
        let grown = grown(&ground, &order, apart, &never).expect("not cancelled");
        let beside = grown.windows(2).filter(|w| island[w[0] as usize] == island[w[1] as usize]);
        let beside = beside.count() as f64 / count as f64;
        println!("{beside} of all lie beside one of their island");
        assert!(beside > 0.6, "by chance it is {}", 1.0 / islands as f64);
        let mut all = grown;
        all.sort_unstable();
        assert_eq!(all, (0..count as u32).collect::<Vec<_>>());
    }
}
