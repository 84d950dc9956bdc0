//! Given a JPEG and how much smaller it may be, how is it decoded in less time?
//!
//! A model looks at a few hundred pixels of what has some thousand. JPEG keeps
//! pictures as blocks of 8 × 8 in waves, of which the slow ones alone make the same
//! picture at a half, a quarter or an eighth of its size. [`decode_scaled`] does so
//! for what cameras and the web mostly write: eight bits, Huffman codes, one scan,
//! grey or YCbCr. Everything else is decoded as by [`decode`], and so is all that
//! does not come out whole here: whether a damaged file is a picture is judged in
//! one place.

mod header;
mod huffman;
mod idct;
mod scan;

use ekphrasis_embed::Pixels;
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};

use super::budget::Permit;
use super::{BUDGET, DecodeError, complete, decode};

/// A decoded picture that may be smaller than it is in the file. It counts towards
/// the memory for pictures as [`Decoded`](super::Decoded) does.
#[derive(Debug)]
#[non_exhaustive]
pub struct Scaled {
    /// As [`Decoded::pixels`](super::Decoded::pixels), made smaller.
    pub pixels: Pixels,
    /// The width that the whole picture has, upright, in pixels.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// The file format, such as `JPEG`; from the contents, whatever the name says.
    pub format: &'static str,
    _memory: Permit<'static>,
}

/// Decodes a picture for someone who needs fewer pixels than it has: `spare` says of
/// a width and height by how much both may be divided. What comes out is divided by
/// at most that, often by less; pictures that are not JPEGs are not divided at all.
///
/// # Memory
/// As for [`decode`], of the smaller picture.
///
/// # Errors
/// Exactly those of [`decode`], for the same files.
pub fn decode_scaled(bytes: &[u8], spare: impl Fn(u32, u32) -> f64) -> Result<Scaled, DecodeError> {
    if let Some(scaled) = smaller(bytes, spare) {
        return Ok(scaled);
    }
    let whole = decode(bytes)?;
    let (width, height) = (whole.pixels.width(), whole.pixels.height());
    Ok(Scaled { pixels: whole.pixels, width, height, format: whole.format, _memory: whole._memory })
}

/// The picture by the short way, if it can be had so.
fn smaller(bytes: &[u8], spare: impl Fn(u32, u32) -> f64) -> Option<Scaled> {
    let header = header::read(bytes)?;
    let (width, height) = (header.width, header.height);
    Pixels::check_size(width, height).ok()?;
    let spare = spare(width, height);
    let pixels = [1u32, 2, 4].into_iter().find(|&pixels| f64::from(8 / pixels) <= spare)?;
    // What was cut, or put together from two, is not taken for a picture here either.
    complete::check(bytes).ok()?;
    let orientation = header.exif.and_then(Orientation::from_exif_chunk);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let (w, h) = ((width * pixels).div_ceil(8), (height * pixels).div_ceil(8));
    // The planes, the pixels, and the data once more; or the pixels before and after turning.
    let needed = u64::from(w + 64) * u64::from(h + 64) * 6 + bytes.len() as u64;
    let limit = BUDGET.limit();
    if needed > limit {
        return None;
    }
    let mut memory = BUDGET.take(needed);
    let rgb = scan::decode(&header, pixels as usize)?;
    let mut image = DynamicImage::from(RgbImage::from_raw(w, h, rgb)?);
    image.apply_orientation(orientation);
    let image = image.into_rgb8();
    memory.shrink(u64::from(w) * u64::from(h) * 3);
    let pixels = Pixels::new(image.width(), image.height(), image.into_raw()).ok()?;
    let (width, height) = match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => (height, width),
        _ => (width, height),
    };
    Some(Scaled { pixels, width, height, format: "JPEG", _memory: memory })
}

#[cfg(test)]
mod tests;
