//! Names and what stands for them: kept to the bit, forgotten whole, never half.

use std::path::Path;

use ekphrasis_embed::{Embedding, Space};
use ekphrasis_index::conformance::{Random, space};
use ekphrasis_index::{
    Access, LocalStore, NameKind, Named, NamedVector, Origin, StoreError, StoreRead,
};

use crate::files::copy;
use crate::{open, writing};

fn vector(space: &Space, n: usize) -> Embedding {
    let number = |i: usize| ((n * 7 + i * i * 3 + n * i) % 23) as f32 - 11.5;
    Embedding::new(space, (0..space.dim()).map(number).collect()).expect("has a direction")
}

fn example(part: &str, n: usize) -> NamedVector {
    let origin = Origin::Picture { content: [n as u8; 32], source: format!("/p/{n} ü.jpg") };
    NamedVector { part: part.into(), origin, embedding: vector(&space(), n) }
}

fn words(part: &str, n: usize) -> NamedVector {
    let origin = Origin::Words(format!("a photo of a {part}"));
    NamedVector { part: part.into(), origin, embedding: vector(&space(), n) }
}

fn named(name: &str, vectors: Vec<NamedVector>) -> Named {
    Named { name: name.into(), at: 1_700_000_000, vectors }
}

#[test]
fn what_stands_for_a_name_comes_back_to_the_bit() {
    let dir = tempfile::tempdir().expect("tempdir");
    let identity = named("Mittens", vec![example("", 1), example("", 2)]);
    let mut set = named("Mittens", vec![words("cat", 3), example("cat", 4), words("dog", 5)]);
    // One that was made with another model stays what it was.
    let other = Space::new("another-1", 5).expect("a space");
    set.vectors.push(NamedVector { embedding: vector(&other, 6), ..words("bird", 6) });
    {
        let store = open(dir.path(), writing()).expect("opened");
        let seq = store.seq();
        store.put_named(NameKind::Identity, &identity).expect("written");
        store.put_named(NameKind::LabelSet, &set).expect("written");
        store.put_named(NameKind::Identity, &named("Anna", vec![example("", 9)])).expect("written");
        assert_eq!(store.seq(), seq, "nothing that a search finds has changed");
    }
    for access in [Access::Read, writing()] {
        let store = open(dir.path(), access).expect("opened again");
        assert_eq!(store.names(NameKind::Identity).expect("read"), ["Anna", "Mittens"]);
        let found = store.named(NameKind::Identity, "Mittens").expect("read");
        assert_eq!(found.as_ref(), Some(&identity));
        let bits = |named: &Named| -> Vec<u32> {
            named.vectors.iter().flat_map(|v| v.embedding.values()).map(|v| v.to_bits()).collect()
        };
        assert_eq!(found.as_ref().map(bits), Some(bits(&identity)));
        assert_eq!(store.all_named(NameKind::LabelSet).expect("read"), (vec![set.clone()], vec![]));
        assert_eq!(store.named(NameKind::LabelSet, "Anna").expect("read"), None);
        assert!(store.verify().expect("checked").is_sound());
    }
    let store = open(dir.path(), writing()).expect("opened");
    let reader = open(dir.path(), Access::Read).expect("opened");
    let fewer = named("Mittens", vec![example("", 7)]);
    store.put_named(NameKind::Identity, &fewer).expect("written");
    assert_eq!(reader.named(NameKind::Identity, "Mittens").expect("read"), Some(fewer));
    assert!(store.remove_named(NameKind::Identity, "Mittens").expect("written"));
    assert!(!store.remove_named(NameKind::Identity, "Mittens").expect("written"));
    store.put_named(NameKind::Identity, &named("Anna", vec![])).expect("written");
    assert_eq!(
        reader.names(NameKind::Identity).expect("read"),
        [""; 0],
        "without vectors: forgotten"
    );
    assert_eq!(reader.names(NameKind::LabelSet).expect("read"), ["Mittens"]);
    let refused = reader.put_named(NameKind::Identity, &identity).expect_err("reads only");
    assert!(matches!(refused, StoreError::ReadOnly(_)), "{refused}");
}

