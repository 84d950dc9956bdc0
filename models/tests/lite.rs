//! Does the shipped model give what PyTorch gives for its two backbones?

use std::path::Path;

use ekphrasis_embed::ImageTensor;
use ekphrasis_embed::testing::{check_image_encoder, check_pair, check_text_encoder};
use ekphrasis_models::{Model, decode, unsaid};
use serde_json::Value;

use crate::support::{
    self, PICTURES, cosine, golden_pixels, normalise_only, numbers, picture, runtime, spec,
};

/// How the golden features were made; the shipped model pads instead of cropping.
const SPEC: &str = "efficientnet_lite0_224";

/// Logits nearer than this count as equal.
const NEAR: f64 = 0.02;

fn lite() -> Model {
    Model::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("lite")).expect("the shipped model")
}

fn golden(file: &str) -> Value {
    let text = fs_err::read_to_string(support::reference().join(file)).expect("a fixture");
    serde_json::from_str(&text).expect("valid JSON")
}

fn top3(logits: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order.truncate(3);
    order
}

/// The least cosine of pooled features over all pictures.
fn check_backbone(tensors: &[ImageTensor], least: f64, what: &str) -> f64 {
    let encoder = lite().ort_image_encoder(&runtime(), 1).expect("an encoder");
    let golden = golden("efficientnet_lite0_golden.json");
    let got = encoder.outputs(tensors, &["pooled", "logits"]).expect("features and logits");
    let [pooled, logits] = &got[..] else { panic!("two outputs") };
    let mut worst = f64::INFINITY;
    for ((name, pooled), logits) in
        PICTURES.iter().zip(pooled.chunks(1280)).zip(logits.chunks(1000))
    {
        let cosine = cosine(pooled, &numbers(&golden[*name]["pooled_1280"]));
        assert!(cosine > least, "{what}, {name}: pooled cosine {cosine}");
        worst = worst.min(cosine);
        let classes = golden[*name]["top3"].as_array().expect("an array");
        let want: Vec<(usize, f64)> = classes
            .iter()
            .map(|c| (c[0].as_u64().expect("a class") as usize, c[2].as_f64().expect("a logit")))
            .collect();
        for (rank, class) in top3(logits).into_iter().enumerate() {
            // Weights are stored as half floats: two classes whose logits are
            // nearly equal (6.4835 and 6.4761 in one picture) may change places.
            let same =
                want.iter().any(|(c, logit)| *c == class && (logit - want[rank].1).abs() < NEAR);
            assert!(same, "{what}, {name}: rank {rank} is {class}, expected {want:?}");
        }
    }
    worst
}

#[test]
fn the_backbone_agrees_from_golden_pixels() {
    let normalise = normalise_only(SPEC);
    let tensor = |name: &&str| {
        normalise.tensor(&golden_pixels(name, SPEC)).expect("of the right size already")
    };
    let tensors: Vec<_> = PICTURES.iter().map(tensor).collect();
    let worst = check_backbone(&tensors, 0.9999, "golden pixels");
    println!("least pooled cosine {worst:.6}");
}

#[test]
fn the_backbone_agrees_from_the_files() {
    let spec = spec(SPEC);
    let tensor = |name: &&str| {
        spec.tensor(&decode(&picture(name)).expect("a picture").pixels).expect("a plain shape")
    };
    let tensors: Vec<_> = PICTURES.iter().map(tensor).collect();
    let worst = check_backbone(&tensors, 0.999, "files");
    println!("least pooled cosine {worst:.6}");
}

