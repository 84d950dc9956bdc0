//! Are pictures that other programs wrote read as those programs mean them?

use std::path::Path;

use ekphrasis_embed::Pixels;
use ekphrasis_models::{DecodeError, blocks, decode};

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/formats");
    fs_err::read(folder.join(name)).expect("a fixture")
}

fn pixels(name: &str) -> Pixels {
    decode(&fixture(name)).unwrap_or_else(|e| panic!("{name}: {e}")).pixels
}

/// Mean absolute difference in grey levels.
fn apart(a: &Pixels, b: &Pixels) -> f64 {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let sum: u64 = a.rgb().iter().zip(b.rgb()).map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
    sum as f64 / a.rgb().len() as f64
}

/// Turned by quarters against the clock.
fn turned(pixels: &Pixels) -> Pixels {
    let (width, height) = (pixels.width(), pixels.height());
    let rgb = (0..width).rev().flat_map(|x| {
        (0..height).flat_map(move |y| {
            let at = 3 * (y * width + x) as usize;
            [0, 1, 2].map(|channel| pixels.rgb()[at + channel])
        })
    });
    Pixels::new(height, width, rgb.collect()).expect("as large")
}

fn mirrored(pixels: &Pixels) -> Pixels {
    let rows = pixels.rgb().chunks_exact(3 * pixels.width() as usize);
    let rgb = rows.flat_map(|row| row.chunks_exact(3).rev().flatten().copied());
    Pixels::new(pixels.width(), pixels.height(), rgb.collect()).expect("as large")
}

/// By the shares of red, green and blue in brightness.
fn grey(pixels: &Pixels, shares: [f64; 3]) -> Pixels {
    let rgb = pixels.rgb().chunks_exact(3).flat_map(|px| {
        let sum: f64 = (0..3).map(|i| f64::from(px[i]) * shares[i]).sum();
        [sum.round() as u8; 3]
    });
    Pixels::new(pixels.width(), pixels.height(), rgb.collect()).expect("as large")
}

