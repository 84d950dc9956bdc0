//! Where do a picture's thumbnail and its file lie, if its store is shared and whoever serves
//! cannot read the folder that it came from?
//!
//! Everything is named by its content, so that whoever writes the same writes the same bytes:
//! two who do so at once, or one who does so again, change nothing.

mod folder;
mod http;
mod s3;

use std::fmt;
use std::io;

pub use self::folder::FolderBlobs;
pub use self::s3::{ParseS3Error, S3Address, S3Blobs, S3Options};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keys() {
        let name = |kind| BlobName { kind, content: [10; 32] }.to_string();
        let hex = "0a".repeat(32);
        assert_eq!(name(BlobKind::File), format!("files/0a/{hex}"));
        assert_eq!(name(BlobKind::Thumbnail), format!("thumbnails/0a/{hex}.jpg"));
    }
}
