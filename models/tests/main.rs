//! The crate's integration tests: one binary, so that ONNX Runtime is fetched
//! and loaded once.

mod support;

mod formats;
mod imported;
mod lite;
mod pictures;
mod prepared;
mod refused;
mod runtime;
mod scaled;
mod tiny_clip;
