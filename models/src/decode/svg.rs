//! Given the text of an SVG, which pixels is it? Rendered to a fixed size, with
//! nothing taken from outside it: no file, no address, no font.
//!
//! A small text can stand for an endless picture (`use` of `use` of `use`…), so
//! what it unfolds to is counted before anything is rendered.

mod count;

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;

use ekphrasis_embed::Pixels;
use flate2::read::GzDecoder;
use image::{ImageFormat, ImageReader};
use resvg::usvg::{
    ImageHrefResolver, ImageKind, Options, Transform, Tree,
    roxmltree::{Document, ParsingOptions},
};
use resvg::{render, tiny_skia::Pixmap};

use self::count::check;
use super::{DecodeError, Decoded, memory_for};

const FORMAT: &str = "SVG";
/// The longer side in pixels. A drawing has no size of its own, and this is
/// more than twice what any encoder asks for.
const SIDE: f32 = 1024.0;
/// Bytes of text, also after unpacking.
const MOST_TEXT: u64 = 32 << 20;
/// Elements and attributes and texts in the file.
const MOST_NODES: u32 = 500_000;
/// Pixels of all pictures within a drawing together.
const MOST_EMBEDDED: u64 = 16 << 20;
/// Bytes of memory that a byte of text becomes, by and large.
const TEXT_FACTOR: u64 = 24;

/// The beginning of a packed text, to see what it is.
pub(super) fn unpacked_start(gzip: &[u8]) -> Vec<u8> {
    let mut start = Vec::new();
    // What breaks off later may still begin as an SVG.
    let _ = GzDecoder::new(gzip).take(2048).read_to_end(&mut start);
    start
}

pub(super) fn decode(bytes: &[u8], packed: bool) -> Result<Decoded, DecodeError> {
    let bytes = if packed { unpack(bytes)? } else { Cow::Borrowed(bytes) };
    if bytes.len() as u64 > MOST_TEXT {
        return Err(broken(format!("its text is over {} MB long", MOST_TEXT >> 20)));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|e| broken(format!("it is no UTF-8 from byte {} on", e.valid_up_to())))?;
    // First only what the text takes: a small drawing needs little more. What was
    // taken is given back before more is, so that two do not wait for one another.
    let for_text = bytes.len() as u64 * TEXT_FACTOR;
    let memory = memory_for(SIDE as u32, SIDE as u32, for_text)?;
    let needs = check(&parse(text)?).map_err(broken)?;
    let needed = for_text.saturating_add(needs.memory());
    drop(memory);
    let mut memory = memory_for(SIDE as u32, SIDE as u32, needed)?;
    let document = parse(text)?;
    let tree = Tree::from_xmltree(&document, &options_without_world())
        .map_err(|e| broken(e.to_string()))?;
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = SIDE / width.max(height);
    let side = |length: f32| ((length * scale).round() as u32).clamp(1, SIDE as u32);
    let mut pixmap = Pixmap::new(side(width), side(height))
        .ok_or_else(|| broken(format!("its size, {width} × {height}, is none")))?;
    let (across, down) = (pixmap.width() as f32 / width, pixmap.height() as f32 / height);
    render(&tree, Transform::from_scale(across, down), &mut pixmap.as_mut());
    // Colours are multiplied by alpha already; white shines through the rest.
    let rgb: Vec<u8> = pixmap
        .data()
        .chunks_exact(4)
        .flat_map(|px| [px[0], px[1], px[2]].map(|v| v.saturating_add(255 - px[3])))
        .collect();
    memory.shrink(rgb.len() as u64);
    let pixels = Pixels::new(pixmap.width(), pixmap.height(), rgb)?;
    Ok(Decoded { pixels, format: FORMAT, _memory: memory })
}

fn parse(text: &str) -> Result<Document<'_>, DecodeError> {
    let options =
        ParsingOptions { allow_dtd: true, nodes_limit: MOST_NODES, entity_resolver: None };
    Document::parse_with_options(text, options).map_err(|e| {
        use resvg::usvg::roxmltree::Error as E;
        match e {
            E::UnclosedRootNode | E::UnexpectedEndOfStream => DecodeError::Truncated {
                format: FORMAT,
                detail: "its elements are not closed".into(),
            },
            E::NodesLimitReached => broken("it has too many elements".into()),
            e => broken(e.to_string()),
        }
    })
}

