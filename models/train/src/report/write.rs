//! How does the page get on disk? Whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

use super::data::Report;
use super::page::html;
use crate::atomic;

/// The page could not be written; an older one is as it was.
#[derive(Debug, thiserror::Error)]
#[error("the report {} cannot be written: {source}; free space or make its folder writable", path.display())]
pub struct WriteError {
    /// The page.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Writes the page of `report` to `path`, in place of an older one.
///
/// # Errors
/// The system's, with the path.
pub fn write(report: &Report, path: &Path) -> Result<(), WriteError> {
    let page = html(report);
    atomic::write(path, page.as_bytes()).map_err(|source| WriteError { path: path.into(), source })
}
