//! Blobs as files, for machines that share a folder.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::{BlobName, Blobs};

/// Where, below the folder, what is being written lies.
const PARTIAL: &str = "partial";
/// What is older there was left by somebody who was killed.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// In a folder, such as one of a network mount.
#[derive(Debug)]
pub struct FolderBlobs {
    dir: PathBuf,
    /// Once in a process it is looked what others left half written.
    cleaned: Once,
}

impl FolderBlobs {
    /// In this folder; it is made when something is kept.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.into(), cleaned: Once::new() }
    }

    fn path(&self, name: &BlobName) -> PathBuf {
        self.dir.join(name.to_string())
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
        let partials = self.dir.join(PARTIAL);
        for folder in [path.parent().unwrap_or(&self.dir), &partials] {
            fs_err::create_dir_all(folder)?;
        }
        self.cleaned.call_once(|| remove_old(&partials));
        // Processes of several machines may write here, so a process's number is not enough.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let own = format!("{}-{number}-{:016x}", std::process::id(), chance());
        let partial = partials.join(own);
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

/// Removes what was begun long ago. What cannot be removed is in nobody's way.
fn remove_old(partials: &Path) {
    let Ok(entries) = fs_err::read_dir(partials) else { return };
    for entry in entries.flatten() {
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let age = written.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if age.is_some_and(|age| age > OLD) {
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

fn chance() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
