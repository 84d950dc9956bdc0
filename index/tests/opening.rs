//! Whether a folder may be opened, and what the refusal says.

use ekphrasis_embed::Space;
use ekphrasis_index::conformance::{Random, record, space};
use ekphrasis_index::{
    Access, Filter, Holder, LocalStore, Query, StoreError, StoreRead, StoreWrite,
};

use crate::{open, writing};

#[test]
fn a_store_is_made_only_where_nothing_else_is() {
    let dir = tempfile::tempdir().expect("tempdir");
    let absent = dir.path().join("a/b");
    assert!(matches!(open(&absent, Access::Read), Err(StoreError::NoStore(_))));
    assert!(!absent.exists(), "asking makes nothing");
    assert_eq!(LocalStore::space_of(&absent).expect("asked"), None);
    assert_eq!(LocalStore::holder(&absent).expect("asked"), None);
    drop(open(&absent, writing()).expect("made, with the folders above"));
    assert_eq!(LocalStore::space_of(&absent).expect("asked"), Some(space()));

    let full = dir.path().join("full");
    fs_err::create_dir(&full).expect("made");
    fs_err::write(full.join("holiday.jpg"), b"x").expect("written");
    for access in [Access::Read, writing()] {
        let error = open(&full, access).map(|_| ()).expect_err("not a store");
        assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
        assert!(error.to_string().contains("holiday.jpg"), "{error}");
    }
    let names: Vec<_> = fs_err::read_dir(&full).expect("listed").collect();
    assert_eq!(names.len(), 1, "the folder is left as it was");
}

#[test]
fn another_space_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("tempdir");
    drop(open(dir.path(), writing()).expect("made"));
    let other = Space::new("other", 16).expect("valid");
    for access in [Access::Read, writing()] {
        let error = LocalStore::open(dir.path(), &other, access).map(|_| ()).expect_err("mismatch");
        let message = error.to_string();
        for part in ["conformance (8-d)", "other (16-d)", &dir.path().display().to_string()] {
            assert!(message.contains(part), "{message} lacks {part}");
        }
    }
    open(dir.path(), writing()).expect("nothing is damaged");
}

#[test]
fn the_second_writer_is_told_who_the_first_is() {
    let dir = tempfile::tempdir().expect("tempdir");
    let holder = Holder { command: "ek up".into(), address: None };
    let first = open(dir.path(), Access::Write(holder)).expect("opened");
    first.set_address(Some("http://127.0.0.1:7733".into())).expect("noted");
    let message = open(dir.path(), writing()).map(|_| ()).expect_err("locked").to_string();
    for part in ["`ek up`", "http://127.0.0.1:7733", &std::process::id().to_string()] {
        assert!(message.contains(part), "{message} lacks {part}");
    }
    let reader = open(dir.path(), Access::Read).expect("reading goes on");
    let written = reader.upsert(&[]);
    assert!(matches!(written, Err(StoreError::ReadOnly(_))));
    drop(first);
    open(dir.path(), writing()).expect("free again");
}

#[test]
fn a_reader_follows_the_writer() {
    let dir = tempfile::tempdir().expect("tempdir");
    let writer = open(dir.path(), writing()).expect("opened");
    let reader = open(dir.path(), Access::Read).expect("opened");
    let mut random = Random(1);
    for round in 1..6u64 {
        let batch: Vec<_> = (0..10).map(|name| record(&mut random, name)).collect();
        writer.upsert(&batch).expect("written");
        writer.delete(&[batch[0].item.id]).expect("deleted");
        writer.flush().expect("flushed");
        assert!(reader.refresh().expect("read"));
        assert!(!reader.refresh().expect("read"), "nothing new");
        assert_eq!((reader.seq(), writer.seq()), (round * 2, round * 2));
        for (vector, words) in [(true, None), (true, Some("red dog")), (false, Some("sea old"))] {
            let query = Query {
                vector: vector.then(|| random.embedding(&space())),
                words: words.map(Into::into),
                k: 20,
                ..Query::default()
            };
            let ids = |s: &LocalStore| {
                s.search(&query).expect("read").iter().map(|h| (h.id, h.score)).collect::<Vec<_>>()
            };
            assert_eq!(ids(&reader), ids(&writer));
        }
        assert_eq!(reader.count(&Filter::default()).expect("read"), 9);
    }
}
