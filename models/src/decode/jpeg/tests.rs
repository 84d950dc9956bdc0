use std::path::Path;

use super::*;

/// What is decoded the short way, and what is not.
const SHORT: [&str; 9] = [
    "444.jpg",
    "440.jpg",
    "422.jpg",
    "420.jpg",
    "411.jpg",
    "420_restart.jpg",
    "420_optimised.jpg",
    "420_turned.jpg",
    "grey.jpg",
];
const LONG: [&str; 3] = ["progressive.jpg", "rgb.jpg", "cmyk.jpg"];

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/jpeg");
    fs_err::read(folder.join(name)).expect("a fixture")
}

/// The mean of every `n` × `n` pixels, those at the right and lower edge of fewer.
fn averaged(pixels: &Pixels, n: u32) -> Vec<f64> {
    let (width, height) = (pixels.width(), pixels.height());
    let mut means = Vec::new();
    for top in (0..height).step_by(n as usize) {
        for left in (0..width).step_by(n as usize) {
            for channel in 0..3 {
                let (mut sum, mut count) = (0.0, 0.0);
                for y in top..(top + n).min(height) {
                    for x in left..(left + n).min(width) {
                        sum += f64::from(pixels.rgb()[((y * width + x) * 3 + channel) as usize]);
                        count += 1.0;
                    }
                }
                means.push(sum / count);
            }
        }
    }
    means
}

#[test]
fn a_smaller_picture_is_the_whole_one_made_smaller() {
    for name in SHORT {
        let bytes = fixture(name);
        let whole = decode(&bytes).expect(name).pixels;
        for n in [2, 4, 8] {
            let small = smaller(&bytes, |_, _| f64::from(n) + 0.9).expect(name);
            assert_eq!(
                (small.view.width, small.view.height),
                (whole.width(), whole.height()),
                "{name}"
            );
            let size = (whole.width().div_ceil(n), whole.height().div_ceil(n));
            assert_eq!((small.pixels.width(), small.pixels.height()), size, "{name}");
            if name == "420_turned.jpg" {
                // Its blocks begin at another edge; where the picture is in them, see below.
                continue;
            }
            let expected = averaged(&whole, n);
            let squares = small.pixels.rgb().iter().zip(&expected);
            let squares = squares.map(|(&got, mean)| (f64::from(got) - mean).powi(2));
            let error = (squares.sum::<f64>() / expected.len() as f64).sqrt();
            println!("{name} 1/{n}: off by {error:.2} levels");
            // Averaging is the softer of the two ways; measured: 0.6 to 2.6.
            assert!(error < 3.5, "{name} 1/{n}: off by {error:.2} levels");
        }
    }
}

