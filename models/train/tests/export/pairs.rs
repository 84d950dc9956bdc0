//! An image encoder of one training does not answer to a text encoder of another.

use std::path::Path;

use ekphrasis_models::{Model, ModelError, sha256_hex};
use ekphrasis_train::export::{Export, ImageTower, Storage, TextTower, publish};
use ekphrasis_train::layer::Feature;

use super::heads::{expected_images, expected_texts, head};
use super::support::{Random, about, foreign, runtime, samples, words};

fn train(base: &Model, seed: u64, out: &Path) -> Model {
    let mut random = Random::new(seed);
    let inner = || Feature { name: "inner".into(), width: 6 };
    let image = head(&mut random, inner(), vec![inner()], false);
    let text = head(&mut random, inner(), vec![inner()], false);
    let pictures = random.pictures(3, &base.manifest().image().preprocess);
    let image_rows = expected_images(base, &image, &pictures);
    let text_rows = expected_texts(base, &text);
    let words = words();
    let export = Export {
        image: ImageTower::Head { base, head: &image },
        text: TextTower::Head { base, head: &text },
        about: about(&words),
        storage: Storage::F32,
        words: &[],
        card: None,
        samples: samples(&pictures, &image_rows, &text_rows),
    };
    publish(&export, &runtime(), out).expect("published").model
}

/// Puts another text.onnx in, and edits the manifest to match.
fn mix(into: &Path, from: &Path) {
    let manifest = fs_err::read_to_string(into.join("model.toml")).expect("a manifest");
    let mut table: toml::Table = toml::from_str(&manifest).expect("TOML");
    let bytes = fs_err::read(from.join("text.onnx")).expect("a graph");
    table["files"]["text.onnx"]["bytes"] = (bytes.len() as i64).into();
    table["files"]["text.onnx"]["sha256"] = sha256_hex(&bytes).into();
    fs_err::write(into.join("text.onnx"), bytes).expect("writable");
    fs_err::write(into.join("model.toml"), toml::to_string(&table).expect("TOML"))
        .expect("writable");
}

#[test]
fn mixed_pairs_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let base_dir = dir.path().join("base");
    fs_err::create_dir(&base_dir).expect("writable");
    let base = foreign(17, &base_dir);
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let first = train(&base, 21, &a);
    let second = train(&base, 22, &b);
    assert_ne!(first.space(), second.space());
    // The same training again is the same model.
    let again = train(&base, 21, &dir.path().join("c"));
    assert_eq!(first.manifest(), again.manifest());

    mix(&a, &b);
    let model = Model::open(&a).expect("lengths and hashes match");
    model.ort_image_encoder(&runtime(), 1).expect("its own");
    let Err(error) = model.ort_text_encoder(&runtime(), 1) else { panic!("a mixed pair") };
    assert!(matches!(error, ModelError::Pair { .. }), "{error}");
    let ids = [&first, &second].map(|m| m.manifest().training().expect("trained").pair.clone());
    let text = error.to_string();
    assert!(ids.iter().all(|id| text.contains(id)) && text.contains("text.onnx"), "{text}");

    // A manifest that keeps quiet about training does not help.
    let manifest = fs_err::read_to_string(a.join("model.toml")).expect("a manifest");
    let mut table: toml::Table = toml::from_str(&manifest).expect("TOML");
    table.remove("training").expect("it was there");
    fs_err::write(a.join("model.toml"), toml::to_string(&table).expect("TOML")).expect("writable");
    let model = Model::open(&a).expect("a manifest without training");
    assert!(matches!(model.ort_image_encoder(&runtime(), 1), Err(ModelError::Pair { .. })));
    assert!(matches!(model.ort_text_encoder(&runtime(), 1), Err(ModelError::Pair { .. })));

    // Nor does a graph that no training made, beside one of a training.
    mix(&b, &base_dir);
    let model = Model::open(&b).expect("lengths and hashes match");
    assert!(matches!(model.ort_text_encoder(&runtime(), 1), Err(ModelError::Pair { .. })));
    // But models without a pair still open.
    base.ort_text_encoder(&runtime(), 1).expect("no training, no pair");
}
