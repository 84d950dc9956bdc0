//! Given a directory, is it a store, of which space, and may it be opened?

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ekphrasis_embed::Space;

use super::filters::Filters;
use super::folder::{self, Folder};
use super::texts::TextState;
use super::{
    Access, Generation, Inner, LocalStore, Options, Snapshot, Watch, Writer, heads, lock, mark,
    recall,
};
use crate::catalogue::{self, Catalogue, State};
use crate::disk::{Disk, OsDisk};
use crate::filter::Pass;
use crate::lock::WriterLock;
use crate::vector::{Graph, VectorFile};
use crate::{Seq, StoreError};

impl LocalStore {
    /// Opens the store at `dir`, whose vectors are of `space`. For writing, it
    /// is made if there is none.
    ///
    /// # Errors
    /// `NoStore` when reading what is not there; `NotAStore` for a folder with
    /// something else in it, which is left alone; `SpaceMismatch` if it holds
    /// vectors of another space; `Locked` if another process is writing;
    /// `Version` or `Corrupt` for files that cannot be trusted.
    pub fn open(dir: &Path, space: &Space, access: Access) -> Result<Self, StoreError> {
        Self::open_with(dir, space, access, Options::default())
    }

    /// As [`LocalStore::open`], with options of one's own.
    ///
    /// # Errors
    /// As [`LocalStore::open`].
    pub fn open_with(
        dir: &Path,
        space: &Space,
        access: Access,
        options: Options,
    ) -> Result<Self, StoreError> {
        Self::open_on(Arc::new(OsDisk), dir, space, access, options)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        dir: &Path,
        space: &Space,
        access: Access,
        options: Options,
    ) -> Result<Self, StoreError> {
        let folder = folder::look(dir)?;
        if let Folder::Other(found) = folder {
            return Err(StoreError::NotAStore { path: dir.into(), found });
        }
        match access {
            Access::Read if matches!(folder, Folder::Store) => {
                Self::open_read(disk, dir, space, options)
            }
            Access::Read => Err(StoreError::NoStore(dir.into())),
            Access::Write(holder) => {
                if matches!(folder, Folder::Store) {
                    // Before anything is written: a database of someone else's stays as it is.
                    look_inside(&*disk, dir, space)?;
                }
                folder::make(&*disk, dir)?;
                let lock = WriterLock::take(dir, &holder)?;
                Self::open_write(disk, dir, space, lock, options)
            }
        }
    }

    /// The space of the store at `dir`; `None` if there is no store.
    ///
    /// # Errors
    /// As for reading in [`LocalStore::open`].
    pub fn space_of(dir: &Path) -> Result<Option<Space>, StoreError> {
        Ok(Self::glance(dir)?.map(|glance| glance.space))
    }

    fn open_write(
        disk: Arc<dyn Disk>,
        dir: &Path,
        space: &Space,
        lock: WriterLock,
        options: Options,
    ) -> Result<Self, StoreError> {
        let database = dir.join(catalogue::FILE);
        let blank = match fs_err::metadata(&database) {
            Ok(m) => m.len() == 0 || Catalogue::open_blank(&*disk, dir)?,
            Err(e) if e.kind() == ErrorKind::NotFound => true,
            Err(e) => return Err(e.into()),
        };
        if blank {
            // Before the catalogue, so that a catalogue always has its vectors.
            VectorFile::create(&*disk, dir, space, 1)?;
            mark::write(&*disk, dir, 0);
            disk.sync_dir(dir)?;
            Catalogue::create(&*disk, dir, space)?;
        }
        let catalogue = Catalogue::open_writer(&*disk, dir)?;
        let state = catalogue.state()?;
        let generation = Generation::open(&*disk, dir, space, &state, true)?;
        let inner = Inner::over(disk, dir, space, &catalogue, generation, true, options)?;
        let writer = Writer { catalogue, lock };
        inner.remove_others(&writer)?;
        let this = Self {
            inner: Arc::new(inner),
            writer: Some(Arc::new(Mutex::new(writer))),
            watch: None,
            builder: Mutex::new(None),
            compactor: Mutex::new(None),
        };
        this.tend();
        this.build_graph_if_due();
        Ok(this)
    }

