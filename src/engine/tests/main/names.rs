//! Identities and label sets over encoders that need no model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ekphrasis_embed::testing::ColourEncoder;
use ekphrasis_embed::{Embedding, Space};
use ekphrasis_engine::{
    AcceptRate, Accepting, Engine, EngineError, Example, Fault, Filter, GivenTowers,
    IdentifyOptions, LabelRequest, LabelRule, LabelScore, NewLabel, OpenFor, SearchRequest, Source,
    Towers, Verification, WhyReason, Writing,
};
use ekphrasis_index::{Access, Holder, LocalStore, NameKind, Named, NamedVector, Origin};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::{COLOURS, colours, index, open, picture, text, towers};

/// The colours' encoder with thresholds as if somebody had measured them.
fn measured() -> Arc<dyn Towers> {
    let encoder = Arc::new(ColourEncoder::default());
    let rate = |false_accept, threshold| AcceptRate {
        false_accept,
        low: 0.0,
        high: 2.0 * false_accept,
        threshold,
        true_accept: 0.9,
    };
    let known = Verification {
        space: "colour-1".into(),
        about: "colours".into(),
        refused: vec![],
        rates: vec![rate(0.1, 0.5), rate(0.01, 0.95)],
    };
    Arc::new(GivenTowers::new("colours", encoder.clone(), encoder).expect("one").verified(known))
}

fn of(folder: &Path, colour: [u8; 3]) -> Example {
    let file = folder.join(format!("{colour:?}.png"));
    picture(&file, colour);
    Example::Picture(Source::Path(file))
}

/// Writes a name as a store with another model's vectors has it.
fn of_another_space(data: &Path, kind: NameKind, name: &str) {
    let holder = Holder { command: "test".into(), address: None };
    let store = LocalStore::open(data, towers().space(), Access::Write(holder)).expect("opened");
    let space = Space::new("another-1", 3).expect("a space");
    let vector = |part: &str| NamedVector {
        part: part.into(),
        origin: Origin::Words(part.into()),
        embedding: Embedding::new(&space, vec![1.0, 2.0, 3.0]).expect("a direction"),
    };
    let named = Named { name: name.into(), at: 1, vectors: vec![vector("a"), vector("b")] };
    store.put_named(kind, &named).expect("written");
}

#[test]
fn what_was_enrolled_with_another_model_is_told_and_not_compared() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = dir.path().join("data");
    open(&data, measured()).enrol("red", &[of(dir.path(), [255, 0, 0])], false).expect("enrolled");
    of_another_space(&data, NameKind::Identity, "old");
    of_another_space(&data, NameKind::LabelSet, "old");
    let engine = open(&data, measured());
    let red = of(dir.path(), [250, 0, 0]);
    let error = engine.verify("old", &red, Accepting::Usual).expect_err("cannot be compared");
    let said = error.to_string();
    assert!(said.contains("another-1") && said.contains("colour-1"), "{said}");
    assert_eq!(error.fault(), Fault::User);
    let found = engine.identify(&red, &IdentifyOptions::default()).expect("the other one can");
    assert_eq!((found.name.as_deref(), found.enrolled), (Some("red"), 1));
    assert_eq!(found.not_comparable, ["old"]);
    let list = engine.identities().expect("read");
    let known: Vec<_> = list.iter().map(|i| (i.name.as_str(), i.comparable)).collect();
    assert_eq!(known, [("old", false), ("red", true)]);
    // Adding to it would mix two spaces; beginning anew does not.
    engine.enrol("old", std::slice::from_ref(&red), false).expect_err("another space");
    engine.enrol("old", std::slice::from_ref(&red), true).expect("anew");
    assert!(engine.verify("old", &red, Accepting::Usual).expect("can be now").same);
    let Example::Picture(source) = &red else { panic!("a picture") };
    let labelled = engine.label_by_set(std::slice::from_ref(source), "old", false);
    assert!(labelled.expect_err("another space").to_string().contains("another-1"));
}

fn names(engine: &Engine, picture: &Example, accepting: Accepting) -> Option<String> {
    let options = IdentifyOptions { accepting: Some(accepting), k: 2 };
    engine.identify(picture, &options).expect("compared").name
}

