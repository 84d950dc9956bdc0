//! Given how a store is written, which one is meant?

use std::path::Path;

use ekphrasis_engine::{Config, SharedEngine, StoreAt};

use super::{config, cores, towers};
use crate::cli::Global;
use crate::failure::Failure;

/// The store that `--store` names, with the model; one is made if `make` says so.
pub(super) fn open_shared(
    global: &Global,
    text: &str,
    make: bool,
) -> Result<SharedEngine, Failure> {
    let config = config(global)?;
    let at = store_at(text, &config)?;
    let towers = towers(global, &config, cores())?;
    Ok(SharedEngine::open(&at, towers, make)?)
}

/// What `--from`, `--to` and the like name: `local`, a data folder, or an address.
pub(super) fn store_at(text: &str, config: &Config) -> Result<StoreAt, Failure> {
    if text == "local" {
        return Ok(StoreAt::Folder(config.data.clone()));
    }
    if text.starts_with("milvus:") || text.starts_with("milvus+tls:") {
        return milvus(text, config);
    }
    if text.contains("://") {
        return Err(Failure::Usage(format!(
            "{text} is no store that is known here; stores are local, a data folder, or milvus://HOST:PORT/COLLECTION"
        )));
    }
    std::path::absolute(Path::new(text))
        .map(StoreAt::Folder)
        .map_err(|e| Failure::Usage(format!("{text}: {e}")))
}

#[cfg(feature = "milvus")]
fn milvus(text: &str, config: &Config) -> Result<StoreAt, Failure> {
    use ekphrasis_engine::{MilvusAddress, MilvusOptions};
    let address: MilvusAddress = text.parse().map_err(|e| Failure::Usage(format!("{e}")))?;
    let options = MilvusOptions { token: config.milvus_token.clone(), ..MilvusOptions::default() };
    Ok(StoreAt::Milvus(address, options))
}

#[cfg(not(feature = "milvus"))]
fn milvus(_: &str, _: &Config) -> Result<StoreAt, Failure> {
    Err(Failure::Environment(
        "this ek was built without Milvus; build one that has it with: cargo install --path . --features milvus".into(),
    ))
}
