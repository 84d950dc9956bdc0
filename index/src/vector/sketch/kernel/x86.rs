//! Sixteen sums at once by the shuffles of AVX2 and AVX-512.

use std::arch::x86_64::*;

use super::{ADDED, Asked, Block, PAIR, ROWS};

/// # Safety
/// As [`Lookup`] says of `reaching`.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn reach_in_eights(asked: &Asked, block: Block<'_>) -> [__m256; 4] {
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
    // SAFETY: the same is asked of who calls this.
    unsafe { of_sums(asked, block, sums) }
}

/// What sums of 16 bits say of rows: of the first fours of each pair in one half, of the second in
/// the other; in each, of rows 0 to 15 those of even and of odd number, and the same of the others.
///
/// # Safety
/// As [`Lookup`] says of `reaching`.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn of_sums(asked: &Asked, block: Block<'_>, sums: [__m256i; 4]) -> [__m256; 4] {
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
    let mut eights = [_mm256_setzero_ps(); 4];
    for ((i, sums), eight) in in_order.into_iter().enumerate().zip(&mut eights) {
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
        *eight = _mm256_add_ps(_mm256_mul_ps(signs, steps), along);
    }
    eights
}

/// # Safety
/// As [`Lookup`] says of `reaching`.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn reaching_256(asked: &Asked, block: Block<'_>, least: f32) -> u32 {
    // SAFETY: the same is asked of who calls this.
    let eights = unsafe { reach_in_eights(asked, block) };
    at_least(eights, least)
}

/// A bit for each row, whether it is `least` at least.
#[target_feature(enable = "avx2")]
#[inline]
fn at_least(eights: [__m256; 4], least: f32) -> u32 {
    let least = _mm256_set1_ps(least);
    (0..).zip(eights).fold(0, |reaching, (i, eight)| {
        let reach = _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(eight, least));
        reaching | (reach as u32) << (8 * i)
    })
}

/// # Safety
/// As [`Lookup`] says of `reach`.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn reach_256(asked: &Asked, block: Block<'_>) -> [f32; ROWS] {
    let mut reach = [0f32; ROWS];
    // SAFETY: the same is asked of who calls this.
    let eights = unsafe { reach_in_eights(asked, block) };
    for (to, eight) in reach.chunks_exact_mut(8).zip(eights) {
        // SAFETY: there is room for eight.
        unsafe { _mm256_storeu_ps(to.as_mut_ptr(), eight) };
    }
    reach
}

/// Two pairs at once.
///
/// # Safety
/// As [`Lookup`] says of `reaching`.
#[target_feature(enable = "avx2,avx512f,avx512bw")]
pub(super) unsafe fn reaching_512(asked: &Asked, block: Block<'_>, least: f32) -> u32 {
    let (tables, fours) = (asked.tables.as_ptr(), block.fours.as_ptr());
    let (four, byte) = (_mm512_set1_epi8(15), _mm512_set1_epi16(255));
    let mut sums = [_mm512_setzero_si512(); 4];
    let length = block.fours.len();
    for from in (0..length).step_by(2 * ADDED * PAIR) {
        let (mut low, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        for at in (from..length.min(from + 2 * ADDED * PAIR)).step_by(2 * PAIR) {
            // SAFETY: both are equally long, an even number of pairs.
            let (table, bits) = unsafe {
                (
                    _mm512_loadu_si512(tables.add(at).cast()),
                    _mm512_loadu_si512(fours.add(at).cast()),
                )
            };
            let upper = _mm512_and_si512(_mm512_srli_epi16::<4>(bits), four);
            let lower = _mm512_and_si512(bits, four);
            low = _mm512_add_epi8(low, _mm512_shuffle_epi8(table, lower));
            high = _mm512_add_epi8(high, _mm512_shuffle_epi8(table, upper));
        }
        sums[0] = _mm512_add_epi16(sums[0], _mm512_and_si512(low, byte));
        sums[1] = _mm512_add_epi16(sums[1], _mm512_srli_epi16::<8>(low));
        sums[2] = _mm512_add_epi16(sums[2], _mm512_and_si512(high, byte));
        sums[3] = _mm512_add_epi16(sums[3], _mm512_srli_epi16::<8>(high));
    }
    let halves = sums
        .map(|s| _mm256_add_epi16(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64::<1>(s)));
    // SAFETY: the same is asked of who calls this.
    at_least(unsafe { of_sums(asked, block, halves) }, least)
}