fn broken(detail: String) -> DecodeError {
    DecodeError::Broken { format: FORMAT, detail }
}

fn unpack(gzip: &[u8]) -> Result<Cow<'_, [u8]>, DecodeError> {
    let mut text = Vec::new();
    match GzDecoder::new(gzip).take(MOST_TEXT + 1).read_to_end(&mut text) {
        Ok(_) => Ok(text.into()),
        Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => Err(DecodeError::Truncated {
            format: FORMAT,
            detail: "data is missing at its end".into(),
        }),
        Err(e) => Err(broken(format!("it cannot be unpacked: {e}"))),
    }
}

/// Pictures within the drawing are drawn if they are small and plain; whatever
/// a name or an address refers to is not looked at.
fn options_without_world() -> Options<'static> {
    let left = std::sync::atomic::AtomicU64::new(MOST_EMBEDDED);
    Options {
        image_href_resolver: ImageHrefResolver {
            resolve_string: Box::new(|_, _| None),
            resolve_data: Box::new(move |_, data, _| {
                let format = image::guess_format(&data).ok()?;
                let reader = ImageReader::with_format(std::io::Cursor::new(&data[..]), format);
                let (width, height) = reader.into_dimensions().ok()?;
                let pixels = u64::from(width) * u64::from(height);
                use std::sync::atomic::Ordering::Relaxed;
                left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(pixels)).ok()?;
                embedded(format, data)
            }),
        },
        ..Options::default()
    }
}

