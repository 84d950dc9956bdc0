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

use std::sync::OnceLock;

/// Rows in a block.
pub(super) const ROWS: usize = 32;
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
    // SAFETY (of calling): `has()`; tables and block are equally long, a whole number of `ADDED`
    // pairs.
    reaching: unsafe fn(asked: &Asked, block: Block<'_>, least: f32) -> u32,
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
            Self { has: || true, reaching: reaching_portable },
            #[cfg(target_arch = "x86_64")]
            Self { has: || is_x86_feature_detected!("avx2"), reaching: reaching_256 },
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
        let length = block.fours.len();
        assert!(asked.tables.len() == length && length.is_multiple_of(ADDED * PAIR));
        // SAFETY: a set in use is one the processor has; the rest was checked just now.
        unsafe { (self.reaching)(asked, block, least) }
    }
}

#[cfg(target_arch = "x86_64")]
const EVERY: usize = 2;
#[cfg(not(target_arch = "x86_64"))]
const EVERY: usize = 1;

impl Asked {
    /// With a table for each four. Entries above [`TOP`] are cut down to it.
    pub(super) fn new(tables: impl Iterator<Item = [u8; 16]>, unit: f32, shift: f32) -> Self {
        Self { tables: tables.flatten().map(|entry| entry.min(TOP)).collect(), unit, shift }
    }
}

/// Puts four bits of row `row` into a block.
#[inline]
pub(super) fn put(block: &mut [u8], four: usize, row: usize, bits: u8) {
    let half = PAIR / 2;
    block[four * half + row % half] |= bits << (row / half * 4);
}

fn reaching_portable(asked: &Asked, block: Block<'_>, least: f32) -> u32 {
    let half = PAIR / 2;
    let mut sums = [0u16; ROWS];
    let (low, high) = sums.split_at_mut(half);
    for (table, fours) in asked.tables.chunks_exact(half).zip(block.fours.chunks_exact(half)) {
        for ((low, high), &bits) in low.iter_mut().zip(&mut *high).zip(fours) {
            *low = low.wrapping_add(u16::from(table[usize::from(bits & 15)]));
            *high = high.wrapping_add(u16::from(table[usize::from(bits >> 4)]));
        }
    }
    let mut reaching = 0;
    for (row, sum) in sums.into_iter().enumerate() {
        let signs = f32::from(sum) * asked.unit + asked.shift;
        reaching |= u32::from(signs * block.steps[row] + block.along[row] >= least) << row;
    }
    reaching
}

/// # Safety
/// As [`Lookup`] says of `reaching`.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn reaching_256(asked: &Asked, block: Block<'_>, least: f32) -> u32 {
    use std::arch::x86_64::*;
    let (tables, fours) = (asked.tables.as_ptr(), block.fours.as_ptr());
    let (four, byte) = (_mm256_set1_epi8(15), _mm256_set1_epi16(255));
    // Of rows 0 to 15 those of even and of odd number, and the same of the others.
    let mut sums = [_mm256_setzero_si256(); 4];
    for at in (0..block.fours.len()).step_by(ADDED * PAIR) {
        let (mut low, mut high) = (_mm256_setzero_si256(), _mm256_setzero_si256());
        for pair in 0..ADDED {
            // SAFETY: both are equally long, a whole number of `ADDED` pairs.
            let (table, bits) = unsafe {
                let at = at + pair * PAIR;
                (
                    _mm256_loadu_si256(tables.add(at).cast()),
                    _mm256_loadu_si256(fours.add(at).cast()),
                )
            };
            let upper = _mm256_and_si256(_mm256_srli_epi16::<4>(bits), four);
            let lower = _mm256_and_si256(bits, four);
            low = _mm256_add_epi8(low, _mm256_shuffle_epi8(table, lower));
            high = _mm256_add_epi8(high, _mm256_shuffle_epi8(table, upper));
        }
        sums[0] = _mm256_add_epi16(sums[0], _mm256_and_si256(low, byte));
        sums[1] = _mm256_add_epi16(sums[1], _mm256_srli_epi16::<8>(low));
        sums[2] = _mm256_add_epi16(sums[2], _mm256_and_si256(high, byte));
        sums[3] = _mm256_add_epi16(sums[3], _mm256_srli_epi16::<8>(high));
    }
    // The first fours of each pair are in one half, the second in the other.
    let total =
        |s: __m256i| _mm_add_epi16(_mm256_castsi256_si128(s), _mm256_extracti128_si256::<1>(s));
    let [even, odd, even_high, odd_high] = sums.map(total);
    let in_order = [
        _mm_unpacklo_epi16(even, odd),
        _mm_unpackhi_epi16(even, odd),
        _mm_unpacklo_epi16(even_high, odd_high),
        _mm_unpackhi_epi16(even_high, odd_high),
    ];
    let (unit, shift) = (_mm256_set1_ps(asked.unit), _mm256_set1_ps(asked.shift));
    let least = _mm256_set1_ps(least);
    let mut reaching = 0;
    for (i, sums) in in_order.into_iter().enumerate() {
        // SAFETY: there are 32 of each, and i is below 4.
        let (steps, along) = unsafe {
            (
                _mm256_loadu_ps(block.steps.as_ptr().add(8 * i)),
                _mm256_loadu_ps(block.along.as_ptr().add(8 * i)),
            )
        };
        // Rounded at each step, as the portable one does.
        let sums = _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(sums));
        let signs = _mm256_add_ps(_mm256_mul_ps(sums, unit), shift);
        let all = _mm256_add_ps(_mm256_mul_ps(signs, steps), along);
        let reach = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(all, least));
        reaching |= (reach as u32) << (8 * i);
    }
    reaching
}
