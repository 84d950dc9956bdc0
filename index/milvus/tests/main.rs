//! The store against a real server: `milvus-lite`, which the tests install from PyPI.

#[path = "../../../tests/support/milvus.rs"]
mod milvus;
#[path = "../../../tests/support/python.rs"]
mod python;

/// What needs a server; `test.sh` leaves it out by this name where none can be had.
mod on_milvus {
    mod conformance;
    mod generations;
    mod search;
    mod standalone;
    mod trouble;
}

use std::path::Path;
use std::process::Command;

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

/// The README's table is what the script prints.
#[test]
fn the_table_of_sizes_is_the_scripts() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("python3").arg(here.join("sizing.py")).output().expect("python3");
    let table = String::from_utf8(output.stdout.clone()).expect("UTF-8");
    assert!(table.lines().count() > 4, "{output:?}");
    let readme = fs_err::read_to_string(here.join("README.md")).expect("read");
    for line in table.lines() {
        assert!(readme.lines().any(|own| own == line), "not in README.md: {line}");
    }
}