#[test]
fn every_coefficient_is_drawn() {
    let cosine = |n: usize, u: usize, x: usize| {
        let angle = (2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / (2 * n) as f64;
        angle.cos() * if u == 0 { 1.0 } else { std::f64::consts::SQRT_2 }
    };
    let sizes = [1, 2, 4, 8].map(|across| [1, 2, 4, 8].map(|down| (across, down))).concat();
    for (across, down) in sizes.into_iter().filter(|&size| idct::has_size(size)) {
        for (k, &place) in header::ZIGZAG.iter().enumerate().take(64) {
            let place = usize::from(place);
            let (u, v) = (place % 8, place / 8);
            // A block's first coefficient is eight times its brightness.
            let mut block = [0.0; 65];
            block[0] = 24.0;
            block[place] += 320.0;
            let diagonals = usize::from(scan::DIAGONALS[k]);
            let mut plane = vec![0; 9 * down];
            idct::draw((across, down), &block, diagonals, &mut plane, 0, 9);
            for (y, line) in plane.chunks_exact(9).enumerate() {
                for (x, &got) in line[..across].iter().enumerate() {
                    let shown = u < across && v < down;
                    let wave = cosine(across, u, x) * cosine(down, v, y);
                    let expected = 131.0 + if shown { 40.0 * wave } else { 0.0 };
                    let off = (f64::from(got) - expected).abs();
                    assert!(off < 0.51, "{across} × {down}, {u}, {v}: off by {off} at {x}, {y}");
                }
            }
        }
    }
}

/// Many at once or one by one, with codes of all lengths, up to a block's last place
/// and no farther: the next block begins where this one ends.
#[test]
fn coefficients_come_as_they_were_coded() {
    use huffman::{Bits, Codes, Table};
    /// Zeros before and size in bits, and how long its code is.
    const SYMBOLS: [(u8, usize); 6] = [(0, 2), (1, 2), (0x11, 3), (2, 4), (0xF0, 5), (0x7A, 12)];
    let mut state = 0x5EED_0017u64;
    println!("seed {state:#x}");
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % n
    };
    let mut counts = [0; 16];
    SYMBOLS.iter().for_each(|&(_, length)| counts[length - 1] += 1);
    let table = Table::new(Codes::new(&counts, &SYMBOLS.map(|s| s.0)).expect("so many"));
    let (mut bits, mut blocks) = (String::new(), Vec::new());
    for _ in 0..500 {
        let (mut block, mut k) = ([0; 64], 0);
        while k < 63 {
            // The end comes seldom, so that many blocks are full.
            let pick = if below(60) == 0 { 0 } else { 1 + below(5) as usize };
            let (run, size) = (usize::from(SYMBOLS[pick].0 >> 4), SYMBOLS[pick].0 & 15);
            if pick != 0 && k + run + 1 > 63 {
                continue;
            }
            let (mut code, mut length) = (0u32, SYMBOLS[0].1);
            for (_, next) in &SYMBOLS[1..=pick] {
                code = (code + 1) << (next - length);
                length = *next;
            }
            bits += &format!("{code:0length$b}");
            if pick == 0 {
                break;
            }
            k += run + 1;
            if size > 0 {
                let value = below(1 << size) as i16;
                bits += &format!("{value:0size$b}", size = usize::from(size));
                let negative = value < 1 << (size - 1);
                block[k] = if negative { value - (1 << size) + 1 } else { value };
            }
        }
        blocks.push((block, k));
    }
    let full = blocks.iter().filter(|(_, last)| *last == 63).count();
    assert!((50..450).contains(&full), "{full}");
    let padded = bits + &"0".repeat(8 * (header::PAD + 1));
    let byte = |at: usize| u8::from_str_radix(&padded[at..at + 8], 2).expect("of bits");
    let bytes: Vec<u8> = (0..padded.len() - 7).step_by(8).map(byte).collect();
    let mut bits = Bits::new(&bytes);
    for (n, (block, last)) in blocks.iter().enumerate() {
        let mut got = [0; 256];
        let end = bits.coefficients(&table, |k, value| got[usize::from(k)] = value);
        assert_eq!((&got[..64], end), (&block[..], Some(*last)), "block {n}");
    }
    assert!(!bits.ran_out());
}

#[test]
fn every_processor_gives_the_same_pixels() {
    for name in SHORT {
        let bytes = fixture(name);
        let header = header::read(&bytes).expect(name);
        assert_eq!(header::size(&bytes), Some((header.width, header.height)), "{name}");
        for pixels in [1, 2, 4] {
            let got = scan::decode(&header, pixels).expect(name);
            assert!(Some(got) == scan::decode_here(&header, pixels), "{name} at {pixels}/8");
        }
    }
}

#[test]
fn as_much_is_divided_as_may_be() {
    let bytes = fixture("420.jpg");
    for (spare, divided) in [(1.9, 1), (2.0, 2), (3.99, 2), (4.0, 4), (7.0, 4), (50.0, 8)] {
        let got = decode_scaled(&bytes, |width, height| {
            assert_eq!((width, height), (333, 257));
            spare
        });
        assert_eq!(got.expect("a picture").pixels.width(), 333u32.div_ceil(divided), "{spare}");
    }
    for name in LONG {
        let bytes = fixture(name);
        assert!(smaller(&bytes, |_, _| 8.0).is_none(), "{name}");
        let got = decode_scaled(&bytes, |_, _| 8.0).expect(name);
        assert!(got.pixels == decode(&bytes).expect(name).pixels, "{name}");
    }
    let error = decode_scaled(b"GIF89a", |_, _| 8.0).expect_err("no picture");
    assert_eq!(error.to_string(), decode(b"GIF89a").expect_err("no picture").to_string());
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }
}

/// Both ways take the same files for pictures and refuse the others in the same words.
fn same_verdict(bytes: &[u8], what: &str) {
    let said = |result: Result<(u32, u32), DecodeError>| result.map_err(|e| e.to_string());
    let short = decode_scaled(bytes, |_, _| 8.0).map(|s| (s.view.width, s.view.height));
    let long = decode(bytes).map(|d| (d.pixels.width(), d.pixels.height()));
    assert_eq!(said(short), said(long), "{what}");
}

#[test]
fn what_is_cut_is_judged_alike() {
    for name in SHORT {
        let bytes = fixture(name);
        let data = bytes.windows(2).rposition(|w| w == [0xFF, 0xDA]).expect("a scan") + 14;
        for at in (0..20).map(|n| data + (bytes.len() - data) * n / 20) {
            for end in [&b""[..], b"\xFF\xD9", b"\0\0\0\0\0\0\0\0\xFF\xD9", &bytes] {
                let cut = [&bytes[..at], end].concat();
                same_verdict(&cut, &format!("{name} cut at {at}, then {} bytes", end.len()));
            }
        }
    }
}