fn embedded(format: ImageFormat, data: Arc<Vec<u8>>) -> Option<ImageKind> {
    match format {
        ImageFormat::Jpeg => Some(ImageKind::JPEG(data)),
        ImageFormat::Png => Some(ImageKind::PNG(data)),
        ImageFormat::Gif => Some(ImageKind::GIF(data)),
        ImageFormat::WebP => Some(ImageKind::WEBP(data)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::count::Needs;
    use super::*;

    fn svg(inner: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
             width=\"20\" height=\"10\" viewBox=\"0 0 20 10\">{inner}</svg>"
        )
    }

    fn said(text: &str) -> String {
        match decode(text.as_bytes(), false) {
            Ok(decoded) => format!("{:?}", decoded.pixels),
            Err(e) => e.to_string(),
        }
    }

    fn at(decoded: &Decoded, x: u32, y: u32) -> [u8; 3] {
        let start = 3 * (y * decoded.pixels.width() + x) as usize;
        decoded.pixels.rgb()[start..start + 3].try_into().expect("three bytes")
    }

    #[test]
    fn it_is_rendered_on_white_as_large_as_is_useful() {
        let text = svg("<rect width=\"10\" height=\"10\" fill=\"#00f\"/>\
            <rect x=\"10\" width=\"5\" height=\"10\" fill=\"#f00\" opacity=\".5\"/>");
        let plain = decode(text.as_bytes(), false).expect("an SVG");
        assert_eq!((plain.pixels.width(), plain.pixels.height()), (1024, 512));
        assert_eq!(at(&plain, 100, 100), [0, 0, 255]);
        assert_eq!(at(&plain, 1000, 100), [255; 3], "nothing is white");
        let [red, green, blue] = at(&plain, 600, 100);
        assert!(red == 255 && green.abs_diff(127) < 2 && blue.abs_diff(127) < 2);
        let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
        packed.write_all(text.as_bytes()).expect("in memory");
        let packed = packed.finish().expect("in memory");
        let unpacked = super::super::decode(&packed).expect("an SVGZ");
        assert_eq!((unpacked.format, &unpacked.pixels), ("SVG", &plain.pixels));
        for end in [packed.len() / 2, packed.len() - 1] {
            let cut = super::super::decode(&packed[..end]);
            assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "{cut:?}");
        }
    }

    #[test]
    fn nothing_outside_is_loaded() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let secret = dir.path().join("secret.png");
        image::RgbImage::from_pixel(4, 4, image::Rgb([255, 0, 0])).save(&secret).expect("written");
        let path = secret.display();
        for href in [format!("{path}"), format!("file://{path}"), "http://127.0.0.1:9/x.png".into()]
        {
            let text = svg(&format!("<image width=\"20\" height=\"10\" xlink:href=\"{href}\"/>"));
            let drawn = decode(text.as_bytes(), false).expect("an SVG");
            assert!(drawn.pixels.rgb().iter().all(|&v| v == 255), "{href} was drawn");
        }
        // An entity that names a file stays unknown.
        let entity = format!(
            "<!DOCTYPE svg [<!ENTITY x SYSTEM \"file://{path}\">]>{}",
            svg("<text>&x;</text>")
        );
        assert!(said(&entity).contains("cannot be decoded"), "{}", said(&entity));
        // What is within is drawn.
        let bytes = fs_err::read(&secret).expect("read");
        let hex: String = bytes.iter().map(|b| format!("%{b:02x}")).collect();
        let text = svg(&format!(
            "<image width=\"20\" height=\"10\" preserveAspectRatio=\"none\" \
             href=\"data:image/png,{hex}\"/>"
        ));
        assert_eq!(at(&decode(text.as_bytes(), false).expect("an SVG"), 500, 250), [255, 0, 0]);
    }

    #[test]
    fn bombs_are_counted_before_they_go_off() {
        let uses = |levels: usize| {
            let mut text = "<rect id=\"n0\" width=\"1\" height=\"1\"/>".to_owned();
            for level in 1..=levels {
                let use_ = format!("<use href=\"#n{}\"/>", level - 1).repeat(10);
                text += &format!("<g id=\"n{level}\">{use_}</g>");
            }
            svg(&text)
        };
        assert!(said(&uses(3)).starts_with("Pixels"), "{}", said(&uses(3)));
        assert!(said(&uses(9)).contains("unfolds"), "{}", said(&uses(9)));
        // The same through a style sheet and patterns.
        let mut text = String::new();
        let mut rules = String::new();
        for level in 0..9 {
            let inner = format!("<rect class=\"c{level}\" width=\"9\" height=\"9\"/>").repeat(10);
            text += &format!(
                "<pattern id=\"p{}\" width=\"9\" height=\"9\">{inner}</pattern>",
                level + 1
            );
            rules += &format!("g > .c{level} {{ fill: url(#p{level}); }}");
        }
        let text = svg(&format!("<style>{rules}</style>{text}<rect fill=\"url('#p9')\"/>"));
        assert!(said(&text).contains("unfolds"), "{}", said(&text));
        let circle = svg("<g id=\"a\"><use href=\"#b\"/></g><g id=\"b\"><use href=\"#a\"/></g>");
        assert!(!said(&circle).is_empty());
        let deep = svg(&("<g>".repeat(5_000) + &"</g>".repeat(5_000)));
        assert!(said(&deep).contains("deep"), "{}", said(&deep));
        let entities = format!(
            "<!DOCTYPE svg [<!ENTITY a \"aaaaaaaaaa\">{}]>{}",
            (1..30)
                .map(|i| format!(
                    "<!ENTITY e{i} \"{}\">",
                    match i {
                        1 => "&a;".repeat(10),
                        _ => format!("&e{};", i - 1).repeat(10),
                    }
                ))
                .collect::<String>(),
            svg("<desc>&e29;</desc>")
        );
        assert!(said(&entities).contains("cannot be decoded"), "{}", said(&entities));
        assert!(said(&svg("<g>")).contains("cut short") || said(&svg("<g>")).contains("cannot"));
        for size in ["0", "-5", "1e30", "NaN"] {
            let text = svg("").replace("\"20\"", &format!("\"{size}\""));
            assert!(!said(&text).is_empty(), "{size}");
        }
        // A gigabyte of blanks in a megabyte.
        let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
        packed.write_all(svg("").as_bytes()).expect("in memory");
        for _ in 0..40 {
            packed.write_all(&[b' '; 1 << 20]).expect("in memory");
        }
        let bomb = super::super::decode(&packed.finish().expect("in memory"));
        assert!(bomb.is_err_and(|e| e.to_string().contains("over 32 MB")));
    }

    fn checked(inner: &str) -> Result<Needs, String> {
        let text = svg(inner);
        check(&parse(&text).expect("XML"))
    }

    #[test]
    fn filters_that_take_long_are_refused() {
        let step = |step: &str| {
            let filter = format!("<filter id=\"f\">{step}</filter><rect filter=\"url(#f)\"/>");
            checked(&filter).err().unwrap_or_default()
        };
        for fine in [
            "<feTurbulence numOctaves=\"10\"/>",
            "<feMorphology radius=\"20 3\"/>",
            "<feConvolveMatrix order=\"3\" kernelMatrix=\"1 1 1 1 1 1 1 1 1\"/>",
            "<feGaussianBlur stdDeviation=\"500\"/>",
        ] {
            assert_eq!(step(fine), "", "{fine}");
        }
        assert!(step("<feTurbulence numOctaves=\"11\"/>").contains("numOctaves"));
        assert!(step("<feTurbulence numOctaves=\"1e9\"/>").contains("numOctaves"));
        assert!(step("<feMorphology radius=\"1,21\"/>").contains("radius"));
        assert!(step("<feConvolveMatrix order=\"10\"/>").contains("order"));
        let long = format!("<feConvolveMatrix kernelMatrix=\"{}\"/>", "1 ".repeat(82));
        assert!(step(&long).contains("kernelMatrix"));
        for one in ["<rect filter=\"blur(1)\"/>", "<rect style=\"filter : blur(1)\"/>"] {
            assert!(checked(&one.repeat(100)).is_ok(), "{one}");
            assert!(checked(&one.repeat(101)).is_err_and(|e| e.contains("filters")), "{one}");
            let uses = format!("<g id=\"g\">{one}</g>{}", "<use href=\"#g\"/>".repeat(100));
            assert!(checked(&uses).is_err_and(|e| e.contains("filters")), "{one}");
        }
    }

    #[test]
    fn what_is_handed_down_is_counted_for_each_heir() {
        let refused = |inner: &str| checked(inner).is_err_and(|e| e.contains("unfolds"));
        let parts = "<path d=\"M0 0\"/>".repeat(2_000);
        let marker = format!("<marker id=\"m\">{parts}</marker>");
        let path = format!("<path d=\"M0 0{}\"/>", "h1".repeat(1_000));
        assert!(!refused(&format!("{marker}{path}")));
        for group in ["marker-mid=\"url(#m)\"", "style=\"marker: url(\t&#10;'#m')\""] {
            assert!(refused(&format!("{marker}<g {group}><g>{path}</g></g>")), "{group}");
            let used = format!("{marker}<g id=\"p\">{path}</g><use href=\"#p\" {group}/>");
            assert!(refused(&used), "{group}");
        }
        let pattern = format!("<pattern id=\"p\">{parts}</pattern>");
        let shapes = "<rect/>".repeat(1_000);
        assert!(!refused(&format!("{pattern}<g>{shapes}</g>")));
        for group in ["fill=\"url(#p)\"", "stroke=\"url(#p)\"", "style=\"x:y;fill:url(#p)\""] {
            assert!(refused(&format!("{pattern}<g {group}>{shapes}</g>")), "{group}");
        }
        // The first of two with one id counts.
        let second = "<pattern id=\"p\"/>";
        assert!(refused(&format!("{pattern}{second}<g fill=\"url(#p)\">{shapes}</g>")));
        assert!(!refused(&format!("{second}{pattern}<g fill=\"url(#p)\">{shapes}</g>")));
        // Each part of a circle costs what the whole of it does.
        let circle = format!(
            "<pattern id=\"a\"><rect fill=\"url(#b)\"/>{parts}</pattern>\
             <pattern id=\"b\"><rect fill=\"url(#a)\"/></pattern>"
        );
        let shapes = "<rect fill=\"url(#b)\"/>".repeat(1_000);
        assert!(!refused(&circle) && refused(&format!("{circle}{shapes}")));
    }

    #[test]
    fn memory_is_what_the_drawing_needs() {
        let memory = |inner: &str| checked(inner).expect("fine").memory();
        let canvas = 4 << 20;
        assert_eq!(memory("<rect fill=\"red\"/>"), 2 * canvas);
        assert!(memory("<image/>") >= 4 * MOST_EMBEDDED);
        let deep = "<g opacity=\".5\">".repeat(100) + &"</g>".repeat(100);
        assert_eq!(memory(&deep), 102 * canvas);
        assert_eq!(memory(&"<g opacity=\".5\"/>".repeat(100)), 3 * canvas);
    }
}
