//! Does a store keep the contract of [`StoreRead`](crate::StoreRead) and
//! [`StoreWrite`]? Every implementation runs [`check_store`] in its tests.
//!
//! The checks panic with what is wrong, as tests do.

mod filters;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::PathBuf;

use ekphrasis_embed::{Embedding, Space};

use crate::{
    Balance, FileFacts, Filter, Item, ItemId, Kind, MemoryStore, Query, Record, StoreError,
    StoreWrite, reciprocal_rank_fusion,
};

pub use filters::expression;

/// A small deterministic generator (SplitMix64): a printed seed repeats a failure.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    /// A random direction; one in three comes from a palette of four, so that scores tie.
    pub fn embedding(&mut self, space: &Space) -> Embedding {
        let mut source = if self.below(3) == 0 { Self(self.bits() % 4) } else { Self(self.bits()) };
        let number = |_| (source.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        let values = (0..space.dim()).map(number).collect();
        Embedding::new(space, values).expect("a random vector has a direction")
    }
}

const WORDS: [&str; 12] = [
    "red",
    "bicycle",
    "Café",
    "sea",
    "mountains",
    "running",
    "dog",
    "night",
    "old",
    "town",
    "2019",
    "snow",
];

/// The space the stores under test are made for.
pub fn space() -> Space {
    Space::new("conformance", 8).expect("a valid name")
}

/// A record with random content; `name` makes its id, even names are pictures.
pub fn record(random: &mut Random, name: usize) -> Record {
    let mut words = |n: usize| (0..n).map(|_| WORDS[random.below(WORDS.len())]).collect::<Vec<_>>();
    let (text, tag, folder) = (words(3).join(" "), words(1)[0], words(1)[0]);
    let labels = words(1).into_iter().map(str::to_owned).filter(|label| label.len() > 4).collect();
    let item = if name.is_multiple_of(2) {
        let path = PathBuf::from(format!("/pictures/{folder}/img{name}.jpg"));
        Item {
            // The path varies, the item stays the same.
            id: ItemId::for_content(&name.to_le_bytes()),
            kind: Kind::Image,
            path: Some(path),
            text: name.is_multiple_of(4).then_some(text),
            tags: vec![tag.into()],
            labels,
            file: Some(FileFacts {
                size: name as u64 * 1000,
                mtime_ns: filters::second(random) * 1_000_000_000 - 1,
                content: [name as u8; 32],
                width: 3 * (1 + random.below(4)) as u32,
                height: 4 * (1 + random.below(4)) as u32,
                format: ["jpeg", "png"][random.below(2)].into(),
            }),
            facts: filters::facts(random),
        }
    } else {
        let id = ItemId::for_text(&name.to_string());
        let (kind, text) = (Kind::Text, Some(text));
        Item { id, kind, path: None, text, tags: vec![], labels, file: None, facts: None }
    };
    Record { item, embedding: random.embedding(&space()) }
}

/// The cosine of two embeddings of one space as every store here gives it, bit for bit.
pub fn cosine(a: &Embedding, b: &Embedding) -> f32 {
    crate::vector::cosine(a.values(), b.values())
}

/// Every kind, and some expressions.
fn filters(random: &mut Random) -> Vec<Filter> {
    let kinds = [None, Some(Kind::Image), Some(Kind::Text)];
    let mut filters = kinds.map(|kind| Filter { kind, expr: None }).to_vec();
    for _ in 0..4 {
        filters.push(expression(random).into());
    }
    filters.push(Filter { kind: kinds[random.below(3)], expr: Some(expression(random)) });
    filters
}

/// Checks that `make`, called for each check, makes empty stores of [`space`]
/// that keep the contract.
///
/// # Panics
/// If a store does not.
pub fn check_store(make: impl Fn() -> Box<dyn StoreWrite>) {
    empty(&*make());
    replacing(&*make());
    wrong_space(&*make());
    paging(&*make());
    odd_queries(&*make());
    for seed in [1, 2, 3] {
        let _seed = SayOnPanic(format!("conformance: random operations, seed {seed}"));
        random_operations(&*make(), &mut Random(seed));
    }
}

/// Says which seed a failure came from; silent otherwise.
struct SayOnPanic(String);

impl Drop for SayOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The assertion has already failed; a closed stderr must not hide it.
            let _ = writeln!(std::io::stderr(), "{}", self.0);
        }
    }
}

