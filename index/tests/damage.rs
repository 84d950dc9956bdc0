//! Truncated and flipped files: a clear error or a right answer, never a wrong one.

use std::path::{Path, PathBuf};

use ekphrasis_index::conformance::{Random, record, space};
use ekphrasis_index::{
    Access, Filter, Item, LocalStore, MemoryStore, Options, Query, StoreError, StoreRead,
    StoreWrite,
};

use crate::writing;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs_err::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("under it"));
        fs_err::create_dir_all(target.parent().expect("has one")).expect("made");
        fs_err::copy(&file, target).expect("copied");
    }
}

fn options() -> Options {
    let mut options = Options::default();
    options.graph_from = 64;
    options.graph_tail = 10;
    options
}

#[test]
fn damage_is_never_answered_wrongly() {
    let seed = 20_261_124;
    println!("seed {seed}");
    let mut random = Random(seed);
    let made = tempfile::tempdir().expect("tempdir");
    let oracle = MemoryStore::new(&space());
    let store = LocalStore::open_with(made.path(), &space(), writing(), options()).expect("made");
    for _ in 0..4 {
        let batch: Vec<_> = (0..50).map(|_| random.below(120)).collect();
        let batch: Vec<_> = batch.into_iter().map(|name| record(&mut random, name)).collect();
        store.upsert(&batch).expect("written");
        oracle.upsert(&batch).expect("written");
        store.settle();
    }
    drop(store);
    let all = files(made.path());
    let names: Vec<_> = all.iter().map(|f| f.strip_prefix(made.path()).expect("under")).collect();
    println!("{names:?}");
    for part in ["catalogue.db", "vectors-0001.ekv", "graph-0001.ekg", "text-0001/meta.json"] {
        assert!(names.contains(&Path::new(part)), "there is no {part} in {names:?}");
    }
    let (mut refused, mut reported, mut right) = (0, 0, 0);
    for round in 0..150 {
        // The big ones as often as the many small ones of the word index.
        let file = match random.below(5) {
            0 => made.path().join("catalogue.db"),
            1 => made.path().join("vectors-0001.ekv"),
            _ => all[random.below(all.len())].clone(),
        };
        let dir = tempfile::tempdir().expect("tempdir");
        copy(made.path(), dir.path());
        let damaged = dir.path().join(file.strip_prefix(made.path()).expect("under"));
        let mut bytes = fs_err::read(&damaged).expect("read");
        if bytes.is_empty() {
            bytes.push(7);
        } else if random.below(3) == 0 {
            bytes.truncate(random.below(bytes.len()));
        } else {
            let at = random.below(bytes.len());
            bytes[at] ^= 1 << random.below(8);
        }
        fs_err::write(&damaged, &bytes).expect("written");
        let access = if round % 2 == 0 { Access::Read } else { writing() };
        let what = format!("round {round}, {}, {access:?}", damaged.display());
        match check(dir.path(), access, &oracle, &mut random, &what) {
            Err(e) => {
                refused += 1;
                assert!(!e.to_string().is_empty(), "{what}");
            }
            Ok(0) => right += 1,
            Ok(_) => reported += 1,
        }
    }
    println!("{refused} refused, {reported} answered with vectors reported missing, {right} right");
    assert!(refused > 5 && reported > 5 && right > 5, "{refused} {reported} {right}");
}

/// Asks everything; `Ok` has the number of vectors that are reported missing.
fn check(
    dir: &Path,
    access: Access,
    oracle: &MemoryStore,
    random: &mut Random,
    what: &str,
) -> Result<usize, StoreError> {
    let store = LocalStore::open_with(dir, &space(), access, options())?;
    let report = store.verify()?;
    let items: Vec<Item> = store.scan(None, usize::MAX, &Filter::default())?;
    let expected = oracle.scan(None, usize::MAX, &Filter::default())?;
    assert_eq!(items, expected, "{what}");
    let ids: Vec<_> = items.iter().map(|item| item.id).collect();
    assert_eq!(store.items(&ids)?.into_iter().flatten().collect::<Vec<_>>(), items, "{what}");
    assert_eq!(store.count(&Filter::default())?, ids.len() as u64, "{what}");
    let missing: Vec<_> = ids
        .iter()
        .zip(store.embeddings(&ids)?)
        .filter(|(_, e)| e.is_none())
        .map(|(id, _)| *id)
        .collect();
    let mut bad = report.bad_vectors.clone();
    bad.sort();
    assert_eq!(missing, bad, "what is missing is reported: {what}");

    for exact in [true, false] {
        let vector = Some(random.embedding(&space()));
        let query = Query { vector, k: 1000, exact, ..Query::default() };
        let right: Vec<_> =
            oracle.search(&query)?.into_iter().filter(|h| !bad.contains(&h.id)).collect();
        assert_eq!(store.search(&query)?, right, "{what}");
        let top = Query { k: 3, ..query };
        for hit in store.search(&top)? {
            assert!(right.contains(&hit), "a hit that is none: {what}");
        }
    }
    for words in ["red", "dog sea", "cafe"] {
        let query = Query { words: Some(words.into()), k: 1000, ..Query::default() };
        let [mut found, mut right] = [store.search(&query)?, oracle.search(&query)?]
            .map(|hits| hits.iter().map(|h| h.id).collect::<Vec<_>>());
        found.sort();
        right.sort();
        assert_eq!(found, right, "words {words:?}: {what}");
    }
    Ok(missing.len())
}
