//! Given pairs of like and of unlike things, which distance makes the like ones
//! near? d_W(x, x′)² = (x − x′)ᵀ W (x − x′) with W ⪰ 0; W = LᵀL, so the distance
//! is that of Lx and Lx′, and what is learned is a linear map.
//!
//! ```
//! use ekphrasis_metric::mahalanobis::{self, MahalanobisOptions};
//! use ndarray::array;
//!
//! // Like things differ in the second coordinate, unlike ones in the first.
//! let x = array![[0f32, 0.0], [0.1, 3.0], [1.0, 0.2], [1.1, -3.0]];
//! let learned =
//!     mahalanobis::learn(x.view(), &[(0, 1), (2, 3)], &[(0, 2), (1, 3)], &MahalanobisOptions::default())?;
//! let d = |i, j| learned.metric.distance(x.row(i), x.row(j));
//! assert!(d(0, 1) < d(0, 2));
//! # Ok::<(), mahalanobis::MahalanobisError>(())
//! ```

mod diagonal;
mod full;
mod learn;
mod linear;
mod pairs;
mod shrink;

pub use learn::{Form, Learned, MahalanobisError, MahalanobisOptions, learn};
pub use linear::Mahalanobis;
pub use pairs::{PairSets, pairs_from_labels};
pub use shrink::{GroupingOptions, SHARES, Shrunk, learn_for_grouping};
