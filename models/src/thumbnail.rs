//! Given a decoded picture, what small JPEG stands for it in a list?

use ekphrasis_embed::Pixels;
use image::ExtendedColorType;
use image::codecs::jpeg::JpegEncoder;

const QUALITY: u8 = 82;

/// A JPEG of the picture whose longer side has at most `longest` pixels (at
/// least one). The aspect ratio is kept; a smaller picture is not blown up.
pub fn encode_thumbnail(pixels: &Pixels, longest: u32) -> Vec<u8> {
    // 65,535 is the most that JPEG can say.
    let small = pixels.fit_within(longest.min(65_535));
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY)
        .encode(small.rgb(), small.width(), small.height(), ExtendedColorType::Rgb8)
        .expect("writing to memory, with sides within JPEG's range");
    jpeg
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn it_is_a_jpeg_of_the_right_shape() {
        let rgb = [200, 100, 50].repeat(600 * 300);
        let big = Pixels::new(600, 300, rgb).expect("valid");
        for (longest, expected) in [(200, (200, 100)), (1, (1, 1)), (5000, (600, 300))] {
            let jpeg = encode_thumbnail(&big, longest);
            let back = decode(&jpeg).expect("a picture");
            assert_eq!(back.format, "JPEG");
            assert_eq!((back.pixels.width(), back.pixels.height()), expected);
            let off = back.pixels.rgb()[0].abs_diff(200);
            assert!(off <= 4, "colour kept to {off} levels");
        }
    }

    #[test]
    fn a_line_longer_than_jpeg_allows_is_shrunk() {
        let line = Pixels::new(100_000, 1, vec![9; 300_000]).expect("valid");
        let back = decode(&encode_thumbnail(&line, u32::MAX)).expect("a picture");
        assert_eq!(back.pixels.height(), 1);
    }
}
