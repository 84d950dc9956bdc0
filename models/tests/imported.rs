//! Do models in public layouts come in as they are, and say what the reference libraries
//! say of the same inputs? `fixtures/make_models.py` made them and recorded that.

use std::path::{Path, PathBuf};

use ekphrasis_embed::testing::{check_image_encoder, check_text_encoder};
use ekphrasis_embed::{ImageEncoder, TextEncoder};
use ekphrasis_models::{ImportError, ImportOptions, Imported, Library, Model, Precision, decode};
use serde_json::Value;

use crate::support::{self, PICTURES, cosine, golden_pixels, numbers, picture, runtime, stem};

/// A folder of `fixtures/`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The random CLIP of the references.
fn tiny_clip() -> PathBuf {
    support::reference().join("tiny_clip")
}

pub(crate) fn import(
    library: &Path,
    from: &Path,
    options: &ImportOptions,
) -> Result<Imported, ImportError> {
    Library::at(library.into()).import(from, options, &|| Ok(runtime()))
}

fn golden(folder: &Path) -> Value {
    let text = fs_err::read_to_string(folder.join("golden.json")).expect("a fixture");
    serde_json::from_str(&text).expect("valid JSON")
}

/// Compares texts with the reference: ids equal (but for padding, if it is left out here),
/// cosine over 0.9999. Gives the least cosine.
fn check_texts(model: &Model, golden: &Value, pads: bool) -> f64 {
    let encoder = model.ort_text_encoder(&runtime(), 1).expect("a text tower");
    let items = golden["texts"].as_array().expect("an array");
    let texts: Vec<&str> = items.iter().map(|i| i["text"].as_str().expect("a string")).collect();
    let got = encoder.embed_texts(&texts).expect("embeddings");
    let mut worst = f64::INFINITY;
    for ((item, text), e) in items.iter().zip(&texts).zip(&got) {
        let ids = encoder.token_ids(text).expect("ids");
        let want = item["ids"].as_array().expect("an array").iter().filter_map(Value::as_i64);
        assert_eq!(ids, want.collect::<Vec<_>>(), "{text:.40}");
        assert!(!pads || ids.len() == model.manifest().text().context, "{text:.40}");
        let fields = item.as_object().expect("an object");
        let (_, want) =
            fields.iter().find(|(key, _)| key.starts_with("embedding")).expect("an embedding");
        let cosine = cosine(e.values(), &numbers(want));
        assert!(cosine > 0.9999, "{text:.40}: {cosine}");
        worst = worst.min(cosine);
    }
    check_text_encoder(&encoder);
    worst
}

/// Compares pictures with the reference: over 0.9999 from golden pixels, and from the files,
/// if `files` gives a bound for that.
fn check_pictures(model: &Model, golden: &Value, spec: &str, files: Option<f64>) -> [f64; 2] {
    let encoder = model.ort_image_encoder(&runtime(), 1).expect("a picture tower");
    let mut worst = [f64::INFINITY; 2];
    for name in PICTURES {
        let want = numbers(&golden["images"][stem(name)]);
        let tensor = |pixels| encoder.preprocess().tensor(pixels).expect("a plain shape");
        let whole = decode(&picture(name)).expect("a picture").pixels;
        let tensors = [tensor(&golden_pixels(name, spec)), tensor(&whole)];
        let got = encoder.embed_images(&tensors).expect("embeddings");
        for (i, least) in [Some(0.9999), files].into_iter().enumerate() {
            let Some(least) = least else { continue };
            let cosine = cosine(got[i].values(), &want);
            assert!(cosine > least, "{name}, {}: {cosine}", ["golden pixels", "file"][i]);
            worst[i] = worst[i].min(cosine);
        }
    }
    check_image_encoder(&encoder);
    worst
}

#[test]
fn the_reference_clip_comes_in_as_it_is() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let imported = import(dir.path(), &tiny_clip(), &ImportOptions::default()).expect("imported");
    let model = &imported.model;
    assert!(imported.agreement > 0.9999, "{}", imported.agreement);
    let manifest = model.manifest();
    assert_eq!((manifest.name(), manifest.space().dim()), ("tiny_clip", 48));
    assert_eq!(manifest.text().context, 77);
    // It brings answers to texts, and names pictures that are elsewhere.
    let brought = imported.brought.expect("a golden.json");
    assert_eq!((brought.texts, brought.pictures, brought.absent), (9, 0, 10));
    assert!(brought.texts_agree > 0.9999, "{}", brought.texts_agree);
    let golden = golden(&tiny_clip());
    let texts = check_texts(model, &golden, true);
    let [pixels, files] = check_pictures(model, &golden, "clip_224", Some(0.99));
    println!("texts {texts:.7}, golden pixels {pixels:.7}, files {files:.7}");
}