#[test]
fn a_stricter_rate_rejects_more() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let engine = open(&dir.path().join("data"), measured());
    engine.enrol("red", &[of(dir.path(), [255, 0, 0])], false).expect("enrolled");
    engine.enrol("blue", &[of(dir.path(), [0, 0, 255])], false).expect("enrolled");
    let cosine = |colour: [u8; 3]| {
        let found = engine.verify("red", &of(dir.path(), colour), Accepting::Threshold(0.0));
        found.expect("compared").score
    };
    // Something like red, but not enough for one in a hundred.
    let like = (0..=255u8)
        .step_by(5)
        .map(|green| [255, green, 0])
        .find(|colour| (0.55..0.9).contains(&cosine(*colour)))
        .expect("a colour between");
    let like = of(dir.path(), like);
    assert_eq!(names(&engine, &like, Accepting::Rate(0.2)).as_deref(), Some("red"));
    assert_eq!(names(&engine, &like, Accepting::Usual), None);
    assert!(engine.verify("red", &like, Accepting::Rate(0.1)).expect("compared").same);
    assert!(!engine.verify("red", &like, Accepting::Usual).expect("compared").same);
    // With two enrolled, a hundredth of strangers is beyond what was measured.
    let options = IdentifyOptions { accepting: Some(Accepting::Rate(0.01)), k: 2 };
    let error = engine.identify(&like, &options).expect_err("cannot be kept").to_string();
    assert!(error.contains("allow 0.020 or more"), "{error}");
}

#[test]
fn without_calibration_labels_known_by_pictures_are_compared_by_cosine() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let engine = open(&dir.path().join("data"), towers());
    let labels: Vec<NewLabel> = COLOURS[..3]
        .iter()
        .map(|(name, colour)| NewLabel {
            examples: vec![of(dir.path(), *colour)],
            ..NewLabel::of_words(name)
        })
        .collect();
    let made = engine.write_label_set("hues", &labels, Writing::Create).expect("made");
    assert!(made.new && made.set.labels.iter().all(|l| l.words.is_some() && l.examples.len() == 1));
    let blue = dir.path().join("blue.png");
    picture(&blue, [10, 10, 240]);
    let found = engine.label_by_set(&[Source::Path(blue)], "hues", false).expect("labelled");
    let reply = found[0].as_ref().expect("a picture");
    assert_eq!((reply.labels[0].label.as_str(), reply.none_of_these), ("blue", None));
    let sum: f32 = reply.labels.iter().map(|l| l.probability).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{reply:?}");
    let absent = engine.label_by_set(&[], "none", false).expect_err("no such set");
    assert!(matches!(absent, EngineError::NotFound(_)), "{absent}");
    // Words in place of words, pictures beside pictures.
    let more = NewLabel {
        words: ekphrasis_engine::LabelWords::Text("navy".into()),
        examples: vec![of(dir.path(), [0, 0, 200]), of(dir.path(), [0, 0, 255])],
        ..NewLabel::of_words("blue")
    };
    let changed = engine.write_label_set("hues", &[more], Writing::Add).expect("added");
    let blue = &changed.set.labels[2];
    assert_eq!((blue.words.as_deref(), blue.examples.len()), (Some("navy"), 2));
}

/// How many pictures a filter lets through.
fn count(engine: &Engine, filter: &str) -> usize {
    let expr = filter.parse().expect("a filter");
    engine.items(None, 100, &Filter { kind: None, expr: Some(expr) }).expect("read").len()
}

/// A label known by words.
fn worded(names: &[&str]) -> Vec<NewLabel> {
    names.iter().map(|name| NewLabel::of_words(name)).collect()
}

