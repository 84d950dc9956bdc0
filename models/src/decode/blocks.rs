//! Given the bytes of a picture's file, where does what lie that people and programs
//! wrote about it? EXIF, XMP and IPTC, as they lie there; who reads them is not
//! decided here. Each container is walked with bounds, and nothing is guessed.

use std::borrow::Cow;
use std::io::Read;

use super::avif::container::{self, Bytes, Meta, boxes, descend};
use super::raw::{self, Layout};
use super::sniff::{self, Codec, Kind};
use super::tiff::{self, Tiff};
use image::ImageFormat;

/// Bytes of one packet: more than any person writes.
const MOST: usize = 4 << 20;
/// Packets of XMP in one file, of which all together have at most `MOST` bytes.
const MOST_PACKETS: usize = 16;
/// Items of a HEIF file that are looked into for what is noted in them.
const MOST_ITEMS: usize = 64;
/// Parts of a file that are looked at.
const MOST_PARTS: usize = 4096;
/// The directories of a raw file lie within its first bytes.
const RAW_HEAD: usize = 16 << 20;

/// What a file carries beside its picture.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Blocks<'a> {
    /// EXIF, as a TIFF block or in a JPEG, of files whose EXIF is not where others have it.
    pub exif: Vec<Cow<'a, [u8]>>,
    /// XMP: a packet of XML each.
    pub xmp: Vec<Cow<'a, [u8]>>,
    /// IPTC-IIM: a list of data sets each.
    pub iptc: Vec<Cow<'a, [u8]>>,
    /// Of a JPEG, what comes before the data of its picture; EXIF is in there or nowhere. `None`
    /// of other files, and where that cannot be told.
    pub header: Option<&'a [u8]>,
}

/// Finds what a file carries beside its picture. What is damaged is left out.
/// Never panics, whatever the bytes.
pub fn blocks(bytes: &[u8]) -> Blocks<'_> {
    let mut found = Blocks::default();
    let Ok(Kind::Readable(codec, _)) = sniff::sniff(bytes) else { return found };
    match codec {
        Codec::Image(ImageFormat::Jpeg) => found.header = found.of_jpeg(bytes),
        Codec::Image(ImageFormat::Png) => found.of_png(bytes),
        Codec::Image(ImageFormat::WebP) => found.of_webp(bytes),
        Codec::Image(ImageFormat::Tiff) => found.of_tiff(bytes),
        Codec::Jxl => found.of_jxl(bytes),
        Codec::Avif | Codec::Heif => found.of_heif(bytes),
        Codec::Raw(layout) => found.of_raw(bytes, layout),
        Codec::Image(_) | Codec::Svg { .. } => {}
    }
    for list in [&mut found.exif, &mut found.xmp, &mut found.iptc] {
        list.retain(|block| !block.is_empty());
    }
    found
}

impl<'a> Blocks<'a> {
    /// Bytes that packets of XMP may still take.
    fn room(&self) -> usize {
        MOST.saturating_sub(self.xmp.iter().map(|packet| packet.len()).sum())
    }

    /// Adds a packet of XMP unless it is one too many, or too long beside the others.
    fn add_packet(&mut self, packet: Cow<'a, [u8]>) {
        if self.xmp.len() < MOST_PACKETS && packet.len() <= self.room() {
            self.xmp.push(packet);
        }
    }

    /// Gives the segments before the picture's data, if those follow.
    fn of_jpeg(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = Bytes(bytes.get(2..)?);
        for _ in 0..MOST_PARTS {
            let before = rest.0;
            let Some(segment) = segment(&mut rest) else {
                let follows = before.starts_with(b"\xFF\xDA");
                return follows.then(|| &bytes[..bytes.len() - before.len()]);
            };
            match segment {
                (0xE1, body) => {
                    self.xmp.extend(
                        body.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0").map(Cow::from),
                    );
                }
                (0xED, body) => {
                    let resources = body.strip_prefix(b"Photoshop 3.0\0");
                    self.iptc.extend(resources.and_then(iptc_of_photoshop).map(Cow::from));
                }
                _ => {}
            }
        }
        None
    }

    fn of_png(&mut self, bytes: &'a [u8]) {
        let mut rest = Bytes(bytes.get(8..).unwrap_or(&[]));
        // What cannot be unpacked costs as much as what can.
        let mut tried = 0;
        for _ in 0..MOST_PARTS {
            let chunk = || {
                let mut header = rest;
                let (length, kind) = (header.number(4)? as usize, header.take(4)?);
                let body = header.take(length)?;
                header.take(4)?;
                Some((kind, body, header))
            };
            let Some((kind, body, following)) = chunk() else { return };
            rest = following;
            let packet = body.strip_prefix(b"XML:com.adobe.xmp\0").filter(|_| kind == b"iTXt");
            if let Some(packet) = packet {
                tried += 1;
                if let Some(text) = png_text(packet, self.room()) {
                    self.add_packet(text);
                }
                if tried == MOST_PACKETS {
                    return;
                }
            }
        }
    }

