//! What is said of recall is what searches then do.

use ekphrasis_embed::{Embedding, Space};
use ekphrasis_index::conformance::Random;
use ekphrasis_index::{
    Access, Filter, Item, ItemId, Kind, LocalStore, Options, Probe, Query, Recall, Record,
    StoreRead, StoreWrite,
};

use crate::writing;

const K: usize = 10;

fn space() -> Space {
    Space::new("recall", 32).expect("valid")
}

fn vector(random: &mut Random) -> Embedding {
    let number = |_: usize| (random.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    Embedding::new(&space(), (0..32).map(number).collect()).expect("has a direction")
}

fn record(random: &mut Random, n: usize) -> Record {
    let kind = if n.is_multiple_of(5) { Kind::Text } else { Kind::Image };
    let item = Item { kind, ..Item::of_text(&n.to_string()) };
    Record { item, embedding: vector(random) }
}

fn open(dir: &std::path::Path, access: Access) -> LocalStore {
    let mut options = Options::default();
    (options.graph_from, options.graph_tail, options.graph_threads) = (64, 10_000, 1);
    (options.graph_ef, options.graph_work) = (16, 0);
    LocalStore::open_with(dir, &space(), access, options).expect("opened")
}

/// Recall@10 as whoever searches sees it.
fn seen(store: &LocalStore, probe: &Probe) -> f64 {
    let ask = |query: &Embedding, exact| -> Vec<ItemId> {
        let (vector, filter) = (Some(query.clone()), Filter { kind: probe.to, expr: None });
        let query = Query { vector, k: K, exact, filter, ..Query::default() };
        store.search(&query).expect("searched").into_iter().map(|hit| hit.id).collect()
    };
    let found = probe.queries.iter().map(|query| {
        let (truth, found) = (ask(query, true), ask(query, false));
        assert_eq!(truth.len(), K);
        truth.iter().filter(|id| found.contains(id)).count()
    });
    found.sum::<usize>() as f64 / (K * probe.queries.len()) as f64
}

fn probes(store: &LocalStore, random: &mut Random) -> Vec<Probe> {
    let own = |kind| {
        let queries = store.unseen(kind, 60).expect("read");
        assert_eq!(queries.len(), 60);
        queries
    };
    let from_outside = (0..60).map(|_| vector(random)).collect();
    vec![
        Probe { from: Kind::Image, to: Some(Kind::Image), queries: own(Kind::Image) },
        Probe { from: Kind::Text, to: Some(Kind::Image), queries: from_outside },
        Probe { from: Kind::Image, to: Some(Kind::Text), queries: own(Kind::Image) },
    ]
}

#[test]
fn the_width_that_is_kept_is_the_least_that_finds_enough() {
    let seed = 20_261_203;
    println!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path(), writing());
    let records: Vec<_> = (0..4000).map(|n| record(&mut random, n)).collect();
    store.upsert(&records).expect("written");
    store.settle();
    assert!(store.is_recall_due().expect("read"), "a graph that was never measured");
    let probes = probes(&store, &mut random);
    let of = |target| store.measure_recall(&probes, target).expect("measured");
    let (any, most, all) = (of(0.0), of(0.995), of(1.01));
    assert_eq!((any.ef, any.met, any.is_exact()), (Some(32), true, false));
    assert_eq!((all.ef, all.met), (Some(2048), false), "no one finds more than all");
    println!("{any:?}\n{most:?}");
    assert!(most.met && most.ef > any.ef, "{most:?}");
    assert_eq!(store.recall().expect("read"), None, "measuring alone changes nothing");
    for recall in [&any, &most] {
        store.keep_recall(recall).expect("kept");
        assert_eq!(store.recall().expect("read").as_ref(), Some(recall));
        let reader = open(dir.path(), Access::Read);
        for (side, probe) in recall.sides.iter().zip(&probes) {
            for store in [&store, &reader] {
                // Ties apart, of which there are none among such vectors.
                let seen = seen(store, probe);
                assert!((seen - side.recall).abs() < 1e-9, "{seen} {side:?}");
            }
        }
    }
    let least = most.sides.iter().map(|side| side.recall).fold(1.0, f64::min);
    assert!(least >= 0.995);
    assert!(any.sides.iter().any(|side| side.recall < 0.995), "or there was nothing to find");
}

