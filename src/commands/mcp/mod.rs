//! `ek mcp`: given an assistant that speaks the Model Context Protocol, what can it ask
//! of a store? The tools in `tools.rs`, over standard input and output. Without the
//! feature `mcp` it says how to get it.

#[cfg(feature = "mcp")]
mod answers;
#[cfg(feature = "mcp")]
mod arguments;
#[cfg(feature = "mcp")]
mod protocol;
#[cfg(feature = "mcp")]
mod tools;

#[cfg(feature = "mcp")]
pub(super) use protocol::mcp;

#[cfg(not(feature = "mcp"))]
pub(super) fn mcp(_: &crate::cli::Global) -> Result<super::Done, crate::failure::Failure> {
    Err(crate::failure::Failure::Environment(
        "this ek was built without `ek mcp`; `cargo install --path . --features mcp` builds one \
         that has it"
            .into(),
    ))
}
