//! Deep metric learning as pure functions.
