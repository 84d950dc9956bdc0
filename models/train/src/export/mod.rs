//! Given what was trained, how does it become a model that the engine loads?
//! Each tower becomes one ONNX file ending in unit vectors; [`publish`] writes
//! the folder around them, and only if trainer and runtime agree.

mod error;
mod expose;
mod folder;
mod nodes;
mod parity;
mod publish;
mod rounded;
mod tower;
mod vocabulary;

pub use ekphrasis_onnx::Storage;
pub use error::ExportError;
pub use expose::expose;
pub use parity::{Agreement, Parity, Samples, TOLERANCE};
pub use publish::{About, Export, Published, publish};
pub use rounded::{rounded_head, rounded_network};
pub use tower::{ImageTower, TextTower};
