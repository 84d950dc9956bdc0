//! What label sets say of pictures: filters and counts know it, for every reader, through
//! replaced and deleted items, compaction and reopening, and nothing is left of the former.

use std::collections::{BTreeMap, BTreeSet};

use ekphrasis_embed::{Embedding, Space};
use ekphrasis_index::conformance::Random;
use ekphrasis_index::{
    Access, Expr, FileFacts, Filter, Item, ItemId, Kind, LabelAnswer, LabelAnswers, LabelRule,
    LocalStore, NameKind, Named, NamedVector, Options, Origin, Record, StoreRead, StoreWrite,
    Written,
};

use crate::writing;

const LABELS: [&str; 4] = ["cat", "dog", "big bird > owl", "big bird > eagle > Sea Eagle"];
const RULE: LabelRule = LabelRule { minimum: 0.5, multi: true };

fn space() -> Space {
    Space::new("toy", 2).expect("a space")
}

fn vector() -> Embedding {
    Embedding::new(&space(), vec![1.0, 0.0]).expect("unit length")
}

fn item(n: u64) -> Item {
    if n.is_multiple_of(5) {
        return Item::of_text(&format!("text {n}"));
    }
    let (size, content, format) = (1, [n as u8; 32], "png".into());
    let file = FileFacts { size, mtime_ns: 0, content, width: 1, height: 1, format };
    // Some are labelled already, by whoever gave them captions.
    let labels = if n.is_multiple_of(7) { vec!["cat".into(), LABELS[2].into()] } else { vec![] };
    Item { labels, ..Item::of_picture(format!("/p/{n}.png").into(), file) }
}

fn put(store: &LocalStore, names: impl Iterator<Item = u64>) {
    let records: Vec<Record> =
        names.map(|n| Record { item: item(n), embedding: vector() }).collect();
    store.upsert(&records).expect("written");
}

fn name_set(store: &LocalStore, name: &str, at: i64) {
    let of = |label: &str| NamedVector {
        part: label.into(),
        origin: Origin::Words(label.into()),
        embedding: vector(),
    };
    let named = Named { name: name.into(), at, vectors: LABELS.map(of).to_vec() };
    store.put_named(NameKind::LabelSet, &named).expect("written");
}

/// The labels of each item, its own and those that sets gave.
type Known = BTreeMap<ItemId, BTreeSet<&'static str>>;

/// Asks a set of the pictures that wait, or of all, with answers by chance.
fn ask(store: &LocalStore, name: &str, all: bool, random: &mut Random, given: &mut Known) {
    let pictures = match all {
        true => store.pictures(),
        false => store.pictures_waiting(name, RULE),
    };
    let pictures = pictures.expect("read");
    if all {
        given.clear();
    }
    let mut answers = vec![];
    for block in 0..pictures.blocks() {
        pictures.each_in(block, |id, row, values| {
            assert_eq!(values, [1.0, 0.0]);
            for (label, text) in LABELS.iter().enumerate() {
                if random.below(3) == 0 {
                    answers.push(LabelAnswer { row, label: label as u32, probability: 0.75 });
                    given.entry(id).or_default().insert(text);
                }
            }
        });
    }
    let labels = LABELS.map(str::to_owned);
    let stamp = store.stamp(NameKind::LabelSet, name).expect("read").expect("there");
    let new =
        LabelAnswers { set: name, stamp, rule: RULE, labels: &labels, answers: &answers, at: 1 };
    assert_eq!(store.put_applied(&new, &pictures).expect("written"), Written::Yes);
}

fn check(store: &LocalStore, given: &Known, living: &BTreeSet<u64>) {
    for label in LABELS.into_iter().chain(["big bird", "big bird > eagle", "Sea Eagle"]) {
        // What lies below counts, too.
        let is = |of: &str| of == label || of.starts_with(&format!("{label} > "));
        let own = |n: &u64| item(*n).labels.iter().any(|l| is(l));
        let has = |n: &&u64| {
            let given = given.get(&item(**n).id);
            own(n) || given.is_some_and(|labels| labels.iter().any(|l| is(l)))
        };
        let expected: BTreeSet<ItemId> = living.iter().filter(has).map(|n| item(*n).id).collect();
        for (text, negated) in [("", false), ("-", true)] {
            let expr: Expr = format!("{text}label:\"{label}\"").parse().expect("a filter");
            let filter = Filter { kind: Some(Kind::Image), expr: Some(expr) };
            let found: BTreeSet<ItemId> =
                store.scan(None, 1_000, &filter).expect("read").iter().map(|i| i.id).collect();
            let images = living.iter().map(|n| item(*n)).filter(|i| i.kind == Kind::Image);
            let expected = match negated {
                false => expected.clone(),
                true => images.map(|i| i.id).filter(|id| !expected.contains(id)).collect(),
            };
            assert_eq!(found, expected, "{text}{label}");
            assert_eq!(store.count(&filter).expect("read"), expected.len() as u64, "{text}{label}");
        }
        if !LABELS.contains(&label) {
            continue;
        }
        let counts = store.facet_counts(&Filter::default(), 10).expect("counted");
        let count = counts.labels.values.iter().find(|(l, _)| l == label).map_or(0, |(_, n)| *n);
        assert_eq!(count, expected.len() as u64, "{label}: {counts:?}");
    }
    let ids: Vec<ItemId> = living.iter().map(|n| item(*n).id).collect();
    for (id, labels) in ids.iter().zip(store.given_labels(&ids).expect("read")) {
        let found: BTreeSet<&str> = labels.iter().map(|l| l.label.as_str()).collect();
        let expected = given.get(id).cloned().unwrap_or_default();
        assert_eq!(found, expected.into_iter().collect(), "{id}");
    }
    for (id, seen) in ids.iter().zip(store.items_as_filtered(&ids).expect("read")) {
        let (own, seen) = (store.items(&[*id]).expect("read").remove(0), seen.expect("there"));
        let given = given.get(id).into_iter().flatten().copied();
        let own = own.expect("there").labels;
        let expected: BTreeSet<&str> = own.iter().map(String::as_str).chain(given).collect();
        let seen: BTreeSet<&str> = seen.labels.iter().map(String::as_str).collect();
        assert_eq!(seen, expected, "{id}");
    }
}

