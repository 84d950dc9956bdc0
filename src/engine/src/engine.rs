//! Given a configuration, what can be asked? [`Engine`] holds a model and a
//! store; searching, labelling and indexing are in the files named so.

use std::io::Seek;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{
    Access, Expr, Failure, Filter, Holder, Item, ItemId, Kind, LocalStore, StoreRead, StoreWrite,
};

use ekphrasis_models::Lexicon;

use crate::confidence::LibraryUsual;
use crate::duplicates::{Asked, DuplicateReport};
use crate::generations::{generations, place};
use crate::label_sets::SetVectors;
use crate::meter::Meters;
use crate::queries::KnownTexts;
use crate::thumbnails::Thumbnails;
use crate::together::Together;
use crate::{EngineError, Progress, Source, Status, Told, Towers, additions, ingest, pictures};

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
    pub(crate) store: Arc<LocalStore>,
    pub(crate) towers: Arc<dyn Towers>,
    /// The model that was noted for the store when it was opened.
    noted: Option<String>,
    pub(crate) data: PathBuf,
    pub(crate) indexing: Mutex<Option<Progress>>,
    /// Whether the first run has looked for damaged vectors.
    pub(crate) checked: AtomicBool,
    /// The copies that were found last.
    pub(crate) copies: Mutex<Option<(Asked, Arc<DuplicateReport>)>>,
    /// One indexing run after the other: two at once would take twice the memory.
    pub(crate) turn: Mutex<()>,
    /// The run that has the turn.
    pub(crate) going: Mutex<Option<ingest::Going>>,
    /// Vectors of texts that were asked for.
    pub(crate) known_texts: KnownTexts,
    /// Puts texts together that are asked for at once.
    pub(crate) together: Together,
    pub(crate) meters: Arc<Meters>,
    /// What is compared with for label sets.
    pub(crate) set_vectors: SetVectors,
    /// Which store of the data folder it is.
    pub(crate) generation: u32,
    /// As whom it writes, if it does.
    pub(crate) holder: Option<Holder>,
    /// Whether another engine serves now, so that nothing may be written here any more.
    pub(crate) left: AtomicBool,
    /// Whether a switch waits for its turn, which runs are to leave to it.
    pub(crate) asked_for: AtomicBool,
    /// Where pictures are kept that were sent.
    pub(crate) uploads: PathBuf,
    /// Held while a picture that was sent and its item come or go, so that neither is
    /// there without the other. Taken after `turn` by whoever needs both.
    pub(crate) sent: Mutex<()>,
    /// Held while what stands for a name changes.
    pub(crate) names: Mutex<()>,
    /// Nouns that were embedded for a model that came without.
    pub(crate) lexicon: Mutex<Option<Arc<Lexicon>>>,
    /// What this library's scores are usually like.
    pub(crate) usual: LibraryUsual,
    thumbnails: Thumbnails,
}

impl Engine {
    /// Opens the store in `data` with a model.
    ///
    /// # Errors
    /// If there is no store (for reading), it was made with another model, or
    /// somebody else is writing to it (for writing).
    pub fn open(data: &Path, towers: Arc<dyn Towers>, open: OpenFor) -> Result<Self, EngineError> {
        let (access, holder) = match open {
            OpenFor::Reading => (Access::Read, None),
            OpenFor::Writing(holder) => (Access::Write(holder.clone()), Some(holder)),
        };
        let (store, generation) = loop {
            let (number, dir) = place::serving(data)?;
            let store = LocalStore::open(&dir, towers.space(), access.clone())?;
            // Another one may have begun to serve in between.
            if place::serving(data)?.0 == number {
                break (store, number);
            }
        };
        // Of several models of this space, the store goes on with the one it was made with.
        if let (Some(name), Some(_)) = (towers.known_as(), &holder)
            && place::noted(data, generation).is_none()
        {
            place::note(data, generation, name)?;
        }
        Ok(Self::over(data, towers, Arc::new(store), generation, holder, Arc::default()))
    }

    /// Over a generation of the data folder that does not serve yet, to make it ready.
    pub(crate) fn over_generation(
        data: &Path,
        towers: Arc<dyn Towers>,
        store: LocalStore,
        generation: u32,
    ) -> Self {
        Self::over(data, towers, Arc::new(store), generation, None, Arc::default())
    }

