//! Random networks of every layer: ONNX Runtime against plain Rust.

use ekphrasis_embed::{ImageEncoder, Preprocess, TextEncoder};
use ekphrasis_train::export::{
    Export, ExportError, ImageTower, Storage, TextTower, publish, rounded_network,
};
use ekphrasis_train::layer::{Flow, Input, Layer, Network};

use super::support::{
    Random, TEXTS, UNIT, about, floats, joined, lite, lite_folder, preprocess, runtime, samples,
    words,
};

const DIM: usize = 12;
const SIDE: u32 = 18;

fn picture() -> Flow {
    let side = SIDE as usize;
    Flow::Picture { channels: 3, height: side, width: side }
}

/// Convolutions full, grouped and depthwise, with a folded batch norm.
fn cnn(random: &mut Random) -> Network {
    let depthwise =
        vec![random.conv(8, 8, [5, 1, 2, 8]), Layer::Relu, random.conv(8, 8, [1, 1, 0, 2])];
    let weight = random.array(&[10, 8, 3, 3]);
    let four = [0.5, 0.2, 0.4, 0.3].map(|most| random.numbers(10, most));
    let variance: Vec<f32> = four[3].iter().map(|v| v.abs() + 0.2).collect();
    let folded =
        Layer::folded_conv(weight, [&four[0], &four[1], &four[2], &variance], 1e-5, [2, 1, 1]);
    let scale = Layer::Scale { scale: random.array(&[10]), shift: random.array(&[10]) };
    let layers = vec![
        random.conv(3, 8, [3, 2, 1, 1]),
        Layer::Relu,
        Layer::Residual(depthwise),
        folded.expect("four of ten"),
        Layer::Gelu,
        Layer::GlobalMean,
        scale,
        random.norm(10),
        random.linear(10, DIM),
        UNIT,
    ];
    Network::new(picture(), layers).expect("fits")
}

fn vit(random: &mut Random) -> Network {
    let mut layers = vec![random.conv(3, 16, [6, 6, 0, 1])];
    layers.push(Layer::Patches { positions: random.array(&[9, 16]) });
    layers.extend(random.block(16, 4));
    layers.extend(random.block(16, 2));
    layers.extend([
        random.norm(16),
        Layer::MaskedMean,
        Layer::Softmax,
        random.linear(16, DIM),
        UNIT,
    ]);
    Network::new(picture(), layers).expect("fits")
}

fn transformer(random: &mut Random) -> Network {
    let mut layers = vec![Layer::TokenEmbedding {
        table: random.array(&[30_522, 16]),
        positions: random.array(&[24, 16]),
    }];
    layers.extend(random.block(16, 4));
    layers.extend([random.norm(16), Layer::MaskedMean, random.linear(16, DIM), UNIT]);
    Network::new(Flow::Ids, layers).expect("fits")
}

/// The plain-Rust rows for [`TEXTS`], all in one padded batch.
fn text_rows(network: &Network) -> Vec<f32> {
    let encoder = lite().ort_text_encoder(&runtime(), 1).expect("a tokenizer");
    let ids: Vec<_> = TEXTS.iter().map(|text| encoder.token_ids(text).expect("ids")).collect();
    let sequence = ids.iter().map(Vec::len).max().expect("some");
    let padded = |fill: &dyn Fn(&[i64], usize) -> i64| -> Vec<i64> {
        ids.iter().flat_map(|row| (0..sequence).map(move |i| fill(row, i))).collect()
    };
    let mask = padded(&|row, i| i64::from(i < row.len()));
    let ids = padded(&|row, i| row.get(i).copied().unwrap_or(0));
    let batch = network.forward(Input::Ids { ids: &ids, mask: &mask, sequence });
    floats(batch.expect("short texts").data())
}

fn round_trip(image: &Network, text: &Network, preprocess: &Preprocess, seed: u64) {
    let pictures = Random::new(seed).pictures(5, preprocess);
    let image_rows = |image: &Network| {
        floats(image.forward(Input::Numbers(&joined(&pictures))).expect("pictures").data())
    };
    let (trained_images, trained_texts) = (image_rows(image), text_rows(text));
    let tokenizer = fs_err::read(lite_folder().join("tokenizer.json")).expect("shipped");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let words = words();
    for storage in super::support::STORAGES {
        let out = dir.path().join(format!("{storage:?}"));
        let stored = |network| rounded_network(network, storage).expect("finite numbers");
        let (stored_images, stored_texts) = (image_rows(&stored(image)), text_rows(&stored(text)));
        let mut export = Export {
            image: ImageTower::Network { network: image, preprocess },
            text: TextTower::Network { network: text, tokenizer: &tokenizer, pad_token: "[PAD]" },
            about: about(&words),
            storage,
            words: &[],
            card: None,
            samples: samples(&pictures, &stored_images, &stored_texts),
        };
        let done =
            publish(&export, &runtime(), &out).unwrap_or_else(|e| panic!("{storage:?}: {e}"));
        println!("{storage:?}: {} bytes, {:?}", done.bytes, done.parity);
        assert!(done.parity.image.largest < 1e-5 && done.parity.text.largest < 1e-5);
        assert_eq!(storage == Storage::F32, trained_images == stored_images, "{storage:?}");
        if storage == Storage::Bits8 {
            // What was trained is another model, and not published under its name.
            export.samples = samples(&pictures, &trained_images, &trained_texts);
            let error = publish(&export, &runtime(), &dir.path().join("trained"));
            let error = error.expect_err("8 bits of small matrices show");
            assert!(matches!(error, ExportError::Parity { .. }), "{error}");
        }
        assert_eq!(done.model.space().dim(), DIM);
        let encoder = done.model.ort_image_encoder(&runtime(), 1).expect("an encoder");
        assert_eq!(encoder.preprocess(), preprocess);
        let texts = done.model.ort_text_encoder(&runtime(), 1).expect("an encoder");
        assert_eq!(texts.embed_texts(&[""]).expect("also nothing").len(), 1);
        assert_eq!(encoder.embed_images(&[]).expect("none").len(), 0);
    }
}

#[test]
fn convolutions_agree() {
    for seed in [1, 2] {
        let mut random = Random::new(seed);
        round_trip(&cnn(&mut random), &transformer(&mut random), &preprocess(SIDE), seed);
    }
}

#[test]
fn vision_transformers_agree() {
    let mut random = Random::new(3);
    round_trip(&vit(&mut random), &transformer(&mut random), &preprocess(SIDE), 3);
}

#[test]
fn layers_that_do_not_fit_are_named() {
    let mut random = Random::new(4);
    let error =
        Network::new(picture(), vec![Layer::Relu, random.linear(3, 4)]).expect_err("no rows");
    assert_eq!(error.place, "layer 1 (Linear)");
    let inner = vec![random.linear(4, 5)];
    let error = Network::new(Flow::Row { width: 4 }, vec![Layer::Residual(inner)]);
    assert!(error.expect_err("widens").to_string().contains("rows of 4"));
    let bad = Layer::Linear {
        weight: ekphrasis_train::layer::Array::new(&[1, 1], vec![f32::NAN]).expect("one"),
        bias: None,
    };
    let error = Network::new(Flow::Row { width: 1 }, vec![bad]).expect_err("NaN").to_string();
    assert!(error.contains("diverged"), "{error}");
}
