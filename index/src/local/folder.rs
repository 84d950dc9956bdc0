//! Given a folder, may a store be made in it, and does the name of a new one survive power loss?
//!
//! Opening for writing overwrites and deletes what an unfinished store left. So
//! without a catalogue only exact leftovers count as ours: anything else belongs
//! to someone, whatever its name starts with.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::mark;
use crate::StoreError;
use crate::catalogue::{self, FILE};
use crate::disk::Disk;
use crate::lock::LOCK_FILE;
use crate::text::TextIndex;
use crate::vector::{Graph, VectorFile};

/// What a folder is, by the names in it.
pub(super) enum Folder {
    Absent,
    /// Empty, or with what making a store leaves when it is cut short.
    Blank,
    Store,
    Other(String),
}

/// Looks at the names in `dir`.
///
/// # Errors
/// `Corrupt` for vectors without a catalogue; `Io` if the folder cannot be read.
pub(super) fn look(dir: &Path) -> Result<Folder, StoreError> {
    let found = match foreign(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Folder::Absent),
        found => found?,
    };
    if fs_err::exists(dir.join(FILE))? {
        return Ok(Folder::Store);
    }
    let vectors = dir.join(VectorFile::name(1));
    if VectorFile::has_rows(&vectors)? {
        return Err(StoreError::corrupt(&vectors, "it holds vectors, but its catalogue is gone"));
    }
    Ok(found.map_or(Folder::Blank, Folder::Other))
}

/// A name in `dir` that no store leaves when making it is cut short.
pub(super) fn foreign(dir: &Path) -> std::io::Result<Option<String>> {
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        let ours = if kind.is_dir() {
            numbered(&name, "text-", &[""]) && only_lists(&entry.path())?
        } else {
            kind.is_file()
                && (name == LOCK_FILE
                    || name == mark::FILE
                    || catalogue::is_file_of(&name)
                    || numbered(&name, "vectors-", &[".ekv"])
                    || Graph::generation_of(&name).is_some())
        };
        if !ours {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Whether `name` is `prefix`, four digits and one of `ends`.
fn numbered(name: &str, prefix: &str, ends: &[&str]) -> bool {
    let Some((number, end)) = name.strip_prefix(prefix).and_then(|n| n.split_at_checked(4)) else {
        return false;
    };
    number.bytes().all(|b| b.is_ascii_digit()) && ends.contains(&end)
}

/// Whether a folder holds no more than a word index without words.
fn only_lists(dir: &Path) -> std::io::Result<bool> {
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let ours = entry.file_type()?.is_file()
            && entry.file_name().to_str().is_some_and(TextIndex::is_list);
        if !ours {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes `dir` and the folders above it, so that their names survive power loss.
pub(super) fn make(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let mut missing: Vec<PathBuf> = vec![];
    for folder in dir.ancestors().filter(|a| !a.as_os_str().is_empty()) {
        if fs_err::exists(folder)? {
            break;
        }
        missing.push(folder.into());
    }
    for folder in missing.iter().rev() {
        disk.make_dir(folder)?;
        disk.sync_dir(above(folder))?;
    }
    if missing.is_empty() {
        // Whoever made it may have been killed before this. As far as it goes: the folder
        // above may be unreadable, or on a file system that cannot do it.
        let _ = disk.sync_dir(above(dir));
    }
    Ok(())
}

fn above(dir: &Path) -> &Path {
    match dir.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => dir,
    }
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn names_are_exact() {
        assert!(numbered("text-0001", "text-", &[""]));
        assert!(numbered("vectors-0012.ekv", "vectors-", &[".ekv"]));
        for name in ["text-books", "text-0001x", "text-001", "text-", "my-text-0001", "text-00é1"]
        {
            assert!(!numbered(name, "text-", &[""]), "{name}");
        }
    }
}
