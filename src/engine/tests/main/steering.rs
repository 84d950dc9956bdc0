//! Liking and disliking, differing hits, copies: whatever is combined, pages are stretches of one
//! order, and nobody is shown who was disliked.

use std::collections::{BTreeSet, HashMap};

use ekphrasis_engine::{Example, Feedback, Rocchio, SearchHit, SearchReply};
use ekphrasis_index::{Expr, FileFacts, ItemId};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::*;

/// More than are reordered and more than a page, in heaps of like ones; every seventh is a copy of
/// the one before it.
const MANY: usize = 700;

/// A store of made up pictures, and their vectors.
fn library(data: &Path, seed: u64) -> (Engine, HashMap<ItemId, Embedding>) {
    let space = towers().space().clone();
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut heaps: Vec<Vec<f32>> = vec![];
    let mut records: Vec<Record> = vec![];
    for i in 0..MANY {
        let near = |rng: &mut Pcg64, from: &[f32], spread: f32| -> Vec<f32> {
            from.iter().map(|v| v + spread * (rng.random::<f32>() - 0.5)).collect()
        };
        let copy = i % 7 == 6;
        let vector = if copy {
            records[i - 1].embedding.values().to_vec()
        } else {
            if i % 20 == 0 {
                heaps.push(near(&mut rng, &[0.0; 8], 2.0));
            }
            let heap = rng.random_range(0..heaps.len());
            let heap = heaps[heap].clone();
            near(&mut rng, &heap, 0.6)
        };
        let content = if copy { i - 1 } else { i };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&content.to_le_bytes());
        let file = FileFacts {
            size: 1,
            mtime_ns: 0,
            content: bytes,
            width: 10 + u32::from(i % 2 == 0),
            height: 10,
            format: "png".into(),
        };
        let mut item = Item::of_picture(format!("/made/up/{i}.png").into(), file);
        item.tags = if i % 3 == 0 { vec!["red".into()] } else { vec![] };
        let embedding = Embedding::new(&space, vector).expect("a direction");
        records.push(Record { item, embedding });
    }
    {
        let holder = Holder { command: "test".into(), address: None };
        let store = LocalStore::open(data, &space, Access::Write(holder)).expect("opens");
        store.upsert(&records).expect("written");
    }
    let vectors = records.iter().map(|r| (r.item.id, r.embedding.clone())).collect();
    (Engine::open(data, towers(), OpenFor::Reading).expect("opens"), vectors)
}

fn ids(hits: &[SearchHit]) -> Vec<ItemId> {
    hits.iter().map(|hit| hit.item.id).collect()
}

fn red() -> SearchRequest {
    SearchRequest { kind: Some(Kind::Image), ..SearchRequest::new(vec![text("red", 1.0)]) }
}

fn judged(liked: &[ItemId], disliked: &[ItemId]) -> Feedback {
    let items = |ids: &[ItemId]| ids.iter().copied().map(Example::Item).collect();
    Feedback { liked: items(liked), disliked: items(disliked) }
}

#[test]
fn pages_are_stretches_of_one_order_whatever_is_asked() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let seed = 7;
    let (engine, vectors) = library(&dir.path().join("data"), seed);
    let search = |request: &SearchRequest| engine.search(request).expect("found");
    let first = ids(&search(&red()).hits);
    let wide: Expr = "width:11".parse().expect("a filter");
    for mode in [Mode::Vector, Mode::Hybrid, Mode::Text] {
        for collapse in [false, true] {
            for diversity in [0.0, 0.4] {
                for filter in [None, Some(wide.clone())] {
                    let what = format!(
                        "seed {seed}, {mode:?}, collapse {collapse}, diversity {diversity}, {filter:?}"
                    );
                    let request = SearchRequest {
                        mode,
                        collapse,
                        diversity,
                        filter: filter.clone(),
                        explain: true,
                        ..red()
                    };
                    let before = search(&SearchRequest { k: 1000, ..request.clone() });
                    let feedback = judged(&first[..1], &[first[2], first[5], first[9]]);
                    let request = SearchRequest { feedback: feedback.clone(), ..request };
                    let whole = search(&SearchRequest { k: 1000, ..request.clone() });
                    let gone = [first[2], first[5], first[9]];
                    assert!(whole.hits.iter().all(|h| !gone.contains(&h.item.id)), "{what}");
                    let passes = |id: &ItemId| {
                        let item = engine.item(*id).expect("read").expect("there");
                        filter.as_ref().is_none_or(|filter| filter.accepts(&item))
                    };
                    let gone = gone.iter().filter(|id| passes(id)).count() as u64;
                    assert_eq!(whole.total_candidates + gone, before.total_candidates, "{what}");
                    if mode != Mode::Text && !collapse {
                        assert_eq!(whole.hits.len() as u64, whole.total_candidates, "{what}");
                    }
                    let all = ids(&whole.hits);
                    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{what}");
                    // Pages that end before, at and after the end of what is reordered.
                    let mut paged: Vec<ItemId> = vec![];
                    for k in [1, 99, 156, 1, 200, 600] {
                        let page = SearchRequest { k, offset: paged.len(), ..request.clone() };
                        let page = search(&page).hits;
                        let ranks: Vec<usize> = page.iter().map(|hit| hit.rank).collect();
                        let expected = paged.len() + 1..=paged.len() + page.len();
                        assert_eq!(ranks, expected.collect::<Vec<_>>(), "{what}");
                        if mode != Mode::Vector && page.iter().any(|hit| hit.via_text) {
                            let found = |hit: &SearchHit| hit.via_text != hit.words.is_empty();
                            assert!(page.iter().all(found), "{what}: explained");
                        }
                        paged.extend(ids(&page));
                    }
                    assert_eq!(paged, all, "{what}");
                }
            }
        }
    }
    assert_eq!(vectors.len(), MANY);
}

