//! Given raw numbers from a model, how do they become a vector that may enter
//! an index? Through [`Embedding::new`], the only door.

use std::sync::Arc;

use crate::Space;

/// A unit vector of finite numbers that knows its [`Space`]. Cheap to clone.
///
/// ```
/// use ekphrasis_embed::{Embedding, Space};
/// let space = Space::new("toy", 2)?;
/// let e = Embedding::new(&space, vec![3.0, 4.0])?;
/// assert_eq!(e.values(), [0.6, 0.8]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding {
    space: Space,
    values: Arc<[f32]>,
}

/// Why some numbers are no embedding.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum EmbeddingError {
    /// The vector has another width than the space.
    #[error("expected {expected} numbers for {space}, got {got}")]
    Dim {
        /// The space it was meant for.
        space: Space,
        /// Its width.
        expected: usize,
        /// The vector's width.
        got: usize,
    },
    /// NaN or infinite.
    #[error("number {position} of the embedding is {value}, which is not finite")]
    NotFinite {
        /// Index of the first such number.
        position: usize,
        /// The number.
        value: f32,
    },
    /// A vector without direction.
    #[error("the embedding has length {norm:e}; it has no direction to compare")]
    Zero {
        /// Its Euclidean norm.
        norm: f64,
    },
    /// Vectors of two spaces mean different things.
    #[error("cannot compare a vector of {left} with one of {right}")]
    SpaceMismatch {
        /// One side's space.
        left: Space,
        /// The other's.
        right: Space,
    },
}

/// Below this norm the direction is rounding noise.
const MIN_NORM: f64 = 1e-12;
/// A norm this near to 1 is 1 but for the rounding of each number to 32 bits (half of this).
const UNIT: f64 = f32::EPSILON as f64;

impl Embedding {
    /// Checks `values` and scales them to unit length. What has it already stays as
    /// it is: the numbers of an embedding make that very embedding again.
    ///
    /// # Errors
    /// `Dim` for another width than the space's, `NotFinite` for NaN or
    /// infinity, `Zero` for a norm below 1e-12.
    pub fn new(space: &Space, values: Vec<f32>) -> Result<Self, EmbeddingError> {
        if values.len() != space.dim() {
            return Err(EmbeddingError::Dim {
                space: space.clone(),
                expected: space.dim(),
                got: values.len(),
            });
        }
        if let Some(position) = values.iter().position(|v| !v.is_finite()) {
            return Err(EmbeddingError::NotFinite { position, value: values[position] });
        }
        // f64, so that neither large nor tiny values over- or underflow in the square.
        let norm = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        if norm < MIN_NORM {
            return Err(EmbeddingError::Zero { norm });
        }
        let values = if (norm - 1.0).abs() <= UNIT {
            values.into()
        } else {
            values.into_iter().map(|v| (f64::from(v) / norm) as f32).collect()
        };
        Ok(Self { space: space.clone(), values })
    }

    /// The weighted sum of `parts`, scaled to unit length. Negative weights push away.
    ///
    /// # Errors
    /// `SpaceMismatch` if the parts are of several spaces; `Zero` if they
    /// cancel out or there are none; `NotFinite` for such a weight.
    pub fn combine(space: &Space, parts: &[(&Embedding, f32)]) -> Result<Self, EmbeddingError> {
        let mut sum = vec![0f32; space.dim()];
        for (part, weight) in parts {
            if part.space != *space {
                return Err(EmbeddingError::SpaceMismatch {
                    left: space.clone(),
                    right: part.space.clone(),
                });
            }
            for (s, v) in sum.iter_mut().zip(part.values.iter()) {
                *s += weight * v;
            }
        }
        // What is left of vectors that cancel is rounding, not a direction.
        let scale = parts.iter().map(|(_, w)| w.abs()).sum::<f32>();
        let norm = sum.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
        if norm < f64::from(scale) * 1e-5 {
            return Err(EmbeddingError::Zero { norm });
        }
        Self::new(space, sum)
    }

