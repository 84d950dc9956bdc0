//! Filters over a store that is written, read, damaged and upgraded meanwhile.

use std::path::Path;

use ekphrasis_index::conformance::{Random, agrees, expression, record, space};
use ekphrasis_index::{
    Access, Expr, Filter, LocalStore, MemoryStore, Query, StoreRead, StoreWrite,
};

use crate::{open, writing};

fn database(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("catalogue.db")).expect("opened")
}

/// Answers that were kept are brought up to date, in the writer and in a reader.
#[test]
fn the_same_filter_follows_every_commit() {
    let seed = 20_261_201;
    println!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().expect("tempdir");
    let writer = open(dir.path(), writing()).expect("opened");
    let reader = open(dir.path(), Access::Read).expect("opened");
    let oracle = MemoryStore::new(&space());
    // More than are kept, so that some are forgotten in between.
    let filters: Vec<Filter> = (0..20).map(|_| expression(&mut random).into()).collect();
    for round in 0..25 {
        let batch: Vec<_> = (0..20).map(|_| random.below(150)).collect();
        let batch: Vec<_> = batch.into_iter().map(|name| record(&mut random, name)).collect();
        let gone: Vec<_> = batch.iter().take(3).map(|r| r.item.id).collect();
        for store in [&writer as &dyn StoreWrite, &oracle] {
            store.upsert(&batch).expect("written");
            store.delete(&gone).expect("deleted");
        }
        if round % 6 == 5 {
            assert!(writer.compact().expect("compacted") > 0, "rows are numbered anew");
        }
        for filter in &filters[round % 5..] {
            let expected = oracle.scan(None, usize::MAX, filter).expect("read");
            for store in [&writer, &reader] {
                let shown = filter.expr.as_ref().map(Expr::to_string);
                assert_eq!(store.count(filter).expect("read"), expected.len() as u64, "{shown:?}");
                assert_eq!(store.scan(None, usize::MAX, filter).expect("read"), expected);
                let vector = Some(random.embedding(&space()));
                let query = Query { vector, k: 1000, filter: filter.clone(), ..Query::default() };
                assert_eq!(
                    store.search(&query).expect("read"),
                    oracle.search(&query).expect("read"),
                    "{shown:?}"
                );
            }
        }
    }
    assert!(writer.verify().expect("read").is_sound());
}

/// The table that filters are answered from is derived: whatever happens to it,
/// answers are right, and the user is told.
#[test]
fn damage_to_what_filters_are_answered_from_is_found_and_healed() {
    let seed = 20_261_202;
    println!("seed {seed}");
    let mut random = Random(seed);
    for (i, damage) in [
        "UPDATE facets SET size = size + 1 WHERE row = 8",
        "UPDATE facets SET taken_to = 0",
        "UPDATE terms SET text = text || 'x' WHERE field = 0",
        "DELETE FROM facets WHERE row = 5",
        "DELETE FROM marks WHERE row = 4",
        "INSERT INTO marks SELECT id, 3 FROM terms WHERE field = 4",
        "DELETE FROM terms",
    ]
    .into_iter()
    .enumerate()
    {
        let dir = tempfile::tempdir().expect("tempdir");
        let oracle = MemoryStore::new(&space());
        let batch: Vec<_> = (0..60).map(|name| record(&mut random, name)).collect();
        open(dir.path(), writing()).expect("made").upsert(&batch).expect("written");
        oracle.upsert(&batch).expect("written");
        let changed = database(dir.path()).execute(damage, []).expect("done");
        assert!(changed > 0, "{damage}");

        let access = if i % 2 == 0 { Access::Read } else { writing() };
        let store = open(dir.path(), access).expect("opened");
        assert_eq!(store.warnings(), [""; 0]);
        agrees(&store, &oracle, &mut random);
        let warnings = store.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("ek index"), "{damage}: {warnings:?}");
        drop(store);
        let store = open(dir.path(), Access::Read).expect("opened");
        let report = store.verify().expect("read");
        assert!(report.problems.len() == 1 && !report.is_sound(), "{damage}: {report:?}");
        agrees(&store, &oracle, &mut random);
        assert!(store.heal_filters().is_err(), "a reader changes nothing");
        drop(store);

        let store = open(dir.path(), writing()).expect("opened");
        assert!(store.heal_filters().expect("healed"), "{damage}");
        assert!(!store.heal_filters().expect("looked"), "nothing is left to do");
        assert_eq!(store.warnings(), [""; 0]);
        agrees(&store, &oracle, &mut random);
        assert!(store.verify().expect("read").is_sound());
    }
}

