use std::path::PathBuf;

use super::super::testing::{Random, Store};
use super::super::{QueryCodes, scan, scan_tail};
use super::*;
use crate::Kind;
use crate::disk::OsDisk;
use crate::filter::{Pass, RowSet};

const IMAGES: fn(u64) -> Kind = |_| Kind::Image;

fn build(store: &Store, seq: Seq, threads: usize) -> Graph {
    let idle = AtomicBool::new(false);
    Graph::of(&store.rows, seq, threads, &idle).expect("not cancelled")
}

fn nearest(graph: &Graph, rows: &Rows, query: &[f32], ef: usize, k: usize) -> Vec<u64> {
    let ask = Ask { rows, query, codes: &QueryCodes::of(query), pass: &Pass::default() };
    let top = graph.search(&ask, ef, TopK::new(k)).expect("undamaged").expect("no filter chose");
    top.into_ranking().iter().map(|s| s.row).collect()
}

fn exact(rows: &Rows, query: &[f32], k: usize) -> Vec<u64> {
    scan_tail(rows, 0, query, k, &Pass::default()).into_ranking().iter().map(|s| s.row).collect()
}

fn recall(graph: &Graph, rows: &Rows, queries: &[Vec<f32>], ef: usize) -> f64 {
    let hits = queries.iter().map(|query| {
        let exact = exact(rows, query, 10);
        nearest(graph, rows, query, ef, 10).iter().filter(|row| exact.contains(row)).count()
    });
    hits.sum::<usize>() as f64 / (10 * queries.len()) as f64
}

/// Files of graphs in `dir`, by name.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(dir).expect("listed").map(|e| e.expect("listed").path());
    let mut found: Vec<PathBuf> =
        entries.filter(|p| p.extension().is_some_and(|e| e == "ekg")).collect();
    found.sort();
    found
}

/// Some clusters of vectors, near and far queries.
struct Clusters {
    vectors: Vec<Vec<f32>>,
    near: Vec<Vec<f32>>,
    /// Those that lie nowhere near the clusters, as texts do among pictures.
    far: Vec<Vec<f32>>,
}

fn clusters(random: &mut Random, count: usize) -> Clusters {
    let centres: Vec<Vec<f32>> = (0..50).map(|_| random.vector(&[0.0; 64], 1.0)).collect();
    let mut around = |i: usize, spread| random.vector(&centres[i % 50], spread);
    Clusters {
        vectors: (0..count).map(|i| around(i, 0.15)).collect(),
        near: (0..100).map(|i| around(i, 0.2)).collect(),
        far: (0..100).map(|_| random.vector(&[0.0; 64], 1.0)).collect(),
    }
}

/// As many as a walk usually keeps.
const KEEP: usize = 64;

/// Rows that pass may lie anywhere, near the query only, or nowhere near it: then thousands
/// that do not pass are nearer, and still the nearest that do are found.
#[test]
fn among_rows_that_a_filter_names() {
    let seed = 20_261_127;
    println!("seed {seed}");
    let mut random = Random(seed);
    let Clusters { vectors, near, .. } = clusters(&mut random, 5000);
    let dir = tempfile::tempdir().expect("tempdir");
    let mut store = Store::new(dir.path(), 64);
    store.add(&vectors, IMAGES, &[3, 4]);
    let graph = build(&store, 7, 1);
    type Names = fn(usize, usize) -> bool;
    // Row and query of the same cluster have the same remainder.
    let ties: [(&str, f64, Names); 5] = [
        ("half, anywhere", 0.97, |row, _| row % 100 >= 50),
        ("a tenth, anywhere", 0.97, |row, _| row / 50 % 10 == 3),
        ("half, near", 0.97, |row, query| (row + 50 - query) % 50 < 25),
        ("half, far", 0.97, |row, query| (row + 50 - query) % 50 >= 25),
        ("a tenth, far", 0.97, |row, query| (20..25).contains(&((row + 50 - query) % 50))),
    ];
    for (tie, bound, names) in ties {
        let (mut hits, mut crossed) = (0, 0);
        for (i, query) in near.iter().enumerate() {
            let mut named = RowSet::default();
            named.extend_to(5000);
            (0..5000).filter(|&row| names(row, i % 50)).for_each(|row| named.insert(row as u64));
            let pass = Pass::new(None, Some(Arc::new(named)));
            let exact = scan_tail(&store.rows, 0, query, 10, &pass).into_ranking();
            assert_eq!(exact.len(), 10);
            let ask = Ask { rows: &store.rows, query, codes: &QueryCodes::of(query), pass: &pass };
            let Some(top) = graph.search(&ask, KEEP, TopK::new(10)).expect("undamaged") else {
                // Without sketches: a scan answers then.
                (hits, crossed) = (hits + 10, crossed + 1);
                continue;
            };
            let found = top.into_ranking();
            assert!(found.iter().all(|s| pass.lets(s.row, Kind::Image)), "{tie}");
            hits += found.iter().filter(|s| exact.iter().any(|e| e.row == s.row)).count();
        }
        let recall = hits as f64 / (10 * near.len()) as f64;
        println!("{tie}: recall@10 {recall}, {crossed} of {} left to a scan", near.len());
        assert!(recall >= bound, "{tie}: {recall}");
        assert!(crossed <= 8, "{tie}: {crossed} left to a scan");
    }
}

