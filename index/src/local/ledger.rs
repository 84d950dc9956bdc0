//! What was tried and failed, what was indexed, from where, with which settings?
//!
//! Bookkeeping beside the items: durable, but no change of what can be found,
//! so it does not count as a commit.

use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use super::LocalStore;
use crate::catalogue::{path_bytes, path_from_bytes};
use crate::{Facts, Failure, FileFacts, Item, ItemId, StoreError};

/// A file that is in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The item's id.
    pub id: ItemId,
    /// What was true of it when it was embedded.
    pub file: FileFacts,
    /// Whether someone looked for what it tells of the picture.
    pub told: bool,
    /// What lay beside it then: [`Facts::beside`].
    pub beside: Option<u64>,
}

/// A file that could not be indexed because of what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Its line in the ledger.
    pub failure: Failure,
    /// Its length in bytes when it was read.
    pub size: u64,
    /// Its modification time then, nanoseconds since 1970 UTC.
    pub mtime_ns: i64,
}

/// Why a file is not in the store that somebody did not want there. It is kept out as long
/// as it stays as it was.
pub const FORGOTTEN: &str = "it was forgotten on request; `ek retry` takes it in again, and so \
                             does a change of the file";

impl LocalStore {
    /// Notes files that could not be indexed; a path's newest failure replaces the former.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails.
    pub fn record_failures(&self, failures: &[Failure]) -> Result<(), StoreError> {
        self.writer()?.catalogue.transaction(|c| {
            for f in failures {
                c.execute(
                    "INSERT OR REPLACE INTO failures VALUES (?, ?, ?)",
                    (path_bytes(&f.path), &f.reason, f.at),
                )?;
                c.execute("DELETE FROM judged WHERE path = ?", [path_bytes(&f.path)])?;
            }
            Ok(())
        })
    }

    /// Notes files that could not be indexed, and how they were then: as long as they
    /// stay so, it is of no use to read them again.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails.
    pub fn record_judged(&self, files: &[Judged]) -> Result<(), StoreError> {
        self.writer()?.catalogue.transaction(|c| {
            for Judged { failure, size, mtime_ns } in files {
                let path = path_bytes(&failure.path);
                c.execute(
                    "INSERT OR REPLACE INTO failures VALUES (?, ?, ?)",
                    (path, &failure.reason, failure.at),
                )?;
                c.execute(
                    "INSERT OR REPLACE INTO judged VALUES (?, ?, ?)",
                    (path, *size as i64, mtime_ns),
                )?;
            }
            Ok(())
        })
    }

    /// What [`LocalStore::record_judged`] noted and is still in the ledger, by path.
    ///
    /// # Errors
    /// `ReadOnly`: only writers have to know. Or as reading the catalogue fails.
    pub fn judged(&self) -> Result<Vec<Judged>, StoreError> {
        self.writer()?.catalogue.sql(|conn| {
            let mut statement = conn.prepare_cached(
                "SELECT path, reason, at, size, mtime_ns FROM judged JOIN failures USING (path) \
                 ORDER BY path",
            )?;
            let rows = statement.query_map([], |r| {
                let failure =
                    Failure { path: path_from_bytes(r.get(0)?), reason: r.get(1)?, at: r.get(2)? };
                let size = r.get::<_, i64>(3)? as u64;
                Ok(Judged { failure, size, mtime_ns: r.get(4)? })
            })?;
            rows.collect()
        })
    }

    /// Forgets what [`LocalStore::record_judged`] noted, but not the failures: all those
    /// files are worth another look.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails.
    pub fn forget_judged(&self) -> Result<(), StoreError> {
        let query = "DELETE FROM judged WHERE path NOT IN \
                     (SELECT path FROM failures WHERE reason = ?)";
        self.writer()?.catalogue.execute(query, [FORGOTTEN]).map(|_| ())
    }

    /// Forgets the failures of these paths: they were indexed after all, or are gone.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails.
    pub fn clear_failures(&self, paths: &[PathBuf]) -> Result<(), StoreError> {
        self.writer()?.catalogue.transaction(|c| {
            for path in paths {
                c.execute("DELETE FROM failures WHERE path = ?", [path_bytes(path)])?;
                c.execute("DELETE FROM judged WHERE path = ?", [path_bytes(path)])?;
            }
            Ok(())
        })
    }