/// A table of another version of this program is made anew by the first writer;
/// until then readers do without.
#[test]
fn a_table_of_another_version_is_made_anew() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (mut random, oracle) = (Random(3), MemoryStore::new(&space()));
    let batch: Vec<_> = (0..60).map(|name| record(&mut random, name)).collect();
    open(dir.path(), writing()).expect("made").upsert(&batch).expect("written");
    oracle.upsert(&batch).expect("written");
    let spoil =
        "UPDATE settings SET value = '0' WHERE key = 'filters'; UPDATE facets SET name = 'x'";
    database(dir.path()).execute_batch(spoil).expect("done");
    for access in [Access::Read, writing(), Access::Read] {
        let store = open(dir.path(), access).expect("opened");
        agrees(&store, &oracle, &mut random);
        assert_eq!(store.warnings(), [""; 0]);
    }
}

/// Conditions that let few through are answered by an index.
#[test]
fn indexes_are_used_where_they_pay() {
    let dir = tempfile::tempdir().expect("tempdir");
    drop(open(dir.path(), writing()).expect("made"));
    let database = database(dir.path());
    for (condition, index) in [
        ("size > 2000000", "facets_by_size"),
        ("(taken_from BETWEEN 1 AND 2 AND taken_to <= 2)", "facets_by_taken"),
        ("modified >= 5", "facets_by_modified"),
        ("(latitude BETWEEN 1 AND 2 AND (x - 1) * (x - 1) <= 2)", "facets_by_latitude"),
        ("camera IN (SELECT value FROM json_each('[1]'))", "facets_by_camera"),
        ("(folder IN (SELECT value FROM json_each('[1]')))", "facets_by_folder"),
        (
            "row IN (SELECT row FROM marks WHERE term IN (SELECT value FROM json_each('[1]')))",
            "SEARCH facets USING INTEGER PRIMARY KEY",
        ),
        (
            "((kind = 0) AND (row IN (SELECT row FROM marks WHERE term IN (SELECT value FROM json_each('[1]')))))",
            "SEARCH marks USING PRIMARY KEY",
        ),
        ("((kind = 0) AND (size > 5) AND (name GLOB '*a*'))", "facets_by_size"),
        ("((size > 5) OR (modified > 5))", "MULTI-INDEX OR"),
    ] {
        let query = format!("EXPLAIN QUERY PLAN SELECT row FROM facets WHERE {condition}");
        let mut statement = database.prepare(&query).expect("prepared");
        let lines = statement.query_map([], |r| r.get::<_, String>(3)).expect("read");
        let plan = lines.map(|line| line.expect("read")).collect::<Vec<_>>().join("; ");
        assert!(plan.contains(index), "{condition}: {plan}");
    }
}

/// A larger store is compared with its items behind the scenes.
#[test]
fn a_larger_store_is_checked_in_the_background() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut random = Random(4);
    let batch: Vec<_> = (0..5_200).map(|name| record(&mut random, name)).collect();
    let store = LocalStore::open(dir.path(), &space(), writing()).expect("made");
    store.upsert(&batch).expect("written");
    drop(store);
    let spoil = "UPDATE facets SET size = NULL WHERE row < 100";
    database(dir.path()).execute_batch(spoil).expect("done");
    let store = open(dir.path(), Access::Read).expect("opened");
    let filter: Filter = "size:>=0".parse::<Expr>().expect("a filter").into();
    let right = batch.iter().filter(|r| r.item.file.is_some()).count() as u64;
    for _ in 0..600 {
        if store.count(&filter).expect("read") == right {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(store.count(&filter).expect("read"), right);
    assert_eq!(store.warnings().len(), 1, "and it is said why filters are slow");
}
