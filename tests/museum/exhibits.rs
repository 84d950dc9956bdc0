//! What is in the museum: names, bytes, and what the reason has to say; nothing,
//! where the file is good in spite of its looks.

use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use image::{DynamicImage, ImageFormat, RgbImage};

use crate::support::{reference, repository};

/// One file.
pub(super) struct Exhibit {
    pub(super) name: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    /// A part of the reason, or several with `|` between; empty for a good file.
    pub(super) reason: &'static str,
}

fn fixture(name: &str) -> Vec<u8> {
    fs_err::read(repository().join("tests/fixtures").join(name)).expect("a fixture")
}

fn golden(name: &str) -> Vec<u8> {
    fs_err::read(reference(&format!("images/{name}"))).expect("a fixture")
}

fn written(format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    let picture = RgbImage::from_fn(61, 43, |x, y| image::Rgb([(x * 4) as u8, (y * 5) as u8, 99]));
    DynamicImage::from(picture).write_to(&mut bytes, format).expect("an encoder");
    bytes.into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(vec![], Compression::best());
    packed.write_all(bytes).expect("in memory");
    packed.finish().expect("in memory")
}

/// A chunk of a PNG with its checksum.
fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [&name[..], data].concat();
    let crc = !body.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| {
            if c & 1 == 1 { (c >> 1) ^ 0xedb8_8320 } else { c >> 1 }
        })
    });
    [&(data.len() as u32).to_be_bytes()[..], &body, &crc.to_be_bytes()].concat()
}

/// A PNG of this size with this in its data.
fn png(width: u32, height: u32, between: &[u8], data: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    let mut packed = ZlibEncoder::new(vec![], Compression::best());
    packed.write_all(data).expect("in memory");
    let packed = packed.finish().expect("in memory");
    [
        b"\x89PNG\r\n\x1a\n",
        &chunk(b"IHDR", &header)[..],
        between,
        &chunk(b"IDAT", &packed),
        &chunk(b"IEND", b""),
    ]
    .concat()
}

/// A JPEG with a segment of its own right behind the start.
fn jpeg_with(marker: u8, body: &[u8]) -> Vec<u8> {
    let jpeg = golden("cat_451x300.jpg");
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xFF, marker], &length, body, &jpeg[2..]].concat()
}

/// With the four bytes after `mark` (and after `skip` more) replaced, at each place.
fn replaced(bytes: &[u8], mark: &[u8], skip: usize, with: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> =
        (0..bytes.len() - mark.len()).filter(|&i| bytes[i..].starts_with(mark)).collect();
    assert!(!places.is_empty(), "{mark:?} is not there");
    for place in places {
        let start = place + mark.len() + skip;
        bytes[start..start + with.len()].copy_from_slice(with);
    }
    bytes
}

fn svg(inner: &str) -> Vec<u8> {
    format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 9 9\">{inner}</svg>")
        .into_bytes()
}

/// A gif of one pixel shown `frames` times on a canvas of this side.
fn gif(side: u16, frames: usize) -> Vec<u8> {
    let side = side.to_le_bytes();
    let head = [b"GIF89a", &side[..], &side, &[0x80, 0, 0, 1, 2, 3, 250, 250, 250]].concat();
    let frame = [0x2C, 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x44, 1, 0];
    [head, frame.repeat(frames), vec![0x3B]].concat()
}

const CUT: &str =
    "cut short|cannot be decoded|breaks off|empty|libheif|no picture in a known format";