fn empty(store: &dyn StoreWrite) {
    let nobody = ItemId::for_text("nobody");
    assert_eq!(store.space(), &space());
    assert_eq!(store.seq(), 0);
    assert_eq!(store.upsert(&[]).expect("an empty batch is fine"), 0, "and changes nothing");
    assert_eq!(store.delete(&[]).expect("an empty batch is fine"), 0);
    assert_eq!(store.delete(&[nobody]).expect("unknown ids are fine"), 0);
    assert_eq!(store.items(&[nobody, nobody]).expect("read"), [None, None]);
    assert_eq!(store.embeddings(&[nobody]).expect("read"), [None]);
    for filter in filters(&mut Random(8)) {
        assert_eq!(store.count(&filter).expect("read"), 0);
        assert_eq!(store.scan(None, 10, &filter).expect("read"), []);
    }
    let vector = Some(Random(9).embedding(&space()));
    for (vector, words) in
        [(None, None), (vector.clone(), None), (None, Some("dog")), (vector, Some("dog"))]
    {
        let query = Query { vector, words: words.map(Into::into), k: 5, ..Query::default() };
        assert_eq!(store.search(&query).expect("read"), []);
    }
}

fn replacing(store: &dyn StoreWrite) {
    let mut random = Random(4);
    let [first, second, third] = [0, 0, 0].map(|name| record(&mut random, name));
    let other = record(&mut random, 1);
    let id = first.item.id;
    let one = store.upsert(std::slice::from_ref(&first)).expect("written");
    let two = store.upsert(&[second, other.clone(), third.clone()]).expect("written");
    assert!(two > one, "every commit has a greater number");
    assert_eq!(store.seq(), two);
    assert_eq!(store.count(&Filter::default()).expect("read"), 2, "one id is one item");
    let items = store.items(&[other.item.id, id, id]).expect("read");
    let third_item = Some(third.item.clone());
    assert_eq!(items, [Some(other.item.clone()), third_item.clone(), third_item], "the last wins");
    let query = Query { vector: Some(third.embedding), k: 10, ..Query::default() };
    let hits = store.search(&query).expect("read");
    assert_eq!(hits.len(), 2, "a replaced vector is not found again");
    assert_eq!(store.delete(&[id, id, ItemId::for_text("nobody")]).expect("deleted"), 1);
    assert_eq!(store.items(&[id]).expect("read"), [None]);
    assert_eq!(store.delete(&[id]).expect("deleted"), 0);
    store.upsert(std::slice::from_ref(&first)).expect("written again");
    assert_eq!(store.items(&[id]).expect("read"), [Some(first.item)]);
}

fn wrong_space(store: &dyn StoreWrite) {
    let mut random = Random(5);
    let good = record(&mut random, 0);
    let other = Space::new("other", space().dim()).expect("valid");
    let mut bad = record(&mut random, 1);
    bad.embedding = random.embedding(&other);
    let query = Query { vector: Some(bad.embedding.clone()), k: 0, ..Query::default() };
    let errors = [
        store.upsert(&[good, bad]).expect_err("a vector of another space"),
        store.search(&query).expect_err("a query of another space"),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::SpaceMismatch { .. }), "{error}");
        assert!(error.is_user_fault());
    }
    assert_eq!(store.count(&Filter::default()).expect("read"), 0, "nothing is written");
    assert_eq!(store.seq(), 0);
}

fn paging(store: &dyn StoreWrite) {
    let mut random = Random(6);
    let records: Vec<_> = (0..40).map(|name| record(&mut random, name)).collect();
    store.upsert(&records).expect("written");
    let vector = Some(random.embedding(&space()));
    let words = Some("red dog".to_owned());
    for filter in filters(&mut random) {
        for (vector, words) in
            [(vector.clone(), None), (None, words.clone()), (vector.clone(), words.clone())]
        {
            let query =
                Query { vector, words, k: 1000, filter: filter.clone(), ..Query::default() };
            let all = store.search(&query).expect("read");
            let mut paged = vec![];
            for offset in (0..all.len() + 7).step_by(7) {
                let page = Query { k: 7, offset, ..query.clone() };
                paged.extend(store.search(&page).expect("read"));
            }
            assert_eq!(paged, all, "pages are cut from one ranking");
        }
        let mut walked: Vec<Item> = vec![];
        loop {
            let after = walked.last().map(|item| item.id);
            let step = store.scan(after, 6, &filter).expect("read");
            if step.is_empty() {
                break;
            }
            assert!(step.len() <= 6);
            walked.extend(step);
        }
        let mut expected: Vec<_> =
            records.iter().filter(|r| filter.accepts(&r.item)).map(|r| r.item.clone()).collect();
        expected.sort_by_key(|item| item.id);
        assert_eq!(walked, expected, "walking sees everything once, by id");
    }
}

