//! Where do a picture's thumbnail and its file lie, if its store is shared and whoever serves
//! cannot read the folder that it came from?
//!
//! Everything is named by its content, so that whoever writes the same writes the same bytes:
//! two who do so at once, or one who does so again, change nothing.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What is kept of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobKind {
    /// A small JPEG.
    Thumbnail,
    /// The file itself.
    File,
}

/// The name of what is kept of a file with this content (BLAKE3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobName {
    /// What.
    pub kind: BlobKind,
    /// Of which file.
    pub content: [u8; 32],
}

/// `thumbnails/3f/3f0a….jpg`, `files/3f/3f0a…`: a key that every object store takes.
impl fmt::Display for BlobName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = blake3::Hash::from_bytes(self.content).to_hex();
        match self.kind {
            BlobKind::Thumbnail => write!(f, "thumbnails/{}/{hex}.jpg", &hex[..2]),
            BlobKind::File => write!(f, "files/{}/{hex}", &hex[..2]),
        }
    }
}

/// Keeps bytes by name, for everybody who has the same one.
///
/// # Contract
/// - What `put` returned `Ok` for is there for every later `get`, of any process, whole.
/// - `put` of a name that is there does nothing: same name, same bytes.
/// - `get` never gives a part: what is half written is not there.
pub trait Blobs: Send + Sync {
    /// The bytes; `None` if there are none.
    ///
    /// # Errors
    /// If it cannot be found out.
    fn get(&self, name: &BlobName) -> io::Result<Option<Vec<u8>>>;

    /// Whether there are some.
    ///
    /// # Errors
    /// If it cannot be found out.
    fn has(&self, name: &BlobName) -> io::Result<bool>;

    /// Keeps bytes.
    ///
    /// # Errors
    /// If they could not be kept.
    fn put(&self, name: &BlobName, bytes: &[u8]) -> io::Result<()>;
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn name(kind: BlobKind, byte: u8) -> BlobName {
        BlobName { kind, content: [byte; 32] }
    }

    #[test]
    fn what_is_kept_is_there_for_everybody_and_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().join("not/there/yet");
        let (one, other) = (FolderBlobs::new(&root), FolderBlobs::new(&root));
        let (thumbnail, file) = (name(BlobKind::Thumbnail, 7), name(BlobKind::File, 7));
        assert_eq!(one.get(&thumbnail).expect("asked"), None);
        assert!(!one.has(&thumbnail).expect("asked"));
        one.put(&thumbnail, b"small").expect("kept");
        assert_eq!(other.get(&thumbnail).expect("asked").as_deref(), Some(&b"small"[..]));
        assert!(other.has(&thumbnail).expect("asked"));
        // The other kind is another thing.
        assert_eq!(other.get(&file).expect("asked"), None);
        // What many keep at once is there once, and nothing else lies beside it.
        std::thread::scope(|scope| {
            for blobs in [&one, &other, &one, &other] {
                scope.spawn(move || blobs.put(&file, &[5; 100_000]).expect("kept"));
            }
        });
        assert_eq!(one.get(&file).expect("asked"), Some(vec![5; 100_000]));
        let names = fs_err::read_dir(root.join("files/07")).expect("listed");
        assert_eq!(names.count(), 1);
    }

    #[test]
    fn names_are_keys() {
        let hex = "0a".repeat(32);
        assert_eq!(name(BlobKind::File, 10).to_string(), format!("files/0a/{hex}"));
        let thumbnail = name(BlobKind::Thumbnail, 10).to_string();
        assert_eq!(thumbnail, format!("thumbnails/0a/{hex}.jpg"));
    }
}