/// A node is compared if only the twin of its row is named, and only that is found.
#[test]
fn twins_that_a_filter_names_are_found_without_their_node() {
    let seed = 20_261_128;
    println!("seed {seed}");
    let mut random = Random(seed);
    let Clusters { vectors, near, .. } = clusters(&mut random, 2500);
    let twice: Vec<Vec<f32>> = vectors.iter().flat_map(|v| [v.clone(), v.clone()]).collect();
    let dir = tempfile::tempdir().expect("tempdir");
    let mut store = Store::new(dir.path(), 64);
    store.add(&twice, IMAGES, &[]);
    let graph = build(&store, 7, 1);
    assert_eq!((graph.nodes(), graph.size()), (2500, 5000));
    for (parity, far) in [(0, false), (1, false), (0, true), (1, true)] {
        let (mut hits, mut asked) = (0, 0);
        for (i, query) in near.iter().enumerate() {
            let mut named = RowSet::default();
            named.extend_to(5000);
            let away = |row: u64| (row / 2 % 50 + 50 - i as u64 % 50) % 50;
            let names = |row: &u64| row % 2 == parity && (!far || away(*row) >= 25);
            (0..5000).filter(names).for_each(|row| named.insert(row));
            let pass = Pass::new(None, Some(Arc::new(named)));
            let exact = scan_tail(&store.rows, 0, query, 10, &pass).into_ranking();
            let ask = Ask { rows: &store.rows, query, codes: &QueryCodes::of(query), pass: &pass };
            if let Some(top) = graph.search(&ask, KEEP, TopK::new(10)).expect("undamaged") {
                asked += 10;
                let found = top.into_ranking();
                assert!(found.iter().all(|s| pass.lets(s.row, Kind::Image)));
                hits += found.iter().filter(|s| exact.iter().any(|e| e.row == s.row)).count();
            }
        }
        println!("remainder {parity}, far {far}: {hits} of {asked} found");
        assert!(asked > 900 && hits * 100 >= asked * 95, "{parity}, {far}: {hits} of {asked}");
    }
}

/// Rows that died after the graph was built take no places of those that live.
#[test]
fn dead_rows_that_a_filter_names_hide_nobody() {
    let seed = 7;
    println!("seed {seed}");
    let mut random = Random(seed);
    let Clusters { vectors, near, .. } = clusters(&mut random, 3000);
    let dir = tempfile::tempdir().expect("tempdir");
    let mut store = Store::new(dir.path(), 64);
    store.add(&vectors, IMAGES, &[]);
    let graph = build(&store, 7, 1);
    let queries = &near[..3];
    // More around each query than a walk keeps.
    let mut dead: Vec<u64> =
        queries.iter().flat_map(|query| exact(&store.rows, query, 192)).collect();
    dead.sort_unstable();
    dead.dedup();
    store.publish(0, IMAGES, &dead);
    let mut named = RowSet::default();
    named.extend_to(3000);
    (0..3000).for_each(|row| named.insert(row));
    let pass = Pass::new(None, Some(Arc::new(named)));
    for query in queries {
        let ask = Ask { rows: &store.rows, query, codes: &QueryCodes::of(query), pass: &pass };
        // Without sketches, a scan answers.
        if let Some(top) = graph.search(&ask, KEEP, TopK::new(10)).expect("undamaged") {
            let exact = scan_tail(&store.rows, 0, query, 10, &pass).into_ranking();
            let found = top.into_ranking();
            let right = found.iter().filter(|s| exact.iter().any(|e| e.row == s.row)).count();
            assert!(right > 5, "{right} of 10 found");
        }
    }
}

