//! Given the coefficients of a block, what does it look like in fewer pixels? The
//! lowest coefficients alone are a smaller picture of the block.

/// A block's coefficients by rows, and a place for what does not belong to it.
pub(super) type Block = [i16; 65];

/// Draws a block into `plane` at `at`, with rows `stride` apart. `diagonals` of
/// coefficients, from the corner, may be other than zero.
pub(super) type Draw = fn(&Block, &[f32; 64], usize, &mut [u8], usize, usize);

/// How to draw blocks of so many pixels; `None` for other sizes.
pub(super) fn of_size(across: usize, down: usize) -> Option<Draw> {
    Some(match (across, down) {
        (1, 1) => draw::<1, 1>,
        (2, 1) => draw::<2, 1>,
        (1, 2) => draw::<1, 2>,
        (2, 2) => draw::<2, 2>,
        (4, 1) => draw::<4, 1>,
        (1, 4) => draw::<1, 4>,
        (4, 2) => draw::<4, 2>,
        (2, 4) => draw::<2, 4>,
        (4, 4) => draw::<4, 4>,
        (8, 2) => draw::<8, 2>,
        (2, 8) => draw::<2, 8>,
        (8, 4) => draw::<8, 4>,
        (4, 8) => draw::<4, 8>,
        (8, 8) => draw::<8, 8>,
        _ => return None,
    })
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

fn draw<const X: usize, const Y: usize>(
    block: &Block,
    quantisers: &[f32; 64],
    diagonals: usize,
    plane: &mut [u8],
    at: usize,
    stride: usize,
) {
    if diagonals == 1 {
        let level = level(f32::from(block[0]) * quantisers[0]);
        for line in plane[at..].chunks_mut(stride).take(Y) {
            line[..X].fill(level);
        }
        return;
    }
    let (across, down) = (&Basis::<X>::IT.0, &Basis::<Y>::IT.0);
    let mut rows = [[0f32; X]; Y];
    for v in 0..Y.min(diagonals) {
        let row = &mut rows[v];
        for u in 0..X.min(diagonals) {
            let coefficient = f32::from(block[8 * v + u]) * quantisers[8 * v + u];
            for (sum, cosine) in row.iter_mut().zip(&across[u]) {
                *sum += coefficient * cosine;
            }
        }
    }
    let mut pixels = [[0f32; X]; Y];
    for v in 0..Y.min(diagonals) {
        for (line, cosine) in pixels.iter_mut().zip(&down[v]) {
            for (sum, value) in line.iter_mut().zip(&rows[v]) {
                *sum += value * cosine;
            }
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
