//! The learned distance as a linear map, and the matrix algebra it needs.

use nalgebra::{DMatrix, SymmetricEigen};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use super::MahalanobisError;

/// A Mahalanobis distance, kept as the map L with W = LᵀL.
#[derive(Clone, Debug, PartialEq)]
pub struct Mahalanobis {
    /// rows × dim.
    map: Array2<f64>,
}

impl Mahalanobis {
    /// From a map, rows × dim.
    ///
    /// # Errors
    /// `Map` if it is empty or holds a number that is not finite.
    pub fn new(map: Array2<f64>) -> Result<Self, MahalanobisError> {
        let (rows, dim) = map.dim();
        if rows == 0 || dim == 0 || map.iter().any(|v| !v.is_finite()) {
            return Err(MahalanobisError::Map { rows, dim });
        }
        Ok(Self { map })
    }

    /// From W, dim × dim: L is its symmetric root. Eigenvalues below zero, such as
    /// rounding leaves, count as zero.
    ///
    /// # Errors
    /// `Map` if W is empty or holds a number that is not finite.
    ///
    /// # Panics
    /// If W is not square.
    pub fn from_weights(weights: &Array2<f64>) -> Result<Self, MahalanobisError> {
        let (rows, dim) = weights.dim();
        assert_eq!(rows, dim, "a square matrix");
        if dim == 0 || weights.iter().any(|v| !v.is_finite()) {
            return Err(MahalanobisError::Map { rows, dim });
        }
        let (values, vectors) = eigen(weights);
        let roots = values.mapv(|v| v.max(0.0).sqrt());
        Self::new((&vectors * &roots).dot(&vectors.t()))
    }

    /// L, rows × dim. The rank of W is at most its number of rows.
    pub fn map(&self) -> ArrayView2<'_, f64> {
        self.map.view()
    }

    /// Width of the vectors it takes.
    pub fn dim(&self) -> usize {
        self.map.ncols()
    }

    /// W = LᵀL, dim × dim, positive semidefinite by construction.
    pub fn weights(&self) -> Array2<f64> {
        self.map.t().dot(&self.map)
    }

    /// Maps vectors: the Euclidean distance of the results is d_W.
    ///
    /// # Shapes
    /// `x`: n × dim; gives n × rows.
    ///
    /// # Panics
    /// If the width differs.
    pub fn apply(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        x.dot(&self.map.mapv(|v| v as f32).t())
    }

    /// d_W of two vectors, in 0..
    ///
    /// # Panics
    /// If the widths differ.
    pub fn distance(&self, a: ArrayView1<'_, f32>, b: ArrayView1<'_, f32>) -> f64 {
        let difference =
            Array1::from_iter(a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)));
        let mapped = self.map.dot(&difference);
        mapped.dot(&mapped).sqrt()
    }
}

/// Eigenvalues, descending, and eigenvectors as columns in the same order.
pub(super) fn eigen(symmetric: &Array2<f64>) -> (Array1<f64>, Array2<f64>) {
    let n = symmetric.nrows();
    // The mean with the transpose: rounding must not make it unsymmetric.
    let matrix = DMatrix::from_fn(n, n, |i, j| f64::midpoint(symmetric[[i, j]], symmetric[[j, i]]));
    let eigen = SymmetricEigen::new(matrix);
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| eigen.eigenvalues[b].total_cmp(&eigen.eigenvalues[a]));
    let values = order.iter().map(|&i| eigen.eigenvalues[i]).collect();
    let vectors = Array2::from_shape_fn((n, n), |(row, k)| eigen.eigenvectors[(row, order[k])]);
    (values, vectors)
}

/// The directions of most variance, at most `most` of them, as rows; those
/// without variance are left out.
///
/// # Shapes
/// `x`: n × d; gives k × d with orthonormal rows.
pub(super) fn principal(x: &Array2<f64>, most: usize) -> Array2<f64> {
    let mean = x.mean_axis(ndarray::Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
    let centred = x - &mean;
    let (values, vectors) = eigen(&centred.t().dot(&centred));
    let floor = values.first().copied().unwrap_or(0.0) * 1e-10;
    let kept = values.iter().take(most).filter(|&&v| v > floor && v > 0.0).count();
    vectors.slice(ndarray::s![.., ..kept]).t().to_owned()
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn eigenvalues_descend_and_rebuild_the_matrix() {
        let a = array![[2.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 1.0]];
        let (values, vectors) = eigen(&a);
        assert!(values[0] >= values[1] && values[1] >= values[2]);
        let rebuilt = (&vectors * &values).dot(&vectors.t());
        assert!((&rebuilt - &a).iter().all(|v| v.abs() < 1e-12), "{rebuilt}");
    }

    #[test]
    fn principal_directions_follow_the_variance() {
        let x = array![[0.0, 0.0, 5.0], [4.0, 0.1, 5.0], [8.0, -0.1, 5.0], [12.0, 0.0, 5.0]];
        let p = principal(&x, 3);
        assert_eq!(p.nrows(), 2, "the third coordinate does not vary");
        assert!(p[[0, 0]].abs() > 0.999 && p[[1, 1]].abs() > 0.999, "{p}");
    }

    #[test]
    fn a_map_that_is_no_map_is_refused() {
        assert!(Mahalanobis::new(Array2::zeros((0, 3))).is_err());
        assert!(Mahalanobis::new(array![[f64::NAN]]).is_err());
    }

    #[test]
    fn the_root_of_w_is_a_map_of_w() {
        let b = array![[1.0, 0.4, 0.0], [0.0, 0.5, 0.3], [0.2, 0.0, 2.0]];
        for w in [b.t().dot(&b), Array2::from_diag(&array![4.0, 0.0, 0.25])] {
            let metric = Mahalanobis::from_weights(&w).expect("finite");
            let back = metric.weights();
            assert!((&back - &w).iter().all(|v| v.abs() < 1e-12), "{back}");
        }
        assert!(Mahalanobis::from_weights(&array![[f64::INFINITY]]).is_err());
    }

    #[test]
    fn mapping_and_distance_agree() {
        let metric = Mahalanobis::new(array![[2.0, 0.0], [1.0, 1.0]]).expect("finite");
        let x = array![[1f32, 2.0], [0.0, -1.0]];
        let mapped = metric.apply(x.view());
        let d = (&mapped.row(0) - &mapped.row(1)).mapv(|v| v * v).sum().sqrt();
        assert!((f64::from(d) - metric.distance(x.row(0), x.row(1))).abs() < 1e-6);
        // By W: (1, 3) · [[5, 1], [1, 1]] · (1, 3)ᵀ = 5 + 6 + 9.
        assert!((metric.distance(x.row(0), x.row(1)).powi(2) - 20.0).abs() < 1e-9);
    }
}