    fn over(
        data: &Path,
        towers: Arc<dyn Towers>,
        store: Arc<LocalStore>,
        generation: u32,
        holder: Option<Holder>,
        meters: Arc<Meters>,
    ) -> Self {
        Self {
            store,
            towers,
            noted: place::noted(data, generation),
            generation,
            holder,
            left: AtomicBool::new(false),
            asked_for: AtomicBool::new(false),
            data: data.into(),
            indexing: Mutex::new(None),
            checked: AtomicBool::new(false),
            copies: Mutex::default(),
            turn: Mutex::default(),
            going: Mutex::default(),
            known_texts: KnownTexts::default(),
            together: Together::new(available_parallelism().map_or(1, usize::from)),
            meters,
            uploads: additions::uploads(data),
            sent: Mutex::default(),
            names: Mutex::default(),
            lexicon: Mutex::default(),
            set_vectors: SetVectors::default(),
            usual: LibraryUsual::default(),
            thumbnails: Thumbnails::new(data),
        }
    }

    /// The engine that comes after this one: over another generation of the same data
    /// folder, with a model for it. It counts on where this one counted.
    pub(crate) fn successor(
        &self,
        towers: Arc<dyn Towers>,
        store: Arc<LocalStore>,
        generation: u32,
    ) -> Self {
        let (holder, meters) = (self.holder.clone(), Arc::clone(&self.meters));
        Self::over(&self.data, towers, store, generation, holder, meters)
    }

    /// Whether its store is still the one that serves, and its model the one that was noted for
    /// it: another process may have moved the data folder to another model, and then it is to
    /// be opened again.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub fn is_current(&self) -> Result<bool, EngineError> {
        let serving = place::serving(&self.data)?.0;
        Ok(serving == self.generation && place::noted(&self.data, serving) == self.noted)
    }

    /// Whether there is a store in `data`.
    ///
    /// # Errors
    /// If that cannot be found out.
    pub fn exists(data: &Path) -> Result<bool, EngineError> {
        Ok(LocalStore::space_of(&place::serving(data)?.1)?.is_some())
    }

    /// Where the server can be asked that holds the store in `data`, if one does.
    pub fn server(data: &Path) -> Option<String> {
        LocalStore::holder(&place::serving(data).ok()?.1).ok().flatten()?.address
    }

    /// The model in use.
    pub fn towers(&self) -> &Arc<dyn Towers> {
        &self.towers
    }

    /// Where the store lies.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Whether it was opened for writing.
    pub fn is_writable(&self) -> bool {
        self.store.is_writable()
    }

    /// What was done since it was opened.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }

    /// The embedding of a picture.
    ///
    /// # Errors
    /// If it cannot be read, or the image tower cannot be loaded or fails.
    pub fn embed_image(&self, source: &Source) -> Result<Embedding, EngineError> {
        let encoder = self.towers.image()?;
        self.meters.encode_image.time(|| pictures::embed(&*encoder, source))
    }

    /// The store as it is now: what another process wrote meanwhile included.
    pub(crate) fn fresh(&self) -> Result<&LocalStore, EngineError> {
        if !self.store.is_writable() {
            self.store.refresh()?;
        }
        Ok(&self.store)
    }

    /// One item.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn item(&self, id: ItemId) -> Result<Option<Item>, EngineError> {
        Ok(self.fresh()?.items(&[id])?.pop().flatten())
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
        Ok(self.fresh()?.scan(after, limit, filter)?)
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

    /// A small JPEG of an indexed picture; made at the first call and kept, in a
    /// cache of at most 1 GiB.
    ///
    /// # Errors
    /// `NotFound` if there is no such item, or its file is gone.
    pub fn thumbnail(&self, id: ItemId) -> Result<Vec<u8>, EngineError> {
        let (path, item) = self.indexed_file(id)?;
        self.meters.thumbnail.time(|| self.thumbnails.get(&path, &item))
    }

    /// An indexed file as it lies on disk. It is read once to see that it is what was indexed.
    ///
    /// # Errors
    /// `NotFound` if there is no such item, its file is gone, or it is not the
    /// file that was indexed any more: what lies there now nobody allowed to show.
    pub fn file(&self, id: ItemId) -> Result<IndexedFile, EngineError> {
        let (path, item) = self.indexed_file(id)?;
        unchanged(&path, &item)?;
        let mut file = fs_err::File::open(&path)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&mut file)?;
        file.rewind()?;
        match item.file {
            Some(facts) if facts.content == *hasher.finalize().as_bytes() => Ok(IndexedFile {
                path,
                file: file.into_parts().0,
                size: facts.size,
                content: facts.content,
                format: facts.format,
            }),
            _ => Err(gone(&path, "has changed since it was indexed")),
        }
    }

    /// Forgets the items at or below these paths, and that folders there were indexed; the
    /// user's files are never touched, the copies of pictures that were sent go along. A run
    /// that goes on over nothing but these paths is stopped; for another one's end it waits,
    /// unless `stop` is raised. Returns how many items were there; `None`: it was stopped
    /// before it forgot anything.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn remove(&self, paths: &[PathBuf], stop: &AtomicBool) -> Result<Option<u64>, EngineError> {
        let Some(_turn) = self.turn_to_forget(paths, stop) else { return Ok(None) };
        self.still_serves()?;
        let _sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut ids, mut uploads) = (Vec::new(), Vec::new());
        let (failing, roots) = (self.store.failures()?, self.store.roots()?);
        for path in paths {
            // `ek up` must not take up again what was just forgotten.
            for root in roots.iter().filter(|root| root.starts_with(path)) {
                self.store.remove_root(root)?;
            }
            for file in self.store.files_under(path)? {
                ids.push(file.id);
                if self.is_upload(&file.path) {
                    uploads.push(file.path);
                }
            }
        }
        let below = |f: &Failure| paths.iter().any(|p| f.path.starts_with(p));
        let told: Vec<PathBuf> = failing.into_iter().filter(below).map(|f| f.path).collect();
        self.store.clear_failures(&told)?;
        let removed = self.forget(&ids)?;
        uploads.iter().for_each(|path| self.drop_upload(path));
        Ok(Some(removed))
    }

    /// Insists that no other engine serves by now. To be asked once it is this one's turn.
    pub(crate) fn still_serves(&self) -> Result<(), EngineError> {
        match self.left.load(Ordering::Relaxed) {
            true => Err(EngineError::Left),
            false => Ok(()),
        }
    }

    /// Deletes items, and what was derived from them.
    pub(crate) fn forget(&self, ids: &[ItemId]) -> Result<u64, EngineError> {
        let removed = self.store.delete(ids)?;
        self.thumbnails.forget(ids);
        Ok(removed)
    }

    /// Files that could not be indexed.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn failures(&self) -> Result<Vec<Failure>, EngineError> {
        Ok(self.fresh()?.failures()?)
    }

    /// What the store has noticed so far to be wrong with itself, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.store.warnings()
    }

    /// Waits until what is built in the background (a graph over many vectors)
    /// is done and kept, so that it need not be built again.
    pub fn settle(&self) {
        self.store.settle();
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
        let count = |kind| store.count(&Filter::of_kind(kind));
        let told = |filter: &str| match filter.parse::<Expr>() {
            Ok(expr) => store.count(&Filter { kind: Some(Kind::Image), expr: Some(expr) }),
            Err(_) => Ok(0),
        };
        Ok(Status {
            data: self.data.clone(),
            images: count(Kind::Image)?,
            texts: count(Kind::Text)?,
            failures: store.failure_count()?,
            told: Told {
                taken: told("taken:0001..")?,
                camera: told("camera:*")?,
                // Half around the Earth.
                place: told("near:0,0,20100km")?,
            },
            seq: store.seq(),
            model: self.towers.name().into(),
            space: self.towers.space().id().into(),
            dim: self.towers.space().dim(),
            model_note: self.towers.note().into(),
            generation: self.generation,
            generations: generations(&self.data)?,
            vector_index: store.describe_vector_index(),
            recall: store.recall()?,
            roots: store.roots()?,
            warnings: store.warnings(),
            unfinished: self.unfinished()?,
            labels: store.applied()?,
            indexing: self.indexing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        })
    }
}

