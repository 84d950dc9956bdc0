//! Dead rows go, and nothing else does: not for whoever reads meanwhile, and not the knowledge
//! of what is damaged.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ekphrasis_index::conformance::{Random, agrees, record, space};
use ekphrasis_index::{
    Access, Filter, LocalStore, MemoryStore, Options, Query, Record, StoreError, StoreRead,
    StoreWrite,
};

use crate::{open, writing};

/// The generations of which `dir` has files.
fn generations(dir: &Path) -> BTreeSet<String> {
    let names = fs_err::read_dir(dir).expect("listed").map(|entry| {
        let name = entry.expect("listed").file_name().to_string_lossy().into_owned();
        name.split_once('-').map(|(_, number)| number.chars().take(4).collect())
    });
    names.flatten().filter(|n: &String| n.bytes().all(|b| b.is_ascii_digit())).collect()
}

fn batch(random: &mut Random, names: std::ops::Range<usize>) -> Vec<Record> {
    names.map(|name| record(random, name)).collect()
}

fn options(compact_from: usize) -> Options {
    let mut options = Options::default();
    (options.graph_from, options.graph_tail) = (30, 10);
    options.compact_from = compact_from;
    options
}

#[test]
fn dead_rows_go_and_everything_else_stays() {
    let seed = 31;
    println!("seed {seed}");
    let (mut random, oracle) = (Random(seed), MemoryStore::new(&space()));
    let dir = tempfile::tempdir().expect("tempdir");
    let open = |access| LocalStore::open_with(dir.path(), &space(), access, options(1_000_000));
    let store = open(writing()).expect("made");
    assert_eq!(store.compact().expect("compacted"), 0, "nothing is dead");
    let owner = record(&mut random, 1000);
    let captions = batch(&mut random, 1001..1002);
    store
        .upsert_captioned(std::slice::from_ref(&owner), &[(owner.item.id, captions.clone())])
        .expect("written");
    oracle.upsert(std::slice::from_ref(&owner)).expect("written");
    oracle.upsert(&captions).expect("written");
    // A reader that was there before, as another process would be.
    let reader = open(Access::Read).expect("opened");
    for round in 1..=4usize {
        for part in 0..3 {
            let records = batch(&mut random, part * 20..part * 20 + 40);
            store.upsert(&records).expect("written");
            oracle.upsert(&records).expect("written");
        }
        let gone: Vec<_> = (0..15).map(|n| record(&mut Random(0), n).item.id).collect();
        store.delete(&gone).expect("deleted");
        oracle.delete(&gone).expect("deleted");
        store.settle();
        let dead = store.verify().expect("checked").dead_rows;
        assert!(dead >= 40, "{dead}");
        let length = || {
            let generation = generations(dir.path()).pop_last().expect("one");
            let path = dir.path().join(format!("vectors-{generation}.ekv"));
            fs_err::metadata(path).expect("there").len()
        };
        let (before, seq) = (length(), store.seq());
        assert_eq!(store.compact().expect("compacted"), dead);
        assert_eq!(store.seq(), seq + 1, "compaction is a commit");
        assert_eq!(before - length(), dead * (8 * 4 + 16 + 4));
        assert_eq!(store.compact().expect("compacted"), 0, "nothing is dead");
        store.settle();
        assert!(store.describe_vector_index().starts_with("graph over "), "of the new rows");
        // Before anything else makes the reader look.
        let ids: Vec<_> = (15..40).map(|n| record(&mut Random(0), n).item.id).collect();
        assert!(reader.embeddings(&ids).expect("read").iter().all(Option::is_some));
        agrees(&reader, &oracle, &mut random);
        agrees(&store, &oracle, &mut random);
        let report = store.verify().expect("checked");
        assert!(report.is_sound() && report.dead_rows == 0, "{report:?}");
        assert_eq!(generations(dir.path()), BTreeSet::from([format!("{:04}", round + 1)]));
        assert_eq!(store.captions(owner.item.id).expect("read"), [captions[0].item.id]);
    }
    drop(store);
    let store = open(writing()).expect("opened again");
    assert_eq!(store.warnings(), [""; 0]);
    agrees(&store, &oracle, &mut random);
    assert!(matches!(reader.compact(), Err(StoreError::ReadOnly(_))));
}

#[test]
fn compaction_happens_by_itself_when_it_pays() {
    let (mut random, oracle) = (Random(32), MemoryStore::new(&space()));
    let dir = tempfile::tempdir().expect("tempdir");
    let store = LocalStore::open_with(dir.path(), &space(), writing(), options(50)).expect("made");
    let mut write = |names: std::ops::Range<usize>| {
        let records = batch(&mut random, names);
        store.upsert(&records).expect("written");
        oracle.upsert(&records).expect("written");
        store.settle();
        (store.verify().expect("checked").dead_rows, generations(dir.path()))
    };
    let first = BTreeSet::from(["0001".to_owned()]);
    assert_eq!(write(0..200), (0, first.clone()));
    assert_eq!(write(0..60), (60, first.clone()), "many, but few of all");
    assert_eq!(write(0..38), (98, first), "just not a third");
    assert_eq!(write(0..5), (0, BTreeSet::from(["0002".to_owned()])));
    agrees(&store, &oracle, &mut random);
    // What a killed process left undone is done when the store is opened again.
    let mut none = options(1_000_000);
    drop(store);
    let store = LocalStore::open_with(dir.path(), &space(), writing(), none).expect("opened");
    store.upsert(&batch(&mut random, 0..150)).expect("written");
    drop(store);
    none = options(50);
    let store = LocalStore::open_with(dir.path(), &space(), writing(), none).expect("opened");
    store.settle();
    assert_eq!(store.verify().expect("checked").dead_rows, 0);
}

