//! Given a file of a format whose decoder fills in what is missing, is the
//! whole picture there? The decoders behind `image` give grey areas for the
//! lost end of a JPEG; half a picture must not be taken for a whole one.

use image::ImageFormat;

/// Says what is missing. Formats whose decoders are strict always pass.
pub(super) fn check(codec: ImageFormat, bytes: &[u8]) -> Result<(), &'static str> {
    match codec {
        ImageFormat::Jpeg => jpeg(bytes),
        _ => Ok(()),
    }
}

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const TEM: u8 = 0x01;
const RST: std::ops::RangeInclusive<u8> = 0xD0..=0xD7;

/// Walks the segments up to the end-of-image marker. What follows it (a second
/// picture, a camera's notes) does not matter.
fn jpeg(bytes: &[u8]) -> Result<(), &'static str> {
    let mut at = 0;
    let mut scans = 0;
    loop {
        // Anything that is no marker is entropy-coded data, or padding.
        let Some(found) = bytes[at..].windows(2).position(|w| w[0] == 0xFF && is_marker(w[1]))
        else {
            return Err(match scans {
                0 => "its header breaks off",
                _ => "its end marker is missing, so a part of the picture is",
            });
        };
        let marker = bytes[at + found + 1];
        at += found + 2;
        match marker {
            EOI if scans > 0 => return Ok(()),
            EOI => return Err("it ends before the picture begins"),
            SOI | TEM => {}
            _ => {
                let Some(&[high, low]) = bytes.get(at..at + 2) else {
                    return Err("a segment breaks off");
                };
                at += usize::from(u16::from_be_bytes([high, low]));
                if at > bytes.len() {
                    return Err("a segment breaks off");
                }
                scans += u32::from(marker == SOS);
            }
        }
    }
}

/// Neither a stuffed zero, a fill byte nor a restart within the data.
fn is_marker(byte: u8) -> bool {
    byte != 0 && byte != 0xFF && !RST.contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_looked_for_in_the_right_place() {
        let scan = b"\xFF\xDA\x00\x02\x12\xFF\x00\xFF\xD0\x34";
        let whole = [&b"\xFF\xD8\xFF\xE1\x00\x06\xFF\xD9\xFF\xD9"[..], scan, b"\xFF\xD9"].concat();
        assert_eq!(jpeg(&whole), Ok(()));
        assert_eq!(jpeg(&[&whole[..], b"\xFF\xD8 a second picture"].concat()), Ok(()));
        for end in 2..whole.len() {
            assert!(jpeg(&whole[..end]).is_err(), "cut after {end} of {}", whole.len());
        }
        assert!(jpeg(b"\xFF\xD8\xFF\xD9").is_err(), "no picture in it");
    }
}
