//! Which instructions compare vectors on this machine?
//!
//! One [`Kernel`] is a set of functions over 8-bit codes and f32 vectors.
//! [`Kernel::best`] picks the fastest set this processor has, once. All sets give
//! equal results: integers are exact, and the f32 sum has one order of additions
//! whatever computes it, so scores are equal bits on every machine.
//!
//! Codes are bytes that stand for `byte − 128`, in rows of whole [`LINE`]s; a
//! query is signed bytes. The instructions that multiply bytes (VNNI) take one
//! operand without and one with sign, which is this very layout; what the
//! 128 adds is the same for all rows of a query and is taken off at the end.

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::sync::OnceLock;

/// A row of codes is a whole number of these many bytes: a cache line.
pub(crate) const LINE: usize = 64;

/// What the code of 0 is stored as.
pub(crate) const ZERO: u8 = 128;

/// Longest row: the sum of as many products of a byte and a signed byte fits i32.
pub(crate) const MAX_STRIDE: usize = 1 << 16;

/// Bytes in a row of `dim` codes.
pub(crate) fn stride_of(dim: usize) -> usize {
    dim.next_multiple_of(LINE)
}

/// Rows of codes, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeRows<'a> {
    bytes: &'a [u8],
    stride: usize,
}

impl<'a> CodeRows<'a> {
    /// `bytes` as rows of `stride` bytes; what is left behind the last whole row does not count.
    ///
    /// # Panics
    /// If `stride` is no whole number of lines, or above [`MAX_STRIDE`].
    pub(crate) fn new(bytes: &'a [u8], stride: usize) -> Self {
        assert!(
            stride > 0 && stride.is_multiple_of(LINE) && stride <= MAX_STRIDE,
            "a row of {stride} bytes"
        );
        Self { bytes, stride }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() / self.stride
    }

    /// The codes of row `i`.
    pub(crate) fn row(&self, i: usize) -> &'a [u8] {
        &self.bytes[i * self.stride..(i + 1) * self.stride]
    }

    /// The codes of several rows.
    pub(crate) fn of(&self, rows: std::ops::Range<usize>) -> &'a [u8] {
        &self.bytes[rows.start * self.stride..rows.end * self.stride]
    }

    /// Asks for row `i` to be brought near, if there is one. Never faults.
    #[inline(always)]
    pub(crate) fn prefetch(&self, i: usize) {
        let start = self.bytes.as_ptr().wrapping_add(i.wrapping_mul(self.stride));
        for line in (0..self.stride).step_by(LINE) {
            prefetch(start.wrapping_add(line));
        }
    }
}

/// Asks for the cache line at `address` to be brought near. Never faults, whatever the address.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetching is a hint; it does not access memory as the language sees it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The sums of one row's products with two queries.
pub(crate) type Sums = [i32; 2];

/// Functions that use one set of instructions.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    name: &'static str,
    /// Whether this processor has the instructions, asked before the rest is ever called.
    has: fn() -> bool,
    // SAFETY (of calling): `has()`; `query` is as long as a row, `out` as long as `nodes`,
    // and every node is the number of a row.
    each: unsafe fn(query: &[i8], rows: CodeRows<'_>, nodes: &[u32], out: &mut [i32]),
    // SAFETY (of calling): `has()`; both queries are as long as a row, and rows
    // `from..from + out.len()` are there.
    range: unsafe fn(queries: [&[i8]; 2], rows: CodeRows<'_>, from: usize, out: &mut [Sums]),
    // SAFETY (of calling): `has()`; both are equally long, a whole number of lines.
    pair: unsafe fn(a: &[u8], b: &[u8]) -> i32,
    // SAFETY (of calling): `has()`; both are equally long.
    dot: unsafe fn(a: &[f32], b: &[f32]) -> f32,
}

impl Kernel {
    /// The fastest this processor has.
    pub(crate) fn best() -> &'static Self {
        static BEST: OnceLock<Kernel> = OnceLock::new();
        BEST.get_or_init(|| {
            let [first, rest @ ..] = Self::every();
            rest.iter().rfold(first, |best, kernel| if (kernel.has)() { *kernel } else { best })
        })
    }

    /// All of this architecture, the portable one first, then the fastest first.
    fn every() -> [Self; EVERY] {
        [
            scalar::KERNEL,
            #[cfg(target_arch = "x86_64")]
            x86::AVX512,
            #[cfg(target_arch = "x86_64")]
            x86::AVX2,
            #[cfg(target_arch = "aarch64")]
            neon::KERNEL,
        ]
    }

    /// `portable`, `avx2`, `avx512-vnni` or `neon`.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// For each of `nodes` the sum of stored bytes (without sign) times `query`.
    ///
    /// # Panics
    /// If lengths differ, or a node is no row.
    #[inline]
    pub(crate) fn each(&self, query: &[i8], rows: CodeRows<'_>, nodes: &[u32], out: &mut [i32]) {
        let count = rows.len();
        assert!(query.len() == rows.stride && out.len() == nodes.len());
        assert!(nodes.iter().all(|&n| (n as usize) < count), "a node that is no row");
        // SAFETY: a kernel in use is one the processor has; the rest was checked just now.
        unsafe { (self.each)(query, rows, nodes, out) }
    }

    /// For rows from `from` on, as many as `out` takes, the sums of stored bytes
    /// (without sign) times each of two queries.
    ///
    /// # Panics
    /// If lengths differ, or there are not so many rows.
    pub(crate) fn range(
        &self,
        queries: [&[i8]; 2],
        rows: CodeRows<'_>,
        from: usize,
        out: &mut [[i32; 2]],
    ) {
        assert!(queries.iter().all(|q| q.len() == rows.stride));
        assert!(from <= rows.len() && out.len() <= rows.len() - from, "rows that are not there");
        // SAFETY: a kernel in use is one the processor has; the rest was checked just now.
        unsafe { (self.range)(queries, rows, from, out) }
    }

    /// The dot product of two rows of codes, both taken with sign. Exact.
    ///
    /// # Panics
    /// If the rows are not equally long, or no whole lines.
    #[inline]
    pub(crate) fn pair(&self, a: &[u8], b: &[u8]) -> i32 {
        assert!(a.len() == b.len() && a.len().is_multiple_of(LINE) && a.len() <= MAX_STRIDE);
        // SAFETY: a kernel in use is one the processor has; the rest was checked just now.
        unsafe { (self.pair)(a, b) }
    }

    /// The dot product of two vectors of one length (the shorter one counts):
    /// 32 running sums, added pairwise at the end, and no fused operations, so that
    /// equal input gives equal bits everywhere.
    #[inline]
    pub(crate) fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        let length = a.len().min(b.len());
        // SAFETY: a kernel in use is one the processor has; both are cut to one length.
        unsafe { (self.dot)(&a[..length], &b[..length]) }
    }
}

#[cfg(target_arch = "x86_64")]
const EVERY: usize = 3;
#[cfg(target_arch = "aarch64")]
const EVERY: usize = 2;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const EVERY: usize = 1;

#[cfg(test)]
mod tests;