pub(super) fn exhibits() -> Vec<Exhibit> {
    let mut all = vec![];
    let mut add = |name: &[u8], bytes: Vec<u8>, reason: &'static str| {
        all.push(Exhibit { name: name.to_vec(), bytes, reason });
    };

    // Whole files of every format, and each cut at several points.
    let whole = [
        ("a.jpg", golden("rocket_640x427.jpg")),
        ("cmyk.jpg", golden("rocket_cmyk.jpg")),
        ("b.png", golden("astronaut_512x400.png")),
        ("c.gif", golden("coffee_palette.gif")),
        ("d.webp", golden("coffee_300x600.webp")),
        ("e.bmp", written(ImageFormat::Bmp)),
        ("f.tif", fixture("words/both.tif")),
        ("g.ppm", written(ImageFormat::Pnm)),
        ("h.qoi", written(ImageFormat::Qoi)),
        ("i.ico", written(ImageFormat::Ico)),
        ("j.svg", fixture("formats/drawing.svg")),
        ("k.svgz", gzip(&fixture("formats/drawing.svg"))),
        ("l.jxl", fixture("formats/photo.jxl")),
        ("m.avif", fixture("formats/photo.avif")),
    ];
    for (name, bytes) in &whole {
        add(name.as_bytes(), bytes.clone(), "");
        for percent in [3, 40, 85] {
            let cut = bytes[..bytes.len() * percent / 100].to_vec();
            // A part of a text is a text.
            let reason = match *name {
                "j.svg" if percent == 3 => "text file|cut short|cannot be decoded",
                "k.svgz" if percent == 3 => "gzip|cut short|cannot be decoded",
                _ => CUT,
            };
            add(format!("cut-{percent}-{name}").as_bytes(), cut, reason);
        }
    }
    let heic = fixture("formats/photo.heic");
    add(b"cut.heic", heic[..heic.len() / 2].to_vec(), CUT);

    // Something else than what the name says.
    add(b"empty.jpg", vec![], "empty");
    add(b"zeros.png", vec![0; 5000], "zero bytes");
    add(b"blank.svg", b" \n\t\n".to_vec(), "blank");
    add(b"words.png", b"Dear diary, this is no picture.\n".to_vec(), "text file");
    add(b"page.jpg", b"<!DOCTYPE html><p>404 not found".to_vec(), "HTML");
    add(b"archive.jpg", b"PK\x03\x04\x14\0\0\0\x08\0".to_vec(), "ZIP");
    add(b"packed-words.svgz", gzip(b"no drawing"), "gzip");
    add(b"document.jpg", b"%PDF-1.7\n%\xE2\xE3\xCF\xD3\n".to_vec(), "PDF");
    add(b"film.heic", b"\0\0\0\x18ftypisom\0\0\0\0isomavc1".to_vec(), "video");
    add(b"program.png", b"\x7FELF\x02\x01\x01\0".to_vec(), "program");
    add(b"noise.jpg", (0..999u32).map(|i| (i * i * 31 % 251) as u8).collect(), "known format");
    add(b"layers.psd", b"8BPS\0\x01\0\0\0\0\0\0\0\x03".to_vec(), "not supported");
    add(b"really-a-png.jpg", written(ImageFormat::Png), "");
    add(b"no-ending", written(ImageFormat::Qoi), "");

    // Bombs by pixels: a header that says much, with little behind it.
    let big = 60_000u32;
    add(b"bomb.png", png(30_000, 30_000, b"", b""), "limit");
    add(
        b"bomb.bmp",
        replaced(
            &written(ImageFormat::Bmp),
            b"\0\x28\0\0\0",
            0,
            &[big.to_le_bytes(), big.to_le_bytes()].concat(),
        ),
        "limit|cannot",
    );
    add(b"bomb.gif", gif(65_535, 1), "limit|cannot hold");
    add(b"blank.gif", gif(12_000, 1), "cannot hold");
    add(
        b"bomb.qoi",
        [b"qoif", &big.to_be_bytes()[..], &big.to_be_bytes(), &[3, 0]].concat(),
        "limit|cannot",
    );
    add(b"bomb.ppm", b"P6 60000 60000 255\n".to_vec(), "limit");
    add(
        b"bomb.avif",
        replaced(
            &fixture("formats/photo.avif"),
            b"ispe",
            4,
            &[big.to_be_bytes(), big.to_be_bytes()].concat(),
        ),
        "limit",
    );
    add(
        b"heavy.avif",
        replaced(
            &fixture("formats/photo.avif"),
            b"ispe",
            4,
            &[14_000u32.to_be_bytes(), 14_000u32.to_be_bytes()].concat(),
        ),
        "limit",
    );
    add(
        b"small.avif",
        replaced(
            &fixture("formats/photo.avif"),
            b"ispe",
            4,
            &[8u32.to_be_bytes(), 8u32.to_be_bytes()].concat(),
        ),
        "cannot be decoded",
    );
    add(b"none.qoi", b"qoif\0\0\0\0\0\0\0\0\x03\0".to_vec(), "nothing in it|cannot be decoded");

    // By frames: the first one counts.
    add(b"frames.gif", gif(20, 100_000), "");
    // By compression.
    let blanks = vec![b' '; 64 << 20];
    let mut packed = ZlibEncoder::new(vec![], Compression::best());
    packed.write_all(&blanks).expect("in memory");
    let packed = packed.finish().expect("in memory");
    let text = [b"Comment\0\0", &packed[..]].concat();
    add(b"text-bomb.png", png(8, 8, &chunk(b"zTXt", &text), &[0; 72]), "");
    let words = [b"XML:com.adobe.xmp\0\x01\0\0\0", &packed[..]].concat();
    add(b"xmp-bomb.png", png(8, 8, &chunk(b"iTXt", &words), &[0; 72]), "");
    add(b"data-bomb.png", png(8, 8, b"", &vec![0; 64 << 20]), "");
    add(b"bomb.svgz", gzip(&[&svg("")[..], &blanks].concat()), "32 MB");

    // Drawings that unfold, circle, nest, or ask for what is outside.
    let mut uses = "<rect id=\"n0\" width=\"1\" height=\"1\"/>".to_owned();
    for level in 1..12 {
        let inner = format!("<use href=\"#n{}\"/>", level - 1).repeat(10);
        uses += &format!("<g id=\"n{level}\">{inner}</g>");
    }
    add(b"uses.svg", svg(&uses), "unfolds");
    let entities: String = (1..12)
        .map(|i| format!("<!ENTITY e{i} \"{}\">", format!("&e{};", i - 1).repeat(10)))
        .collect();
    let laughs = format!("<!DOCTYPE svg [<!ENTITY e0 \"lol\">{entities}]>");
    add(
        b"laughs.svg",
        [laughs.as_bytes(), &svg("<desc>&e11;</desc>")].concat(),
        "cannot be decoded",
    );
    let circle = "<!DOCTYPE svg [<!ENTITY a \"&b;\"><!ENTITY b \"&a;\">]>";
    add(
        b"entities.svg",
        [circle.as_bytes(), &svg("<desc>&a;</desc>")].concat(),
        "cannot be decoded",
    );
    let file = "<!DOCTYPE svg [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    add(b"outside.svg", [file.as_bytes(), &svg("<desc>&x;</desc>")].concat(), "cannot be decoded");
    add(b"deep.svg", svg(&("<g>".repeat(60_000) + &"</g>".repeat(60_000))), "deep|too many");
    add(
        b"open.svg",
        b"<svg xmlns=\"http://www.w3.org/2000/svg\"><g>".to_vec(),
        "cut short|cannot be decoded",
    );
    add(b"nameless.svg", b"<svg width=\"9\" height=\"9\"></svg>".to_vec(), "");
    add(b"latin.svg", [&svg("<desc>Caf")[..], b"\xE9 \xE9"].concat(), "known format|UTF-8");
    add(b"self.svg", svg("<g id=\"a\"><rect width=\"5\" height=\"5\"/><use href=\"#a\"/></g>"), "");
    add(
        b"linked.svg",
        svg(
            "<image href=\"/etc/passwd\" width=\"9\" height=\"9\"/><image href=\"http://127.0.0.1:9/x.png\" width=\"9\" height=\"9\"/>",
        ),
        "",
    );

    // JPEG: kinds that are not decoded, and garbage where programs write.
    let frame = |kind: u8, height: u16| {
        let height = height.to_be_bytes();
        [
            b"\xFF\xD8\xFF",
            &[kind, 0, 11, 8][..],
            &height,
            &[0, 8, 1, 1, 0x11, 0],
            b"\xFF\xDA\0\x08\x01\x01\0\0\x3F\0\x12\x34\xFF\xD9",
        ]
        .concat()
    };
    add(b"lossless.jpg", frame(0xC3, 8), "cannot be decoded|cut short");
    add(b"arithmetic.jpg", frame(0xC9, 8), "cannot be decoded|cut short");
    add(b"flat.jpg", frame(0xC0, 0), "cannot be decoded|cut short|nothing in it");
    let noise: Vec<u8> =
        (0..60_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    add(b"exif-garbage.jpg", jpeg_with(0xE1, &[b"Exif\0\0II\x2A\0", &noise[..]].concat()), "");
    add(b"icc-garbage.jpg", jpeg_with(0xE2, &[b"ICC_PROFILE\0\x01\x01", &noise[..]].concat()), "");
    add(
        b"xmp-garbage.jpg",
        jpeg_with(0xE1, &[b"http://ns.adobe.com/xap/1.0/\0<x", &noise[..]].concat()),
        "",
    );
    add(
        b"iptc-garbage.jpg",
        jpeg_with(
            0xED,
            &[b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\x40\0\x1C\x02", &noise[..]].concat(),
        ),
        "",
    );

    // Others' headers that lie.
    let mut checksum = written(ImageFormat::Png);
    checksum[20] ^= 1;
    add(b"checksum.png", checksum, "cannot be decoded|limit");
    add(
        b"no-data.png",
        [
            b"\x89PNG\r\n\x1a\n",
            &chunk(b"IHDR", &[0, 0, 0, 8, 0, 0, 0, 8, 8, 0, 0, 0, 0])[..],
            &chunk(b"IEND", b""),
        ]
        .concat(),
        "cannot be decoded|cut short",
    );
    let circle = b"II\x2A\0\x08\0\0\0\x01\0\0\x01\x03\0\x01\0\0\0\x08\0\0\0\x08\0\0\0";
    add(b"circle.tif", circle.to_vec(), "cannot be decoded|cut short");
    let far = b"\0\0\x01\0\x01\0\x20\x20\0\0\x01\0\x20\0\xFF\xFF\xFF\x7F\xFF\xFF\xFF\x7F";
    add(b"far.ico", far.to_vec(), "cannot be decoded|cut short");
    add(b"nothing.nef", b"IIRO\x08\0\0\0\0\0\0\0\0\0".to_vec(), "no preview");
    add(b"nothing.raf", b"FUJIFILMCCD-RAW 0201FF389501".to_vec(), "no preview");
    add(b"nothing.cr3", b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom".to_vec(), "no preview");
    add(
        b"nothing.avif",
        b"\0\0\0\x18ftypavif\0\0\0\0avifmif1".to_vec(),
        "cannot be decoded|cut short",
    );
    add(b"nothing.jxl", b"\xFF\x0A".to_vec(), "cut short|cannot be decoded");
    add(
        b"noise.jxl",
        [b"\xFF\x0A", &noise[..3000]].concat(),
        "cut short|cannot be decoded|limit|nothing",
    );

    // Names: no Unicode, a line break, a blank at the end, very long.
    let whole = golden("cat_451x300.jpg");
    add(b"no unicode \xFF\xFE.jpg", whole[..9_000].to_vec(), "cut short");
    add(b"whole \xC3\x28.jpg", whole.clone(), "");
    add(b"two\nlines.jpg", whole[..9_000].to_vec(), "cut short");
    add(b"two whole\nlines.jpg", whole.clone(), "");
    add(&[&[b'n'; 240][..], b".jpg"].concat(), whole[..9_000].to_vec(), "cut short");
    add(b"--help.jpg", whole, "");
    all
}
