//! Given a folder, may a store be made in it, and does the name of a new one survive power loss?
//!
//! Opening for writing overwrites and deletes what an unfinished store left. So
//! without a catalogue only exact leftovers count as ours: anything else belongs
//! to someone, whatever its name starts with.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::mark;
use crate::StoreError;
use crate::catalogue::{self, FILE};
use crate::disk::Disk;
use crate::lock::LOCK_FILE;
use crate::text::TextIndex;
use crate::vector::{Graph, VectorFile};

/// The file beside a store that names its model; who keeps several stores writes it.
pub const MODEL_NOTE: &str = "model";
/// Bytes of such a note, at most. Another file of that name is somebody else's.
const NOTE_LIMIT: u64 = 1024;

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
    // First: in a store, files come and go while one looks.
    if fs_err::exists(dir.join(FILE))? {
        return Ok(Folder::Store);
    }
    let found = match foreign(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Folder::Absent),
        found => found?,
    };
    if let Some(vectors) = with_vectors(dir)? {
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
            // Models may be brought in before there is anything to search. Nothing here
            // writes or deletes in that folder.
            name == "models" || (numbered(&name, "text-", &[""]) && only_lists(&entry.path())?)
        } else {
            kind.is_file()
                && (name == LOCK_FILE
                    || name == mark::FILE
                    || catalogue::is_file_of(&name)
                    || numbered(&name, "vectors-", &[".ekv"])
                    || numbered(&name, "heads-", &[".ekh", ".ekh.new"])
                    || Graph::generation_of(&name).is_some()
                    || (is_note(&name) && holds_a_name(&entry.path())?))
        };
        if !ours {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Whether a note of the store's model is called so, or what being killed while writing one leaves.
fn is_note(name: &str) -> bool {
    name.strip_suffix(".new").unwrap_or(name) == MODEL_NOTE
}

/// Whether a file holds a line of text or less, as a note does: its store may be gone or not
/// begun, and whatever else lies there is not ours to write over.
fn holds_a_name(path: &Path) -> std::io::Result<bool> {
    let text = match fs_err::metadata(path) {
        Ok(meta) if !meta.is_file() || meta.len() > NOTE_LIMIT => return Ok(false),
        Ok(_) => fs_err::read(path),
        Err(e) => Err(e),
    };
    match text.map(String::from_utf8) {
        // It was moved to its place meanwhile.
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
        text => Ok(text?.is_ok_and(|text| text.lines().count() <= 1)),
    }
}

/// Whether `name` is `prefix`, a generation's number and one of `ends`.
fn numbered(name: &str, prefix: &str, ends: &[&str]) -> bool {
    generation(name, prefix, ends).is_some()
}

/// The number in a name that is `prefix`, at least four digits and one of `ends`.
fn generation(name: &str, prefix: &str, ends: &[&str]) -> Option<u32> {
    let rest = name.strip_prefix(prefix)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, end) = rest.split_at(digits);
    let number = number.parse().ok().filter(|_| digits >= 4 && ends.contains(&end))?;
    // As it would be written: `00017` is no name of ours.
    (number >= 10_000 || digits == 4).then_some(number)
}

/// The generation that a file or folder of this name belongs to.
fn generation_of(name: &str) -> Option<u32> {
    generation(name, "vectors-", &[".ekv"])
        .or_else(|| Graph::generation_of(name))
        .or_else(|| generation(name, "heads-", &[".ekh", ".ekh.new"]))
        .or_else(|| generation(name, "text-", &[""]))
}

/// A vector file in `dir` that has rows, of whichever generation.
pub(super) fn with_vectors(dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        if numbered(&entry.file_name().to_string_lossy(), "vectors-", &[".ekv"])
            && VectorFile::has_rows(&entry.path())?
        {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// Calls `each` with every generation but `current` of which there is something in `dir`.
pub(super) fn others(
    dir: &Path,
    current: u32,
    mut each: impl FnMut(u32),
) -> Result<(), StoreError> {
    let mut found = BTreeSet::new();
    for entry in fs_err::read_dir(dir)? {
        found.extend(generation_of(&entry?.file_name().to_string_lossy()));
    }
    found.into_iter().filter(|&number| number != current).for_each(&mut each);
    Ok(())
}

/// Removes the files of a generation that no catalogue names (any more), and says whether
/// all are gone. What cannot be removed now, and what is not of a store, stays.
pub(super) fn remove_generation(disk: &dyn Disk, dir: &Path, number: u32) -> bool {
    let Ok(entries) = fs_err::read_dir(dir) else { return false };
    let mut all = true;
    for entry in entries.flatten() {
        if generation_of(&entry.file_name().to_string_lossy()) != Some(number) {
            continue;
        }
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            for file in fs_err::read_dir(&path).into_iter().flatten().flatten() {
                if file.file_name().to_str().is_some_and(TextIndex::is_own) {
                    all &= disk.remove(&file.path()).is_ok();
                }
            }
            // Somebody else's file in it may keep the folder for ever.
            let _ = disk.remove_dir(&path);
        } else {
            all &= disk.remove(&path).is_ok();
        }
    }
    all
}

/// Whether `name` in a folder is of the store there, the lock not counted.
pub(super) fn is_of_a_store(name: &str) -> bool {
    name == mark::FILE || catalogue::is_file_of(name) || generation_of(name).is_some()
}

/// Removes the files of the store in `dir` and the note of its model, but for the lock, which the
/// caller holds. The note goes first, so that no other store finds it; then the catalogue: without
/// it nobody takes the rest for a store.
pub(super) fn remove_all(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    let names: Vec<String> = fs_err::read_dir(dir)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    for path in names.iter().filter(|name| is_note(name)).map(|name| dir.join(name)) {
        if holds_a_name(&path)? {
            disk.remove(&path)?;
        }
    }
    for name in names.iter().filter(|name| catalogue::is_file_of(name) || *name == mark::FILE) {
        disk.remove(&dir.join(name))?;
    }
    let mut left = None;
    others(dir, u32::MAX, |number| {
        if !remove_generation(disk, dir, number) {
            left = Some(number);
        }
    })?;
    if let Some(number) = left {
        let what = format!("files of generation {number} in {} cannot be deleted", dir.display());
        return Err(std::io::Error::other(what).into());
    }
    Ok(disk.sync_dir(dir)?)
}

/// Removes the lock file of a store that is gone, and the folder if that was all.
pub(super) fn remove_lock(disk: &dyn Disk, dir: &Path) -> Result<(), StoreError> {
    match disk.remove(&dir.join(LOCK_FILE)) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
        _ => {}
    }
    // It stays if something else lies in it.
    let _ = disk.remove_dir(dir);
    Ok(())
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
    use super::{generation_of, numbered};

    #[test]
    fn names_are_exact() {
        assert!(numbered("text-0001", "text-", &[""]));
        assert!(numbered("vectors-0012.ekv", "vectors-", &[".ekv"]));
        for name in ["text-books", "text-0001x", "text-001", "text-", "my-text-0001", "text-00é1"]
        {
            assert!(!numbered(name, "text-", &[""]), "{name}");
        }
        for (name, number) in [
            ("vectors-0002.ekv", Some(2)),
            ("graph-12345.ekg", Some(12_345)),
            ("graph-0003-0000000640.ekg.new", Some(3)),
            ("graph-00123-0000000640.ekg", None),
            ("text-00123", None),
            ("vectors-0002.ekv.bak", None),
            ("commit.mark", None),
        ] {
            assert_eq!(generation_of(name), number, "{name}");
        }
    }
}
