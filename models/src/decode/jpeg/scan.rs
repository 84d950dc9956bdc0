//! Given a header and data, what are the pixels of the picture, made smaller?

use super::header::{Header, Segments, ZIGZAG};
use super::huffman::{Bits, Table};
use super::idct::{self, Block};

/// How many diagonals, from the corner of a block on, hold all coefficients up to one
/// in the order of coding.
pub(super) const DIAGONALS: [u8; 160] = {
    let mut table = [15; 160];
    let mut k = 0;
    while k < 64 {
        table[k] = ZIGZAG[k] / 8 + ZIGZAG[k] % 8 + 1;
        k += 1;
    }
    table
};

/// One component while it is decoded, a row of units at a time: what is not kept does
/// not have to be fetched again.
struct Plane<'a> {
    pixels: Vec<u8>,
    /// Pixels in a row.
    stride: usize,
    /// Blocks in a unit, across and down.
    blocks: (usize, usize),
    /// Pixels of a block, across and down.
    size: (usize, usize),
    /// Pixels of the picture for one of these, across and down.
    repeat: (usize, usize),
    quantisers: &'a [f32; 65],
    dc: &'a Table,
    ac: &'a Table,
    /// The first coefficient of the block before.
    last: i32,
}

/// Rows of RGB of the picture at `pixels` (1, 2 or 4) for every eight of its own, or
/// `None` if it is not decoded here or its data are not whole.
pub(super) fn decode(header: &Header<'_>, pixels: usize) -> Option<Vec<u8>> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
        // SAFETY: this processor has both.
        return unsafe { decode_wide(header, pixels) };
    }
    decode_here(header, pixels)
}

/// The same, compiled for wider registers. Nothing is contracted or reordered, so the
/// same pixels come out.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi2")]
fn decode_wide(header: &Header<'_>, pixels: usize) -> Option<Vec<u8>> {
    decode_here(header, pixels)
}

/// For any processor.
#[inline(always)]
pub(super) fn decode_here(header: &Header<'_>, pixels: usize) -> Option<Vec<u8>> {
    let most = |side: fn(&(usize, usize)) -> usize| {
        header.components.iter().map(|c| side(&c.blocks)).max().unwrap_or(1)
    };
    let (across, down) = (most(|b| b.0), most(|b| b.1));
    let units =
        ((header.width as usize).div_ceil(8 * across), (header.height as usize).div_ceil(8 * down));
    let mut planes = Vec::with_capacity(3);
    for component in &header.components {
        let whole = (pixels * across / component.blocks.0, pixels * down / component.blocks.1);
        let size = (whole.0.min(8), whole.1.min(8));
        if !idct::has_size(size) {
            return None;
        }
        let stride = units.0 * component.blocks.0 * size.0;
        planes.push(Plane {
            pixels: vec![0; stride * component.blocks.1 * size.1],
            stride,
            blocks: component.blocks,
            size,
            repeat: (whole.0 / size.0, whole.1 / size.1),
            quantisers: &component.quantisers,
            dc: header.dc[component.dc].as_ref()?,
            ac: header.ac[component.ac].as_ref()?,
            last: 0,
        });
    }
    let mut segments = Segments::of(header.data);
    let total = units.0 * units.1;
    let each = if header.restart == 0 { total } else { header.restart };
    let count = total.div_ceil(each);
    let scaled = |side: u32| (side as usize * pixels).div_ceil(8);
    let (width, height) = (scaled(header.width), scaled(header.height));
    let mut rgb = Vec::with_capacity(3 * width * height);
    let (mut wide, mut levels) = ([const { Vec::new() }; 3], vec![0; 3 * width]);
    for n in 0..count {
        let (segment, last) = segments.cut()?;
        if last != (n + 1 == count) {
            return None;
        }
        let mut bits = Bits::new(segment);
        planes.iter_mut().for_each(|plane| plane.last = 0);
        for unit in n * each..total.min((n + 1) * each) {
            for plane in &mut planes {
                plane.unit(unit % units.0, &mut bits)?;
            }
            if bits.ran_out() {
                return None;
            }
            if (unit + 1) % units.0 == 0 {
                let left = height - rgb.len() / (3 * width);
                draw(&planes, left.min(pixels * down), &mut wide, &mut levels, &mut rgb);
            }
        }
    }
    Some(rgb)
}

