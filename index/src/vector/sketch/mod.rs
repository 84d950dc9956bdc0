//! Given vectors' codes, which of them may be near a query, told from one bit a number?
//!
//! A vector, told from the centre of its block and turned ([`rotation`]), is kept as the signs
//! of its numbers: x ≈ s·b with b in {−1, 1}ᵈ, and s so chosen that what is left over is at right
//! angles to x. A query q, told from the centre m as well, then has
//! q·v = q·m + (v − m)·m + (q − m)·(v − m), where the second is known for every vector, and
//! the last is s·b·(q − m) but for the query's product with what is left over. To
//! the query that is a direction by chance, so the error is as good as normal, and its deviation
//! is known: s·κ·|q − m|, with κ² = 1 − (Σ|x|)² / (d·|x|²), some 0.6².
//!
//! So a row whose estimate and [`DEVIATIONS`] of these do not reach what is asked for is passed
//! over: not surely, but very likely rightly. An eighth of what codes take is read for that, and
//! 32 rows at once are compared ([`kernel`]).
//!
//! Sketches are made of codes, in memory, and never stored.
//!
//! # Source
//! Gao and Long, "RaBitQ: quantizing high-dimensional vectors with a theoretical error bound for
//! approximate nearest neighbor search", 2024; the kept product with the centre is ours.

mod cells;
mod kernel;
mod rotation;

use memmap2::MmapMut;
use rayon::prelude::*;

use self::kernel::{Asked, Block, Lookup, PAIR, TOP};
use self::rotation::turn;
use super::quantised::{CodeBlock, LINE, ZERO, prefetch, stride_of};

pub(crate) use self::cells::Cells;
pub(crate) use self::kernel::ROWS;

/// A row is passed over if its estimate is so many deviations short.
const DEVIATIONS: f32 = 3.0;

/// Numbers that are looked up together.
const FOUR: usize = 4;

/// A bit for every number of vectors, in blocks of [`ROWS`].
#[derive(Debug)]
pub(crate) struct Sketches {
    /// Of each block: the bits; f32 a row what a sign counts, s, NaN where there is no vector;
    /// f32 a row the product of its difference from the centre with the centre.
    bytes: MmapMut,
    blocks: usize,
    /// The greatest κ of a row.
    blur: f32,
    dim: usize,
}

/// A query, turned as the vectors of sketches are.
#[derive(Debug)]
pub(crate) struct QuerySketch {
    /// What its product with a sketch is, as estimated.
    asked: Asked,
    /// Its product with the centre.
    centre: f32,
    /// The square of its distance from the centre,
    square: f32,
    /// and of the deviation that rounding adds to a sum.
    rounding: f32,
}

impl QuerySketch {
    /// `query`, to be compared with sketches that were made around `centre`.
    ///
    /// # Panics
    /// If they are of other dimensions.
    pub(crate) fn of(query: &[f32], centre: &[f32]) -> Self {
        assert!(query.len() == centre.len(), "vectors of other dimensions");
        let stride = stride_of(query.len());
        let mut turned: Vec<f32> = query.iter().zip(centre).map(|(q, c)| q - c).collect();
        turned.resize(stride, 0.0);
        turn(&mut turned, 1, &mut vec![0.0; stride]);
        let size = |four: &[f32]| four.iter().map(|q| q.abs()).sum::<f32>();
        let (fours, _) = turned.as_chunks::<FOUR>();
        // So that no sum of all is above 16 bits.
        let top = (u16::MAX as usize / fours.len()).min(usize::from(TOP)) as f32;
        let unit = fours.iter().map(|four| size(four)).fold(0.0, f32::max) * 2.0 / top;
        let inverse = if unit > 0.0 { unit.recip() } else { 0.0 };
        let (unit, inverse) = if inverse.is_finite() { (unit, inverse) } else { (0.0, 0.0) };
        let table = |four: &[f32; FOUR]| {
            let size = size(four);
            std::array::from_fn(|bits| {
                let signed = |(i, q): (usize, &f32)| if bits >> i & 1 == 1 { *q } else { -q };
                let sum: f32 = four.iter().enumerate().map(signed).sum();
                // Adding a half and cutting off rounds, all being positive.
                ((sum + size) * inverse + 0.5).min(top) as u8
            })
        };
        let all: f32 = fours.iter().map(|four| size(four)).sum();
        Self {
            asked: Asked::new(fours.iter().map(table), unit, -all),
            centre: query.iter().zip(centre).map(|(q, c)| q * c).sum(),
            square: turned.iter().map(|q| q * q).sum(),
            // Evenly spread over a whole unit, a twelfth of a square each.
            rounding: unit * unit * fours.len() as f32 / 12.0,
        }
    }
}

/// A query set against sketches.
#[derive(Debug)]
pub(crate) struct Against<'a> {
    sketches: &'a Sketches,
    asked: Asked,
    centre: f32,
}

impl Against<'_> {
    /// A bit for each row of block `block`, the lowest for the first: whether its cosine may be
    /// `least` or more, by all likelihood.
    ///
    /// # Panics
    /// If there is no such block.
    #[inline]
    pub(crate) fn reaching(&self, block: usize, least: f32) -> u32 {
        Lookup::best().reaching(&self.asked, self.sketches.block(block), least - self.centre)
    }
}

