//! Given a Huffman table and bits, which coefficients do they stand for?

use std::cell::OnceCell;

use super::header::PAD;

/// Codes up to this long are looked up at once, the value behind them included if it
/// fits in.
const LOOKED_UP: u32 = 10;
/// As many bits are passed over at once by those who want only a block's brightness.
const SKIPPED: u32 = 12;

/// A code together with the bits that follow it.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// The coefficient.
    value: i16,
    /// How many zeros come before it; 64 ends the block.
    run: u8,
    /// Bits of code and value; 0: not known from so few bits.
    bits: u8,
}

/// A code alone.
#[derive(Clone, Copy, Default)]
struct Code {
    symbol: u8,
    /// Bits; 0: it is longer.
    bits: u8,
}

/// Several codes with what follows them, for those who want none of it.
#[derive(Clone, Copy, Default)]
struct Skip {
    /// Coefficients, zeros included.
    count: u8,
    /// Bits of all of them; 0: not even one fits in.
    bits: u8,
    /// Whether the block ends there.
    ends: bool,
}

/// Two coefficients after one another. If the second is not known, it is the first once
/// more, in the same place.
#[derive(Clone, Copy, Default)]
struct Pair {
    values: [i16; 2],
    /// How far each lies behind the one before it; [`END`] ends the block.
    steps: [u8; 2],
    /// Bits of what is known; 0: nothing is.
    bits: u8,
}

/// A step that ends the block: farther than a coefficient can lie, however damaged.
const END: u8 = 128;
/// No place of a coefficient is farther than this behind the one before it.
const FARTHEST: usize = 16;

pub(super) struct Table {
    entries: Box<[Entry; 1 << LOOKED_UP]>,
    /// Made when first asked for, as the next: a table serves only one of them.
    pairs: OnceCell<Box<[Pair; 1 << LOOKED_UP]>>,
    skips: OnceCell<Box<[Skip; 1 << SKIPPED]>>,
    codes: Box<[Code; 1 << LOOKED_UP]>,
    /// Of each length, what has to be added to a code to get its symbol's place,
    /// and the first code that is too large for it.
    longer: [(i32, u32); 17],
    symbols: Vec<u8>,
}

/// A table as it stands in a file, which has room for very many that nobody needs.
#[derive(Clone, Copy)]
pub(super) struct Codes<'a> {
    counts: &'a [u8; 16],
    symbols: &'a [u8],
}

impl<'a> Codes<'a> {
    /// From the number of codes of each length (1 to 16 bits) and their symbols, one
    /// each. `None` if there cannot be so many, as the strict decoder counts them.
    pub(super) fn new(counts: &'a [u8; 16], symbols: &'a [u8]) -> Option<Self> {
        let (mut code, mut place) = (0u32, 0usize);
        for (bits, &count) in (1u32..).zip(counts) {
            let end = code + u32::from(count);
            // A code of ones alone is none. (Behind the last code nothing matters.)
            if end >= 1 << bits && place < symbols.len() {
                return None;
            }
            place += usize::from(count);
            code = end << 1;
        }
        (place == symbols.len()).then_some(Self { counts, symbols })
    }
}

impl Table {
    pub(super) fn new(Codes { counts, symbols }: Codes<'_>) -> Self {
        let mut codes = Box::new([Code::default(); 1 << LOOKED_UP]);
        let mut longer = [(0, 0); 17];
        let (mut code, mut place) = (0u32, 0usize);
        for (bits, &count) in (1u32..).zip(counts) {
            let end = code + u32::from(count);
            longer[bits as usize] = (place as i32 - code as i32, end);
            for code in code..end {
                if bits <= LOOKED_UP {
                    let shift = LOOKED_UP - bits;
                    let of = Code { symbol: symbols[place], bits: bits as u8 };
                    codes[(code << shift) as usize..][..1 << shift].fill(of);
                }
                place += 1;
            }
            code = end << 1;
        }
        let entries = of_all(|bits| read_ahead(codes[bits], bits as u32));
        let (pairs, skips) = (OnceCell::new(), OnceCell::new());
        Self { entries, pairs, skips, codes, longer, symbols: symbols.into() }
    }

