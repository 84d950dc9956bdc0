//! No half batch is ever seen by a reader in another process, also when the writer is killed.
//!
//! The child is this very test binary, told by a variable to be a writer.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ekphrasis_index::conformance::{Random, record, space};
use ekphrasis_index::{Access, Filter, Query, Record, StoreRead, StoreWrite};

use crate::{open, writing};

const VARIABLE: &str = "EKPHRASIS_TEST_WRITER";
const BATCH: usize = 6;
const NAMES: usize = 90;

/// The `n`-th batch of a history: what to write, and which names to forget before.
fn batch(n: usize) -> (Vec<Record>, Vec<usize>) {
    let mut random = Random(n as u64);
    let start = random.below(NAMES / BATCH) * BATCH;
    let records = (start..start + BATCH).map(|name| record(&mut random, name)).collect();
    let gone = if n.is_multiple_of(3) {
        (0..BATCH).map(|i| (start + BATCH + i) % NAMES).collect()
    } else {
        vec![]
    };
    (records, gone)
}

fn apply(store: &dyn StoreWrite, n: usize) {
    let (records, gone) = batch(n);
    store.upsert(&records).expect("written");
    let ids: Vec<_> = gone.iter().map(|&name| record(&mut Random(0), name).item.id).collect();
    store.delete(&ids).expect("deleted");
}

/// Writes batch after batch from the given one on until killed. A test only in form.
#[test]
fn writer() {
    #[expect(clippy::disallowed_methods, reason = "how the parent test tells the child what it is")]
    let Some(task) = std::env::var_os(VARIABLE) else { return };
    let task = task.into_string().expect("text");
    let (from, dir) = task.split_once(':').expect("number and folder");
    let store = open(Path::new(dir), writing()).expect("opened");
    let mut out = std::io::stdout();
    for n in from.parse().expect("a number").. {
        apply(&store, n);
        writeln!(out, "\ndone {n}").and_then(|()| out.flush()).expect("said");
    }
}

fn start(dir: &Path, from: usize) -> std::process::Child {
    Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", "crash::writer", "--nocapture", "--test-threads", "1"])
        .env(VARIABLE, format!("{from}:{}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started")
}

/// Reads what the child says until it ends; the number after the last batch it said was done.
fn drain(child: &mut std::process::Child, from: usize) -> usize {
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let said = out.lines().map_while(Result::ok);
    said.filter_map(|l| l.strip_prefix("done ")?.parse::<usize>().ok())
        .last()
        .map_or(from, |n| n + 1)
}

#[test]
fn a_reader_sees_whole_batches_only() {
    let dir = tempfile::tempdir().expect("tempdir");
    drop(open(dir.path(), writing()).expect("made"));
    let mut child = start(dir.path(), 0);
    let store = open(dir.path(), Access::Read).expect("opened");
    let (mut looks, mut random, begin) = (0, Random(3), Instant::now());
    while begin.elapsed() < Duration::from_secs(2) {
        let count = store.count(&Filter::default()).expect("read");
        let items = store.scan(None, usize::MAX, &Filter::default()).expect("read");
        let query = Query { vector: Some(random.embedding(&space())), k: 1000, ..Query::default() };
        let hits = store.search(&query).expect("read");
        for seen in [count as usize, items.len(), hits.len()] {
            assert!(seen.is_multiple_of(BATCH), "{seen} is no number of whole batches");
        }
        let words = Query { words: Some("red dog sea".into()), vector: None, ..query };
        store.search(&words).expect("read");
        looks += 1;
    }
    child.kill().expect("killed");
    let written = drain(&mut child, 0);
    child.wait().expect("reaped");
    println!("{looks} looks while {written} batches were written");
    assert!(looks > 5 && written > 5, "{looks} looks, {written} batches");
    assert!(store.seq() as usize >= written);
}