#[test]
fn what_is_damaged_is_judged_alike_and_never_panics() {
    let seed = 0x0DD_B175;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    for name in SHORT {
        let bytes = fixture(name);
        for round in 0..60 {
            let mut broken = bytes.clone();
            for _ in 0..=random.below(6) {
                let reach = if random.below(2) == 0 { 700 } else { broken.len() };
                broken[random.below(reach)] ^= 1 << random.below(8);
            }
            same_verdict(&broken, &format!("{name}, round {round}, seed {seed:#x}"));
        }
    }
}

#[test]
fn segments_are_cut_one_by_one_and_have_to_be_as_many_as_expected() {
    let mut segments = header::Segments::of(b"a\xFF\0b\xFF\xD0\xFF\xD1c\xFF\xFF\xD9d");
    for (expected, end) in [(&b"a\xFFb"[..], false), (&b""[..], false), (&b"c"[..], true)] {
        let (segment, last) = segments.cut().expect("a segment");
        let (segment, pad) = segment.split_at(segment.len() - header::PAD);
        assert_eq!((segment, pad, last), (expected, &[0; header::PAD][..], end));
    }
    assert!(segments.cut().is_none(), "no marker behind the end");

    let bytes = fixture("420_restart.jpg");
    let (before, end) = bytes.split_at(bytes.len() - 2);
    assert_eq!(end, [0xFF, 0xD9]);
    let many = [before, &[0xFF, 0xD0].repeat(100_000), end].concat();
    assert!(smaller(&many, |_, _| 8.0).is_none(), "too many");
    same_verdict(&many, "many restarts");
    let at = bytes.windows(2).rposition(|w| w[0] == 0xFF && (0xD0..=0xD7).contains(&w[1]));
    let at = at.expect("a restart");
    let few = [&bytes[..at], &bytes[at + 2..]].concat();
    assert!(smaller(&few, |_, _| 8.0).is_none(), "too few");
}

#[test]
fn only_tables_that_the_scan_names_are_built_and_all_are_checked() {
    let bytes = fixture("420.jpg");
    let scan = bytes.windows(2).rposition(|w| w == [0xFF, 0xDA]).expect("a scan");
    let with = |counts: [u8; 16], symbols: &[u8]| {
        let length = (2 + 1 + 16 + symbols.len()) as u16;
        let head = [&[0xFF, 0xC4][..], &length.to_be_bytes(), &[0x13], &counts, symbols].concat();
        [&bytes[..scan], &head.repeat(1000), &bytes[scan..]].concat()
    };
    let mut counts = [0; 16];
    counts[1] = 3;
    let unused = with(counts, &[1, 2, 3]);
    let header = header::read(&unused).expect("a header");
    assert!(header.ac[3].is_none(), "nobody needs it");
    for component in &header.components {
        assert!(header.dc[component.dc].is_some() && header.ac[component.ac].is_some());
    }
    assert!(smaller(&unused, |_, _| 8.0).is_some());
    counts[1] = 4;
    assert!(header::read(&with(counts, &[1, 2, 3, 4])).is_none(), "a code of ones alone");
}

#[test]
fn what_panics_on_the_short_way_goes_the_long_one() {
    let bytes = fixture("420.jpg");
    let got = decode_scaled(&bytes, |_, _| panic!("on purpose")).expect("a picture");
    assert!(got.pixels == decode(&bytes).expect("a picture").pixels);
}

#[test]
fn the_picture_is_found_whichever_way_it_was_turned() {
    use image::Rgb;
    // 5 × 3 pixels, of which the last column and row are half outside.
    let inner = |x: u32, y: u32| x < 4 && y < 2;
    let make = |x, y| if inner(x, y) { Rgb([255u8; 3]) } else { Rgb([9; 3]) };
    let before = RgbImage::from_fn(5, 3, make);
    for exif in 1..=8 {
        let orientation = Orientation::from_exif(exif).expect("there are eight");
        let mut image = DynamicImage::from(before.clone());
        image.apply_orientation(orientation);
        let image = image.into_rgb8();
        let view = turned((36, 20), (4.5, 2.5), (5, 3), orientation);
        let upright = image.width() == 5;
        let expected = if upright { (36, 20, 4.5, 2.5) } else { (20, 36, 2.5, 4.5) };
        assert_eq!((view.width, view.height, view.across, view.down), expected, "{exif}");
        for (x, y, pixel) in image.enumerate_pixels() {
            let (x, y) = (f64::from(x), f64::from(y));
            let whole = x >= view.left
                && x + 1.0 <= view.left + view.across
                && y >= view.top
                && y + 1.0 <= view.top + view.down;
            assert_eq!(whole, pixel.0[0] == 255, "{exif}: {x}, {y} in {view:?}");
        }
    }
}
