//! Identities and label sets over encoders that need no model.

use std::path::Path;
use std::sync::Arc;

use ekphrasis_embed::testing::ColourEncoder;
use ekphrasis_embed::{Embedding, Space};
use ekphrasis_engine::{
    AcceptRate, Accepting, Engine, EngineError, Example, Fault, GivenTowers, IdentifyOptions,
    NewLabel, Source, Towers, Verification, Writing,
};
use ekphrasis_index::{Access, Holder, LocalStore, NameKind, Named, NamedVector, Origin};

use crate::{COLOURS, open, picture, towers};

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
    let labelled = engine.label_by_set(std::slice::from_ref(source), "old");
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
    let found = engine.label_by_set(&[Source::Path(blue)], "hues").expect("labelled");
    let reply = found[0].as_ref().expect("a picture");
    assert_eq!((reply.labels[0].label.as_str(), reply.none_of_these), ("blue", None));
    let sum: f32 = reply.labels.iter().map(|l| l.probability).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{reply:?}");
    let absent = engine.label_by_set(&[], "none").expect_err("no such set");
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
