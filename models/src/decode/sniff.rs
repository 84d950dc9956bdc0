//! Given the first bytes of a file, what is it? By contents: names lie.

use image::ImageFormat;

use super::raw::{self, Layout};
use super::{DecodeError, svg};

/// Who decodes a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Codec {
    /// The `image` crate.
    Image(ImageFormat),
    /// `resvg`, after unpacking if it is packed.
    Svg { packed: bool },
    /// `jxl-oxide`.
    Jxl,
    /// `rav1d`.
    Avif,
    /// libheif, if it is installed.
    Heif,
    /// The JPEG within.
    Raw(Layout),
}

/// A picture format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// One that is decoded, with its name.
    Readable(Codec, &'static str),
    /// One that is known and not decoded.
    Unsupported(&'static str),
}

/// Offset and bytes there; the first match counts.
const MAGIC: &[(usize, &[u8], Kind)] = &[
    (0, b"\xFF\xD8\xFF", Kind::Readable(Codec::Image(ImageFormat::Jpeg), "JPEG")),
    (0, b"\x89PNG\r\n\x1A\n", Kind::Readable(Codec::Image(ImageFormat::Png), "PNG")),
    (0, b"GIF87a", Kind::Readable(Codec::Image(ImageFormat::Gif), "GIF")),
    (0, b"GIF89a", Kind::Readable(Codec::Image(ImageFormat::Gif), "GIF")),
    (0, b"qoif", Kind::Readable(Codec::Image(ImageFormat::Qoi), "QOI")),
    // TIFF's numbers stand in many raw formats too, which have marks of their own.
    (0, b"IIRO", Kind::Readable(Codec::Raw(Layout::Tiff), "ORF")),
    (0, b"IIRS", Kind::Readable(Codec::Raw(Layout::Tiff), "ORF")),
    (0, b"MMOR", Kind::Readable(Codec::Raw(Layout::Tiff), "ORF")),
    (0, b"IIU\0", Kind::Readable(Codec::Raw(Layout::Tiff), "RW2")),
    (0, b"FUJIFILMCCD-RAW", Kind::Readable(Codec::Raw(Layout::Fuji), "RAF")),
    (0, b"FOVb", Kind::Unsupported("Sigma RAW")),
    (0, b"\0MRM", Kind::Unsupported("Minolta RAW")),
    (0, b"II\x2A\0", Kind::Readable(Codec::Image(ImageFormat::Tiff), "TIFF")),
    (0, b"MM\0\x2A", Kind::Readable(Codec::Image(ImageFormat::Tiff), "TIFF")),
    (0, b"II\x2B\0", Kind::Readable(Codec::Image(ImageFormat::Tiff), "TIFF")),
    (0, b"MM\0\x2B", Kind::Readable(Codec::Image(ImageFormat::Tiff), "TIFF")),
    (0, b"\0\0\x01\0", Kind::Readable(Codec::Image(ImageFormat::Ico), "ICO")),
    (0, b"\xFF\x0A", Kind::Readable(Codec::Jxl, "JXL")),
    (0, b"\0\0\0\x0CJXL \r\n\x87\n", Kind::Readable(Codec::Jxl, "JXL")),
    (0, b"\0\0\0\x0CjP  \r\n\x87\n", Kind::Unsupported("JPEG 2000")),
    (0, b"\xFF\x4F\xFF\x51", Kind::Unsupported("JPEG 2000")),
    (0, b"8BPS", Kind::Unsupported("Photoshop")),
    (0, b"gimp xcf", Kind::Unsupported("GIMP")),
    (0, b"\x76\x2F\x31\x01", Kind::Unsupported("OpenEXR")),
    (0, b"#?RADIANCE", Kind::Unsupported("Radiance HDR")),
    (0, b"DDS ", Kind::Unsupported("DDS")),
    (0, b"farbfeld", Kind::Unsupported("farbfeld")),
    (0, b"\0\0\x02\0", Kind::Unsupported("Windows cursor")),
];

/// Brands of the ISO media container, at offset 8 after `ftyp`.
const BRANDS: &[(&[u8; 4], Kind)] = &[
    (b"avif", Kind::Readable(Codec::Avif, "AVIF")),
    (b"avis", Kind::Readable(Codec::Avif, "AVIF")),
    (b"heic", Kind::Readable(Codec::Heif, "HEIC")),
    (b"heix", Kind::Readable(Codec::Heif, "HEIC")),
    (b"hevc", Kind::Readable(Codec::Heif, "HEIC")),
    (b"hevx", Kind::Readable(Codec::Heif, "HEIC")),
    (b"heim", Kind::Readable(Codec::Heif, "HEIC")),
    (b"heis", Kind::Readable(Codec::Heif, "HEIC")),
    (b"crx ", Kind::Readable(Codec::Raw(Layout::Boxes), "CR3")),
];

/// Brands that only say that it is a picture of some kind.
const ANY_HEIF: [&[u8; 4]; 2] = [b"mif1", b"msf1"];

/// What else people have in folders, to say it plainly.
const OTHER: &[(usize, &[u8], &str)] = &[
    (0, b"%PDF-", "a PDF document (pages are not read)"),
    (0, b"%!PS", "a PostScript document (pages are not read)"),
    (0, b"\xC5\xD0\xD3\xC6", "a PostScript document (pages are not read)"),
    (0, b"AT&TFORM", "a DjVu document (pages are not read)"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1F\x8B", "a gzip archive"),
    (0, b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\x7FELF", "a program"),
    (0, b"MZ", "a program"),
    (0, b"\x1A\x45\xDF\xA3", "a video"),
    (0, b"OggS", "an audio or video file"),
    (0, b"ID3", "an audio file"),
    (0, b"fLaC", "an audio file"),
    (4, b"ftyp", "a video"),
];

/// Tells the format, or what else the bytes are.
pub(super) fn sniff(bytes: &[u8]) -> Result<Kind, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let at = |offset: usize, magic: &[u8]| {
        bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic))
    };
    if let Some((_, _, kind)) = MAGIC.iter().find(|(offset, magic, _)| at(*offset, magic)) {
        let tiff = *kind == Kind::Readable(Codec::Image(ImageFormat::Tiff), "TIFF");
        let raw = if tiff { raw::kind_of_tiff(bytes) } else { None };
        return Ok(raw.map_or(*kind, |name| Kind::Readable(Codec::Raw(Layout::Tiff), name)));
    }
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return Ok(Kind::Readable(Codec::Image(ImageFormat::WebP), "WebP"));
    }
    if at(4, b"ftyp") {
        // The major brand, then the compatible ones.
        let end = bytes.len().min(64);
        let brands: Vec<&[u8]> = bytes.get(8..end).unwrap_or(&[]).chunks(4).collect();
        for brand in &brands {
            if let Some((_, kind)) = BRANDS.iter().find(|(b, _)| b[..] == **brand) {
                return Ok(*kind);
            }
        }
        if brands.iter().any(|brand| ANY_HEIF.iter().any(|b| b[..] == **brand)) {
            return Ok(Kind::Readable(Codec::Heif, "HEIF"));
        }
    }
    // Short marks are believed only with something sensible behind them.
    if at(0, b"BM") && bmp_header(bytes) {
        return Ok(Kind::Readable(Codec::Image(ImageFormat::Bmp), "BMP"));
    }
    if bytes[0] == b'P'
        && bytes.get(1).is_some_and(|b| (b'1'..=b'7').contains(b))
        && bytes.get(2).is_some_and(|b| b.is_ascii_whitespace() || *b == b'#')
    {
        return Ok(Kind::Readable(Codec::Image(ImageFormat::Pnm), "PNM"));
    }
    if at(0, b"\x1F\x8B") && is_svg(&svg::unpacked_start(bytes)) {
        return Ok(Kind::Readable(Codec::Svg { packed: true }, "SVG"));
    }
    if let Some((_, _, what)) = OTHER.iter().find(|(offset, magic, _)| at(*offset, magic)) {
        return Err(DecodeError::NotAPicture { what });
    }
    match text_start(bytes) {
        Some(text) if has_tag(&text, "<html") || has_tag(&text, "<!doctype html") => {
            Err(DecodeError::NotAPicture { what: "an HTML page" })
        }
        Some(_) if is_svg(bytes) => Ok(Kind::Readable(Codec::Svg { packed: false }, "SVG")),
        Some(text) if text.trim().is_empty() => {
            Err(DecodeError::NotAPicture { what: "blank text" })
        }
        Some(_) => Err(DecodeError::NotAPicture { what: "a text file" }),
        None if bytes.iter().all(|&b| b == 0) => {
            Err(DecodeError::NotAPicture { what: "nothing but zero bytes" })
        }
        None => {
            let start = bytes.iter().take(8).map(|b| format!("{b:02x}")).collect::<Vec<_>>();
            Err(DecodeError::Unknown { start: start.join(" ") })
        }
    }
}

