//! Given a JPEG, is the whole picture there? Its decoders give grey areas for
//! what is lost; half a picture must not be taken for a whole one.
//!
//! Seen are: a missing end, a second picture that begins before the end, scans
//! that are missing, and data that runs out before the last row of blocks of a
//! picture in one scan ([`decode`]). Damage within the data cannot be told,
//! since any bits mean something.

use image::{ColorType, DynamicImage, GrayImage, RgbImage};
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const TEM: u8 = 0x01;
const RST: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;
/// Huffman-coded, in one go or progressively. Others are not decoded anyway.
const SOF: std::ops::RangeInclusive<u8> = 0xC0..=0xC2;
const PROGRESSIVE: u8 = 0xC2;

/// What the segments of a file say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Jpeg {
    /// Where the end marker stands.
    end: usize,
    scans: usize,
    progressive: bool,
    components: Vec<Component>,
    /// Whether the first scan has all components.
    interleaved: bool,
}

#[derive(Debug, PartialEq)]
struct Component {
    id: u8,
    /// Blocks within the smallest unit.
    blocks: u64,
    /// The lowest bit given so far of each of the 64 coefficients.
    lowest_bit: [Option<u8>; 64],
}

/// Walks the segments up to the end-of-image marker. What follows it (a second
/// picture, a camera's notes) does not matter. Says what is missing.
pub(super) fn check(bytes: &[u8]) -> Result<Jpeg, &'static str> {
    let mut jpeg = Jpeg::default();
    let mut at = 0;
    loop {
        // Anything that is no marker is entropy-coded data, or padding.
        let marks = |&found: &usize| bytes.get(at + found + 1).is_some_and(|&b| is_marker(b));
        let Some(found) = memchr::memchr_iter(0xFF, &bytes[at..]).find(marks) else {
            return Err(match jpeg.scans {
                0 => "its header breaks off",
                _ => "its end marker is missing, so a part of the picture is",
            });
        };
        let marker = bytes[at + found + 1];
        at += found + 2;
        match marker {
            EOI if jpeg.scans == 0 => return Err("it ends before the picture begins"),
            EOI => {
                jpeg.end = at - 2;
                return if jpeg.covered() {
                    Ok(jpeg)
                } else {
                    Err("some of its scans are missing")
                };
            }
            SOI if jpeg.scans > 0 => return Err("another picture begins before its end"),
            SOI | TEM => {}
            _ => {
                let Some(&[high, low]) = bytes.get(at..at + 2) else {
                    return Err("a segment breaks off");
                };
                let body = at + 2;
                at += usize::from(u16::from_be_bytes([high, low]));
                if at > bytes.len() {
                    return Err("a segment breaks off");
                }
                let body = bytes.get(body..at).unwrap_or(&[]);
                match marker {
                    SOS => jpeg.scan(body),
                    _ if SOF.contains(&marker) && jpeg.scans == 0 => jpeg.frame(marker, body),
                    _ => {}
                }
            }
        }
    }
}

/// Neither a stuffed zero, a fill byte nor a restart within the data.
fn is_marker(byte: u8) -> bool {
    byte != 0 && byte != 0xFF && !RST.contains(&byte)
}

impl Jpeg {
    fn frame(&mut self, marker: u8, body: &[u8]) {
        self.progressive = marker == PROGRESSIVE;
        self.components = body
            .get(6..)
            .unwrap_or(&[])
            .chunks_exact(3)
            .map(|c| Component {
                id: c[0],
                blocks: u64::from(c[1] >> 4) * u64::from(c[1] & 15),
                lowest_bit: [None; 64],
            })
            .collect();
    }

    fn scan(&mut self, body: &[u8]) {
        self.scans += 1;
        let Some((&count, rest)) = body.split_first() else { return };
        let count = usize::from(count);
        let (Some(ids), Some(&[start, end, bits])) = (rest.get(..2 * count), rest.get(2 * count..))
        else {
            return;
        };
        if self.scans == 1 {
            self.interleaved = count >= self.components.len();
        }
        // Only progressive pictures come in parts; elsewhere the fields say nothing.
        let (range, bit) = match self.progressive {
            true => (usize::from(start)..usize::from(end).min(63) + 1, bits & 15),
            false => (0..64, 0),
        };
        for id in ids.chunks_exact(2).map(|pair| pair[0]) {
            for component in self.components.iter_mut().filter(|c| c.id == id) {
                component.lowest_bit.get_mut(range.clone()).unwrap_or_default().fill(Some(bit));
            }
        }
    }

    /// The first component (brightness) to the last bit, the others at least roughly.
    fn covered(&self) -> bool {
        let Some((first, others)) = self.components.split_first() else {
            // A kind of JPEG that the decoder will refuse by name.
            return true;
        };
        first.lowest_bit.iter().all(|&bit| bit == Some(0))
            && others.iter().all(|c| c.lowest_bit[0].is_some())
    }

