//! Given the coefficients of a block, what does it look like in fewer pixels? The
//! lowest coefficients alone are a smaller picture of the block.

/// A block's coefficients by rows, multiplied by their quantisers, and a place for what
/// does not belong to it.
pub(super) type Block = [f32; 65];

/// Whether blocks can be drawn as so many pixels, across and down.
pub(super) fn has_size(size: (usize, usize)) -> bool {
    matches!(size, (1 | 2 | 4, 1 | 2 | 4) | (8, 2 | 4 | 8) | (2 | 4, 8))
}

/// Draws a block as so many pixels into `plane` at `at`, with rows `stride` apart.
/// `diagonals` of coefficients, from the corner, may be other than zero.
#[inline(always)]
pub(super) fn draw(
    (across, down): (usize, usize),
    block: &Block,
    diagonals: usize,
    plane: &mut [u8],
    at: usize,
    stride: usize,
) {
    match (across, down) {
        (4, 4) => draw_as::<4, 4>(block, diagonals, plane, at, stride),
        (8, 8) => draw_as::<8, 8>(block, diagonals, plane, at, stride),
        (2, 2) => draw_as::<2, 2>(block, diagonals, plane, at, stride),
        (4, 8) => draw_as::<4, 8>(block, diagonals, plane, at, stride),
        (8, 4) => draw_as::<8, 4>(block, diagonals, plane, at, stride),
        (2, 4) => draw_as::<2, 4>(block, diagonals, plane, at, stride),
        (4, 2) => draw_as::<4, 2>(block, diagonals, plane, at, stride),
        (1, 2) => draw_as::<1, 2>(block, diagonals, plane, at, stride),
        (2, 1) => draw_as::<2, 1>(block, diagonals, plane, at, stride),
        (1, 4) => draw_as::<1, 4>(block, diagonals, plane, at, stride),
        (4, 1) => draw_as::<4, 1>(block, diagonals, plane, at, stride),
        (8, 2) => draw_as::<8, 2>(block, diagonals, plane, at, stride),
        (2, 8) => draw_as::<2, 8>(block, diagonals, plane, at, stride),
        _ => draw_as::<1, 1>(block, diagonals, plane, at, stride),
    }
}

/// Cosines of the inverse transform to `N` points: by coefficient, then by point. So
/// scaled that a flat block keeps its brightness at any size.
struct Basis<const N: usize>([[f32; N]; N]);

impl<const N: usize> Basis<N> {
    const IT: Self = {
        let mut table = [[0.0; N]; N];
        let mut u = 0;
        while u < N {
            let mut x = 0;
            while x < N {
                // In units of a thirty-second of a turn, of which all sizes take whole ones.
                let angle = ((2 * x + 1) * u * (8 / N)) % 32;
                table[u][x] = COSINES[angle] * if u == 0 { 1.0 } else { SQRT_2 };
                x += 1;
            }
            u += 1;
        }
        Self(table)
    };
}

const SQRT_2: f32 = std::f32::consts::SQRT_2;

/// cos(n π / 16).
const COSINES: [f32; 32] = {
    const QUARTER: [f32; 9] = [
        1.0,
        0.980_785_25,
        0.923_879_5,
        0.831_469_6,
        std::f32::consts::FRAC_1_SQRT_2,
        0.555_570_24,
        0.382_683_43,
        0.195_090_32,
        0.0,
    ];
    let mut all = [0.0; 32];
    let mut n = 0;
    while n < 32 {
        all[n] = match n {
            0..=8 => QUARTER[n],
            9..=16 => -QUARTER[16 - n],
            17..=24 => -QUARTER[n - 16],
            _ => QUARTER[32 - n],
        };
        n += 1;
    }
    all
};

#[inline(always)]
fn draw_as<const X: usize, const Y: usize>(
    block: &Block,
    diagonals: usize,
    plane: &mut [u8],
    at: usize,
    stride: usize,
) {
    if diagonals == 1 {
        let level = level(block[0]);
        for line in plane[at..].chunks_mut(stride).take(Y) {
            line[..X].fill(level);
        }
        return;
    }
    // Loops of lengths that the compiler knows.
    match diagonals {
        ..=4 => waves::<X, Y, 4>(block, plane, at, stride),
        5..=7 => waves::<X, Y, 7>(block, plane, at, stride),
        _ => waves::<X, Y, 15>(block, plane, at, stride),
    }
}

/// Adds up the waves of `D` diagonals.
#[inline(always)]
fn waves<const X: usize, const Y: usize, const D: usize>(
    block: &Block,
    plane: &mut [u8],
    at: usize,
    stride: usize,
) {
    let (across, down) = (&Basis::<X>::IT.0, &Basis::<Y>::IT.0);
    let mut rows = [[0f32; X]; Y];
    for v in 0..Y.min(D) {
        for u in 0..X.min(D - v) {
            for (sum, cosine) in rows[v].iter_mut().zip(&across[u]) {
                *sum += block[8 * v + u] * cosine;
            }
        }
    }
    // Waves of even numbers are the same in the lower half, those of odd ones upside down.
    let mut halves = [[[0f32; X]; Y]; 2];
    for v in 0..Y.min(D) {
        for (line, cosine) in halves[v % 2].iter_mut().zip(&down[v]).take(Y.div_ceil(2)) {
            for (sum, value) in line.iter_mut().zip(&rows[v]) {
                *sum += value * cosine;
            }
        }
    }
    let mut pixels = [[0f32; X]; Y];
    let [even, odd] = halves;
    for y in 0..Y.div_ceil(2) {
        for x in 0..X {
            pixels[Y - 1 - y][x] = even[y][x] - odd[y][x];
            pixels[y][x] = even[y][x] + odd[y][x];
        }
    }
    for (y, line) in pixels.iter().enumerate() {
        let out: &mut [u8; X] =
            (&mut plane[at + y * stride..][..X]).try_into().expect("so many pixels");
        for (pixel, value) in out.iter_mut().zip(line) {
            *pixel = level(*value);
        }
    }
}

/// A sum of coefficients as a level. An eighth, since a flat block's first coefficient
/// is eight times its brightness.
#[inline]
pub(super) fn level(sum: f32) -> u8 {
    /// Numbers from here on have no fractions, so that adding it rounds.
    const WHOLE: f32 = 8_388_608.0;
    ((sum * 0.125 + 128.0).clamp(0.0, 255.0) + WHOLE).to_bits() as u8
}
