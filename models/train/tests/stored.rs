//! Are the figures of a run those of the files it wrote, however few bits they have?

use std::sync::atomic::AtomicBool;

use ekphrasis_embed::{ImageEncoder, TextEncoder};
use ekphrasis_metric::measure::{Relevance, RetrievalScore, retrieve};
use ekphrasis_models::decode;
use ekphrasis_train::config::{Config, StorageConfig};
use ekphrasis_train::job::{Done, prepare};
use ekphrasis_train::run::{Direction, Supply};
use ndarray::Array2;

use super::recipes::{Place, short};

/// Embeddings as a matrix.
fn matrix(rows: Vec<ekphrasis_embed::Embedding>) -> Array2<f32> {
    let wide = rows[0].values().len();
    let flat: Vec<f32> = rows.iter().flat_map(|r| r.values().iter().copied()).collect();
    Array2::from_shape_vec((rows.len(), wide), flat).expect("rows of one width")
}

/// Recall of the published folder on what was held out, through the runtime alone:
/// text to image, image to text.
fn by_the_runtime(place: &Place, config: &Config, done: &Done) -> [RetrievalScore; 2] {
    let job = place.job(config.clone());
    let prepared = prepare(&job, &AtomicBool::new(false), &mut |_| {}).expect("as before");
    let held = prepared.supply.held_out();
    let model = &done.published.as_ref().expect("published").model;
    let encoder = model.ort_image_encoder(&place.runtime, 1).expect("an encoder");
    let pictures: Vec<_> = held
        .pictures
        .iter()
        .map(|&p| {
            let bytes = fs_err::read(&prepared.examples[p].path).expect("readable");
            let pixels = decode(&bytes).expect("a picture").pixels;
            encoder.preprocess().tensor(&pixels).expect("any size")
        })
        .collect();
    let texts: Vec<&str> =
        held.captions.iter().map(|&c| prepared.supply.texts()[c].as_str()).collect();
    let images = matrix(encoder.embed_images(&pictures).expect("embeddings"));
    let texts = model
        .ort_text_encoder(&place.runtime, 1)
        .expect("an encoder")
        .embed_texts(&texts)
        .expect("embeddings");
    let texts = matrix(texts);
    let mut pictures_of = vec![Vec::new(); held.captions.len()];
    for (picture, captions) in held.captions_of.iter().enumerate() {
        captions.iter().for_each(|&c| pictures_of[c].push(picture));
    }
    let ask = |queries: &Array2<f32>, candidates: &Array2<f32>, right: Vec<Vec<usize>>| {
        let relevance = Relevance::new(right, candidates.nrows()).expect("places");
        let scores = retrieve(queries.view(), candidates.view(), &relevance);
        RetrievalScore::new(&scores, relevance.ranked_over()).expect("queries")
    };
    [ask(&texts, &images, pictures_of), ask(&images, &texts, held.captions_of.clone())]
}

fn same_figures(name: &str, after: Direction, runtime: &RetrievalScore) {
    let told = [after.recall_at_1, after.recall_at_5, after.recall_at_10];
    let got = [runtime.recall_at_1, runtime.recall_at_5, runtime.recall_at_10];
    // Cosines within the tolerance of each other may change places.
    let one = 1.0 / after.queries as f64;
    assert!(
        told.iter().zip(got).all(|(t, g)| (t - g).abs() <= one + 1e-9),
        "{name}: {told:?} {got:?}"
    );
}

#[test]
fn a_published_model_is_the_one_that_was_measured() {
    let place = Place::new();
    let start = "seed = 3\n[image]\nkind = \"linear\"\n[text]\nkind = \"linear\"\n[start]\nkind = \"ridge\"\nfolds = 3\nshrink = 0.3\n";
    let plain = include_str!("../recipes/finetune.toml");
    let towers = include_str!("../recipes/small-towers.toml");
    let all = StorageConfig::Bits8;
    for (name, text, storage) in [
        ("head-8", plain.to_owned(), all),
        ("head-12", plain.to_owned(), StorageConfig::Bits12),
        ("start-8", start.to_owned(), all),
        ("towers-8", towers.to_owned(), all),
    ] {
        let mut config = short(&text);
        config.publish.storage = storage;
        let done = place.train(config.clone(), name, false, u64::MAX);
        let done = done.unwrap_or_else(|e| panic!("{name}: {e}"));
        let parity = done.published.as_ref().expect("published").parity;
        println!("{name}: {parity:?}");
        assert!(parity.image.largest <= 1e-4 && parity.text.largest <= 1e-4, "{name}: {parity:?}");
        let after = done.after.expect("held-out pictures");
        let [texts, images] = by_the_runtime(&place, &config, &done);
        same_figures(name, after.text_to_image.expect("captions"), &texts);
        same_figures(name, after.image_to_text.expect("captions"), &images);
    }
}
