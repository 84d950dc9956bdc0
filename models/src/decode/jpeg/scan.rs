//! Given a header and data, what are the pixels of the picture, made smaller?

use super::header::{Header, Segments, ZIGZAG};
use super::huffman::{Bits, Table};
use super::idct::{self, Block, Draw};

/// How many diagonals, from the corner of a block on, hold all coefficients up to one
/// in the order of coding.
const DIAGONALS: [u8; 160] = {
    let mut table = [8; 160];
    let mut k = 0;
    while k < 64 {
        let diagonal = ZIGZAG[k] / 8 + ZIGZAG[k] % 8 + 1;
        table[k] = if diagonal < 8 { diagonal } else { 8 };
        k += 1;
    }
    table
};

/// One component while it is decoded.
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
    draw: Draw,
    quantisers: &'a [f32; 64],
    dc: &'a Table,
    ac: &'a Table,
    /// The first coefficient of the block before.
    last: i32,
}

/// Rows of RGB of the picture at `pixels` (1, 2 or 4) for every eight of its own, or
/// `None` if it is not decoded here or its data are not whole.
pub(super) fn decode(header: &Header<'_>, pixels: usize) -> Option<Vec<u8>> {
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
        let stride = units.0 * component.blocks.0 * size.0;
        planes.push(Plane {
            pixels: vec![0; stride * units.1 * component.blocks.1 * size.1],
            stride,
            blocks: component.blocks,
            size,
            repeat: (whole.0 / size.0, whole.1 / size.1),
            draw: idct::of_size(size.0, size.1)?,
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
    for n in 0..count {
        let (segment, last) = segments.cut()?;
        if last != (n + 1 == count) {
            return None;
        }
        let mut bits = Bits::new(segment);
        planes.iter_mut().for_each(|plane| plane.last = 0);
        for unit in n * each..total.min((n + 1) * each) {
            for plane in &mut planes {
                plane.unit(unit % units.0, unit / units.0, &mut bits)?;
            }
            if bits.ran_out() {
                return None;
            }
        }
    }
    let scaled = |side: u32| (side as usize * pixels).div_ceil(8);
    Some(rgb(&planes, scaled(header.width), scaled(header.height)))
}

impl Plane<'_> {
    /// Decodes the blocks of one unit.
    fn unit(&mut self, column: usize, row: usize, bits: &mut Bits<'_>) -> Option<()> {
        for y in 0..self.blocks.1 {
            for x in 0..self.blocks.0 {
                let left = (column * self.blocks.0 + x) * self.size.0;
                let top = (row * self.blocks.1 + y) * self.size.1;
                self.block(top * self.stride + left, bits)?;
            }
        }
        Some(())
    }

    fn block(&mut self, at: usize, bits: &mut Bits<'_>) -> Option<()> {
        self.last += bits.difference(self.dc)?;
        let first = i16::try_from(self.last).ok()?;
        if self.size == (1, 1) {
            bits.pass_over(self.ac)?;
            self.pixels[at] = idct::level(f32::from(first) * self.quantisers[0]);
            return Some(());
        }
        let mut block: Block = [0; 65];
        block[0] = first;
        let mut end = 0;
        bits.coefficients(self.ac, |k, value| {
            block[usize::from(ZIGZAG[k])] = value;
            // What ends the block says nothing of how far it goes.
            end = if value == 0 { end } else { k };
        })?;
        let diagonals = usize::from(DIAGONALS[end]);
        (self.draw)(&block, self.quantisers, diagonals, &mut self.pixels, at, self.stride);
        Some(())
    }

    /// A row of the picture's, of `width` pixels.
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

/// All planes together, cut to size.
fn rgb(planes: &[Plane<'_>], width: usize, height: usize) -> Vec<u8> {
    let mut rgb = vec![0; 3 * width * height];
    let mut wide = [Vec::new(), Vec::new(), Vec::new()];
    let [wide_y, wide_b, wide_r] = &mut wide;
    for (y, line) in rgb.chunks_exact_mut(3 * width).enumerate() {
        let out = line.as_chunks_mut::<3>().0.iter_mut();
        let grey = planes[0].row(y, width, wide_y);
        let [_, blue, red] = planes else {
            out.zip(grey).for_each(|(pixel, &grey)| *pixel = [grey; 3]);
            continue;
        };
        let (blue, red) = (blue.row(y, width, wide_b), red.row(y, width, wide_r));
        for (pixel, ((&y, &b), &r)) in out.zip(grey.iter().zip(blue).zip(red)) {
            *pixel = colour(y.into(), b.into(), r.into());
        }
    }
    rgb
}

/// YCbCr as JFIF defines it, in parts of 65,536.
#[inline]
fn colour(y: i32, b: i32, r: i32) -> [u8; 3] {
    let (y, b, r) = ((y << 16) + (1 << 15), b - 128, r - 128);
    let level = |v: i32| (v >> 16).clamp(0, 255) as u8;
    [level(y + 91_881 * r), level(y - 22_554 * b - 46_802 * r), level(y + 116_130 * b)]
}
