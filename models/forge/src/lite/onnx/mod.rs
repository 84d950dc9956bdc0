//! Given bytes of an ONNX model, what is in it, and how is a new one written?
//! [`read`] and [`write()`] never lose a field; [`Graph`] builds.
//!
//! Nothing here knows of any particular model.

mod graph;
mod proto;

pub(crate) use graph::{Attr, Graph, Value};
pub(crate) use proto::{Model, TensorType, read, write};
