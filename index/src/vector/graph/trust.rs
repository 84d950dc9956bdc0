//! Is what lies in the file what was written there?
//!
//! A file is checked in blocks, each when it is first read, so that opening need not
//! read it all.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Bytes in a block that is checked as a whole.
pub(super) const BLOCK: usize = 4096;

/// Something in the file is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// Says whether what is about to be read can be relied upon.
pub(super) trait Trust {
    fn in_bytes(&self, bytes: &[u8]) -> Result<(), Damaged>;

    #[inline(always)]
    fn in_words(&self, words: &[u32]) -> Result<(), Damaged> {
        self.in_bytes(bytemuck::cast_slice(words))
    }

    #[inline(always)]
    fn in_numbers(&self, numbers: &[f32]) -> Result<(), Damaged> {
        self.in_bytes(bytemuck::cast_slice(numbers))
    }
}

/// Everything is known to be right.
pub(super) struct Proven;

impl Trust for Proven {
    #[inline(always)]
    fn in_bytes(&self, _: &[u8]) -> Result<(), Damaged> {
        Ok(())
    }
}

/// What is known of a file's blocks.
#[derive(Debug)]
pub(super) struct Checks {
    /// A bit a block: whether it was found right.
    right: Vec<AtomicU64>,
    blocks: usize,
    /// Blocks before this one were checked in passing.
    next: AtomicUsize,
    proven: AtomicBool,
    damaged: AtomicBool,
}

impl Checks {
    /// Nothing is known yet of `blocks` blocks.
    pub(super) fn new(blocks: usize) -> Self {
        let right = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let proven = AtomicBool::new(blocks == 0);
        Self { right, blocks, next: AtomicUsize::new(0), proven, damaged: AtomicBool::new(false) }
    }

    /// Everything is right: it was made in memory.
    pub(super) fn proven() -> Self {
        Self::new(0)
    }

    /// Whether every block was found right.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// Whether a block was found wrong.
    pub(super) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }
}

/// The checksum of a block. A block has whole length, also the last.
pub(super) fn checksum(block: &[u8]) -> u32 {
    crc32fast::hash(block)
}

/// A file's blocks with their checksums.
#[derive(Clone, Copy)]
pub(super) struct Blocks<'a> {
    /// Whole blocks.
    pub(super) body: &'a [u8],
    /// A checksum a block.
    pub(super) checksums: &'a [u32],
    pub(super) checks: &'a Checks,
}

impl Blocks<'_> {
    fn check(&self, block: usize) -> Result<(), Damaged> {
        let (word, bit) = (block / 64, 1 << (block % 64));
        let Some(right) = self.checks.right.get(word) else { return Ok(()) };
        // Relaxed: the bit only spares work; two threads that check at once agree.
        if right.load(Ordering::Relaxed) & bit != 0 {
            return Ok(());
        }
        let bytes = self.body.get(block * BLOCK..(block + 1) * BLOCK);
        match (bytes, self.checksums.get(block)) {
            (Some(bytes), Some(sum)) if checksum(bytes) == *sum => {
                right.fetch_or(bit, Ordering::Relaxed);
                Ok(())
            }
            _ => {
                self.checks.damaged.store(true, Ordering::Relaxed);
                Err(Damaged)
            }
        }
    }

    /// Checks the next `count` blocks that nobody may have read yet, and all in the end.
    ///
    /// # Errors
    /// `Damaged` if one of them is.
    pub(super) fn scrub(&self, count: usize) -> Result<(), Damaged> {
        let from = self.checks.next.fetch_add(count, Ordering::Relaxed);
        for block in from..from.saturating_add(count).min(self.checks.blocks) {
            self.check(block)?;
        }
        // Another thread may still be at the blocks before; its finding counts as well.
        if from >= self.checks.blocks && !self.checks.is_damaged() {
            let all = (0..self.checks.blocks)
                .all(|b| self.checks.right[b / 64].load(Ordering::Relaxed) >> (b % 64) & 1 == 1);
            self.checks.proven.store(all, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Checks everything anew.
    pub(super) fn verify(&self) -> Result<(), Damaged> {
        let blocks = self.body.chunks(BLOCK);
        let right = blocks.len() == self.checksums.len()
            && blocks.zip(self.checksums).all(|(block, sum)| checksum(block) == *sum);
        if right { Ok(()) } else { Err(Damaged) }
    }
}

impl Trust for Blocks<'_> {
    #[inline]
    fn in_bytes(&self, bytes: &[u8]) -> Result<(), Damaged> {
        let Some(last) = bytes.len().checked_sub(1) else { return Ok(()) };
        let start = (bytes.as_ptr() as usize).wrapping_sub(self.body.as_ptr() as usize);
        for block in start / BLOCK..=(start + last) / BLOCK {
            self.check(block)?;
        }
        Ok(())
    }
}
