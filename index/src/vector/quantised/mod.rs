//! Given vectors, what are they in a quarter of the space, and how wrong is that at most?
//!
//! A vector is kept as one signed byte per dimension, one scale, and a centre that
//! many vectors share: `v ≈ centre + scale · code`. The centre takes out what all
//! have in common (all pictures lie to one side of all texts). [`Codes`] knows how
//! far off its vectors are at most, so a comparison of codes comes with an interval
//! that the true cosine lies in ([`Scope`]), and a search that keeps all whose
//! interval reaches the best is exact.

mod codes;
mod kernel;
mod query;

pub(crate) use codes::{Bound, CodeBlock, Codes};
pub(crate) use kernel::{CodeRows, Kernel, LINE, MAX_STRIDE, ZERO, prefetch, stride_of};
pub(crate) use query::{QueryCodes, Scope};
