//! What went wrong in a store, and what can be done about it?

use std::path::{Path, PathBuf};

use ekphrasis_embed::Space;

use crate::{HolderInfo, text::TextError};

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Vectors of two spaces mean different things.
    #[error("{}", space_message(.expected, .got, .path.as_deref()))]
    SpaceMismatch {
        /// The store's space.
        expected: Space,
        /// What it was given.
        got: Space,
        /// The store, if it was opened with the wrong space; `None` if a
        /// vector of another space was handed to it.
        path: Option<PathBuf>,
    },
    /// Another process is writing.
    #[error("the store at {} is being written by {holder}; stop it, or let it do the work", path.display())]
    Locked {
        /// The store.
        path: PathBuf,
        /// Who is writing.
        holder: HolderInfo,
    },
    /// There is nothing at this path.
    #[error("there is no store at {}; `ek index DIR` makes one", .0.display())]
    NoStore(PathBuf),
    /// The folder holds something else.
    #[error(
        "{} is not a store (it holds {found:?}) and is left as it is; name an empty or a new folder",
        path.display()
    )]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// A name in it that no store has.
        found: String,
    },
    /// Written by another version.
    #[error(
        "{} has format version {found}; this program reads version {supported}: use the program that wrote it, or index anew into another folder",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
        /// What can be read here.
        supported: u64,
    },
    /// A file does not hold what was written to it.
    #[error(
        "{} is damaged: {what}; restore it from a backup, or move the store away and index anew",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file operation failed; the message names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The catalogue could not be read or written.
    #[error("the catalogue {} failed: {source}", path.display())]
    Catalogue {
        /// The database file.
        path: PathBuf,
        /// SQLite's reason.
        #[source]
        source: rusqlite::Error,
    },
    /// The word index could not be read or written.
    #[error("the word index failed: {0}")]
    Text(#[from] TextError),
    /// A store on another machine could not be asked, or refused.
    #[error("the store at {at} could not {doing}: {why}")]
    Remote {
        /// Its address.
        at: String,
        /// What was to be done: `search`.
        doing: &'static str,
        /// What it said, or what hindered it from saying anything.
        why: String,
    },
    /// Something that this kind of store does not do; the other kinds may.
    #[error("not supported by the store at {at}: {what}")]
    Unsupported {
        /// Its address.
        at: String,
        /// What, and what to do instead.
        what: String,
    },
    /// Opened for reading only.
    #[error("the store at {} was opened for reading only; open it for writing to change it", .0.display())]
    ReadOnly(PathBuf),
}

impl StoreError {
    /// Whether asking differently would help: a vector of another space was
    /// handed in, or the store does not do such things. Everything else is the state
    /// of the disk or of the machine.
    pub fn is_user_fault(&self) -> bool {
        matches!(self, Self::SpaceMismatch { path: None, .. } | Self::Unsupported { .. })
    }

    pub(crate) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), what: what.into() }
    }
}

fn space_message(expected: &Space, got: &Space, path: Option<&Path>) -> String {
    match path {
        Some(path) => format!(
            "the store at {} holds vectors of {expected}, but was opened for {got}; use the model it was made with, move the store to the other one (`ek model use`), or index into another folder",
            path.display()
        ),
        None => format!(
            "a vector of {got} was given to a store of {expected}; embed it with the model the store was made with"
        ),
    }
}
