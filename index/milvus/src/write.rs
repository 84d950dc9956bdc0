//! How are records brought to a server so that each is there once?

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use ekphrasis_index::elsewhere::same_space;
use ekphrasis_index::{ItemId, Record, Seq, StoreError};

use crate::MilvusStore;
use crate::filter::any_of;
use crate::proto::{Delete, Mutation, Upsert, consistency, method};
use crate::rows::{Row, columns};

/// The most rows that are sent at once.
const ROWS: usize = 500;
/// The most bytes, about: servers take 64 MB by default.
const BYTES: usize = 8 << 20;
/// The most ids that are deleted at once.
const IDS: usize = 500;

impl MilvusStore {
    pub(crate) fn upsert_all(&self, records: &[Record]) -> Result<Seq, StoreError> {
        for record in records {
            same_space(&self.space, record.embedding.space())?;
        }
        // A server may keep both of two rows with one id in a batch: the last one wins here.
        let mut seen = HashSet::new();
        let mut last: Vec<&Record> =
            records.iter().rev().filter(|record| seen.insert(record.item.id)).collect();
        last.reverse();
        // Nothing is sent if one of them cannot be kept.
        let rows: Result<Vec<_>, _> = last.into_iter().map(Row::new).collect();
        let mut rows = rows.map_err(|what| self.client.unsupported(what))?;
        while !rows.is_empty() {
            let mut bytes = 0;
            let fits = rows.iter().take(ROWS).take_while(|row| {
                bytes += row.size();
                bytes <= BYTES
            });
            let count = fits.count().max(1);
            let rest = rows.split_off(count);
            self.send(&rows)?;
            rows = rest;
        }
        Ok(self.committed(!records.is_empty()))
    }

    fn send(&self, rows: &[Row<'_>]) -> Result<(), StoreError> {
        let doing = "store items";
        let request = Upsert {
            db_name: self.client.database(),
            collection_name: self.collection.clone(),
            fields_data: columns(rows, self.words),
            num_rows: rows.len() as u32,
        };
        let answer: Mutation = self.about(doing, method::UPSERT, &request)?;
        if !answer.err_index.is_empty() {
            let why = format!("{} of {} rows were refused", answer.err_index.len(), rows.len());
            return Err(self.client.failed(doing, why));
        }
        self.wrote(answer.timestamp);
        Ok(())
    }

    pub(crate) fn delete_all(&self, ids: &[ItemId]) -> Result<u64, StoreError> {
        // Servers count ids that are not there, too; so it is asked first who is.
        let known = self.known(ids)?;
        for some in known.chunks(IDS) {
            let request = Delete {
                db_name: self.client.database(),
                collection_name: self.collection.clone(),
                expr: any_of(some),
                consistency_level: consistency::STRONG,
            };
            let answer: Mutation = self.about("delete", method::DELETE, &request)?;
            self.wrote(answer.timestamp);
        }
        self.committed(!known.is_empty());
        Ok(known.len() as u64)
    }

    /// Notes up to when reads have to see.
    fn wrote(&self, timestamp: u64) {
        self.written.fetch_max(timestamp, Ordering::Relaxed);
    }

    fn committed(&self, changed: bool) -> Seq {
        let more = u64::from(changed);
        self.seq.fetch_add(more, Ordering::Relaxed) + more
    }
}