    #[inline(always)]
    fn pairs(&self) -> &[Pair; 1 << LOOKED_UP] {
        self.pairs.get_or_init(|| of_all(|bits| pair_ahead(&self.entries, bits)))
    }

    #[inline(always)]
    fn skips(&self) -> &[Skip; 1 << SKIPPED] {
        self.skips.get_or_init(|| of_all(|bits| skip_ahead(&self.entries, bits as u32)))
    }

    /// The symbol that 64 bits begin with, and its length; `None` if there is none.
    #[inline]
    fn symbol(&self, bits: u64) -> Option<(u8, u32)> {
        let code = self.codes[(bits >> (64 - LOOKED_UP)) as usize];
        if code.bits != 0 {
            return Some((code.symbol, code.bits.into()));
        }
        for length in LOOKED_UP + 1..=16 {
            let code = (bits >> (64 - length)) as u32;
            let (offset, end) = self.longer[length as usize];
            if code < end {
                let symbol = self.symbols.get((code as i32 + offset) as usize)?;
                return Some((*symbol, length));
            }
        }
        None
    }
}

/// What the first [`LOOKED_UP`] bits say, if they say all of it.
fn read_ahead(code: Code, bits: u32) -> Entry {
    let (run, size) = (code.symbol >> 4, u32::from(code.symbol & 15));
    let total = u32::from(code.bits) + size;
    if code.bits == 0 || total > LOOKED_UP {
        return Entry::default();
    }
    // Nothing behind the code: the end of the block, or sixteen zeros.
    let run = if size == 0 && run != 15 { 64 } else { run };
    let value = (bits >> (LOOKED_UP - total)) & ((1 << size) - 1);
    Entry { value: extend(value, size) as i16, run, bits: total as u8 }
}

/// What is told by each number of as many bits as it takes to count to `N`.
fn of_all<T: Copy + Default, const N: usize>(of: impl Fn(usize) -> T) -> Box<[T; N]> {
    let mut all = Box::new([T::default(); N]);
    for (bits, one) in all.iter_mut().enumerate() {
        *one = of(bits);
    }
    all
}

/// The coefficient that the bits begin with, and the next if it is among them.
fn pair_ahead(entries: &[Entry; 1 << LOOKED_UP], bits: usize) -> Pair {
    let step = |entry: Entry| if entry.run == 64 { END } else { entry.run + 1 };
    let first = entries[bits];
    let mut pair = Pair { values: [first.value; 2], steps: [step(first), 0], bits: first.bits };
    let second = entries[(bits << first.bits) & ((1 << LOOKED_UP) - 1)];
    let both = first.bits + second.bits;
    if first.bits != 0 && first.run != 64 && second.bits != 0 && u32::from(both) <= LOOKED_UP {
        (pair.values[1], pair.steps[1], pair.bits) = (second.value, step(second), both);
    }
    pair
}

/// How far one gets by [`SKIPPED`] bits.
fn skip_ahead(entries: &[Entry; 1 << LOOKED_UP], bits: u32) -> Skip {
    let mut skip = Skip::default();
    while u32::from(skip.bits) < SKIPPED && !skip.ends {
        let rest = (bits << skip.bits) & ((1 << SKIPPED) - 1);
        let entry = entries[(rest >> (SKIPPED - LOOKED_UP)) as usize];
        let ends = entry.run == 64;
        let count = skip.count + if ends { 0 } else { entry.run + 1 };
        // So many that the block may be full before: then the next code is no part of it.
        if entry.bits == 0 || u32::from(skip.bits + entry.bits) > SKIPPED || count > 63 {
            break;
        }
        skip = Skip { count, bits: skip.bits + entry.bits, ends };
    }
    skip
}

/// The number that `size` bits stand for: those with a leading zero are negative.
#[inline]
fn extend(value: u32, size: u32) -> i32 {
    let value = value as i32;
    if size > 0 && value >> (size - 1) == 0 { value - (1 << size) + 1 } else { value }
}

/// The bits of one segment.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next bit.
    at: usize,
    /// Bits from `at` on, the next one highest.
    ahead: u64,
}

