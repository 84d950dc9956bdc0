//! Deep metric learning as pure functions.

pub mod cluster;
pub mod mahalanobis;
pub mod measure;
