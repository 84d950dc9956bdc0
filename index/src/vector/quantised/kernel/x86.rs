//! How do AVX2 and AVX-512 with VNNI do it?
//!
//! VNNI multiplies bytes without by bytes with sign and adds groups of four to
//! 32-bit sums, without saturation. AVX2's byte product saturates at 16 bits, so
//! there both sides are widened to 16 bits first.

use std::arch::x86_64::*;

use super::scalar::{LANES, add_rest, total};
use super::{CodeRows, Kernel, LINE};

pub(super) const AVX512: Kernel = Kernel {
    name: "avx512-vnni",
    has: || {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2")
    },
    each: each_512,
    range: range_512,
    pair: pair_512,
    dot,
};

pub(super) const AVX2: Kernel = Kernel {
    name: "avx2",
    has: || is_x86_feature_detected!("avx2"),
    each: each_256,
    range: range_256,
    pair: pair_256,
    dot,
};

/// Rows that are compared side by side, so that no sum waits for another.
const ABREAST: usize = 4;

/// The start of row `node`.
///
/// # Safety
/// There is such a row.
#[inline(always)]
unsafe fn start(rows: CodeRows<'_>, node: usize) -> *const u8 {
    // SAFETY: the row lies within `bytes`.
    unsafe { rows.bytes.as_ptr().add(node * rows.stride) }
}

/// The four totals of four vectors of 32-bit sums.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2")]
fn totals_512(sums: [__m512i; ABREAST]) -> __m128i {
    let half =
        |s: __m512i| _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64::<1>(s));
    totals_256(sums.map(half))
}

/// The four totals of four vectors of 32-bit sums.
#[inline]
#[target_feature(enable = "avx2")]
fn totals_256([a, b, c, d]: [__m256i; ABREAST]) -> __m128i {
    let pairs = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    _mm_add_epi32(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs))
}

/// Calls `four` with the starts of four rows at a time, the last ones repeated to make four.
macro_rules! by_fours {
    ($rows:expr, $nodes:expr, $out:expr, |$starts:ident| $four:expr) => {
        for (nodes, out) in $nodes.chunks(ABREAST).zip($out.chunks_mut(ABREAST)) {
            // SAFETY: the caller promised that all nodes are rows.
            let $starts: [*const u8; ABREAST] = std::array::from_fn(|i| unsafe {
                start($rows, nodes[i.min(nodes.len() - 1)] as usize)
            });
            let sums: [i32; ABREAST] = $four;
            out.copy_from_slice(&sums[..out.len()]);
        }
    };
}

/// # Safety
/// As [`Kernel`] says of `each`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2")]
unsafe fn each_512(query: &[i8], rows: CodeRows<'_>, nodes: &[u32], out: &mut [i32]) {
    by_fours!(rows, nodes, out, |starts| {
        let mut sums = [_mm512_setzero_si512(); ABREAST];
        for at in (0..rows.stride).step_by(LINE) {
            // SAFETY: query and rows are `stride` bytes long, a whole number of lines.
            unsafe {
                let q = _mm512_loadu_si512(query.as_ptr().add(at).cast());
                for i in 0..ABREAST {
                    let codes = _mm512_loadu_si512(starts[i].add(at).cast());
                    sums[i] = _mm512_dpbusd_epi32(sums[i], codes, q);
                }
            }
        }
        let totals = totals_512(sums);
        // SAFETY: both are 16 bytes of plain integers.
        unsafe { std::mem::transmute::<__m128i, [i32; ABREAST]>(totals) }
    });
}

/// # Safety
/// As [`Kernel`] says of `range`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2")]
unsafe fn range_512(queries: [&[i8]; 2], rows: CodeRows<'_>, from: usize, out: &mut [[i32; 2]]) {
    for (c, out) in out.chunks_mut(2).enumerate() {
        let first = from + 2 * c;
        // SAFETY: rows `from..from + out.len()` are there; an odd one out is taken twice.
        let starts = [first, first + out.len() - 1].map(|row| unsafe { start(rows, row) });
        let mut sums = [_mm512_setzero_si512(); ABREAST];
        for at in (0..rows.stride).step_by(LINE) {
            // SAFETY: queries and rows are `stride` bytes long, a whole number of lines.
            unsafe {
                let q = queries.map(|q| _mm512_loadu_si512(q.as_ptr().add(at).cast()));
                for i in 0..2 {
                    let codes = _mm512_loadu_si512(starts[i].add(at).cast());
                    sums[2 * i] = _mm512_dpbusd_epi32(sums[2 * i], codes, q[0]);
                    sums[2 * i + 1] = _mm512_dpbusd_epi32(sums[2 * i + 1], codes, q[1]);
                }
            }
        }
        // SAFETY: both are 16 bytes of plain integers.
        let totals = unsafe { std::mem::transmute::<__m128i, [[i32; 2]; 2]>(totals_512(sums)) };
        out.copy_from_slice(&totals[..out.len()]);
    }
}

