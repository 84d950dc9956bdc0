//! The trainer: pairs in, aligned encoders out.

pub mod layer;
pub mod nn;
