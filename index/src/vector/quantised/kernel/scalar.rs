//! How does any machine do it? Also the oracle the others are tested against.

use super::{CodeRows, Kernel, ZERO};

pub(super) const KERNEL: Kernel = Kernel { name: "portable", has: || true, each, range, pair, dot };

/// Running sums of the f32 dot product.
pub(super) const LANES: usize = 32;

fn product(query: &[i8], row: &[u8]) -> i32 {
    query.iter().zip(row).map(|(&q, &c)| i32::from(q) * i32::from(c)).sum()
}

fn each(query: &[i8], rows: CodeRows<'_>, nodes: &[u32], out: &mut [i32]) {
    for (&node, out) in nodes.iter().zip(out) {
        *out = product(query, rows.row(node as usize));
    }
}

fn range(queries: [&[i8]; 2], rows: CodeRows<'_>, from: usize, out: &mut [[i32; 2]]) {
    for (i, out) in (from..).zip(out) {
        *out = queries.map(|query| product(query, rows.row(i)));
    }
}

fn pair(a: &[u8], b: &[u8]) -> i32 {
    let signed = |code: u8| i32::from(code) - i32::from(ZERO);
    a.iter().zip(b).map(|(&a, &b)| signed(a) * signed(b)).sum()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (a_rest, b_rest) = (a_chunks.remainder(), b_chunks.remainder());
    for (x, y) in a_chunks.zip(b_chunks) {
        for i in 0..LANES {
            sums[i] += x[i] * y[i];
        }
    }
    add_rest(&mut sums, a_rest, b_rest);
    total(sums)
}

/// Adds what is left behind the last whole chunk to the first sums.
pub(super) fn add_rest(sums: &mut [f32; LANES], a: &[f32], b: &[f32]) {
    for ((sum, x), y) in sums.iter_mut().zip(a).zip(b) {
        *sum += x * y;
    }
}

/// The sum of all, by halves: each half is added to the other until one number is left.
pub(super) fn total(mut sums: [f32; LANES]) -> f32 {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for i in 0..width {
            sums[i] += sums[i + width];
        }
    }
    sums[0]
}
