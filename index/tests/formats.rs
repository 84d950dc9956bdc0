//! Stores that former versions wrote are opened, searched and extended.
//!
//! `fixtures/store-vN` was written by the program whose newest file format was
//! `N`, by [`write_fixture`] as it was then, and is never written again. What
//! it holds is said here in code, so that it does not change with the tests.

use std::path::{Path, PathBuf};

use ekphrasis_embed::Embedding;
use ekphrasis_index::conformance::{Random, agrees, record, space};
use ekphrasis_index::{
    Access, Expr, Facts, Failure, FileFacts, Item, LocalStore, MemoryStore, Options, Place, Record,
    StoreRead, StoreWrite, Taken,
};

use crate::files::copy;
use crate::writing;

/// The newest version: `write_fixture` makes its fixture.
const NEWEST: u32 = 2;

fn fixture(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/store-v{version}"))
}

fn options() -> Options {
    let mut options = Options::default();
    (options.graph_from, options.graph_tail, options.graph_threads) = (8, 2, 1);
    (options.graph_work, options.heads_from) = (0, 8);
    options
}

fn vector(n: usize) -> Embedding {
    let number = |i: usize| ((n * 7 + i * i * 3 + n * i) % 23) as f32 - 11.5;
    Embedding::new(&space(), (0..space().dim()).map(number).collect()).expect("has a direction")
}

fn picture(n: usize) -> Record {
    let path = PathBuf::from(format!("/pictures/{}/IMG_{n:04}.jpg", ["snow", "old town"][n % 2]));
    let file = FileFacts {
        size: 1000 + n as u64,
        mtime_ns: 1_700_000_000_123_456_789 + n as i64,
        content: [n as u8; 32],
        width: 640,
        height: 480 + n as u32,
        format: "jpeg".into(),
    };
    let item = Item {
        text: n.is_multiple_of(3).then(|| format!("a red bicycle in the snow\nnumber {n}")),
        tags: if n.is_multiple_of(2) { vec!["dog".into(), "night".into()] } else { vec![] },
        ..Item::of_picture(path, file)
    };
    Record { item, embedding: vector(n) }
}

/// The same as far as a version can tell of it: labels and facts came with the second.
fn picture_of(version: u32, n: usize) -> Record {
    let mut record = picture(n);
    if version >= 2 && n.is_multiple_of(2) {
        record.item.labels = vec!["bicycle".into(), "snow".into()];
        let date = format!("2019-05-{:02}T12:30", n + 1).parse().expect("a date");
        record.item.facts = Some(Facts {
            taken: Some(Taken { date, offset_minutes: Some(120) }),
            make: Some("Google".into()),
            model: Some("Pixel 7".into()),
            place: Place::new(52.5, 13.4),
            ..Facts::default()
        });
    }
    record
}

fn text(n: usize) -> Record {
    let item = Item::of_text(&format!("Café by the sea {n}"));
    Record { item, embedding: vector(100 + n) }
}

fn failure() -> Failure {
    Failure { path: "/pictures/broken.jpg".into(), reason: "it is cut short".into(), at: 1 }
}

/// What a version's fixture holds, in a store that is right by construction.
fn expected(version: u32) -> MemoryStore {
    let store = MemoryStore::new(&space());
    let records: Vec<_> = (1..14).map(|n| picture_of(version, n)).chain((0..4).map(text)).collect();
    store.upsert(&records).expect("written");
    store
}

/// Writes what [`expected`] says, with a replaced and a deleted item in between.
#[test]
#[ignore = "makes the fixture of a new format version, once"]
fn write_fixture() {
    let dir = fixture(NEWEST);
    assert!(!dir.exists(), "{} is there and stays as it is", dir.display());
    let store = LocalStore::open_with(&dir, &space(), writing(), options()).expect("made");
    let mut old = picture(1);
    old.embedding = vector(50);
    store.upsert(&[picture(0), old]).expect("written");
    store.delete(&[picture(0).item.id]).expect("deleted");
    let pictures: Vec<_> = (1..14).map(|n| picture_of(NEWEST, n)).collect();
    let captions = [
        (pictures[0].item.id, vec![text(0), text(1)]),
        (pictures[1].item.id, vec![text(1), text(2)]),
    ];
    store.upsert_captioned(&pictures, &captions).expect("written");
    store.upsert(&[text(3)]).expect("written");
    store.record_failures(&[failure()]).expect("noted");
    store.add_root(Path::new("/pictures")).expect("noted");
    store.set_setting("ef", Some("128")).expect("set");
    store.settle();
}

