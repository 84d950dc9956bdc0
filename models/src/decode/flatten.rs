//! Given any layout of samples, what are the 8-bit RGB bytes?

use image::DynamicImage;

/// RGB, 16-bit samples shifted by 8, transparency laid on white.
pub(super) fn rgb8(image: DynamicImage) -> Vec<u8> {
    match image {
        DynamicImage::ImageRgb8(i) => i.into_raw(),
        DynamicImage::ImageLuma8(i) => grey(&i, |v| v),
        DynamicImage::ImageLumaA8(i) => grey_alpha(&i, |v| v),
        DynamicImage::ImageRgba8(i) => in_place(i.into_raw()),
        DynamicImage::ImageLuma16(i) => grey(&i, high),
        DynamicImage::ImageLumaA16(i) => grey_alpha(&i, high),
        DynamicImage::ImageRgb16(i) => i.iter().map(|&v| high(v)).collect(),
        DynamicImage::ImageRgba16(i) => colour_alpha(&i, high),
        DynamicImage::ImageRgb32F(i) => i.iter().map(|&v| float(v)).collect(),
        DynamicImage::ImageRgba32F(i) => colour_alpha(&i, float),
        // The enum may grow; its own conversion does for kinds not yet known.
        other => other.to_rgb8().into_raw(),
    }
}

fn high(v: u16) -> u8 {
    (v >> 8) as u8
}

fn float(v: f32) -> u8 {
    // NaN becomes 0.
    (v.clamp(0.0, 1.0) * 255.0).round() as u8
}

fn grey<T: Copy>(samples: &[T], to8: impl Fn(T) -> u8) -> Vec<u8> {
    samples.iter().flat_map(|&v| [to8(v); 3]).collect()
}

fn grey_alpha<T: Copy>(samples: &[T], to8: impl Fn(T) -> u8) -> Vec<u8> {
    samples.chunks_exact(2).flat_map(|px| [on_white(to8(px[0]), to8(px[1])); 3]).collect()
}

fn colour_alpha<T: Copy>(samples: &[T], to8: impl Fn(T) -> u8) -> Vec<u8> {
    samples
        .chunks_exact(4)
        .flat_map(|px| {
            let alpha = to8(px[3]);
            [px[0], px[1], px[2]].map(|v| on_white(to8(v), alpha))
        })
        .collect()
}

/// As [`colour_alpha`], without a second copy of what may be a gigabyte.
fn in_place(mut samples: Vec<u8>) -> Vec<u8> {
    let count = samples.len() / 4;
    for i in 0..count {
        let alpha = samples[4 * i + 3];
        for c in 0..3 {
            samples[3 * i + c] = on_white(samples[4 * i + c], alpha);
        }
    }
    samples.truncate(3 * count);
    samples.shrink_to_fit();
    samples
}

/// `value · alpha + white · (1 − alpha)`, rounded.
pub(super) fn on_white(value: u8, alpha: u8) -> u8 {
    let (value, alpha) = (u32::from(value), u32::from(alpha));
    ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, LumaA, Rgba};

    #[test]
    fn transparency_is_laid_on_white() {
        for value in 0..=255 {
            assert_eq!(on_white(value, 255), value);
            assert_eq!(on_white(value, 0), 255);
            let exact = (f64::from(value) * 100.0 + 255.0 * 155.0) / 255.0;
            assert!((f64::from(on_white(value, 100)) - exact).abs() <= 0.5);
        }
        let samples: Vec<u8> = (0..4 * 500u32).map(|i| (i * i % 251) as u8).collect();
        assert_eq!(in_place(samples.clone()), colour_alpha(&samples, |v| v));
        let px = ImageBuffer::from_pixel(1, 1, LumaA([0u8, 51]));
        assert_eq!(rgb8(px.into()), [204, 204, 204]);
    }

    #[test]
    fn sixteen_bits_keep_their_upper_half() {
        let px = ImageBuffer::from_pixel(1, 1, Rgba([0x12FFu16, 0xFF00, 0x00FF, 0xFFFF]));
        assert_eq!(rgb8(px.into()), [0x12, 0xFF, 0x00]);
        let px = ImageBuffer::from_pixel(1, 1, Rgba([f32::NAN, 2.0, -1.0, 1.0]));
        assert_eq!(rgb8(px.into()), [0, 255, 0]);
    }
}