impl Sketches {
    /// Of the rows of a block of codes, in the same order. Uses several threads. `None` without
    /// the memory.
    pub(crate) fn of(codes: CodeBlock<'_>) -> Option<Self> {
        let (dim, stride) = (codes.centre.len(), stride_of(codes.centre.len()));
        let (blocks, length) = (codes.scales.len().div_ceil(ROWS), block_length(stride));
        let mut bytes = MmapMut::map_anon((blocks * length).max(1)).ok()?;
        // All of it is read in one go, a query: with fewer pages to be looked up that is faster.
        #[cfg(target_os = "linux")]
        let _ = bytes.advise(memmap2::Advice::HugePage);
        let rooms = || (vec![0f32; stride * ROWS], vec![0f32; stride * ROWS]);
        let parts = bytes[..blocks * length].par_chunks_exact_mut(length).enumerate();
        let blurs =
            parts.map_init(rooms, |rooms, (i, bytes)| sketch(codes, i * ROWS, bytes, rooms));
        let blur = blurs.reduce(|| 0.0, f32::max);
        Some(Self { bytes, blocks, blur, dim })
    }

    /// How many blocks of [`ROWS`] rows there are.
    #[cfg(test)]
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// `query` set against these sketches, which were made around its centre.
    ///
    /// # Panics
    /// If they are of other dimensions.
    pub(crate) fn against(&self, query: &QuerySketch) -> Against<'_> {
        let spread = DEVIATIONS * (query.square * self.blur * self.blur + query.rounding).sqrt();
        Against { sketches: self, asked: query.asked.shifted(spread), centre: query.centre }
    }

    fn block(&self, block: usize) -> Block<'_> {
        assert!(block < self.blocks, "block {block} of {}", self.blocks);
        let length = block_length(stride_of(self.dim));
        let (fours, numbers) = self.bytes[block * length..][..length].split_at(length - NUMBERS);
        let (numbers, _) = bytemuck::cast_slice(numbers).as_chunks::<ROWS>();
        Block { fours, steps: &numbers[0], along: &numbers[1] }
    }

    /// Asks for a block to be brought near, if there is one.
    #[inline]
    pub(crate) fn prefetch(&self, block: usize) {
        let length = block_length(stride_of(self.dim));
        let start = self.bytes.as_ptr().wrapping_add(block * length);
        (0..length).step_by(LINE).for_each(|at| prefetch(start.wrapping_add(at)));
    }
}

/// Bytes that the numbers of a block's rows take.
const NUMBERS: usize = 2 * ROWS * size_of::<f32>();

/// Bytes of a block of rows so long: whole cache lines.
fn block_length(stride: usize) -> usize {
    stride / FOUR * PAIR / 2 + NUMBERS
}

/// Writes the sketches of the rows of `codes` from `first` on, and says the greatest κ.
fn sketch(
    codes: CodeBlock<'_>,
    first: usize,
    bytes: &mut [u8],
    (numbers, room): &mut (Vec<f32>, Vec<f32>),
) -> f32 {
    let (block, of_rows) = bytes.split_at_mut(bytes.len() - NUMBERS);
    let (steps, along) = bytemuck::cast_slice_mut::<u8, f32>(of_rows).split_at_mut(ROWS);
    steps.fill(f32::NAN);
    let count = ROWS.min(codes.scales.len() - first);
    numbers.fill(0.0);
    let mut squares = [0f32; ROWS];
    for row in 0..count {
        let mut product = 0.0;
        let code = codes.rows.row(first + row).iter().map(|&c| f32::from(c) - f32::from(ZERO));
        for (i, number) in code.enumerate() {
            numbers[i * ROWS + row] = number;
            squares[row] += number * number;
            product += number * codes.centre.get(i).copied().unwrap_or_default();
        }
        along[row] = codes.scales[first + row] * product;
    }
    turn(numbers, ROWS, room);
    let mut sizes = [0f32; ROWS];
    let (numbers, _) = numbers.as_chunks::<ROWS>();
    for (four, numbers) in numbers.chunks_exact(FOUR).enumerate() {
        let mut bits = [0u8; ROWS];
        for (i, numbers) in numbers.iter().enumerate() {
            for ((bits, size), number) in bits.iter_mut().zip(&mut sizes).zip(numbers) {
                *bits |= u8::from(*number >= 0.0) << i;
                *size += number.abs();
            }
        }
        bits.iter().enumerate().for_each(|(row, &bits)| kernel::put(block, four, row, bits));
    }
    let mut blur = 0f32;
    for row in 0..count {
        let (square, size) = (squares[row], sizes[row]);
        // A vector at the centre has no signs that count.
        let step = if size > 0.0 { square / size } else { 0.0 };
        steps[row] = codes.scales[first + row] * step;
        let said = if square > 0.0 { size * size / (numbers.len() as f32 * square) } else { 1.0 };
        blur = blur.max((1.0 - said).max(0.0).sqrt());
    }
    blur
}

#[cfg(test)]
mod tests;
