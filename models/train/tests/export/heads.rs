//! Heads on towers that are there, the shipped ones among them.

use std::path::Path;

use ekphrasis_embed::{ImageTensor, TextEncoder, dot};
use ekphrasis_models::Model;
use ekphrasis_train::export::{
    Export, ExportError, ImageTower, Published, Storage, TOLERANCE, TextTower, expose, publish,
    rounded_head,
};
use ekphrasis_train::layer::{Feature, Head, Layer};

use super::support::{Random, TEXTS, about, floats, foreign, lite, runtime, samples, words};

fn feature(name: &str, width: usize) -> Feature {
    Feature { name: name.into(), width }
}

/// A head of random weights; the body is small beside the base.
pub(super) fn head(
    random: &mut Random,
    base: Feature,
    features: Vec<Feature>,
    mapped: bool,
) -> Head {
    let width = features.iter().map(|f| f.width).sum();
    let dim = base.width;
    let body =
        vec![random.norm(width), random.linear(width, 48), Layer::Gelu, random.linear(48, dim)];
    let map = mapped.then(|| random.array(&[dim, dim]));
    Head::new(Some(base), map, features, body, 1e-12).expect("fits")
}

/// What a head should give for pictures, by way of the runtime's features.
pub(super) fn expected_images(base: &Model, head: &Head, pictures: &[ImageTensor]) -> Vec<f32> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let names = names(head);
    let open = expose(base, &names, &[], dir.path()).expect("values of the graph");
    let encoder = open.ort_image_encoder(&runtime(), 1).expect("an encoder");
    let values = encoder.outputs(pictures, &names).expect("values");
    rows(head, pictures.len(), &values)
}

/// The same for [`TEXTS`].
pub(super) fn expected_texts(base: &Model, head: &Head) -> Vec<f32> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let names = names(head);
    let open = expose(base, &[], &names, dir.path()).expect("values of the graph");
    let encoder = open.ort_text_encoder(&runtime(), 1).expect("an encoder");
    rows(head, TEXTS.len(), &encoder.outputs(&TEXTS, &names).expect("values"))
}

fn names(head: &Head) -> Vec<&str> {
    head.base().into_iter().chain(head.features()).map(|f| f.name.as_str()).collect()
}

fn rows(head: &Head, count: usize, values: &[Vec<f32>]) -> Vec<f32> {
    let (base, features) = match head.base() {
        Some(_) => (Some(values[0].as_slice()), &values[1..]),
        None => (None, values),
    };
    let features: Vec<&[f32]> = features.iter().map(Vec::as_slice).collect();
    floats(&head.forward(count, base, &features).expect("as many rows"))
}

#[derive(Clone)]
struct Trained {
    image: Head,
    text: Head,
    pictures: Vec<ImageTensor>,
    image_rows: Vec<f32>,
    text_rows: Vec<f32>,
}

fn trained(base: &Model, image: Head, text: Head, random: &mut Random) -> Trained {
    let pictures = random.pictures(4, &base.manifest().image().preprocess);
    let image_rows = expected_images(base, &image, &pictures);
    let text_rows = expected_texts(base, &text);
    Trained { image, text, pictures, image_rows, text_rows }
}

fn publish_heads(
    base: &Model,
    trained: &Trained,
    storage: Storage,
    vocabulary: &[String],
    out: &Path,
) -> Result<Published, ExportError> {
    let words = words();
    let export = Export {
        image: ImageTower::Head { base, head: &trained.image },
        text: TextTower::Head { base, head: &trained.text },
        about: about(&words),
        storage,
        words: vocabulary,
        card: Some("# A test\n"),
        samples: samples(&trained.pictures, &trained.image_rows, &trained.text_rows),
    };
    publish(&export, &runtime(), out)
}

