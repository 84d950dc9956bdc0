//! A Milvus server proper, of one node: 2.3.5, from the PyPI package `milvus`. It listens on every
//! address, so it and this test run in a network namespace of their own; where none is to be had,
//! or not that package, the test says so and does nothing.
#![expect(clippy::print_stdout, reason = "shown when a test fails, and where figures are wanted")]

use std::fmt::Display;
use std::io::Write;
use std::process::Command;
use std::time::Instant;

use ekphrasis_embed::Space;
use ekphrasis_index::conformance::{Random, expression, record, space};
use ekphrasis_index::{
    Filter, Hit, Item, ItemId, Kind, MemoryStore, Query, Record, StoreError, StoreRead, StoreWrite,
};
use ekphrasis_milvus::{Address, MilvusStore, Open};

use crate::python::{folder_of, serve, try_python};
use crate::{new_store, open, options};

/// Set where the namespace is entered.
const INSIDE: &str = "EK_TEST_INSIDE_NAMESPACE";
const THIS: &str = "on_milvus::standalone::a_server_of_2_3_does_all_but_words";

fn set(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "tests are told by variables")]
    let value = std::env::var_os(name)?;
    value.into_string().ok()
}

#[test]
fn a_server_of_2_3_does_all_but_words() {
    if set(INSIDE).is_some() {
        inside();
    } else if let Err(why) = outside() {
        // Not by a macro, whose output is not shown of tests that pass.
        let _ = writeln!(std::io::stderr(), "SKIPPED a Milvus server proper: {why}");
    }
}

/// Where no namespace can be had, that is said, and nothing fails.
#[test]
fn what_cannot_be_run_is_said() {
    if set(INSIDE).is_some() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let unshare = folder.path().join("unshare");
    fs_err::write(&unshare, "#!/bin/sh\necho 'unshare: not permitted here' >&2\nexit 1\n")
        .expect("written");
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(&unshare, all).expect("executable");
    let this = std::env::current_exe().expect("this test");
    let mut again = Command::new(this);
    let output = again.args([THIS, "--exact"]).env("PATH", folder.path()).output().expect("runs");
    let [said, why] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success() && said.contains("1 passed"), "{said}{why}");
    let expected = "SKIPPED a Milvus server proper: no network namespace: unshare: unshare: not permitted here";
    assert!(why.contains(expected), "{why}");
}

/// Runs this test once more, in a namespace. Says why it cannot.
fn outside() -> Result<(), String> {
    let failed = |why: &dyn Display| format!("no network namespace: unshare: {why}");
    let mut why = String::new();
    let flags =
        [&["--user", "--map-root-user", "--net"][..], &["--net"]].into_iter().find(|flags| {
            match Command::new("unshare").args(*flags).arg("true").output() {
                Ok(output) if output.status.success() => true,
                Ok(output) => {
                    why = failed(&String::from_utf8_lossy(&output.stderr).trim());
                    false
                }
                Err(error) => {
                    why = failed(&error);
                    false
                }
            }
        });
    let Some(flags) = flags else { return Err(why) };
    // While there is a network.
    try_python(&folder_of("milvus_standalone").join("requirements.txt"))?;
    let this = std::env::current_exe().expect("this test");
    let mut again = Command::new("unshare");
    again.args(flags).arg(this).args([THIS, "--exact", "--nocapture"]).env(INSIDE, "1");
    let output = again.output().expect("unshare starts");
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    println!("{}{}", said[0], said[1]);
    assert!(
        output.status.success() && said[0].contains("1 passed"),
        "inside the namespace, see above"
    );
    Ok(())
}

fn inside() {
    // What it unpacks is large, and the folder for temporary files may be memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let begun = Instant::now();
    let data = folder.path().to_str().expect("UTF-8");
    let (mut server, port) = serve("milvus_standalone", &[data]);
    println!("started after {:?}", begun.elapsed());
    let address: Address = format!("milvus://127.0.0.1:{port}/pictures").parse().expect("one");
    let begun = Instant::now();
    vectors_and_filters(&address);
    println!("compared after {:?}", begun.elapsed());
    generations(&address);
    words_are_refused(&address);
    let wide = Space::new("wide", 384).expect("valid");
    let pace = pace(&open(&format!("milvus://127.0.0.1:{port}/pace").parse().expect("one"), &wide));
    println!("one process writes {pace:.0} rows a second to a server of 2.3.5");
    println!("all after {:?}", begun.elapsed());
    // It ends with its input, and takes the rest of its processes along.
    drop(server.stdin.take());
    server.wait().expect("gone");
}

fn ids(hits: &[Hit]) -> Vec<(ItemId, f32)> {
    hits.iter().map(|hit| (hit.id, hit.score)).collect()
}

