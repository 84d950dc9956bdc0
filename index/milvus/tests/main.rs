//! The store against a real server: `milvus-lite`, which the tests install from PyPI.

mod conformance;
mod generations;
#[path = "../../../tests/support/milvus.rs"]
mod milvus;
#[path = "../../../tests/support/python.rs"]
mod python;
mod search;
mod trouble;

use ekphrasis_embed::Space;
use ekphrasis_milvus::{Address, Consistency, MilvusStore, Open, Options};

use milvus::Milvus;

/// As the tests ask: seeing everything.
fn options() -> Options {
    Options { consistency: Consistency::Strong, ..Options::default() }
}

/// An address where nothing is yet, on the server that all tests share.
fn new_address() -> Address {
    Milvus::new_address().parse().expect("an address")
}

fn new_store(space: &Space) -> MilvusStore {
    open(&new_address(), space)
}

fn open(address: &Address, space: &Space) -> MilvusStore {
    MilvusStore::open(address, space, Open::OrCreate, options()).expect("opened")
}