/// Sketches are made when they are needed a second time, and not of codes that are damaged.
#[test]
fn sketches_are_made_of_what_is_right() {
    let mut random = Random(11);
    let Clusters { vectors, near, .. } = clusters(&mut random, 2000);
    let dir = tempfile::tempdir().expect("tempdir");
    let mut store = Store::new(dir.path(), 64);
    store.add(&vectors, IMAGES, &[]);
    build(&store, 1, 1).save(&OsDisk, dir.path(), &store.space, 1).expect("saved");
    let [path] = &files(dir.path())[..] else { panic!("one file") };
    let bytes = fs_err::read(path).expect("read");
    // Half of all, none of them from the query's cluster or the 24 behind it.
    let mut named = RowSet::default();
    named.extend_to(2000);
    (0..2000).filter(|row| row % 50 >= 25).for_each(|row| named.insert(row));
    let pass = Pass::new(None, Some(Arc::new(named)));
    let (query, codes) = (&near[0], QueryCodes::of(&near[0]));
    let ask = Ask { rows: &store.rows, query, codes: &codes, pass: &pass };
    // Header, table and centre come before the codes, which take 128,000 bytes.
    for damage in [None, Some(3 * 4096), Some(3 * 4096 + 127_999)] {
        let mut bytes = bytes.clone();
        damage.into_iter().for_each(|at: usize| bytes[at] ^= 4);
        fs_err::write(path, &bytes).expect("written");
        let graph = Graph::open(dir.path(), &store.space, 1);
        let search = || graph.search(&ask, KEEP, TopK::new(10));
        // At first a scan is left to answer, unless it is found out by then.
        let found = (0..20).map(|_| search()).find(|found| !matches!(found, Ok(None)));
        let found = found.expect("sketches are made some time");
        match (found, damage) {
            (Ok(Some(found)), None) => {
                let exact = scan_tail(&store.rows, 0, query, 10, &pass).into_ranking();
                assert_eq!(found.into_ranking(), exact);
            }
            (found, damage) => assert!(found.is_err() && damage.is_some(), "{damage:?}"),
        }
    }
}

#[test]
fn few_that_a_filter_names_are_all_found_or_left_to_a_scan() {
    let mut random = Random(5);
    let Clusters { vectors, near, .. } = clusters(&mut random, 2000);
    let dir = tempfile::tempdir().expect("tempdir");
    let mut store = Store::new(dir.path(), 64);
    store.add(&vectors, IMAGES, &[]);
    let graph = build(&store, 7, 1);
    for few in [0, 1, 7, 40] {
        let mut named = RowSet::default();
        named.extend_to(2000);
        (0..few).for_each(|_| named.insert(random.below(2000) as u64));
        let pass = Pass::new(None, Some(Arc::new(named)));
        for query in &near {
            let ask = Ask { rows: &store.rows, query, codes: &QueryCodes::of(query), pass: &pass };
            if let Some(top) = graph.search(&ask, KEEP, TopK::new(10)).expect("undamaged") {
                let exact = scan_tail(&store.rows, 0, query, 10, &pass).into_ranking();
                assert_eq!(top.into_ranking(), exact, "{few}");
            }
        }
    }
}

