//! How does an item lie in a row of the catalogue, and how does the row prove itself?

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rusqlite::Row;

use super::told::Told;
use crate::vector::Added;
use crate::{FileFacts, Item, ItemId, Kind, Seq};

/// The columns of an item, in the order in which [`StoredItem`] reads them.
pub(super) const ITEM: &str = "id, kind, row, seq, path, text, tags, standalone, \
     size, mtime_ns, content, width, height, format, hash, head, labels, facts";
/// The same of a catalogue of version 1, which has neither labels nor facts.
pub(super) const ITEM_1: &str = "id, kind, row, seq, path, text, tags, standalone, \
     size, mtime_ns, content, width, height, format, hash, head, NULL, NULL";

/// 64 bits of the parts, each with its length, so that no two lists are alike.
pub(super) fn hash(parts: &[&[u8]]) -> i64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    i64::from_le_bytes(bytes)
}

/// An item as a row of the catalogue.
#[derive(Clone, Debug)]
pub(crate) struct StoredItem {
    pub(crate) item: Item,
    pub(crate) row: u64,
    pub(crate) seq: Seq,
    /// Whether it is there in its own right, not only as someone's caption.
    pub(crate) standalone: bool,
}

impl StoredItem {
    pub(super) fn tags_json(&self) -> String {
        serde_json::Value::from(self.item.tags.clone()).to_string()
    }

    /// Without labels and facts, as version 1 did: its rows stay as they are.
    pub(super) fn hash(&self, tags: &str, told: &Told) -> i64 {
        let item = &self.item;
        // Absent and empty must differ, hence the leading byte.
        let optional = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => [&[1], bytes].concat(),
            None => vec![0],
        };
        let facts = item.file.as_ref().map(|f| {
            let mut bytes = f.size.to_le_bytes().to_vec();
            bytes.extend(f.mtime_ns.to_le_bytes());
            bytes.extend(f.content);
            bytes.extend(f.width.to_le_bytes());
            bytes.extend(f.height.to_le_bytes());
            bytes.extend(f.format.as_bytes());
            bytes
        });
        let [path, text, facts, labels, told_facts] = [
            item.path.as_ref().map(|p| path_bytes(p)),
            item.text.as_ref().map(|t| t.as_bytes()),
            facts.as_deref(),
            told.labels.as_ref().map(|t| t.as_bytes()),
            told.facts.as_ref().map(|t| t.as_bytes()),
        ]
        .map(optional);
        let (id, row, seq) = (item.id.to_bytes(), self.row.to_le_bytes(), self.seq.to_le_bytes());
        let kind = [kind_code(item.kind) as u8, u8::from(self.standalone)];
        let mut parts: Vec<&[u8]> =
            vec![&id, &kind, &row, &seq, &path, &text, tags.as_bytes(), &facts];
        if *told != Told::default() {
            parts.extend([&labels[..], &told_facts]);
        }
        hash(&parts)
    }

    /// The hash of all it says, and of its head.
    pub(super) fn hashes(&self) -> (i64, i64) {
        self.hashes_of(&self.tags_json(), &Told::of(&self.item))
    }

    /// The same, of tags, labels and facts that are written out already.
    pub(super) fn hashes_of(&self, tags: &str, told: &Told) -> (i64, i64) {
        let (item, hash) = (&self.item, self.hash(tags, told));
        (hash, Head::compute(item.id, item.kind, self.row, self.seq, hash))
    }

    /// Reads a row of [`ITEM`] and checks its hashes.
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Result<Self, String>> {
        let head = Head::read(
            row.get(0)?,
            row.get(1)?,
            row.get(2)?,
            row.get(3)?,
            row.get(14)?,
            row.get(15)?,
        );
        let head = match head {
            Ok(head) => head,
            Err(what) => return Ok(Err(what)),
        };
        let tags: String = row.get(6)?;
        let size: Option<i64> = row.get(8)?;
        let file = match size {
            None => None,
            Some(size) => Some(FileFacts {
                size: size as u64,
                mtime_ns: row.get(9)?,
                content: row.get(10)?,
                width: row.get(11)?,
                height: row.get(12)?,
                format: row.get(13)?,
            }),
        };
        let told = Told { labels: row.get(16)?, facts: row.get(17)? };
        let (Ok(tag_list), Some((labels, facts))) = (serde_json::from_str(&tags), told.read())
        else {
            let what = format!("tags, labels or facts of item {} are not as written", head.id);
            return Ok(Err(what));
        };
        let path: Option<Vec<u8>> = row.get(4)?;
        let stored = Self {
            item: Item {
                id: head.id,
                kind: head.kind,
                path: path.map(path_from_bytes),
                text: row.get(5)?,
                tags: tag_list,
                labels,
                file,
                facts,
            },
            row: head.row,
            seq: head.seq,
            standalone: row.get(7)?,
        };
        if stored.hash(&tags, &told) == head.hash {
            Ok(Ok(stored))
        } else {
            Ok(Err(format!("the checksum of item {} is wrong", head.id)))
        }
    }
}

/// What of an item is read when opening: enough to find it, and proven by its own hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) id: ItemId,
    pub(crate) kind: Kind,
    pub(crate) row: u64,
    pub(crate) seq: Seq,
    hash: i64,
    pub(crate) head: i64,
}

impl Head {
    pub(super) fn compute(id: ItemId, kind: Kind, row: u64, seq: Seq, content: i64) -> i64 {
        hash(&[
            &id.to_bytes(),
            &[kind_code(kind) as u8],
            &row.to_le_bytes(),
            &seq.to_le_bytes(),
            &content.to_le_bytes(),
        ])
    }

    pub(super) fn read(
        id: Vec<u8>,
        kind: i64,
        row: i64,
        seq: i64,
        hash: i64,
        head: i64,
    ) -> Result<Self, String> {
        let wrong = || "the checksum of an item is wrong".to_owned();
        let id = ItemId::from_bytes(id.try_into().map_err(|_| wrong())?);
        let kind = match kind {
            0 => Kind::Image,
            1 => Kind::Text,
            _ => return Err(wrong()),
        };
        let (row, seq) = (row as u64, seq as u64);
        if Self::compute(id, kind, row, seq, hash) != head {
            return Err(wrong());
        }
        Ok(Self { id, kind, row, seq, hash, head })
    }

    pub(crate) fn added(&self) -> Added {
        Added { row: self.row, id: self.id, kind: self.kind }
    }
}

pub(crate) fn kind_code(kind: Kind) -> i64 {
    match kind {
        Kind::Image => 0,
        Kind::Text => 1,
    }
}

pub(crate) fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

pub(crate) fn path_from_bytes(bytes: Vec<u8>) -> PathBuf {
    #[cfg(unix)]
    {
        PathBuf::from(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&bytes))
    }
    #[cfg(not(unix))]
    {
        // Elsewhere names are Unicode but for rare lone surrogates.
        PathBuf::from(OsStr::new(&*String::from_utf8_lossy(&bytes)))
    }
}
