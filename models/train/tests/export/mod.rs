//! What is exported computes what was trained, or is not published.

mod heads;
mod networks;
mod pairs;
pub(crate) mod support;
