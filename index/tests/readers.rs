//! A writer at full speed and eight readers: every answer is the whole answer of one state.
//!
//! The long form, which also says how long answers take:
//! `cargo test --release -p ekphrasis-index --test store readers -- --ignored --nocapture`

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ekphrasis_embed::{Embedding, Space};
use ekphrasis_index::conformance::{Random, cosine};
use ekphrasis_index::{
    Access, Hit, Item, ItemId, LocalStore, Options, Query, Record, StoreRead, StoreWrite,
};

use crate::writing;

const WORDS: [&str; 7] = ["zebra", "lion", "otter", "heron", "lynx", "gecko", "bison"];
const MOVING: usize = 40;
const QUERIES: usize = 8;

/// What is in the store as of every version: items that stay, and items that all
/// change with every commit.
struct World {
    space: Space,
    fixed: Vec<Record>,
    queries: Vec<Embedding>,
    /// For each query the fixed items, the best first.
    rankings: Vec<Vec<(f32, ItemId)>>,
}

fn vector(space: &Space, seed: u64) -> Embedding {
    let mut random = Random(seed);
    let number = |_| (random.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    Embedding::new(space, (0..space.dim()).map(number).collect()).expect("has a direction")
}

fn item(name: &str, text: &str) -> Item {
    let id = ItemId::for_text(name);
    Item { id, ..Item::of_text(text) }
}

fn sort(ranking: &mut [(f32, ItemId)]) {
    ranking.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
}

impl World {
    fn new(dim: usize, fixed: usize) -> Self {
        let space = Space::new("readers", dim).expect("valid");
        let record = |i: usize| {
            let name = format!("fixed {i}");
            Record { item: item(&name, "tree"), embedding: vector(&space, 1000 + i as u64) }
        };
        let fixed: Vec<_> = (0..fixed).map(record).collect();
        let queries: Vec<_> = (0..QUERIES).map(|q| vector(&space, q as u64)).collect();
        let rankings = queries.iter().map(|query| {
            let mut ranking: Vec<_> =
                fixed.iter().map(|r| (cosine(query, &r.embedding), r.item.id)).collect();
            sort(&mut ranking);
            ranking
        });
        let rankings = rankings.collect();
        Self { space, fixed, queries, rankings }
    }

    fn moving(&self, version: u64) -> Vec<Record> {
        let record = |i: usize| Record {
            item: item(&format!("moving {i}"), WORDS[(i + version as usize) % WORDS.len()]),
            embedding: vector(&self.space, (version << 20) + i as u64),
        };
        (0..MOVING).map(record).collect()
    }

    /// The nearest `k` to a query as of a version.
    fn nearest(&self, version: u64, query: usize, k: usize) -> Vec<(f32, ItemId)> {
        let mut ranking = self.rankings[query][..k.min(self.fixed.len())].to_vec();
        let moving = self.moving(version);
        ranking
            .extend(moving.iter().map(|r| (cosine(&self.queries[query], &r.embedding), r.item.id)));
        sort(&mut ranking);
        ranking.truncate(k);
        ranking
    }

    fn having(&self, version: u64, word: usize) -> Vec<ItemId> {
        let with = |(i, _): &(usize, Record)| (i + version as usize) % WORDS.len() == word;
        let mut ids: Vec<_> = self
            .moving(version)
            .into_iter()
            .enumerate()
            .filter(with)
            .map(|m| m.1.item.id)
            .collect();
        ids.sort();
        ids
    }
}

/// Asks one question and checks that the answer is that of one version written by
/// now, and not of one before `least`.
fn ask(world: &World, store: &LocalStore, random: &mut Random, newest: &AtomicU64) -> usize {
    let least = newest.load(Ordering::Acquire);
    let (q, word, k) = (random.below(QUERIES), random.below(WORDS.len()), 1 + random.below(30));
    let kind = random.below(3);
    let vector = (kind != 1).then(|| world.queries[q].clone());
    let words = (kind != 0).then(|| WORDS[word].to_owned());
    let all = MOVING + world.fixed.len();
    let query = Query { vector, words, k: if kind == 0 { k } else { all }, ..Query::default() };
    let hits = store.search(&Query { exact: true, ..query }).expect("searched");
    // The commit in flight may be there before its writer says so.
    let most = newest.load(Ordering::Acquire) + 1;
    let ids = |hits: &[Hit]| {
        let mut ids: Vec<_> = hits.iter().map(|h| h.id).collect();
        ids.sort();
        ids
    };
    let right = (least..=most).any(|version| match kind {
        0 => {
            let found: Vec<_> = hits.iter().map(|h| (h.score, h.id)).collect();
            found == world.nearest(version, q, k)
        }
        1 => ids(&hits) == world.having(version, word),
        _ => {
            let mut found: Vec<_> =
                hits.iter().map(|h| (h.cosine.expect("has a vector"), h.id)).collect();
            sort(&mut found);
            let by_words: Vec<_> = hits.iter().filter(|h| h.bm25.is_some()).cloned().collect();
            found == world.nearest(version, q, all) && ids(&by_words) == world.having(version, word)
        }
    });
    assert!(
        right,
        "kind {kind}, query {q}, word {word}, k {k}: of no version {least}..={most}: {hits:?}"
    );
    kind
}

/// How many commits were made, and how long each kind of question took.
fn run(dir: &Path, world: &World, time: Duration) -> (u64, [Vec<Duration>; 3]) {
    let mut options = Options::default();
    options.compact_from = 20 * MOVING;
    options.graph_from = usize::MAX;
    let store = LocalStore::open_with(dir, &world.space, writing(), options).expect("made");
    for part in world.fixed.chunks(1000) {
        store.upsert(part).expect("written");
    }
    store.upsert(&world.moving(0)).expect("written");
    let (stop, newest, store) = (AtomicBool::new(false), AtomicU64::new(0), &store);
    let mut times: [Vec<Duration>; 3] = Default::default();
    let versions = std::thread::scope(|scope| {
        let (stop, newest) = (&stop, &newest);
        let writer = scope.spawn(move || {
            for version in 1.. {
                if stop.load(Ordering::Relaxed) {
                    return version;
                }
                store.upsert(&world.moving(version)).expect("written");
                newest.store(version, Ordering::Release);
            }
            0
        });
        let readers: Vec<_> = (0..8)
            .map(|r| {
                scope.spawn(move || {
                    // Half of them as other processes read, half on the writer's own store.
                    let own = LocalStore::open(dir, &world.space, Access::Read).expect("opened");
                    let store = if r % 2 == 0 { &own } else { store };
                    let (mut random, mut times) = (Random(r), <[Vec<Duration>; 3]>::default());
                    while !stop.load(Ordering::Relaxed) {
                        let begin = Instant::now();
                        let kind = ask(world, store, &mut random, newest);
                        times[kind].push(begin.elapsed());
                    }
                    times
                })
            })
            .collect();
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
        for reader in readers {
            for (all, own) in times.iter_mut().zip(reader.join().expect("every answer was right")) {
                all.extend(own);
            }
        }
        writer.join().expect("wrote")
    });
    assert!(versions > 3, "{versions}");
    store.settle();
    assert!(store.verify().expect("checked").is_sound());
    (versions, times)
}

#[test]
fn readers_see_whole_states_while_a_writer_writes() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (versions, times) = run(dir.path(), &World::new(16, 200), Duration::from_secs(2));
    println!("{versions} commits of {MOVING} items");
    for (kind, times) in ["vector", "words", "both"].iter().zip(times) {
        println!("{kind}: {} answers", times.len());
        assert!(times.len() > 10, "{kind}: {}", times.len());
    }
}

#[test]
#[ignore = "the long form, half a minute: says how long answers take"]
fn readers_long() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (versions, times) = run(dir.path(), &World::new(384, 20_000), Duration::from_secs(30));
    println!("{versions} commits of {MOVING} items");
    for (kind, mut times) in ["vector", "words", "both"].iter().zip(times) {
        times.sort();
        let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e3;
        println!(
            "{kind}: {} answers, median {:.1} ms, p99 {:.1} ms, longest {:.1} ms (checking included)",
            times.len(),
            at(0.5),
            at(0.99),
            at(0.999_999),
        );
    }
}