#[test]
fn recall_is_measured_again_when_the_store_is_another() {
    let (dir, mut random) = (tempfile::tempdir().expect("tempdir"), Random(7));
    let store = open(dir.path(), writing());
    let mut add = |range: std::ops::Range<usize>| {
        let records: Vec<_> = range.map(|n| record(&mut random, n)).collect();
        store.upsert(&records).expect("written");
        store.settle();
    };
    add(0..60);
    let measure = || {
        let queries = store.unseen(Kind::Image, 20).expect("read");
        let probe = Probe { from: Kind::Image, to: Some(Kind::Image), queries };
        store.measure_recall(&[probe], 0.99).expect("measured")
    };
    // Few are scanned, which misses nothing, and of which nothing is kept that matters later.
    let exact = measure();
    assert!(
        exact.ef.is_none() && exact.is_exact() && exact.met && exact.sides[0].recall == 1.0,
        "{exact:?}"
    );
    store.keep_recall(&exact).expect("kept");
    assert!(!store.is_recall_due().expect("read"));
    add(60..400);
    assert!(store.is_recall_due().expect("read"));
    let first = measure();
    assert!(!first.is_exact());
    store.keep_recall(&first).expect("kept");
    assert!(!store.is_recall_due().expect("read"));
    add(400..490);
    assert!(!store.is_recall_due().expect("read"), "less than a quarter more");
    add(490..520);
    assert!(store.is_recall_due().expect("read"));
    let reader = open(dir.path(), Access::Read);
    assert!(reader.keep_recall(&first).is_err(), "it was opened for reading");
    // What cannot be read is as if it had not been measured.
    store.set_setting("recall", Some("{")).expect("set");
    assert_eq!(store.recall().expect("read"), None::<Recall>);
    assert!(open(dir.path(), Access::Read).is_recall_due().expect("read"));
}

#[test]
fn a_sample_is_spread_over_the_store() {
    let (dir, mut random) = (tempfile::tempdir().expect("tempdir"), Random(8));
    let store = open(dir.path(), writing());
    assert_eq!(store.sample(Kind::Image, 5).expect("read"), []);
    let records: Vec<_> = (0..300).map(|n| record(&mut random, n)).collect();
    store.upsert(&records).expect("written");
    let texts: Vec<_> = records.iter().filter(|r| r.item.kind == Kind::Text).collect();
    for count in [1, 7, 60, 100] {
        let sample = store.sample(Kind::Text, count).expect("read");
        assert_eq!(sample.len(), count.min(60));
        let place = |id| texts.iter().position(|r| r.item.id == id).expect("a text of the store");
        let places: Vec<_> = sample.iter().map(|(id, _)| place(*id)).collect();
        let gaps = places.windows(2).map(|w| w[1] - w[0]);
        let (least, most) = (60 / count.min(60), 60_usize.div_ceil(count.min(60)));
        assert!(gaps.clone().all(|gap| gap >= least.max(1) && gap <= most), "{places:?}");
    }
}

/// Where the graph would need so many candidates that a scan is as fast, all are compared,
/// and that is what is kept.
#[test]
fn queries_that_no_graph_finds_are_scanned() {
    let (dir, mut random) = (tempfile::tempdir().expect("tempdir"), Random(9));
    let open = |access| {
        let mut options = Options::default();
        (options.graph_from, options.graph_tail, options.graph_threads) = (64, 10_000, 1);
        // 3,200 pictures: a graph is worth asking for fewer than 43 candidates of all.
        (options.graph_ef, options.graph_work) = (16, 60);
        LocalStore::open_with(dir.path(), &space(), access, options).expect("opened")
    };
    let store = open(writing());
    let records: Vec<_> = (0..4000).map(|n| record(&mut random, n)).collect();
    store.upsert(&records).expect("written");
    store.settle();
    let queries = (0..60).map(|_| vector(&mut random)).collect();
    let probe = Probe { from: Kind::Text, to: Some(Kind::Image), queries };
    let recall = store.measure_recall(std::slice::from_ref(&probe), 0.9999).expect("measured");
    assert!(recall.met && recall.is_exact() && recall.ef > Some(32), "{recall:?}");
    assert!(seen(&store, &probe) < 0.9999, "or there was nothing to find");
    store.keep_recall(&recall).expect("kept");
    assert!(!store.is_recall_due().expect("read"));
    for store in [&store, &open(Access::Read)] {
        assert_eq!(seen(store, &probe), 1.0);
    }
}
