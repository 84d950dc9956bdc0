//! Given a camera's raw file, which of the JPEGs within shows the picture?
//! The sensor's data are not developed; every camera puts a developed picture
//! beside them, and the largest is taken.

use super::avif::container::{Bytes, boxes, find};
use super::tiff::{self, Tiff};

/// What a raw file is, by its layout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Layout {
    /// Directories as in TIFF, whatever its first four bytes say.
    Tiff,
    /// Fujifilm's: a header that names the JPEG.
    Fuji,
    /// Canon's newer: boxes as in a video.
    Boxes,
}

/// JPEGs that are looked at; a file has three or four.
const MOST: usize = 64;
/// Below this many pixels a preview is a thumbnail, and worth a search for a better one.
const THUMBNAIL: u64 = 320 * 240;
/// Canon's box with a preview.
const PREVIEW_BOX: [u8; 16] = [
    0xEA, 0xF4, 0x2B, 0x5E, 0x1C, 0x98, 0x4B, 0x88, 0xB9, 0xFB, 0xB7, 0xDC, 0x40, 0x6E, 0x4D, 0x16,
];

/// The name of the raw format, if a file that begins as TIFF is one.
pub(super) fn kind_of_tiff(bytes: &[u8]) -> Option<&'static str> {
    const COLOUR_FILTER: u64 = 32803;
    const LINEAR: u64 = 34892;
    /// Of Sony, Samsung, Nikon, Pentax.
    const OWN: [u64; 5] = [32767, 32769, 32770, 34713, 65535];
    if bytes.get(8..10) == Some(b"CR") && bytes.starts_with(b"II\x2A\0") {
        return Some("CR2");
    }
    let tiff = Tiff::read(bytes)?;
    let first = tiff.directories.first()?;
    if first.entry(tiff::DNG_VERSION).is_some() {
        return Some("DNG");
    }
    let raw = tiff.directories.iter().any(|directory| {
        let is =
            |tag, known: &[u64]| tiff.number(directory, tag).is_some_and(|n| known.contains(&n));
        is(tiff::PHOTOMETRIC, &[COLOUR_FILTER, LINEAR]) || is(tiff::COMPRESSION, &OWN)
    });
    if !raw {
        return None;
    }
    let make = tiff.text(first, tiff::MAKE).unwrap_or_default().to_uppercase();
    let known = [
        ("NIKON", "NEF"),
        ("SONY", "ARW"),
        ("PENTAX", "PEF"),
        ("RICOH", "PEF"),
        ("SAMSUNG", "SRW"),
        ("CANON", "CR2"),
        ("HASSELBLAD", "3FR"),
        ("EPSON", "ERF"),
        ("KODAK", "DCR"),
        ("EASTMAN KODAK", "DCR"),
    ];
    let found = known.iter().find(|(start, _)| make.starts_with(start));
    Some(found.map_or("RAW", |known| known.1))
}

/// The JPEG that shows the most, and how the camera was held (EXIF's number), for
/// a JPEG that does not say it itself.
pub(super) fn preview(bytes: &[u8], layout: Layout) -> Option<(&[u8], Option<u8>)> {
    let mut found = vec![];
    let mut turned = None;
    match layout {
        Layout::Tiff => {
            if let Some(tiff) = Tiff::read(bytes) {
                let first = tiff.directories.first();
                turned = first.and_then(|d| tiff.number(d, tiff::ORIENTATION));
                found.extend(named(&tiff, bytes));
            }
        }
        Layout::Fuji => {
            let mut header = Bytes(bytes.get(84..).unwrap_or(&[]));
            if let (Some(start), Some(length)) = (header.number(4), header.number(4)) {
                found.extend(part(bytes, start, length));
            }
        }
        Layout::Boxes => found.extend(boxed(bytes)),
    }
    if largest(&found).is_none_or(|(pixels, _)| pixels < THUMBNAIL) {
        found.extend(searched(bytes));
    }
    let (_, best) = largest(&found)?;
    Some((best, turned.and_then(|n| u8::try_from(n).ok())))
}

