//! Words as people type them: parts of names, slips of the hand, scripts without
//! spaces; and why an item was found.

use std::path::PathBuf;

use ekphrasis_index::conformance::{Random, space};
use ekphrasis_index::{
    Facts, FileFacts, Hit, Item, ItemId, LocalStore, MemoryStore, Query, Record, StoreRead,
    StoreWrite, WordField, WordMatch,
};

use crate::{open, writing};

fn picture(path: &str) -> Item {
    let file = FileFacts {
        size: 1,
        mtime_ns: 1,
        content: [1; 32],
        width: 1,
        height: 1,
        format: "jpeg".into(),
    };
    Item::of_picture(PathBuf::from(path), file)
}

fn write(store: &dyn StoreWrite, items: &[Item], random: &mut Random) {
    let record = |item: &Item| Record { item: item.clone(), embedding: random.embedding(&space()) };
    store.upsert(&items.iter().map(record).collect::<Vec<_>>()).expect("written");
}

fn search(store: &dyn StoreRead, words: &str) -> Vec<Hit> {
    let query = Query { words: Some(words.into()), k: 1000, explain: true, ..Query::default() };
    store.search(&query).expect("read")
}

/// The library of a family, in several languages.
fn library() -> Vec<Item> {
    let told = |path: &str, text: &str, tags: &[&str]| Item {
        text: (!text.is_empty()).then(|| text.into()),
        tags: tags.iter().map(|&t| t.into()).collect(),
        ..picture(path)
    };
    let mut library = vec![
        told("/p/2019/IMG_2019-08-Berlin_trip.jpg", "", &[]),
        told("/p/2019/redBicycle0042.jpg", "", &["sport"]),
        told("/p/Müllers Garten/20190812_173000.jpg", "", &[]),
        told("/p/旅行/東京タワー.jpg", "", &[]),
        told("/p/x/HTMLPage.png", "", &[]),
        told("/p/x/a.jpg", "a bicycle leaning on the wall", &[]),
        told("/p/x/b.jpg", "赤い自転車と海", &[]),
        told("/p/x/c.jpg", "", &["Café", "서울 여행"]),
        // As macOS writes it: letters and marks apart.
        told("/p/x/U\u{308}berfahrt.jpg", "", &[]),
        told("/p/x/d.jpg", "รถจักรยานสีแดง", &[]),
    ];
    let camera =
        Facts { make: Some("Google".into()), model: Some("Pixel 7".into()), ..Facts::default() };
    library.push(Item { facts: Some(camera), ..picture("/p/x/e.jpg") });
    library.push(Item { labels: vec!["mountain bike".into()], ..picture("/p/x/f.jpg") });
    library
}

#[test]
fn what_people_type_finds_what_they_mean() {
    let dir = tempfile::tempdir().expect("tempdir");
    let local = open(dir.path(), writing()).expect("made");
    let memory = MemoryStore::new(&space());
    for store in [&local as &dyn StoreWrite, &memory] {
        write(store, &library(), &mut Random(1));
    }
    for (words, names) in [
        ("berlin", vec!["IMG_2019-08-Berlin_trip.jpg"]),
        ("BERLIN", vec!["IMG_2019-08-Berlin_trip.jpg"]),
        ("ber", vec!["IMG_2019-08-Berlin_trip.jpg"]),
        ("be", vec![]),
        ("ber nowhere", vec![]),
        ("berlni", vec!["IMG_2019-08-Berlin_trip.jpg"]),
        ("berlinn", vec!["IMG_2019-08-Berlin_trip.jpg"]),
        ("burlni", vec![]),
        ("trips", vec!["IMG_2019-08-Berlin_trip.jpg"]),
        ("2019", vec!["20190812_173000.jpg", "IMG_2019-08-Berlin_trip.jpg", "redBicycle0042.jpg"]),
        ("42", vec!["redBicycle0042.jpg"]),
        ("redbicycle", vec!["redBicycle0042.jpg"]),
        ("bicycles", vec!["a.jpg", "redBicycle0042.jpg"]),
        // Someone has the word, so this is no slip for `html`…
        ("walls", vec!["a.jpg"]),
        ("html", vec!["HTMLPage.png"]),
        ("page", vec!["HTMLPage.png"]),
        ("muller", vec!["20190812_173000.jpg"]),
        ("müllers garden", vec!["20190812_173000.jpg"]),
        ("cafe", vec!["c.jpg"]),
        ("überfahrt", vec!["U\u{308}berfahrt.jpg"]),
        ("uberfarht", vec!["U\u{308}berfahrt.jpg"]),
        ("東京", vec!["東京タワー.jpg"]),
        ("海", vec!["b.jpg"]),
        ("自転車", vec!["b.jpg"]),
        ("旅行", vec!["東京タワー.jpg"]),
        ("여행", vec!["c.jpg"]),
        ("จักรยาน", vec!["d.jpg"]),
        ("pixel", vec!["e.jpg"]),
        ("mountain", vec!["f.jpg"]),
        ("jpg", vec![]),
    ] {
        let name = |hit: &Hit| {
            let item = library().into_iter().find(|item| item.id == hit.id).expect("known");
            let path = item.path.expect("a file");
            path.file_name().expect("a name").to_string_lossy().into_owned()
        };
        for store in [&local as &dyn StoreRead, &memory] {
            let mut found: Vec<_> = search(store, words).iter().map(name).collect();
            found.sort();
            assert_eq!(found, names, "{words}");
        }
    }
}

