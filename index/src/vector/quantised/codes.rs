//! How is a vector written as bytes, and how far off is it then?

use super::{CodeRows, MAX_STRIDE, ZERO, stride_of};

/// The greatest code; the smallest is its negative.
const TOP: f32 = 127.0;

/// How wrong codes are at most.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bound {
    /// A vector is at most this many times its scale away from what its code says.
    pub(crate) error: f32,
    /// A vector is at most this far from the centre.
    pub(crate) radius: f32,
}

impl Bound {
    /// The bound that holds where either does.
    pub(crate) fn join(self, other: Self) -> Self {
        Self { error: self.error.max(other.error), radius: self.radius.max(other.radius) }
    }
}

/// Quantised vectors, in memory of their own.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    centre: Vec<f32>,
    bytes: Vec<u8>,
    /// NaN where there is no vector.
    scales: Vec<f32>,
    bound: Bound,
}

/// Quantised vectors, wherever they lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeBlock<'a> {
    /// The codes, in rows of whole cache lines.
    pub(crate) rows: CodeRows<'a>,
    /// One number a row; NaN where there is no vector.
    pub(crate) scales: &'a [f32],
    /// What all rows have in common.
    pub(crate) centre: &'a [f32],
    /// How wrong the rows are at most.
    pub(crate) bound: Bound,
}

impl Codes {
    /// Whether vectors of `dim` dimensions can be quantised.
    pub(crate) fn can(dim: usize) -> bool {
        dim > 0 && stride_of(dim) <= MAX_STRIDE
    }

    /// No vectors yet; those to come are told from `centre`.
    pub(crate) fn around(centre: Vec<f32>) -> Self {
        Self { centre, bytes: vec![], scales: vec![], bound: Bound::default() }
    }

    /// The codes of `vectors`, told from their mean. `None` stands for a vector that is not there.
    pub(crate) fn of<'a>(
        dim: usize,
        vectors: impl Iterator<Item = Option<&'a [f32]>> + Clone,
    ) -> Self {
        let mut codes = Self::around(mean(dim, vectors.clone().flatten()));
        codes.reserve(vectors.size_hint().0);
        vectors.for_each(|vector| codes.push(vector));
        codes
    }

    /// Makes room for `more` rows.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.bytes.reserve(more * stride_of(self.centre.len()));
        self.scales.reserve(more);
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.scales.len()
    }

    /// Adds a row. `None` stands for a vector that is not there, which no comparison finds.
    pub(crate) fn push(&mut self, vector: Option<&[f32]>) {
        let start = self.bytes.len();
        self.bytes.resize(start + stride_of(self.centre.len()), ZERO);
        let row = &mut self.bytes[start..];
        match vector {
            Some(vector) => {
                let (scale, bound) = encode(vector, &self.centre, row);
                self.scales.push(scale);
                self.bound = self.bound.join(bound);
            }
            None => self.scales.push(f32::NAN),
        }
    }

    /// To compare with.
    pub(crate) fn block(&self) -> CodeBlock<'_> {
        CodeBlock {
            rows: CodeRows::new(&self.bytes, stride_of(self.centre.len())),
            scales: &self.scales,
            centre: &self.centre,
            bound: self.bound,
        }
    }
}

impl CodeBlock<'_> {
    /// Half the squared length of what the code of row `i` says, told from the centre.
    pub(crate) fn half_square(&self, kernel: &super::Kernel, i: usize) -> f32 {
        let row = self.rows.row(i);
        let scale = f64::from(self.scales[i]);
        (f64::from(kernel.pair(row, row)) * scale * scale / 2.0) as f32
    }
}

/// The mean of `vectors`; zeros if there are none.
fn mean<'a>(dim: usize, vectors: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let (mut sums, mut count) = (vec![0f64; dim], 0u64);
    for vector in vectors {
        count += 1;
        sums.iter_mut().zip(vector).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    sums.iter().map(|sum| (sum / count.max(1) as f64) as f32).collect()
}

/// Writes the codes of `vector` into `row` and says their scale and how wrong they are.
fn encode(vector: &[f32], centre: &[f32], row: &mut [u8]) -> (f32, Bound) {
    let differences = vector.iter().zip(centre).map(|(v, c)| v - c);
    let scale = differences.clone().fold(0f32, |most, d| most.max(d.abs())) / TOP;
    let inverse = if scale > 0.0 { scale.recip() } else { 0.0 };
    // Of tiny numbers the inverse is infinite; as far as this is concerned they are zeros.
    let (scale, inverse) = if inverse.is_finite() { (scale, inverse) } else { (0.0, 0.0) };
    for (code, d) in row.iter_mut().zip(differences) {
        // Adding a half and cutting off rounds, all being positive.
        *code = (d * inverse + (f32::from(ZERO) + 0.5)).clamp(1.0, 255.0) as u8;
    }
    // Measured in twice the precision, of the vector itself and not of the rounded difference.
    let (mut error, mut radius) = (0f64, 0f64);
    for ((&v, &c), &code) in vector.iter().zip(centre).zip(&*row) {
        let difference = f64::from(v) - f64::from(c);
        let said = f64::from(scale) * (f64::from(code) - f64::from(ZERO));
        error += (difference - said) * (difference - said);
        radius += difference * difference;
    }
    // A little more, for the rounding to f32. A scale of 0 has no room for an error.
    let up = |x: f64| (x.sqrt() * (1.0 + 1e-6)) as f32;
    let error = if scale > 0.0 { up(error / (f64::from(scale) * f64::from(scale))) } else { 0.0 };
    (scale, Bound { error, radius: up(radius) })
}