/// A file that is what was indexed.
#[derive(Debug)]
pub struct IndexedFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Open at its beginning.
    pub file: std::fs::File,
    /// Its length in bytes.
    pub size: u64,
    /// The BLAKE3 of what is in it.
    pub content: [u8; 32],
    /// Its format by content.
    pub format: String,
}

/// The bytes of the file that was indexed, and of no other: a link to something else may
/// lie there now, as long and as old as the file was.
pub(crate) fn as_indexed(path: &Path, item: &Item) -> Result<Vec<u8>, EngineError> {
    unchanged(path, item)?;
    let bytes = fs_err::read(path)?;
    let now = *blake3::hash(&bytes).as_bytes();
    match &item.file {
        Some(facts) if facts.content == now => Ok(bytes),
        _ => Err(gone(path, "has changed since it was indexed")),
    }
}

fn gone(path: &Path, what: &str) -> EngineError {
    EngineError::NotFound(format!("{} {what}", path.display()))
}

/// Insists that what lies at `path` seems to be the file that was indexed.
fn unchanged(path: &Path, item: &Item) -> Result<(), EngineError> {
    let gone = |what: &str| gone(path, what);
    let meta = fs_err::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => gone("is gone"),
        _ => e.into(),
    })?;
    let now = (meta.len(), ingest::mtime_ns(&meta));
    match &item.file {
        Some(facts) if meta.is_file() && now == (facts.size, facts.mtime_ns) => Ok(()),
        _ => Err(gone("has changed since it was indexed")),
    }
}
