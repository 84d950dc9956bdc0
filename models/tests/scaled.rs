//! Does the model see the same in a picture that was decoded the short way?

use std::path::Path;

use ekphrasis_embed::Pixels;
use ekphrasis_models::{Model, decode, decode_scaled};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;

use crate::support::{PICTURES, picture, runtime};

/// Below this, two embeddings of one picture are not the same any more.
const LEAST: f32 = 0.99;

/// Enlarged, with some noise as a sensor has it, as a JPEG.
fn photograph(pixels: &Pixels, longest: u32, seed: u32) -> Vec<u8> {
    let small = image::RgbImage::from_raw(pixels.width(), pixels.height(), pixels.rgb().to_vec());
    let times = f64::from(longest) / f64::from(pixels.width().max(pixels.height()));
    let side = |n: u32| (f64::from(n) * times).round() as u32;
    let (width, height) = (side(pixels.width()), side(pixels.height()));
    let mut large =
        image::imageops::resize(&small.expect("RGB"), width, height, FilterType::Triangle);
    let mut state = seed | 1;
    for level in large.iter_mut() {
        // Numerical Recipes' quick generator will do for noise.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *level = level.saturating_add((state >> 30) as u8).saturating_sub(1);
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 88).encode_image(&large).expect("encoded");
    jpeg
}

#[test]
fn embeddings_agree_with_those_of_whole_pictures() {
    let model = Model::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("lite")).expect("a model");
    let encoder = model.image_encoder(&runtime(), 1).expect("an encoder");
    let preprocess = encoder.preprocess();
    let mut worst = f32::INFINITY;
    let mut check = |name: &str, bytes: &[u8], divided: Option<u32>| {
        let whole = decode(bytes).expect(name).pixels;
        let short = decode_scaled(bytes, |w, h| preprocess.spare(w, h)).expect(name);
        assert_eq!(
            (short.view.width, short.view.height),
            (whole.width(), whole.height()),
            "{name}"
        );
        if let Some(n) = divided {
            assert_eq!(short.pixels.width(), whole.width().div_ceil(n), "{name}");
        }
        let tensors = [preprocess.tensor(&whole), preprocess.tensor_of(&short.pixels, &short.view)];
        let tensors = tensors.map(|tensor| tensor.expect(name));
        let both = encoder.embed_images(&tensors).expect(name);
        let cosine = both[0].cosine(&both[1]).expect("one space");
        worst = worst.min(cosine);
        assert!(cosine >= LEAST, "{name}: {cosine}");
    };
    // 224 padded: an eighth of 3,600, a quarter of 2,000, half of 1,000, all of 800.
    for (i, name) in PICTURES.iter().enumerate() {
        let pixels = decode(&picture(name)).expect(name).pixels;
        let (longest, divided) = [(3600, 8), (2000, 4), (1000, 2), (800, 1)][i % 4];
        check(name, &photograph(&pixels, longest, i as u32), Some(divided));
    }
    // Real photographs and drawings; most are too small to be divided as they are.
    let gallery = Path::new(env!("CARGO_MANIFEST_DIR")).join("../web/gallery/pictures");
    let mut files: Vec<_> =
        fs_err::read_dir(gallery).expect("the gallery").flatten().map(|e| e.path()).collect();
    files.sort();
    let mut shown = 0;
    for (i, path) in files.iter().enumerate().step_by(12) {
        let name = path.display().to_string();
        let bytes = fs_err::read(path).expect("read");
        check(&name, &bytes, None);
        let pixels = decode(&bytes).expect(&name).pixels;
        check(&name, &photograph(&pixels, 1000, i as u32), Some(2));
        shown += 1;
    }
    println!("{} enlarged and {shown} of the gallery: cosine at least {worst}", PICTURES.len());
    assert!(shown > 15);
}
