use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::super::VectorFile;
use super::super::testing::{Random, Store};
use super::*;
use crate::filter::RowSet;
use crate::{ItemId, Kind};

/// A path through a store's life: rows come and go, some are damaged, and each scan
/// by codes is compared with one in full.
fn scans_agree(seed: u64) {
    println!("seed {seed}");
    let mut random = Random(seed);
    let dim = 1 + random.below(150);
    let dir = tempfile::tempdir().expect("tempdir");
    let mut store = Store::new(dir.path(), dim);
    let centre = random.vector(&vec![0.0; dim], 1.0);
    let mut vectors: Vec<Vec<f32>> = vec![];
    let (mut graph, idle) = (Graph::default(), AtomicBool::new(false));
    for round in 0..4 {
        let count = [1, 60, 900, 5200][round] + random.below(300);
        let mut new = vec![];
        for i in 0..count {
            // Many twins, so that scores tie and ids decide.
            new.push(match vectors.last() {
                Some(twin) if i % 5 == 0 => twin.clone(),
                _ => {
                    let spread = [0.05, 0.5][random.below(2)];
                    random.vector(&centre, spread)
                }
            });
            vectors.push(new[i].clone());
        }
        let before = store.rows.len();
        let dead: Vec<u64> = (0..before).filter(|_| random.below(20) == 0).collect();
        store.append(&new);
        let path = dir.path().join(VectorFile::name(1));
        let mut bytes = fs_err::read(&path).expect("read");
        let stride = dim * 4 + 20;
        for row in before as usize..before as usize + count {
            if random.below(50) == 0 {
                bytes[256 + row * stride + random.below(stride)] ^= 4;
            }
        }
        fs_err::write(&path, bytes).expect("written");
        let kind = |row| if row % 3 == 0 { Kind::Text } else { Kind::Image };
        store.publish(count, kind, &dead);
        if round == 2 {
            graph = Graph::of(&store.rows, 1, 2, &idle).expect("not cancelled");
        }
        for look in 0..4 {
            let query = match look {
                // One that is there, so that the best score 1.
                3 => vectors[random.below(vectors.len())].clone(),
                _ => random.vector(&centre, 1.0),
            };
            let k = [1, 10, 64, 0][look];
            let from = [0, before, store.rows.len() / 2][random.below(3)];
            let kind = [None, Some(Kind::Image), Some(Kind::Text)][random.below(3)];
            let pass = Pass::new(kind, None);
            let expected = scan_in_full(&store.rows, from, &query, k, &pass).into_ranking();
            let found = scan_tail(&store.rows, from, &query, k, &pass).into_ranking();
            assert_eq!(bits(&found), bits(&expected), "round {round}, look {look}, k {k}");
            let found = scan_by_place(&store.rows, from, &query, k, &pass).into_ranking();
            assert_eq!(bits(&found), bits(&expected), "by place, round {round}, look {look}");
        }
    }
    let (made, chunks) = store.rows.chunks_with_codes();
    assert_eq!(made, chunks, "scans used codes");

    // Named rows, by the codes of a graph that lacks the newest, and of one that has all.
    let grown = graph.grown(&store.rows, 2, 2, &idle).expect("not cancelled");
    for (look, graph) in [&graph, &grown, &graph, &grown].into_iter().enumerate() {
        let mut named = RowSet::default();
        named.extend_to(store.rows.len());
        let share = [1, 2, 5, 12][random.below(4)];
        (0..store.rows.len())
            .filter(|_| random.below(share) == 0)
            .for_each(|row| named.insert(row));
        let kind = [None, Some(Kind::Image), Some(Kind::Text)][random.below(3)];
        let pass = Pass::new(kind, Some(Arc::new(named)));
        let query = match look {
            3 => vectors[random.below(vectors.len())].clone(),
            _ => random.vector(&centre, 1.0),
        };
        let k = [1, 10, 15, 0][look];
        let expected = scan_in_full(&store.rows, 0, &query, k, &pass).into_ranking();
        let found = scan(&store.rows, Some(graph), &query, k, &pass).into_ranking();
        assert_eq!(bits(&found), bits(&expected), "named, look {look}, k {k}, 1 in {share}");
    }
    for graph in [&graph, &grown] {
        assert!(graph.segments().iter().all(|s| s.knows_nodes()), "scans used its codes");
    }
}

fn bits(ranking: &[Scored]) -> Vec<(u64, ItemId, u32)> {
    ranking.iter().map(|s| (s.row, s.id, s.score.to_bits())).collect()
}

#[test]
fn a_scan_by_codes_is_exact_to_the_last_bit() {
    for seed in [20_261_201, 20_261_202, 20_261_203, 20_261_204] {
        scans_agree(seed);
    }
}

/// What is searched in an older state is not missing because codes were made in a newer one.
#[test]
fn an_older_state_shares_codes_with_a_newer_one() {
    let mut random = Random(3);
    let dir = tempfile::tempdir().expect("tempdir");
    let mut store = Store::new(dir.path(), 9);
    let vectors: Vec<_> = (0..100).map(|_| random.vector(&[0.0; 9], 1.0)).collect();
    store.add(&vectors, |_| Kind::Image, &[]);
    let old = store.rows.clone();
    store.add(&[], |_| Kind::Image, &(0..50).collect::<Vec<_>>());
    for _ in 0..3 {
        let found = scan(&store.rows, None, &vectors[7], 1, &Pass::default()).into_ranking();
        assert!(found[0].row >= 50, "it is dead");
    }
    let found = scan(&old, None, &vectors[7], 1, &Pass::default()).into_ranking();
    assert_eq!(found[0].row, 7);
}