#[test]
fn avif_and_jpeg_xl_show_what_was_put_into_them() {
    let photo = pixels("photo.png");
    let on_white = pixels("alpha-on-white.png");
    let (sideways, mirror) = (turned(&photo), mirrored(&photo));
    // As avifenc makes it, and as ImageMagick did for cjxl.
    let (grey_601, grey_709) =
        (grey(&photo, [0.299, 0.587, 0.114]), grey(&photo, [0.2126, 0.7152, 0.0722]));
    let mut wrong = vec![];
    // The allowed differences are those of the losses, as avifdec and djxl have them too.
    for (name, expected, allowed) in [
        ("photo.avif", &photo, 4.0),
        ("limited-420.avif", &photo, 6.0),
        ("ten-bit-422.avif", &photo, 5.0),
        ("grey.avif", &grey_601, 4.0),
        ("alpha.avif", &on_white, 2.5),
        ("turned.avif", &sideways, 2.5),
        ("mirrored.avif", &mirror, 2.5),
        ("lossless.avif", &photo, 0.0),
        ("photo.jxl", &photo, 4.0),
        ("container.jxl", &photo, 4.0),
        ("lossless.jxl", &photo, 0.0),
        // Its PNG said that it has a gamma of 2.2, which is not quite sRGB's curve.
        ("sixteen.jxl", &photo, 2.0),
        ("alpha.jxl", &on_white, 1.0),
        ("grey.jxl", &grey_709, 1.5),
        ("from-jpeg.jxl", &photo, 4.0),
        ("turned.jxl", &photo, 4.0),
    ] {
        let difference = match decode(&fixture(name)) {
            Ok(decoded) => apart(&decoded.pixels, expected),
            Err(e) => {
                wrong.push(format!("{name}: {e}"));
                continue;
            }
        };
        println!("{name}: {difference:.3}");
        if difference > allowed {
            wrong.push(format!("{name}: {difference:.3} grey levels off"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Four tiles of 256 × 256, each brighter than the one before.
#[test]
fn a_grid_is_put_together() {
    let grid = pixels("grid.avif");
    assert_eq!((grid.width(), grid.height()), (512, 512));
    let mean = |left: u32, top: u32| {
        let sum: u64 = (top..top + 256)
            .flat_map(|y| (left..left + 256).map(move |x| 3 * (y * 512 + x) as usize))
            .map(|at| u64::from(grid.rgb()[at]))
            .sum();
        sum / (256 * 256)
    };
    let means = [(0, 0), (256, 0), (0, 256), (256, 256)].map(|(x, y)| mean(x, y));
    assert!(means.is_sorted() && means[3] > means[0] + 20, "{means:?}");
}

#[test]
fn heic_is_read_where_libheif_is_and_says_what_is_missing_elsewhere() {
    for (name, expected) in [("photo.heic", "photo.png"), ("alpha.heic", "alpha-on-white.png")] {
        match decode(&fixture(name)) {
            Ok(decoded) => {
                let difference = apart(&decoded.pixels, &pixels(expected));
                println!("{name}: {difference:.3}");
                assert!(difference < 6.0 && decoded.format == "HEIC", "{name}: {difference:.3}");
            }
            Err(e @ DecodeError::Missing { .. }) => {
                println!("NOT INSTALLED here: {e}");
                assert!(e.to_string().contains("libheif1"), "{e}");
            }
            Err(e) => panic!("{name}: {e}"),
        }
    }
}

#[test]
fn a_drawing_is_rendered_as_another_renderer_does() {
    let drawing = pixels("drawing.svg");
    assert_eq!((drawing.width(), drawing.height()), (1024, 512));
    let difference = apart(&drawing.fit_within(128), &pixels("drawing.png"));
    println!("drawing.svg: {difference:.3}");
    assert!(difference < 3.0, "{difference:.3} grey levels off");
}

/// Every file that another program wrote.
fn all() -> Vec<(String, Vec<u8>)> {
    let mut all = vec![];
    for folder in ["formats", "words"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(folder);
        for entry in fs_err::read_dir(folder).expect("a folder") {
            let path = entry.expect("listed").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if !name.ends_with(".sh") && !name.ends_with(".md") {
                all.push((name, fs_err::read(path).expect("read")));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn a_part_of_a_file_is_never_taken_for_the_whole() {
    let mut accepted = vec![];
    for (name, bytes) in all() {
        for percent in [5, 30, 50, 80, 95] {
            let cut = &bytes[..bytes.len() * percent / 100];
            match decode(cut) {
                // Words come behind the picture in some files.
                Ok(_) if name.starts_with("xmp.") => {}
                Ok(_) => accepted.push(format!("{name} cut to {percent} %")),
                Err(e) => {
                    let said = e.to_string();
                    assert!(!said.contains('\n') && said.len() < 300, "{name}: {said}");
                }
            }
        }
    }
    assert!(accepted.is_empty(), "taken for whole: {accepted:#?}");
}

/// A long run of the same is `fuzz/`, which says how.
#[test]
fn damage_ends_well() {
    let seed = 0x5EED_0F07_u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut below = |n: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n.max(1)
    };
    for (name, whole) in all() {
        for round in 0..40 {
            let mut bytes = whole.clone();
            if round % 4 == 0 {
                bytes.truncate(below(whole.len()));
            }
            for _ in 0..=below(6) {
                // Half of the changes near the start, where headers are.
                let reach = if below(2) == 0 { 400.min(bytes.len()) } else { bytes.len() };
                if let Some(byte) = bytes.get_mut(below(reach)) {
                    *byte = if below(2) == 0 { below(256) as u8 } else { *byte ^ 1 << below(8) };
                }
            }
            if let Err(e) = decode(&bytes) {
                assert!(!e.to_string().is_empty(), "{name} in round {round}");
            }
            let found = blocks(&bytes);
            let parts = [&found.exif, &found.xmp, &found.iptc];
            let length: usize = parts.iter().flat_map(|list| list.iter()).map(|b| b.len()).sum();
            assert!(length <= 16 * (bytes.len() + 1024), "{name}: {length} bytes of words");
        }
    }
}