#[test]
fn what_sets_say_is_what_filters_know_for_everyone() {
    let seed = 12;
    println!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().expect("tempdir");
    let mut options = Options::default();
    options.compact_from = 1_000_000;
    let open = |access| {
        LocalStore::open_with(dir.path(), &space(), access, options.clone()).expect("opened")
    };
    let mut store = open(writing());
    put(&store, 0..40);
    let mut living: BTreeSet<u64> = (0..40).collect();
    let reader = open(Access::Read);
    let mut given = Known::new();
    check(&reader, &given, &living);
    name_set(&store, "pets", 1);
    ask(&store, "pets", true, &mut random, &mut given);
    for round in 0..6u64 {
        check(&store, &given, &living);
        check(&reader, &given, &living);
        let applied = &store.applied().expect("read")[0];
        assert_eq!((applied.waiting, applied.changed), (0, false), "{applied:?}");
        // Some are replaced, some go, some are new: those wait.
        let from = 40 + round * 10;
        put(&store, (from..from + 10).chain([1, 2]));
        living.extend(from..from + 10);
        let gone = [3 + round * 3, 4 + round * 3];
        store.delete(&gone.map(|n| item(n).id)).expect("deleted");
        gone.iter().for_each(|n| {
            living.remove(n);
            given.remove(&item(*n).id);
        });
        let replaced = [1, 2].iter().filter(|n| living.contains(n)).count() as u64;
        [1, 2].iter().for_each(|n| {
            given.remove(&item(*n).id);
        });
        check(&reader, &given, &living);
        let applied = &store.applied().expect("read")[0];
        let new = (from..from + 10).filter(|n| !n.is_multiple_of(5) && living.contains(n));
        assert_eq!(applied.waiting, new.count() as u64 + replaced, "{applied:?}");
        match round % 3 {
            0 => assert!(store.compact().expect("compacted") > 0),
            1 => {
                drop(store);
                store = open(writing());
            }
            _ => {}
        }
        check(&store, &given, &living);
        ask(&store, "pets", round == 4, &mut random, &mut given);
        assert!(store.verify().expect("read").is_sound());
    }
    // Another set's answers stand beside these.
    name_set(&store, "more", 1);
    let mut more = Known::new();
    ask(&store, "more", true, &mut random, &mut more);
    let mut both = given.clone();
    more.iter().for_each(|(id, labels)| both.entry(*id).or_default().extend(labels));
    check(&reader, &both, &living);
    assert!(store.remove_named(NameKind::LabelSet, "more").expect("forgotten"));
    check(&reader, &given, &living);
    // A changed set keeps what it said until it is asked again.
    name_set(&store, "pets", 2);
    assert!(store.applied().expect("read")[0].changed);
    check(&store, &given, &living);
    assert_eq!(
        store.pictures_waiting("pets", RULE).expect("read").len(),
        living.iter().filter(|n| !n.is_multiple_of(5)).count() as u64
    );
    assert!(store.remove_named(NameKind::LabelSet, "pets").expect("forgotten"));
    check(&store, &Known::new(), &living);
    assert!(store.applied().expect("read").is_empty());
}

#[test]
fn answers_for_what_is_not_so_any_more_are_not_written() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = LocalStore::open(dir.path(), &space(), writing()).expect("opened");
    put(&store, 0..10);
    put(&store, 0..10);
    name_set(&store, "pets", 1);
    let stamp = store.stamp(NameKind::LabelSet, "pets").expect("read").expect("there");
    let labels = LABELS.map(str::to_owned);
    let new = |stamp| LabelAnswers {
        set: "pets",
        stamp,
        rule: RULE,
        labels: &labels,
        answers: &[],
        at: 1,
    };
    let pictures = store.pictures().expect("read");
    assert_eq!(store.put_applied(&new(stamp + 1), &pictures).expect("asked"), Written::Outdated);
    assert!(store.compact().expect("compacted") > 0);
    assert_eq!(store.put_applied(&new(stamp), &pictures).expect("asked"), Written::Outdated);
    assert!(store.applied().expect("read").is_empty());
    let pictures = store.pictures().expect("read");
    assert_eq!(store.put_applied(&new(stamp), &pictures).expect("asked"), Written::Yes);
    assert_eq!(store.applied().expect("read")[0].pictures, 8);
}
