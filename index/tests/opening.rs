//! Whether a folder may be opened, and what the refusal says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ekphrasis_embed::Space;
use ekphrasis_index::conformance::{Random, agrees, record, space};
use ekphrasis_index::{
    Access, Filter, Holder, LocalStore, MemoryStore, Options, Query, StoreError, StoreRead,
    StoreWrite,
};

use crate::files::asked;
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

/// All files under `dir` with what is in them.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs_err::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.insert(path.clone(), fs_err::read(&path).expect("read"));
        }
    }
    found
}

#[test]
fn a_folder_with_names_like_ours_is_left_alone() {
    let parent = tempfile::tempdir().expect("tempdir");
    for (i, (file, with_catalogue)) in [
        ("text-0001/novel.txt", false),
        ("text-0001/novel.txt", true),
        ("text-books/novel.txt", false),
        ("text-0001/meta.json/novel.txt", false),
        ("vectors-of-disease.txt", false),
        ("vectors-0001.ekv/novel.txt", false),
        ("vectors-0001.ekv", false),
        ("graph-0001.png", false),
        ("catalogue.db.bak", false),
    ]
    .into_iter()
    .enumerate()
    {
        let dir = parent.path().join(i.to_string());
        let path = dir.join(file);
        fs_err::create_dir_all(path.parent().expect("has one")).expect("made");
        fs_err::write(&path, "a user's own").expect("written");
        if with_catalogue {
            fs_err::write(dir.join("catalogue.db"), "").expect("written");
        }
        let before = contents(&dir);
        for access in [Access::Read, writing()] {
            let error = open(&dir, access).map(|_| ()).expect_err("not a store");
            let told = matches!(
                error,
                StoreError::NotAStore { .. } | StoreError::NoStore(_) | StoreError::Corrupt { .. }
            );
            assert!(told, "{file}: {error}");
        }
        let mut after = contents(&dir);
        after.remove(&dir.join("writer.lock"));
        assert_eq!(after, before, "{file}");
    }
    // What making a store leaves when it is cut short is no reason to refuse.
    let dir = parent.path().join("leftovers");
    fs_err::create_dir_all(dir.join("text-0001")).expect("made");
    for name in ["writer.lock", "catalogue.db", "vectors-0001.ekv", "graph-0001.ekg.new"] {
        fs_err::write(dir.join(name), "").expect("written");
    }
    fs_err::write(dir.join("text-0001/meta.json"), "").expect("written");
    drop(open(&dir, writing()).expect("made"));
    // Nor does making the word index anew delete what is not of it.
    fs_err::write(dir.join("text-0001/novel.txt"), "a user's own").expect("written");
    fs_err::write(dir.join("text-0001/meta.json"), "").expect("written");
    let store = open(&dir, writing()).expect("opened");
    assert!(store.verify().expect("checked").is_sound());
    assert!(dir.join("text-0001/novel.txt").exists());
}