    fn open_read(
        disk: Arc<dyn Disk>,
        dir: &Path,
        space: &Space,
        options: Options,
    ) -> Result<Self, StoreError> {
        let catalogue = open_catalogue(&*disk, dir)?;
        // Before reading: a commit in between is then seen again, not missed.
        let version = catalogue.data_version()?;
        let inner = catalogue.on_state(
            |state| Generation::open(&*disk, dir, space, state, false),
            |c, _, generation| {
                Inner::over(Arc::clone(&disk), dir, space, c, generation, false, options)
            },
        )?;
        Ok(Self {
            inner: Arc::new(inner),
            writer: None,
            watch: Some(Mutex::new(Watch { catalogue, version })),
            builder: Mutex::new(None),
            compactor: Mutex::new(None),
        })
    }

    /// Takes up what another process committed since; says whether there was
    /// something. Reading does so by itself. A no-op for a writer.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn refresh(&self) -> Result<bool, StoreError> {
        let Some(watch) = &self.watch else { return Ok(false) };
        let mut watch = lock(watch);
        let version = watch.catalogue.data_version()?;
        if version == watch.version {
            return Ok(false);
        }
        let old = self.inner.snapshot();
        let changed = watch.catalogue.on_state(
            |state| self.inner.generation(state, false),
            |c, state, generation| {
                if state.seq == old.seq {
                    return Ok(false);
                }
                self.inner.publish(self.inner.follow(&old, c, state, generation)?);
                Ok(true)
            },
        )?;
        watch.version = version;
        drop(watch);
        if changed {
            self.load_newer_graph();
        }
        Ok(changed)
    }

    /// Takes the graph another process built, if the one here leaves much uncovered.
    pub(super) fn load_newer_graph(&self) {
        let (inner, snapshot) = (&self.inner, self.inner.snapshot());
        let generation = snapshot.generation.number;
        let covered = inner.graph_of(&snapshot).map_or(0, |g| g.covered());
        if snapshot.rows.len().saturating_sub(covered) > inner.options.graph_tail as u64 {
            let graph = Graph::open(&inner.dir, &inner.space, generation);
            if graph.covered() > covered && graph.fits(&snapshot.rows, snapshot.seq) {
                inner.set_graph(generation, graph);
            }
        }
    }
}

impl Inner {
    fn over(
        disk: Arc<dyn Disk>,
        dir: &Path,
        space: &Space,
        catalogue: &Catalogue,
        generation: Arc<Generation>,
        write: bool,
        options: Options,
    ) -> Result<Self, StoreError> {
        let marked = mark::read(dir);
        let state = catalogue.state()?;
        let snapshot = if write {
            Snapshot::load(generation, catalogue, &state)?
        } else {
            Snapshot::quick(dir, space, generation, catalogue, &state)?
        };
        let text = TextState::open(&disk, dir, catalogue, &state, write)?;
        let stored = Graph::open(dir, space, state.generation);
        let listed = heads::claims(dir, space, state.generation);
        let seen = [marked, text.claims(), stored.seq(), listed];
        let warnings =
            lost_commits(&*disk, dir, &state, seen.into_iter().max().unwrap_or(0), write);
        let fits = stored.covered() > 0 && stored.fits(&snapshot.rows, state.seq);
        let graph = fits.then(|| (state.generation, Arc::new(stored)));
        if write && graph.is_none() {
            // It is of another past: once the commits are as many again, it must not be believed.
            Graph::default().tidy(&*disk, dir, state.generation)?;
        }
        let this = Self {
            disk,
            dir: dir.into(),
            space: space.clone(),
            options,
            snapshot: RwLock::new(Arc::new(snapshot)),
            readers: Mutex::default(),
            text: Mutex::new(text),
            graph: RwLock::new(graph),
            filters: Filters::default(),
            ef: AtomicUsize::new(0),
            building: AtomicBool::new(false),
            compacting: Mutex::new(()),
            checked: AtomicBool::new(write),
            saved: Mutex::new(Generation::saved(dir, space, &state)),
            retired: Mutex::default(),
            cancel: AtomicBool::new(false),
            warnings,
        };
        this.set_ef(recall::kept(catalogue)?.as_ref());
        Ok(this)
    }