    /// The space this vector belongs to.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The numbers: finite, of unit Euclidean norm, `space().dim()` of them.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Cosine similarity, in −1..=1.
    ///
    /// # Errors
    /// `SpaceMismatch` if the other is of another space.
    pub fn cosine(&self, other: &Self) -> Result<f32, EmbeddingError> {
        if self.space != other.space {
            return Err(EmbeddingError::SpaceMismatch {
                left: self.space.clone(),
                right: other.space.clone(),
            });
        }
        Ok(dot(&self.values, &other.values).clamp(-1.0, 1.0))
    }
}

/// The dot product of two slices of one length (the shorter one counts).
///
/// Eight running sums, so that the compiler may use vector instructions; the
/// order of additions is fixed, so equal input gives equal bits.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in a_chunks.zip(b_chunks) {
        for i in 0..LANES {
            sums[i] += x[i] * y[i];
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn space(dim: usize) -> Space {
        Space::new("test", dim).expect("a valid name")
    }

    #[test]
    fn refuses_what_has_no_direction() {
        let s = space(2);
        assert!(matches!(Embedding::new(&s, vec![1.0]), Err(EmbeddingError::Dim { got: 1, .. })));
        assert!(matches!(
            Embedding::new(&s, vec![0.0, f32::NAN]),
            Err(EmbeddingError::NotFinite { position: 1, .. })
        ));
        assert!(matches!(
            Embedding::new(&s, vec![f32::INFINITY, 0.0]),
            Err(EmbeddingError::NotFinite { position: 0, .. })
        ));
        assert!(matches!(Embedding::new(&s, vec![0.0, -0.0]), Err(EmbeddingError::Zero { .. })));
    }

    #[test]
    fn huge_and_tiny_values_keep_their_direction() {
        let s = space(2);
        for scale in [1e-8f32, 1.0, 1e38] {
            let e = Embedding::new(&s, vec![0.6 * scale, 0.8 * scale]).expect("valid");
            assert!((e.values()[0] - 0.6).abs() < 1e-6, "scale {scale}: {:?}", e.values());
        }
    }

    #[test]
    fn spaces_do_not_mix() {
        let a = Embedding::new(&space(2), vec![1.0, 0.0]).expect("valid");
        let other = Space::new("other", 2).expect("valid");
        let b = Embedding::new(&other, vec![1.0, 0.0]).expect("valid");
        assert!(matches!(a.cosine(&b), Err(EmbeddingError::SpaceMismatch { .. })));
        assert!(Embedding::combine(&other, &[(&a, 1.0)]).is_err());
    }

    #[test]
    fn opposite_parts_cancel_to_an_error() {
        let s = space(3);
        let a = Embedding::new(&s, vec![0.3, -0.2, 0.9]).expect("valid");
        let cancelled = Embedding::combine(&s, &[(&a, 1.0), (&a, -1.0)]);
        assert!(matches!(cancelled, Err(EmbeddingError::Zero { .. })));
        assert!(matches!(Embedding::combine(&s, &[]), Err(EmbeddingError::Zero { .. })));
    }

    proptest! {
        // Scaling once more would change one in a hundred vectors as short as these.
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn an_embedding_made_again_is_the_same(v in prop::collection::vec(-1e3f32..1e3, 2..9)) {
            let s = space(v.len());
            if let Ok(e) = Embedding::new(&s, v) {
                let again = Embedding::new(&s, e.values().to_vec()).expect("valid");
                let bits = |e: &Embedding| e.values().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&again), bits(&e));
            }
        }
    }

    proptest! {
        #[test]
        fn any_accepted_vector_has_unit_length(v in prop::collection::vec(-1e30f32..1e30, 37)) {
            if let Ok(e) = Embedding::new(&space(37), v) {
                let norm = dot(e.values(), e.values());
                prop_assert!((norm - 1.0).abs() < 1e-5, "norm² {norm}");
                prop_assert!(e.cosine(&e).expect("same space") <= 1.0);
            }
        }

        #[test]
        fn dot_agrees_with_f64(
            pair in (0usize..70).prop_flat_map(|n| {
                let side = || prop::collection::vec(-1f32..1.0, n);
                (side(), side())
            })
        ) {
            let exact: f64 = pair.0.iter().zip(&pair.1).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            prop_assert!((f64::from(dot(&pair.0, &pair.1)) - exact).abs() < 1e-4);
        }
    }
}
