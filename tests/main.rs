//! The real program, the real server and a real browser, each test in a folder
//! of its own.
#![expect(clippy::print_stderr, reason = "shown when a test fails")]

mod attacks;
mod bad_files;
#[cfg(feature = "milvus")]
mod blobs;
mod bridges;
mod browser;
mod cluster;
mod confidence;
mod copying;
mod crash;
mod duplicates;
mod eval;
mod example;
mod exchange;
mod filters;
mod gallery;
mod generations;
mod house;
mod identities;
mod incremental;
mod jobs;
mod label_sets;
mod mcp;
mod models;
mod museum;
#[cfg(feature = "milvus")]
mod on_milvus;
mod packaging;
mod providers;
mod pull;
mod server;
mod steering;
mod support;
mod train;
mod words;
mod wrong_use;
