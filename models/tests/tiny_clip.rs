//! Does a model in the layout of public CLIP exports give the embeddings that
//! transformers gives? The weights are random, the plumbing is not.

use std::fmt::Write;
use std::path::Path;

use ekphrasis_embed::testing::{check_image_encoder, check_pair, check_text_encoder};
use ekphrasis_embed::{EncodeError, ImageEncoder, TextEncoder};
use ekphrasis_models::{Model, ModelError, sha256_hex};
use serde_json::Value;

use crate::support::{self, PICTURES, cosine, golden_pixels, numbers, runtime, stem};

const MANIFEST: &str = r#"format = 1
name = "tiny-clip"
summary = "Random weights in the shape of CLIP, for tests."
license = "Apache-2.0"
languages = ["en"]
[space]
id = "tiny-clip-1"
dim = 48
[image]
file = "vision_model.onnx"
input = "pixel_values"
output = "image_embeds"
[image.preprocess]
size = 224
resize = "shortest-edge"
edge = 224
interpolation = "bicubic"
mean = [0.48145466, 0.4578275, 0.40821073]
std = [0.26862954, 0.26130258, 0.27577711]
[text]
file = "text_model.onnx"
tokenizer = "tokenizer.json"
output = "text_embeds"
context = 77
padding = "context"
pad_token = "<|endoftext|>"
pooling = "end of text"
[labels]
templates = ["a photo of a {}"]
logit_scale = 100.0
"#;

/// The model folder, with a manifest changed by `edit`.
fn folder(edit: impl Fn(String) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let from = support::reference().join("tiny_clip");
    let mut manifest = edit(MANIFEST.into());
    for file in ["onnx/vision_model.onnx", "onnx/text_model.onnx", "tokenizer.json"] {
        let name = Path::new(file).file_name().and_then(|n| n.to_str()).expect("a file name");
        let bytes = fs_err::read(from.join(file)).expect("a fixture");
        fs_err::write(dir.path().join(name), &bytes).expect("writable");
        let (len, sum) = (bytes.len(), sha256_hex(&bytes));
        writeln!(manifest, "[files.{name:?}]\nbytes = {len}\nsha256 = {sum:?}").expect("a string");
    }
    fs_err::write(dir.path().join("model.toml"), manifest).expect("writable");
    dir
}

fn golden() -> Value {
    let text = fs_err::read_to_string(support::reference().join("tiny_clip/golden.json"));
    serde_json::from_str(&text.expect("a fixture")).expect("valid JSON")
}

#[test]
fn pictures_agree_with_the_golden_embeddings() {
    let dir = folder(|m| m);
    let model = Model::open(dir.path()).expect("a whole model");
    let encoder = model.ort_image_encoder(&runtime(), 2).expect("an encoder");
    let golden = golden();
    let mut tensors = Vec::new();
    for name in PICTURES {
        let pixels = golden_pixels(name, "clip_224");
        tensors.push(encoder.preprocess().tensor(&pixels).expect("of the right size"));
    }
    let got = encoder.embed_images(&tensors).expect("embeddings");
    for (name, e) in PICTURES.iter().zip(&got) {
        let want = numbers(&golden["images"][stem(name)]);
        let cosine = cosine(e.values(), &want);
        assert!(cosine > 0.9999, "{name}: {cosine}");
    }
    let raw = encoder.outputs(&tensors, &["image_embeds"]).expect("the same output, raw");
    assert_eq!(raw[0].len(), PICTURES.len() * 48);
    let unknown = encoder.outputs(&tensors, &["pooled"]).expect_err("no such output").to_string();
    assert!(unknown.contains("pooled") && unknown.contains("image_embeds"), "{unknown}");
}

#[test]
fn texts_agree_with_the_golden_ids_and_embeddings() {
    let dir = folder(|m| m);
    let model = Model::open(dir.path()).expect("a whole model");
    let encoder = model.ort_text_encoder(&runtime(), 2).expect("an encoder");
    let golden = golden();
    let items = golden["texts"].as_array().expect("an array");
    let texts: Vec<&str> = items.iter().map(|i| i["text"].as_str().expect("a string")).collect();
    let got = encoder.embed_texts(&texts).expect("embeddings");
    for ((item, text), e) in items.iter().zip(&texts).zip(&got) {
        let ids = encoder.token_ids(text).expect("ids");
        let want: Vec<i64> =
            item["ids"].as_array().expect("an array").iter().filter_map(Value::as_i64).collect();
        assert_eq!(ids, want, "{text:?}");
        let cosine = cosine(e.values(), &numbers(&item["embedding_48"]));
        assert!(cosine > 0.9999, "{text:?}: {cosine}");
    }
}