#[test]
fn damage_is_neither_copied_as_sound_nor_forgotten() {
    let mut random = Random(33);
    let dir = tempfile::tempdir().expect("tempdir");
    let records = batch(&mut random, 0..30);
    let store = open(dir.path(), writing()).expect("made");
    store.upsert(&records).expect("written");
    store.upsert(&records[..10]).expect("written again");
    drop(store);
    let path = dir.path().join("vectors-0001.ekv");
    let mut bytes = fs_err::read(&path).expect("read");
    let stride = space().dim() * 4 + 16 + 4;
    // Row 15, and the last: a living one, and one of the new rows of the first ten.
    bytes[256 + 15 * stride + 3] ^= 1;
    bytes.truncate(bytes.len() - 1);
    fs_err::write(&path, &bytes).expect("written");
    let store = open(dir.path(), writing()).expect("opened");
    let bad = [9, 15].map(|i: usize| records[i].item.id);
    let sorted = |mut ids: Vec<_>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(store.damaged().expect("read")), sorted(bad.to_vec()));
    assert_eq!(store.compact().expect("compacted"), 10);
    for _ in 0..2 {
        assert_eq!(sorted(store.damaged().expect("read")), sorted(bad.to_vec()));
        assert_eq!(store.count(&Filter::default()).expect("read"), 30, "the items are there");
        let query = Query { vector: Some(random.embedding(&space())), k: 40, ..Query::default() };
        assert_eq!(store.search(&query).expect("read").len(), 28);
    }
    store.upsert(&[9, 15].map(|i: usize| records[i].clone())).expect("written again");
    assert_eq!(store.damaged().expect("read"), []);
    assert!(store.verify().expect("checked").is_sound());
}

/// A reader in a process of its own may look at any moment of a compaction.
#[test]
fn readers_and_the_writer_go_on_meanwhile() {
    let seed = 34;
    println!("seed {seed}");
    let dir = tempfile::tempdir().expect("tempdir");
    let store =
        LocalStore::open_with(dir.path(), &space(), writing(), options(1_000_000)).expect("made");
    let fixed = batch(&mut Random(seed), 0..50);
    store.upsert(&fixed).expect("written");
    let (stop, store) = (AtomicBool::new(false), &store);
    std::thread::scope(|scope| {
        let done = || stop.load(Ordering::Relaxed);
        let compactor = scope.spawn(move || {
            let mut gone = 0;
            while !done() {
                gone += store.compact().expect("compacted");
            }
            gone
        });
        let writer = scope.spawn(move || {
            let mut random = Random(seed + 1);
            while !done() {
                store.upsert(&batch(&mut random, 100..140)).expect("written");
            }
        });
        let readers: Vec<_> = (0..3)
            .map(|r| {
                let (dir, fixed) = (dir.path(), &fixed);
                scope.spawn(move || {
                    let mut looks = 0;
                    let mut random = Random(r);
                    while !done() {
                        // Opened anew now and then, also in the middle of a compaction.
                        let reader = open(dir, Access::Read).expect("opened");
                        for _ in 0..10 {
                            let record = &fixed[random.below(fixed.len())];
                            let vector = Some(record.embedding.clone());
                            let query = Query { vector, k: 500, exact: true, ..Query::default() };
                            let hits = reader.search(&query).expect("read");
                            assert!([50, 90].contains(&hits.len()), "{}", hits.len());
                            let found = hits.iter().find(|h| h.id == record.item.id);
                            assert!(found.expect("there").score > 0.9999);
                            let own = reader.embeddings(&[record.item.id]).expect("read");
                            assert!(own[0].is_some());
                            looks += 1;
                        }
                    }
                    looks
                })
            })
            .collect();
        std::thread::sleep(std::time::Duration::from_secs(2));
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("wrote");
        let gone = compactor.join().expect("compacted");
        let looks: i32 = readers.into_iter().map(|r| r.join().expect("read")).sum();
        println!("{looks} looks while {gone} rows went");
        assert!(gone > 100 && looks > 30, "{looks} looks while {gone} rows went");
    });
    store.compact().expect("compacted");
    assert!(store.verify().expect("checked").is_sound());
}

#[test]
fn the_graph_comes_back_after_a_compaction_nobody_asked_for() {
    let (dir, mut random) = (tempfile::tempdir().expect("tempdir"), Random(37));
    let store = LocalStore::open_with(dir.path(), &space(), writing(), options(20)).expect("made");
    store.upsert(&batch(&mut random, 0..200)).expect("written");
    store.settle();
    let gone: Vec<_> = (0..120).map(|n| record(&mut Random(0), n).item.id).collect();
    assert_eq!(store.delete(&gone).expect("deleted"), 120);
    // Without another commit, and without being asked to settle.
    let start = std::time::Instant::now();
    while !store.describe_vector_index().starts_with("graph over 80 vectors") {
        assert!(start.elapsed().as_secs() < 60, "{}", store.describe_vector_index());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