/// As a store in memory, to the last bit.
fn vectors_and_filters(address: &Address) {
    let mut random = Random(51);
    let (store, oracle) = (open(address, &space()), MemoryStore::new(&space()));
    assert!(store.server().to_string().contains("2.3.5"), "{}", store.server());
    let records: Vec<_> = (0..700).map(|name| record(&mut random, name)).collect();
    // One id many times in one batch, and once more.
    let twice = [&records[..], &records[..50]].concat();
    for batch in [&twice[..], &records[600..]] {
        store.upsert(batch).expect("written");
        oracle.upsert(batch).expect("written");
    }
    let mut gone: Vec<_> = records[..20].iter().map(|record| record.item.id).collect();
    gone.push(ItemId::for_text("nobody"));
    assert_eq!(store.delete(&gone).expect("deleted"), 20);
    assert_eq!(oracle.delete(&gone).expect("deleted"), 20);
    assert_eq!(store.count(&Filter::default()).expect("counted"), 680);

    let mut filters = vec![Filter::default(), Filter::of_kind(Kind::Image)];
    filters.extend((0..4).map(|_| Filter::from(expression(&mut random))));
    for filter in filters {
        let vector = Some(random.embedding(&space()));
        let query = Query { vector, k: 10, filter: filter.clone(), ..Query::default() };
        let exact = Query { exact: true, ..query.clone() };
        let stores = [&store as &dyn StoreRead, &oracle];
        let [near, all] = stores.map(|s| s.search(&query).expect("searched"));
        assert_eq!(ids(&near), ids(&all), "{filter:?}");
        let [near, all] = stores.map(|s| s.search(&exact).expect("searched"));
        assert_eq!(ids(&near), ids(&all), "exactly, {filter:?}");
        let [here, there] = stores.map(|s| s.count(&filter).expect("counted"));
        assert_eq!(here, there, "{filter:?}");
        let [here, there] = stores.map(|s| s.scan(Some(gone[0]), 30, &filter).expect("walked"));
        assert_eq!(here, there, "{filter:?}");
    }

    // Whoever opens it later walks over everything, and reads it to the last bit.
    let later = MilvusStore::open(address, &space(), Open::Existing, options()).expect("opened");
    let mut items: Vec<Item> = vec![];
    loop {
        let some = later.scan(items.last().map(|item| item.id), 300, &Filter::default());
        match some.expect("read") {
            some if some.is_empty() => break,
            some => items.extend(some),
        }
    }
    assert_eq!(items, oracle.scan(None, 1000, &Filter::default()).expect("read"));
    let all: Vec<_> = items.iter().map(|item| item.id).collect();
    let [here, there] =
        [&later as &dyn StoreRead, &oracle].map(|s| s.embeddings(&all).expect("read"));
    assert!(here == there && here.iter().all(Option::is_some), "every vector, to the last bit");
}

fn generations(address: &Address) {
    let old = open(address, &space());
    let other = Space::new("other", 4).expect("valid");
    let refused = MilvusStore::open(address, &other, Open::OrCreate, options()).err();
    assert!(matches!(refused, Some(StoreError::SpaceMismatch { .. })), "{refused:?}");
    let (number, new) = old.begin_generation(&other).expect("made");
    assert!(old.is_current().expect("asked") && !new.is_current().expect("asked"));
    old.switch_to(number).expect("switched");
    assert!(new.is_current().expect("asked") && !old.is_current().expect("asked"));
    assert_eq!(open(address, &other).count(&Filter::default()).expect("counted"), 0);
    assert_eq!(old.count(&Filter::default()).expect("counted"), 680, "whoever is there stays");
    old.switch_to(1).expect("back again");
    old.drop_generation(number).expect("dropped");
    let left: Vec<_> = old.generations().expect("listed").iter().map(|g| g.number).collect();
    assert_eq!(left, [1]);
}

/// By the version, before anything is made that would end the server.
fn words_are_refused(address: &Address) {
    let store = open(address, &space());
    assert!(!store.finds_words());
    let query = Query { words: Some("red".into()), k: 10, ..Query::default() };
    let refused = store.search(&query).expect_err("refused");
    assert!(matches!(refused, StoreError::Unsupported { .. }), "{refused:?}");
    let refused = refused.to_string();
    for part in ["2.5 on", "2.3.5", &address.to_string(), "search by vector"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert_eq!(store.count(&Filter::default()).expect("it goes on"), 680);
}

/// Rows of a caption and 384 numbers that one process writes a second (`EK_TEST_ROWS` of them).
fn pace(store: &MilvusStore) -> f64 {
    let rows = set("EK_TEST_ROWS").map_or(1000, |text| text.parse().expect("a number"));
    let mut random = Random(52);
    let records: Vec<_> = (0..rows)
        .map(|n| Record {
            item: Item::of_text(&format!("a red bicycle in the old town, {n}")),
            embedding: random.embedding(store.space()),
        })
        .collect();
    let begun = Instant::now();
    // As workers send them.
    for batch in records.chunks(64) {
        store.upsert(batch).expect("written");
    }
    let took = begun.elapsed();
    assert_eq!(store.count(&Filter::default()).expect("counted"), rows);
    rows as f64 / took.as_secs_f64()
}

#[test]
fn writing_has_a_pace() {
    let pace = pace(&new_store(&Space::new("wide", 384).expect("valid")));
    println!("one process writes {pace:.0} rows a second to milvus-lite");
}
