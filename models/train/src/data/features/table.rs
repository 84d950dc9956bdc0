//! Given features of many pictures or texts, how do they lie in memory?

use half::f16;
use ndarray::Array2;

/// How exactly features are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 16 bits: relative error up to 0.0005, values up to 65,504; half the room.
    Half,
    /// 32 bits, as the tower gave them.
    Single,
}

impl Precision {
    /// Bytes a number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Half => 2,
            Self::Single => 4,
        }
    }
}

/// Rows of features, all of one width.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureTable {
    width: usize,
    data: Data,
}

#[derive(Clone, Debug, PartialEq)]
enum Data {
    Half(Vec<f16>),
    Single(Vec<f32>),
}

impl FeatureTable {
    /// `rows` rows of zeros.
    pub(super) fn zeros(rows: usize, width: usize, precision: Precision) -> Self {
        let data = match precision {
            Precision::Half => Data::Half(vec![f16::ZERO; rows * width]),
            Precision::Single => Data::Single(vec![0.0; rows * width]),
        };
        Self { width, data }
    }

    /// Rows that were computed, in 32 bits.
    pub(crate) fn from_rows(rows: &Array2<f32>) -> Self {
        let data = Data::Single(rows.iter().copied().collect());
        Self { width: rows.ncols(), data }
    }

    pub(super) fn set(&mut self, row: usize, values: &[f32]) {
        let at = row * self.width..(row + 1) * self.width;
        match &mut self.data {
            Data::Half(data) => {
                data[at].iter_mut().zip(values).for_each(|(d, &v)| *d = f16::from_f32(v));
            }
            Data::Single(data) => data[at].copy_from_slice(values),
        }
    }

    /// Numbers a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn len(&self) -> usize {
        let numbers = match &self.data {
            Data::Half(data) => data.len(),
            Data::Single(data) => data.len(),
        };
        numbers / self.width.max(1)
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies a row into `out`, which has the table's width.
    ///
    /// # Panics
    /// If there is no such row, or `out` has another width.
    pub fn read(&self, row: usize, out: &mut [f32]) {
        assert_eq!(out.len(), self.width, "a row has {} numbers", self.width);
        let at = row * self.width..(row + 1) * self.width;
        match &self.data {
            Data::Half(data) => {
                out.iter_mut().zip(&data[at]).for_each(|(o, v)| *o = v.to_f32());
            }
            Data::Single(data) => out.copy_from_slice(&data[at]),
        }
    }

    /// The given rows as one matrix, `rows.len() × width`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn gather(&self, rows: &[usize]) -> Array2<f32> {
        let mut out = Array2::zeros((rows.len(), self.width));
        for (mut to, &row) in out.rows_mut().into_iter().zip(rows) {
            self.read(row, to.as_slice_mut().expect("a fresh matrix lies row by row"));
        }
        out
    }
}
