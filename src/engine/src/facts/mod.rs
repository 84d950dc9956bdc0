//! Given a picture's file, what does it tell? What a camera noted (EXIF), what
//! people wrote into it (XMP, IPTC) or beside it (sidecars), and what its pixels
//! say: colours, and a fingerprint by which copies are found.
//!
//! What is not understood is left out: nothing here is a reason to refuse a
//! picture, or to guess.

mod colours;
mod exif;
mod iptc;
mod sidecar;
mod xmp;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ekphrasis_embed::Pixels;
use ekphrasis_index::{Colour, Date, Facts, Taken};
use ekphrasis_models::{blocks, decode_scaled};
use image::RgbImage;
use image_hasher::{HashAlg, HasherConfig};

pub(crate) use self::sidecar::Beside;

/// Texts and keywords of one picture, and bytes of each.
const MOST: usize = 200;
const LONGEST: usize = 8 << 10;
/// Pixels of the longer side from which colours and the fingerprint are told.
const SIDE: u32 = 128;

/// What the pixels say.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    colours: Vec<Colour>,
    look: Option<u64>,
}

impl Seen {
    pub(crate) fn of(pixels: &Pixels) -> Self {
        let small = thinned(pixels).mean_within(SIDE);
        Self { colours: colours::of(&small), look: look(&small) }
    }
}

/// At most some four pixels for one of the small picture, picked at equal distances:
/// averaging all of a large one would cost as much as preparing it for the model.
fn thinned(pixels: &Pixels) -> Cow<'_, Pixels> {
    let (width, height) = (pixels.width(), pixels.height());
    let step = width.max(height) / (4 * SIDE);
    if step < 2 {
        return Cow::Borrowed(pixels);
    }
    let row = |y: u32| {
        (0..width.div_ceil(step)).flat_map(move |x| {
            let at = 3 * ((y * step) as usize * width as usize + (x * step) as usize);
            [0, 1, 2].map(|channel| pixels.rgb()[at + channel])
        })
    };
    let rgb = (0..height.div_ceil(step)).flat_map(row).collect();
    let thin = Pixels::new(width.div_ceil(step), height.div_ceil(step), rgb);
    thin.map_or(Cow::Borrowed(pixels), Cow::Owned)
}

/// 64 bits that say where the picture is brighter than beside, at its coarsest.
fn look(small: &Pixels) -> Option<u64> {
    // The hasher makes it smaller still, in a way that costs much for each pixel.
    let coarse = small.mean_within(SIDE / 2);
    let picture = RgbImage::from_raw(coarse.width(), coarse.height(), coarse.into_rgb())?;
    let hasher = HasherConfig::new().hash_alg(HashAlg::Gradient).hash_size(8, 8).to_hasher();
    let hash = hasher.hash_image(&image::DynamicImage::from(picture));
    Some(u64::from_be_bytes(hash.as_bytes().try_into().ok()?))
}

/// What the file at `path` with these bytes tells, and what was seen of its pixels.
pub(crate) fn of_bytes(path: &Path, bytes: &[u8], seen: Seen) -> Facts {
    let found = blocks(bytes);
    // The reader of EXIF would look for it all through the picture of a JPEG that has none.
    let mut facts = exif::of_bytes(found.header.unwrap_or(bytes));
    for block in &found.exif {
        exif::add(&mut facts, block);
    }
    let mut words = Words::default();
    for packet in found.xmp.iter().filter_map(|packet| std::str::from_utf8(packet).ok()) {
        // Other people's code on other people's bytes, as with codecs.
        let read = catch_unwind(AssertUnwindSafe(|| xmp::read(packet)));
        words.add(read.unwrap_or_default());
    }
    for sets in &found.iptc {
        words.add(iptc::read(sets));
    }
    // Taken before it is read, so that what changes meanwhile is seen next time.
    facts.beside = sidecar::stamp(path, |_| true);
    if facts.beside.is_some() {
        words.add(sidecar::read(path));
    }
    facts.taken = facts.taken.or(words.taken);
    facts.texts = words.texts;
    facts.keywords = words.keywords;
    facts.colours = seen.colours;
    facts.look = seen.look;
    facts.version = Facts::VERSION;
    facts
}

/// What the bytes of a picture's file tell, without its pixels. Never panics,
/// whatever the bytes.
pub fn facts_in(bytes: &[u8]) -> Facts {
    of_bytes(Path::new(""), bytes, Seen::default())
}

/// What the file at `path` tells, its pixels included; as much as can be read of it.
#[cfg(test)]
fn of_file(path: &Path) -> Facts {
    let bytes = fs_err::read(path).unwrap_or_default();
    of_bytes(path, &bytes, seen_in(&bytes))
}

/// What the file at `path` with these bytes tells, of which `known` was told at another
/// place: what its pixels say is the same, what lies beside it may not be.
pub(crate) fn of_copy(path: &Path, bytes: &[u8], known: Option<&Facts>) -> Facts {
    let seen = match known.filter(|facts| facts.version == Facts::VERSION) {
        Some(facts) => Seen { colours: facts.colours.clone(), look: facts.look },
        None => seen_in(bytes),
    };
    of_bytes(path, bytes, seen)
}

/// By how much the sides of a picture may be divided before it is looked at.
pub(crate) fn spare(width: u32, height: u32) -> f64 {
    f64::from(width.max(height)) / f64::from(2 * SIDE)
}

