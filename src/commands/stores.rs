//! Given how a store is written, which one is meant?

use std::path::Path;

use ekphrasis_engine::{Config, StoreAt};

use crate::failure::Failure;

/// What `--from`, `--to` and `--store` name: `local`, a data folder, or an address.
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
    use ekphrasis_engine::{MilvusAddress, MilvusOptions, MilvusToken};
    let address = text.parse::<MilvusAddress>().map_err(|e| Failure::Usage(e.to_string()))?;
    let token = config.milvus_token.as_deref().map(MilvusToken::new);
    let options = MilvusOptions { token, ..MilvusOptions::default() };
    Ok(StoreAt::Milvus(address, options))
}

#[cfg(not(feature = "milvus"))]
fn milvus(_: &str, _: &Config) -> Result<StoreAt, Failure> {
    Err(without_milvus())
}

#[cfg(not(feature = "milvus"))]
pub(super) fn without_milvus() -> Failure {
    Failure::Environment(
        "this ek was built without Milvus; build one that has it with: cargo install --path . --features milvus"
            .into(),
    )
}