#[test]
fn both_towers_conform() {
    let dir = folder(|m| m);
    let model = Model::open(dir.path()).expect("a whole model");
    let images = model.image_encoder(&runtime(), 2).expect("an encoder");
    let texts = model.text_encoder(&runtime(), 2).expect("an encoder");
    check_image_encoder(images.as_ref());
    check_text_encoder(texts.as_ref());
    check_pair(images.as_ref(), texts.as_ref());
    assert!(model.vocabulary().expect("none").is_none());
}

#[test]
fn batches_larger_than_one_run_keep_their_order() {
    let dir = folder(|m| m);
    let model = Model::open(dir.path()).expect("a whole model");
    let texts: Vec<String> =
        (0..150).map(|i| format!("{}picture {i}", "a ".repeat(i % 7))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let encoder = model.text_encoder(&runtime(), 1).expect("an encoder");
    let all = encoder.embed_texts(&texts).expect("embeddings");
    assert_eq!(all.len(), texts.len());
    for i in [0, 63, 64, 77, 149] {
        let alone = &encoder.embed_texts(&texts[i..=i]).expect("one")[0];
        assert!(alone.cosine(&all[i]).expect("one space") > 0.9999, "text {i}");
    }
}

#[test]
fn a_tensor_of_another_size_is_refused() {
    let dir = folder(|m| m);
    let model = Model::open(dir.path()).expect("a whole model");
    let encoder = model.image_encoder(&runtime(), 1).expect("an encoder");
    let other = ekphrasis_embed::testing::ColourEncoder::default();
    let pixels = golden_pixels(PICTURES[0], "clip_224");
    let tensor = ImageEncoder::preprocess(&other).tensor(&pixels).expect("small");
    let error = encoder.embed_images(&[tensor]).expect_err("16 × 16");
    assert!(matches!(error, EncodeError::InputSize { expected: 224, got: 16 }), "{error}");
}

#[test]
fn a_manifest_that_lies_about_the_graph_is_found_out() {
    let cases = [
        ("input = \"pixel_values\"", "input = \"pixels\"", "pixel_values"),
        ("output = \"image_embeds\"", "output = \"embedding\"", "image_embeds"),
        ("dim = 48", "dim = 49", "49"),
        ("pad_token = \"<|endoftext|>\"", "pad_token = \"[PAD]\"", "[PAD]"),
        ("output = \"text_embeds\"", "output = \"embedding\"", "text_embeds"),
        ("file = \"text_model.onnx\"", "file = \"tokenizer.json\"", "tokenizer.json"),
    ];
    let runtime = runtime();
    for (from, to, expected) in cases {
        let dir = folder(|m| m.replacen(from, to, 1));
        let model = Model::open(dir.path()).expect("the manifest itself is fine");
        let image = model.image_encoder(&runtime, 1).err();
        let text = model.text_encoder(&runtime, 1).err();
        let error = image.or(text).unwrap_or_else(|| panic!("{to} is wrong")).to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

#[test]
fn damaged_files_are_named() {
    let missing = Model::open(Path::new("no/such/model")).expect_err("not there");
    assert!(missing.to_string().contains("no/such/model"), "{missing}");

    let dir = folder(|m| m);
    let model = Model::open(dir.path()).expect("a whole model");
    let graph = dir.path().join("vision_model.onnx");
    let mut bytes = fs_err::read(&graph).expect("readable");
    bytes[1000] ^= 1;
    fs_err::write(&graph, &bytes).expect("writable");
    let error = model.image_encoder(&runtime(), 1).err().expect("another checksum");
    assert!(matches!(error, ModelError::File(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains("vision_model.onnx") && text.contains("sha256"), "{text}");

    bytes.pop();
    fs_err::write(&graph, &bytes).expect("writable");
    let error = Model::open(dir.path()).expect_err("another length").to_string();
    assert!(error.contains("vision_model.onnx") && error.contains("bytes"), "{error}");

    fs_err::write(dir.path().join("model.toml"), "format = 1\nx = ").expect("writable");
    let error = Model::open(dir.path()).expect_err("no TOML").to_string();
    assert!(error.contains("model.toml"), "{error}");
}
