//! Given a model folder and a runtime, how are tensors and texts embedded? Two
//! towers, each over a pool of single-threaded sessions.

mod image;
mod pool;
mod prepared;
mod session;
mod text;
mod tokens;

pub use image::OrtImageEncoder;
pub use text::OrtTextEncoder;