#[test]
fn a_set_labels_the_whole_library_and_what_comes_later() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (folder, data) = (dir.path().join("pictures"), dir.path().join("data"));
    colours(&folder);
    let engine = open(&data, towers());
    index(&engine, &folder);
    engine
        .write_label_set("hues", &worded(&["red", "green", "blue"]), Writing::Create)
        .expect("made");
    let rule = LabelRule { minimum: 0.9, multi: false };
    let applied = engine.apply_label_set(" hues ", rule).expect("applied");
    // Yellow, white and black are none of them, or as much one as the other.
    let expected = ["red", "green", "blue"].map(|name| (name.to_owned(), 1));
    assert_eq!((applied.pictures, applied.labelled), (6, 3), "{applied:?}");
    assert_eq!(applied.labels, expected);
    // These encoders know no background, and it is said what that means.
    let [warning] = &applied.warnings[..] else { panic!("{applied:?}") };
    assert!(warning.contains("cannot tell when none of the labels fits"), "{warning}");
    assert_eq!(
        ["red", "green", "pink"].map(|hue| count(&engine, &format!("label:{hue}"))),
        [1, 1, 0]
    );
    let facets = engine.facets(&Filter::default(), 10).expect("counted");
    let labels = facets.groups.iter().find(|g| g.name == "label").expect("a property");
    assert_eq!((labels.distinct, labels.values[0].count), (3, 1), "{labels:?}");
    // Hits say what they are labelled, and how probable that was: as much as asked one by one.
    let request = SearchRequest {
        filter: Some("label:red".parse().expect("a filter")),
        ..SearchRequest::new(vec![text("red", 1.0)])
    };
    let hits = engine.search(&request).expect("found").hits;
    let [given] = &hits[0].given[..] else { panic!("{hits:?}") };
    assert_eq!((given.set.as_str(), given.label.as_str()), ("hues", "red"));
    let alone = engine.label_by_set(&[Source::Path(folder.join("0.png"))], "hues", false);
    let alone = alone.expect("labelled").swap_remove(0).expect("a picture");
    assert!((alone.labels[0].probability - given.probability).abs() < 1e-5, "{alone:?} {given:?}");
    // Why one is a hit, and how many could be, is told by the same labels.
    let red = hits[0].item.id;
    let about = SearchRequest { why: Some(red), ..request.clone() };
    let reason = engine.search(&about).expect("found").why.expect("told").reason;
    assert_eq!(reason, WhyReason::Shown);
    let other = engine.items(None, 100, &Filter::default()).expect("read");
    let other = other.iter().map(|item| item.id).find(|id| *id != red).expect("another");
    let about = SearchRequest { why: Some(other), ..request.clone() };
    let reason = engine.search(&about).expect("found").why.expect("told").reason;
    assert_eq!(reason, WhyReason::Filtered(vec!["label:red".into()]));
    let mut without = request.clone();
    without.feedback.disliked = vec![Example::Item(red)];
    let reply = engine.search(&without).expect("found");
    assert_eq!((reply.hits.len(), reply.total_candidates), (0, 0), "the one that is red is hidden");
    // It stays in the store; pictures that come are asked as they are indexed.
    drop(engine);
    let engine = open(&data, towers());
    picture(&folder.join("9.png"), [250, 5, 5]);
    picture(&folder.join("1.png"), [0, 0, 250]);
    index(&engine, &folder);
    assert_eq!(
        ["red", "green", "blue"].map(|hue| count(&engine, &format!("label:{hue}"))),
        [2, 0, 2]
    );
    let state = engine.status().expect("read").labels;
    assert_eq!((state[0].pictures, state[0].waiting, state[0].changed), (7, 0, false));
    // So are those that another store's export brings.
    let (others, more) = (dir.path().join("others"), dir.path().join("more"));
    fs_err::create_dir_all(&others).expect("created");
    picture(&others.join("11.png"), [245, 5, 5]);
    let other = open(&more, towers());
    index(&other, &others);
    let file = dir.path().join("all.npy");
    other.export(&file, ekphrasis_engine::ExchangeForm::Npy).expect("exported");
    assert_eq!(engine.import(&file, ekphrasis_engine::ExchangeForm::Npy).expect("imported"), 1);
    assert_eq!(count(&engine, "label:red"), 3);
    let id = engine.items(None, 100, &Filter::default()).expect("read").into_iter();
    let id = id
        .map(|item| (item.path, item.id))
        .find(|(path, _)| path.as_ref().is_some_and(|path| path.ends_with("11.png")));
    assert!(engine.remove_item(id.expect("imported").1).expect("removed"));
    // A set that is changed says so, and is not asked of what is new.
    engine.write_label_set("hues", &worded(&["white"]), Writing::Add).expect("added");
    picture(&folder.join("10.png"), [255, 255, 255]);
    index(&engine, &folder);
    let state = engine.status().expect("read").labels;
    assert_eq!((state[0].waiting, state[0].changed), (1, true));
    assert_eq!((count(&engine, "label:red"), count(&engine, "label:white")), (2, 0));
    let applied = engine.apply_label_set("hues", rule).expect("applied");
    assert_eq!((applied.pictures, applied.labels[3].1), (8, 2), "{applied:?}");
    assert_eq!(count(&engine, "label:white"), 2);
    // Nothing is left of what another set of that name said, nor of one that is forgotten.
    engine.write_label_set("hues", &worded(&["blue", "white"]), Writing::Replace).expect("made");
    engine.apply_label_set("hues", rule).expect("applied");
    assert!(count(&engine, "label:red") == 0 && count(&engine, "label:blue") > 0);
    assert!(engine.forget_label_set("hues").expect("forgotten"));
    assert_eq!(count(&engine, "label:*"), 0);
    for (name, rule, told) in [
        ("hues", rule, "no label set"),
        ("hues", LabelRule { minimum: 1.5, ..rule }, "from 0 to 1"),
    ] {
        let error = engine.apply_label_set(name, rule).expect_err(told).to_string();
        assert!(error.contains(told), "{error}");
    }
    engine.write_label_set("hues", &worded(&["red", "green"]), Writing::Create).expect("made");
    let each = LabelRule { multi: true, ..rule };
    let error = engine.apply_label_set("hues", each).expect_err("not calibrated").to_string();
    assert!(error.contains("ek model calibrate"), "{error}");
}