    fn of_webp(&mut self, bytes: &'a [u8]) {
        let mut rest = bytes.get(12..).unwrap_or(&[]);
        for _ in 0..MOST_PARTS {
            let Some((header, body)) = rest.split_first_chunk::<8>() else { return };
            let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
            let Some(chunk) = body.get(..length) else { return };
            if header.starts_with(b"XMP ") {
                self.xmp.push(chunk.into());
            }
            rest = body.get(length + length % 2..).unwrap_or(&[]);
        }
    }

    fn of_tiff(&mut self, bytes: &'a [u8]) {
        let Some(tiff) = Tiff::read(bytes) else { return };
        for directory in &tiff.directories {
            let raw = |tag| {
                let raw = directory.entry(tag).and_then(|entry| tiff.raw(entry));
                raw.filter(|raw| raw.len() <= MOST)
            };
            self.xmp.extend(raw(tiff::XMP).map(Cow::from));
            self.iptc.extend(raw(tiff::IPTC).map(Cow::from));
            self.iptc.extend(raw(tiff::PHOTOSHOP).and_then(iptc_of_photoshop).map(Cow::from));
        }
    }

    fn of_jxl(&mut self, bytes: &'a [u8]) {
        for (kind, body) in boxes(bytes) {
            match &kind {
                b"xml " => self.xmp.push(body.into()),
                // How far it is to the block comes first.
                b"Exif" => {
                    let mut body = Bytes(body);
                    let start = body.number(4).map_or(0, |n| n as usize);
                    self.exif.extend(body.0.get(start..).map(Cow::from));
                }
                _ => {}
            }
        }
    }

    fn of_heif(&mut self, bytes: &[u8]) {
        let Ok(meta) = Meta::read(bytes) else { return };
        let noted = |item: &container::Item| [b"mime", b"Exif"].contains(&&item.kind);
        let mut items: Vec<_> = meta.items.iter().filter(|(_, item)| noted(item)).collect();
        items.sort_by_key(|(id, _)| **id);
        for (_, item) in items.into_iter().take(MOST_ITEMS) {
            let data = || meta.data(item).ok().filter(|data| data.len() <= MOST);
            match &item.kind {
                b"mime" => {
                    let xml = data().filter(|data| data.trim_ascii_start().starts_with(b"<"));
                    if let Some(xml) = xml {
                        self.add_packet(xml.into());
                    }
                }
                b"Exif" if self.exif.len() < MOST_PACKETS => {
                    if let Some(mut data) = data() {
                        let start = Bytes(&data).number(4).map_or(0, |n| n as usize + 4);
                        data.drain(..start.min(data.len()));
                        self.exif.push(data.into());
                    }
                }
                _ => {}
            }
        }
    }

    fn of_raw(&mut self, bytes: &'a [u8], layout: Layout) {
        match layout {
            Layout::Tiff => {
                self.of_tiff(bytes);
                // With the number in front that readers of EXIF expect.
                let order: Option<&[u8; 4]> = match bytes.get(..2) {
                    Some(b"II") => Some(b"II\x2A\0"),
                    Some(b"MM") => Some(b"MM\0\x2A"),
                    _ => None,
                };
                if let Some(order) = order.filter(|order| !bytes.starts_with(&order[..])) {
                    let mut block = bytes[..bytes.len().min(RAW_HEAD)].to_vec();
                    let start = block.len().min(4);
                    block[..start].copy_from_slice(&order[..start]);
                    self.exif.push(block.into());
                }
            }
            Layout::Fuji => {}
            Layout::Boxes => {
                // The directories that others have within one another are apart here.
                const NOTES: [u8; 16] = [
                    0x85, 0xC0, 0xB6, 0x87, 0x82, 0x0F, 0x11, 0xE0, 0x81, 0x11, 0xF4, 0xCE, 0x46,
                    0x2B, 0x6A, 0x48,
                ];
                let notes = descend(bytes, &[b"moov"])
                    .and_then(|moov| boxes(moov).find_map(|(_, body)| body.strip_prefix(&NOTES)));
                let parts = boxes(notes.unwrap_or(&[]));
                let own = parts.filter(|(kind, _)| [b"CMT1", b"CMT2", b"CMT4"].contains(&kind));
                self.exif.extend(own.map(|(_, body)| Cow::from(body)));
            }
        }
        // Panasonic and Fujifilm note all within the JPEG; others at least some.
        if let Some((jpeg, _)) = raw::preview(bytes, layout) {
            self.exif.push(jpeg[..jpeg.len().min(1 << 20)].into());
            self.of_jpeg(jpeg);
        }
    }
}