#[test]
fn on_the_shipped_towers_once_and_again() {
    let base = lite();
    let mut random = Random::new(11);
    let image = head(
        &mut random,
        feature("conse", 384),
        vec![feature("pooled", 1280), feature("logits", 1000)],
        true,
    );
    let text = head(&mut random, feature("embedding", 384), vec![feature("pool", 384)], false);
    let first = trained(&base, image, text, &mut random);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let vocabulary: Vec<String> =
        ["cat", "dog", "cat", " fire  engine ", ""].map(String::from).to_vec();
    let once = dir.path().join("once");
    let done = publish_heads(&base, &first, Storage::F32, &vocabulary, &once).expect("published");
    println!("once: {:?}", done.parity);
    let manifest = done.model.manifest();
    assert!(manifest.space().id().starts_with("test-model-"), "{}", manifest.space());
    assert_eq!(manifest.training().map(|t| t.pair.as_str()), Some(done.pair.as_str()));
    assert_eq!(manifest.training().and_then(|t| t.base.as_deref()), Some(base.space().id()));
    assert_eq!(fs_err::read_to_string(once.join("CARD.md")).expect("written"), "# A test\n");
    let left: Vec<_> = fs_err::read_dir(dir.path()).expect("readable").collect();
    assert_eq!(left.len(), 1, "only the model: {left:?}");

    // The vocabulary is the new text encoder's.
    let words = done.model.vocabulary().expect("readable").expect("there");
    assert_eq!(words.words(), ["cat", "dog", "fire engine"]);
    let encoder = done.model.ort_text_encoder(&runtime(), 1).expect("an encoder");
    for (i, e) in
        encoder.embed_texts(&["cat", "dog", "fire engine"]).expect("texts").iter().enumerate()
    {
        // A byte a number.
        assert!(dot(e.values(), words.embedding(i).values()) > 0.9999, "{i}");
    }

    // The other outputs are still there and give what they gave.
    let before = base.ort_image_encoder(&runtime(), 1).expect("an encoder");
    let after = done.model.ort_image_encoder(&runtime(), 1).expect("an encoder");
    let names = ["pooled", "logits", "embedding"];
    assert_eq!(
        before.outputs(&first.pictures, &names).expect("outputs"),
        after.outputs(&first.pictures, &names).expect("outputs")
    );

    // And so it can be a base itself.
    let image = head(&mut random, feature("aligned", 384), vec![feature("pooled", 1280)], false);
    let text = head(&mut random, feature("aligned", 384), vec![feature("embedding", 384)], false);
    let second = trained(&done.model, image, text, &mut random);
    let again = publish_heads(&done.model, &second, Storage::F32, &[], &dir.path().join("again"));
    let again = again.expect("published");
    println!("again: {:?}", again.parity);
    // The shipped model has a trained head already, and there are two more now.
    assert_eq!(again.model.manifest().image().output, "aligned.3");
    assert_ne!(again.pair, done.pair);
    assert_ne!(again.model.space().id(), done.model.space().id());
}

#[test]
fn rounded_weights_are_smaller_and_what_was_compared() {
    let base = lite();
    let mut random = Random::new(12);
    let image = head(&mut random, feature("conse", 384), vec![feature("pooled", 1280)], false);
    let text = head(&mut random, feature("embedding", 384), vec![feature("embedding", 384)], false);
    let heads = trained(&base, image, text, &mut random);
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut last = u64::MAX;
    for storage in super::support::STORAGES {
        let stored = |head| rounded_head(head, storage).expect("finite numbers");
        let rounded = Trained {
            image_rows: expected_images(&base, &stored(&heads.image), &heads.pictures),
            text_rows: expected_texts(&base, &stored(&heads.text)),
            ..heads.clone()
        };
        let out = dir.path().join(format!("{storage:?}"));
        let done = publish_heads(&base, &rounded, storage, &[], &out).expect("published");
        println!("{storage:?}: {} bytes, {:?}", done.bytes, done.parity);
        // Maps as small as these keep 12 bits where 8 are asked for.
        let least = matches!(storage, Storage::Bits8);
        assert!(done.bytes < last || (least && done.bytes == last), "{storage:?}");
        for agreement in [done.parity.image, done.parity.text] {
            assert!(agreement.largest < TOLERANCE / 10.0, "{storage:?}: {agreement:?}");
        }
        last = done.bytes;
    }
}

#[test]
fn bases_of_old_and_new_operator_sets() {
    for opset in [11, 12, 13, 15, 17, 18, 21] {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let base = foreign(opset, dir.path());
        let mut random = Random::new(opset as u64);
        let two = || vec![feature("inner", 6), feature("embedding", 6)];
        let image = head(&mut random, feature("inner", 6), two(), true);
        let text = head(&mut random, feature("inner", 6), two(), false);
        let heads = trained(&base, image, text, &mut random);
        let out = tempfile::tempdir().expect("a temporary folder");
        let done = publish_heads(&base, &heads, Storage::F32, &[], out.path())
            .unwrap_or_else(|e| panic!("opset {opset}: {e}"));
        assert!(done.parity.image.largest < 1e-5, "opset {opset}: {:?}", done.parity);
    }
}