#[test]
fn recall_on_clusters_and_damage_of_every_kind() {
    let seed = 20_261_123;
    println!("seed {seed}");
    let mut random = Random(seed);
    let Clusters { vectors, near, far } = clusters(&mut random, 5000);
    let dir = tempfile::tempdir().expect("tempdir");
    let mut store = Store::new(dir.path(), 64);
    store.add(&vectors, |row| if row % 5 == 0 { Kind::Text } else { Kind::Image }, &[]);
    let mut graph = build(&store, 7, 2);
    for (name, queries, bound) in [("near", near, 0.97), ("far", far, 0.95)] {
        let recall = recall(&graph, &store.rows, &queries, 128);
        println!("recall@10 of {name} queries: {recall}");
        assert!(recall >= bound, "{name}: {recall} < {bound}");
    }
    assert_eq!((graph.size(), graph.covered(), graph.seq()), (5000, 5000, 7));
    assert!(graph.fits(&store.rows, 7) && !graph.fits(&store.rows, 6));
    assert!(!graph.fits(&Rows::empty(), 7));
    let cancelled = AtomicBool::new(true);
    assert!(Graph::of(&store.rows, 7, 1, &cancelled).is_none());

    // A search without damage, by which those with damage are judged.
    let query = &vectors[17];
    let right = nearest(&graph, &store.rows, query, 64, 10);
    let space = &store.space;
    graph.save(&OsDisk, dir.path(), space, 1).expect("saved");
    let opened = Graph::open(dir.path(), space, 1);
    assert_eq!((opened.size(), opened.covered(), opened.seq()), (5000, 5000, 7));
    assert_eq!(nearest(&opened, &store.rows, query, 64, 10), right);
    assert_eq!(Graph::problems(dir.path(), space, 1).expect("read"), [""; 0]);
    let other = Space::new("other", 64).expect("valid");
    assert_eq!(Graph::open(dir.path(), &other, 1).covered(), 0);
    assert_eq!(Graph::open(dir.path(), space, 2).covered(), 0);

    let [path] = &files(dir.path())[..] else { panic!("one file") };
    let bytes = fs_err::read(path).expect("read");
    let copy = tempfile::tempdir().expect("tempdir");
    let path = copy.path().join(path.file_name().expect("has one"));
    let (mut unopened, mut found, mut unseen) = (0, 0, 0);
    for i in 0..200 {
        let mut damaged = bytes.clone();
        // The header, the table, and anywhere.
        let within = [64, 8192, bytes.len(), bytes.len()][i % 4];
        let at = random.below(within);
        if i % 8 == 7 {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 1 << random.below(8);
        }
        fs_err::write(&path, &damaged).expect("written");
        assert!(
            !Graph::problems(copy.path(), space, 1).expect("read").is_empty(),
            "damage {i} at {at} went unseen"
        );
        let graph = Graph::open(copy.path(), space, 1);
        if graph.covered() == 0 {
            unopened += 1;
            continue;
        }
        let pass = Pass::default();
        let ask = Ask { rows: &store.rows, query, codes: &QueryCodes::of(query), pass: &pass };
        match graph.search(&ask, 64, TopK::new(10)) {
            // What is damaged was not read.
            Ok(None) => panic!("no filter chose"),
            Ok(Some(top)) => {
                unseen += 1;
                let rows: Vec<u64> = top.into_ranking().iter().map(|s| s.row).collect();
                assert_eq!(rows, right, "damage {i} at {at}");
            }
            Err(Damaged) => {
                found += 1;
                assert!(graph.is_worn(&store.rows), "so it is built anew");
            }
        }
        // A scan reads all codes: it sees damage there, or has no use for what is damaged.
        let scanned = scan(&store.rows, Some(&graph), query, 10, &pass).into_ranking();
        let rows: Vec<u64> = scanned.iter().map(|s| s.row).collect();
        assert_eq!(rows, exact(&store.rows, query, 10), "damage {i} at {at}");
    }
    println!("{unopened} refused, {found} found by a search, {unseen} not met");
    assert!(unopened > 50 && found > 5 && unseen > 5);
}

/// A file that is damaged in a place no single search reads is known to be, after some.
#[test]
fn searching_checks_the_whole_file_in_time() {
    let mut random = Random(8);
    let Clusters { vectors, near, .. } = clusters(&mut random, 3000);
    let dir = tempfile::tempdir().expect("tempdir");
    let mut store = Store::new(dir.path(), 64);
    store.add(&vectors, IMAGES, &[]);
    build(&store, 1, 2).save(&OsDisk, dir.path(), &store.space, 1).expect("saved");
    let [path] = &files(dir.path())[..] else { panic!("one file") };
    let mut bytes = fs_err::read(path).expect("read");
    let blocks = bytes.len() / 4096;
    let pass = Pass::default();
    for damaged in [false, true] {
        if damaged {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs_err::write(path, &bytes).expect("written");
        }
        let graph = Graph::open(dir.path(), &store.space, 1);
        let search = |i: usize| {
            let query = &near[i % near.len()];
            let codes = QueryCodes::of(query);
            let ask = Ask { rows: &store.rows, query, codes: &codes, pass: &pass };
            graph.search(&ask, 16, TopK::new(3)).is_ok()
        };
        let fine = (0..blocks / 16 + 2).take_while(|&i| search(i)).count();
        assert_eq!(fine <= blocks / 16, damaged, "{fine} searches in {blocks} blocks");
        assert_eq!(graph.segments()[0].is_proven(), !damaged);
    }
}

