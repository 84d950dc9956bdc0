//! Stores that older versions of this program wrote.

use std::path::Path;

use ekphrasis_embed::Embedding;
use ekphrasis_index::conformance::space;
use ekphrasis_index::{
    Access, Expr, Failure, FileFacts, Filter, Item, ItemId, Kind, LocalStore, Query, StoreRead,
    StoreWrite,
};

use crate::{open, writing};

fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).expect("made");
    for entry in fs_err::read_dir(from).expect("listed") {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).expect("listed");
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            fs_err::copy(&path, to.join(name)).expect("copied");
        }
    }
}

/// As it was written: the `n`-th has most of its length along axis `n mod 8`.
fn vector(n: usize) -> Embedding {
    let rest = 0.125 * (n / 8) as f32;
    let values = (0..8).map(|i| if i == n % 8 { 1.0 } else { rest }).collect();
    Embedding::new(&space(), values).expect("a direction")
}

fn picture(n: u32, path: &str, text: Option<&str>, tags: &[&str]) -> Item {
    Item {
        id: ItemId::for_path(Path::new(path)),
        kind: Kind::Image,
        path: Some(path.into()),
        text: text.map(Into::into),
        tags: tags.iter().map(|&t| t.into()).collect(),
        labels: vec![],
        file: Some(FileFacts {
            size: 1000 * u64::from(n),
            mtime_ns: 1_560_000_000_000_000_000 + i64::from(n),
            content: [n as u8; 32],
            width: 100 * n,
            height: 80,
            format: "jpeg".into(),
        }),
        facts: None,
    }
}

fn text(text: &str) -> Item {
    Item {
        id: ItemId::for_text(text),
        kind: Kind::Text,
        path: None,
        text: Some(text.into()),
        tags: vec![],
        labels: vec![],
        file: None,
        facts: None,
    }
}

/// What is in the fixture, with the numbers of the vectors.
fn expected() -> Vec<(Item, usize)> {
    let captions = "an old bridge\nthe river at night";
    let mut items = vec![
        (picture(1, "/pictures/rome/IMG_0001.jpg", Some(captions), &["trip", "Città"]), 1),
        (text("an old bridge"), 2),
        (text("the river at night"), 3),
        (text("a note of its own"), 6),
        (picture(7, "/pictures/berlin/redBicycle.png", None, &["sport"]), 7),
    ];
    items.sort_by_key(|(item, _)| item.id);
    items
}

fn holds_what_was_written(store: &LocalStore, seq: u64) {
    assert_eq!((store.warnings(), store.seq()), (vec![], seq));
    let items = store.scan(None, 100, &Filter::default()).expect("read");
    assert_eq!(items, expected().into_iter().map(|e| e.0).collect::<Vec<_>>());
    for (item, n) in expected() {
        let query = Query { vector: Some(vector(n)), k: 1, ..Query::default() };
        let hits = store.search(&query).expect("read");
        assert_eq!((hits[0].id, hits[0].score > 0.9999), (item.id, true), "{item:?}");
    }
    let [rome, berlin] = ["/pictures/rome/IMG_0001.jpg", "/pictures/berlin/redBicycle.png"]
        .map(|path| ItemId::for_path(Path::new(path)));
    let [bridge, river] = ["an old bridge", "the river at night"].map(ItemId::for_text);
    let mut captions = vec![bridge, river];
    captions.sort();
    assert_eq!(store.captions(rome).expect("read"), captions);
    for (words, found) in [("bicycle", vec![berlin]), ("citta", vec![rome]), ("gone", vec![])] {
        let query = Query { words: Some(words.into()), k: 10, ..Query::default() };
        let hits = store.search(&query).expect("read");
        assert_eq!(hits.iter().map(|h| h.id).collect::<Vec<_>>(), found, "{words}");
    }
    for (filter, count) in [
        ("kind:image", 2),
        ("tag:citta or tag:sport", 2),
        ("path:/pictures/rome", 1),
        ("size:>=7kb width:<=700", 1),
        ("-modified:2019-06-08", 3),
        ("taken:2019", 0),
    ] {
        let expr: Expr = filter.parse().expect("a filter");
        assert_eq!(store.count(&expr.into()).expect("read"), count, "{filter}");
    }
    let failure =
        |path: &str, reason: &str, at| Failure { path: path.into(), reason: reason.into(), at };
    let failures = [failure("/pictures/bad.jpg", "the file is empty", 1_560_000_000)];
    assert_eq!(store.failures().expect("read"), failures);
    assert_eq!(store.roots().expect("read"), [Path::new("/pictures")]);
    assert_eq!(store.get_setting("key").expect("read").as_deref(), Some("value"));
    let report = store.verify().expect("read");
    assert!(report.is_sound(), "{report:?}");
}

/// `fixtures/version-1` was written by commit 27887c4 of this program: catalogue
/// of version 1, vectors of version 1, the word index of its time.
#[test]
fn a_store_of_version_1_is_read_as_it_is_and_upgraded_by_the_first_writer() {
    let dir = tempfile::tempdir().expect("tempdir");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/version-1"), dir.path());
    let version = || -> u32 {
        let database = rusqlite::Connection::open(dir.path().join("catalogue.db")).expect("opened");
        database.pragma_query_value(None, "user_version", |r| r.get(0)).expect("read")
    };
    let reader = open(dir.path(), Access::Read).expect("opened");
    holds_what_was_written(&reader, 4);
    assert_eq!(version(), 1, "reading changes nothing");

    let writer = open(dir.path(), writing()).expect("opened");
    assert_eq!(version(), 2);
    holds_what_was_written(&writer, 4);
    // Who had it open meanwhile goes on.
    holds_what_was_written(&reader, 4);
    let (mut item, n) = expected().swap_remove(0);
    item.labels = vec!["bridge".into()];
    item.facts = Some(ekphrasis_index::Facts { lens: Some("50mm".into()), ..Default::default() });
    let id = item.id;
    let record = ekphrasis_index::Record { item: item.clone(), embedding: vector(n) };
    writer.upsert(&[record]).expect("written");
    for store in [&reader, &writer] {
        let expr: Expr = "label:bridge lens:50mm".parse().expect("a filter");
        assert_eq!(store.count(&expr.into()).expect("read"), 1);
        assert_eq!(store.items(&[id]).expect("read"), [Some(item.clone())]);
    }
    drop((reader, writer));
    let store = open(dir.path(), Access::Read).expect("opened");
    assert!(store.verify().expect("read").is_sound());
}