/// The vector ranking after judgements is that of Rocchio's formula, computed here anew.
#[test]
fn judgements_rank_by_the_formula() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (engine, vectors) = library(&dir.path().join("data"), 8);
    let first = ids(&engine.search(&red()).expect("found").hits);
    let (liked, disliked) = (&first[3..6], &first[..2]);
    let query = engine.embed_text("red").expect("embedded");
    let Rocchio { liked: beta, disliked: gamma, .. } = Rocchio::USED;
    let score = |id: &ItemId| -> f64 {
        let with = |other: &Embedding| f64::from(vectors[id].cosine(other).expect("one space"));
        let mean = |of: &[ItemId]| {
            of.iter().map(|other| with(&vectors[other])).sum::<f64>() / of.len() as f64
        };
        with(&query) + f64::from(beta) * mean(liked) - f64::from(gamma) * mean(disliked)
    };
    let request = SearchRequest {
        mode: Mode::Vector,
        k: 1000,
        explain: true,
        feedback: judged(liked, disliked),
        ..red()
    };
    let SearchReply { hits, .. } = engine.search(&request).expect("found");
    assert_eq!(hits.len(), MANY - 2, "all but what was disliked");
    for pair in hits.windows(2) {
        let [a, b] = [score(&pair[0].item.id), score(&pair[1].item.id)];
        assert!(a > b - 1e-5, "{a} before {b}");
    }
    // Each part's share is told, and they add up to that score.
    for hit in &hits[..20] {
        let names: Vec<&str> = hit.parts.iter().map(|part| part.part.as_str()).collect();
        assert_eq!(names, ["red", "liked", "disliked"]);
        let sum: f32 = hit.parts.iter().map(|part| part.weight * part.score).sum();
        assert!((f64::from(sum) - score(&hit.item.id)).abs() < 1e-5, "{hit:?}");
    }
    // Liking alone is asking; disliking alone is not.
    let alone = SearchRequest { parts: vec![], feedback: judged(&first[4..5], &[]), ..red() };
    assert_eq!(ids(&engine.search(&alone).expect("found").hits)[0], first[4]);
    let nothing = SearchRequest { parts: vec![], feedback: judged(&[], &first[4..5]), ..red() };
    let error = engine.search(&nothing).expect_err("nothing to look for");
    assert_eq!(error.fault(), Fault::User, "{error}");
    let unknown = ItemId::for_text("nobody");
    let unknown = SearchRequest { feedback: judged(&[unknown], &[]), ..red() };
    assert_eq!(engine.search(&unknown).expect_err("unknown").fault(), Fault::NotFound);
}

#[test]
fn hits_that_are_to_differ_do() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (engine, vectors) = library(&dir.path().join("data"), 9);
    let likeness = |diversity: f32| -> f32 {
        let request = SearchRequest { mode: Mode::Vector, diversity, ..red() };
        let hits = ids(&engine.search(&request).expect("found").hits);
        let mut sum = 0.0;
        for (i, a) in hits.iter().enumerate() {
            for b in &hits[..i] {
                sum += vectors[a].cosine(&vectors[b]).expect("one space");
            }
        }
        sum / 45.0
    };
    let (none, some, most) = (likeness(0.0), likeness(0.3), likeness(1.0));
    assert!(most < some && some < none - 0.05, "{none} {some} {most}");
    // The best stays first.
    let best = |diversity| {
        let request = SearchRequest { mode: Mode::Vector, diversity, ..red() };
        ids(&engine.search(&request).expect("found").hits)[0]
    };
    assert_eq!(best(0.0), best(0.7));
    let wrong = SearchRequest { diversity: 1.5, ..red() };
    assert_eq!(engine.search(&wrong).expect_err("refused").fault(), Fault::User);
}

/// A file that was disliked hides its item, and with copies left out its copies, too.
#[test]
fn a_disliked_file_takes_its_item_and_its_copies_along() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("pictures");
    colours(&folder);
    fs_err::copy(folder.join("0.png"), folder.join("0 again.png")).expect("copied");
    let engine = open(&dir.path().join("data"), towers());
    assert_eq!(index(&engine, &folder).progress.indexed, 7);
    let shown = |collapse: bool| {
        let disliked = vec![Example::Picture(Source::Path(folder.join("0.png")))];
        let feedback = Feedback { disliked, ..Feedback::default() };
        let request = SearchRequest { mode: Mode::Vector, collapse, feedback, ..red() };
        let reply = engine.search(&request).expect("found");
        assert_eq!(reply.total_candidates, 6);
        let names = reply.hits.iter().filter_map(|hit| hit.item.path.as_ref()?.file_stem());
        names.map(|name| name.to_string_lossy().into_owned()).collect::<BTreeSet<_>>()
    };
    let of = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(shown(false), of(&["0 again", "1", "2", "3", "4", "5"]));
    assert_eq!(shown(true), of(&["1", "2", "3", "4", "5"]));
}
