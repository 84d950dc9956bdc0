//! A server that dies, comes back, or is not one.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ekphrasis_index::conformance::{Random, record, space};
use ekphrasis_index::{Filter, Query, StoreRead, StoreWrite};
use ekphrasis_milvus::{Address, MilvusStore, Open, Options};

use crate::milvus::Milvus;
use crate::options;

/// Raises a flag when it goes.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Under load, the server is killed and started again: calls meanwhile go through late, nobody
/// is told "nothing found", what was acknowledged is there, and what is sent again is there once.
#[test]
fn a_restart_never_looks_like_an_empty_store() {
    let folder = tempfile::tempdir().expect("tempdir");
    let mut server = Milvus::start(&folder.path().join("data"));
    let address: Address = server.address("pictures").parse().expect("an address");
    let patient = Options { attempts: 40, deadline: Duration::from_secs(60), ..options() };
    let store = MilvusStore::open(&address, &space(), Open::OrCreate, patient).expect("opened");
    let mut random = Random(41);
    let records: Vec<_> = (0..400).map(|name| record(&mut random, name)).collect();
    store.upsert(&records[..100]).expect("written");
    let (done, written, searched) =
        (AtomicBool::new(false), AtomicU64::new(100), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // However this ends: who writes and who searches have to end, or nobody would hear of it.
        let raised = Raise(&done);
        let writer = scope.spawn(|| {
            // Or else the searcher failed, which is told once this one ends.
            while searched.load(Ordering::Relaxed) < 3 && !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(1));
            }
            for batch in records[100..].chunks(20) {
                store.upsert(batch).expect("written, if late");
                written.fetch_add(batch.len() as u64, Ordering::Relaxed);
            }
        });
        let query = Query { vector: Some(records[0].embedding.clone()), k: 10, ..Query::default() };
        let searcher = scope.spawn({
            let (store, done, searched) = (&store, &done, &searched);
            move || {
                while !done.load(Ordering::Relaxed) {
                    let hits = store.search(&query).expect("searched, if late");
                    assert_eq!(hits.len(), 10, "never fewer than there are");
                    searched.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // In the middle of writing.
        while written.load(Ordering::Relaxed) < 200
            && !(searcher.is_finished() || writer.is_finished())
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        server.kill();
        println!("killed with {} of 400 acknowledged", written.load(Ordering::Relaxed));
        server.start_again();
        let before = searched.load(Ordering::Relaxed);
        let patience = Instant::now() + Duration::from_secs(60);
        while (searched.load(Ordering::Relaxed) < before + 3
            || written.load(Ordering::Relaxed) < 400)
            && !searcher.is_finished()
        {
            assert!(Instant::now() < patience, "it does not go on after the restart");
            std::thread::sleep(Duration::from_millis(10));
        }
        drop(raised);
    });
    // What it acknowledged is there before anything is sent again, and then each is there once.
    let there = store.count(&Filter::default()).expect("counted");
    assert_eq!(there, 400, "all that was acknowledged");
    let ids: Vec<_> = records.iter().map(|record| record.item.id).collect();
    let lost = store.items(&ids).expect("read").iter().filter(|item| item.is_none()).count();
    assert_eq!(lost, 0, "and by its id");
    store.upsert(&records).expect("written again");
    assert_eq!(store.count(&Filter::default()).expect("counted"), 400);
    server.kill();
    let impatient = Options { attempts: 2, ..options() };
    let begun = Instant::now();
    let error = MilvusStore::open(&address, &space(), Open::Existing, impatient).err();
    assert!(error.expect("nobody there").to_string().contains(&address.to_string()));
    assert!(begun.elapsed() < Duration::from_secs(5));
}