fn odd_queries(store: &dyn StoreWrite) {
    let mut random = Random(7);
    store.upsert(&[record(&mut random, 0), record(&mut random, 1)]).expect("written");
    for words in ["", " ", "\"foo AND (", "*:*", "a:b", "-", "[x TO", "\u{0}", "💡", "^~\\"] {
        let query = Query { words: Some(words.into()), k: 5, ..Query::default() };
        assert_eq!(store.search(&query).expect("no query is an error"), [], "{words:?}");
    }
    let query = Query {
        vector: Some(random.embedding(&space())),
        k: usize::MAX,
        offset: usize::MAX,
        ..Query::default()
    };
    assert_eq!(store.search(&query).expect("read"), []);
    assert_eq!(store.search(&Query { offset: 0, ..query }).expect("read").len(), 2);
}

fn random_operations(store: &dyn StoreWrite, random: &mut Random) {
    let oracle = MemoryStore::new(&space());
    for step in 0..30 {
        if random.below(4) > 0 {
            let batch: Vec<_> = (0..random.below(12)).map(|_| random.below(60)).collect::<Vec<_>>();
            let batch: Vec<_> = batch.into_iter().map(|name| record(random, name)).collect();
            assert_eq!(store.upsert(&batch).is_ok(), oracle.upsert(&batch).is_ok());
        } else {
            let names: Vec<_> = (0..random.below(8)).map(|_| random.below(60)).collect();
            let ids: Vec<_> =
                names.iter().map(|&name| record(&mut Random(0), name).item.id).collect();
            let deleted = [store.delete(&ids), oracle.delete(&ids)].map(|r| r.expect("deleted"));
            assert_eq!(deleted[0], deleted[1], "step {step}");
        }
        if step % 3 == 2 {
            agrees(store, &oracle, random);
        }
    }
}

/// Checks that `store` answers as `oracle` does, whose items it should hold.
///
/// # Panics
/// If it does not.
pub fn agrees(store: &dyn StoreWrite, oracle: &dyn StoreWrite, random: &mut Random) {
    let read = "readable";
    for filter in filters(random) {
        let shown = filter.expr.as_ref().map(ToString::to_string);
        let counts = [store, oracle].map(|s| s.count(&filter).expect(read));
        assert_eq!(counts[0], counts[1], "how many pass {shown:?}");
        let all = oracle.scan(None, usize::MAX, &filter).expect(read);
        assert_eq!(store.scan(None, usize::MAX, &filter).expect(read), all, "{shown:?}");
        let ids: Vec<_> = all.iter().map(|item| item.id).collect();
        let vectors = [store, oracle].map(|s| s.embeddings(&ids).expect(read));
        for (ours, theirs) in vectors[0].iter().zip(&vectors[1]) {
            let (ours, theirs) = (ours.as_ref().expect("there"), theirs.as_ref().expect("there"));
            assert!(ours.cosine(theirs).expect("same space") > 0.9999);
        }

        let k = 1 + random.below(80);
        let vector = Some(random.embedding(&space()));
        let by_vector =
            Query { vector, k, filter: filter.clone(), exact: true, ..Query::default() };
        let [found, expected] = [store, oracle].map(|s| s.search(&by_vector).expect(read));
        assert_eq!(found, expected, "the nearest of {shown:?}, ties by id");

        let words = (0..1 + random.below(2)).map(|_| WORDS[random.below(WORDS.len())]);
        let words = Some(words.collect::<Vec<_>>().join(" ").to_uppercase());
        let by_words = Query { vector: None, words, k: 1000, ..by_vector.clone() };
        let ranking = store.search(&by_words).expect(read);
        assert!(
            ranking.is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.id < b.id)),
            "by score, ties by id: {ranking:?}"
        );
        let ids = |hits: &[crate::Hit]| hits.iter().map(|h| h.id).collect::<Vec<_>>();
        let [mut found, mut expected] =
            [store, oracle].map(|s| ids(&s.search(&by_words).expect(read)));
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "who of {shown:?} has any of the words {:?}", by_words.words);

        let weights = [1.0, 0.25, 2.0];
        let [vector, words] = [0, 1].map(|_| weights[random.below(weights.len())]);
        let balance = Balance { vector, words };
        let both = Query { k: 1000, words: by_words.words, balance, ..by_vector };
        let nearest = store.search(&Query { words: None, ..both.clone() }).expect(read);
        let fused = reciprocal_rank_fusion(&[(&ids(&nearest), vector), (&ids(&ranking), words)]);
        let hits = store.search(&both).expect(read);
        let got: Vec<_> = hits.iter().map(|h| (h.id, h.score)).collect();
        assert_eq!(got, fused, "both rankings are fused by reciprocal rank");
        assert!(hits.iter().all(|h| h.cosine.is_some()));
    }
}

