//! What is in the store, according to the catalogue?
//!
//! `catalogue.db` is a SQLite database in WAL mode with full synchronisation: its commit is the
//! store's commit. SQLite has no page checksums, so the rows carry their own: every item a hash of
//! all it says, and the table of items an XOR of them, so that neither a changed nor a vanished row
//! of a state goes unseen. The log is another matter: SQLite takes a damaged frame in
//! `catalogue.db-wal` for its end, and opens an older state, sound in itself. That is found by what
//! lies beside the catalogue (see the store's warnings).

mod applied;
mod counts;
mod facets;
mod filter;
mod item;
mod named;
mod tables;
mod told;
#[cfg(test)]
pub(crate) mod vfs;
mod whole;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ekphrasis_embed::Space;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

pub(crate) use self::applied::AppliedSet;
pub(crate) use self::counts::Tally;
pub(crate) use self::facets::VERSION_KEY as FILTERS_VERSION;
pub(crate) use self::item::{Head, StoredItem, kind_code, path_bytes, path_from_bytes};
use self::item::{ITEM, ITEM_1, hash};
use self::tables::VERSION;
use self::told::Told;
pub(crate) use self::told::{facts_json, facts_of_json};
use crate::disk::Disk;
use crate::{ItemId, Kind, Seq, StoreError};

/// Name of the database.
pub(crate) const FILE: &str = "catalogue.db";

/// Its name while it is made.
const NEW: &str = "catalogue.db.new";

/// What SQLite puts after the name of a database for the files beside it.
const ENDS: [&str; 4] = ["", "-journal", "-wal", "-shm"];

/// The one row that says which state the store is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) space: Space,
    pub(crate) generation: u32,
    pub(crate) seq: Seq,
    /// Rows of the vector file that count.
    pub(crate) rows: u64,
    pub(crate) items: u64,
    /// XOR of all items' `head`.
    pub(crate) digest: i64,
}

impl State {
    fn hash(&self) -> i64 {
        hash(&[
            self.space.id().as_bytes(),
            &(self.space.dim() as u64).to_le_bytes(),
            &self.generation.to_le_bytes(),
            &self.seq.to_le_bytes(),
            &self.rows.to_le_bytes(),
            &self.items.to_le_bytes(),
            &self.digest.to_le_bytes(),
        ])
    }
}

/// A connection to the catalogue. Its methods inside one transaction see one state.
pub(crate) struct Catalogue {
    conn: Connection,
    path: PathBuf,
    /// Of the tables, when they were last looked at; 0 before. A writer may upgrade
    /// them under a reader.
    version: Cell<u32>,
}

impl Catalogue {
    /// Opens the database for writing.
    pub(crate) fn open_writer(disk: &dyn Disk, dir: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let this = Self::open(disk, dir.join(FILE), flags)?;
        this.check_version()?;
        this.write_safely()?;
        this.upgrade()?;
        Ok(this)
    }

    /// A commit is in the log, and the log is synchronised, before it returns.
    fn write_safely(&self) -> Result<(), StoreError> {
        self.sql(|c| {
            c.pragma_update(None, "journal_mode", "WAL")?;
            c.pragma_update(None, "synchronous", "FULL")?;
            // What a compaction makes of the log is given back.
            c.pragma_update(None, "journal_size_limit", 64 << 20)
        })
    }

    /// Closes the database and says what went wrong with it.
    fn close(self) -> Result<(), StoreError> {
        let Self { conn, path, .. } = self;
        conn.close().map_err(|(_, source)| StoreError::Catalogue { path, source })
    }

    /// Whether the database at `dir`, which exists, has no tables yet.
    pub(crate) fn open_blank(disk: &dyn Disk, dir: &Path) -> Result<bool, StoreError> {
        Self::open_unchecked(disk, dir)?.is_blank()
    }

    /// Opens the database for reading.
    pub(crate) fn open_reader(disk: &dyn Disk, dir: &Path) -> Result<Self, StoreError> {
        let this = Self::open_unchecked(disk, dir)?;
        this.check_version()?;
        Ok(this)
    }