#[test]
fn texts_agree_with_the_golden_ids_and_embeddings() {
    let encoder = lite().ort_text_encoder(&runtime(), 1).expect("an encoder");
    let golden = golden("minilm_golden.json");
    let items = golden["items"].as_array().expect("an array");
    let texts: Vec<&str> = items.iter().map(|i| i["text"].as_str().expect("a string")).collect();
    // What the frozen encoder gives; the trained head's output has another name.
    let got = encoder.outputs(&texts, &["embedding"]).expect("embeddings").remove(0);
    let mut worst = f64::INFINITY;
    for ((item, text), e) in items.iter().zip(&texts).zip(got.chunks(384)) {
        let ids = encoder.token_ids(text).expect("ids");
        let want: Vec<i64> =
            item["ids"].as_array().expect("an array").iter().filter_map(Value::as_i64).collect();
        // Of the very long text the golden file keeps the count and the first ids.
        assert_eq!(ids.len() as u64, item["n_ids"].as_u64().expect("a count"), "{text:.40}");
        assert_eq!(ids[..want.len()], want, "{text:.40}");
        let cosine = cosine(e, &numbers(&item["embedding_384"]));
        assert!(cosine > 0.9999, "{text:.40}: {cosine}");
        worst = worst.min(cosine);
    }
    println!("texts: least cosine {worst:.6}");
}

#[test]
fn both_towers_conform() {
    let model = lite();
    let images = model.image_encoder(&runtime(), 2).expect("an encoder");
    let texts = model.text_encoder(&runtime(), 2).expect("an encoder");
    check_image_encoder(images.as_ref());
    check_text_encoder(texts.as_ref());
    check_pair(images.as_ref(), texts.as_ref());
}

/// The words of apes themselves are asked, so that nothing could be nearer; no runtime is needed.
#[test]
fn no_answer_is_unsaid() {
    let model = lite();
    let vocabulary = model.vocabulary().expect("readable").expect("the model has one");
    let lexicon = model.lexicon().expect("readable").expect("the model has one");
    let unsaid_ones: Vec<usize> =
        (0..vocabulary.words().len()).filter(|&i| unsaid(&vocabulary.words()[i])).collect();
    for ape in ["gorilla", "chimpanzee", "orangutan", "baboon", "Madagascar cat"] {
        assert!(unsaid_ones.iter().any(|&i| vocabulary.words()[i] == ape), "{ape}");
    }
    for i in unsaid_ones {
        let query = vocabulary.embedding(i);
        let classes = vocabulary.nearest(&query, 1000).expect("one space");
        let nouns = lexicon.nearest(&query, 100).expect("one space");
        assert!(classes.len() > 900 && nouns.len() == 100, "{}", classes.len());
        let said = classes.iter().chain(&nouns).find(|(word, _)| unsaid(word));
        assert!(said.is_none(), "{}: {said:?}", vocabulary.words()[i]);
    }
}

#[test]
fn pictures_and_words_meet() {
    let model = lite();
    let vocabulary = model.vocabulary().expect("readable").expect("the model has one");
    let encoder = model.image_encoder(&runtime(), 1).expect("an encoder");
    let coffee = decode(&picture("coffee_300x600.webp")).expect("a picture");
    let tensor = encoder.preprocess().tensor(&coffee.pixels).expect("a plain shape");
    let image = encoder.embed_images(&[tensor]).expect("an embedding").remove(0);
    let near = vocabulary.nearest(&image, 5).expect("one space");
    assert!(near.iter().any(|(word, _)| word.contains("espresso")), "{near:?}");
    assert!(near.is_sorted_by(|a, b| a.1 >= b.1), "{near:?}");
    // The vocabulary is what the text tower says of its words.
    let texts = model.text_encoder(&runtime(), 1).expect("an encoder");
    let words: Vec<&str> = vocabulary.words().iter().step_by(97).map(String::as_str).collect();
    for (n, e) in texts.embed_texts(&words).expect("embeddings").iter().enumerate() {
        let cosine = e.cosine(&vocabulary.embedding(n * 97)).expect("one space");
        assert!(cosine > 0.99, "{}: {cosine}", words[n]);
    }
}

#[test]
fn it_says_what_it_said_when_it_shipped() {
    let model = lite();
    let golden = model.golden().expect("readable").expect("recorded with the model");
    let image = model.image_encoder(&runtime(), 1).expect("a picture tower");
    let text = model.text_encoder(&runtime(), 1).expect("a text tower");
    let agreement = golden.compare(&*image, &*text).expect("answers");
    println!("{agreement:?}");
    assert!(agreement.least() >= 0.9999, "{agreement:?}");
}