#[test]
fn siglip_comes_in_with_its_exact_resize_and_its_padding() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let imported =
        import(dir.path(), &fixture("siglip"), &ImportOptions::default()).expect("imported");
    let manifest = imported.model.manifest();
    assert_eq!(manifest.text().context, 64);
    assert_eq!(manifest.text().pad_token, "</s>");
    assert_eq!(manifest.image().preprocess.resize(), ekphrasis_embed::Resize::Exact);
    assert_eq!(manifest.languages(), ["en", "de"], "from its README");
    assert_eq!(manifest.license(), "apache-2.0");
    let golden = golden(&fixture("siglip"));
    let texts = check_texts(&imported.model, &golden, true);
    let [pixels, files] = check_pictures(&imported.model, &golden, "siglip_224", Some(0.99));
    println!("texts {texts:.7}, golden pixels {pixels:.7}, files {files:.7}");
}

#[test]
fn towers_in_one_graph_are_taken_apart() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let imported =
        import(dir.path(), &fixture("clip"), &ImportOptions::default()).expect("imported");
    let golden = golden(&fixture("clip"));
    // Golden pixels are of 224; the reference made 64 of them, and so does this.
    let texts = check_texts(&imported.model, &golden, true);
    let [pixels, _] = check_pictures(&imported.model, &golden, "clip_224", None);
    println!("texts {texts:.7}, golden pixels {pixels:.7}");
    let bytes = |file: &str| imported.model.manifest().files()[file].bytes;
    let whole = fs_err::metadata(fixture("clip/model.onnx")).expect("a fixture").len();
    let (image, text) = (bytes("image/model.onnx"), bytes("text/model.onnx"));
    assert!(image + text < whole + whole / 10, "{image} + {text} of {whole}");
}

#[test]
fn folders_of_towers_come_in_with_short_ids_and_weights_beside() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let imported =
        import(dir.path(), &fixture("visual"), &ImportOptions::default()).expect("imported");
    let manifest = imported.model.manifest();
    assert_eq!(manifest.text().external, ["text/model.onnx_data"]);
    assert_eq!(manifest.languages(), ["und"], "nothing says which");
    let golden = golden(&fixture("visual"));
    let texts = check_texts(&imported.model, &golden, true);
    let [pixels, _] = check_pictures(&imported.model, &golden, "clip_224", None);
    println!("texts {texts:.7}, golden pixels {pixels:.7}");

    // Damage of the weights beside the graph is found like damage of the graph.
    let weights = imported.model.dir().join("text/model.onnx_data");
    let mut bytes = fs_err::read(&weights).expect("there");
    bytes[5000] ^= 1;
    fs_err::write(&weights, bytes).expect("writable");
    let error = imported.model.text_encoder(&runtime(), 1).err().expect("damaged").to_string();
    assert!(error.contains("model.onnx_data") && error.contains("sha256"), "{error}");
    // Importing again repairs it.
    let again =
        import(dir.path(), &fixture("visual"), &ImportOptions::default()).expect("imported");
    assert!(!again.was_there);
    let third =
        import(dir.path(), &fixture("visual"), &ImportOptions::default()).expect("imported");
    assert!(third.was_there);
    assert_eq!(third.model.space(), imported.model.space());
}

#[test]
fn settings_that_change_nothing_are_let_be() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (plain, more) = (dir.path().join("plain"), dir.path().join("siglip"));
    copy(&fixture("siglip"), &more);
    let path = more.join("preprocessor_config.json");
    let mut settings: Value =
        serde_json::from_str(&fs_err::read_to_string(&path).expect("a fixture")).expect("JSON");
    for (key, value) in [
        ("image_processor_type", serde_json::json!("SiglipImageProcessorFast")),
        ("processor_class", serde_json::json!("SiglipProcessor")),
        ("_valid_processor_keys", serde_json::json!(["images", "do_resize"])),
        ("data_format", serde_json::json!("channels_first")),
        ("do_pad", serde_json::json!(false)),
        ("crop_pct", Value::Null),
    ] {
        settings[key] = value;
    }
    fs_err::write(&path, settings.to_string()).expect("written");
    let spaces = [(plain, fixture("siglip")), (dir.path().join("more"), more)].map(|(to, from)| {
        let imported = import(&to, &from, &ImportOptions::default()).expect("imported");
        imported.model.space().clone()
    });
    assert_eq!(spaces[0], spaces[1]);
}

