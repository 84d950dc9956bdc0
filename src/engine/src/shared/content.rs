//! Given an item of a shared store, what does it look like, and which words are near it? Its
//! file is looked for where it was indexed, which may be a mount here or not; and then among
//! what the workers kept of it.

use std::sync::Arc;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{FileFacts, Filter, Item, ItemId, StoreRead};

use super::{BlobKind, BlobName, Blobs, SharedEngine};
use crate::engine::as_indexed;
use crate::labels::{described, label_vector};
use crate::{Description, EngineError, LabelReply, LabelRequest, Source, pictures, thumbnails};

/// A file of an item, whole.
#[derive(Debug)]
pub struct SharedFile {
    /// The item.
    pub item: Item,
    /// What is known of its file.
    pub facts: FileFacts,
    /// The bytes: those that were indexed.
    pub bytes: Vec<u8>,
}

impl SharedEngine {
    /// Has thumbnails and files looked for here, too, and thumbnails that had to be made kept.
    #[must_use]
    pub fn with_blobs(self, blobs: Arc<dyn Blobs>) -> Self {
        Self { blobs: Some(blobs), ..self }
    }

    /// Insists that the store can be asked now.
    ///
    /// # Errors
    /// If it cannot.
    pub fn ready(&self) -> Result<(), EngineError> {
        self.store()?.items(&[ItemId::for_text("")])?;
        Ok(())
    }

    /// One item.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn item(&self, id: ItemId) -> Result<Option<Item>, EngineError> {
        Ok(self.store()?.items(&[id])?.pop().flatten())
    }

    /// The next items after `after` that the filter lets through, in the order of ids.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn items(
        &self,
        after: Option<ItemId>,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Item>, EngineError> {
        Ok(self.store()?.scan(after, limit, filter)?)
    }

    /// The vector of an item.
    ///
    /// # Errors
    /// `NotFound` if there is no such item; otherwise if the store cannot be read.
    pub fn embedding_of(&self, id: ItemId) -> Result<Embedding, EngineError> {
        let found = self.store()?.embeddings(&[id])?.pop().flatten();
        found.ok_or_else(|| absent(id))
    }

    /// The embedding of a picture.
    ///
    /// # Errors
    /// If it cannot be read, or the image tower cannot be loaded or fails.
    pub fn embed_image(&self, source: &Source) -> Result<Embedding, EngineError> {
        pictures::embed(&*self.towers.image()?, source)
    }

    /// The nearest words for a picture of this vector: captions in the store and the model's
    /// nouns, or else its vocabulary.
    ///
    /// # Errors
    /// `Invalid` for a `k` outside 1..=1000; otherwise as the model or the store fails.
    pub fn describe(&self, image: &Embedding, k: usize) -> Result<Vec<Description>, EngineError> {
        let (store, lexicon) = (self.store()?, self.towers.lexicon()?);
        let image = || Ok(image.clone());
        described(&*self.towers, &image, Some(&*store), lexicon.as_deref(), k)
    }

    /// Classifies a picture of this vector against words, as [`label_all`](crate::label_all).
    ///
    /// # Errors
    /// As that one.
    pub fn label(
        &self,
        image: &Embedding,
        request: &LabelRequest,
    ) -> Result<LabelReply, EngineError> {
        label_vector(&*self.towers, image, request)
    }

    /// A small JPEG of a picture.
    ///
    /// # Errors
    /// `NotFound` if there is no such picture, or neither its file nor a thumbnail can be had
    /// here; otherwise as reading and decoding it fail, and if what was kept cannot be asked for.
    pub fn thumbnail(&self, id: ItemId) -> Result<Vec<u8>, EngineError> {
        let (item, facts) = self.picture(id)?;
        let name = BlobName { kind: BlobKind::Thumbnail, content: facts.content };
        let away = match self.blobs.as_ref().map(|blobs| blobs.get(&name)).transpose() {
            Ok(Some(Some(jpeg))) => return Ok(jpeg),
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let path = item.path.clone().unwrap_or_default();
        let made = self.bytes_of(&item, &facts).and_then(|file| thumbnails::of_bytes(&path, &file));
        match (made, away, &self.blobs) {
            (Ok(jpeg), None, Some(blobs)) => {
                // It is there for this answer at least.
                let _ = blobs.put(&name, &jpeg);
                Ok(jpeg)
            }
            // It may well be kept.
            (Err(EngineError::NotFound(_)), Some(error), _) => Err(error.into()),
            (made, _, _) => made,
        }
    }

    /// The file of a picture, as it was indexed.
    ///
    /// # Errors
    /// `NotFound` if there is no such picture, or its file cannot be had here, or is another
    /// one by now.
    pub fn file(&self, id: ItemId) -> Result<SharedFile, EngineError> {
        let (item, facts) = self.picture(id)?;
        let bytes = self.bytes_of(&item, &facts)?;
        Ok(SharedFile { item, facts, bytes })
    }

    fn picture(&self, id: ItemId) -> Result<(Item, FileFacts), EngineError> {
        let item = self.item(id)?.ok_or_else(|| absent(id))?;
        match item.file.clone() {
            Some(facts) => Ok((item, facts)),
            None => Err(EngineError::NotFound(format!("item {id} is a text, not a picture"))),
        }
    }

    fn bytes_of(&self, item: &Item, facts: &FileFacts) -> Result<Vec<u8>, EngineError> {
        let path = item.path.clone().unwrap_or_default();
        let here = match as_indexed(&path, item) {
            Ok(bytes) => return Ok(bytes),
            Err(error) => error,
        };
        let Some(blobs) = &self.blobs else { return Err(here) };
        let name = BlobName { kind: BlobKind::File, content: facts.content };
        match blobs.get(&name)? {
            // What was damaged there is as good as not there.
            Some(bytes) if *blake3::hash(&bytes).as_bytes() == facts.content => Ok(bytes),
            _ => Err(here),
        }
    }
}

fn absent(id: ItemId) -> EngineError {
    EngineError::NotFound(format!("there is no item {id}"))
}
