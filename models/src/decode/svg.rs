//! Given the text of an SVG, which pixels is it? Rendered to a fixed size, with
//! nothing taken from outside it: no file, no address, no font.
//!
//! A small text can stand for an endless picture (`use` of `use` of `use`…), so
//! what it unfolds to is counted before anything is rendered.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use ekphrasis_embed::Pixels;
use flate2::read::GzDecoder;
use image::{ImageFormat, ImageReader};
use resvg::usvg::{
    ImageHrefResolver, ImageKind, Options, Transform, Tree,
    roxmltree::{Document, Node, ParsingOptions},
};
use resvg::{render, tiny_skia::Pixmap};

use super::{DecodeError, Decoded, memory_for};

const FORMAT: &str = "SVG";
/// The longer side in pixels. A drawing has no size of its own, and this is
/// more than twice what any encoder asks for.
const SIDE: f32 = 1024.0;
/// Bytes of text, also after unpacking.
const MOST_TEXT: u64 = 32 << 20;
/// Elements and attributes and texts in the file.
const MOST_NODES: u32 = 500_000;
/// Elements when every reference is replaced by what it refers to.
const MOST_UNFOLDED: u64 = 1_000_000;
/// How deep elements may lie in one another, references followed: each level
/// may take a canvas of its own, and some of the stack.
const DEPTH: u32 = 120;
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
    let canvas = SIDE as u64 * SIDE as u64;
    // Each nested group may have a canvas of its own; few drawings nest more than ten.
    let needed = bytes.len() as u64 * TEXT_FACTOR + 4 * canvas * 10 + 4 * MOST_EMBEDDED;
    let mut memory = memory_for(SIDE as u32, SIDE as u32, needed)?;
    let options =
        ParsingOptions { allow_dtd: true, nodes_limit: MOST_NODES, entity_resolver: None };
    let document = Document::parse_with_options(text, options).map_err(|e| {
        use resvg::usvg::roxmltree::Error as E;
        match e {
            E::UnclosedRootNode | E::UnexpectedEndOfStream => DecodeError::Truncated {
                format: FORMAT,
                detail: "its elements are not closed".into(),
            },
            E::NodesLimitReached => broken("it has too many elements".into()),
            e => broken(e.to_string()),
        }
    })?;
    check(&document).map_err(broken)?;
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

/// What an element unfolds to.
#[derive(Clone, Copy)]
struct Unfolded {
    elements: u64,
    depth: u32,
}

/// Refuses a drawing that nests too deep, refers to itself in a circle, or
/// unfolds to too much.
fn check(document: &Document<'_>) -> Result<(), String> {
    let too_deep = || format!("its elements lie more than {DEPTH} deep in one another");
    // Without recursion first, so that recursion is safe afterwards.
    let mut level = 0u32;
    let mut node = document.root_element();
    'walk: loop {
        if let Some(child) = node.first_element_child() {
            node = child;
            level += 1;
            if level > DEPTH {
                return Err(too_deep());
            }
            continue;
        }
        while node.next_sibling_element().is_none() {
            match node.parent_element() {
                Some(parent) if level > 0 => {
                    node = parent;
                    level -= 1;
                }
                _ => break 'walk,
            }
        }
        match node.next_sibling_element() {
            Some(next) => node = next,
            None => break,
        }
    }
    let ids: HashMap<&str, Node<'_, '_>> = document
        .descendants()
        .filter(Node::is_element)
        .filter_map(|node| Some((node.attribute("id")?, node)))
        .collect();
    let styles = styles(document);
    let mut known = HashMap::new();
    let all = unfold(document.root_element(), &(ids, styles), &mut known, 0)?;
    if all.depth > DEPTH {
        return Err(too_deep());
    }
    if all.elements > MOST_UNFOLDED {
        return Err(format!("it unfolds to more than {MOST_UNFOLDED} elements"));
    }
    Ok(())
}

type Known = HashMap<resvg::usvg::roxmltree::NodeId, Option<Unfolded>>;

/// Elements by id, and what style sheets let them refer to.
type Names<'a> = (HashMap<&'a str, Node<'a, 'a>>, Vec<Rule<'a>>);

