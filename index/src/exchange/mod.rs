//! How do vectors and what is known of them leave a store for other programs, and come back?
//!
//! Two forms: three files `NAME.npy`, `NAME.jsonl` and `NAME.json`
//! ([`LocalStore::export_npy`]), and one Parquet file (`LocalStore::export_parquet`,
//! feature `parquet`). Both hold every item of one committed state by ascending id:
//! its vector bit for bit, path, text, tags, facts of the file, whose captions are
//! whose. Not the failures, folders and settings, which are of this machine.
//!
//! Both are written and read as streams: memory does not grow with the store.

mod item;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;

use std::path::{Path, PathBuf};

use ekphrasis_embed::{Embedding, Space};

pub(crate) use self::item::Line;
use crate::catalogue::StoredItem;
use crate::{ItemId, Kind, LocalStore, Record, StoreError, StoreRead};

/// Version of both forms.
const FORMAT: u32 = 1;

/// Records that are imported in one commit.
const BATCH: usize = 1000;

/// Why nothing, or not all, was exported or imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file operation failed; the message names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Something is in the way.
    #[error("{} is there already and is left as it is; name another place", .0.display())]
    Exists(PathBuf),
    /// The vectors are of another space.
    #[error(
        "{} holds vectors of {found}, the store is of {expected}; import it into a store of its own",
        path.display()
    )]
    Space {
        /// What was to be imported.
        path: PathBuf,
        /// Its space: id and dimensions.
        found: String,
        /// The store's.
        expected: Space,
    },
    /// Not what an export writes.
    #[error("{} cannot be imported: {what}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where in it.
        what: String,
    },
}

/// What an export wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// How many items.
    pub items: u64,
    /// Who is missing, because the vector is damaged. Index them again, then export again.
    pub damaged: Vec<ItemId>,
}

/// Where exported items go.
trait Sink {
    fn put(&mut self, line: Line, vector: &[f32]) -> Result<(), ExchangeError>;
}

/// Where imported items come from, from the first to the last.
trait Source {
    /// The next items, as many as come at once, with their vectors unless only the
    /// lines are `wanted`; none at the end.
    fn next(&mut self, wanted: Wanted) -> Result<Vec<(Line, Vec<f32>)>, ExchangeError>;

    /// The file with the items, for messages.
    fn path(&self) -> &Path;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Lines,
}

impl LocalStore {
    /// Writes everything to `vectors` (f32, items × dimensions, as NumPy reads it) and to
    /// two files beside it with its name and other endings: `.jsonl` (a line an item, in
    /// the same order) and `.json` (space, counts and checksums; written last).
    ///
    /// # Errors
    /// `Exists` if one of the files is there; `Store` and `Io` as reading and writing fail.
    pub fn export_npy(&self, vectors: &Path) -> Result<Exported, ExchangeError> {
        let mut sink = npy::Writer::create(vectors, self.space().dim())?;
        let exported = self.export(&mut sink)?;
        sink.finish(self.space())?;
        Ok(exported)
    }

    /// Reads what [`LocalStore::export_npy`] wrote, over whatever items with the
    /// same ids are here. Says how many items came. Cut short, it can be done again.
    ///
    /// # Errors
    /// `Space` for vectors of another space, `Format` for anything that was not
    /// written so, both before anything is changed if it can be known by then.
    pub fn import_npy(&self, vectors: &Path) -> Result<u64, ExchangeError> {
        npy::check(vectors, self.space())?;
        self.import(|| npy::Reader::open(vectors, self.space().dim()))
    }

    /// Writes everything to one Parquet file: a row an item, the vector in the
    /// column `vector`, a list of 32-bit floats.
    ///
    /// # Errors
    /// `Exists` if the file is there; `Store` and `Io` as reading and writing fail.
    #[cfg(feature = "parquet")]
    pub fn export_parquet(&self, file: &Path) -> Result<Exported, ExchangeError> {
        let mut sink = parquet::Writer::create(file, self.space())?;
        let exported = self.export(&mut sink)?;
        sink.finish()?;
        Ok(exported)
    }

    /// Reads what [`LocalStore::export_parquet`] wrote, as [`LocalStore::import_npy`] does.
    ///
    /// # Errors
    /// As [`LocalStore::import_npy`].
    #[cfg(feature = "parquet")]
    pub fn import_parquet(&self, file: &Path) -> Result<u64, ExchangeError> {
        self.import(|| parquet::Reader::open(file, self.space()))
    }

    fn export(&self, sink: &mut impl Sink) -> Result<Exported, ExchangeError> {
        let mut exported = Exported::default();
        let mut failed = None;
        self.each_stored(|stored, captions, vector| {
            let Some(vector) = vector else {
                exported.damaged.push(stored.item.id);
                return true;
            };
            exported.items += 1;
            failed = sink.put(Line::of(stored, captions), vector).err();
            failed.is_none()
        })?;
        failed.map_or(Ok(exported), Err)
    }

    fn import<S: Source>(
        &self,
        open: impl Fn() -> Result<S, ExchangeError>,
    ) -> Result<u64, ExchangeError> {
        let space = self.space();
        let mut count = 0;
        let mut source = open()?;
        loop {
            let batch = source.next(Wanted::All)?;
            if batch.is_empty() {
                break;
            }
            let mut records = Vec::with_capacity(batch.len());
            for (line, vector) in batch {
                count += 1;
                let format = |what| ExchangeError::Format {
                    path: source.path().into(),
                    what: format!("item {count}: {what}"),
                };
                let embedding = Embedding::new(space, vector).map_err(|e| format(e.to_string()))?;
                let (item, standalone, _) = line.read().map_err(format)?;
                records.push((Record { item, embedding }, standalone));
            }
            self.restore(&records)?;
        }
        // Only now is every text there that is someone's caption.
        let mut source = open()?;
        loop {
            let batch = source.next(Wanted::Lines)?;
            if batch.is_empty() {
                return Ok(count);
            }
            let mut captions = vec![];
            for (line, _) in batch {
                let read = line.read();
                let (item, _, texts) = read
                    .map_err(|what| ExchangeError::Format { path: source.path().into(), what })?;
                // A picture without captions loses those that it has here.
                if item.kind == Kind::Image || !texts.is_empty() {
                    captions.push((item.id, texts));
                }
            }
            self.link(captions)?;
        }
    }
}

/// Refuses to write where something is.
fn vacant(path: &Path) -> Result<(), ExchangeError> {
    if fs_err::symlink_metadata(path).is_ok() {
        return Err(ExchangeError::Exists(path.into()));
    }
    Ok(())
}

/// A file's name while it is written.
fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

impl Line {
    fn of(stored: &StoredItem, captions: Vec<ItemId>) -> Self {
        Self::new(&stored.item, stored.standalone, &captions)
    }
}
