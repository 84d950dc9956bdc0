//! How are names and their vectors kept? A row a name and a row a vector, each with a
//! hash over all it says; a name's hash covers those of its vectors, so that none
//! vanishes unseen. The tables came after version 2. Programs of before do without
//! them and leave them alone, so they have no version of their own.

use ekphrasis_embed::{Embedding, Space};
use rusqlite::{OptionalExtension, Row, params};

use super::Catalogue;
use super::item::hash;
use crate::{NameKind, Named, NamedVector, Origin, StoreError};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS named (
    kind INTEGER NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL, hash INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS named_vectors (
    kind INTEGER NOT NULL, name TEXT NOT NULL, place INTEGER NOT NULL, part TEXT NOT NULL,
    source TEXT NOT NULL, content BLOB, space TEXT NOT NULL, vector BLOB NOT NULL,
    hash INTEGER NOT NULL,
    PRIMARY KEY (kind, name, place)
) WITHOUT ROWID;
";

/// As stored.
fn code(kind: NameKind) -> i64 {
    match kind {
        NameKind::Identity => 1,
        NameKind::LabelSet => 2,
    }
}

/// A row of `named_vectors` as it is written.
struct Written<'a> {
    part: &'a str,
    source: &'a str,
    /// `None`: the source is words.
    content: Option<[u8; 32]>,
    space: &'a str,
    /// 32-bit floats, little-endian.
    vector: Vec<u8>,
}

impl<'a> Written<'a> {
    fn of(vector: &'a NamedVector) -> Self {
        let (source, content) = match &vector.origin {
            Origin::Words(words) => (words, None),
            Origin::Picture { content, source } => (source, Some(*content)),
        };
        Self {
            part: &vector.part,
            source,
            content,
            space: vector.embedding.space().id(),
            vector: vector.embedding.values().iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    fn hash(&self, kind: NameKind, name: &str, place: i64) -> i64 {
        let content = self.content.as_ref().map_or(&[][..], |content| &content[..]);
        hash(&[
            &code(kind).to_le_bytes(),
            name.as_bytes(),
            &place.to_le_bytes(),
            self.part.as_bytes(),
            self.source.as_bytes(),
            content,
            self.space.as_bytes(),
            &self.vector,
        ])
    }
}

/// The hash of a name, over those of its vectors.
fn head(kind: NameKind, name: &str, at: i64, vectors: &[i64]) -> i64 {
    let vectors: Vec<u8> = vectors.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    hash(&[&code(kind).to_le_bytes(), name.as_bytes(), &at.to_le_bytes(), &vectors])
}

/// What was read; `None` if a column holds what is never written there, such as text
/// where a number belongs. That costs the name whose row it is, and no other.
fn or_damaged<T>(read: rusqlite::Result<Option<T>>) -> rusqlite::Result<Option<T>> {
    use rusqlite::Error;
    match read {
        Err(
            Error::InvalidColumnType(..)
            | Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..),
        ) => Ok(None),
        other => other,
    }
}

/// When a name was changed, and its hash.
fn read_head(row: &Row<'_>) -> rusqlite::Result<Option<(i64, i64)>> {
    Ok(Some((row.get(0)?, row.get(1)?)))
}

/// A row of `named_vectors` and its hash; `None` if it is not as written.
fn read(row: &Row<'_>, kind: NameKind, name: &str) -> rusqlite::Result<Option<(NamedVector, i64)>> {
    let place: i64 = row.get(0)?;
    let (part, source, space): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(4)?);
    let (content, vector): (Option<[u8; 32]>, Vec<u8>) = (row.get(3)?, row.get(5)?);
    let found: i64 = row.get(6)?;
    let written = Written { part: &part, source: &source, content, space: &space, vector };
    if written.hash(kind, name, place) != found {
        return Ok(None);
    }
    let values: Vec<f32> = written
        .vector
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let embedding =
        Space::new(&space, values.len()).ok().and_then(|s| Embedding::new(&s, values).ok());
    let origin = match content {
        None => Origin::Words(source),
        Some(content) => Origin::Picture { content, source },
    };
    Ok(embedding.map(|embedding| (NamedVector { part, origin, embedding }, found)))
}