#[test]
fn every_version_is_opened_searched_and_extended() {
    for version in 1..=NEWEST {
        for access in [Access::Read, writing()] {
            let dir = tempfile::tempdir().expect("tempdir");
            copy(&fixture(version), dir.path());
            let write = matches!(access, Access::Write(_));
            let (oracle, mut random) = (expected(version), Random(version.into()));
            let store =
                LocalStore::open_with(dir.path(), &space(), access, options()).expect("opened");
            assert_eq!(store.warnings(), [""; 0]);
            let report = store.verify().expect("checked");
            assert!(report.is_sound(), "version {version}: {report:?}");
            agrees(&store, &oracle, &mut random);
            let mut owned = [text(0), text(1)].map(|t| t.item.id);
            owned.sort();
            assert_eq!(store.captions(picture(1).item.id).expect("read"), owned);
            assert_eq!(store.failures().expect("read"), [failure()]);
            assert_eq!(store.roots().expect("read"), [Path::new("/pictures")]);
            assert_eq!(store.get_setting("ef").expect("read").as_deref(), Some("128"));
            let bits = |e: &Embedding| e.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            let ids: Vec<_> = (1..14).map(|n| picture(n).item.id).collect();
            for (n, embedding) in (1..14).zip(store.embeddings(&ids).expect("read")) {
                assert_eq!(embedding.as_ref().map(bits), Some(bits(&vector(n))), "picture {n}");
            }
            if !write {
                continue;
            }
            // A caption goes with its last owner, a text of its own stays.
            store.delete(&[picture(2).item.id]).expect("deleted");
            oracle.delete(&[picture(2).item.id, text(2).item.id]).expect("deleted");
            let more: Vec<_> = (0..30).map(|name| record(&mut random, name)).collect();
            store.upsert(&more).expect("written");
            oracle.upsert(&more).expect("written");
            store.settle();
            agrees(&store, &oracle, &mut random);
            drop(store);
            let store = LocalStore::open(dir.path(), &space(), Access::Read).expect("opened again");
            assert!(store.verify().expect("checked").is_sound());
            agrees(&store, &oracle, &mut random);
        }
    }
}

/// Readers of version 1 change nothing, and go on when a writer upgrades the
/// tables under them.
#[test]
fn tables_of_version_1_are_upgraded_by_the_first_writer() {
    let dir = tempfile::tempdir().expect("tempdir");
    copy(&fixture(1), dir.path());
    let version = || -> u32 {
        let database = rusqlite::Connection::open(dir.path().join("catalogue.db")).expect("opened");
        database.pragma_query_value(None, "user_version", |r| r.get(0)).expect("read")
    };
    let counts = |store: &LocalStore| {
        let filters =
            ["kind:image tag:DOG", "path:\"/pictures/old town\"", "-size:<1010", "taken:2019"];
        filters.map(|filter| {
            let expr: Expr = filter.parse().expect("a filter");
            store.count(&expr.into()).expect("read")
        })
    };
    let reader = LocalStore::open(dir.path(), &space(), Access::Read).expect("opened");
    assert_eq!((counts(&reader), version()), ([6, 7, 8, 0], 1));
    let writer = LocalStore::open(dir.path(), &space(), writing()).expect("opened");
    assert_eq!((counts(&writer), version()), ([6, 7, 8, 0], 2));
    assert_eq!(counts(&reader), [6, 7, 8, 0]);
    let mut told = picture(5);
    told.item.labels = vec!["bicycle".into()];
    let taken = Taken { date: "2019-05".parse().expect("a date"), offset_minutes: None };
    told.item.facts = Some(Facts { taken: Some(taken), ..Facts::default() });
    writer.upsert(std::slice::from_ref(&told)).expect("written");
    for store in [&reader, &writer] {
        assert_eq!(counts(store), [6, 7, 8, 1]);
        assert_eq!(store.items(&[told.item.id]).expect("read"), [Some(told.item.clone())]);
    }
}
