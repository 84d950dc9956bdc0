//! How does a store in a directory stay true while it is written, read and killed?
//!
//! The catalogue's commit is the store's commit. A vector is durable before the
//! row that names it; the graph and the word index are derived and may lag or be
//! lost. One writer, held apart from others by a lock file, publishes immutable
//! [`Snapshot`]s; readers keep the one they have.

mod applied;
mod compact;
mod counts;
mod describe;
mod filters;
mod folder;
mod graphs;
mod heads;
mod ledger;
mod mark;
mod moving;
mod named;
mod open;
#[cfg(test)]
mod power_loss;
mod read;
mod recall;
mod texts;
mod verify;
mod write;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;

use ekphrasis_embed::Space;

pub use self::applied::Pictures;
pub use self::counts::{Facet, FacetCounts};
use self::filters::Filters;
pub use self::folder::MODEL_NOTE;
pub use self::ledger::{FORGOTTEN, Judged, KnownFile};
pub use self::moving::{Entry, Glance};
pub use self::recall::{Probe, Recall, Side};
use self::texts::TextState;
pub use self::verify::Report;
use crate::catalogue::{Catalogue, State};
use crate::disk::Disk;
use crate::lock::{self, WriterLock};
use crate::vector::{Graph, Rows, VectorFile};
use crate::{Holder, HolderInfo, Seq, StoreError};

/// What a store is opened for.
#[derive(Clone, Debug)]
pub enum Access {
    /// Reading: changes nothing in the store and works while another process
    /// writes. SQLite lays `catalogue.db-shm` and an empty `catalogue.db-wal`
    /// beside the catalogue where it may.
    Read,
    /// Reading and writing, as this holder; at most one at a time.
    Write(Holder),
}

/// When the store does what. The default suits everyone but tests and measurements.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// From how many items on there is a graph to be asked instead of scanning all.
    /// 20,000: there a scan of all, which is exact, takes 1.7 times as long (240 µs), at
    /// 10,000 as long: `cargo bench -p ekphrasis-index --bench peers -- --rows 20000`.
    pub graph_from: usize,
    /// The graph is built anew when more rows than this, and more than a fifth
    /// of it, are not in it.
    pub graph_tail: usize,
    /// How many candidates a graph search keeps, at least, until that is measured on the
    /// store's own vectors (see [`LocalStore::measure_recall`]). 256: for recall@10 over
    /// 0.99 of 200,000, also where texts ask for pictures; pictures ask for pictures with 64:
    /// `cargo bench -p ekphrasis-index --bench peers -- --rows 200000`.
    pub graph_ef: usize,
    /// How many rows are scanned in the time that the graph takes for one such candidate:
    /// what decides whether there are few enough to scan. 20, by the same bench: 0.5 to 0.7 µs
    /// for a candidate, 0.03 for a row.
    pub graph_work: usize,
    /// Threads that build the graph. With one, building is deterministic.
    pub graph_threads: usize,
    /// The vector file is rewritten without its dead rows when they are more
    /// than this, and more than a third of all. 8,192: 12 MiB at 384 dimensions.
    pub compact_from: usize,
    /// From how many items on a file says whose the rows are, so that opening for
    /// reading need not read all items. 4,096: fewer are read as fast.
    pub heads_from: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            graph_from: 20_000,
            graph_tail: 10_000,
            graph_ef: 256,
            graph_work: 20,
            graph_threads: std::thread::available_parallelism().map_or(1, usize::from),
            compact_from: 8192,
            heads_from: 4096,
        }
    }
}

/// A numbering of rows: the vector file that has them, and whatever else is named
/// after it. Compaction begins the next one.
#[derive(Debug)]
struct Generation {
    number: u32,
    file: VectorFile,
}

/// One committed state, as far as searching needs it in memory.
#[derive(Debug)]
struct Snapshot {
    seq: Seq,
    generation: Arc<Generation>,
    rows: Arc<Rows>,
}

/// A durable store in a directory of its own.
///
/// Its files are this crate's alone while it is open. What happened to them
/// before is found out and told: an error, [`LocalStore::warnings`],
/// [`LocalStore::damaged`], [`LocalStore::verify`]. But the vector file is
/// mapped into memory: if someone shortens it meanwhile, reading behind its new
/// end ends the process (SIGBUS on Unix). Commits are durable all the same.
///
/// ```
/// use ekphrasis_embed::Space;
/// use ekphrasis_index::{Access, Filter, Holder, LocalStore, StoreRead};
/// # let parent = tempfile::tempdir()?;
/// # let dir = parent.path().join("store");
/// let space = Space::new("lite-1", 384)?;
/// let holder = Holder { command: "ek index".into(), address: None };
/// let store = LocalStore::open(&dir, &space, Access::Write(holder))?;
/// assert_eq!(store.count(&Filter::default())?, 0);
///
/// // While it is open for writing, others may read, and learn who writes.
/// let reader = LocalStore::open(&dir, &space, Access::Read)?;
/// assert_eq!(LocalStore::holder(&dir)?.expect("someone").command, "ek index");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LocalStore {
    inner: Arc<Inner>,
    writer: Option<Arc<Mutex<Writer>>>,
    /// Sees that another process committed; only without a writer of our own.
    watch: Option<Mutex<Watch>>,
    builder: Mutex<Option<JoinHandle<()>>>,
    compactor: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    space: Space,
    options: Options,
    snapshot: RwLock<Arc<Snapshot>>,
    readers: Mutex<Vec<Catalogue>>,
    text: Mutex<TextState>,
    filters: Filters,
    /// With the generation whose rows it names.
    graph: RwLock<Option<(u32, Arc<Graph>)>>,
    /// Candidates a graph search keeps, as measured; 0 if it was not.
    ef: AtomicUsize,
    building: AtomicBool,
    compacting: Mutex<()>,
    /// Whether all items were read and found to be what the catalogue says of itself.
    checked: AtomicBool,
    saved: Mutex<heads::Saved>,
    /// Generations whose files go once nothing in this process uses them.
    retired: Mutex<Vec<(u32, Weak<Generation>)>>,
    cancel: AtomicBool,
    /// What opening found and the user should know.
    warnings: Vec<String>,
}

