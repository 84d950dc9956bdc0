//! ONNX files, read, written, built and joined. Given bytes of a model, what is
//! in it, and how is a new one written? [`read`] and [`write()`] never lose a
//! field; [`Graph::new`] builds; [`Graph::extend`] adds to a model that is there.
//!
//! Nothing here runs a model, or knows of any particular one.

mod compose;
mod graph;
mod join;
mod look;
mod packed;
mod proto;

pub use compose::Storage;
pub use graph::{Attr, Graph, Value};
pub use join::JoinError;
pub use look::{Port, look};
pub use packed::{Channels, packed};
pub use proto::{Model, ReadError, TensorType, read, write};
