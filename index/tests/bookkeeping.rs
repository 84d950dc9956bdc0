//! Captions, failures, roots, settings, files of a folder.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use ekphrasis_index::conformance::{Random, record, space};
use ekphrasis_index::{
    Access, Failure, Filter, ItemId, Judged, Kind, LocalStore, Record, StoreRead, StoreWrite,
};

use crate::{open, writing};

fn there(store: &LocalStore, ids: &[ItemId]) -> Vec<bool> {
    store.items(ids).expect("read").iter().map(Option::is_some).collect()
}

#[test]
fn captions_live_as_long_as_someone_owns_them() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path(), writing()).expect("opened");
    let mut random = Random(1);
    let [a, b] = [0, 2].map(|name| record(&mut random, name));
    let texts: Vec<Record> = [1, 3, 5, 7].map(|name| record(&mut random, name)).into();
    let ids: Vec<ItemId> = texts.iter().map(|t| t.item.id).collect();
    // Text 3 also stands on its own.
    store.upsert(&texts[3..]).expect("written");
    let captions = [
        (a.item.id, vec![texts[0].clone(), texts[1].clone(), texts[3].clone()]),
        (b.item.id, vec![texts[1].clone(), texts[2].clone()]),
    ];
    store.upsert_captioned(&[a.clone(), b.clone()], &captions).expect("written");
    assert_eq!(there(&store, &ids), [true; 4]);
    let mut owners = vec![a.item.id, b.item.id];
    owners.sort();
    assert_eq!(store.caption_owners(ids[1]).expect("read"), owners);

    assert_eq!(store.delete(&[a.item.id]).expect("deleted"), 1, "captions are not counted");
    assert_eq!(there(&store, &ids), [false, true, true, true]);
    store.set_captions(b.item.id, &[ids[2], ItemId::for_text("unknown")]).expect("set");
    assert_eq!(there(&store, &ids), [false, false, true, true]);
    assert_eq!(store.captions(b.item.id).expect("read"), [ids[2]]);
    let seq = store.seq();
    assert_eq!(store.set_captions(b.item.id, &[ids[2]]).expect("set"), seq, "no change, no commit");

    // Writing a caption in its own right keeps it.
    store.upsert(&texts[2..3]).expect("written");
    store.delete(&[b.item.id]).expect("deleted");
    assert_eq!(there(&store, &ids), [false, false, true, true]);
    // A caption of nobody is not kept.
    store.upsert_captioned(&[], &[(b.item.id, vec![texts[0].clone()])]).expect("written");
    assert_eq!(there(&store, &ids), [false, false, true, true]);
    drop(store);
    let store = open(dir.path(), Access::Read).expect("opened again");
    assert_eq!(there(&store, &ids), [false, false, true, true]);
    assert!(store.verify().expect("checked").is_sound());
}

#[test]
fn folders_are_compared_by_component_and_names_need_not_be_unicode() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path(), writing()).expect("opened");
    #[cfg(unix)]
    let odd: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"/p/a/\xff\xfe.jpg");
    #[cfg(not(unix))]
    let odd = OsStr::new("/p/a/odd.jpg");
    let paths =
        ["/p/a/x.jpg", "/p/a/b/y.jpg", "/p/ab/z.jpg", "/p/a.jpg", "/p/a0"].map(PathBuf::from);
    let mut random = Random(2);
    let records: Vec<Record> = paths
        .iter()
        .cloned()
        .chain([PathBuf::from(odd)])
        .map(|path| {
            let mut record = record(&mut random, 0);
            (record.item.id, record.item.path) = (ItemId::for_path(&path), Some(path));
            record
        })
        .collect();
    store.upsert(&records).expect("written");
    let under = |root: &str| {
        let files = store.files_under(Path::new(root)).expect("read");
        assert!(files.iter().all(|f| f.id == ItemId::for_path(&f.path)));
        files.into_iter().map(|f| f.path).collect::<Vec<_>>()
    };
    assert_eq!(under("/p/a"), [paths[1].clone(), paths[0].clone(), odd.into()]);
    assert_eq!(under("/p/a/"), under("/p/a"));
    assert_eq!(under("/p/a.jpg"), [paths[3].clone()]);
    assert_eq!(under("/").len(), 6);
    assert!(under("/q").is_empty());
}

