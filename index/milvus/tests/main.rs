//! The store against a real server: `milvus-lite`, which the tests install from PyPI.

mod conformance;
mod generations;
#[path = "../../../tests/support/milvus.rs"]
mod milvus;
#[path = "../../../tests/support/python.rs"]
mod python;
mod search;
mod trouble;

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use ekphrasis_embed::Space;
use ekphrasis_milvus::{Address, Consistency, MilvusStore, Open, Options};

use milvus::Milvus;

/// As the tests ask: seeing everything.
fn options() -> Options {
    Options { consistency: Consistency::Strong, ..Options::default() }
}

/// An address where nothing is yet, on the server that all tests share which do nothing to
/// it. It ends with this process, since that holds its input.
fn new_address() -> Address {
    static SHARED: OnceLock<Milvus> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = SHARED.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("milvus-shared");
        // What a former run left.
        let _ = fs_err::remove_dir_all(&folder);
        Milvus::start(&folder)
    });
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    server.address(&format!("store{number}")).parse().expect("an address")
}

fn new_store(space: &Space) -> MilvusStore {
    open(&new_address(), space)
}

fn open(address: &Address, space: &Space) -> MilvusStore {
    MilvusStore::open(address, space, Open::OrCreate, options()).expect("opened")
}
