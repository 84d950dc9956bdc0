//! Given something in a folder that is not understood, what is a person told? Where,
//! what was expected, what was found, and what to do.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Why a folder is no model that can be taken in.
#[derive(Debug, thiserror::Error)]
#[error("{}: expected {expected}, got {got}; {next}", path.display())]
pub struct Refusal {
    /// The file or folder.
    pub path: PathBuf,
    /// What would be right.
    pub expected: String,
    /// What is there.
    pub got: String,
    /// What to do.
    pub next: String,
}

impl Refusal {
    pub(crate) fn new(
        path: &Path,
        expected: impl Into<String>,
        got: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        let (expected, got, next) = (expected.into(), got.into(), next.into());
        Self { path: path.into(), expected, got, next }
    }
}

/// Configurations are a few kilobytes; a tokenizer may have tens of megabytes.
const LONGEST: u64 = 256 << 20;

/// The bytes of a small file.
pub(super) fn bytes(path: &Path, what: &str) -> Result<Vec<u8>, Refusal> {
    let fail =
        |got: String| Refusal::new(path, what, got, "fetch the model again, with all of its files");
    let length = fs_err::metadata(path).map_err(|e| fail(crate::checked::plain(e).to_string()))?;
    if length.len() > LONGEST {
        return Err(fail(format!("a file of {} bytes", length.len())));
    }
    fs_err::read(path).map_err(|e| fail(crate::checked::plain(e).to_string()))
}

/// A configuration in JSON.
pub(crate) fn json<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, Refusal> {
    let bytes = bytes(path, what)?;
    serde_json::from_slice(&bytes).map_err(|e| {
        let next = "it may be cut off or be of another program; fetch it again";
        Refusal::new(path, format!("{what} as JSON"), e.to_string(), next)
    })
}

/// The same if the file is there.
pub(super) fn json_if_there<T: DeserializeOwned>(
    path: &Path,
    what: &str,
) -> Result<Option<T>, Refusal> {
    if path.is_file() { json(path, what).map(Some) } else { Ok(None) }
}