/// Every change to a row behind the store's back is found, and costs that name only.
#[test]
fn a_name_that_was_tampered_with_is_told() {
    for change in [
        "UPDATE named_vectors SET vector = zeroblob(length(vector)) WHERE name = 'b' AND place = 1",
        "UPDATE named_vectors SET part = 'dog' WHERE name = 'b' AND place = 0",
        "UPDATE named_vectors SET source = 'x' WHERE name = 'b' AND place = 1",
        "DELETE FROM named_vectors WHERE name = 'b' AND place = 1",
        "DELETE FROM named_vectors WHERE name = 'b'",
        "UPDATE named SET at = at + 1 WHERE name = 'b'",
        "UPDATE named_vectors SET place = 5 WHERE name = 'b' AND place = 0",
        "UPDATE named_vectors SET space = 'Not A Space' WHERE name = 'b' AND place = 0",
        // What such a column never holds.
        "UPDATE named_vectors SET content = x'0102' WHERE name = 'b' AND place = 1",
        "UPDATE named_vectors SET content = 'text' WHERE name = 'b' AND place = 1",
        "UPDATE named_vectors SET content = NULL WHERE name = 'b' AND place = 1",
        "UPDATE named_vectors SET source = x'00ff' WHERE name = 'b' AND place = 0",
        "UPDATE named_vectors SET part = CAST(x'ff' AS TEXT) WHERE name = 'b' AND place = 0",
        "UPDATE named_vectors SET vector = 'text' WHERE name = 'b' AND place = 0",
        "UPDATE named_vectors SET hash = 'text' WHERE name = 'b' AND place = 1",
        "UPDATE named SET at = 'text' WHERE name = 'b'",
        "UPDATE named SET hash = 0.5 WHERE name = 'b'",
    ] {
        let dir = tempfile::tempdir().expect("tempdir");
        let store = open(dir.path(), writing()).expect("opened");
        for name in ["a", "b"] {
            let both = vec![example("cat", 1), example("cat", 2)];
            store.put_named(NameKind::Identity, &named(name, both)).expect("written");
        }
        drop(store);
        let database = rusqlite::Connection::open(dir.path().join("catalogue.db")).expect("opened");
        assert!(database.execute(change, []).expect("changed") > 0, "{change}");
        drop(database);
        let store = open(dir.path(), writing()).expect("opened");
        let error = store.named(NameKind::Identity, "b").expect_err(change).to_string();
        assert!(error.contains("\"b\" is not as written"), "{change}: {error}");
        let (sound, damaged) = store.all_named(NameKind::Identity).expect("read");
        assert_eq!((sound.len(), sound[0].name.as_str(), damaged), (1, "a", vec!["b".to_owned()]));
        let report = store.verify().expect("checked");
        assert!(report.problems.iter().any(|p| p.contains("\"b\"")), "{change}: {report:?}");
        // Forgetting it heals the store.
        assert!(store.remove_named(NameKind::Identity, "b").expect("written"));
        assert!(store.verify().expect("checked").is_sound());
    }
}

/// Stores of before have no tables for names: reading them finds none and changes nothing,
/// and the first writer adds them.
#[test]
fn stores_of_before_have_no_names_until_somebody_writes() {
    for version in [1, 2] {
        let dir = tempfile::tempdir().expect("tempdir");
        let fixture = format!("tests/fixtures/store-v{version}");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join(fixture), dir.path());
        let reader = LocalStore::open(dir.path(), &space(), Access::Read).expect("opened");
        assert_eq!(reader.names(NameKind::Identity).expect("read"), [""; 0]);
        assert_eq!(reader.named(NameKind::Identity, "a").expect("read"), None);
        let writer = LocalStore::open(dir.path(), &space(), writing()).expect("opened");
        let identity = named("a", vec![example("", 1)]);
        writer.put_named(NameKind::Identity, &identity).expect("written");
        assert_eq!(reader.named(NameKind::Identity, "a").expect("read"), Some(identity));
    }
}

/// What is kept of a name is kept by its stamp, so equal stamps have to mean that all it
/// stands for is equal. States are few, so that each comes again.
#[test]
fn a_stamp_is_the_same_as_long_as_all_that_stands_for_the_name_is() {
    let seed = 7;
    eprintln!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path(), writing()).expect("opened");
    let reader = open(dir.path(), Access::Read).expect("opened");
    let mut known: Vec<(Named, i64)> = vec![];
    let (mut again, mut other) = (0, 0);
    for _ in 0..120 {
        let count = random.below(3);
        let vectors = (0..count).map(|_| {
            let (n, part) = (random.below(2), ["cat", "dog"][random.below(2)]);
            if random.below(2) == 0 { words(part, n) } else { example(part, n) }
        });
        let vectors = vectors.collect();
        let set = Named { at: 1 + random.below(2) as i64, ..named("pets", vectors) };
        store.put_named(NameKind::LabelSet, &set).expect("written");
        let stamp = reader.stamp(NameKind::LabelSet, "pets").expect("read");
        assert_eq!(stamp.is_some(), count > 0, "without vectors there is nothing");
        let Some(stamp) = stamp else { continue };
        for (before, at) in &known {
            assert_eq!(*before == set, *at == stamp, "{before:?}\n{set:?}");
            *(if *before == set { &mut again } else { &mut other }) += 1;
        }
        known.push((set, stamp));
    }
    assert!(again > 20 && other > 1_000, "{again} {other}");
    // Another name's, and another kind's, are no affair of this one.
    let (last, stamp) = known.pop().expect("some");
    store.put_named(NameKind::LabelSet, &last).expect("written");
    store.put_named(NameKind::LabelSet, &named("birds", vec![words("owl", 1)])).expect("written");
    store.put_named(NameKind::Identity, &named("pets", vec![example("", 2)])).expect("written");
    assert_eq!(reader.stamp(NameKind::LabelSet, "pets").expect("read"), Some(stamp));
    assert_eq!(reader.stamp(NameKind::LabelSet, "fish").expect("read"), None);
}
