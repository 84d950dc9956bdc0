//! Given a directory, is it a store, of which space, and may it be opened?

use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use ekphrasis_embed::Space;

use super::texts::TextState;
use super::{Access, Inner, LocalStore, Options, Snapshot, Watch, Writer, lock};
use crate::catalogue::{self, Catalogue};
use crate::lock::{LOCK_FILE, WriterLock};
use crate::vector::{Graph, VectorFile};
use crate::{Seq, StoreError};

/// What a folder is, by the names in it.
enum Folder {
    Absent,
    /// Empty, or with what making a store leaves when it is cut short.
    Blank,
    Store,
    Other(String),
}

fn look(dir: &Path) -> Result<Folder, StoreError> {
    let entries = match fs_err::read_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Folder::Absent),
        entries => entries?,
    };
    let (mut other, mut store) = (None, false);
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        store |= name == catalogue::FILE;
        let ours = name == LOCK_FILE
            || [catalogue::FILE, "vectors-", "graph-", "text-"].iter().any(|p| name.starts_with(p));
        if !ours {
            other = Some(name);
        }
    }
    Ok(match other {
        _ if store => Folder::Store,
        Some(name) => Folder::Other(name),
        None => Folder::Blank,
    })
}

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
        let folder = look(dir)?;
        if let Folder::Other(found) = folder {
            return Err(StoreError::NotAStore { path: dir.into(), found });
        }
        match access {
            Access::Read if matches!(folder, Folder::Store) => Self::open_read(dir, space, options),
            Access::Read => Err(StoreError::NoStore(dir.into())),
            Access::Write(holder) => {
                fs_err::create_dir_all(dir)?;
                let lock = WriterLock::take(dir, &holder)?;
                Self::open_write(dir, space, lock, options)
            }
        }
    }

    /// The space of the store at `dir`; `None` if there is no store.
    ///
    /// # Errors
    /// As for reading in [`LocalStore::open`].
    pub fn space_of(dir: &Path) -> Result<Option<Space>, StoreError> {
        match look(dir)? {
            Folder::Absent | Folder::Blank => Ok(None),
            Folder::Other(found) => Err(StoreError::NotAStore { path: dir.into(), found }),
            Folder::Store => match open_catalogue(dir) {
                Ok(catalogue) => Ok(Some(catalogue.state()?.space)),
                Err(StoreError::NoStore(_)) => Ok(None),
                Err(e) => Err(e),
            },
        }
    }

    fn open_write(
        dir: &Path,
        space: &Space,
        lock: WriterLock,
        options: Options,
    ) -> Result<Self, StoreError> {
        let database = dir.join(catalogue::FILE);
        let blank = match fs_err::metadata(&database) {
            Ok(m) => m.len() == 0 || Catalogue::open_blank(dir)?,
            Err(e) if e.kind() == ErrorKind::NotFound => true,
            Err(e) => return Err(e.into()),
        };
        if blank {
            // Before the catalogue, so that a catalogue always has its vectors.
            VectorFile::create(dir, space, 1)?;
            sync_folder(dir)?;
        }
        let catalogue = Catalogue::open_writer(dir, space)?;
        if blank {
            sync_folder(dir)?;
            dir.parent().map_or(Ok(()), |parent| {
                sync_folder(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
            })?;
        }
        let inner = Inner::over(dir, space, &catalogue, true, options)?;
        let writer = Some(Mutex::new(Writer { catalogue, lock }));
        let this = Self { inner: Arc::new(inner), writer, watch: None, builder: Mutex::new(None) };
        this.build_graph_if_due();
        Ok(this)
    }

    fn open_read(dir: &Path, space: &Space, options: Options) -> Result<Self, StoreError> {
        let catalogue = open_catalogue(dir)?;
        // Before reading: a commit in between is then seen again, not missed.
        let version = catalogue.data_version()?;
        let inner = catalogue.snapshot(|c| Inner::over(dir, space, c, false, options))?;
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
            let next = if rows.count(&crate::Filter::default()) == state.items {
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
        let (inner, rows) = (&self.inner, &self.inner.snapshot().rows);
        let covered = inner.graph().map_or(0, |g| g.covered());
        if rows.len() - covered.min(rows.len()) > inner.options.graph_tail as u64
            && let Ok(graph) = Graph::load(&inner.dir, &inner.space, inner.generation)
            && graph.covered() > covered
        {
            inner.set_graph(graph);
        }
    }
}

impl Inner {
    fn over(
        dir: &Path,
        space: &Space,
        catalogue: &Catalogue,
        write: bool,
        options: Options,
    ) -> Result<Self, StoreError> {
        let state = catalogue.state()?;
        if state.space != *space {
            return Err(StoreError::SpaceMismatch {
                expected: state.space,
                got: space.clone(),
                path: Some(dir.into()),
            });
        }
        let file = VectorFile::open(dir, space, state.generation, write)?;
        let snapshot = Self::load(&file, catalogue, &state)?;
        let text = TextState::open(dir, catalogue, &state, write)?;
        let graph = Graph::load(dir, space, state.generation)
            .ok()
            .filter(|graph| graph.covered() <= state.rows)
            .map(Arc::new);
        Ok(Self {
            dir: dir.into(),
            space: space.clone(),
            generation: state.generation,
            options,
            file,
            snapshot: RwLock::new(Arc::new(snapshot)),
            readers: Mutex::default(),
            text: Mutex::new(text),
            graph: RwLock::new(graph),
            building: AtomicBool::new(false),
            cancel: AtomicBool::new(false),
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
fn open_catalogue(dir: &Path) -> Result<Catalogue, StoreError> {
    let blank =
        fs_err::metadata(dir.join(catalogue::FILE))?.len() == 0 || Catalogue::open_blank(dir)?;
    if !blank {
        return Catalogue::open_reader(dir);
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

fn sync_folder(dir: &Path) -> Result<(), StoreError> {
    // Only Unix lets a folder be opened and synchronised.
    if cfg!(unix) {
        fs_err::File::open(dir)?.sync_all()?;
    }
    Ok(())
}
