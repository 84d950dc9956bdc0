//! Given layers, how are they trained? [`Tower`] says which layers there are,
//! [`Params`] holds their numbers, [`forward`] runs them through burn, and
//! [`Tower::head`] and [`Tower::network`] give them as the plain data of [`crate::layer`].
//!
//! The loss is not part of the graph: embeddings leave burn, a pure function of
//! `ekphrasis-metric` gives the gradient with respect to them, and [`backward`]
//! takes that gradient back as a constant. So every loss works with every network.
//!
//! Only this module knows that burn exists.

mod adamw;
#[cfg(test)]
mod check;
mod export;
mod forward;
mod layer;
mod params;
mod random;
mod rows;
mod tower;

pub use adamw::{AdamW, AdamWOptions, clip};
pub use forward::{Fed, Forward, Gradient, TokenBatch, backward, forward, infer};
pub use layer::Op;
pub(crate) use layer::UNIT_EPSILON;
pub use params::{Group, Param, Params, Slot};
pub use random::{Purpose, rng_for};
pub use tower::{Base, Tower, TowerBuilder};