fn seen_in(bytes: &[u8]) -> Seen {
    decode_scaled(bytes, spare).map(|scaled| Seen::of(&scaled.pixels)).unwrap_or_default()
}

/// What people wrote.
#[derive(Clone, Debug, Default, PartialEq)]
struct Words {
    texts: Vec<String>,
    keywords: Vec<String>,
    taken: Option<Taken>,
}

impl Words {
    fn text(&mut self, text: &str) {
        push(&mut self.texts, text);
    }

    fn keyword(&mut self, word: &str) {
        push(&mut self.keywords, word);
    }

    fn date(&mut self, date: Option<Date>) {
        let known = date.map(|date| Taken { date, offset_minutes: None });
        self.taken = self.taken.or(known);
    }

    fn add(&mut self, other: Self) {
        other.texts.iter().for_each(|text| self.text(text));
        other.keywords.iter().for_each(|word| self.keyword(word));
        self.taken = self.taken.or(other.taken);
    }
}

/// Adds a text in one line, unless it is there, blank, or one too many.
fn push(list: &mut Vec<String>, text: &str) {
    if list.len() >= MOST {
        return;
    }
    let end = text.floor_char_boundary(LONGEST);
    let plain = text[..end].replace(|c: char| c.is_control(), " ");
    let text = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if !text.is_empty() && !list.contains(&text) {
        list.push(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/words").join(name)
    }

    /// Files into which another's program (exiftool) wrote: each container, each standard.
    #[test]
    fn what_others_write_is_read() {
        for name in ["both.jpg", "xmp.png", "xmp.webp", "both.tif", "xmp.avif", "xmp.jxl"] {
            let facts = of_file(&fixture(name));
            assert_eq!(facts.version, Facts::VERSION, "{name}");
            let has = |list: &[String], text: &str| list.iter().any(|t| t == text);
            assert!(has(&facts.texts, "Möwen über dem Hafen"), "{name}: {:?}", facts.texts);
            assert!(has(&facts.keywords, "seagull"), "{name}: {:?}", facts.keywords);
            if name.starts_with("both") {
                assert!(has(&facts.texts, "Harbour at noon"), "{name}: {:?}", facts.texts);
                assert!(has(&facts.keywords, "Hafen"), "{name}: {:?}", facts.keywords);
            }
            assert!(facts.look.is_some() && !facts.colours.is_empty(), "{name}");
        }
        let jxl = of_file(&fixture("xmp.jxl"));
        assert_eq!(jxl.camera().as_deref(), Some("Canon EOS 5D"), "EXIF in a box");
        let avif = of_file(&fixture("xmp.avif"));
        assert_eq!(avif.camera().as_deref(), Some("Canon EOS 5D"), "EXIF in an item");
    }

    #[test]
    fn a_copy_looks_the_same_and_another_picture_does_not() {
        let picture = |shift: u32, width: u32| {
            let rgb = (0..width * width).flat_map(|i| {
                let (x, y) = (f64::from(i % width), f64::from(i / width));
                let at = |a: f64| {
                    ((a / f64::from(width) * 9.0 + f64::from(shift)).sin() * 100.0 + 120.0) as u8
                };
                [at(x + y * 0.4), at(y), at(x * 0.3 + y)]
            });
            Pixels::new(width, width, rgb.collect()).expect("valid")
        };
        let look = |shift, width| Seen::of(&picture(shift, width)).look.expect("a picture");
        let differ = |a: u64, b: u64| (a ^ b).count_ones();
        assert!(differ(look(0, 500), look(0, 180)) <= 4, "smaller");
        assert!(differ(look(0, 2_111), look(0, 180)) <= 4, "much smaller, thinned first");
        assert!(differ(look(0, 500), look(2, 500)) > 12, "another");
    }

    #[test]
    fn lists_are_bounded_and_plain() {
        let mut list = vec![];
        push(&mut list, " a\0 b\r\nc ");
        push(&mut list, "a b c");
        push(&mut list, " \t");
        push(&mut list, &"ä".repeat(LONGEST));
        assert_eq!(list[0], "a b c");
        assert_eq!((list.len(), list[1].len()), (2, LONGEST));
        (0..2 * MOST).for_each(|i| push(&mut list, &i.to_string()));
        assert_eq!(list.len(), MOST);
    }

    /// Cut short or changed anywhere: something or nothing is read, never a panic.
    #[test]
    fn damage_is_survived() {
        let seed = 0x5EED_0005u64;
        println!("seed {seed:#x}");
        let mut state = seed;
        let mut below = |n: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % n
        };
        let names = ["both.jpg", "xmp.png", "xmp.webp", "both.tif", "xmp.avif", "xmp.jxl"];
        for name in names {
            let whole = fs_err::read(fixture(name)).expect("read");
            for round in 0..150 {
                let mut bytes = whole.clone();
                if round % 3 == 0 {
                    bytes.truncate(below(whole.len()));
                }
                for _ in 0..below(6) {
                    let len = bytes.len().max(1);
                    if let Some(byte) = bytes.get_mut(below(len)) {
                        *byte = below(256) as u8;
                    }
                }
                of_bytes(Path::new("nowhere.jpg"), &bytes, Seen::default());
            }
        }
    }
}
