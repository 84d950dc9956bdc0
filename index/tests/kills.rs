//! What was acknowledged survives `kill -9` at any point of writing, deleting and
//! compacting, nothing else is there, and both projections agree with an exact oracle.
//!
//! The child is this very test binary, told by a variable to be a writer. The long form:
//! `EK_TEST_KILLS=500 cargo test -p ekphrasis-index --test store kills -- --nocapture`
//! (`EK_TEST_SEED=N` repeats a history; when it is cut varies all the same).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ekphrasis_index::conformance::{Random, agrees, record, space};
use ekphrasis_index::{
    Access, Filter, ItemId, LocalStore, MemoryStore, Options, Query, Record, StoreRead, StoreWrite,
};

use crate::files::{asked, scratch};
use crate::writing;

const VARIABLE: &str = "EKPHRASIS_TEST_KILLED";
const NAMES: usize = 160;

/// One call of a history. Each is one commit, or none.
#[derive(Clone, Copy, Debug)]
enum Call {
    Upsert,
    Captioned,
    Delete,
    Compact,
    Words,
}

impl Call {
    fn of(random: &mut Random) -> Self {
        match random.below(20) {
            0..9 => Self::Upsert,
            9..12 => Self::Captioned,
            12..16 => Self::Delete,
            16..18 => Self::Compact,
            _ => Self::Words,
        }
    }
}

fn random_of(seed: u64, n: usize) -> Random {
    Random(Random(seed).bits() ^ n as u64)
}

fn names(random: &mut Random, most: usize) -> Vec<usize> {
    let start = random.below(NAMES);
    (0..1 + random.below(most)).map(|i| (start + i * 3) % NAMES).collect()
}

fn id(name: usize) -> ItemId {
    record(&mut Random(0), name).item.id
}

/// Pictures, each with captions out of a few texts (odd names are texts).
fn captioned(random: &mut Random) -> (Vec<Record>, Vec<(ItemId, Vec<Record>)>) {
    let owners = [2 * random.below(NAMES / 2), 2 * random.below(NAMES / 2)];
    let records: Vec<_> = owners.iter().map(|&name| record(random, name)).collect();
    let captions = owners.iter().map(|&owner| {
        let texts = (0..random.below(3)).map(|_| 1 + 2 * random.below(12)).collect::<BTreeSet<_>>();
        (id(owner), texts.into_iter().map(|name| record(random, NAMES + name)).collect())
    });
    let captions = captions.collect();
    (records, captions)
}

fn options() -> Options {
    let mut options = Options::default();
    (options.graph_from, options.graph_tail, options.graph_threads) = (40, 10, 1);
    (options.compact_from, options.heads_from) = (60, 20);
    options
}

fn make(store: &LocalStore, seed: u64, n: usize) {
    let mut random = random_of(seed, n);
    match Call::of(&mut random) {
        Call::Upsert => {
            let records: Vec<_> =
                names(&mut random, 9).iter().map(|&name| record(&mut random, name)).collect();
            store.upsert(&records).expect("written");
        }
        Call::Captioned => {
            let (records, captions) = captioned(&mut random);
            store.upsert_captioned(&records, &captions).expect("written");
        }
        Call::Delete => {
            let ids: Vec<_> = names(&mut random, 9).into_iter().map(id).collect();
            store.delete(&ids).expect("deleted");
        }
        Call::Compact => _ = store.compact().expect("compacted"),
        Call::Words => {
            let query = Query { words: Some("red".into()), k: 3, ..Query::default() };
            store.search(&query).expect("searched");
        }
    }
}

/// What has to be there, by the plainest rules.
#[derive(Clone, Default)]
struct Model {
    records: BTreeMap<ItemId, Record>,
    captions: BTreeMap<ItemId, BTreeSet<ItemId>>,
    standalone: BTreeSet<ItemId>,
}

impl Model {
    fn make(&mut self, seed: u64, n: usize) {
        let mut random = random_of(seed, n);
        match Call::of(&mut random) {
            Call::Upsert => {
                for name in names(&mut random, 9) {
                    self.put(record(&mut random, name), true);
                }
            }
            Call::Captioned => {
                let (records, captions) = captioned(&mut random);
                for record in records {
                    self.put(record, true);
                }
                for (_, texts) in &captions {
                    for text in texts {
                        self.put(text.clone(), false);
                    }
                }
                for (owner, texts) in captions {
                    self.captions.insert(owner, texts.iter().map(|t| t.item.id).collect());
                }
                self.let_go();
            }
            Call::Delete => {
                for id in names(&mut random, 9).into_iter().map(id) {
                    self.records.remove(&id);
                    self.standalone.remove(&id);
                    self.captions.remove(&id);
                    self.captions.values_mut().for_each(|texts| _ = texts.remove(&id));
                }
                self.let_go();
            }
            Call::Compact | Call::Words => {}
        }
    }

    fn put(&mut self, record: Record, standalone: bool) {
        if standalone {
            self.standalone.insert(record.item.id);
        }
        self.records.insert(record.item.id, record);
    }

    /// Texts that are nobody's caption any more go, unless they stand alone.
    fn let_go(&mut self) {
        let owned: BTreeSet<_> = self.captions.values().flatten().copied().collect();
        self.records.retain(|id, _| self.standalone.contains(id) || owned.contains(id));
    }