/// The one with most pixels, the first of equals, and how many those are.
fn largest<'a>(found: &[&'a [u8]]) -> Option<(u64, &'a [u8])> {
    let sizes = found.iter().rev().filter_map(|jpeg| Some((area(jpeg)?, *jpeg)));
    sizes.max_by_key(|(pixels, _)| *pixels)
}

fn part(bytes: &[u8], start: u64, length: u64) -> Option<&[u8]> {
    let (start, length) = (usize::try_from(start).ok()?, usize::try_from(length).ok()?);
    bytes.get(start..start.checked_add(length)?)
}

/// JPEGs that directories name.
fn named<'a>(tiff: &Tiff<'a>, bytes: &'a [u8]) -> Vec<&'a [u8]> {
    /// Of Panasonic's first directory: a whole JPEG as the value.
    const JPEG_FROM_RAW: u16 = 0x2E;
    let mut found = vec![];
    for directory in &tiff.directories {
        let number = |tag| tiff.number(directory, tag);
        let mut pairs = vec![(number(tiff::JPEG_OFFSET), number(tiff::JPEG_LENGTH))];
        if matches!(number(tiff::COMPRESSION), Some(6 | 7)) {
            let strips = directory.entry(tiff::STRIP_OFFSETS).map(|e| tiff.numbers(e).len());
            if strips == Some(1) {
                pairs.push((number(tiff::STRIP_OFFSETS), number(tiff::STRIP_LENGTHS)));
            }
        }
        found.extend(pairs.into_iter().filter_map(|(start, length)| part(bytes, start?, length?)));
        found.extend(directory.entry(JPEG_FROM_RAW).and_then(|entry| tiff.raw(entry)));
    }
    found
}

/// JPEGs in Canon's boxes.
fn boxed(bytes: &[u8]) -> Option<&[u8]> {
    let preview = boxes(bytes).find_map(|(kind, body)| {
        (&kind == b"uuid").then(|| body.strip_prefix(&PREVIEW_BOX)).flatten()
    })?;
    // A count, then the box itself: 12 bytes before the length of the JPEG.
    let mut body = Bytes(find(preview.get(8..)?, b"PRVW")?);
    body.take(12)?;
    let length = body.number(4)?;
    part(body.0, 0, length)
}

/// JPEGs that stand anywhere in the file: cameras name some only in notes that
/// differ from model to model.
fn searched(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = vec![];
    let mut at = 0;
    while found.len() < MOST {
        let Some(next) = bytes[at..].windows(3).position(|w| w == b"\xFF\xD8\xFF") else { break };
        at += next;
        if area(&bytes[at..]).is_some() {
            found.push(&bytes[at..]);
        }
        at += 3;
    }
    found
}