#[test]
fn crowds_of_twins_hide_nobody() {
    let seed = 5;
    println!("seed {seed}");
    let mut random = Random(seed);
    for spread in [0.0, 0.0005, 0.002] {
        let twin = random.vector(&[0.0; 16], 1.0);
        let vectors: Vec<Vec<f32>> = (0..1500)
            .map(|i| match i % 3 {
                0 => random.vector(&[0.0; 16], 1.0),
                _ => random.vector(&twin, spread),
            })
            .collect();
        let dir = tempfile::tempdir().expect("tempdir");
        let mut store = Store::new(dir.path(), 16);
        store.add(&vectors, IMAGES, &[]);
        let graph = build(&store, 1, 1);
        assert_eq!(graph.size(), 1500);
        println!("spread {spread}: {} nodes", graph.nodes());
        assert!(graph.nodes() < 700, "{}", graph.nodes());
        for (i, vector) in vectors.iter().enumerate().step_by(3) {
            let best = nearest(&graph, &store.rows, vector, 64, 1);
            assert_eq!(best, [i as u64], "row {i} is not found by its own vector");
        }
        let twins = nearest(&graph, &store.rows, &twin, 64, 1000);
        assert_eq!(twins.len(), 1000);
        let strangers = twins.iter().filter(|row| *row % 3 == 0).count();
        assert_eq!(strangers, 0, "all twins come before anyone else");
        // Scans by the codes of a graph with twins are exact as well.
        for query in [&twin, &vectors[0], &vectors[1]] {
            for k in [1, 7, 150] {
                let scanned =
                    scan(&store.rows, Some(&graph), query, k, &Pass::default()).into_ranking();
                let rows: Vec<u64> = scanned.iter().map(|s| s.row).collect();
                assert_eq!(rows, exact(&store.rows, query, k));
            }
        }
    }
}

#[test]
fn a_growing_graph_is_built_over_in_parts() {
    let seed = 31;
    println!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().expect("tempdir");
    let mut store = Store::new(dir.path(), 64);
    let idle = AtomicBool::new(false);
    let mut graph = Graph::default();
    let Clusters { vectors, near, .. } = clusters(&mut random, 6000);
    let (mut most, mut built, mut seq) = (0, 0, 0);
    for (i, batch) in vectors.chunks(300).enumerate() {
        let dead: Vec<u64> = (0..store.rows.len()).filter(|_| random.below(60) == 0).collect();
        store.add(batch, IMAGES, &dead);
        seq += 1;
        graph = graph.grown(&store.rows, seq, 2, &idle).expect("not cancelled");
        graph.save(&OsDisk, dir.path(), &store.space, 1).expect("saved");
        assert_eq!(graph.covered(), store.rows.len());
        let segments = graph.segments();
        assert!(segments.iter().zip(&segments[1..]).all(|(a, b)| a.end() == b.first()));
        assert_eq!(files(dir.path()).len(), segments.len(), "no other files are left");
        (most, built) = (most.max(segments.len()), built + segments[segments.len() - 1].size());
        let opened = Graph::open(dir.path(), &store.space, 1);
        assert_eq!((opened.covered(), opened.seq()), (graph.covered(), seq));
        let recall = recall(&opened, &store.rows, &near, 64);
        assert!(recall >= 0.98, "round {i}, {} segments: {recall}", segments.len());
        for query in &near[..3] {
            let scanned = scan(&store.rows, Some(&opened), query, 10, &Pass::default());
            let rows: Vec<u64> = scanned.into_ranking().iter().map(|s| s.row).collect();
            assert_eq!(rows, exact(&store.rows, query, 10), "dead ones are not found");
        }
    }
    println!("at most {most} segments; {built} rows built for {}", vectors.len());
    assert!((2..=5).contains(&most), "{most}");
    assert!(built < 7 * vectors.len(), "{built}");

    // A segment that is gone or damaged takes those behind it with it, not those before.
    let before = graph.segments()[graph.segments().len() - 1].first();
    fs_err::remove_file(dir.path().join(Segment::name(1, before))).expect("removed");
    let opened = Graph::open(dir.path(), &store.space, 1);
    assert_eq!(opened.covered(), before);
    assert!(opened.fits(&store.rows, seq));
    Graph::default().tidy(&OsDisk, dir.path(), 1).expect("removed");
    assert!(files(dir.path()).is_empty());
}

#[test]
fn names_tell_the_generation() {
    for (name, generation) in [
        ("graph-0012.ekg", Some(12)),
        ("graph-0012.ekg.new", Some(12)),
        ("graph-0012-0000000345.ekg", Some(12)),
        ("graph-0012-0000000345.ekg.new", Some(12)),
        ("graph-0012-345.ekg", None),
        ("graph-12.ekg", None),
        ("graph-0012.png", None),
        ("graph-0012-0000000345-1.ekg", None),
        ("my-graph-0012.ekg", None),
        ("graph-+012.ekg", None),
    ] {
        assert_eq!(Graph::generation_of(name), generation, "{name}");
    }
}
