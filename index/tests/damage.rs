//! Truncated and flipped files: a clear error or a right answer, never a wrong one.

use std::io::Write;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use ekphrasis_index::conformance::{Random, agrees, expression, record, space};
use ekphrasis_index::{
    Access, Filter, Item, LocalStore, MemoryStore, Options, Query, StoreError, StoreRead,
    StoreWrite,
};

use crate::files::{asked, copy, files, scratch};
use crate::writing;

fn options() -> Options {
    let mut options = Options::default();
    options.graph_from = 64;
    options.graph_tail = 10;
    options.graph_work = 0;
    options.heads_from = 20;
    // Row numbers are what the tests reckon with.
    options.compact_from = usize::MAX;
    options
}

/// Ends the process, and says where, if a case takes longer than any should.
struct Watchdog(mpsc::Sender<String>);

impl Watchdog {
    fn start() -> Self {
        let (tell, told) = mpsc::channel::<String>();
        std::thread::spawn(move || {
            let mut case = String::new();
            loop {
                match told.recv_timeout(Duration::from_secs(120)) {
                    Ok(next) => case = next,
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                    Err(mpsc::RecvTimeoutError::Timeout) => {
                        // Not by `eprintln`, which a test that hangs would keep for itself.
                        let _ = writeln!(std::io::stderr(), "this hangs: {case}");
                        std::process::abort();
                    }
                }
            }
        });
        Self(tell)
    }
}

/// The long form: `EK_TEST_DAMAGES=2000 cargo test -p ekphrasis-index --test store damage`
#[test]
fn damage_is_never_answered_wrongly() {
    let seed = asked("EK_TEST_SEED", 20_261_124);
    let rounds = asked("EK_TEST_DAMAGES", 100);
    println!("seed {seed}, {rounds} rounds");
    let mut random = Random(seed);
    let [made, killed] = [scratch(), scratch()];
    let oracle = MemoryStore::new(&space());
    let open = || LocalStore::open_with(made.path(), &space(), writing(), options());
    let mut store = open().expect("made");
    for part in 0..6 {
        let batch: Vec<_> = (0..50).map(|_| random.below(120)).collect();
        let batch: Vec<_> = batch.into_iter().map(|name| record(&mut random, name)).collect();
        store.upsert(&batch).expect("written");
        oracle.upsert(&batch).expect("written");
        store.settle();
        if part == 3 {
            // Part of it lies in the database, part in the log.
            drop(store);
            store = open().expect("opened");
        }
    }
    // Copied while it is open, the files are those of a killed process.
    copy(made.path(), killed.path());
    drop(store);
    let (mut refused, mut warned, mut reported, mut right) = (0, 0, 0, 0);
    let watchdog = Watchdog::start();
    for round in 0..rounds {
        let from = if round % 3 == 0 { killed.path() } else { made.path() };
        let all = files(from);
        let name = |file: &Path| file.strip_prefix(from).expect("under").display().to_string();
        let names: Vec<_> = all.iter().map(|file| name(file)).collect();
        if round < 3 {
            println!("{names:?}");
            for part in ["catalogue.db", "vectors-", "graph-", "heads-", "text-"] {
                assert!(names.iter().any(|n| n.starts_with(part)), "no {part} in {names:?}");
            }
        }
        // The big ones as often as the many small ones of the word index.
        let big = ["catalogue.db", "vectors-", "catalogue.db-wal", "heads-", "graph-"];
        let file = match big.get(random.below(8)) {
            Some(part) => all.iter().find(|f| name(f).starts_with(part)),
            None => None,
        };
        let file = file.unwrap_or(&all[random.below(all.len())]);
        let dir = scratch();
        copy(from, dir.path());
        let damaged = dir.path().join(name(file));
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
        let access = if random.below(2) == 0 { Access::Read } else { writing() };
        let what = format!("seed {seed}, round {round}, {}, {access:?}", damaged.display());
        watchdog.0.send(what.clone()).expect("it listens");
        let again = scratch();
        copy(dir.path(), again.path());
        let opened = LocalStore::open_with(again.path(), &space(), access.clone(), options());
        let derived = ["text-", "graph-", "heads-", "commit.mark", "writer.lock"];
        if derived.iter().any(|part| name(file).starts_with(part)) {
            assert!(opened.is_ok(), "what can be made anew never stops anyone: {what}");
        }
        let newest = match opened {
            Ok(store) if name(file).ends_with("-wal") && !store.warnings().is_empty() => {
                assert!(store.seq() < oracle.seq(), "{what}");
                None
            }
            _ => Some(check(dir.path(), access, &oracle, &mut random, &what)),
        };
        match newest {
            None => warned += 1,
            Some(Err(e)) => {
                refused += 1;
                assert!(!e.to_string().is_empty(), "{what}");
            }
            Some(Ok(0)) => right += 1,
            Some(Ok(_)) => reported += 1,
        }
    }
    println!(
        "{refused} refused, {warned} warned, {reported} answered with vectors reported missing, {right} right"
    );
    assert!(refused > 2 && reported > 2 && right > 5, "{refused} {warned} {reported} {right}");
}

