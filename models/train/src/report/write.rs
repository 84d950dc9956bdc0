//! How does the page get on disk? Whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::data::Report;
use super::page::html;

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
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let place = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(html(report).as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    place().map_err(|source| WriteError { path: path.into(), source })
}
