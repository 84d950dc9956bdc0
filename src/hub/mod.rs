//! Given the name of a model on a hub, how does a folder with its files come about, whole
//! and as the hub names them? Listed (`listing.rs`), chosen (`choose.rs`), fetched and
//! compared (`transfer.rs`) into the cache that the hub's own tools share (`cache.rs`).
//!
//! Names and the cache's layout are those of the crate `hf-hub`; what goes over the wire is
//! spoken here (ARCHITECTURE.md says why).

mod address;
mod cache;
mod checksum;
mod choose;
mod curated;
mod error;
mod listing;
mod name;
mod pull;
mod retry;
mod transfer;

pub(crate) use curated::{CURATED, Curated};
pub(crate) use listing::Licence;
pub(crate) use name::Wanted;
pub(crate) use pull::{Hub, Pulled};

/// Who is told what happens.
pub(crate) trait Watch {
    /// A sentence.
    fn note(&self, text: &str);
    /// `done` of `total` bytes of all files are here.
    fn progress(&self, done: u64, total: u64);
}