    /// All failures, by path.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn failures(&self) -> Result<Vec<Failure>, StoreError> {
        self.inner.read(|c| {
            c.sql(|conn| {
                let mut statement =
                    conn.prepare_cached("SELECT path, reason, at FROM failures ORDER BY path")?;
                let rows = statement.query_map([], |r| {
                    Ok(Failure {
                        path: path_from_bytes(r.get(0)?),
                        reason: r.get(1)?,
                        at: r.get(2)?,
                    })
                })?;
                rows.collect()
            })
        })
    }

    /// How many failures there are.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn failure_count(&self) -> Result<u64, StoreError> {
        let count: i64 = self.inner.read(|c| {
            c.sql(|conn| conn.query_row("SELECT COUNT(*) FROM failures", [], |r| r.get(0)))
        })?;
        Ok(count as u64)
    }

    /// Every indexed file that is `root` or lies under it, by path. `/a/b` is
    /// under `/a`, `/ab` is not.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn files_under(&self, root: &Path) -> Result<Vec<KnownFile>, StoreError> {
        let exact = path_bytes(root).to_vec();
        let mut from = exact.clone();
        if from.last() != Some(&(MAIN_SEPARATOR as u8)) {
            from.push(MAIN_SEPARATOR as u8);
        }
        // The first name that no longer starts with the separator.
        let mut to = from.clone();
        if let Some(last) = to.last_mut() {
            *last += 1;
        }
        let mut files = vec![];
        self.inner.check_once()?;
        self.inner.read(|c| {
            let clause = "WHERE path = ?1 OR (path >= ?2 AND path < ?3) ORDER BY path";
            c.select(clause, (exact, from, to), |stored| {
                let (id, facts) = (stored.item.id, stored.item.facts.as_ref());
                let told = facts.is_some_and(|facts| facts.version >= Facts::VERSION);
                let beside = facts.and_then(|facts| facts.beside);
                if let (Some(path), Some(file)) = (stored.item.path, stored.item.file) {
                    files.push(KnownFile { path, id, file, told, beside });
                }
                Ok(())
            })
        })?;
        Ok(files)
    }

    /// Up to `limit` items whose files had this content (its BLAKE3), by id.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn same_content(&self, content: &[u8; 32], limit: u32) -> Result<Vec<Item>, StoreError> {
        let mut items = vec![];
        self.inner.read(|c| {
            let clause = "WHERE content = ? ORDER BY id LIMIT ?";
            c.select(clause, (content, limit), |stored| {
                items.push(stored.item);
                Ok(())
            })
        })?;
        Ok(items)
    }

    /// The folders the store was made from, by path.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn roots(&self) -> Result<Vec<PathBuf>, StoreError> {
        self.inner.read(|c| {
            c.sql(|conn| {
                let mut statement = conn.prepare_cached("SELECT path FROM roots ORDER BY path")?;
                let rows = statement.query_map([], |r| Ok(path_from_bytes(r.get(0)?)))?;
                rows.collect()
            })
        })
    }

    /// Notes a folder the store is made from; noting it twice changes nothing.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails.
    pub fn add_root(&self, root: &Path) -> Result<(), StoreError> {
        let catalogue = &self.writer()?.catalogue;
        catalogue.execute("INSERT OR IGNORE INTO roots VALUES (?)", [path_bytes(root)]).map(|_| ())
    }

    /// Forgets a folder, not the items from it. Says whether it was there.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails.
    pub fn remove_root(&self, root: &Path) -> Result<bool, StoreError> {
        let catalogue = &self.writer()?.catalogue;
        Ok(catalogue.execute("DELETE FROM roots WHERE path = ?", [path_bytes(root)])? > 0)
    }

    /// A setting kept with the store.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn get_setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.inner.read(|c| c.setting(key))
    }

    /// Keeps a setting with the store; `None` forgets it.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails.
    pub fn set_setting(&self, key: &str, value: Option<&str>) -> Result<(), StoreError> {
        let catalogue = &self.writer()?.catalogue;
        match value {
            Some(value) => {
                catalogue.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", [key, value])
            }
            None => catalogue.execute("DELETE FROM settings WHERE key = ?", [key]),
        }
        .map(|_| ())
    }
}
