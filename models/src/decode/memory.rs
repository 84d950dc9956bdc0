//! Given a picture's header, how much memory will decoding take, and can its
//! pixels be in so few bytes at all?

use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat};

/// The most bytes that are held at any one time, by what each codec of the
/// `image` crate allocates for the whole picture. Buffers for some rows and
/// the file itself do not count. What a JPEG needs besides, `complete` knows.
pub(super) fn estimate(
    codec: ImageFormat,
    bytes: &[u8],
    decoder: &impl ImageDecoder,
    orientation: Orientation,
) -> u64 {
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    let colour = decoder.color_type();
    let layout = u64::from(colour.bytes_per_pixel());
    // What the codec holds besides its result.
    let within = match codec {
        // A frame that is smaller than the canvas is decoded apart.
        ImageFormat::Gif => 4 * pixels,
        // Of animations the canvas and the frame, else the planes or the frame.
        ImageFormat::WebP if animated(bytes) => 8 * pixels,
        ImageFormat::WebP => 4 * pixels,
        // Its own buffer in the layout of the file.
        ImageFormat::Tiff => {
            pixels * u64::from(decoder.original_color_type().bits_per_pixel()).div_ceil(8)
        }
        _ => 0,
    };
    let decoding = layout * pixels + within;
    let flattening = match colour {
        ColorType::Rgb8 => 3,
        ColorType::Rgba8 => 4,
        _ => layout + 3,
    } * pixels;
    let turning = match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => 6,
        _ => 3,
    } * pixels;
    decoding.max(flattening).max(turning)
}

/// The flag in the extended header.
fn animated(webp: &[u8]) -> bool {
    webp.get(12..16) == Some(b"VP8X") && webp.get(20).is_some_and(|flags| flags & 2 != 0)
}

/// Sizes up to here cost too little to be worth a question.
const SMALL: u64 = 1 << 22;

/// The most pixels that a byte of GIF can stand for: the longest string in a
/// full LZW dictionary has 4,096 pixels and costs a code of 12 bits.
/// Bitmaps with run lengths (at most 255 pixels for two bytes) stay far below.
const PIXELS_PER_BYTE: u64 = 4096 * 8 / 12 + 1;

/// Refuses a canvas that the data cannot fill, in the formats whose decoders
/// give an empty canvas then. The others fail on missing data.
pub(super) fn plausible(
    codec: ImageFormat,
    bytes: &[u8],
    width: u32,
    height: u32,
) -> Result<(), String> {
    // Run lengths are kinds 1 and 2 of compression, in every header that has any.
    let runs = || {
        let header = bytes.get(14).copied().unwrap_or(0);
        header >= 40 && matches!(bytes.get(30), Some(1 | 2))
    };
    let may_be_blank = match codec {
        ImageFormat::Gif => true,
        ImageFormat::Bmp => runs(),
        _ => false,
    };
    let pixels = u64::from(width) * u64::from(height);
    if may_be_blank && pixels > SMALL && pixels > bytes.len() as u64 * PIXELS_PER_BYTE {
        return Err(format!("its {} bytes cannot hold {width} × {height} pixels", bytes.len()));
    }
    Ok(())
}