/// # Safety
/// As [`Kernel`] says of `pair`.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2")]
unsafe fn pair_512(a: &[u8], b: &[u8]) -> i32 {
    let flip = _mm512_set1_epi8(i8::MIN);
    let ones = _mm512_set1_epi8(1);
    let (mut sums, mut extra) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for at in (0..a.len()).step_by(LINE) {
        // SAFETY: both are equally long, a whole number of lines.
        unsafe {
            let a = _mm512_loadu_si512(a.as_ptr().add(at).cast());
            let b = _mm512_loadu_si512(b.as_ptr().add(at).cast());
            // b without its 128 is b with its first bit flipped, read with sign.
            let b = _mm512_xor_si512(b, flip);
            sums = _mm512_dpbusd_epi32(sums, a, b);
            extra = _mm512_dpbusd_epi32(extra, ones, b);
        }
    }
    // a · b without the 128 in a: Σ (a + 128) b − 128 Σ b.
    _mm512_reduce_add_epi32(_mm512_sub_epi32(sums, _mm512_slli_epi32::<7>(extra)))
}

/// 16 bytes, widened: those of codes without, those of a query with sign.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn codes_256(at: *const u8) -> __m256i {
    // SAFETY: the caller has 16 bytes there.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(at.cast()) })
}

#[inline]
#[target_feature(enable = "avx2")]
unsafe fn query_256(at: *const i8) -> __m256i {
    // SAFETY: the caller has 16 bytes there.
    _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(at.cast()) })
}

/// # Safety
/// As [`Kernel`] says of `each`.
#[target_feature(enable = "avx2")]
unsafe fn each_256(query: &[i8], rows: CodeRows<'_>, nodes: &[u32], out: &mut [i32]) {
    by_fours!(rows, nodes, out, |starts| {
        let mut sums = [_mm256_setzero_si256(); ABREAST];
        for at in (0..rows.stride).step_by(16) {
            // SAFETY: query and rows are `stride` bytes long, a whole number of lines.
            unsafe {
                let q = query_256(query.as_ptr().add(at));
                for i in 0..ABREAST {
                    let products = _mm256_madd_epi16(codes_256(starts[i].add(at)), q);
                    sums[i] = _mm256_add_epi32(sums[i], products);
                }
            }
        }
        let totals = totals_256(sums);
        // SAFETY: both are 16 bytes of plain integers.
        unsafe { std::mem::transmute::<__m128i, [i32; ABREAST]>(totals) }
    });
}

/// # Safety
/// As [`Kernel`] says of `range`.
#[target_feature(enable = "avx2")]
unsafe fn range_256(queries: [&[i8]; 2], rows: CodeRows<'_>, from: usize, out: &mut [[i32; 2]]) {
    for (c, out) in out.chunks_mut(2).enumerate() {
        let first = from + 2 * c;
        // SAFETY: rows `from..from + out.len()` are there; an odd one out is taken twice.
        let starts = [first, first + out.len() - 1].map(|row| unsafe { start(rows, row) });
        let mut sums = [_mm256_setzero_si256(); ABREAST];
        for at in (0..rows.stride).step_by(16) {
            // SAFETY: queries and rows are `stride` bytes long, a whole number of lines.
            unsafe {
                let q = queries.map(|q| query_256(q.as_ptr().add(at)));
                for i in 0..2 {
                    let codes = codes_256(starts[i].add(at));
                    for j in 0..2 {
                        let products = _mm256_madd_epi16(codes, q[j]);
                        sums[2 * i + j] = _mm256_add_epi32(sums[2 * i + j], products);
                    }
                }
            }
        }
        // SAFETY: both are 16 bytes of plain integers.
        let totals = unsafe { std::mem::transmute::<__m128i, [[i32; 2]; 2]>(totals_256(sums)) };
        out.copy_from_slice(&totals[..out.len()]);
    }
}

/// # Safety
/// As [`Kernel`] says of `pair`.
#[target_feature(enable = "avx2")]
unsafe fn pair_256(a: &[u8], b: &[u8]) -> i32 {
    let zero = _mm256_set1_epi16(128);
    let mut sums = [_mm256_setzero_si256(); 2];
    for at in (0..a.len()).step_by(32) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: both are equally long, a whole number of lines.
            unsafe {
                let a = _mm256_sub_epi16(codes_256(a.as_ptr().add(at + 16 * i)), zero);
                let b = _mm256_sub_epi16(codes_256(b.as_ptr().add(at + 16 * i)), zero);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(a, b));
            }
        }
    }
    let nothing = _mm256_setzero_si256();
    _mm_cvtsi128_si32(totals_256([_mm256_add_epi32(sums[0], sums[1]), nothing, nothing, nothing]))
}

/// # Safety
/// As [`Kernel`] says of `dot`.
#[target_feature(enable = "avx2")]
unsafe fn dot(a: &[f32], b: &[f32]) -> f32 {
    const WIDTH: usize = 8;
    let whole = a.len() / LANES * LANES;
    let mut sums = [_mm256_setzero_ps(); LANES / WIDTH];
    for at in (0..whole).step_by(LANES) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: both are equally long, at least `whole`.
            unsafe {
                let x = _mm256_loadu_ps(a.as_ptr().add(at + WIDTH * i));
                let y = _mm256_loadu_ps(b.as_ptr().add(at + WIDTH * i));
                *sum = _mm256_add_ps(*sum, _mm256_mul_ps(x, y));
            }
        }
    }
    // SAFETY: both are 32 plain numbers.
    let mut lanes: [f32; LANES] = unsafe { std::mem::transmute(sums) };
    add_rest(&mut lanes, &a[whole..], &b[whole..]);
    total(lanes)
}
