//! Given a configuration, what can be asked? [`Engine`] holds a model and a
//! store; searching, labelling and indexing are in the files named so.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ekphrasis_embed::Embedding;
use ekphrasis_index::{
    Access, Failure, Filter, Holder, Item, ItemId, Kind, LocalStore, StoreRead, StoreWrite,
};

use crate::{EngineError, Progress, Source, Status, Towers, pictures, thumbnails};

/// What an engine may do to its store.
#[derive(Clone, Debug)]
pub enum OpenFor {
    /// Search only; others may write meanwhile.
    Reading,
    /// Index too; the holder's name is shown to whoever else wants to write.
    Writing(Holder),
}

/// A model and a store, ready to be asked. Share it between threads with `Arc`.
///
/// ```no_run
/// use ekphrasis_engine::*;
/// let config = Config::resolve(&Flags::default())?;
/// let towers = std::sync::Arc::new(OnnxTowers::open(&config, 1, |line| eprintln!("{line}"))?);
/// let engine = Engine::open(&config.data, towers, OpenFor::Reading)?;
/// let words = Part { what: PartQuery::Text("a red bicycle".into()), weight: 1.0 };
/// for hit in engine.search(&SearchRequest::new(vec![words]))?.hits {
///     println!("{:.3} {:?}", hit.score, hit.item.path);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine {
    pub(crate) store: LocalStore,
    pub(crate) towers: Arc<dyn Towers>,
    pub(crate) data: PathBuf,
    pub(crate) indexing: Mutex<Option<Progress>>,
}

impl Engine {
    /// Opens the store in `data` with a model.
    ///
    /// # Errors
    /// If there is no store (for reading), it was made with another model, or
    /// somebody else is writing to it (for writing).
    pub fn open(data: &Path, towers: Arc<dyn Towers>, open: OpenFor) -> Result<Self, EngineError> {
        let access = match open {
            OpenFor::Reading => Access::Read,
            OpenFor::Writing(holder) => Access::Write(holder),
        };
        let store = LocalStore::open(data, towers.space(), access)?;
        Ok(Self { store, towers, data: data.into(), indexing: Mutex::new(None) })
    }

    /// Whether there is a store in `data`.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub fn exists(data: &Path) -> Result<bool, EngineError> {
        Ok(LocalStore::space_of(data)?.is_some())
    }

    /// The model in use.
    pub fn towers(&self) -> &Arc<dyn Towers> {
        &self.towers
    }

    /// The embedding of a text.
    ///
    /// # Errors
    /// If the text tower cannot be loaded or fails.
    pub fn embed_text(&self, text: &str) -> Result<Embedding, EngineError> {
        let mut embeddings = self.towers.text()?.embed_texts(&[text])?;
        Ok(embeddings.swap_remove(0))
    }

    /// The embedding of a picture.
    ///
    /// # Errors
    /// If it cannot be read, or the image tower cannot be loaded or fails.
    pub fn embed_image(&self, source: &Source) -> Result<Embedding, EngineError> {
        pictures::embed(&*self.towers.image()?, source)
    }

    /// The store as it is now: what another process wrote meanwhile included.
    pub(crate) fn fresh(&self) -> Result<&LocalStore, EngineError> {
        if !self.store.is_writable() {
            self.store.refresh()?;
        }
        Ok(&self.store)
    }

    /// Tells other processes where this one is to be reached.
    ///
    /// # Errors
    /// If the store's lock file cannot be written.
    pub fn set_address(&self, address: &str) -> Result<(), EngineError> {
        Ok(self.store.set_address(Some(address.into()))?)
    }

    /// One item.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn item(&self, id: ItemId) -> Result<Option<Item>, EngineError> {
        Ok(self.fresh()?.items(&[id])?.pop().flatten())
    }

    /// The next items after `after`, in the order of ids.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn items(
        &self,
        after: Option<ItemId>,
        limit: usize,
        kind: Option<Kind>,
    ) -> Result<Vec<Item>, EngineError> {
        Ok(self.fresh()?.scan(after, limit, &Filter { kind })?)
    }

    fn indexed_file(&self, id: ItemId) -> Result<(PathBuf, Item), EngineError> {
        let item = self.item(id)?;
        let item = item.ok_or_else(|| EngineError::NotFound(format!("there is no item {id}")))?;
        match &item.path {
            Some(path) => Ok((path.clone(), item)),
            None => Err(EngineError::NotFound(format!("item {id} is a text, not a picture"))),
        }
    }

    /// An indexed picture, to search or label by.
    ///
    /// # Errors
    /// `NotFound` if there is no such item or it is no file.
    pub fn source_of(&self, id: ItemId) -> Result<Source, EngineError> {
        Ok(Source::Path(self.indexed_file(id)?.0))
    }

    /// A small JPEG of an indexed picture; made at the first call and kept.
    ///
    /// # Errors
    /// `NotFound` if there is no such item, or its file is gone.
    pub fn thumbnail(&self, id: ItemId) -> Result<Vec<u8>, EngineError> {
        let (path, item) = self.indexed_file(id)?;
        thumbnails::get(&self.data.join("thumbnails"), &path, &item)
    }

    /// An indexed file as it lies on disk: path, bytes, format by content.
    ///
    /// # Errors
    /// `NotFound` if there is no such item, or its file is gone.
    pub fn file(&self, id: ItemId) -> Result<(PathBuf, Vec<u8>, String), EngineError> {
        let (path, item) = self.indexed_file(id)?;
        let bytes = fs_err::read(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                EngineError::NotFound(format!("{} is gone", path.display()))
            }
            _ => e.into(),
        })?;
        let format = item.file.map(|facts| facts.format).unwrap_or_default();
        Ok((path, bytes, format))
    }

    /// Forgets the items at or below these paths; files are never touched.
    /// Returns how many items were there.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn remove(&self, paths: &[PathBuf]) -> Result<u64, EngineError> {
        let mut ids = Vec::new();
        for path in paths {
            // `ek up` must not take up again what was just forgotten.
            self.store.remove_root(path)?;
            ids.extend(self.store.files_under(path)?.into_iter().map(|(_, id, _)| id));
        }
        Ok(self.store.delete(&ids)?)
    }

    /// Files that could not be indexed.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn failures(&self) -> Result<Vec<Failure>, EngineError> {
        Ok(self.fresh()?.failures()?)
    }

    /// The folders this store was made from.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn roots(&self) -> Result<Vec<PathBuf>, EngineError> {
        Ok(self.fresh()?.roots()?)
    }

    /// The state in short.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn status(&self) -> Result<Status, EngineError> {
        let store = self.fresh()?;
        let count = |kind| store.count(&Filter { kind: Some(kind) });
        Ok(Status {
            data: self.data.clone(),
            images: count(Kind::Image)?,
            texts: count(Kind::Text)?,
            failures: store.failure_count()?,
            seq: store.seq(),
            model: self.towers.name().into(),
            space: self.towers.space().id().into(),
            dim: self.towers.space().dim(),
            model_note: self.towers.note().into(),
            vector_index: store.describe_vector_index(),
            roots: store.roots()?,
            indexing: self.indexing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }
}
