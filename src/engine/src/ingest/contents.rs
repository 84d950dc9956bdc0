//! Given what is in a file, was it embedded before? Then its vector is at hand:
//! the file was moved, copied, or only touched.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Facts, Item, ItemId, LocalStore, StoreError, StoreRead};

/// BLAKE3 of a whole file.
pub(super) type Content = [u8; 32];

/// Copies of one picture that are looked at, at most. Some have very many.
pub(super) const COPIES: u32 = 64;

/// Where a content stands.
pub(super) enum Standing {
    /// New, and the caller's to embed.
    New,
    /// Being embedded in this run, or found not to be possible.
    Met,
    /// In the store.
    Known(Box<Known>),
}

/// A content that is in the store.
pub(super) struct Known {
    /// An item that has it.
    pub(super) item: Item,
    pub(super) embedding: Embedding,
    /// The item whose file this was before it was moved.
    pub(super) moved_from: Option<Item>,
}

/// The contents that the store has and this run meets.
pub(super) struct Contents<'a> {
    store: &'a LocalStore,
    /// Whether nothing was in it when the run began.
    blank: bool,
    roots: Vec<PathBuf>,
    met: Mutex<Met>,
}

#[derive(Default)]
struct Met {
    contents: HashSet<Content>,
    /// Items whose files were found elsewhere; each is found once.
    moved: HashSet<ItemId>,
}

impl<'a> Contents<'a> {
    /// Of a store that is `blank` only what this run brought is known.
    pub(super) fn new(store: &'a LocalStore, blank: bool) -> Result<Self, StoreError> {
        Ok(Self { store, blank, roots: store.roots()?, met: Mutex::default() })
    }

    /// Where the content of the file at `path` stands.
    pub(super) fn look_up(&self, path: &Path, content: &Content) -> Result<Standing, StoreError> {
        if !self.blank
            && let Some(known) = self.known(path, content)?
        {
            return Ok(Standing::Known(Box::new(known)));
        }
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.contents.insert(*content) {
            return Ok(Standing::New);
        }
        drop(met);
        // Whoever met it first may have been committed in between.
        Ok(match self.known(path, content)? {
            Some(known) => Standing::Known(Box::new(known)),
            None => Standing::Met,
        })
    }

    /// What was told of an item, if that can be read.
    pub(super) fn facts(&self, id: ItemId) -> Option<Facts> {
        self.store.items(&[id]).ok()?.pop()??.facts
    }

    fn known(&self, path: &Path, content: &Content) -> Result<Option<Known>, StoreError> {
        let items = self.store.same_content(content, COPIES)?;
        if items.is_empty() {
            return Ok(None);
        }
        let ids: Vec<ItemId> = items.iter().map(|item| item.id).collect();
        // A vector that is damaged is none, and the picture is encoded again.
        let vectors = self.store.embeddings(&ids)?;
        let Some((item, embedding)) = items.iter().zip(vectors).find_map(|(i, v)| Some((i, v?)))
        else {
            return Ok(None);
        };
        let moved_from = self.moved_from(path, &items);
        Ok(Some(Known { item: item.clone(), embedding, moved_from }))
    }

    fn moved_from(&self, path: &Path, items: &[Item]) -> Option<Item> {
        if items.iter().any(|item| item.path.as_deref() == Some(path)) {
            return None;
        }
        let gone =
            items.iter().filter(|item| item.path.as_deref().is_some_and(|path| self.is_gone(path)));
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        gone.into_iter().find(|item| met.moved.insert(item.id)).cloned()
    }

    /// Not so if the folder that it was indexed with is not there: a disk may be missing.
    fn is_gone(&self, path: &Path) -> bool {
        let gone = |e: std::io::Error| e.kind() == ErrorKind::NotFound;
        let mut roots = self.roots.iter().filter(|root| path.starts_with(root)).peekable();
        fs_err::symlink_metadata(path).is_err_and(gone)
            && (roots.peek().is_none() || roots.any(|root| root.is_dir()))
    }
}