/// The pixels of a JPEG of a kind that is decoded, by its header.
fn area(jpeg: &[u8]) -> Option<u64> {
    let mut rest = Bytes(jpeg);
    if rest.take(2)? != b"\xFF\xD8" {
        return None;
    }
    // Segments before the frame's: a few dozen at most.
    for _ in 0..256 {
        let marker = rest.number(2)?;
        let length = usize::try_from(rest.number(2)?.checked_sub(2)?).ok()?;
        let mut body = Bytes(rest.take(length)?);
        match marker {
            // Huffman-coded, of 8 bits; others are the sensor's data.
            0xFFC0..=0xFFC2 => {
                let (depth, height, width) = (body.number(1)?, body.number(2)?, body.number(2)?);
                return (depth == 8 && width * height > 0).then_some(width * height);
            }
            0xFFC4 | 0xFFDB | 0xFFDD | 0xFFE0..=0xFFEF | 0xFFFE => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageFormat, RgbImage};

    pub(super) fn jpeg(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(vec![]);
        let picture = RgbImage::from_fn(width, height, |x, _| image::Rgb([(x * 3) as u8, 90, 20]));
        DynamicImage::from(picture).write_to(&mut bytes, ImageFormat::Jpeg).expect("in memory");
        bytes.into_inner()
    }

    /// A file with two JPEGs, one named as a thumbnail, one as a strip.
    fn raw(magic: &[u8; 4], make: &[u8], photometric: u32) -> Vec<u8> {
        let (small, large) = (jpeg(40, 30), jpeg(640, 480));
        let start = 8 + 2 + 12 * 8 + 4;
        let (make_at, small_at) = (start, start + make.len() as u32);
        let large_at = small_at + small.len() as u32;
        let entries = [
            (tiff::COMPRESSION, 3, 1, 6),
            (tiff::PHOTOMETRIC, 3, 1, photometric),
            (tiff::MAKE, 2, make.len() as u32, make_at),
            (tiff::STRIP_OFFSETS, 4, 1, large_at),
            (tiff::ORIENTATION, 3, 1, 6),
            (tiff::STRIP_LENGTHS, 4, 1, large.len() as u32),
            (tiff::JPEG_OFFSET, 4, 1, small_at),
            (tiff::JPEG_LENGTH, 4, 1, small.len() as u32),
        ];
        tiff::block(magic, &entries, &[make, &small, &large, &[7; 5000]].concat())
    }

    #[test]
    fn the_largest_preview_is_taken_and_turned() {
        let nef = raw(b"II\x2A\0", b"NIKON CORPORATION\0", 32803);
        assert_eq!(kind_of_tiff(&nef), Some("NEF"));
        let decoded = super::super::decode(&nef).expect("a preview");
        assert_eq!(decoded.format, "NEF");
        assert_eq!((decoded.pixels.width(), decoded.pixels.height()), (480, 640), "turned");
        for (magic, name) in [(b"IIRO", "ORF"), (b"IIU\0", "RW2")] {
            let decoded = super::super::decode(&raw(magic, b"OLYMPUS\0", 1)).expect(name);
            assert_eq!((decoded.format, decoded.pixels.width()), (name, 480));
        }
        // A scan, of which nobody would want the thumbnail.
        assert_eq!(kind_of_tiff(&raw(b"II\x2A\0", b"NIKON CORPORATION\0", 2)), None);
    }

    #[test]
    fn previews_that_nobody_names_are_found() {
        let mut orf = tiff::block(b"IIRO", &[(tiff::MAKE, 2, 4, 0)], &[1; 100]);
        let start = orf.len();
        orf.extend(jpeg(640, 480));
        orf.extend([3; 3000]);
        let (found, turned) = preview(&orf, Layout::Tiff).expect("found");
        assert_eq!((found.len(), turned), (orf.len() - start, None));
        let decoded = super::super::decode(&orf).expect("a preview");
        assert_eq!((decoded.format, decoded.pixels.width()), ("ORF", 640));
        let none = tiff::block(b"IIRO", &[(tiff::MAKE, 2, 4, 0)], &[1; 100]);
        let said = super::super::decode(&none).expect_err("nothing in it").to_string();
        assert!(said.contains("no preview"), "{said}");
    }

    #[test]
    fn fuji_and_canon_name_theirs() {
        let large = jpeg(400, 300);
        let mut raf = b"FUJIFILMCCD-RAW 0201FF389501X-T3".to_vec();
        raf.resize(84, 0);
        raf.extend(148u32.to_be_bytes());
        raf.extend((large.len() as u32).to_be_bytes());
        raf.resize(148, 0);
        raf.extend(&large);
        raf.extend([9; 1000]);
        let decoded = super::super::decode(&raf).expect("a preview");
        assert_eq!((decoded.format, decoded.pixels.width()), ("RAF", 400));

        let make = |kind: &[u8], body: Vec<u8>| {
            [&(body.len() as u32 + 8).to_be_bytes()[..], kind, &body].concat()
        };
        let head = [0, 0, 0, 0, 0, 1, 1, 144, 1, 44, 0, 1];
        let length = (large.len() as u32).to_be_bytes();
        let preview = make(b"PRVW", [&head[..], &length, &large].concat());
        let preview = make(b"uuid", [&PREVIEW_BOX[..], &[0; 8], &preview].concat());
        let brand = make(b"ftyp", b"crx \0\0\0\x01crx isom".to_vec());
        let cr3 = [brand, preview, make(b"mdat", vec![5; 4000])].concat();
        let decoded = super::super::decode(&cr3).expect("a preview");
        assert_eq!((decoded.format, decoded.pixels.width()), ("CR3", 400));
    }
}