impl<'a> Bits<'a> {
    /// Of `bytes`, the last [`PAD`] of which are none.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, ahead: 0 }
    }

    /// Whether more was read than there is.
    pub(super) fn ran_out(&self) -> bool {
        self.at > 8 * (self.bytes.len() - PAD)
    }

    /// Sees to it that at least 57 bits are ahead.
    #[inline(always)]
    fn fill(&mut self) {
        // Behind the end nothing is right any more, and it is seen after the block.
        let next = self.bytes.get(self.at / 8..).and_then(|rest| rest.first_chunk());
        self.ahead = u64::from_be_bytes(next.copied().unwrap_or_default()) << (self.at % 8);
    }

    #[inline(always)]
    fn skip(&mut self, bits: u32) {
        self.ahead <<= bits;
        self.at += bits as usize;
    }

    /// How much brighter a block is than the one before it.
    #[inline(always)]
    pub(super) fn difference(&mut self, table: &Table) -> Option<i32> {
        self.fill();
        let entry = table.entries[(self.ahead >> (64 - LOOKED_UP)) as usize];
        // Symbols of brightness say no run; a size of 0 is its difference.
        if entry.bits != 0 && (entry.run == 0 || entry.run == 64) {
            self.skip(entry.bits.into());
            return Some(entry.value.into());
        }
        let (size, bits) = table.symbol(self.ahead)?;
        let size = u32::from(size);
        if size > 11 {
            return None;
        }
        self.skip(bits);
        let value = (self.ahead >> 32 >> (32 - size)) as u32;
        self.skip(size);
        Some(extend(value, size))
    }

    /// Passes over the other coefficients of a block.
    #[inline(always)]
    pub(super) fn pass_over(&mut self, table: &Table) -> Option<()> {
        let mut k = 1;
        while k < 64 {
            self.fill();
            let skip = table.skips()[(self.ahead >> (64 - SKIPPED)) as usize];
            if skip.bits != 0 && k + usize::from(skip.count) < 64 {
                self.skip(skip.bits.into());
                k += usize::from(skip.count);
                if skip.ends {
                    break;
                }
                continue;
            }
            let (symbol, bits) = table.symbol(self.ahead)?;
            let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
            self.skip(bits + size);
            match (run, size) {
                (15, _) => k += 16,
                (_, 0) => break,
                _ => k += run + 1,
            }
        }
        Some(())
    }

    /// The other coefficients of a block: gives each with its place in the order of
    /// coding to `each`, and the last place at the end. Places may be behind the last
    /// that a block has, and of zeros.
    #[inline(always)]
    pub(super) fn coefficients(
        &mut self,
        table: &Table,
        mut each: impl FnMut(u8, i16),
    ) -> Option<usize> {
        /// So many look-ups need no more bits than one filling gives.
        const STEPS: u32 = 57 / LOOKED_UP;
        /// Up to here the second of a pair is of this block, wherever the first lies.
        const PAIRS: usize = 63 - FARTHEST;
        let pairs = table.pairs();
        let mut k = 0;
        while k < PAIRS {
            self.fill();
            for _ in 0..STEPS {
                let pair = pairs[(self.ahead >> (64 - LOOKED_UP)) as usize];
                if pair.bits == 0 {
                    self.coefficient(table, &mut k, &mut each)?;
                    break;
                }
                self.skip(pair.bits.into());
                for (step, value) in pair.steps.into_iter().zip(pair.values) {
                    k += usize::from(step);
                    each(k as u8, value);
                }
                if k >= PAIRS {
                    break;
                }
            }
        }
        while k < 63 {
            self.coefficient(table, &mut k, &mut each)?;
        }
        Some(k % usize::from(END))
    }

    /// A single one behind place `k`, however long its code is.
    #[inline(always)]
    fn coefficient(
        &mut self,
        table: &Table,
        k: &mut usize,
        mut each: impl FnMut(u8, i16),
    ) -> Option<()> {
        self.fill();
        let (symbol, bits) = table.symbol(self.ahead)?;
        self.skip(bits);
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        match (run, size) {
            (15, 0) => *k += 16,
            (_, 0) => *k += usize::from(END),
            _ => {
                let value = (self.ahead >> 32 >> (32 - size)) as u32;
                self.skip(size);
                *k += run + 1;
                each(*k as u8, extend(value, size) as i16);
            }
        }
        Some(())
    }
}
