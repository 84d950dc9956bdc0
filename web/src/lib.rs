//! The HTTP API and the page: given an engine and an address, [`Listener`] answers
//! browsers and programs until it is told to stop.
//!
//! Nothing here knows how search works; this crate turns requests into the
//! engine's types, the engine's types into [`wire`] types, and errors into RFC
//! 9457 problem documents.

#[cfg(feature = "server")]
mod allowed;
#[cfg(feature = "server")]
mod assets;
#[cfg(feature = "server")]
mod body;
#[cfg(feature = "server")]
mod current;
mod date;
#[cfg(feature = "server")]
mod fields;
#[cfg(feature = "server")]
mod file_stream;
#[cfg(feature = "server")]
mod gate;
#[cfg(feature = "server")]
mod guard;
#[cfg(feature = "server")]
mod jobs;
#[cfg(feature = "server")]
mod log;
#[cfg(feature = "server")]
mod meter;
#[cfg(feature = "server")]
mod naming;
#[cfg(feature = "server")]
mod openapi;
#[cfg(feature = "server")]
mod orders;
#[cfg(feature = "server")]
mod problem;
#[cfg(feature = "server")]
mod request;
#[cfg(feature = "server")]
mod routes;
#[cfg(feature = "server")]
mod serve;
#[cfg(all(feature = "server", feature = "milvus"))]
mod shared;
#[cfg(feature = "server")]
mod stop;
#[cfg(all(test, feature = "server"))]
mod tests;
#[cfg(feature = "server")]
mod unread;
pub mod wire;

#[cfg(feature = "server")]
pub use serve::{Listener, ServeError, ServeOptions, Service};
#[cfg(all(feature = "server", feature = "milvus"))]
pub use shared::SharedService;
