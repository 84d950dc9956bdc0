//! How does a file change so that a crash leaves the old one or the new one?

use std::io::{self, Write};
use std::path::Path;

/// Puts `bytes` at `path`, in place of what was there: into a file beside it first,
/// synced, then renamed.
///
/// # Errors
/// The system's; then what was at `path` is as it was.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    // The rename itself is durable once the folder is.
    fs_err::File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a");
        write(&path, b"old and long").expect("written");
        write(&path, b"new").expect("written");
        assert_eq!(fs_err::read(&path).expect("there"), b"new");
        assert!(write(&dir.path().join("none/a"), b"x").is_err(), "no such folder");
        let names: Vec<_> = fs_err::read_dir(dir.path()).expect("readable").collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }
}