/// Whether the beginning of a file is that of a picture, as far as `start` (its
/// first 2,000 bytes or so) tells: of one that is read, or of one that is known and not.
pub fn looks_like_picture(start: &[u8]) -> bool {
    sniff(start).is_ok()
}

fn is_svg(bytes: &[u8]) -> bool {
    text_start(bytes).is_some_and(|text| {
        has_tag(&text, "<svg") && !has_tag(&text, "<html") && !has_tag(&text, "<!doctype html")
    })
}

/// The length of the second header is one of the known ones.
fn bmp_header(bytes: &[u8]) -> bool {
    bytes
        .get(14..18)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_le_bytes)
        .is_some_and(|n| matches!(n, 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124))
}

/// The beginning in lower case, if it reads as text.
fn text_start(bytes: &[u8]) -> Option<String> {
    let start = &bytes[..bytes.len().min(2048)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character cut in two at the end is fine.
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&start[..e.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let readable = |c: char| !c.is_control() || c.is_ascii_whitespace() || c == '\x1B';
    text.chars().all(readable).then(|| text.trim_start_matches('\u{FEFF}').to_lowercase())
}

/// Whether a tag stands in text that begins as markup does.
fn has_tag(text: &str, tag: &str) -> bool {
    text.trim_start().starts_with('<') && text.contains(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_is_named() {
        let cases: [(&[u8], &str); 25] = [
            (b"", "the file is empty"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
            (b"\0\0\0\x1Cftypmif1\0\0\0\0mif1avif", "AVIF"),
            (b"\0\0\0\x1Cftypmif1\0\0\0\0mif1miaf", "HEIF"),
            (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "this is a video, not a picture"),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "CR3"),
            (b"\xFF\x0A\x01\x02", "JXL"),
            (b"\0\0\0\x0CJXL \r\n\x87\n\0\0", "JXL"),
            (b"\xFF\x4F\xFF\x51\0\0", "JPEG 2000 pictures are not supported yet"),
            (b"%PDF-1.7\n", "this is a PDF document (pages are not read), not a picture"),
            (b"II\x2A\0\x10\0\0\0CR\x02\0", "CR2"),
            (b"II\x2A\0\x08\0\0\0\0\0\0\0\0\0", "TIFF"),
            (b"FUJIFILMCCD-RAW 0201", "RAF"),
            (b"<?xml version=\"1.0\"?>\n<!-- x -->\n<SVG xmlns=\"\">", "SVG"),
            (b"\xEF\xBB\xBF<svg>", "SVG"),
            (b"<!DOCTYPE html>\n<p>404", "an HTML page"),
            (b"  <html><body><svg>", "an HTML page"),
            (b"hello, \xC3\xA4\xC3", "a text file"),
            (b"Pretty text", "a text file"),
            (b"BMW is a car", "a text file"),
            (b" \n\n", "blank text"),
            (b"PK\x03\x04zzzz", "a ZIP archive"),
            (b"\0\0\0\0\0\0\0\0\0\0", "zero bytes"),
            (b"\x01\x02\xFE\xFF\x80", "it starts with 01 02 fe ff 80"),
        ];
        for (bytes, expected) in cases {
            let said = match sniff(bytes) {
                Ok(Kind::Unsupported(format)) => DecodeError::Unsupported { format }.to_string(),
                Ok(other) => format!("{other:?}"),
                Err(e) => e.to_string(),
            };
            assert!(said.contains(expected), "{bytes:?}: {said}");
        }
    }
}
