use super::super::{Added, VectorFile, scan_rows};
use super::*;
use crate::Kind;
use crate::disk::OsDisk;

/// A small deterministic generator (SplitMix64), so that seeds can be printed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// About normal, mean 0.
    fn normal(&mut self) -> f32 {
        (0..4).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32 - 0.5).sum()
    }

    fn vector(&mut self, centre: &[f32], spread: f32) -> Vec<f32> {
        let v: Vec<f32> = centre.iter().map(|c| c + spread * self.normal()).collect();
        let norm = ekphrasis_embed::dot(&v, &v).sqrt();
        v.iter().map(|x| x / norm).collect()
    }
}

fn store(dir: &Path, dim: usize, vectors: &[Vec<f32>]) -> (Space, Rows) {
    let space = Space::new("toy", dim).expect("valid");
    VectorFile::create(&OsDisk, dir, &space, 1).expect("created");
    let file = VectorFile::open(&OsDisk, dir, &space, 1, true).expect("opened");
    let id = |i: usize| ItemId::for_text(&i.to_string());
    file.append(0, vectors.iter().enumerate().map(|(i, v)| (id(i), &v[..]))).expect("appended");
    let added: Vec<Added> =
        (0..vectors.len()).map(|i| Added { row: i as u64, id: id(i), kind: Kind::Image }).collect();
    let rows = Rows::empty().next(&file, added.len() as u64, &added, &[]).expect("mapped");
    (space, rows)
}

fn recall(graph: &Graph, rows: &Rows, queries: &[Vec<f32>], ef: usize) -> f64 {
    let filter = Pass::default();
    let mut hits = 0;
    for query in queries {
        let exact: Vec<u64> =
            scan_rows(rows, query, 10, &filter).into_ranking().iter().map(|s| s.row).collect();
        let found = graph.search(rows, query, ef, &filter, TopK::new(10)).into_ranking();
        hits += found.iter().filter(|s| exact.contains(&s.row)).count();
    }
    hits as f64 / (10 * queries.len()) as f64
}

#[test]
fn recall_on_clusters_and_damage_of_every_kind() {
    let seed = 20_261_123;
    println!("seed {seed}");
    let mut random = Random(seed);
    let centres: Vec<Vec<f32>> = (0..50).map(|_| random.vector(&[0.0; 64], 1.0)).collect();
    let vectors: Vec<Vec<f32>> = (0..5000).map(|i| random.vector(&centres[i % 50], 0.15)).collect();
    let dir = tempfile::tempdir().expect("tempdir");
    let (space, rows) = store(dir.path(), 64, &vectors);
    let cancel = AtomicBool::new(false);
    let graph = Graph::of(&rows, 7, 2, &cancel).expect("not cancelled");

    let near: Vec<Vec<f32>> = (0..100).map(|i| random.vector(&centres[i % 50], 0.2)).collect();
    // Queries that lie nowhere near the clusters, as texts do among pictures.
    let far: Vec<Vec<f32>> = (0..100).map(|_| random.vector(&[0.0; 64], 1.0)).collect();
    for (name, queries, bound) in [("near", near, 0.95), ("far", far, 0.9)] {
        let recall = recall(&graph, &rows, &queries, 128);
        println!("recall@10 of {name} queries: {recall}");
        assert!(recall >= bound, "{name}: {recall} < {bound}");
    }

    graph.save(&OsDisk, dir.path(), &space, 1).expect("saved");
    assert_eq!(Graph::load(dir.path(), &space, 1).expect("loaded"), graph);
    assert_eq!(Graph::peek(dir.path(), &space, 1), Ok(5000));
    assert!(graph.fits(&rows, 7) && !graph.fits(&rows, 6) && !graph.fits(&Rows::empty(), 7));
    let other = Space::new("other", 64).expect("valid");
    assert!(Graph::peek(dir.path(), &other, 1).is_err());
    assert!(Graph::load(dir.path(), &other, 1).is_err());
    cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(Graph::of(&rows, 7, 1, &cancel).is_none());

    let path = dir.path().join(Graph::name(1));
    let bytes = fs_err::read(&path).expect("read");
    for i in 0..60 {
        let mut damaged = bytes.clone();
        let at = if i < 30 { i * 2 } else { random.next() as usize % bytes.len() };
        if i % 3 == 0 {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 1 << (random.next() % 8);
        }
        fs_err::write(&path, &damaged).expect("written");
        assert!(Graph::load(dir.path(), &space, 1).is_err(), "damage {i} at {at} went unseen");
    }
}

#[test]
fn a_thousand_twins_hide_nobody() {
    let seed = 5;
    println!("seed {seed}");
    let mut random = Random(seed);
    let twin = random.vector(&[0.0; 16], 1.0);
    let vectors: Vec<Vec<f32>> = (0..1500)
        .map(|i| if i % 3 == 0 { random.vector(&[0.0; 16], 1.0) } else { twin.clone() })
        .collect();
    let dir = tempfile::tempdir().expect("tempdir");
    let (_, rows) = store(dir.path(), 16, &vectors);
    let graph = Graph::of(&rows, 1, 1, &AtomicBool::new(false)).expect("not cancelled");
    assert_eq!(graph.size(), 1500);
    for (i, vector) in vectors.iter().enumerate().step_by(3) {
        let best = graph.search(&rows, vector, 64, &Pass::default(), TopK::new(1)).into_ranking();
        assert_eq!(best[0].row, i as u64, "row {i} is not found by its own vector");
    }
    let twins = graph.search(&rows, &twin, 64, &Pass::default(), TopK::new(1000)).into_ranking();
    assert_eq!(twins.len(), 1000);
    assert!(twins.iter().all(|t| t.row % 3 != 0), "all twins come before anyone else");
}

#[test]
fn corrupt_counts_are_refused_before_they_allocate() {
    let mut graph = Graph {
        covered: 9,
        last: 0,
        seq: 1,
        entry: 0,
        rows: vec![],
        duplicates: vec![],
        layers: vec![],
    };
    for words in [
        &[0, u32::MAX, 0, 1][..],
        &[0, 1, u32::MAX, 1, 0][..],
        &[0, 1, 0, u32::MAX, 0, 0, 0, 0][..],
        // a target, an entry and a row out of range
        &[0, 1, 0, 1, 0, 1, 0, 1, 5][..],
        &[1, 1, 0, 1, 0, 0, 0, 0][..],
        &[0, 1, 0, 1, 9, 0, 0, 0][..],
        // offsets that go back
        &[0, 2, 0, 1, 0, 1, 1, 0, 2, 1, 1][..],
    ] {
        assert_eq!(graph.decode(&mut words.iter().copied()), None, "{words:?}");
        graph.layers.clear();
    }
    assert_eq!(graph.decode(&mut [0, 1, 0, 1, 0, 0, 0, 0].into_iter()), Some(()));
}