impl Catalogue {
    /// Whether the tables are there: a store that only programs of before wrote to has none.
    fn has_named(&self) -> Result<bool, StoreError> {
        let there = "SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('named', 'named_vectors')";
        Ok(self.sql(|c| c.query_row(there, [], |r| r.get::<_, i64>(0)))? == 2)
    }

    /// A number that changes when what stands for a name does; `None` if nothing does.
    pub(crate) fn named_stamp(
        &self,
        kind: NameKind,
        name: &str,
    ) -> Result<Option<i64>, StoreError> {
        if !self.has_named()? {
            return Ok(None);
        }
        self.sql(|c| {
            c.prepare_cached("SELECT hash FROM named WHERE kind = ? AND name = ?")?
                .query_row(params![code(kind), name], |r| or_damaged(r.get(0).map(Some)))
                .optional()
        })
        .map(Option::flatten)
    }

    /// All names of a kind, in order.
    pub(crate) fn names(&self, kind: NameKind) -> Result<Vec<String>, StoreError> {
        if !self.has_named()? {
            return Ok(vec![]);
        }
        self.sql(|c| {
            let mut statement =
                c.prepare_cached("SELECT name FROM named WHERE kind = ? ORDER BY name")?;
            let rows = statement.query_map([code(kind)], |r| r.get(0))?;
            rows.collect()
        })
    }

    /// A name with its vectors, all checked.
    pub(crate) fn named(&self, kind: NameKind, name: &str) -> Result<Option<Named>, StoreError> {
        if !self.has_named()? {
            return Ok(None);
        }
        let known = self.sql(|c| {
            c.prepare_cached("SELECT at, hash FROM named WHERE kind = ? AND name = ?")?
                .query_row(params![code(kind), name], |r| or_damaged(read_head(r)))
                .optional()
        })?;
        let Some(known) = known else { return Ok(None) };
        let rows: Vec<Option<(NamedVector, i64)>> = self.sql(|c| {
            let mut statement = c.prepare_cached(
                "SELECT place, part, source, content, space, vector, hash FROM named_vectors \
                 WHERE kind = ? AND name = ? ORDER BY place",
            )?;
            let rows = statement
                .query_map(params![code(kind), name], |r| or_damaged(read(r, kind, name)))?;
            rows.collect()
        })?;
        let rows: Option<Vec<(NamedVector, i64)>> = rows.into_iter().collect();
        let (vectors, hashes): (Vec<_>, Vec<_>) = rows.unwrap_or_default().into_iter().unzip();
        let sound = known
            .filter(|&(at, found)| !vectors.is_empty() && head(kind, name, at, &hashes) == found);
        let Some((at, _)) = sound else {
            return Err(self.corrupt(format!(
                "what is known of {name:?} is not as written; forget that name, or give it again \
                 in place of what is there"
            )));
        };
        Ok(Some(Named { name: name.into(), at, vectors }))
    }

    /// Writes a name over whatever was known of it.
    pub(crate) fn put_named(&self, kind: NameKind, named: &Named) -> Result<(), StoreError> {
        self.remove_named(kind, &named.name)?;
        let mut hashes = Vec::with_capacity(named.vectors.len());
        for (place, vector) in (0i64..).zip(&named.vectors) {
            let written = Written::of(vector);
            let hash = written.hash(kind, &named.name, place);
            self.execute(
                "INSERT INTO named_vectors VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    code(kind),
                    named.name,
                    place,
                    written.part,
                    written.source,
                    written.content,
                    written.space,
                    written.vector,
                    hash,
                ],
            )?;
            hashes.push(hash);
        }
        let hash = head(kind, &named.name, named.at, &hashes);
        let row = params![code(kind), named.name, named.at, hash];
        self.execute("INSERT INTO named VALUES (?, ?, ?, ?)", row).map(|_| ())
    }

    /// Forgets a name; whether it was there.
    pub(crate) fn remove_named(&self, kind: NameKind, name: &str) -> Result<bool, StoreError> {
        let key = params![code(kind), name];
        self.execute("DELETE FROM named_vectors WHERE kind = ? AND name = ?", key)?;
        Ok(self.execute("DELETE FROM named WHERE kind = ? AND name = ?", key)? > 0)
    }
}
