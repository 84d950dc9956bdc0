//! Given vectors, what are they in a basis that has nothing to do with them?
//!
//! Twice: some signs are changed, and blocks of [`BLOCK`] numbers go through a Hadamard
//! transform; in between, each block's numbers are dealt out over all blocks. So every number
//! depends on every number before, and lengths and angles stay. Which signs is fixed, by chance.
//!
//! # Source
//! Ailon and Chazelle, "The fast Johnson–Lindenstrauss transform", 2009; twice, as Gao and Long
//! (see [`super`]) do.

/// Numbers that are transformed together.
const BLOCK: usize = 64;
const SEED: u64 = 0x5DEE_CE66_D1CE_4E5B;

/// Turns vectors that lie side by side: first the first numbers of all `columns`, then the second
/// ones, and so on. `room` is for as many numbers.
///
/// # Panics
/// If vectors are not a whole number of blocks long, or `room` is of another size.
pub(super) fn turn(numbers: &mut [f32], columns: usize, room: &mut [f32]) {
    assert!(numbers.len().is_multiple_of(columns * BLOCK) && numbers.len() == room.len());
    let dim = numbers.len() / columns;
    transform(numbers, columns, 0);
    // Number by number into the blocks, one after the other.
    let blocks = dim / BLOCK;
    for (i, number) in numbers.chunks_exact(columns).enumerate() {
        let place = i % blocks * BLOCK + i / blocks;
        room[place * columns..][..columns].copy_from_slice(number);
    }
    transform(room, columns, dim as u64);
    numbers.copy_from_slice(room);
}

/// Changes signs, those from `from` on, and transforms each block.
fn transform(numbers: &mut [f32], columns: usize, from: u64) {
    // What keeps lengths as they are: the root of how many are added.
    let scale = 1.0 / (BLOCK as f32).sqrt();
    for (i, number) in (from..).zip(numbers.chunks_exact_mut(columns)) {
        let by = if is_changed(i) { -scale } else { scale };
        number.iter_mut().for_each(|x| *x *= by);
    }
    for block in numbers.chunks_exact_mut(columns * BLOCK) {
        let mut half = columns;
        while half < block.len() {
            for pair in block.chunks_exact_mut(2 * half) {
                let (a, b) = pair.split_at_mut(half);
                for (a, b) in a.iter_mut().zip(b) {
                    (*a, *b) = (*a + *b, *a - *b);
                }
            }
            half *= 2;
        }
    }
}

/// Whether the sign of number `i` is changed: a bit of SplitMix64.
fn is_changed(i: u64) -> bool {
    let mut z = SEED.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) >> 63 == 1
}
