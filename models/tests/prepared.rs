//! Does a graph that was prepared by an earlier run answer like the graph itself?

use std::path::{Path, PathBuf};

use ekphrasis_embed::{ImageEncoder, TextEncoder};
use ekphrasis_models::{Model, decode};

use crate::support::{PICTURES, picture, runtime};

const TEXTS: [&str; 4] = ["a cat", "", "a cup of coffee on a wooden table, seen from above", "猫"];

fn lite() -> Model {
    Model::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("lite")).expect("the shipped model")
}

fn texts(model: &Model) -> Vec<Vec<f32>> {
    let encoder = model.ort_text_encoder(&runtime(), 2).expect("an encoder");
    let embeddings = encoder.embed_texts(&TEXTS).expect("embeddings");
    embeddings.iter().map(|e| e.values().to_vec()).collect()
}

fn pictures(model: &Model) -> Vec<Vec<f32>> {
    let encoder = model.ort_image_encoder(&runtime(), 2).expect("an encoder");
    let tensor = |name: &&str| {
        let pixels = decode(&picture(name)).expect("a picture").pixels;
        encoder.preprocess().tensor(&pixels).expect("a plain shape")
    };
    let tensors: Vec<_> = PICTURES.iter().map(tensor).collect();
    let embeddings = encoder.embed_images(&tensors).expect("embeddings");
    embeddings.iter().map(|e| e.values().to_vec()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs_err::read_dir(folder)
        .map(|all| all.map(|e| e.expect("readable").path()).collect())
        .unwrap_or_default();
    found.sort();
    found
}

fn agree(got: &[Vec<f32>], expected: &[Vec<f32>], what: &str) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        let apart = got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5, "{what}: {apart} apart");
    }
}

#[test]
fn prepared_graphs_answer_like_the_graphs_themselves() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let folder = dir.path().join("sessions");
    let prepared = lite().preparing_in(folder.clone());
    let (plain_texts, plain_pictures) = (texts(&lite()), pictures(&lite()));
    agree(&texts(&prepared), &plain_texts, "texts, the first time");
    agree(&pictures(&prepared), &plain_pictures, "pictures, the first time");
    let kept = files(&folder);
    assert_eq!(kept.len(), 2, "one a tower: {kept:?}");
    let written: Vec<_> = kept.iter().map(|p| fs_err::metadata(p).expect("there").len()).collect();
    agree(&texts(&prepared), &plain_texts, "texts, prepared");
    agree(&pictures(&prepared), &plain_pictures, "pictures, prepared");
    let once = prepared.clone().for_one_answer();
    agree(&texts(&once), &plain_texts, "texts, with weights as they are");
    assert_eq!(files(&folder), kept, "nothing is prepared twice");

    // A damaged one is made anew.
    for path in &kept {
        let mut bytes = fs_err::read(path).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs_err::write(path, bytes).expect("writable");
    }
    agree(&texts(&prepared), &plain_texts, "texts, after damage");
    agree(&pictures(&prepared), &plain_pictures, "pictures, after damage");
    let again: Vec<_> = kept.iter().map(|p| fs_err::metadata(p).expect("there").len()).collect();
    assert_eq!(again, written);
}

#[test]
fn a_cache_that_cannot_be_written_is_no_failure() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let file = dir.path().join("a file");
    fs_err::write(&file, b"").expect("writable");
    let model = lite().preparing_in(file.join("below it"));
    agree(&texts(&model), &texts(&lite()), "texts");
}
