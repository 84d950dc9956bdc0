//! A store on a Milvus server: many machines read and write one collection.
//!
//! [`MilvusStore`] keeps the contract of
//! [`StoreRead`](ekphrasis_index::StoreRead) and
//! [`StoreWrite`](ekphrasis_index::StoreWrite) as far as Milvus lets it; what differs
//! from a store in a folder is said at the type. Its calls block, on a runtime of
//! their own: they are for threads that may wait, and panic within another runtime.
//!
//! ```no_run
//! use ekphrasis_embed::Space;
//! use ekphrasis_index::{Filter, StoreRead};
//! use ekphrasis_milvus::{Address, MilvusStore, Open, Options};
//!
//! let address: Address = "milvus://127.0.0.1:19530/pictures".parse()?;
//! let space = Space::new("lite-1", 384)?;
//! let store = MilvusStore::open(&address, &space, Open::Existing, Options::default())?;
//! println!("{} items", store.count(&Filter::default())?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod blocking;
mod client;
mod filter;
mod generations;
mod marks;
mod proto;
mod rows;
mod schema;
mod search;
mod server;
mod store;
mod walk;
mod write;

pub use address::{Address, AddressError};
pub use blocking::Blocking;
pub use client::{Consistency, Options, Token};
pub use generations::Generation;
pub use server::ServerVersion;
pub use store::{MilvusStore, Open};
