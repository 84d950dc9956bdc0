//! Given the files of pictures, what is in them? Each is read once: is it
//! there, is it a picture, and which content does it have, whatever its name?

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use rayon::prelude::*;

use super::Example;

/// BLAKE3 of a file's bytes: equal for equal files, wherever they lie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentHash([u8; 32]);

impl ContentHash {
    /// The hash of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6].iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// What was found where a picture should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A picture.
    Fine(ContentHash),
    /// No file there.
    Missing,
    /// A file that cannot be read; the system's words.
    Unreadable(String),
    /// A file that is no picture, or a damaged one; the decoder's words.
    Undecodable(ContentHash, String),
}

impl Seen {
    /// The content, if it is a picture.
    pub fn content(&self) -> Option<ContentHash> {
        if let Self::Fine(content) = self { Some(*content) } else { None }
    }
}

/// Reads and decodes every picture, on all threads; results in the examples'
/// order. A picture whose content is `known` to be fine (because features of it
/// are cached) is only read, which is a hundred times faster.
pub fn look(examples: &[Example], known: &(dyn Fn(&ContentHash) -> bool + Sync)) -> Vec<Seen> {
    examples.par_iter().map(|e| look_at(&e.path, known)).collect()
}

fn look_at(path: &Path, known: &(dyn Fn(&ContentHash) -> bool + Sync)) -> Seen {
    let bytes = match fs_err::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Seen::Missing,
        Err(e) => return Seen::Unreadable(e.to_string()),
    };
    let content = ContentHash::of(&bytes);
    if known(&content) {
        return Seen::Fine(content);
    }
    match ekphrasis_models::decode(&bytes) {
        Ok(_) => Seen::Fine(content),
        Err(e) => Seen::Undecodable(content, e.to_string()),
    }
}