#[test]
fn the_ledger_is_durable() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path(), writing()).expect("opened");
    let failure =
        |path: &str, at| Failure { path: path.into(), reason: format!("bad at {at}"), at };
    store.record_failures(&[failure("/b", 1), failure("/a", 2), failure("/c", 3)]).expect("noted");
    store.record_failures(&[failure("/b", 4)]).expect("noted");
    store.clear_failures(&["/c".into(), "/unknown".into()]).expect("cleared");
    for root in ["/y", "/x", "/y", "/z"] {
        store.add_root(Path::new(root)).expect("noted");
    }
    assert!(store.remove_root(Path::new("/z")).expect("removed"));
    assert!(!store.remove_root(Path::new("/z")).expect("removed"));
    store.set_setting("k", Some("v1")).expect("set");
    store.set_setting("k", Some("v2")).expect("set");
    store.set_setting("gone", Some("v")).expect("set");
    store.set_setting("gone", None).expect("set");
    drop(store);
    let store = open(dir.path(), Access::Read).expect("opened");
    assert_eq!(store.failures().expect("read"), [failure("/a", 2), failure("/b", 4)]);
    assert_eq!(store.failure_count().expect("read"), 2);
    assert_eq!(store.roots().expect("read"), [Path::new("/x"), Path::new("/y")]);
    assert_eq!(store.get_setting("k").expect("read").as_deref(), Some("v2"));
    assert_eq!(store.get_setting("gone").expect("read"), None);
    assert_eq!(store.seq(), 0, "bookkeeping is no commit");
}

#[test]
fn what_was_judged_stays_judged_until_its_failure_goes() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path(), writing()).expect("opened");
    let judged = |path: &str, size| Judged {
        failure: Failure { path: path.into(), reason: format!("{size} bytes of nothing"), at: 7 },
        size,
        mtime_ns: -5,
    };
    store.record_judged(&[judged("/b", 1), judged("/a", 2), judged("/c", 3)]).expect("noted");
    store.record_judged(&[judged("/b", 4)]).expect("noted");
    // For another reason now, one that does not lie in the file.
    store.record_failures(&[judged("/a", 0).failure]).expect("noted");
    store.clear_failures(&["/c".into()]).expect("cleared");
    drop(store);
    let store = open(dir.path(), writing()).expect("opened");
    assert_eq!(store.judged().expect("read"), [judged("/b", 4)]);
    assert_eq!(store.failure_count().expect("read"), 2);
    store.forget_judged().expect("forgotten");
    assert_eq!(store.judged().expect("read"), []);
    assert_eq!(store.failure_count().expect("read"), 2);
    drop(store);
    assert!(open(dir.path(), Access::Read).expect("opened").judged().is_err(), "readers need not");
}

#[test]
fn items_are_found_by_what_their_files_hold() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path(), writing()).expect("opened");
    let mut random = Random(1);
    let mut records: Vec<_> = (0..6).map(|name| record(&mut random, 2 * name)).collect();
    for (i, record) in records.iter_mut().enumerate() {
        record.item.file.as_mut().expect("a picture").content = [(i / 3) as u8; 32];
    }
    store.upsert(&records).expect("written");
    let mut expected: Vec<_> = records[..3].iter().map(|r| r.item.id).collect();
    expected.sort();
    let found = |content, limit| -> Vec<ItemId> {
        let items = store.same_content(&content, limit).expect("read");
        items.into_iter().map(|item| item.id).collect()
    };
    assert_eq!(found([0; 32], 10), expected);
    assert_eq!(found([0; 32], 2), expected[..2]);
    assert_eq!(found([9; 32], 10), []);
    store.delete(&expected[..1]).expect("deleted");
    assert_eq!(found([0; 32], 10), expected[1..]);
}

#[test]
fn first_vectors_are_those_of_the_first_items_by_id() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let seed = 30;
    println!("seed {seed}");
    let mut random = Random(seed);
    let store = open(dir.path(), writing()).expect("opens");
    assert_eq!(store.first_vectors(Kind::Image, 5).expect("reads"), []);
    let mut records: Vec<Record> = (0..300).map(|name| record(&mut random, name)).collect();
    store.upsert(&records).expect("written");
    let (gone, left) = records.split_at_mut(100);
    let gone: Vec<ItemId> = gone.iter().map(|record| record.item.id).collect();
    store.delete(&gone).expect("deleted");
    // The newest vector of one that was written twice.
    for record in &mut left[..50] {
        record.embedding = random.embedding(&space());
    }
    store.upsert(&left[..50]).expect("written");
    for kind in [Kind::Image, Kind::Text] {
        let all = store.scan(None, 1000, &Filter::of_kind(kind)).expect("reads");
        assert!(all.len() > 20, "{} of this kind", all.len());
        for count in [0, 1, 20, all.len(), 1000] {
            let ids: Vec<_> = all.iter().take(count).map(|item| item.id).collect();
            let expected: Vec<_> =
                store.embeddings(&ids).expect("reads").into_iter().flatten().collect();
            let got = store.first_vectors(kind, count).expect("reads");
            assert_eq!(got, expected, "{kind:?}, {count}");
        }
    }
}
