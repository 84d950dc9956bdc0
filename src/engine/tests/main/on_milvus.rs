//! Workers over a store that other machines share, on `milvus-lite`.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ekphrasis_engine::{
    Filter, IndexOptions, MilvusAddress, MilvusOpen, MilvusOptions, MilvusStore, SharedEngine,
    SharedIndexOptions, StoreAt,
};
use ekphrasis_index::StoreRead;

use crate::milvus::Milvus;
use crate::{picture, towers};

/// A worker and its store.
fn worker() -> (MilvusAddress, SharedEngine) {
    let address: MilvusAddress = Milvus::new_address().parse().expect("an address");
    let at = StoreAt::Milvus(address.clone(), MilvusOptions::default());
    (address, SharedEngine::open(&at, towers(), true).expect("opened"))
}

fn options(captions: Option<PathBuf>) -> SharedIndexOptions {
    let files = IndexOptions { captions, ..IndexOptions::default() };
    SharedIndexOptions { files, part: "1/1".parse().expect("all"), keep_files: false }
}

fn fill(folder: &Path, count: u8) {
    fs_err::create_dir_all(folder).expect("created");
    for n in 0..count {
        picture(&folder.join(format!("{n}.png")), [n, 255 - n, 7 * (n % 30)]);
    }
}

/// What it had brought into the one that served before is looked up once more.
#[test]
fn a_worker_goes_on_in_the_generation_that_came_to_serve() {
    let dir = tempfile::tempdir().expect("tempdir");
    let folder = dir.path().join("pictures");
    // More than a piece.
    fill(&folder, 40);
    let (address, engine) = worker();
    let (space, asked) = (engine.towers().space().clone(), MilvusOptions::default());
    let direct = MilvusStore::open(&address, &space, MilvusOpen::Existing, asked).expect("opened");
    let (number, new) = direct.begin_generation(&space).expect("made");
    let (switched, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let switch = || {
        if !switched.swap(true, Ordering::Relaxed) {
            direct.switch_to(number).expect("switched");
            // It looks once a second.
            std::thread::sleep(Duration::from_millis(1100));
        }
    };
    let report = engine.index(&[folder], &options(None), &|_, _| switch(), &stop);
    let progress = report.expect("indexed").progress;
    assert_eq!((progress.seen, progress.indexed, progress.unchanged), (40, 40, 0));
    let count = |store: &MilvusStore| store.count(&Filter::default()).expect("counted");
    assert_eq!((count(&new), engine.status().expect("asked").images), (40, 40));
    assert!((1..40).contains(&count(&direct)), "it began in the other one");
}

/// Texts of no picture come in as pictures do: a few at a time, told of, until it is stopped.
#[test]
fn texts_are_sent_a_few_at_a_time() {
    let dir = tempfile::tempdir().expect("tempdir");
    let folder = dir.path().join("pictures");
    fill(&folder, 1);
    let lines: String = (0..150).map(|n| format!("{{\"text\": \"words {n}\"}}\n")).collect();
    let captions = dir.path().join("words.jsonl");
    fs_err::write(&captions, lines).expect("written");
    let (_, engine) = worker();
    let (options, roots) = (options(Some(captions.clone())), [folder]);
    let (told, stop) = (Mutex::new(vec![]), AtomicBool::new(false));
    let tell = |seen: u64, of: &Path| {
        if of == captions {
            told.lock().expect("no panic").push(seen);
            stop.store(true, Ordering::Relaxed);
        }
    };
    let report = engine.index(&roots, &options, &|p, of| tell(p.seen, of), &stop).expect("indexed");
    assert!(report.stopped, "{report:?}");
    assert_eq!((report.progress.indexed, engine.status().expect("asked").texts), (65, 64));
    let go_on = AtomicBool::new(false);
    let report = engine.index(&roots, &options, &|p, of| tell(p.seen, of), &go_on);
    let progress = report.expect("indexed").progress;
    assert_eq!((progress.indexed, progress.unchanged), (150 - 64, 65));
    assert_eq!(engine.status().expect("asked").texts, 150);
    assert_eq!(*told.lock().expect("no panic"), [65, 65, 129, 151]);
}
