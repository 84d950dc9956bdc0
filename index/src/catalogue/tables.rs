//! Which tables are in the catalogue, and what becomes of those that an older
//! version of this program made? The first writer brings them up to date, in one
//! transaction; until then readers do without what is new.

use std::io::ErrorKind;
use std::path::Path;

use ekphrasis_embed::Space;
use rusqlite::OpenFlags;

use super::{Catalogue, ENDS, FILE, NEW, State, applied, facets, named};
use crate::StoreError;
use crate::disk::Disk;

/// Version of the tables below, in `user_version`. Version 1 had neither labels
/// nor facts nor the tables of `facets`.
pub(super) const VERSION: u32 = 2;

const SCHEMA: &str = "
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    space TEXT NOT NULL, dim INTEGER NOT NULL, generation INTEGER NOT NULL,
    seq INTEGER NOT NULL, rows INTEGER NOT NULL, items INTEGER NOT NULL, digest INTEGER NOT NULL,
    hash INTEGER NOT NULL
);
CREATE TABLE items (
    id BLOB PRIMARY KEY, kind INTEGER NOT NULL, row INTEGER NOT NULL, seq INTEGER NOT NULL,
    path BLOB, text TEXT, tags TEXT NOT NULL, standalone INTEGER NOT NULL,
    size INTEGER, mtime_ns INTEGER, content BLOB, width INTEGER, height INTEGER, format TEXT,
    hash INTEGER NOT NULL, head INTEGER NOT NULL, labels TEXT, facts TEXT
) WITHOUT ROWID;
CREATE INDEX items_by_seq ON items (seq);
CREATE INDEX items_by_path ON items (path) WHERE path IS NOT NULL;
CREATE TABLE dead (row INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE INDEX dead_by_seq ON dead (seq);
CREATE TABLE captions (
    owner BLOB NOT NULL, text BLOB NOT NULL, PRIMARY KEY (owner, text)
) WITHOUT ROWID;
CREATE INDEX captions_by_text ON captions (text);
CREATE TABLE failures (path BLOB PRIMARY KEY, reason TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (path BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
";

/// What only saves work. A store without it says the same, so it has no version of its
/// own: the first writer adds it.
const HELPS: &str = "
CREATE INDEX IF NOT EXISTS items_by_content ON items (content) WHERE content IS NOT NULL;
CREATE TABLE IF NOT EXISTS judged (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL
) WITHOUT ROWID;
";

/// Makes the tables of version 1 those of version 2. Rows stay as they are:
/// without labels and facts, a row's hash is that of version 1.
const FROM_1: &str = "
ALTER TABLE items ADD COLUMN labels TEXT;
ALTER TABLE items ADD COLUMN facts TEXT;
";

impl Catalogue {
    /// Makes the database with an empty state of `space`, over one without tables.
    ///
    /// It is made whole beside its name and then moved there: a database that is
    /// there can be read, whenever making it is cut short.
    pub(crate) fn create(disk: &dyn Disk, dir: &Path, space: &Space) -> Result<(), StoreError> {
        for start in [NEW, FILE] {
            for end in ENDS.into_iter().rev() {
                match disk.remove(&dir.join(format!("{start}{end}"))) {
                    Err(e) if e.kind() != ErrorKind::NotFound => return Err(e.into()),
                    _ => {}
                }
            }
        }
        // A log that came back would be read as that of the new database.
        disk.sync_dir(dir)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let this = Self::open(disk, dir.join(NEW), flags)?;
        this.write_safely()?;
        let state =
            State { space: space.clone(), generation: 1, seq: 0, rows: 0, items: 0, digest: 0 };
        this.transaction(|this| {
            this.sql(|c| c.execute_batch(SCHEMA))?;
            this.sql(|c| c.execute_batch(facets::SCHEMA))?;
            this.sql(|c| c.execute_batch(HELPS))?;
            this.sql(|c| c.execute_batch(named::SCHEMA))?;
            this.sql(|c| c.execute_batch(applied::SCHEMA))?;
            this.set_version()?;
            this.set_state(&state)?;
            this.rebuild_facets()
        })?;
        if !this.checkpoint()? {
            return Err(this.corrupt("it is in use while it is made"));
        }
        this.close()?;
        disk.rename(&dir.join(NEW), &dir.join(FILE))?;
        Ok(disk.sync_dir(dir)?)
    }

    /// Refuses tables that this program does not know.
    pub(super) fn check_version(&self) -> Result<(), StoreError> {
        let ours = "SELECT COUNT(*) > 0 FROM sqlite_schema WHERE name IN ('state', 'items')";
        if !self.sql(|c| c.query_row(ours, [], |r| r.get(0)))? {
            let dir = self.path.parent().unwrap_or(&self.path);
            return Err(StoreError::NotAStore { path: dir.into(), found: FILE.into() });
        }
        let found: u32 = self.sql(|c| c.pragma_query_value(None, "user_version", |r| r.get(0)))?;
        if (1..=VERSION).contains(&found) {
            self.version.set(found);
            return Ok(());
        }
        Err(StoreError::Version {
            path: self.path.clone(),
            found: found.into(),
            supported: VERSION.into(),
        })
    }

    /// Brings tables of an older version, and what is derived from others, up to date.
    pub(super) fn upgrade(&self) -> Result<(), StoreError> {
        if self.version() == 1 {
            self.transaction(|this| {
                this.sql(|c| c.execute_batch(FROM_1))?;
                this.sql(|c| c.execute_batch(facets::SCHEMA))?;
                this.set_version()?;
                this.rebuild_facets()
            })?;
        }
        if !self.has_facets()? {
            self.transaction(Self::rebuild_facets)?;
        }
        let there = "SELECT COUNT(*) FROM sqlite_schema WHERE name IN \
             ('items_by_content', 'judged', 'named', 'named_vectors', 'applied', \
             'applied_labels', 'applied_rows', 'applied_by_row')";
        if self.sql(|c| c.query_row(there, [], |r| r.get::<_, i64>(0)))? < 8 {
            self.transaction(|this| {
                this.sql(|c| c.execute_batch(HELPS))?;
                this.sql(|c| c.execute_batch(named::SCHEMA))?;
                this.sql(|c| c.execute_batch(applied::SCHEMA))
            })?;
        }
        Ok(())
    }

    pub(super) fn set_version(&self) -> Result<(), StoreError> {
        self.sql(|c| c.pragma_update(None, "user_version", VERSION))?;
        self.version.set(VERSION);
        Ok(())
    }

    /// Version of the tables.
    pub(super) fn version(&self) -> u32 {
        self.version.get()
    }
}
