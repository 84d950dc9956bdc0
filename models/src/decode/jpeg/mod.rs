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

use std::panic::{AssertUnwindSafe, catch_unwind};

use ekphrasis_embed::{Pixels, View};
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
    /// The picture's own size, upright, and which part of `pixels` it is: the last of
    /// them may go beyond its edge.
    pub view: View,
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
    // As in `decode`: nothing outside is changed, so a panic leaves nothing half done.
    let short = catch_unwind(AssertUnwindSafe(|| smaller(bytes, spare)));
    if let Some(scaled) = short.ok().flatten() {
        return Ok(scaled);
    }
    let whole = decode(bytes)?;
    let view = View::of(&whole.pixels);
    Ok(Scaled { pixels: whole.pixels, view, format: whole.format, _memory: whole._memory })
}

/// The picture by the short way, if it can be had so.
fn smaller(bytes: &[u8], spare: impl Fn(u32, u32) -> f64) -> Option<Scaled> {
    let (width, height) = header::size(bytes)?;
    Pixels::check_size(width, height).ok()?;
    let spare = spare(width, height);
    let scale = [1u32, 2, 4].into_iter().find(|&scale| f64::from(8 / scale) <= spare)?;
    let header = header::read(bytes)?;
    // What was cut, or put together from two, is not taken for a picture here either.
    complete::check(bytes).ok()?;
    let orientation = header.exif.and_then(Orientation::from_exif_chunk);
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    let (w, h) = ((width * scale).div_ceil(8), (height * scale).div_ceil(8));
    // The pixels before and after turning, rows of the planes, and the data once more.
    let needed = u64::from(w + 64) * u64::from(h + 64) * 6 + bytes.len() as u64;
    let limit = BUDGET.limit();
    if needed > limit {
        return None;
    }
    let mut memory = BUDGET.take(needed);
    let rgb = scan::decode(&header, scale as usize)?;
    let mut image = DynamicImage::from(RgbImage::from_raw(w, h, rgb)?);
    image.apply_orientation(orientation);
    let image = image.into_rgb8();
    memory.shrink(u64::from(w) * u64::from(h) * 3);
    let pixels = Pixels::new(image.width(), image.height(), image.into_raw()).ok()?;
    let exact = |side: u32| f64::from(side) * f64::from(scale) / 8.0;
    let view = turned((width, height), (exact(width), exact(height)), (w, h), orientation);
    Some(Scaled { pixels, view, format: "JPEG", _memory: memory })
}

/// Where the picture lies after it was turned. Before, it begins at the upper left, takes
/// `exact` of `pixels`, and is `size` large by itself.
fn turned(
    size: (u32, u32),
    exact: (f64, f64),
    pixels: (u32, u32),
    orientation: Orientation,
) -> View {
    use Orientation::{
        FlipHorizontal, FlipVertical, NoTransforms, Rotate90, Rotate90FlipH, Rotate180, Rotate270,
        Rotate270FlipH,
    };
    // What goes beyond the picture's right and lower edge.
    let (right, lower) = (f64::from(pixels.0) - exact.0, f64::from(pixels.1) - exact.1);
    let (left, top) = match orientation {
        NoTransforms | Rotate90FlipH => (0.0, 0.0),
        FlipHorizontal => (right, 0.0),
        FlipVertical => (0.0, lower),
        Rotate180 => (right, lower),
        Rotate90 => (lower, 0.0),
        Rotate270 => (0.0, right),
        Rotate270FlipH => (lower, right),
    };
    match orientation {
        Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH => {
            View { width: size.1, height: size.0, left, top, across: exact.1, down: exact.0 }
        }
        _ => View { width: size.0, height: size.1, left, top, across: exact.0, down: exact.1 },
    }
}

#[cfg(test)]
mod tests;