#[test]
fn a_damaged_vector_is_named_and_heals_when_written_again() {
    let seed = 20_261_125;
    println!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().expect("tempdir");
    let records: Vec<_> = (0..40).map(|name| record(&mut random, name)).collect();
    let open = || LocalStore::open(dir.path(), &space(), writing()).expect("opened");
    let store = open();
    store.upsert(&records).expect("written");
    assert_eq!(store.damaged().expect("read"), []);
    drop(store);
    // One byte of row 5 changes, and the last two rows and a bit are cut off.
    let path = dir.path().join("vectors-0001.ekv");
    let mut bytes = fs_err::read(&path).expect("read");
    let stride = space().dim() * 4 + 16 + 4;
    bytes[256 + 5 * stride + 3] ^= 0x40;
    bytes.truncate(bytes.len() - 2 * stride - 1);
    fs_err::write(&path, &bytes).expect("written");

    let store = open();
    let bad = [5, 37, 38, 39].map(|i: usize| &records[i]);
    assert_eq!(store.damaged().expect("read"), bad.map(|r| r.item.id));
    let finds = |store: &LocalStore, i: usize| {
        let vector = Some(records[i].embedding.clone());
        let query = Query { vector, k: 40, exact: true, ..Query::default() };
        let hits = store.search(&query).expect("read");
        hits.iter().any(|h| h.id == records[i].item.id && h.cosine > Some(0.9999))
    };
    for i in 0..40 {
        assert_eq!(finds(&store, i), ![5, 37, 38, 39].contains(&i), "item {i}");
    }
    store.upsert(&bad.map(Clone::clone)).expect("written again");
    for round in 0..2 {
        let store = if round == 0 {
            &store
        } else {
            &LocalStore::open(dir.path(), &space(), Access::Read).expect("opened")
        };
        assert_eq!(store.damaged().expect("read"), []);
        assert!((0..40).all(|i| finds(store, i)), "all are found, round {round}");
        assert!(store.verify().expect("read").is_sound());
    }
    drop(store);
    assert_eq!(open().damaged().expect("read"), [], "opened again");
}

