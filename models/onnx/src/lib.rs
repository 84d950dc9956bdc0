//! ONNX files, read, written, built and joined. Given bytes of a model, what is
//! in it, and how is a new one written? [`read`] and [`write()`] never lose a
//! field; [`Graph`] builds.
//!
//! Nothing here runs a model, or knows of any particular one.

mod graph;
mod packed;
mod proto;

pub use graph::{Attr, Graph, Value};
pub use packed::{Channels, packed};
pub use proto::{Model, ReadError, TensorType, read, write};