#[test]
fn a_sentence_tower_takes_the_place_of_the_own_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let options = ImportOptions {
        name: Some("multilingual".into()),
        text: Some(fixture("sentence")),
        ..ImportOptions::default()
    };
    // Its answers are in its own folder; those of siglip/ on texts are of another tower.
    let siglip = dir.path().join("siglip");
    copy(&fixture("siglip"), &siglip);
    let imported = import(&dir.path().join("models"), &siglip, &options).expect("imported");
    let manifest = imported.model.manifest();
    assert_eq!(manifest.languages(), ["multilingual"]);
    assert_eq!((manifest.text().context, manifest.text().pooling.as_str()), (32, "mean"));
    let texts = check_texts(&imported.model, &golden(&fixture("sentence")), false);
    check_pictures(&imported.model, &golden(&fixture("siglip")), "siglip_224", Some(0.99));
    println!("texts {texts:.7}");
    let brought = imported.brought.expect("answers in both folders");
    let of_sentence = golden(&fixture("sentence"))["texts"].as_array().map(Vec::len);
    assert_eq!((Some(brought.texts), brought.absent), (of_sentence, 10));
    assert!(brought.texts_agree > 0.9999, "{}", brought.texts_agree);
    let plain = import(&dir.path().join("models"), &siglip, &ImportOptions::default());
    let plain = plain.expect("imported");
    assert_ne!(plain.model.space(), imported.model.space(), "other texts, another space");

    // Answers of another tower in the text folder are noticed.
    let sentence = dir.path().join("sentence");
    copy(&fixture("sentence"), &sentence);
    fs_err::copy(fixture("siglip/golden.json"), sentence.join("golden.json")).expect("copied");
    let other = ImportOptions {
        name: Some("other".into()),
        text: Some(sentence.clone()),
        ..ImportOptions::default()
    };
    let refused = import(&dir.path().join("models"), &siglip, &other);
    let refused = refused.expect_err("other answers").to_string();
    assert!(refused.starts_with(&format!("{}", sentence.display())), "{refused}");

    let alone = import(dir.path(), &fixture("sentence"), &ImportOptions::default());
    let alone = alone.expect_err("no picture tower").to_string();
    assert!(alone.contains("--text"), "{alone}");
}

#[test]
fn filters_are_those_of_pillow_by_their_numbers() {
    use ekphrasis_embed::{Interpolation, Pixels, Preprocess, Resize};
    let text = fs_err::read_to_string(fixture("resample.json")).expect("a fixture");
    let json: Value = serde_json::from_str(&text).expect("valid JSON");
    let bytes = |v: &Value| numbers(v).iter().map(|&n| n as u8).collect::<Vec<u8>>();
    let picture = Pixels::new(24, 18, bytes(&json["pixels"])).expect("a picture");
    let filters = [
        Interpolation::Nearest,
        Interpolation::Lanczos3,
        Interpolation::Bilinear,
        Interpolation::Bicubic,
        Interpolation::Box,
        Interpolation::Hamming,
    ];
    for side in [10, 32] {
        for (code, filter) in filters.into_iter().enumerate() {
            let p = Preprocess::new(side, Resize::Exact, filter, [0.0; 3], [1.0; 3]);
            let got = p.expect("valid").pixels(&picture).expect("small");
            let want = bytes(&json["sizes"][side.to_string()][code.to_string()]);
            let off: Vec<u8> = got.rgb().iter().zip(&want).map(|(a, b)| a.abs_diff(*b)).collect();
            let share = off.iter().filter(|&&d| d > 0).count() as f64 / off.len() as f64;
            println!(
                "{filter:?} to {side}: {share:.3} of the values differ, by {:?}",
                off.iter().max()
            );
            // Coefficients have 15 bits here and 22 there.
            assert!(off.iter().all(|&d| d <= 1) && share < 0.1, "{filter:?} to {side}: {share}");
        }
    }
}

fn of(precision: Precision) -> ImportOptions {
    ImportOptions { precision: Some(precision), ..ImportOptions::default() }
}

