//! How does NEON do it?
//!
//! Bytes are multiplied with sign to 16 bits and added in pairs to 32-bit sums.
//! Every AArch64 processor has these instructions; the dot-product extension
//! would be faster, but its intrinsics are not stable.

use std::arch::aarch64::*;

use super::scalar::dot;
use super::{CodeRows, Kernel};

pub(super) const KERNEL: Kernel = Kernel {
    name: "neon",
    has: || std::arch::is_aarch64_feature_detected!("neon"),
    each,
    range,
    pair,
    dot,
};

/// Bytes a register holds.
const WIDTH: usize = 16;

/// Adds to `sums` the products of 16 signed bytes.
#[inline]
#[target_feature(enable = "neon")]
fn accumulate(sums: int32x4_t, a: int8x16_t, b: int8x16_t) -> int32x4_t {
    let low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    vpadalq_s16(vpadalq_s16(sums, low), vmull_high_s8(a, b))
}

/// 16 codes, without their 128.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn codes(at: *const u8) -> int8x16_t {
    // SAFETY: the caller has 16 bytes there. Flipping the first bit takes off 128.
    vreinterpretq_s8_u8(veorq_u8(unsafe { vld1q_u8(at) }, vdupq_n_u8(0x80)))
}

/// Σ code · query with the codes' 128 left in, as the other kernels give it, is
/// Σ (code − 128) · query and 128 Σ query.
#[target_feature(enable = "neon")]
fn excess(query: &[i8]) -> i32 {
    query.iter().map(|&q| i32::from(q)).sum::<i32>() * 128
}

#[inline]
#[target_feature(enable = "neon")]
unsafe fn product(query: &[i8], row: *const u8) -> i32 {
    let mut sums = [vdupq_n_s32(0); 2];
    for at in (0..query.len()).step_by(2 * WIDTH) {
        for (i, sum) in sums.iter_mut().enumerate() {
            // SAFETY: the row is as long as the query, a whole number of lines.
            unsafe {
                let q = vld1q_s8(query.as_ptr().add(at + WIDTH * i));
                *sum = accumulate(*sum, codes(row.add(at + WIDTH * i)), q);
            }
        }
    }
    vaddvq_s32(vaddq_s32(sums[0], sums[1]))
}

/// # Safety
/// As [`Kernel`] says of `each`.
#[target_feature(enable = "neon")]
unsafe fn each(query: &[i8], rows: CodeRows<'_>, nodes: &[u32], out: &mut [i32]) {
    let excess = excess(query);
    for (&node, out) in nodes.iter().zip(out) {
        // SAFETY: the caller promised that all nodes are rows.
        *out = unsafe { product(query, rows.row(node as usize).as_ptr()) } + excess;
    }
}

/// # Safety
/// As [`Kernel`] says of `range`.
#[target_feature(enable = "neon")]
unsafe fn range(queries: [&[i8]; 2], rows: CodeRows<'_>, from: usize, out: &mut [[i32; 2]]) {
    let excess = [excess(queries[0]), excess(queries[1])];
    for (i, out) in (from..).zip(out) {
        for (j, out) in out.iter_mut().enumerate() {
            // SAFETY: the caller promised that these rows are there.
            *out = unsafe { product(queries[j], rows.row(i).as_ptr()) } + excess[j];
        }
    }
}

/// # Safety
/// As [`Kernel`] says of `pair`.
#[target_feature(enable = "neon")]
unsafe fn pair(a: &[u8], b: &[u8]) -> i32 {
    let mut sums = vdupq_n_s32(0);
    for at in (0..a.len()).step_by(WIDTH) {
        // SAFETY: both are equally long, a whole number of lines.
        unsafe { sums = accumulate(sums, codes(a.as_ptr().add(at)), codes(b.as_ptr().add(at))) };
    }
    vaddvq_s32(sums)
}
