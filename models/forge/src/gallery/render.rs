//! Given a picture as published, what does the gallery ship of it? Something
//! small that still looks right on a page.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::imageops;
use image::{DynamicImage, ImageDecoder, ImageReader, Rgb, RgbImage};

use crate::Result;

/// The longest side of a photograph, and its JPEG quality.
const PHOTOGRAPH_SIDE: u32 = 640;
const PHOTOGRAPH_QUALITY: u8 = 82;

/// The longest side of a drawing with its margin, and one margin.
const DRAWING_SIDE: u32 = 360;
const DRAWING_MARGIN: u32 = 12;

/// An upright JPEG of at most 640 pixels a side; of a part (x, y, width,
/// height) of the picture if one is given.
pub(super) fn photograph(bytes: &[u8], crop: Option<[u32; 4]>) -> Result<Vec<u8>> {
    let mut picture = decoded(bytes)?;
    if let Some([x, y, width, height]) = crop {
        picture = picture.crop_imm(x, y, width, height);
    }
    let picture = smaller(picture, PHOTOGRAPH_SIDE);
    let mut out = Vec::new();
    JpegEncoder::new_with_quality(&mut out, PHOTOGRAPH_QUALITY).encode_image(&picture.to_rgb8())?;
    Ok(out)
}

/// A PNG of at most 360 pixels a side: the drawing on white, without the empty
/// page around it that many drawings come with.
pub(super) fn drawing(bytes: &[u8]) -> Result<Vec<u8>> {
    let (flat, inked) = on_white(&decoded(bytes)?);
    let (x, y, width, height) = inked;
    let cut = imageops::crop_imm(&flat, x, y, width, height).to_image();
    let fitted = smaller(cut.into(), DRAWING_SIDE - 2 * DRAWING_MARGIN).to_rgb8();
    let (width, height) = fitted.dimensions();
    let mut page = RgbImage::from_pixel(
        width + 2 * DRAWING_MARGIN,
        height + 2 * DRAWING_MARGIN,
        Rgb([255, 255, 255]),
    );
    imageops::replace(&mut page, &fitted, DRAWING_MARGIN.into(), DRAWING_MARGIN.into());
    let mut out = Vec::new();
    page.write_with_encoder(PngEncoder::new_with_quality(
        &mut out,
        CompressionType::Best,
        FilterType::Adaptive,
    ))?;
    Ok(out)
}

fn decoded(bytes: &[u8]) -> Result<DynamicImage> {
    let mut decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn smaller(picture: DynamicImage, side: u32) -> DynamicImage {
    if picture.width().max(picture.height()) <= side {
        return picture;
    }
    picture.resize(side, side, imageops::FilterType::Lanczos3)
}

/// The picture over white, and the box (x, y, width, height) of what is not
/// white then; the whole picture if all of it is.
fn on_white(picture: &DynamicImage) -> (RgbImage, (u32, u32, u32, u32)) {
    let source = picture.to_rgba8();
    let mut flat = RgbImage::new(source.width(), source.height());
    let (mut left, mut top, mut right, mut bottom) = (u32::MAX, u32::MAX, 0, 0);
    for (x, y, pixel) in source.enumerate_pixels() {
        let [r, g, b, a] = pixel.0.map(u32::from);
        let over = |c: u32| ((c * a + 255 * (255 - a) + 127) / 255) as u8;
        let over = Rgb([over(r), over(g), over(b)]);
        flat.put_pixel(x, y, over);
        // Fainter than this is nobody's drawing.
        if over.0.iter().any(|&c| c < 250) {
            (left, top) = (left.min(x), top.min(y));
            (right, bottom) = (right.max(x + 1), bottom.max(y + 1));
        }
    }
    let inked = if left < right {
        (left, top, right - left, bottom - top)
    } else {
        (0, 0, source.width(), source.height())
    };
    (flat, inked)
}

#[cfg(test)]
mod tests {
    use image::{Rgba, RgbaImage};

    use super::*;

    fn png(picture: &RgbaImage) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        picture.write_with_encoder(PngEncoder::new(&mut out))?;
        Ok(out)
    }

    #[test]
    fn a_drawing_is_cut_out_of_its_page() -> Result<()> {
        let mut page = RgbaImage::new(900, 500);
        for (x, y) in (0..40).flat_map(|x| (0..20).map(move |y| (x, y))) {
            page.put_pixel(700 + x, 300 + y, Rgba([200, 0, 0, 255]));
        }
        let made = image::load_from_memory(&drawing(&png(&page)?)?)?.to_rgb8();
        assert_eq!(made.dimensions(), (40 + 2 * DRAWING_MARGIN, 20 + 2 * DRAWING_MARGIN));
        assert_eq!(made.get_pixel(0, 0).0, [255, 255, 255]);
        assert_eq!(made.get_pixel(DRAWING_MARGIN, DRAWING_MARGIN).0, [200, 0, 0]);
        Ok(())
    }

    #[test]
    fn an_empty_page_stays_a_picture() -> Result<()> {
        let made = image::load_from_memory(&drawing(&png(&RgbaImage::new(30, 10))?)?)?;
        assert_eq!(made.width(), 30 + 2 * DRAWING_MARGIN);
        Ok(())
    }

    #[test]
    fn photographs_shrink_to_the_side_and_never_grow() -> Result<()> {
        for (given, crop, expected) in [
            ((1280, 320), None, (640, 160)),
            ((100, 50), None, (100, 50)),
            ((100, 50), Some([10, 20, 30, 25]), (30, 25)),
        ] {
            let picture = RgbaImage::from_pixel(given.0, given.1, Rgba([10, 120, 200, 255]));
            let made = image::load_from_memory(&photograph(&png(&picture)?, crop)?)?;
            assert_eq!((made.width(), made.height()), expected);
        }
        Ok(())
    }
}