#[test]
fn maps_are_read_row_by_row_as_in_training() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let base = foreign(17, dir.path());
    let mut random = Random::new(16);
    // 6 maps of 6 × 6, once inside the graph and once as an output with its sizes.
    let features = vec![feature("conv", 216), feature("inner", 6), feature("map", 216)];
    let image = head(&mut random, feature("inner", 6), features, false);
    let text = head(&mut random, feature("inner", 6), vec![feature("inner", 6)], false);
    let heads = trained(&base, image, text, &mut random);
    let done = publish_heads(&base, &heads, Storage::F32, &[], &dir.path().join("model"));
    let done = done.unwrap_or_else(|e| panic!("{e}"));
    assert!(done.parity.image.largest < 1e-5, "{:?}", done.parity);

    let narrow = head(&mut random, feature("inner", 6), vec![feature("map", 36)], false);
    let bad = Trained { image: narrow, ..heads };
    let error = publish_heads(&base, &bad, Storage::F32, &[], &dir.path().join("other"))
        .expect_err("another width");
    assert!(error.to_string().contains("\"map\" with 36 numbers a row, got 216"), "{error}");
}

#[test]
fn a_tower_that_was_not_trained_is_kept() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let base = foreign(17, dir.path());
    let mut random = Random::new(15);
    let image = head(&mut random, feature("inner", 6), vec![feature("inner", 6)], false);
    let pictures = random.pictures(3, &base.manifest().image().preprocess);
    let image_rows = expected_images(&base, &image, &pictures);
    let texts = base.ort_text_encoder(&runtime(), 1).expect("an encoder");
    let text_rows = texts.outputs(&TEXTS, &["embedding"]).expect("rows").concat();
    let words = words();
    let export = Export {
        image: ImageTower::Head { base: &base, head: &image },
        text: TextTower::Kept(&base),
        about: about(&words),
        storage: Storage::F32,
        words: &[],
        card: None,
        samples: samples(&pictures, &image_rows, &text_rows),
    };
    let done = publish(&export, &runtime(), &dir.path().join("model")).expect("published");
    // The same graph; an embedding is scaled once more when it is made.
    assert!(done.parity.text.largest < 1e-6, "{:?}", done.parity);
    // It carries the pair all the same.
    done.model.ort_text_encoder(&runtime(), 1).expect("of this training");
}

#[test]
fn one_wrong_weight_is_not_published() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let base = foreign(17, dir.path());
    let mut random = Random::new(13);
    let image = head(&mut random, feature("inner", 6), vec![feature("inner", 6)], false);
    let text = head(&mut random, feature("inner", 6), vec![feature("inner", 6)], false);
    let good = trained(&base, image.clone(), text, &mut random);
    let mut body = image.body().expect("a body").layers().to_vec();
    let Some(Layer::Linear { weight, bias }) = body.pop() else { panic!("a linear layer") };
    let shape = weight.shape().to_vec();
    let mut data = weight.into_data();
    data[3] += 0.5;
    let weight = ekphrasis_train::layer::Array::new(&shape, data).expect("as many");
    body.push(Layer::Linear { weight, bias });
    let corrupt = Head::new(image.base().cloned(), None, image.features().to_vec(), body, 1e-12)
        .expect("fits");
    let bad = Trained { image: corrupt, ..good };
    let parent = tempfile::tempdir().expect("a temporary folder");
    let error = publish_heads(&base, &bad, Storage::F32, &[], &parent.path().join("model"))
        .expect_err("another function");
    let text = error.to_string();
    assert!(matches!(error, ExportError::Parity { tower: "image", .. }), "{text}");
    assert!(text.contains("1.0e-4") && text.contains("nothing was published"), "{text}");
    assert_eq!(fs_err::read_dir(parent.path()).expect("readable").count(), 0, "nothing is left");
}

#[test]
fn what_is_there_is_not_written_over_and_other_bases_are_told() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let base = foreign(17, dir.path());
    let mut random = Random::new(14);
    let image = head(&mut random, feature("inner", 6), vec![feature("inner", 6)], false);
    let heads = trained(&base, image.clone(), image, &mut random);
    let error = publish_heads(&base, &heads, Storage::F32, &[], dir.path()).expect_err("occupied");
    assert!(matches!(error, ExportError::Exists(_)), "{error}");

    let wide = head(&mut random, feature("embedding", 7), vec![feature("inner", 6)], false);
    let bad = Trained { image: wide, ..heads };
    let out = dir.path().join("new");
    let error = publish_heads(&base, &bad, Storage::F32, &[], &out).expect_err("another width");
    assert!(error.to_string().contains("\"embedding\" with 7 numbers a row, got 6"), "{error}");
    let error = expose(&base, &["nowhere"], &[], &dir.path().join("open")).expect_err("no value");
    assert!(error.to_string().contains("nowhere"), "{error}");
}