/// A rule of a style sheet that refers to other elements.
struct Rule<'a> {
    /// What it holds for, such as `.class`, `#id`, `path` or `*`.
    selectors: Vec<&'a str>,
    body: &'a str,
}

/// The rules that have references, read so roughly that they hold for rather more
/// elements than they do.
fn styles<'a>(document: &'a Document<'_>) -> Vec<Rule<'a>> {
    let sheets = document.descendants().filter(|node| node.has_tag_name("style"));
    let texts = sheets.flat_map(|sheet| sheet.children()).filter_map(|text| text.text());
    texts
        .flat_map(|text| text.split('}'))
        .filter_map(|rule| rule.split_once('{'))
        .filter(|(_, body)| body.contains("url("))
        .map(|(selectors, body)| {
            let last =
                |one: &'a str| one.rsplit([' ', '>', '+', '~', '\n']).find(|s| !s.is_empty());
            Rule { selectors: selectors.split(',').filter_map(last).collect(), body }
        })
        .collect()
}

impl Rule<'_> {
    fn holds(&self, node: Node<'_, '_>) -> bool {
        self.selectors.iter().any(|selector| {
            if let Some((_, class)) = selector.split_once('.') {
                let class = class.split(['.', ':', '[']).next();
                let mut classes = node.attribute("class").unwrap_or("").split_whitespace();
                return classes.any(|one| Some(one) == class);
            }
            match selector.split_once('#') {
                Some((_, id)) => node.attribute("id") == Some(id),
                None if selector.chars().all(char::is_alphanumeric) => {
                    node.tag_name().name() == *selector
                }
                None => true,
            }
        })
    }
}

/// The ids in all `url(#…)` of a text.
fn urls(text: &str) -> impl Iterator<Item = &str> {
    text.split("url(").skip(1).filter_map(|rest| {
        let rest = rest.trim_start_matches([' ', '"', '\'']).strip_prefix('#')?;
        rest.split([')', '"', '\'', ' ']).next()
    })
}

fn unfold(
    node: Node<'_, '_>,
    names: &Names<'_>,
    known: &mut Known,
    level: u32,
) -> Result<Unfolded, String> {
    if level > 4 * DEPTH {
        return Err(format!("its references lie more than {} deep in one another", 4 * DEPTH));
    }
    match known.get(&node.id()) {
        Some(Some(known)) => return Ok(*known),
        // Being unfolded further up: a circle, which the renderer cuts.
        Some(None) => return Ok(Unfolded { elements: 1, depth: 1 }),
        None => {}
    }
    known.insert(node.id(), None);
    let (ids, styles) = names;
    let mut parts = vec![];
    for child in node.children().filter(Node::is_element) {
        parts.push(unfold(child, names, known, level + 1)?);
    }
    // `href` of a use, a pattern or a gradient, `url(#…)` of a fill, a mask, a marker…
    let mut named: Vec<(&str, bool)> = vec![];
    for attribute in node.attributes() {
        let (name, value) = (attribute.name(), attribute.value());
        if name == "href" {
            named.extend(value.trim().strip_prefix('#').map(|id| (id, false)));
        }
        let marks = name.starts_with("marker") || value.contains("marker");
        named.extend(urls(value).map(|id| (id, marks)));
    }
    for rule in styles.iter().filter(|rule| rule.holds(node)) {
        named.extend(urls(rule.body).map(|id| (id, rule.body.contains("marker"))));
    }
    // A marker stands on every corner of a path; each takes a character at least.
    let corners = || node.attribute("d").or(node.attribute("points")).map_or(1, str::len) as u64;
    for (id, marks) in named {
        if let Some(target) = ids.get(id) {
            let part = unfold(*target, names, known, level + 1)?;
            let times = if marks { corners() } else { 1 };
            parts.push(Unfolded { elements: part.elements.saturating_mul(times), ..part });
        }
    }
    let sum = Unfolded {
        elements: parts.iter().fold(1, |sum: u64, part| sum.saturating_add(part.elements)),
        depth: 1 + parts.iter().map(|part| part.depth).max().unwrap_or(0),
    };
    known.insert(node.id(), Some(sum));
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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
}