#[test]
fn a_better_place_and_a_better_match_come_first() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(dir.path(), writing()).expect("made");
    let order = [
        Item { tags: vec!["harbour".into()], ..picture("/p/x/1.jpg") },
        Item { text: Some("harbour".into()), ..picture("/p/x/2.jpg") },
        picture("/p/x/harbour.jpg"),
        picture("/p/harbour/3.jpg"),
        picture("/p/x/harbourside.jpg"),
    ];
    write(&store, &order, &mut Random(2));
    let ids = |hits: &[Hit]| hits.iter().map(|h| h.id).collect::<Vec<_>>();
    let hits = search(&store, "harbour");
    // The last two differ in place and match: which is first is no promise.
    assert_eq!(ids(&hits)[..3], order[..3].iter().map(|i| i.id).collect::<Vec<_>>());
    assert_eq!(hits.len(), 5);
}

#[test]
fn a_hit_says_which_words_found_it() {
    let dir = tempfile::tempdir().expect("tempdir");
    let local = open(dir.path(), writing()).expect("made");
    let memory = MemoryStore::new(&space());
    let item = Item {
        text: Some("running along the sea".into()),
        tags: vec!["Summer".into()],
        ..picture("/p/Trips/redBicycle.jpg")
    };
    let id = item.id;
    for store in [&local as &dyn StoreWrite, &memory] {
        write(store, &[item.clone(), picture("/p/x/other.jpg")], &mut Random(3));
        let vector = Some(Random(4).embedding(&space()));
        let words = Some("bicylce SUMMER run nothing tri".into());
        let query = Query { vector, words, k: 10, explain: true, ..Query::default() };
        let hits = store.search(&query).expect("read");
        let (hit, other) =
            if hits[0].id == id { (&hits[0], &hits[1]) } else { (&hits[1], &hits[0]) };
        let told: Vec<_> =
            hit.words.iter().map(|w| (&w.word[..], &w.found[..], w.field, w.how)).collect();
        assert_eq!(
            told,
            [
                ("bicylce", "bicycle", WordField::Name, WordMatch::Similar),
                ("summer", "summer", WordField::Tag, WordMatch::Same),
                ("run", "running", WordField::Caption, WordMatch::Same),
                ("tri", "trips", WordField::Folder, WordMatch::Beginning),
            ]
        );
        assert_eq!(other.words, [], "found by its vector only");
        let silent = store.search(&Query { explain: false, ..query }).expect("read");
        assert!(silent.iter().all(|hit| hit.words.is_empty()));
    }
}

/// A name that is misspelt in any one way is found, by the store as by the oracle.
#[test]
fn slips_are_forgiven_as_the_oracle_forgives_them() {
    let seed = 20_261_203;
    println!("seed {seed}");
    let mut random = Random(seed);
    let letters = ['a', 'b', 'c', 'é', 'n', 'o', 'r', 't', 'э'];
    let dir = tempfile::tempdir().expect("tempdir");
    let local = open(dir.path(), writing()).expect("made");
    let memory = MemoryStore::new(&space());
    let mut names = vec![];
    for _ in 0..6 {
        let batch: Vec<Item> = (0..30)
            .map(|_| {
                let length = 3 + random.below(5);
                let name: String =
                    (0..length).map(|_| letters[random.below(letters.len())]).collect();
                names.push(name.clone());
                picture(&format!("/p/{}/{name}.jpg", letters[random.below(letters.len())]))
            })
            .collect();
        let gone: Vec<ItemId> = batch.iter().take(5).map(|item| item.id).collect();
        for store in [&local as &dyn StoreWrite, &memory] {
            write(store, &batch, &mut Random(seed));
            store.delete(&gone).expect("deleted");
        }
    }
    let ids = |store: &dyn StoreRead, words: &str| {
        let mut ids: Vec<_> =
            search(store, words).into_iter().map(|hit| (hit.id, hit.words)).collect();
        ids.sort_by_key(|hit| hit.0);
        ids
    };
    let (mut similar, mut beginnings) = (0, 0);
    for _ in 0..300 {
        let mut word: Vec<char> = names[random.below(names.len())].chars().collect();
        let at = random.below(word.len());
        match random.below(5) {
            0 => {
                let next = (at + 1) % word.len();
                word.swap(at, next);
            }
            1 => word[at] = letters[random.below(letters.len())],
            2 => word.insert(at, letters[random.below(letters.len())]),
            3 => word.truncate(at + 1),
            _ => {
                word.remove(at);
            }
        }
        let word: String = word.into_iter().collect();
        let found = ids(&local, &word);
        assert_eq!(found, ids(&memory, &word), "{word}");
        let how = found.iter().flat_map(|f| &f.1).map(|w| w.how);
        similar += how.clone().filter(|how| *how == WordMatch::Similar).count();
        beginnings += how.filter(|how| *how == WordMatch::Beginning).count();
    }
    println!("{similar} similar, {beginnings} beginnings");
    assert!(similar > 50 && beginnings > 20, "{similar} {beginnings}");
}

/// However many words begin so and however long the query, a search takes a
/// bounded number of them.
#[test]
fn many_words_are_no_trouble() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store: LocalStore = open(dir.path(), writing()).expect("made");
    let items: Vec<Item> = (0..500).map(|i| picture(&format!("/p/x/holiday{i:03}x.jpg"))).collect();
    write(&store, &items, &mut Random(5));
    let hits = search(&store, "holiday");
    assert_eq!(hits.len(), 500, "the word itself is in all of them");
    let hits = search(&store, "holida");
    assert_eq!(hits.len(), 500, "the beginning of one word that all have");
    let letter = |n: u32| char::from_u32('a' as u32 + n % 26).expect("a letter");
    let word = |n: u32| format!("qq{}{}{} ", letter(n), letter(n / 26), letter(n / 676));
    let long: String = (0..3_000).map(word).collect();
    assert_eq!(search(&store, &long), []);
    assert_eq!(search(&store, &format!("holiday007x {long}")).len(), 500);
}
