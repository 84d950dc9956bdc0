//! What several tests need: the golden files and a loaded runtime.

use std::path::{Path, PathBuf};

use ekphrasis_embed::{Interpolation, Pixels, Preprocess, Resize};
use ekphrasis_models::{Runtime, RuntimeSearch, decode};

/// The golden references.
pub(crate) fn reference() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/reference")
}

/// The ten awkward pictures.
pub(crate) const PICTURES: [&str; 10] = [
    "astronaut_512x400.png",
    "cat_451x300.jpg",
    "cat_exif_orientation6.jpg",
    "clipart_rgba.png",
    "coffee_300x600.webp",
    "coffee_palette.gif",
    "motorcycle_gray16.png",
    "motorcycle_gray_370x250.png",
    "rocket_640x427.jpg",
    "rocket_cmyk.jpg",
];

/// The bytes of a picture.
pub(crate) fn picture(name: &str) -> Vec<u8> {
    fs_err::read(reference().join("images").join(name)).expect("a fixture")
}

/// The file name without its extension.
pub(crate) fn stem(name: &str) -> &str {
    name.split('.').next().expect("split gives at least one part")
}

/// The golden pixels of a picture under a spec.
pub(crate) fn golden_pixels(name: &str, spec: &str) -> Pixels {
    let path = reference().join(format!("preprocessed/{}__{spec}.png", stem(name)));
    decode(&fs_err::read(path).expect("a fixture")).expect("a golden PNG").pixels
}

/// A spec of `specs.json`, its numbers read from there.
pub(crate) fn spec(name: &str) -> Preprocess {
    let spec = &specs()[name];
    let words = spec["resize"].as_str().expect("a string");
    let resize = match words.split_whitespace().collect::<Vec<_>>()[..] {
        ["shortest_edge", edge, ..] => {
            Resize::ShortestEdge(edge.trim_end_matches(',').parse().expect("a number"))
        }
        _ => Resize::Exact,
    };
    preprocess(spec, resize)
}

/// The spec for golden pixels, which are resized and cropped already.
pub(crate) fn normalise_only(name: &str) -> Preprocess {
    preprocess(&specs()[name], Resize::Exact)
}

fn specs() -> serde_json::Value {
    let text = fs_err::read_to_string(reference().join("preprocessed/specs.json"));
    let json: serde_json::Value =
        serde_json::from_str(&text.expect("a fixture")).expect("valid JSON");
    json["specs"].clone()
}

fn preprocess(spec: &serde_json::Value, resize: Resize) -> Preprocess {
    let three = |key: &str| [0, 1, 2].map(|i| spec[key][i].as_f64().expect("a number") as f32);
    Preprocess::new(224, resize, Interpolation::Bicubic, three("mean"), three("std"))
        .expect("a valid spec")
}

/// Where the tests keep the library they fetch.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("ort-cache")
}

/// The runtime of this test process.
pub(crate) fn runtime() -> Runtime {
    Runtime::load(&RuntimeSearch {
        flag: None,
        env: None,
        cache: cache(),
        fetch: true,
        log: &|_| {},
    })
    .expect("ONNX Runtime, fetched through pip or npm if need be")
}

/// Cosine of two plain vectors.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A JSON array of numbers.
pub(crate) fn numbers(value: &serde_json::Value) -> Vec<f32> {
    let array = value.as_array().expect("an array");
    array.iter().map(|v| v.as_f64().expect("a number") as f32).collect()
}
