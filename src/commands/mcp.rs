//! `ek mcp`. Without the feature `mcp` it says how to get it.

use super::Done;
use crate::cli::Global;
use crate::failure::Failure;

#[cfg(not(feature = "mcp"))]
pub(super) fn mcp(_: &Global) -> Result<Done, Failure> {
    Err(Failure::Environment(
        "this ek was built without `ek mcp`; `cargo install --path . --features mcp` builds one \
         that has it"
            .into(),
    ))
}

#[cfg(feature = "mcp")]
pub(super) fn mcp(global: &Global) -> Result<Done, Failure> {
    let config = super::config(global)?;
    let towers = super::towers(global, &config, 1)?;
    crate::mcp::serve(&config.data, towers)
        .map_err(|why| Failure::Environment(format!("the assistant went away: {why}")))?;
    Ok(Done::Well)
}