impl Plane<'_> {
    /// Decodes the blocks of one unit.
    #[inline(always)]
    fn unit(&mut self, column: usize, bits: &mut Bits<'_>) -> Option<()> {
        for y in 0..self.blocks.1 {
            for x in 0..self.blocks.0 {
                let left = (column * self.blocks.0 + x) * self.size.0;
                let top = y * self.size.1;
                self.block(top * self.stride + left, bits)?;
            }
        }
        Some(())
    }

    #[inline(always)]
    fn block(&mut self, at: usize, bits: &mut Bits<'_>) -> Option<()> {
        self.last += bits.difference(self.dc)?;
        let first = i16::try_from(self.last).ok()?;
        if self.size == (1, 1) {
            bits.pass_over(self.ac)?;
            self.pixels[at] = idct::level(f32::from(first) * self.quantisers[0]);
            return Some(());
        }
        let mut block: Block = [0.0; 65];
        block[0] = f32::from(first) * self.quantisers[0];
        let end = bits.coefficients(self.ac, |k, value| {
            let place = usize::from(ZIGZAG[usize::from(k)]);
            block[place] = f32::from(value) * self.quantisers[place];
        })?;
        let diagonals = usize::from(DIAGONALS[end]);
        idct::draw(self.size, &block, diagonals, &mut self.pixels, at, self.stride);
        Some(())
    }

    /// A row of those that were decoded last, of `width` pixels.
    fn row<'a>(&'a self, y: usize, width: usize, wide: &'a mut Vec<u8>) -> &'a [u8] {
        let row = &self.pixels[y / self.repeat.1 * self.stride..][..self.stride];
        if self.repeat.0 == 1 {
            return &row[..width];
        }
        wide.clear();
        wide.extend(row.iter().flat_map(|&pixel| std::iter::repeat_n(pixel, self.repeat.0)));
        &wide[..width]
    }
}

/// Appends `height` rows of all planes together, cut to the width that three times as
/// many `levels` say.
#[inline(always)]
fn draw(
    planes: &[Plane<'_>],
    height: usize,
    [wide_y, wide_b, wide_r]: &mut [Vec<u8>; 3],
    levels: &mut [u8],
    rgb: &mut Vec<u8>,
) {
    let width = levels.len() / 3;
    for y in 0..height {
        let grey = planes[0].row(y, width, wide_y);
        let [_, blue, red] = planes else {
            rgb.extend(grey.iter().flat_map(|&grey| [grey; 3]));
            continue;
        };
        let (blue, red) = (blue.row(y, width, wide_b), red.row(y, width, wide_r));
        // Channel by channel and then side by side, which is the way that compilers know to
        // do with many pixels at once.
        let (levels_r, rest) = levels.split_at_mut(width);
        let (levels_g, levels_b) = rest.split_at_mut(width);
        for (level, (&y, &r)) in levels_r.iter_mut().zip(grey.iter().zip(red)) {
            *level = shade(y, 91_881 * centred(r));
        }
        for (level, ((&y, &b), &r)) in levels_g.iter_mut().zip(grey.iter().zip(blue).zip(red)) {
            *level = shade(y, -22_554 * centred(b) - 46_802 * centred(r));
        }
        for (level, (&y, &b)) in levels_b.iter_mut().zip(grey.iter().zip(blue)) {
            *level = shade(y, 116_130 * centred(b));
        }
        let start = rgb.len();
        rgb.resize(start + 3 * width, 0);
        let line = rgb[start..].as_chunks_mut::<3>().0;
        for (pixel, ((&r, &g), &b)) in
            line.iter_mut().zip(levels_r.iter().zip(&*levels_g).zip(&*levels_b))
        {
            *pixel = [r, g, b];
        }
    }
}

/// A level of Cb or Cr, of which 128 is none.
#[inline]
fn centred(level: u8) -> i32 {
    i32::from(level) - 128
}

/// A brightness made brighter by so many parts of 65,536: JFIF's YCbCr is made of these.
#[inline]
fn shade(brightness: u8, by: i32) -> u8 {
    (((i32::from(brightness) << 16) + (1 << 15) + by) >> 16).clamp(0, 255) as u8
}
