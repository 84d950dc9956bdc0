//! For tests of the crates above: an encoder pair without a model, and the
//! suite that every encoder must pass.

mod colour;
mod conformance;

pub use colour::ColourEncoder;
pub use conformance::{check_image_encoder, check_pair, check_text_encoder};