    /// The bytes that the decoder takes for coefficients of the whole picture.
    pub(super) fn coefficients(&self, width: u32, height: u32) -> u64 {
        if !self.progressive && self.interleaved {
            return 0;
        }
        let blocks: u64 = self.components.iter().map(|c| c.blocks).sum();
        let most = self.components.iter().map(|c| c.blocks).max().unwrap_or(1).max(1);
        // Two bytes each, and up to one unit more than the picture on each side.
        (u64::from(width) + 32) * (u64::from(height) + 32) * 2 * blocks / most
    }
}

/// Decodes a picture that is whole in its one scan, or says that its data runs
/// out. Gives `None` for anything else, which a lenient decoder may make
/// something of.
///
/// The decoder takes endless zeros behind an end marker for data. So the marker
/// is left out here, with as many zeros in its place as it may read ahead.
pub(super) fn decode(
    jpeg: &Jpeg,
    bytes: &[u8],
    colour: ColorType,
) -> Option<Result<DynamicImage, &'static str>> {
    if jpeg.progressive || !jpeg.interleaved || jpeg.scans != 1 {
        return None;
    }
    let space = match colour {
        ColorType::L8 => ColorSpace::Luma,
        ColorType::Rgb8 => ColorSpace::RGB,
        _ => return None,
    };
    let data = [&bytes[..jpeg.end], &[0; 16]].concat();
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::MAX)
        .set_max_height(usize::MAX)
        .jpeg_set_out_colorspace(space);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(&data), options);
    match decoder.decode() {
        Ok(samples) => {
            let (width, height) = decoder.dimensions()?;
            let (width, height) = (u32::try_from(width).ok()?, u32::try_from(height).ok()?);
            let image = match colour {
                ColorType::L8 => GrayImage::from_raw(width, height, samples)?.into(),
                _ => RgbImage::from_raw(width, height, samples)?.into(),
            };
            Some(Ok(image))
        }
        Err(e) if runs_out(&e) => Some(Err("its data ends before the picture does")),
        Err(_) => None,
    }
}

/// The decoder's ways to say that there is no more data.
fn runs_out(error: &DecodeErrors) -> bool {
    match error {
        DecodeErrors::ExhaustedData => true,
        DecodeErrors::FormatStatic(text) => *text == "Premature end of buffer",
        DecodeErrors::Format(text) => text.contains("more than bits left"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_looked_for_in_the_right_place() {
        let scan = b"\xFF\xDA\x00\x02\x12\xFF\x00\xFF\xD0\x34";
        let whole = [&b"\xFF\xD8\xFF\xE1\x00\x06\xFF\xD9\xFF\xD9"[..], scan, b"\xFF\xD9"].concat();
        assert_eq!(check(&whole).map(|jpeg| jpeg.end), Ok(whole.len() - 2));
        assert!(check(&[&whole[..], b"\xFF\xD8 a second picture"].concat()).is_ok());
        for end in 2..whole.len() {
            assert!(check(&whole[..end]).is_err(), "cut after {end} of {}", whole.len());
        }
        assert!(check(b"\xFF\xD8\xFF\xD9").is_err(), "no picture in it");
        let spliced = [&whole[..whole.len() - 4], &whole[..]].concat();
        assert_eq!(check(&spliced), Err("another picture begins before its end"));
    }

    /// A progressive frame with two components, and scans of (id, first, last, bits).
    fn progressive(scans: &[(u8, u8, u8, u8)]) -> Vec<u8> {
        let mut bytes =
            b"\xFF\xD8\xFF\xC2\x00\x0E\x08\0\x08\0\x08\x02\x01\x11\0\x02\x11\0".to_vec();
        for &(id, first, last, bits) in scans {
            bytes.extend([0xFF, SOS, 0, 8, 1, id, 0, first, last, bits, 0x12, 0x34]);
        }
        bytes.extend([0xFF, EOI]);
        bytes
    }

    #[test]
    fn scans_have_to_cover_the_picture() {
        let all = [(1, 0, 0, 1), (2, 0, 0, 1), (1, 1, 63, 2), (1, 1, 63, 0x21), (1, 0, 0, 0x10)];
        let last = (1, 1, 63, 0x10);
        assert!(check(&progressive(&[&all[..], &[last]].concat())).is_ok());
        assert_eq!(check(&progressive(&all)), Err("some of its scans are missing"));
        assert!(check(&progressive(&[all[0], all[2], all[3], all[4], last])).is_err());
        let jpeg = check(&progressive(&[&all[..], &[last]].concat())).expect("whole");
        assert_eq!(jpeg.coefficients(68, 68), 100 * 100 * 2 * 2);
    }
}
