//! Stores as files: listed and copied.

use std::path::{Path, PathBuf};

/// The number in a variable, for the long form of a test, or the number of its short form.
pub(crate) fn asked(variable: &str, short: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "how long and from which seed a test runs")]
    let value = std::env::var(variable);
    value.map_or(short, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text:?}")))
}

/// A folder for much writing: in memory, where there is such a place.
pub(crate) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("tempdir")
}

/// All files under `dir`, by path.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs_err::read_dir(dir).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Copies all files of `from`, also of a store that is open.
pub(crate) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("under it"));
        fs_err::create_dir_all(target.parent().expect("has one")).expect("made");
        match fs_err::copy(&file, target) {
            // Of an open store: the word index tidies up behind itself meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !file.exists() => {}
            copied => {
                copied.expect("copied");
            }
        }
    }
}
