//! Given a server that holds a store, how does it know that somebody may write there?
//! By a secret that lies in the store's folder: who can read that could as well
//! write to the store, if nobody held it. So the command line, and nobody else, may
//! have any folder indexed by the server.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::EngineError;

/// Its file's name in the store's folder.
const FILE: &str = "server.key";

/// A secret that lies in a store's folder as long as this lives.
#[derive(Debug)]
pub struct StoreSecret {
    path: PathBuf,
    text: String,
}

impl StoreSecret {
    /// Makes a new one for the store in `data`, whose writer the caller is, over any old one.
    ///
    /// # Errors
    /// If there is no randomness to be had, or it cannot be written.
    pub fn publish(data: &Path) -> Result<Self, EngineError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = data.join(FILE);
        // Anew, so that nobody has it open and nobody but us may read it.
        let _ = fs_err::remove_file(&path);
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?.write_all(text.as_bytes())?;
        Ok(Self { path, text })
    }

    /// What a client sends.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The secret of the server that holds the store in `data`, if it can be read.
    pub fn of(data: &Path) -> Option<String> {
        fs_err::read_to_string(data.join(FILE)).ok().filter(|text| !text.is_empty())
    }
}

impl Drop for StoreSecret {
    fn drop(&mut self) {
        // The next server writes its own; this one would only be useless.
        let _ = fs_err::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_its_owners_and_goes_with_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let first = StoreSecret::publish(dir.path()).expect("written");
        let old = first.text().to_owned();
        assert_eq!(old.len(), 64);
        assert_eq!(StoreSecret::of(dir.path()).as_deref(), Some(&*old));
        #[cfg(unix)]
        {
            let meta = fs_err::metadata(dir.path().join(FILE)).expect("there");
            let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(first);
        assert_eq!(StoreSecret::of(dir.path()), None);
        let second = StoreSecret::publish(dir.path()).expect("written");
        assert_ne!(second.text(), old);
    }
}
