//! Who is found, compared with a store in memory that compares everybody.

use std::time::{Duration, Instant};

use ekphrasis_embed::{Embedding, Space};
use ekphrasis_index::conformance::{Random, record, space};
use ekphrasis_index::elsewhere::cosine;
use ekphrasis_index::{Filter, Item, ItemId, MemoryStore, Query, Record, StoreRead, StoreWrite};
use ekphrasis_milvus::{MilvusStore, Open, Options};

use crate::{new_store, open, options};

/// A direction in a space of any width, near one of a few middles, as pictures of a few
/// kinds are.
fn clustered(random: &mut Random, space: &Space) -> Embedding {
    let middle = 1000 + random.below(20) as u64;
    let number = |own: &mut Random| (own.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
    let mut middle = Random(middle);
    let values = (0..space.dim()).map(|_| number(&mut middle) + 0.7 * number(random)).collect();
    Embedding::new(space, values).expect("a direction")
}

#[test]
fn the_nearest_are_found_by_the_graph() {
    let seed = 31;
    println!("seed {seed}");
    let mut random = Random(seed);
    let space = Space::new("graph", 64).expect("valid");
    let (store, oracle) = (new_store(&space), MemoryStore::new(&space));
    let records: Vec<_> = (0..2000)
        .map(|n| Record {
            item: Item::of_text(&n.to_string()),
            embedding: clustered(&mut random, &space),
        })
        .collect();
    let begun = Instant::now();
    for batch in records.chunks(1000) {
        store.upsert(batch).expect("written");
        oracle.upsert(batch).expect("written");
    }
    println!("{} items written in {:?}", records.len(), begun.elapsed());
    let (mut found, mut asked, mut took) = (0, 0, vec![]);
    for _ in 0..30 {
        let vector = clustered(&mut random, &space);
        let query = Query { vector: Some(vector), k: 10, ..Query::default() };
        let begun = Instant::now();
        let near = store.search(&query).expect("searched");
        took.push(begun.elapsed());
        let exact = oracle.search(&query).expect("searched");
        asked += exact.len();
        found += exact.iter().filter(|hit| near.iter().any(|n| n.id == hit.id)).count();
        for hit in &near {
            let own = &records.iter().find(|r| r.item.id == hit.id).expect("one of them").embedding;
            let exact = cosine(query.vector.as_ref().expect("a vector"), own);
            assert_eq!(hit.score, exact, "to the last bit");
        }
    }
    took.sort();
    let recall = f64::from(found as u32) / f64::from(asked as u32);
    println!("recall@10 {recall}, median {:?}", took[took.len() / 2]);
    assert!(recall >= 0.99, "recall@10 {recall}");
}

#[test]
fn few_who_pass_a_filter_are_all_found() {
    let mut random = Random(32);
    let (store, oracle) = (new_store(&space()), MemoryStore::new(&space()));
    let mut records: Vec<_> = (0..600).map(|name| record(&mut random, name)).collect();
    for record in records.iter_mut().step_by(200) {
        record.item.tags = vec!["Ça \"rare\" \\ \n".into(), "rare".into()];
    }
    store.upsert(&records).expect("written");
    oracle.upsert(&records).expect("written");
    for (filter, count) in [
        ("tag:rare", 3),
        ("tag:\"ca \\\"rare\\\" \\\\ \n\"", 3),
        ("path:pictures name:img200.jpg", 1),
        ("tag:r?re", 3),
    ] {
        let filter: Filter = filter.parse::<ekphrasis_index::Expr>().expect(filter).into();
        let vector = Some(random.embedding(&space()));
        let query = Query { vector, k: 10, filter: filter.clone(), ..Query::default() };
        let [near, exact] =
            [&store as &dyn StoreRead, &oracle].map(|s| s.search(&query).expect("searched"));
        let ids = |hits: &[ekphrasis_index::Hit]| hits.iter().map(|h| h.id).collect::<Vec<_>>();
        assert_eq!(ids(&near), ids(&exact), "{filter:?}");
        assert_eq!(near.len(), count, "{filter:?}");
        assert_eq!(store.count(&filter).expect("counted"), count as u64);
    }
}

/// Who passes is told here, and lies behind the last that the server tells of: either all are
/// found, or it is said that they cannot be.
#[test]
fn an_answer_that_the_server_cuts_is_never_taken_for_the_whole() {
    let mut random = Random(36);
    let (oracle, address) = (MemoryStore::new(&space()), new_store(&space()).address().clone());
    let options = Options { most_hits: 20, compared: 10, ..options() };
    let store = MilvusStore::open(&address, &space(), Open::Existing, options).expect("opened");
    let mut records: Vec<_> = (0..300)
        .map(|n| {
            let item = Item::of_text(&format!("alpha number {n}"));
            Record { item, embedding: random.embedding(&space()) }
        })
        .collect();
    for record in records.iter_mut().step_by(100) {
        record.item.tags = vec!["rare".into()];
    }
    store.upsert(&records).expect("written");
    oracle.upsert(&records).expect("written");
    let filter: Filter = "tag:r?re".parse::<ekphrasis_index::Expr>().expect("a filter").into();
    for _ in 0..5 {
        let vector = Some(random.embedding(&space()));
        let query = Query { vector, k: 10, filter: filter.clone(), ..Query::default() };
        let [near, exact] =
            [&store as &dyn StoreRead, &oracle].map(|s| s.search(&query).expect("searched"));
        let ids = |hits: &[ekphrasis_index::Hit]| hits.iter().map(|h| h.id).collect::<Vec<_>>();
        assert_eq!((ids(&near), near.len()), (ids(&exact), 3));
    }
    let query = Query { words: Some("alpha".into()), k: 10, filter, ..Query::default() };
    let error = store.search(&query).expect_err("more have the word than are told of");
    assert!(error.to_string().contains("narrow it by"), "{error}");
}

/// A server tells of so many hits and no more. What lies beyond is never an empty page.
#[test]
fn a_page_beyond_what_the_server_tells_of_is_refused() {
    let mut random = Random(37);
    let (oracle, address) = (MemoryStore::new(&space()), new_store(&space()).address().clone());
    let options = Options { most_hits: 20, compared: 10, ..options() };
    let store = MilvusStore::open(&address, &space(), Open::Existing, options).expect("opened");
    let records: Vec<_> = (0..60)
        .map(|n| {
            let tags = if n < 3 { vec!["few".into()] } else { vec![] };
            let item = Item { tags, ..Item::of_text(&format!("alpha number {n}")) };
            Record { item, embedding: random.embedding(&space()) }
        })
        .collect();
    store.upsert(&records).expect("written");
    oracle.upsert(&records).expect("written");
    let vector = Some(random.embedding(&space()));
    let by_vector = Query { vector, k: 10, ..Query::default() };
    let by_words = Query { words: Some("alpha".into()), vector: None, ..by_vector.clone() };
    let by_both = Query { words: Some("alpha".into()), ..by_vector.clone() };
    for query in [&by_vector, &by_words, &by_both] {
        let last = Query { offset: 10, ..query.clone() };
        assert_eq!(store.search(&last).expect("searched").len(), 10);
        let beyond = Query { offset: 11, ..query.clone() };
        let error = store.search(&beyond).expect_err("the 21st is not told of");
        assert!(error.is_user_fault(), "{error}");
        for part in ["beyond number 20", "to number 21", "narrow", &address.to_string()] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        let filter: Filter = "tag:few".parse::<ekphrasis_index::Expr>().expect("a filter").into();
        let beyond_all = Query { filter, ..beyond };
        assert_eq!(store.search(&beyond_all).expect("all are told of").len(), 0);
    }
    // Compared here, it is as long as there are some.
    let exact = Query { exact: true, offset: 15, ..by_vector };
    let [here, there] =
        [&store as &dyn StoreRead, &oracle].map(|s| s.search(&exact).expect("searched"));
    let ids = |hits: &[ekphrasis_index::Hit]| hits.iter().map(|h| h.id).collect::<Vec<_>>();
    assert_eq!((ids(&here), here.len()), (ids(&there), 10));
}

/// Whoever asks for what only this side can tell waits for a while, and is then told.
#[test]
fn going_through_everything_has_an_end() {
    let mut random = Random(38);
    let address = new_store(&space()).address().clone();
    let open = |walking| {
        let options = Options { walking, compared: 10, ..options() };
        MilvusStore::open(&address, &space(), Open::Existing, options).expect("opened")
    };
    let (hurried, patient) = (open(Duration::ZERO), open(Duration::from_secs(600)));
    let records: Vec<_> = (0..2500)
        .map(|n| Record {
            item: Item::of_text(&n.to_string()),
            embedding: random.embedding(&space()),
        })
        .collect();
    patient.upsert(&records).expect("written");
    let filter: Filter = "camera:none".parse::<ekphrasis_index::Expr>().expect("a filter").into();
    let vector = Some(random.embedding(&space()));
    let by_filter = Query { vector, k: 10, filter: filter.clone(), ..Query::default() };
    let exact = Query { exact: true, filter: Filter::default(), ..by_filter.clone() };
    for error in [
        hurried.search(&by_filter).err(),
        hurried.search(&exact).err(),
        hurried.count(&filter).err(),
        hurried.scan(None, 10, &filter).err(),
    ] {
        let error = error.expect("not to the end");
        assert!(error.is_user_fault(), "{error}");
        for part in ["2500 items", "longer than 0 s", "narrow the filter", &address.to_string()] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }
    assert_eq!(patient.search(&by_filter).expect("searched").len(), 0);
    assert_eq!(patient.search(&exact).expect("searched").len(), 10);
    // What is asked of the server alone takes as long as its calls do.
    let near = Query { filter: Filter::default(), ..by_filter };
    assert_eq!(hurried.search(&near).expect("searched").len(), 10);
    assert_eq!(hurried.count(&Filter::default()).expect("counted"), 2500);
}

#[test]
fn words_are_explained_and_meanings_scored() {
    let mut random = Random(33);
    let store = new_store(&space());
    let texts = ["a red bicycle", "two Cafés, running", "東京タワー"];
    let records: Vec<_> = texts
        .iter()
        .map(|text| Record { item: Item::of_text(text), embedding: random.embedding(&space()) })
        .collect();
    store.upsert(&records).expect("written");
    for (words, text, found) in
        [("BICYCLES", texts[0], "bicycle"), ("cafe", texts[1], "cafes"), ("京タ", texts[2], "京タ")]
    {
        let vector = random.embedding(&space());
        let query = Query {
            vector: Some(vector.clone()),
            words: Some(words.into()),
            k: 10,
            explain: true,
            ..Query::default()
        };
        let hits = store.search(&query).expect("searched");
        let hit = hits.iter().find(|hit| hit.bm25.is_some()).expect("found by words");
        assert_eq!(hit.id, ItemId::for_text(text));
        assert!(hit.bm25 > Some(0.0));
        assert_eq!(hit.words.iter().map(|w| &w.found[..]).collect::<Vec<_>>(), [found]);
        assert_eq!(hits.len(), 3, "the others by meaning");
    }
}

/// Whoever opens it later sees the same; and all of it can be carried elsewhere.
#[test]
fn records_are_read_back_to_the_last_bit() {
    let mut random = Random(34);
    let store = new_store(&space());
    let mut records: Vec<_> = (0..700).map(|name| record(&mut random, name)).collect();
    store.upsert(&records).expect("written");
    let later =
        MilvusStore::open(store.address(), &space(), Open::Existing, options()).expect("opened");
    let mut items: Vec<Item> = vec![];
    loop {
        let after = items.last().map(|item| item.id);
        let some = later.scan(after, 300, &Filter::default()).expect("read");
        if some.is_empty() {
            break;
        }
        items.extend(some);
    }
    records.sort_by_key(|record| record.item.id);
    let ids: Vec<_> = records.iter().map(|record| record.item.id).collect();
    let vectors = later.embeddings(&ids).expect("read");
    assert_eq!(items.len(), records.len());
    for ((item, vector), record) in items.iter().zip(&vectors).zip(&records) {
        assert_eq!((item, vector.as_ref()), (&record.item, Some(&record.embedding)));
    }
}

/// A batch of one id many times, larger than one request.
#[test]
fn one_id_is_one_row_however_often_it_is_sent() {
    let mut random = Random(35);
    let store = new_store(&space());
    let records: Vec<_> = (0..1200).map(|n| record(&mut random, n % 7)).collect();
    store.upsert(&records).expect("written");
    store.upsert(&records[..600]).expect("written again");
    assert_eq!(store.count(&Filter::default()).expect("counted"), 7);
    assert_eq!(store.scan(None, 100, &Filter::default()).expect("walked").len(), 7);
    open(store.address(), &space()).delete(&[records[0].item.id]).expect("deleted");
    assert_eq!(store.count(&Filter::default()).expect("counted"), 6);
}