    fn open_unchecked(disk: &dyn Disk, dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Ok(match Self::open(disk, path.clone(), flags).and_then(|c| c.is_blank().map(|_| c)) {
            // SQLite wants to lay a shared-memory file beside the database, which this user may
            // not. Without a log the database alone is the whole state. Another user who begins
            // to write meanwhile goes unseen by this connection: what is torn by that fails its
            // hashes and is an error, never a wrong answer.
            Err(StoreError::Catalogue { source, .. }) if may_not(&source) && !has_wal(dir) => {
                let uri = format!("file:{}?immutable=1", percent(path_bytes(&path)));
                let flags = flags | OpenFlags::SQLITE_OPEN_URI;
                let conn = Connection::open_with_flags(uri, flags)
                    .map_err(|source| StoreError::Catalogue { path: path.clone(), source })?;
                Self { conn, path, version: Cell::new(0) }
            }
            other => other?,
        })
    }

    fn open(disk: &dyn Disk, path: PathBuf, flags: OpenFlags) -> Result<Self, StoreError> {
        let open = || {
            let conn = match disk.sqlite_vfs() {
                None => Connection::open_with_flags(&path, flags)?,
                Some(vfs) => Connection::open_with_flags_and_vfs(&path, flags, vfs)?,
            };
            conn.busy_timeout(Duration::from_secs(10))?;
            conn.set_prepared_statement_cache_capacity(64);
            // One plan whatever is asked for; else a statement with a limit is compiled each time.
            conn.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            Ok(conn)
        };
        let conn = open().map_err(|source| StoreError::Catalogue { path: path.clone(), source })?;
        Ok(Self { conn, path, version: Cell::new(0) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there are no tables yet.
    pub(crate) fn is_blank(&self) -> Result<bool, StoreError> {
        self.sql(|c| c.query_row("SELECT COUNT(*) = 0 FROM sqlite_schema", [], |r| r.get(0)))
    }

    /// Runs `f` and puts the path to its error.
    pub(crate) fn sql<T>(
        &self,
        f: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        f(&self.conn).map_err(|source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                StoreError::corrupt(&self.path, source.to_string())
            }
            _ => StoreError::Catalogue { path: self.path.clone(), source },
        })
    }

    /// Runs `f` in a writing transaction: all of it is committed, or nothing.
    pub(crate) fn transaction<T>(
        &self,
        f: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.within("BEGIN IMMEDIATE", f)
    }

    /// Runs `f` on one committed state.
    pub(crate) fn snapshot<T>(
        &self,
        f: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.within("BEGIN", |this| {
            if this.version() < VERSION {
                this.check_version()?;
            }
            f(this)
        })
    }

    /// Runs `f` on one committed state and on its files; if they are gone because a
    /// writer compacted meanwhile, on a newer one.
    pub(crate) fn on_state<F, T>(
        &self,
        files: impl Fn(&State) -> Result<F, StoreError>,
        f: impl FnOnce(&Self, &State, F) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut f = Some(f);
        loop {
            let state = self.snapshot(|c| {
                let state = c.state()?;
                match (files(&state), f.take()) {
                    (Ok(files), Some(f)) => f(c, &state, files).map(Ok),
                    (Ok(_), None) => Err(c.corrupt("it was to be read twice")),
                    (Err(e), unused) => {
                        f = unused;
                        Ok(Err((state.generation, e)))
                    }
                }
            })?;
            match state {
                Ok(value) => return Ok(value),
                Err((generation, e)) if self.snapshot(Self::state)?.generation == generation => {
                    return Err(e);
                }
                Err(_) => {}
            }
        }
    }

    fn within<T>(
        &self,
        begin: &str,
        f: impl FnOnce(&Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.sql(|c| c.execute_batch(begin))?;
        let result = f(self).and_then(|value| {
            self.sql(|c| c.execute_batch("COMMIT"))?;
            Ok(value)
        });
        if result.is_err() && !self.conn.is_autocommit() {
            // The first error is the one to report; closing the connection rolls back, too.
            let _ = self.conn.execute_batch("ROLLBACK");
        }
        result
    }

    pub(crate) fn corrupt(&self, what: impl Into<String>) -> StoreError {
        StoreError::corrupt(&self.path, what)
    }

    pub(crate) fn state(&self) -> Result<State, StoreError> {
        let row = self.sql(|c| {
            c.prepare_cached(
                "SELECT space, dim, generation, seq, rows, items, digest, hash FROM state",
            )?
            .query_row([], |r| {
                let number = |i| r.get::<_, i64>(i);
                Ok((
                    r.get::<_, String>(0)?,
                    [number(1)?, number(2)?, number(3)?, number(4)?, number(5)?],
                    number(6)?,
                    number(7)?,
                ))
            })
            .optional()
        })?;
        let wrong = || self.corrupt("the row that says its state is not as written");
        let (space, [dim, generation, seq, rows, items], digest, hash) = row.ok_or_else(wrong)?;
        let state = State {
            space: Space::new(&space, dim as usize).map_err(|_| wrong())?,
            generation: generation as u32,
            seq: seq as u64,
            rows: rows as u64,
            items: items as u64,
            digest,
        };
        if state.hash() == hash { Ok(state) } else { Err(wrong()) }
    }

    pub(crate) fn set_state(&self, state: &State) -> Result<(), StoreError> {
        self.sql(|c| {
            c.prepare_cached("INSERT OR REPLACE INTO state VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)")?
                .execute(params![
                    state.space.id(),
                    state.space.dim() as i64,
                    state.generation,
                    state.seq as i64,
                    state.rows as i64,
                    state.items as i64,
                    state.digest,
                    state.hash(),
                ])
        })?;
        Ok(())
    }

    /// All heads of items changed after `seq`, in the order of ids if `seq` is `None`.
    /// Of all, checks that they are what `state` says.
    pub(crate) fn heads(
        &self,
        state: &State,
        after: Option<Seq>,
        mut each: impl FnMut(Head),
    ) -> Result<(), StoreError> {
        let (mut count, mut digest, mut last) = (0, 0, None);
        let clause = if after.is_some() { "WHERE seq > ?" } else { "WHERE ? IS NULL ORDER BY id" };
        let query = format!("SELECT id, kind, row, seq, hash, head FROM items {clause}");
        let damage = self.sql(|c| {
            let mut statement = c.prepare_cached(&query)?;
            let mut rows = statement.query([after.map(|s| s as i64)])?;
            while let Some(r) = rows.next()? {
                let read =
                    Head::read(r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?);
                let head = match read {
                    Ok(head) => head,
                    Err(what) => return Ok(Some(what)),
                };
                if head.row >= state.rows {
                    return Ok(Some(format!("item {} has no row", head.id)));
                }
                if after.is_none() {
                    if last >= Some(head.id) {
                        return Ok(Some("the items are not in order".into()));
                    }
                    last = Some(head.id);
                    count += 1;
                    digest ^= head.head;
                }
                each(head);
            }
            Ok(None)
        })?;
        if let Some(what) = damage {
            return Err(self.corrupt(what));
        }
        if after.is_none() && (count, digest) != (state.items, state.digest) {
            return Err(self.corrupt(format!(
                "it holds {count} items where {} were written, or not the same",
                state.items
            )));
        }
        Ok(())
    }

    /// Rows that died after `seq`.
    pub(crate) fn dead_after(&self, seq: Seq) -> Result<Vec<u64>, StoreError> {
        self.sql(|c| {
            let mut statement = c.prepare_cached("SELECT row FROM dead WHERE seq > ?")?;
            let rows = statement.query_map([seq as i64], |r| Ok(r.get::<_, i64>(0)? as u64))?;
            rows.collect()
        })
    }

    /// Items of `SELECT … FROM items {rest}`, every one checked.
    pub(crate) fn select(
        &self,
        rest: &str,
        params: impl rusqlite::Params,
        mut each: impl FnMut(StoredItem) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.sql(|c| {
            let columns = if self.version() == 1 { ITEM_1 } else { ITEM };
            let mut statement = c.prepare_cached(&format!("SELECT {columns} FROM items {rest}"))?;
            let mut rows = statement.query(params)?;
            while let Some(row) = rows.next()? {
                let outcome =
                    StoredItem::read(row)?.map_err(|what| self.corrupt(what)).and_then(&mut each);
                if outcome.is_err() {
                    return Ok(outcome);
                }
            }
            Ok(Ok(()))
        })?
    }

    pub(crate) fn item(&self, id: ItemId) -> Result<Option<StoredItem>, StoreError> {
        let mut found = None;
        self.select("WHERE id = ?", [id.to_bytes()], |stored| {
            found = Some(stored);
            Ok(())
        })?;
        Ok(found)
    }

    /// The first `limit` items after `after`, in the order of ids, that `wanted` says
    /// yes to by kind and row.
    pub(crate) fn walk(
        &self,
        after: Option<ItemId>,
        limit: usize,
        wanted: impl Fn(Kind, u64) -> bool,
    ) -> Result<Vec<ItemId>, StoreError> {
        let after = after.map_or(vec![], |id| id.to_bytes().to_vec());
        let mut ids = vec![];
        let damage = self.sql(|c| {
            let query = "SELECT id, kind, row, seq, hash, head FROM items WHERE id > ? ORDER BY id";
            let mut statement = c.prepare_cached(query)?;
            let mut rows = statement.query([after])?;
            while ids.len() < limit
                && let Some(r) = rows.next()?
            {
                let read =
                    Head::read(r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?);
                match read {
                    Ok(head) if wanted(head.kind, head.row) => ids.push(head.id),
                    Ok(_) => {}
                    Err(what) => return Ok(Some(what)),
                }
            }
            Ok(None)
        })?;
        damage.map_or(Ok(ids), |what| Err(self.corrupt(what)))
    }

    /// An item's head and whether it is standalone.
    pub(crate) fn head(&self, id: ItemId) -> Result<Option<(Head, bool)>, StoreError> {
        let found = self.sql(|c| {
            c.prepare_cached(
                "SELECT id, kind, row, seq, hash, head, standalone FROM items WHERE id = ?",
            )?
            .query_row([id.to_bytes()], |r| {
                let head =
                    Head::read(r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?);
                Ok((head, r.get(6)?))
            })
            .optional()
        })?;
        match found {
            None => Ok(None),
            Some((Ok(head), standalone)) => Ok(Some((head, standalone))),
            Some((Err(what), _)) => Err(self.corrupt(what)),
        }
    }

    /// Writes an item over whatever has its id, and returns its head's hash.
    pub(crate) fn put(&self, stored: &StoredItem) -> Result<i64, StoreError> {
        let (item, tags, told) = (&stored.item, stored.tags_json(), Told::of(&stored.item));
        let file = item.file.as_ref();
        let (hash, head) = stored.hashes_of(&tags, &told);
        self.sql(|c| {
            c.prepare_cached(
                "INSERT OR REPLACE INTO items VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            )?
            .execute(params![
                item.id.to_bytes(),
                kind_code(item.kind),
                stored.row as i64,
                stored.seq as i64,
                item.path.as_ref().map(|p| path_bytes(p)),
                item.text,
                tags,
                stored.standalone,
                file.map(|f| f.size as i64),
                file.map(|f| f.mtime_ns),
                file.map(|f| f.content),
                file.map(|f| f.width),
                file.map(|f| f.height),
                file.map(|f| &f.format),
                hash,
                head,
                told.labels,
                told.facts,
            ])
        })?;
        self.put_facets(stored)?;
        Ok(head)
    }

    /// Removes an item's row, and nothing that hangs on it.
    pub(crate) fn remove(&self, id: ItemId) -> Result<(), StoreError> {
        self.execute("DELETE FROM items WHERE id = ?", [id.to_bytes()]).map(|_| ())
    }

    pub(crate) fn bury(&self, row: u64, seq: Seq) -> Result<(), StoreError> {
        self.execute("INSERT OR REPLACE INTO dead VALUES (?, ?)", [row as i64, seq as i64])
            .map(|_| ())
    }

    pub(crate) fn execute(
        &self,
        statement: &str,
        params: impl rusqlite::Params,
    ) -> Result<usize, StoreError> {
        self.sql(|c| c.prepare_cached(statement)?.execute(params))
    }

    /// The first column, 16-byte ids, of a query.
    pub(crate) fn ids(
        &self,
        query: &str,
        params: impl rusqlite::Params,
    ) -> Result<Vec<ItemId>, StoreError> {
        self.sql(|c| {
            let mut statement = c.prepare_cached(query)?;
            let rows = statement.query_map(params, |r| Ok(ItemId::from_bytes(r.get(0)?)))?;
            rows.collect()
        })
    }

    /// Moves the log into the database; whether all of it is there now.
    pub(crate) fn checkpoint(&self) -> Result<bool, StoreError> {
        self.sql(|c| {
            c.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |r| {
                Ok(r.get::<_, i64>(1)? == r.get::<_, i64>(2)?)
            })
        })
    }

    /// Begins the next generation of a `state`: every item gets the row that
    /// `renumber` gives for its old one, and no row is dead. Changes `state` along.
    pub(crate) fn renumber(
        &self,
        state: &mut State,
        rows: u64,
        renumber: impl Fn(u64) -> Option<u64>,
    ) -> Result<(), StoreError> {
        const PAGE: i64 = 1000;
        let (mut after, mut items, mut digest) = (vec![], 0, 0);
        loop {
            let mut page = Vec::with_capacity(PAGE as usize);
            self.select("WHERE id > ? ORDER BY id LIMIT ?", (&after, PAGE), |stored| {
                page.push(stored);
                Ok(())
            })?;
            let Some(last) = page.last() else { break };
            after = last.item.id.to_bytes().to_vec();
            for mut stored in page {
                let id = stored.item.id;
                stored.row = renumber(stored.row)
                    .ok_or_else(|| self.corrupt(format!("item {id} has no living row")))?;
                let (hash, head) = stored.hashes();
                self.execute(
                    "UPDATE items SET row = ?, hash = ?, head = ? WHERE id = ?",
                    params![stored.row as i64, hash, head, id.to_bytes()],
                )?;
                items += 1;
                digest ^= head;
            }
        }
        if items != state.items {
            return Err(
                self.corrupt(format!("it holds {items} items where {} were written", state.items))
            );
        }
        self.renumber_applied(state, &renumber)?;
        self.execute("DELETE FROM dead", [])?;
        (state.generation, state.rows, state.digest) = (state.generation + 1, rows, digest);
        self.rebuild_facets()
    }

    /// A setting, if it is set.
    pub(crate) fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.sql(|conn| {
            let mut statement = conn.prepare_cached("SELECT value FROM settings WHERE key = ?")?;
            let mut rows = statement.query([key])?;
            rows.next()?.map(|row| row.get(0)).transpose()
        })
    }

    /// A number that changes when another connection commits.
    pub(crate) fn data_version(&self) -> Result<i64, StoreError> {
        self.sql(|c| c.pragma_query_value(None, "data_version", |r| r.get(0)))
    }

    /// SQLite's own check of its pages and indices; what it finds, line by line.
    pub(crate) fn check_pages(&self) -> Result<Vec<String>, StoreError> {
        let lines: Vec<String> = self.sql(|c| {
            let mut statement = c.prepare("PRAGMA integrity_check(20)")?;
            let rows = statement.query_map([], |r| r.get(0))?;
            rows.collect()
        })?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }
}

/// Whether `name` is the database's, or of a file that SQLite lays beside it.
pub(crate) fn is_file_of(name: &str) -> bool {
    [FILE, NEW].iter().any(|of| name.strip_prefix(of).is_some_and(|end| ENDS.contains(&end)))
}

/// Whether an error says that something could not be written or made.
fn may_not(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}

fn has_wal(dir: &Path) -> bool {
    let path = dir.join(format!("{FILE}-wal"));
    fs_err::metadata(path).is_ok_and(|m| m.len() > 0)
}

fn percent(bytes: &[u8]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    bytes
        .iter()
        .map(|&b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
