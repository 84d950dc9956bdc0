//! Given the first bytes of a file, what is it? By contents: names lie.

use image::ImageFormat;

use super::DecodeError;

/// A picture format.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// One that is decoded, with its name.
    Readable(ImageFormat, &'static str),
    /// One that is known and not decoded.
    Unsupported(&'static str),
}

/// Offset and bytes there; the first match counts.
const MAGIC: &[(usize, &[u8], Kind)] = &[
    (0, b"\xFF\xD8\xFF", Kind::Readable(ImageFormat::Jpeg, "JPEG")),
    (0, b"\x89PNG\r\n\x1A\n", Kind::Readable(ImageFormat::Png, "PNG")),
    (0, b"GIF87a", Kind::Readable(ImageFormat::Gif, "GIF")),
    (0, b"GIF89a", Kind::Readable(ImageFormat::Gif, "GIF")),
    (0, b"qoif", Kind::Readable(ImageFormat::Qoi, "QOI")),
    // TIFF's numbers stand in many raw formats too, which have marks of their own.
    (0, b"II\x2A\0\x10\0\0\0CR", Kind::Unsupported("Canon RAW")),
    (0, b"IIRO", Kind::Unsupported("Olympus RAW")),
    (0, b"IIRS", Kind::Unsupported("Olympus RAW")),
    (0, b"MMOR", Kind::Unsupported("Olympus RAW")),
    (0, b"IIU\0", Kind::Unsupported("Panasonic RAW")),
    (0, b"FUJIFILMCCD-RAW", Kind::Unsupported("Fujifilm RAW")),
    (0, b"FOVb", Kind::Unsupported("Sigma RAW")),
    (0, b"\0MRM", Kind::Unsupported("Minolta RAW")),
    (0, b"II\x2A\0", Kind::Readable(ImageFormat::Tiff, "TIFF")),
    (0, b"MM\0\x2A", Kind::Readable(ImageFormat::Tiff, "TIFF")),
    (0, b"II\x2B\0", Kind::Readable(ImageFormat::Tiff, "TIFF")),
    (0, b"MM\0\x2B", Kind::Readable(ImageFormat::Tiff, "TIFF")),
    (0, b"\0\0\x01\0", Kind::Readable(ImageFormat::Ico, "ICO")),
    (0, b"\xFF\x0A", Kind::Unsupported("JPEG XL")),
    (0, b"\0\0\0\x0CJXL \r\n\x87\n", Kind::Unsupported("JPEG XL")),
    (0, b"\0\0\0\x0CjP  \r\n\x87\n", Kind::Unsupported("JPEG 2000")),
    (0, b"\xFF\x4F\xFF\x51", Kind::Unsupported("JPEG 2000")),
    (0, b"8BPS", Kind::Unsupported("Photoshop")),
    (0, b"gimp xcf", Kind::Unsupported("GIMP")),
    (0, b"\x76\x2F\x31\x01", Kind::Unsupported("OpenEXR")),
    (0, b"#?RADIANCE", Kind::Unsupported("Radiance HDR")),
    (0, b"DDS ", Kind::Unsupported("DDS")),
    (0, b"farbfeld", Kind::Unsupported("farbfeld")),
    (0, b"\0\0\x02\0", Kind::Unsupported("Windows cursor")),
    (0, b"\xC5\xD0\xD3\xC6", Kind::Unsupported("EPS")),
    (0, b"%!PS", Kind::Unsupported("PostScript")),
    (0, b"%PDF-", Kind::Unsupported("PDF")),
    (0, b"AT&TFORM", Kind::Unsupported("DjVu")),
];

/// Brands of the ISO media container, at offset 8 after `ftyp`.
const BRANDS: &[(&[u8; 4], &str)] = &[
    (b"avif", "AVIF"),
    (b"avis", "AVIF"),
    (b"heic", "HEIC"),
    (b"heix", "HEIC"),
    (b"hevc", "HEIC"),
    (b"hevx", "HEIC"),
    (b"heim", "HEIC"),
    (b"heis", "HEIC"),
    (b"mif1", "HEIC"),
    (b"msf1", "HEIC"),
    (b"crx ", "Canon RAW"),
];

/// What else people have in folders, to say it plainly.
const OTHER: &[(usize, &[u8], &str)] = &[
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
        return Ok(match kind {
            Kind::Readable(codec, name) => Kind::Readable(*codec, name),
            Kind::Unsupported(name) => Kind::Unsupported(name),
        });
    }
    if at(0, b"RIFF") && at(8, b"WEBP") {
        return Ok(Kind::Readable(ImageFormat::WebP, "WebP"));
    }
    if at(4, b"ftyp") {
        // The major brand, then the compatible ones.
        let end = bytes.len().min(64);
        let brands = bytes.get(8..end).unwrap_or(&[]).chunks(4);
        for brand in brands {
            if let Some((_, name)) = BRANDS.iter().find(|(b, _)| b[..] == *brand) {
                return Ok(Kind::Unsupported(name));
            }
        }
    }
    // Short marks are believed only with something sensible behind them.
    if at(0, b"BM") && bmp_header(bytes) {
        return Ok(Kind::Readable(ImageFormat::Bmp, "BMP"));
    }
    if bytes[0] == b'P'
        && bytes.get(1).is_some_and(|b| (b'1'..=b'7').contains(b))
        && bytes.get(2).is_some_and(|b| b.is_ascii_whitespace() || *b == b'#')
    {
        return Ok(Kind::Readable(ImageFormat::Pnm, "PNM"));
    }
    if let Some((_, _, what)) = OTHER.iter().find(|(offset, magic, _)| at(*offset, magic)) {
        return Err(DecodeError::NotAPicture { what });
    }
    match text_start(bytes) {
        Some(text) if has_tag(&text, "<svg") => Ok(Kind::Unsupported("SVG")),
        Some(text) if has_tag(&text, "<html") || has_tag(&text, "<!doctype html") => {
            Err(DecodeError::NotAPicture { what: "an HTML page" })
        }
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
    fn what_is_refused_is_named() {
        let cases: [(&[u8], &str); 22] = [
            (b"", "the file is empty"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC pictures are not supported yet"),
            (b"\0\0\0\x1Cftypmif1\0\0\0\0mif1avif", "HEIC pictures"),
            (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1", "AVIF pictures are not supported yet"),
            (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "this is a video, not a picture"),
            (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "Canon RAW"),
            (b"\xFF\x0A\x01\x02", "JPEG XL"),
            (b"\0\0\0\x0CJXL \r\n\x87\n\0\0", "JPEG XL"),
            (b"%PDF-1.7\n", "PDF"),
            (b"II\x2A\0\x10\0\0\0CR\x02\0", "Canon RAW"),
            (b"FUJIFILMCCD-RAW 0201", "Fujifilm RAW"),
            (b"<?xml version=\"1.0\"?>\n<!-- x -->\n<SVG xmlns=\"\">", "SVG"),
            (b"\xEF\xBB\xBF<svg>", "SVG"),
            (b"<!DOCTYPE html>\n<p>404", "an HTML page"),
            (b"  <html><body><svg>", "SVG"),
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
