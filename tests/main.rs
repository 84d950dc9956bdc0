//! The real program, the real server and a real browser, each test in a folder
//! of its own.

mod bad_files;
mod browser;
mod eval;
mod gallery;
mod house;
mod incremental;
mod server;
mod support;
mod wrong_use;