    /// The snapshot of a state after `old`.
    pub(super) fn follow(
        &self,
        old: &Snapshot,
        catalogue: &Catalogue,
        state: &State,
        generation: Arc<Generation>,
    ) -> Result<Snapshot, StoreError> {
        if generation.number == old.generation.number {
            let mut added = Vec::new();
            catalogue.heads(state, Some(old.seq), |head| added.push(head.added()))?;
            let dead = catalogue.dead_after(old.seq)?;
            let rows = old.rows.next(&generation.file, state.rows, &added, &dead)?;
            if rows.count(&Pass::default()) == state.items {
                return Ok(Snapshot { seq: state.seq, generation, rows: Arc::new(rows) });
            }
        }
        Snapshot::quick(&self.dir, &self.space, generation, catalogue, state)
    }

    /// The graph, if it is of the rows of `snapshot`.
    pub(super) fn graph_of(&self, snapshot: &Snapshot) -> Option<Arc<Graph>> {
        let graph = self.graph.read().unwrap_or_else(PoisonError::into_inner);
        let (generation, graph) = graph.as_ref()?;
        (*generation == snapshot.generation.number).then(|| Arc::clone(graph))
    }

    pub(super) fn set_graph(&self, generation: u32, graph: Graph) {
        let mut place = self.graph.write().unwrap_or_else(PoisonError::into_inner);
        // One of rows that were renumbered meanwhile comes too late.
        if place.as_ref().is_none_or(|(newest, _)| generation >= *newest) {
            *place = Some((generation, Arc::new(graph)));
        }
    }

    pub(super) fn seq(&self) -> Seq {
        self.snapshot().seq
    }
}

/// The catalogue of a store for reading; `NoStore` if it was never finished.
pub(super) fn open_catalogue(disk: &dyn Disk, dir: &Path) -> Result<Catalogue, StoreError> {
    let blank = fs_err::metadata(dir.join(catalogue::FILE))?.len() == 0
        || Catalogue::open_blank(disk, dir)?;
    if !blank {
        return Catalogue::open_reader(disk, dir);
    }
    if folder::with_vectors(dir)?.is_some() {
        return Err(StoreError::corrupt(
            &dir.join(catalogue::FILE),
            "it is empty, but there are vectors",
        ));
    }
    Err(StoreError::NoStore(dir.into()))
}

/// Refuses, without writing anything, a database that is not ours or of another space.
fn look_inside(disk: &dyn Disk, dir: &Path, space: &Space) -> Result<(), StoreError> {
    match open_catalogue(disk, dir) {
        Ok(catalogue) => of_space(dir, &catalogue.state()?, space),
        // Made anew below, but only where nothing of someone else's can be overwritten.
        Err(StoreError::NoStore(_)) => match folder::foreign(dir)? {
            Some(found) => Err(StoreError::NotAStore { path: dir.into(), found }),
            None => Ok(()),
        },
        Err(e) => Err(e),
    }
}

fn of_space(dir: &Path, state: &State, space: &Space) -> Result<(), StoreError> {
    if state.space == *space {
        return Ok(());
    }
    Err(StoreError::SpaceMismatch {
        expected: state.space.clone(),
        got: space.clone(),
        path: Some(dir.into()),
    })
}

/// A warning if commit `seen`, of which something else in the store tells, is not in the catalogue.
fn lost_commits(disk: &dyn Disk, dir: &Path, state: &State, seen: Seq, write: bool) -> Vec<String> {
    let newest = || {
        // A reader may have seen work that was committed after it looked.
        let fresh = if write { None } else { Catalogue::open_reader(disk, dir).ok() };
        fresh.and_then(|c| c.state().ok()).map_or(state.seq, |s| s.seq)
    };
    if seen <= state.seq || seen <= newest() {
        return vec![];
    }
    vec![format!(
        "{} has lost changes: it knows {} commits, but {seen} were made; its log was damaged, deleted, or copied while it was written. \
         What is missing has to be indexed again: run `ek index` on your folders",
        dir.join(catalogue::FILE).display(),
        state.seq
    )]
}

impl Generation {
    /// Opens the files of a state, which is of `space`.
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &Path,
        space: &Space,
        state: &State,
        write: bool,
    ) -> Result<Arc<Self>, StoreError> {
        of_space(dir, state, space)?;
        let number = state.generation;
        Ok(Arc::new(Self { number, file: VectorFile::open(disk, dir, space, number, write)? }))
    }
}