#[test]
fn a_damaged_log_is_never_silently_shortened() {
    let seed = 20_261_126;
    println!("seed {seed}");
    let mut random = Random(seed);
    let made = tempfile::tempdir().expect("tempdir");
    let image = tempfile::tempdir().expect("tempdir");
    let oracle = MemoryStore::new(&space());
    let open = || LocalStore::open(made.path(), &space(), writing()).expect("opened");
    let mut store = open();
    for start in [0, 20, 40, 30, 0] {
        if start == 40 {
            // Closing moves the log into the database, so both hold something.
            drop(store);
            store = open();
        }
        let batch: Vec<_> = (start..start + 25).map(|name| record(&mut random, name)).collect();
        store.upsert(&batch).expect("written");
        oracle.upsert(&batch).expect("written");
    }
    // Copied while it is open, the files are those of a killed process: a log full of commits.
    copy(made.path(), image.path());
    drop(store);
    let log = fs_err::read(image.path().join("catalogue.db-wal")).expect("there is a log");
    assert!(log.len() > 50_000, "{}", log.len());
    let (mut warned, mut refused, mut right) = (0, 0, 0);
    for round in 0..60 {
        let dir = tempfile::tempdir().expect("tempdir");
        copy(image.path(), dir.path());
        let mut bytes = log.clone();
        match round {
            0 => {}
            1 => bytes.clear(),
            _ if round % 4 == 0 => bytes.truncate(random.below(log.len())),
            _ => bytes[random.below(log.len())] ^= 1 << random.below(8),
        }
        fs_err::write(dir.path().join("catalogue.db-wal"), &bytes).expect("written");
        let access = if round % 2 == 0 { Access::Read } else { writing() };
        let what = format!("round {round}, {access:?}");
        let store = match LocalStore::open(dir.path(), &space(), access.clone()) {
            Ok(store) => store,
            Err(e) => {
                refused += 1;
                assert!(round > 0 && !e.to_string().is_empty(), "{what}: {e}");
                continue;
            }
        };
        if let [warning] = &store.warnings()[..] {
            warned += 1;
            assert!(round > 0 && warning.contains("has lost changes"), "{warning}");
            assert!(store.seq() < oracle.seq(), "{what}: {warning}");
            assert!(store.verify().expect("read").problems.contains(warning), "{what}");
        } else {
            right += 1;
            drop(store);
            let missing = check(dir.path(), access, &oracle, &mut random, &what);
            assert_eq!(missing.expect("opened before"), 0, "{what}");
        }
    }
    println!("{refused} refused, {warned} warned, {right} right");
    assert!(warned > 20 && right >= 1, "{refused} {warned} {right}");
}

/// Files that are made anew may be left of a past that was lost, under numbers
/// that are given again.
#[test]
fn a_graph_or_words_of_another_past_are_not_believed() {
    let seed = 20_261_127;
    println!("seed {seed}");
    let mut random = Random(seed);
    let (dir, lost) =
        (tempfile::tempdir().expect("tempdir"), tempfile::tempdir().expect("tempdir"));
    let oracle = MemoryStore::new(&space());
    let open = |dir: &Path, access| {
        LocalStore::open_with(dir, &space(), access, options()).expect("opened")
    };
    let first: Vec<_> = (0..70).map(|name| record(&mut random, name)).collect();
    open(dir.path(), writing()).upsert(&first).expect("written");
    oracle.upsert(&first).expect("written");
    copy(dir.path(), lost.path());
    let store = open(lost.path(), writing());
    let more: Vec<_> = (50..120).map(|name| record(&mut random, name)).collect();
    store.upsert(&more).expect("written");
    store.settle();
    drop(store);
    fs_err::copy(lost.path().join("graph-0001.ekg"), dir.path().join("graph-0001.ekg"))
        .expect("copied");
    copy(&lost.path().join("text-0001"), &dir.path().join("text-0001"));
    for access in [Access::Read, writing()] {
        let mut random = Random(seed);
        let store = open(dir.path(), access);
        assert_eq!(store.warnings().len(), 1, "{:?}", store.warnings());
        store.settle();
        agrees(&store, &oracle, &mut random);
    }
    // As many commits and rows as in the lost past, but others.
    let store = open(dir.path(), writing());
    let more: Vec<_> = (30..100).map(|name| record(&mut random, name)).collect();
    store.upsert(&more).expect("written");
    oracle.upsert(&more).expect("written");
    drop(store);
    fs_err::copy(lost.path().join("graph-0001.ekg"), dir.path().join("graph-0001.ekg"))
        .expect("copied");
    let store = open(dir.path(), Access::Read);
    assert!(store.describe_vector_index().starts_with("exact"), "the last row is another");
    assert_eq!(store.warnings(), [""; 0]);
    agrees(&store, &oracle, &mut random);
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
    // Before anything else looks for damage.
    for _ in 0..3 {
        let filter: Filter = expression(random).into();
        let right = oracle.scan(None, usize::MAX, &filter)?;
        let shown = filter.expr.as_ref().map(ToString::to_string);
        assert_eq!(store.count(&filter)?, right.len() as u64, "{shown:?}: {what}");
        assert_eq!(store.scan(None, usize::MAX, &filter)?, right, "{shown:?}: {what}");
    }
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