/// Checks that pages of a ranking that need not be of the nearest join without
/// gap or repetition, and that whoever is found is found with the true cosine.
///
/// # Panics
/// If they do not.
pub fn pages_by_the_graph(
    store: &dyn StoreWrite,
    oracle: &dyn StoreWrite,
    filter: &Filter,
    random: &mut Random,
) {
    let read = "readable";
    let vector = Some(random.embedding(&space()));
    let base = Query { vector, filter: filter.clone(), exact: false, ..Query::default() };
    let everyone = Query { k: usize::MAX, ..base.clone() };
    let everyone = oracle.search(&everyone).expect(read);
    let cosines: HashMap<ItemId, Option<f32>> =
        everyone.iter().map(|hit| (hit.id, hit.cosine)).collect();
    for size in [1, 7, 16] {
        let whole = store.search(&Query { k: 8 * size, ..base.clone() }).expect(read);
        let mut paged = vec![];
        for offset in (0..8 * size).step_by(size) {
            paged.extend(store.search(&Query { k: size, offset, ..base.clone() }).expect(read));
        }
        assert_eq!(paged.len(), (8 * size).min(everyone.len()), "no page has a gap");
        let different: HashSet<_> = paged.iter().map(|hit| hit.id).collect();
        assert_eq!(different.len(), paged.len(), "nobody comes twice, pages of {size}");
        assert!(
            whole.is_sorted_by(|a, b| a.score > b.score || (a.score == b.score && a.id < b.id)),
            "by score, ties by id"
        );
        for hit in paged.iter().chain(&whole) {
            assert_eq!(Some(&hit.cosine), cosines.get(&hit.id), "the cosine is the exact one");
            assert_eq!((Some(hit.score), hit.via_vector), (hit.cosine, true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Holder, LocalStore, Options, StoreRead};

    #[test]
    fn memory_store() {
        check_store(|| Box::new(MemoryStore::new(&space())));
    }

    #[test]
    fn local_store() {
        let parent = tempfile::tempdir().expect("tempdir");
        let count = std::cell::Cell::new(0);
        check_store(|| {
            count.set(count.get() + 1);
            let dir = parent.path().join(count.get().to_string());
            let access = Access::Write(Holder::default());
            Box::new(LocalStore::open(&dir, &space(), access).expect("made"))
        });
    }

    /// With a graph over nearly all items, everything holds but that its hits are the nearest.
    #[test]
    fn local_store_with_a_graph() {
        let parent = tempfile::tempdir().expect("tempdir");
        let seed = 11;
        println!("seed {seed}");
        let mut random = Random(seed);
        let options =
            Options { graph_from: 500, graph_tail: 100, graph_work: 0, ..Options::default() };
        let open = || {
            let access = Access::Write(Holder::default());
            LocalStore::open_with(parent.path(), &space(), access, options.clone()).expect("opened")
        };
        let store = open();
        let oracle = MemoryStore::new(&space());
        for batch in 0..6 {
            let records: Vec<_> =
                (batch * 150..batch * 150 + 200).map(|name| record(&mut random, name)).collect();
            store.upsert(&records).expect("written");
            oracle.upsert(&records).expect("written");
            store.settle();
        }
        let gone: Vec<_> = (0..50).map(|name| record(&mut Random(0), name).item.id).collect();
        assert_eq!(store.delete(&gone).expect("deleted"), oracle.delete(&gone).expect("deleted"));
        assert!(
            store.describe_vector_index().starts_with("graph over "),
            "{}",
            store.describe_vector_index()
        );
        agrees(&store, &oracle, &mut random);
        let recall = |store: &LocalStore, random: &mut Random| {
            let mut found = 0;
            for i in 0..100 {
                let kind = [None, Some(Kind::Image)][i % 2];
                let vector = Some(random.embedding(&space()));
                let filter = Filter { kind, expr: None };
                let query = Query { vector, k: 10, filter, ..Query::default() };
                let ids = |hits: Vec<crate::Hit>| hits.iter().map(|h| h.id).collect::<Vec<_>>();
                let exact = ids(oracle.search(&query).expect("read"));
                let near = ids(store.search(&query).expect("read"));
                assert_eq!(near.len(), 10);
                found += near.iter().filter(|id| exact.contains(id)).count();
            }
            found as f64 / 1000.0
        };
        for filter in filters(&mut random) {
            pages_by_the_graph(&store, &oracle, &filter, &mut random);
        }
        let before = recall(&store, &mut random);
        assert!(before >= 0.95, "recall {before}");
        drop(store);
        let store = open();
        assert!(store.describe_vector_index().starts_with("graph over "), "loaded from disk");
        let after = recall(&store, &mut random);
        println!("recall@10 {before}, after opening again {after}");
        assert!(after >= 0.95, "recall {after}");
    }
}
