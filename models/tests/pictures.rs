//! Are pictures decoded and prepared as Pillow and torchvision do it?

use ekphrasis_embed::Pixels;
use ekphrasis_models::{DecodeError, decode};

use crate::support::{PICTURES, golden_pixels, picture, spec};

/// Mean absolute difference and 99th percentile, in grey levels.
fn difference(a: &Pixels, b: &Pixels) -> (f64, u8) {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let mut diffs: Vec<u8> = a.rgb().iter().zip(b.rgb()).map(|(x, y)| x.abs_diff(*y)).collect();
    diffs.sort_unstable();
    let mean = diffs.iter().map(|&d| f64::from(d)).sum::<f64>() / diffs.len() as f64;
    (mean, diffs[diffs.len() * 99 / 100])
}

#[test]
fn pixels_agree_with_the_golden_ones() {
    let mut wrong = String::new();
    for name in PICTURES {
        let decoded = decode(&picture(name)).expect(name);
        for spec_name in ["clip_224", "siglip_224", "efficientnet_lite0_224"] {
            let got = spec(spec_name).pixels(&decoded.pixels).expect(name);
            let (mean, p99) = difference(&got, &golden_pixels(name, spec_name));
            println!("{name} {spec_name}: mean {mean:.3}, 99th percentile {p99}");
            if mean > 1.0 || p99 > 3 {
                wrong += &format!("{name} {spec_name}: mean {mean:.3}, 99th percentile {p99}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// xorshift64*: enough to choose cuts and flips, the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
}

fn small() -> image::RgbImage {
    image::RgbImage::from_fn(61, 43, |x, y| {
        image::Rgb([(x * 4) as u8, (y * 5) as u8, (x * y % 256) as u8])
    })
}

/// A small picture in every format that can be written, and the ten awkward ones.
fn samples() -> Vec<(String, Vec<u8>)> {
    use image::ImageFormat as F;
    let mut all: Vec<(String, Vec<u8>)> =
        PICTURES.iter().map(|name| ((*name).to_owned(), picture(name))).collect();
    for format in [F::Jpeg, F::Png, F::Gif, F::WebP, F::Bmp, F::Tiff, F::Pnm, F::Qoi, F::Ico] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let picture = image::DynamicImage::from(small());
        picture.write_to(&mut bytes, format).expect("an encoder");
        all.push((format!("{format:?}"), bytes.into_inner()));
    }
    all
}

#[test]
fn every_format_is_read() {
    for (name, bytes) in samples() {
        let decoded = decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        if name == "Jpeg" || PICTURES.contains(&name.as_str()) {
            continue;
        }
        let rgb = decoded.pixels.rgb();
        assert_eq!(rgb.len(), small().as_raw().len(), "{name}");
        let off: u64 =
            rgb.iter().zip(small().as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        // Written without loss, except for GIF's palette.
        let allowed = if name == "Gif" { 20 * rgb.len() as u64 } else { 0 };
        assert!(off <= allowed, "{name}: off by {off} in all");
    }
}

#[test]
fn cut_files_are_failures_with_a_reason() {
    let mut accepted = Vec::new();
    for (name, bytes) in samples() {
        for percent in [5, 30, 50, 80, 95] {
            let cut = &bytes[..bytes.len() * percent / 100];
            match decode(cut) {
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

#[test]
fn damaged_files_never_panic() {
    let seed = 0x5EED_2026;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    for (name, bytes) in samples() {
        for round in 0..24 {
            let mut broken = bytes.clone();
            if round % 3 == 0 {
                broken.truncate(random.below(bytes.len()));
            }
            // Half of the flips near the header, where they hurt most.
            for _ in 0..=random.below(8) {
                let reach = if random.below(2) == 0 { 64 } else { broken.len() };
                let len = broken.len().max(1);
                if let Some(byte) = broken.get_mut(random.below(reach.max(1)) % len) {
                    *byte ^= 1 << random.below(8);
                }
            }
            // An answer of either kind will do; a size has to be within bounds.
            if let Ok(decoded) = decode(&broken) {
                let (w, h) = (decoded.pixels.width(), decoded.pixels.height());
                assert!(Pixels::check_size(w, h).is_ok(), "{name}, round {round}");
            }
        }
    }
}

/// A PNG that has nothing but its header.
fn png_header(width: u32, height: u32, depth: u8, colour: u8) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR".to_vec();
    png.extend(width.to_be_bytes());
    png.extend(height.to_be_bytes());
    png.extend([depth, colour, 0, 0, 0]);
    let crc = png[12..].iter().fold(!0u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ (0xEDB8_8320 & (c & 1).wrapping_neg()))
    });
    png.extend((!crc).to_be_bytes());
    // The decoder reads up to the first data chunk.
    png.extend(b"\0\0\0\0IDAT\x35\xAF\x06\x1E");
    png
}

const RGB: u8 = 2;
const RGBA: u8 = 6;

#[test]
fn a_bomb_is_refused_by_its_header() {
    let error = decode(&png_header(30_000, 30_000, 8, RGB)).expect_err("900 million pixels");
    assert!(matches!(error, DecodeError::Size(_)), "{error}");
    let error = decode(&png_header(16_384, 16_384, 16, RGBA)).expect_err("3 GB of memory");
    let said = error.to_string();
    assert!(matches!(error, DecodeError::Memory { .. }), "{said}");
    assert!(said.contains("16384 × 16384") && said.contains("2953 MB"), "{said}");
    // Real ones of 8 bits are this large: only the data is missing.
    for (width, height) in [(16_000, 14_464), (16_384, 16_384)] {
        let error = decode(&png_header(width, height, 8, RGBA)).expect_err("no data");
        assert!(matches!(error, DecodeError::Truncated { .. }), "{error}");
    }
    let bmp = samples().into_iter().find(|(name, _)| name == "Bmp").expect("a sample").1;
    let mut huge = bmp.clone();
    huge[18..22].copy_from_slice(&60_000i32.to_le_bytes());
    huge[22..26].copy_from_slice(&60_000i32.to_le_bytes());
    assert!(decode(&huge).is_err());
}

#[test]
fn a_canvas_without_data_is_refused_by_its_header() {
    // 30 bytes that claim 65,535 × 4,096: a frame of one pixel, and the end.
    let gif = b"GIF89a\xFF\xFF\x00\x10\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";
    // Run lengths, where an end of the bitmap may come at once.
    let mut bmp = b"BM\0\0\0\0\0\0\0\0\x3E\0\0\0\x28\0\0\0".to_vec();
    bmp.extend(16_000u32.to_le_bytes());
    bmp.extend(16_000u32.to_le_bytes());
    bmp.extend(b"\x01\0\x08\0\x01\0\0\0");
    bmp.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    bmp.extend([0, 0, 0, 0, 255, 255, 255, 0, 0, 1]);
    for bytes in [&gif[..], &bmp] {
        let started = std::time::Instant::now();
        let said = decode(bytes).expect_err("no data").to_string();
        assert!(said.contains("cannot hold"), "{said}");
        assert!(started.elapsed().as_secs() < 1, "no canvas was filled");
    }
    // A picture of one colour is as small as a GIF can be; it is read.
    let mut plain = std::io::Cursor::new(Vec::new());
    let white = image::RgbImage::from_pixel(2_500, 2_000, image::Rgb([255; 3]));
    white.write_to(&mut plain, image::ImageFormat::Gif).expect("an encoder");
    let plain = plain.into_inner();
    assert_eq!(decode(&plain).expect("a picture").pixels.width(), 2_500, "{}", plain.len());
}

/// The offset behind `percent` of the scan's data; of a progressive JPEG's
/// before the last scan, which holds no more than the last bit of brightness.
fn within_the_scan(jpeg: &[u8], percent: usize) -> usize {
    let last = jpeg.windows(2).rposition(|w| w == [0xFF, 0xDA]).expect("a scan");
    let (start, end) = if jpeg.windows(3).any(|w| w == [0xFF, 0xC2, 0]) {
        (jpeg.windows(2).position(|w| w == [0xFF, 0xDA]).expect("a scan") + 14, last)
    } else {
        (last + 14, jpeg.len() - 2)
    };
    let mut at = start + (end - start) * percent / 100;
    // Not between an 0xFF and what belongs to it.
    while jpeg[at - 1] == 0xFF {
        at += 1;
    }
    at
}

#[test]
fn half_a_jpeg_is_not_a_picture_whatever_follows_it() {
    let mut grey = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut grey)
        .encode_image(&image::DynamicImage::from(small()).into_luma8())
        .expect("an encoder");
    let mut jpegs: Vec<_> = samples().into_iter().filter(|(_, b)| b[..2] == [0xFF, 0xD8]).collect();
    jpegs.push(("grey".into(), grey));
    assert!(jpegs.len() >= 5);
    for (name, whole) in jpegs {
        decode(&whole).unwrap_or_else(|e| panic!("{name}: {e}"));
        for percent in [1, 20, 50, 75] {
            let half = &whole[..within_the_scan(&whole, percent)];
            let mut zeroed = half.to_vec();
            zeroed.resize(half.len() + 8, 0);
            for (what, bytes) in [
                ("an end marker", [half, b"\xFF\xD9"].concat()),
                ("a few zeros and an end marker", [&zeroed, &b"\xFF\xD9"[..]].concat()),
                ("another JPEG", [half, &whole].concat()),
                ("the header of another", [half, &whole[..20], b"\xFF\xD9"].concat()),
                ("the end marker, and another", [half, b"\xFF\xD9", &whole].concat()),
            ] {
                match decode(&bytes) {
                    Ok(_) => panic!("{percent} % of {name} and {what} is taken for a picture"),
                    Err(e) => {
                        assert!(matches!(e, DecodeError::Truncated { .. }), "{name}, {what}: {e}");
                    }
                }
            }
        }
        // What does not belong to the picture does no harm.
        let followed = [&whole[..], b"a camera's notes \xFF\xD8\xFF", &whole].concat();
        let (a, b) = (decode(&whole).expect("whole"), decode(&followed).expect("whole"));
        assert!(a.pixels == b.pixels, "{name}");
    }
}

#[test]
fn orientation_is_applied() {
    let upright = decode(&picture("cat_451x300.jpg")).expect("a picture").pixels;
    let turned = decode(&picture("cat_exif_orientation6.jpg")).expect("a picture").pixels;
    // Two encodings of one photograph.
    let (mean, _) = difference(&upright, &turned);
    assert!(mean < 6.0, "mean difference {mean}");
}