#[test]
fn someone_elses_database_is_left_as_it_is() {
    for version in [0, 1, 7] {
        let dir = tempfile::tempdir().expect("tempdir");
        let database = rusqlite::Connection::open(dir.path().join("catalogue.db")).expect("made");
        let make = format!("CREATE TABLE films (name TEXT); PRAGMA user_version = {version}");
        database.execute_batch(&make).expect("made");
        drop(database);
        let before = contents(dir.path());
        for access in [Access::Read, writing()] {
            let error = open(dir.path(), access).map(|_| ()).expect_err("not a store");
            assert!(matches!(error, StoreError::NotAStore { .. }), "{error}");
        }
        assert_eq!(contents(dir.path()), before, "and there is no lock file");
    }
    // A store of a later version is one, and is left alone as well.
    let dir = tempfile::tempdir().expect("tempdir");
    drop(open(dir.path(), writing()).expect("made"));
    let database = rusqlite::Connection::open(dir.path().join("catalogue.db")).expect("opened");
    database.execute_batch("PRAGMA user_version = 99; PRAGMA journal_mode = DELETE").expect("set");
    drop(database);
    let before = contents(dir.path());
    let error = open(dir.path(), writing()).map(|_| ()).expect_err("a later version");
    assert!(matches!(error, StoreError::Version { found: 99, .. }), "{error}");
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn two_writers_whose_lock_was_deleted_lose_nothing() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (mut random, oracle) = (Random(8), MemoryStore::new(&space()));
    let first = open(dir.path(), writing()).expect("opened");
    fs_err::remove_file(dir.path().join("writer.lock")).expect("deleted");
    let second = open(dir.path(), writing()).expect("nothing says that someone writes");
    for round in 0..12 {
        let batch: Vec<_> = (round * 3..round * 3 + 5).map(|n| record(&mut random, n)).collect();
        let writer = if round % 2 == 0 { &first } else { &second };
        writer.upsert(&batch).expect("written");
        oracle.upsert(&batch).expect("written");
        agrees(writer, &oracle, &mut random);
    }
    drop((first, second));
    let store = open(dir.path(), writing()).expect("opened");
    assert_eq!(store.warnings(), [""; 0]);
    assert!(store.verify().expect("checked").is_sound());
    agrees(&store, &oracle, &mut random);
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

/// Tells something unless the tests run as a user who may write everywhere.
#[cfg(unix)]
#[test]
fn who_may_not_write_reads_all_the_same() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().expect("tempdir");
    let dir = parent.path().join("store");
    let (mut random, oracle) = (Random(21), MemoryStore::new(&space()));
    let store = open(&dir, writing()).expect("made");
    let batch: Vec<_> = (0..30).map(|name| record(&mut random, name)).collect();
    store.upsert(&batch).expect("written");
    oracle.upsert(&batch).expect("written");
    drop(store);
    let before = contents(&dir);
    let mode = |mode| {
        let folders = [dir.join("text-0001"), dir.clone()];
        // Locks among them, which would otherwise do as they are.
        for path in before.keys().chain(&folders) {
            let permissions = std::fs::Permissions::from_mode(mode);
            fs_err::set_permissions(path, permissions).expect("set");
        }
    };
    mode(0o555);
    let store = open(&dir, Access::Read);
    let answers = store.map(|store| {
        // Before words are searched, which would make an index in memory.
        let sound = store.verify().expect("checked").is_sound();
        agrees(&store, &oracle, &mut random);
        sound
    });
    mode(0o755);
    assert!(answers.expect("opened"), "and the word index on disk was of use");
    let mut after = contents(&dir);
    after.retain(|path, _| before.contains_key(path));
    assert_eq!(after, before);
}

/// `EK_TEST_ITEMS=1000000 cargo test --release -p ekphrasis-index --test store opening_cost -- --ignored --nocapture`
#[test]
#[ignore = "a measurement: makes a store of 100,000 items, or EK_TEST_ITEMS"]
fn opening_cost() {
    let items = asked("EK_TEST_ITEMS", 100_000) as usize;
    let dir = tempfile::tempdir().expect("tempdir");
    let space = Space::new("opening", 384).expect("valid");
    let mut options = Options::default();
    // The graph's own cost is measured where the graph is.
    options.graph_from = usize::MAX;
    let open = |access| {
        LocalStore::open_with(dir.path(), &space, access, options.clone()).expect("opened")
    };
    let mut random = Random(1);
    let store = open(writing());
    for start in (0..items).step_by(2000) {
        let records: Vec<_> = (start..start + 2000)
            .map(|name| {
                let mut record = record(&mut random, name);
                record.embedding = random.embedding(&space);
                record
            })
            .collect();
        store.upsert(&records).expect("written");
    }
    drop(store);
    let time = |what: &str, mut f: Box<dyn FnMut() + '_>| {
        let mut times: Vec<_> = (0..20)
            .map(|_| {
                let begin = std::time::Instant::now();
                f();
                begin.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{what}: median {:.1} ms, longest {:.1} ms", times[10], times[19]);
    };
    time("opened for reading", Box::new(|| drop(open(Access::Read))));
    time("opened for writing", Box::new(|| drop(open(writing()))));
    let vector = Some(random.embedding(&space));
    let query = Query { vector, k: 10, ..Query::default() };
    time(
        "opened and searched once by vector",
        Box::new(|| assert_eq!(open(Access::Read).search(&query).expect("searched").len(), 10)),
    );
    let words = Query { words: Some("bicycle".into()), vector: None, ..query.clone() };
    time(
        "opened and searched once by words",
        Box::new(|| assert_eq!(open(Access::Read).search(&words).expect("searched").len(), 10)),
    );
}
