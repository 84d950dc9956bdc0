//! Given a directory, is it a store, of which space, and may it be opened?

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ekphrasis_embed::Space;

use super::filters::Filters;
use super::folder::{self, Folder};
use super::texts::TextState;
use super::{Access, Inner, LocalStore, Options, Snapshot, Watch, Writer, lock, mark};
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
        match folder::look(dir)? {
            Folder::Absent | Folder::Blank => Ok(None),
            Folder::Other(found) => Err(StoreError::NotAStore { path: dir.into(), found }),
            Folder::Store => match open_catalogue(&OsDisk, dir) {
                Ok(catalogue) => Ok(Some(catalogue.state()?.space)),
                Err(StoreError::NoStore(_)) => Ok(None),
                Err(e) => Err(e),
            },
        }
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
        }
        let catalogue = Catalogue::open_writer(&*disk, dir, space)?;
        if blank {
            disk.sync_dir(dir)?;
        }
        let inner = Inner::over(disk, dir, space, &catalogue, true, options)?;
        let writer = Some(Mutex::new(Writer { catalogue, lock }));
        let this = Self { inner: Arc::new(inner), writer, watch: None, builder: Mutex::new(None) };
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
        let inner = catalogue.snapshot(|c| Inner::over(disk, dir, space, c, false, options))?;
        Ok(Self {
            inner: Arc::new(inner),
            writer: None,
            watch: Some(Mutex::new(Watch { catalogue, version })),
            builder: Mutex::new(None),
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
        let changed = watch.catalogue.snapshot(|c| {
            let state = c.state()?;
            if state.seq == old.seq {
                return Ok(false);
            }
            let mut added = Vec::new();
            c.heads(&state, Some(old.seq), |head| added.push(head.added()))?;
            let dead = c.dead_after(old.seq)?;
            let rows = old.rows.next(&self.inner.file, state.rows, &added, &dead)?;
            let next = if rows.count(&Pass::default()) == state.items {
                Snapshot { seq: state.seq, rows: Arc::new(rows) }
            } else {
                Inner::load(&self.inner.file, c, &state)?
            };
            let mut text = lock(&self.inner.text);
            text.follow(c, &state);
            self.inner.publish(next);
            Ok(true)
        })?;
        watch.version = version;
        drop(watch);
        if changed {
            self.load_newer_graph();
        }
        Ok(changed)
    }

    /// Takes the graph another process built, if the one here leaves much uncovered.
    fn load_newer_graph(&self) {
        let (inner, snapshot) = (&self.inner, self.inner.snapshot());
        let covered = inner.graph().map_or(0, |g| g.covered());
        if snapshot.rows.len().saturating_sub(covered) > inner.options.graph_tail as u64 {
            let graph = Graph::open(&inner.dir, &inner.space, inner.generation);
            if graph.covered() > covered && graph.fits(&snapshot.rows, snapshot.seq) {
                inner.set_graph(graph);
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
        write: bool,
        options: Options,
    ) -> Result<Self, StoreError> {
        // Before the state: what another process commits in between is no loss.
        let marked = mark::read(dir);
        let state = catalogue.state()?;
        of_space(dir, &state, space)?;
        let file = VectorFile::open(&*disk, dir, space, state.generation, write)?;
        let snapshot = Self::load(&file, catalogue, &state)?;
        let text = TextState::open(&disk, dir, catalogue, &state, write)?;
        let stored = Graph::open(dir, space, state.generation);
        let seen = [marked, text.claims(), stored.seq()];
        let warnings =
            lost_commits(&*disk, dir, &state, seen.into_iter().max().unwrap_or(0), write);
        let fits = stored.covered() > 0 && stored.fits(&snapshot.rows, state.seq);
        let graph = fits.then(|| Arc::new(stored));
        if write && graph.is_none() {
            // It is of another past: once the commits are as many again, it must not be believed.
            Graph::default().tidy(&*disk, dir, state.generation)?;
        }
        Ok(Self {
            disk,
            dir: dir.into(),
            space: space.clone(),
            generation: state.generation,
            options,
            file,
            snapshot: RwLock::new(Arc::new(snapshot)),
            readers: Mutex::default(),
            text: Mutex::new(text),
            graph: RwLock::new(graph),
            filters: Filters::default(),
            building: AtomicBool::new(false),
            cancel: AtomicBool::new(false),
            warnings,
        })
    }

    pub(super) fn graph(&self) -> Option<Arc<Graph>> {
        self.graph.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_graph(&self, graph: Graph) {
        *self.graph.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(graph));
    }

    pub(super) fn seq(&self) -> Seq {
        self.snapshot().seq
    }
}

/// The catalogue of a store for reading; `NoStore` if it was never finished.
fn open_catalogue(disk: &dyn Disk, dir: &Path) -> Result<Catalogue, StoreError> {
    let blank = fs_err::metadata(dir.join(catalogue::FILE))?.len() == 0
        || Catalogue::open_blank(disk, dir)?;
    if !blank {
        return Catalogue::open_reader(disk, dir);
    }
    let vectors = dir.join(VectorFile::name(1));
    if fs_err::metadata(&vectors).is_ok_and(|m| m.len() > VectorFile::EMPTY) {
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