/// The next segment of a JPEG's header; `None` where the picture begins.
fn segment<'a>(rest: &mut Bytes<'a>) -> Option<(u8, &'a [u8])> {
    if rest.number(1)? != 0xFF {
        return None;
    }
    let mut marker = 0xFF;
    while marker == 0xFF {
        marker = rest.number(1)? as u8;
    }
    if marker == 0xDA || marker == 0xD9 || marker == 0 {
        return None;
    }
    let length = usize::try_from(rest.number(2)?).ok()?;
    Some((marker, rest.take(length.checked_sub(2)?)?))
}

/// The resource of IPTC data among Photoshop's.
fn iptc_of_photoshop(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = Bytes(bytes);
    for _ in 0..MOST_PARTS {
        if rest.take(4)? != b"8BIM" {
            return None;
        }
        let id = rest.number(2)?;
        // A name with its length in front, padded to an even number.
        let name = rest.number(1)? as usize;
        rest.take(name + usize::from(name.is_multiple_of(2)))?;
        let length = usize::try_from(rest.number(4)?).ok()?;
        let body = rest.take(length)?;
        if id == 0x0404 {
            return Some(body);
        }
        rest.take(length % 2)?;
    }
    None
}

/// The text of a PNG's chunk, after its keyword, in at most `most` bytes.
fn png_text(body: &[u8], most: usize) -> Option<Cow<'_, [u8]>> {
    let (&[packed, _], rest) = body.split_first_chunk::<2>()?;
    // Language, and the keyword in it.
    let text = rest.splitn(3, |&byte| byte == 0).nth(2)?;
    if packed == 0 {
        return Some(text.into());
    }
    let mut unpacked = vec![];
    let mut reader = flate2::read::ZlibDecoder::new(text).take(most as u64);
    reader.read_to_end(&mut unpacked).ok()?;
    Some(unpacked.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn photoshop_resources_are_walked() {
        let resource = |id: u16, name: &[u8], body: &[u8]| {
            let mut bytes = [b"8BIM", &id.to_be_bytes()[..], &[name.len() as u8], name].concat();
            bytes.extend(name.len().is_multiple_of(2).then_some(0));
            bytes.extend((body.len() as u32).to_be_bytes());
            bytes.extend(body);
            bytes.extend((body.len() % 2 == 1).then_some(0));
            bytes
        };
        let all = [resource(1, b"abc", b"12345"), resource(0x404, b"", b"found")].concat();
        assert_eq!(iptc_of_photoshop(&all), Some(&b"found"[..]));
        for end in 0..all.len() - 1 {
            assert_eq!(iptc_of_photoshop(&all[..end]), None, "cut after {end}");
        }
    }

    #[test]
    fn a_packet_in_a_png_is_unpacked_within_bounds() {
        use std::io::Write;
        let mut packed = flate2::write::ZlibEncoder::new(vec![], flate2::Compression::best());
        for _ in 0..64 {
            packed.write_all(&[b' '; 1 << 20]).expect("in memory");
        }
        let body = [b"\x01\0en\0\0", &packed.finish().expect("in memory")[..]].concat();
        assert_eq!(png_text(&body, MOST).map(|text| text.len()), Some(MOST));
        assert_eq!(png_text(b"\0\0\0\0plain", MOST).as_deref(), Some(&b"plain"[..]));
        assert_eq!(png_text(b"\0\0en", MOST), None);
        // Many of them in one file are no more than one may be.
        let chunk = |body: &[u8]| {
            let length = (body.len() as u32).to_be_bytes();
            [&length[..], b"iTXt", body, &[0; 4]].concat()
        };
        let keyword = b"XML:com.adobe.xmp\0";
        let bomb = chunk(&[&keyword[..], &body].concat());
        let mut blocks = Blocks::default();
        let bombs = [&[0; 8][..], &bomb.repeat(40)].concat();
        blocks.of_png(&bombs);
        let sum: usize = blocks.xmp.iter().map(|packet| packet.len()).sum();
        assert!(sum <= MOST && blocks.xmp.len() <= MOST_PACKETS, "{sum} bytes");
        let plain = chunk(&[&keyword[..], b"\0\0\0\0<x/>"].concat());
        let plain = [&[0; 8][..], &plain.repeat(40)].concat();
        let mut blocks = Blocks::default();
        blocks.of_png(&plain);
        assert_eq!(blocks.xmp.len(), MOST_PACKETS);
    }
}
