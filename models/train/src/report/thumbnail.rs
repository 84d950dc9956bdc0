//! How does a picture get into the page? Small, as JPEG, inside the file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ekphrasis_embed::Pixels;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{ImageError, RgbImage};

/// Longer side of [`Picture::thumbnail`] in pixels: sharp at the size it is shown
/// in on a dense screen, about 6 kB.
pub const THUMBNAIL_SIDE: u32 = 192;

/// A small picture, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// A JPEG file.
    pub jpeg: Vec<u8>,
}

impl Picture {
    /// `pixels` no larger than [`THUMBNAIL_SIDE`], in their own proportions.
    ///
    /// # Errors
    /// The encoder's.
    pub fn thumbnail(pixels: &Pixels) -> Result<Self, ImageError> {
        let (width, height) = (pixels.width(), pixels.height());
        let whole = RgbImage::from_raw(width, height, pixels.rgb().to_vec())
            .expect("pixels hold width × height × 3 bytes");
        let scale = (f64::from(THUMBNAIL_SIDE) / f64::from(width.max(height))).min(1.0);
        let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
        let small =
            image::imageops::resize(&whole, side(width), side(height), FilterType::CatmullRom);
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 80).encode_image(&small)?;
        Ok(Self { jpeg })
    }

    pub(super) fn uri(&self) -> String {
        format!("data:image/jpeg;base64,{}", STANDARD.encode(&self.jpeg))
    }
}
