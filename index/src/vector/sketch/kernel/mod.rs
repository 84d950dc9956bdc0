//! Which instructions look up sums for many rows at once?
//!
//! A sketch is read four bits at a time; what four bits say of a query is looked up in a table
//! of sixteen sums. A processor that shuffles bytes looks up as many rows at once as it shuffles
//! bytes, so the rows of a block lie interleaved: for each pair of fours [`PAIR`] bytes, of which
//! the first half has the first four of all rows and the other half the second, each byte those
//! of two rows, `r` and `r + 16`. Tables are laid out the same way.
//!
//! # Source
//! André, Kermarrec and Le Scouarnec, "Cache locality is not enough: high-performance nearest
//! neighbor search with product quantization fast scan", 2015.

#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// Rows in a block.
pub(crate) const ROWS: usize = 32;
/// Bytes that two fours of a block's rows take, and so do two tables.
pub(super) const PAIR: usize = 32;
/// Greatest entry of a table: as many as are added in a byte before they are widened fit it.
pub(super) const TOP: u8 = 63;
/// Pairs that are added before.
const ADDED: usize = 4;

const _: () = assert!(ADDED * TOP as usize <= u8::MAX as usize);

/// Functions that use one set of instructions.
#[derive(Clone, Copy)]
pub(super) struct Lookup {
    /// Whether this processor has the instructions, asked before the rest is ever called.
    has: fn() -> bool,
    // SAFETY (of calling both): `has()`; tables and block are equally long, a whole number of
    // `ADDED` pairs.
    reaching: unsafe fn(asked: &Asked, block: Block<'_>, least: f32) -> u32,
    reach: unsafe fn(asked: &Asked, block: Block<'_>) -> [f32; ROWS],
}

/// What is asked of blocks.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// For each four of the query sixteen sums, none above [`TOP`].
    tables: Vec<u8>,
    /// A sum counts so much,
    pub(super) unit: f32,
    /// and this is added to all.
    pub(super) shift: f32,
}

/// Some rows' sketches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'a> {
    pub(super) fours: &'a [u8],
    /// What each row is multiplied with, and what is added then.
    pub(super) steps: &'a [f32; ROWS],
    pub(super) along: &'a [f32; ROWS],
}

impl Lookup {
    /// The fastest this processor has.
    pub(super) fn best() -> &'static Self {
        static BEST: OnceLock<Lookup> = OnceLock::new();
        BEST.get_or_init(|| {
            let [first, rest @ ..] = Self::every();
            rest.iter().rfold(first, |best, lookup| if (lookup.has)() { *lookup } else { best })
        })
    }

    /// All of this architecture, the portable one first.
    fn every() -> [Self; EVERY] {
        [
            Self { has: || true, reaching: reaching_portable, reach: reach_portable },
            #[cfg(target_arch = "x86_64")]
            Self {
                has: || {
                    is_x86_feature_detected!("avx2")
                        && is_x86_feature_detected!("avx512f")
                        && is_x86_feature_detected!("avx512bw")
                },
                reaching: x86::reaching_512,
                reach: x86::reach_256,
            },
            #[cfg(target_arch = "x86_64")]
            Self {
                has: || is_x86_feature_detected!("avx2"),
                reaching: x86::reaching_256,
                reach: x86::reach_256,
            },
        ]
    }

    /// Those this processor has.
    #[cfg(test)]
    pub(super) fn usable() -> Vec<Self> {
        Self::every().into_iter().filter(|lookup| (lookup.has)()).collect()
    }

    /// A bit for each row of `block`, whether (sum · unit + shift) · step + along is `least` at
    /// least. Sums that do not fit 16 bits are cut off.
    ///
    /// # Panics
    /// If tables and block are not equally long, or no whole number of four pairs.
    #[inline]
    pub(super) fn reaching(&self, asked: &Asked, block: Block<'_>, least: f32) -> u32 {
        check(asked, block);
        // SAFETY: a set in use is one the processor has; the rest was checked just now.
        unsafe { (self.reaching)(asked, block, least) }
    }

    /// What is compared in [`Lookup::reaching`], of each row.
    ///
    /// # Panics
    /// As there.
    pub(super) fn reach(&self, asked: &Asked, block: Block<'_>) -> [f32; ROWS] {
        check(asked, block);
        // SAFETY: a set in use is one the processor has; the rest was checked just now.
        unsafe { (self.reach)(asked, block) }
    }
}

#[inline]
fn check(asked: &Asked, block: Block<'_>) {
    let length = block.fours.len();
    assert!(asked.tables.len() == length && length.is_multiple_of(ADDED * PAIR));
}

#[cfg(target_arch = "x86_64")]
const EVERY: usize = 3;
#[cfg(not(target_arch = "x86_64"))]
const EVERY: usize = 1;

impl Asked {
    /// With a table for each four. Entries above [`TOP`] are cut down to it.
    pub(super) fn new(tables: impl Iterator<Item = [u8; 16]>, unit: f32, shift: f32) -> Self {
        Self { tables: tables.flatten().map(|entry| entry.min(TOP)).collect(), unit, shift }
    }

    /// The same with `more` added to all.
    pub(super) fn shifted(&self, more: f32) -> Self {
        Self { shift: self.shift + more, ..self.clone() }
    }
}

/// Puts four bits of row `row` into a block.
#[inline]
pub(super) fn put(block: &mut [u8], four: usize, row: usize, bits: u8) {
    let half = PAIR / 2;
    block[four * half + row % half] |= bits << (row / half * 4);
}

fn reach_portable(asked: &Asked, block: Block<'_>) -> [f32; ROWS] {
    let half = PAIR / 2;
    let mut sums = [0u16; ROWS];
    let (low, high) = sums.split_at_mut(half);
    for (table, fours) in asked.tables.chunks_exact(half).zip(block.fours.chunks_exact(half)) {
        for ((low, high), &bits) in low.iter_mut().zip(&mut *high).zip(fours) {
            *low = low.wrapping_add(u16::from(table[usize::from(bits & 15)]));
            *high = high.wrapping_add(u16::from(table[usize::from(bits >> 4)]));
        }
    }
    std::array::from_fn(|row| {
        let signs = f32::from(sums[row]) * asked.unit + asked.shift;
        signs * block.steps[row] + block.along[row]
    })
}

fn reaching_portable(asked: &Asked, block: Block<'_>, least: f32) -> u32 {
    let reach = (0..).zip(reach_portable(asked, block));
    reach.fold(0, |reaching, (row, reach)| reaching | u32::from(reach >= least) << row)
}
