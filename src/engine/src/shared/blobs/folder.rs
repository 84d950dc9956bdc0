//! Blobs as files, for machines that share a folder.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{BlobName, Blobs};

/// In a folder, such as one of a network mount.
#[derive(Debug)]
pub struct FolderBlobs(PathBuf);

impl FolderBlobs {
    /// In this folder; it is made when something is kept.
    pub fn new(dir: &Path) -> Self {
        Self(dir.into())
    }

    fn path(&self, name: &BlobName) -> PathBuf {
        self.0.join(name.to_string())
    }
}

impl Blobs for FolderBlobs {
    fn get(&self, name: &BlobName) -> io::Result<Option<Vec<u8>>> {
        match fs_err::read(self.path(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn has(&self, name: &BlobName) -> io::Result<bool> {
        self.path(name).try_exists()
    }

    fn put(&self, name: &BlobName, bytes: &[u8]) -> io::Result<()> {
        /// Files that were begun, so that each has a name of its own.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = self.path(name);
        if path.try_exists()? {
            return Ok(());
        }
        let folder = path.parent().unwrap_or(&self.0);
        fs_err::create_dir_all(folder)?;
        // Processes of several machines may write here, so a process's number is not enough.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = format!(".{}-{number}-{:016x}.partial", std::process::id(), chance());
        let partial = folder.join(own);
        let written = fs_err::File::create_new(&partial).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        let kept = written.and_then(|()| fs_err::rename(&partial, &path));
        if kept.is_err() {
            let _ = fs_err::remove_file(&partial);
        }
        kept
    }
}

fn chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