    fn store(&self) -> MemoryStore {
        let store = MemoryStore::new(&space());
        store.upsert(&self.records.values().cloned().collect::<Vec<_>>()).expect("written");
        store
    }

    fn is(&self, store: &LocalStore) -> bool {
        let items = store.scan(None, usize::MAX, &Filter::default()).expect("read");
        let ids: Vec<_> = items.iter().map(|item| item.id).collect();
        let vectors = store.embeddings(&ids).expect("read");
        items.iter().eq(self.records.values().map(|r| &r.item))
            && vectors.iter().flatten().eq(self.records.values().map(|r| &r.embedding))
            && self.records.keys().all(|&owner| {
                let texts = self.captions.get(&owner).into_iter().flatten().copied();
                store.captions(owner).expect("read").into_iter().eq(texts)
            })
    }
}

/// Makes call after call from the given one on until killed. A test only in form.
#[test]
fn killed_writer() {
    #[expect(clippy::disallowed_methods, reason = "how the parent test tells the child what it is")]
    let Some(task) = std::env::var_os(VARIABLE) else { return };
    let task = task.into_string().expect("text");
    let mut parts = task.splitn(3, ':');
    let mut number = || parts.next().expect("a part").parse::<u64>().expect("a number");
    let (seed, from) = (number(), number());
    let dir = parts.next().expect("a folder");
    let store = LocalStore::open_with(Path::new(dir), &space(), writing(), options());
    let (store, mut out) = (store.expect("opened"), std::io::stdout());
    for n in from as usize.. {
        make(&store, seed, n);
        writeln!(out, "\ndone {n}").and_then(|()| out.flush()).expect("said");
    }
}

fn start(dir: &Path, seed: u64, from: usize) -> Child {
    Command::new(std::env::current_exe().expect("known"))
        .args(["--exact", "kills::killed_writer", "--nocapture", "--test-threads", "1"])
        .env(VARIABLE, format!("{seed}:{from}:{}", dir.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("started")
}

/// Lets the child make some calls, kills it within or after the next, and says
/// how many were acknowledged in all.
fn kill(mut child: Child, from: usize, random: &mut Random) -> usize {
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let mut said = out.lines().map_while(Result::ok);
    let mut done = |calls: usize| {
        let numbers = said.by_ref().filter_map(|l| l.strip_prefix("done ")?.parse::<usize>().ok());
        numbers.take(calls).last()
    };
    // Now and then while it opens, what a kill before left included.
    let opening = random.below(6) == 0;
    let first = if opening { None } else { done(1 + random.below(40)) };
    let wait = if opening { random.below(60_000) } else { random.below(9_000) };
    std::thread::sleep(Duration::from_micros(wait as u64));
    child.kill().expect("killed");
    let last = done(usize::MAX).or(first);
    child.wait().expect("reaped");
    last.map_or(from, |n| n + 1)
}

#[test]
fn what_was_acknowledged_survives_kills() {
    let seed = asked("EK_TEST_SEED", u64::from(std::process::id()));
    let kills = asked("EK_TEST_KILLS", 25);
    println!("seed {seed}, {kills} kills");
    let mut random = Random(seed);
    let root = scratch();
    let dir = root.path().join("store");
    let (mut model, mut next, mut in_flight, mut found) = (Model::default(), 0, 0, [0, 0]);
    for round in 0..kills {
        let acknowledged = kill(start(&dir, seed, next), next, &mut random);
        for n in next..acknowledged {
            model.make(seed, n);
        }
        next = acknowledged;
        let what = format!("seed {seed}, round {round}, {next} calls");
        let open = |access| LocalStore::open_with(&dir, &space(), access, options());
        if let Ok(reader) = open(Access::Read) {
            // Before a writer makes anything sound.
            let mut after = model.clone();
            after.make(seed, next);
            let of = [&model, &after].into_iter().find(|m| m.is(&reader));
            agrees(&reader, &of.unwrap_or_else(|| panic!("{what}")).store(), &mut random);
        } else {
            assert_eq!(next, 0, "{what}: a store that was written is there");
        }
        let store = open(writing()).unwrap_or_else(|e| panic!("{what}: {e}"));
        // The call in flight is there whole, or nothing of it.
        if !model.is(&store) {
            model.make(seed, next);
            (next, in_flight) = (next + 1, in_flight + 1);
            assert!(model.is(&store), "{what}: neither without the call in flight nor with it");
        }
        assert_eq!(store.warnings(), [""; 0], "{what}");
        // Scores of words change a little with the rows, and rankings are compared with one another.
        store.settle();
        let oracle = model.store();
        agrees(&store, &oracle, &mut random);
        let report = store.verify().expect("checked");
        assert!(report.is_sound(), "{what}: {report:?}");
        for _ in 0..5 {
            let vector = Some(random.embedding(&space()));
            let query = Query { vector, k: 3, ..Query::default() };
            let (near, exact) = (store.search(&query), oracle.search(&query).expect("searched"));
            let near = near.expect("searched");
            assert_eq!(near.len(), exact.len(), "{what}");
            found[0] += near.iter().filter(|hit| exact.contains(hit)).count();
            found[1] += exact.len();
        }
    }
    let recall = f64::from(found[0] as u32) / f64::from(found[1].max(1) as u32);
    println!("{kills} kills: {next} calls made, {in_flight} of them in flight; recall {recall:.3}");
    assert!(next > 10 * kills as usize && recall >= 0.9, "{next} calls, recall {recall}");
}