/// Sets that change, more of them than are kept, asked by who writes and by who only reads:
/// answers are those of the words that the set has now.
#[test]
fn a_set_answers_by_what_it_is_now_however_it_changed() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = dir.path().join("data");
    let (writer, seed) = (open(&data, towers()), 5);
    let reader = Engine::open(&data, towers(), OpenFor::Reading).expect("opens");
    eprintln!("seed {seed}");
    let mut rng = Pcg64::seed_from_u64(seed);
    let Example::Picture(purple) = of(dir.path(), [180, 20, 220]) else { panic!("a picture") };
    let mut sets: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for _ in 0..60 {
        let set = format!("set {}", rng.random_range(0..6));
        let words: Vec<&str> =
            COLOURS.iter().map(|(name, _)| *name).filter(|_| rng.random_range(0..2) == 0).collect();
        match rng.random_range(0..5) {
            0 => {
                let there = writer.forget_label_set(&set).expect("forgotten");
                assert_eq!(there, sets.remove(&set).is_some());
            }
            1 | 2 if words.len() > 1 => {
                writer.write_label_set(&set, &worded(&words), Writing::Replace).expect("made");
                sets.insert(set, words.into_iter().collect());
            }
            3 if sets.contains_key(&set) && !words.is_empty() => {
                writer.write_label_set(&set, &worded(&words), Writing::Add).expect("added");
                sets.entry(set).or_default().extend(words);
            }
            _ => {}
        }
        for (set, words) in &sets {
            let labels = words.iter().map(|&word| word.to_owned()).collect();
            let request = LabelRequest { labels, templates: vec![], multi: false };
            let all = |labels: &[LabelScore]| -> Vec<(String, f32, f32)> {
                labels.iter().map(|l| (l.label.clone(), l.probability, l.score)).collect()
            };
            let expected = all(&writer.label(&purple, &request).expect("labelled").labels);
            for engine in [&writer, &reader] {
                let got = engine.label_by_set(std::slice::from_ref(&purple), set, false);
                let got = got.expect("there").swap_remove(0).expect("labelled").labels;
                assert_eq!(all(&got), expected, "{set}");
            }
        }
    }
    assert!(sets.len() > 2, "{sets:?}");
}

#[test]
fn nouns_are_embedded_once_for_a_model_that_came_without() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let data = dir.path().join("data");
    let red = of(dir.path(), [255, 0, 0]);
    let Example::Picture(source) = red else { panic!("a picture") };
    let engine = open(&data, towers());
    assert!(engine.describe(&source, 3).expect("read").is_empty());
    let encoded = || engine.meters().encode_image.cumulative().1;
    assert_eq!(encoded(), 1, "it is counted");
    assert!(!engine.learn_nouns(&AtomicBool::new(true)).expect("stopped"));
    assert!(engine.learn_nouns(&AtomicBool::new(false)).expect("embedded"));
    let found = engine.describe(&source, 3).expect("read");
    assert!(found.len() == 3 && found[0].text.contains("red"), "{found:?}");
    // Kept for whoever opens the store next; what is not whole is not taken.
    let again = || open(&data, towers()).describe(&source, 3).expect("read").len();
    drop(engine);
    assert_eq!(again(), 3);
    let kept = fs_err::read_dir(&data).expect("listed").flatten().map(|entry| entry.path());
    let kept = kept.filter(|p| p.extension().is_some_and(|e| e == "i4")).collect::<Vec<_>>();
    let [file] = &kept[..] else { panic!("{kept:?}") };
    let mut bytes = fs_err::read(file).expect("read");
    bytes[7] ^= 1;
    fs_err::write(file, bytes).expect("written");
    assert_eq!(again(), 0);
}
