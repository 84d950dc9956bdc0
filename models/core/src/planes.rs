//! Given the pixels that a model will see, what are its numbers? Channel by channel, each a plane
//! of its own; this is where every picture ends, so it is done for many pixels at once.

use crate::Pixels;

/// How one channel of a model's input is made.
#[derive(Clone, Copy)]
pub(crate) struct Channel {
    /// Which channel of the pixels it is.
    pub(crate) source: usize,
    /// What levels are multiplied by.
    pub(crate) scale: f32,
    /// What is subtracted then.
    pub(crate) shift: f32,
    /// The level of what the pixels do not fill.
    pub(crate) fill: u8,
}

impl Channel {
    #[inline(always)]
    fn number(self, level: u8) -> f32 {
        f32::from(level) * self.scale - self.shift
    }
}

/// `3 × size × size` numbers with the pixels, which are no larger, in the middle.
pub(crate) fn of(pixels: &Pixels, size: u32, channels: [Channel; 3]) -> Vec<f32> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: this processor has it.
        return unsafe { of_wide(pixels, size, channels) };
    }
    of_here(pixels, size, channels)
}

/// The same, compiled for wider registers. Nothing is contracted, so the same numbers come out.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn of_wide(pixels: &Pixels, size: u32, channels: [Channel; 3]) -> Vec<f32> {
    of_here(pixels, size, channels)
}

/// For any processor.
#[inline(always)]
fn of_here(pixels: &Pixels, size: u32, channels: [Channel; 3]) -> Vec<f32> {
    let side = size as usize;
    let (width, height) = (pixels.width() as usize, pixels.height() as usize);
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    // Apart and then as numbers, which is the way that compilers know to do with many at once.
    let [mut red, mut green, mut blue] = [const { Vec::new() }; 3];
    for plane in [&mut red, &mut green, &mut blue] {
        plane.resize(width * height, 0u8);
    }
    let levels = red.iter_mut().zip(&mut green).zip(&mut blue);
    for (pixel, ((r, g), b)) in pixels.rgb().as_chunks::<3>().0.iter().zip(levels) {
        (*r, *g, *b) = (pixel[0], pixel[1], pixel[2]);
    }
    let planes = [red, green, blue];
    let mut data = Vec::with_capacity(3 * side * side);
    for (n, channel) in channels.into_iter().enumerate() {
        let fill = channel.number(channel.fill);
        for (y, row) in planes[channel.source].chunks_exact(width).enumerate() {
            data.resize((n * side + top + y) * side + left, fill);
            data.extend(row.iter().map(|&level| channel.number(level)));
        }
        data.resize((n + 1) * side * side, fill);
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_registers_give_the_same_numbers() {
        let channel =
            |source, scale: f32, fill| Channel { source, scale, shift: 0.7 * scale, fill };
        let channels = [channel(2, 0.017, 3), channel(0, 0.013, 255), channel(1, 0.011, 90)];
        for (width, height) in [(64, 64), (63, 20), (1, 64), (31, 2), (3, 1)] {
            let rgb = (0..3 * width * height).map(|i| (i * 73 % 256) as u8).collect();
            let pixels = Pixels::new(width, height, rgb).expect("valid");
            let bits = |data: Vec<f32>| data.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            let (wide, here) = (of(&pixels, 64, channels), of_here(&pixels, 64, channels));
            assert_eq!(here.len(), 3 * 64 * 64);
            assert_eq!(bits(wide), bits(here), "{width} × {height}");
        }
    }
}