struct Writer {
    catalogue: Catalogue,
    lock: WriterLock,
}

struct Watch {
    catalogue: Catalogue,
    version: i64,
}

/// Waits for a thread in the background, if there is one.
fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    // The guard is gone before waiting, so that whoever starts a thread never waits for one.
    let handle = lock(thread).take();
    if let Some(handle) = handle {
        // One that panicked has done nothing: searches go on without what it would have made.
        let _ = handle.join();
    }
}

/// A lock whose holder panicked guards data that is replaced whole, never left half.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LocalStore {
    /// Who is writing to the store at `dir` now, if anyone. Opens nothing.
    ///
    /// # Errors
    /// `Io` if the lock file cannot be read.
    pub fn holder(dir: &Path) -> Result<Option<HolderInfo>, StoreError> {
        lock::holder(dir)
    }

    /// Says where this writer can be asked from now on, for those it locks out.
    ///
    /// # Errors
    /// `ReadOnly`, or `Io` if the lock file cannot be written.
    pub fn set_address(&self, address: Option<String>) -> Result<(), StoreError> {
        self.writer()?.lock.set_address(address)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Whether it was opened for writing.
    pub fn is_writable(&self) -> bool {
        self.writer.is_some()
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        match &self.writer {
            Some(writer) => Ok(lock(writer)),
            None => Err(StoreError::ReadOnly(self.inner.dir.clone())),
        }
    }

    /// What opening found that the user should know, a sentence each: above all
    /// commits that were acknowledged and are lost. Empty for a sound store.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.inner.warnings.clone();
        if self.inner.filters.are_broken() {
            warnings.push(self.inner.broken_filters());
        }
        warnings
    }

    /// Waits until background work (compaction, building the graph) is done, also
    /// for what was written while it ran. Closing the store without this abandons it.
    pub fn settle(&self) {
        join(&self.compactor);
        join(&self.builder);
        // Commits while a graph was under construction started no other.
        self.build_graph_if_due();
        join(&self.builder);
        self.sweep();
    }
}

impl Inner {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn publish(&self, snapshot: Snapshot) {
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }

    /// Runs `f` on a connection for reading, of which there are as many as readers at once.
    fn read<T>(
        &self,
        f: impl FnOnce(&Catalogue) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let pooled = lock(&self.readers).pop();
        let catalogue = match pooled {
            Some(catalogue) => catalogue,
            None => Catalogue::open_reader(&*self.disk, &self.dir)?,
        };
        let result = catalogue.snapshot(f);
        // A connection on which something failed is not used again.
        if result.is_ok() {
            lock(&self.readers).push(catalogue);
        }
        result
    }

    /// Runs `f` on a connection for reading and the vectors that its state names.
    fn read_vectors<T>(
        &self,
        f: impl FnOnce(&Catalogue, &State, &VectorFile) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let pooled = lock(&self.readers).pop();
        let catalogue = match pooled {
            Some(catalogue) => catalogue,
            None => Catalogue::open_reader(&*self.disk, &self.dir)?,
        };
        let result = catalogue
            .on_state(|state| self.generation(state, false), |c, state, g| f(c, state, &g.file));
        if result.is_ok() {
            lock(&self.readers).push(catalogue);
        }
        result
    }

    /// The generation of a state, which is the current one but for an instant.
    fn generation(&self, state: &State, write: bool) -> Result<Arc<Generation>, StoreError> {
        let current = Arc::clone(&self.snapshot().generation);
        if current.number == state.generation {
            return Ok(current);
        }
        Generation::open(&*self.disk, &self.dir, &self.space, state, write)
    }
}

impl Snapshot {
    /// Loads all rows that `state` names, without reading all items if that can be.
    fn quick(
        dir: &Path,
        space: &Space,
        generation: Arc<Generation>,
        catalogue: &Catalogue,
        state: &State,
    ) -> Result<Self, StoreError> {
        match heads::rows_of(dir, space, &generation.file, catalogue, state)? {
            Some(rows) => Ok(Self { seq: state.seq, generation, rows: Arc::new(rows) }),
            None => Self::load(generation, catalogue, state),
        }
    }

    /// Loads all rows that `state` of the catalogue names, and checks all items.
    fn load(
        generation: Arc<Generation>,
        catalogue: &Catalogue,
        state: &State,
    ) -> Result<Self, StoreError> {
        let mut added = Vec::new();
        catalogue.heads(state, None, |head| added.push(head.added()))?;
        let rows = Rows::empty().next(&generation.file, state.rows, &added, &[])?;
        Ok(Self { seq: state.seq, generation, rows: Arc::new(rows) })
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        self.inner.cancel.store(true, Ordering::Relaxed);
        join(&self.compactor);
        join(&self.builder);
        self.join_filter_check();
        // What the word index lacks is caught up when the store is opened again.
        let _ = self.flush();
        if self.writer.is_some() {
            self.inner.save_heads();
        }
        self.sweep();
    }
}
