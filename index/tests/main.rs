//! The store as other crates see it: opening, bookkeeping, compaction, crashes, damage.

mod applied;
mod bookkeeping;
mod compaction;
mod crash;
mod damage;
mod exchange;
mod files;
mod filters;
mod formats;
mod full;
mod kills;
mod names;
mod opening;
mod readers;
mod recall;
mod words;

use std::path::Path;

use ekphrasis_index::conformance::space;
use ekphrasis_index::{Access, Holder, LocalStore, StoreError};

fn writing() -> Access {
    Access::Write(Holder { command: "ek test".into(), address: None })
}

fn open(dir: &Path, access: Access) -> Result<LocalStore, StoreError> {
    LocalStore::open(dir, &space(), access)
}