#[test]
fn a_variant_joins_the_space_only_if_it_says_the_same() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let from = fixture("siglip");
    let whole = import(dir.path(), &from, &ImportOptions::default()).expect("imported");
    assert!(whole.golden.is_none(), "nothing to compare with but itself");
    for precision in [Precision::Fp16, Precision::Int8] {
        let variant = import(dir.path(), &from, &of(precision)).expect("agrees");
        let golden = variant.golden.expect("compared with the 32-bit form");
        println!("{precision}: {golden:?}");
        assert!(golden.least() >= precision.least_agreement(), "{precision}: {golden:?}");
        assert!(golden.least() < 0.999_999_9, "{precision} is another graph: {golden:?}");
        assert_eq!(variant.model.space(), whole.model.space(), "{precision}");
        assert_eq!(variant.model.manifest().precision(), Some(precision));
        assert_eq!(variant.model.manifest().name(), format!("siglip-{precision}"));
        let answers = |model: &Model| model.golden().expect("readable").expect("recorded");
        assert_eq!(answers(&variant.model), answers(&whole.model), "those of the 32-bit form");
    }
    let before = names(dir.path());
    let refused = import(dir.path(), &from, &of(Precision::Q4)).expect_err("it drifts");
    let refused = refused.to_string();
    println!("{refused}");
    assert!(refused.contains("expected a cosine of 0.99 or more"), "{refused}");
    assert!(refused.contains("vision_model_q4.onnx") && refused.contains("fp32"), "{refused}");
    assert_eq!(names(dir.path()), before, "nothing came in");
}

#[test]
fn a_variant_without_its_whole_form_has_a_space_of_its_own_or_names_one() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let library = dir.path().join("models");
    let whole = import(&library, &fixture("siglip"), &ImportOptions::default()).expect("imported");
    let small = dir.path().join("small");
    copy(&fixture("siglip"), &small);
    for file in ["onnx/vision_model.onnx", "onnx/text_model.onnx"] {
        fs_err::remove_file(small.join(file)).expect("removed");
    }
    let plain = import(&library, &small, &ImportOptions::default()).expect_err("no fp32");
    assert!(plain.to_string().contains("--precision"), "{plain}");
    let own = import(&library, &small, &of(Precision::Int8)).expect("imported");
    assert_ne!(own.model.space(), whole.model.space());
    assert!(own.golden.is_none());

    let named = |name: &str, as_name: &str| ImportOptions {
        variant_of: Some(name.into()),
        name: Some(as_name.into()),
        ..of(Precision::Int8)
    };
    let joined = import(&library, &small, &named("siglip", "joined")).expect("agrees");
    assert_eq!(joined.model.space(), whole.model.space());
    assert!(joined.golden.expect("compared").least() > 0.99);
    let absent = import(&library, &small, &named("nothing", "x")).expect_err("not there");
    assert!(absent.to_string().contains("no such model"), "{absent}");
    // Another model is no variant of it, however alike its files look.
    import(&library, &fixture("clip"), &ImportOptions::default()).expect("imported");
    let other = import(&library, &small, &named("clip", "y")).expect_err("another model");
    assert!(other.to_string().contains("expected"), "{other}");
}

#[test]
fn pictures_that_the_folder_brings_are_compared() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let from = dir.path().join("siglip");
    copy(&fixture("siglip"), &from);
    fs_err::create_dir(from.join("images")).expect("created");
    for name in &PICTURES[..2] {
        fs_err::write(from.join("images").join(name), picture(name)).expect("written");
    }
    let brought = import(&dir.path().join("a"), &from, &ImportOptions::default());
    let brought = brought.expect("imported").brought.expect("a golden.json");
    assert_eq!((brought.pictures, brought.absent), (2, 8));
    assert!(brought.pictures_agree > 0.99, "{}", brought.pictures_agree);
    // The same names, other pictures.
    for (name, other) in PICTURES[..2].iter().zip([PICTURES[1], PICTURES[0]]) {
        fs_err::write(from.join("images").join(name), picture(other)).expect("written");
    }
    let refused = import(&dir.path().join("b"), &from, &ImportOptions::default());
    let refused = refused.expect_err("other pictures").to_string();
    assert!(refused.contains("golden.json") && refused.contains("astronaut"), "{refused}");
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).expect("created");
    for entry in fs_err::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs_err::copy(&path, &target).expect("copied");
        }
    }
}
