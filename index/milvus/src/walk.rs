//! How are all rows walked through, in the order of ids? By stretches of ids: no cursor
//! of a server is trusted (that of milvus-lite skips rows, that of 2.3.5 lost a third).

use std::ops::ControlFlow;
use std::time::Instant;

use ekphrasis_index::{ItemId, StoreError};

use crate::MilvusStore;
use crate::filter::Pushed;
use crate::proto::{Column, KeyValue, Queried, Query, Scalars, Values, consistency, method};
use crate::rows::{Read, read, take_ids};
use crate::schema::column;

/// How many rows a stretch should have: ids are hashes, so stretches of one length hold
/// about as many.
const STRETCH: u64 = 1000;
/// How many it may have; if there are more, it is halved.
const MOST: usize = 8000;

const LAST: u128 = u128::MAX;

fn number(id: ItemId) -> u128 {
    u128::from_be_bytes(id.to_bytes())
}

impl MilvusStore {
    /// How many rows the filter as asked lets through, all that was written included.
    pub(crate) fn count_pushed(&self, text: &str) -> Result<u64, StoreError> {
        let (doing, count) = ("count", "count(*)");
        let answer = self.query(doing, text, &[count], None, true)?;
        let column = answer.fields_data.into_iter().find(|f| f.field_name == count);
        match column.and_then(|f| f.field) {
            Some(Column::Scalars(Scalars { data: Some(Values::Longs(longs)) })) => {
                Ok(longs.data.first().copied().unwrap_or(0).unsigned_abs())
            }
            _ => Err(self.client.failed(doing, "its answer has no number")),
        }
    }

    /// Asks for columns of the rows that a filter lets through.
    pub(crate) fn query(
        &self,
        doing: &'static str,
        filter: &str,
        columns: &[&str],
        limit: Option<usize>,
        strong: bool,
    ) -> Result<Queried, StoreError> {
        let (consistency_level, guarantee_timestamp) = self.consistency(strong);
        let request = Query {
            db_name: self.client.database(),
            collection_name: self.collection.clone(),
            expr: filter.into(),
            output_fields: columns.iter().map(|&name| name.into()).collect(),
            guarantee_timestamp,
            query_params: limit.iter().map(|limit| KeyValue::new("limit", limit)).collect(),
            consistency_level,
        };
        self.about(doing, method::QUERY, &request)
    }

    /// The level and timestamp to ask with: everything, or what is fresh enough.
    pub(crate) fn consistency(&self, strong: bool) -> (i32, u64) {
        // Stands for "as fresh as the server is set to", as official clients write it.
        const BOUNDED: u64 = 2;
        let written = self.written.load(std::sync::atomic::Ordering::Relaxed);
        match (strong, written) {
            (true, _) => (consistency::STRONG, 0),
            (false, 0) => (consistency::BOUNDED, BOUNDED),
            (false, written) => (consistency::SESSION, written),
        }
    }

    /// The rows of an answer.
    pub(crate) fn rows_of(
        &self,
        doing: &'static str,
        answer: Queried,
    ) -> Result<Vec<Read>, StoreError> {
        let mut fields = answer.fields_data;
        take_ids(&mut fields)
            .and_then(|ids| read(&self.space, &ids, fields))
            .map_err(|what| self.client.failed(doing, what))
    }

    /// Gives every row after `after` that the server lets through to `each`, in the order of
    /// ids, until that has enough. Not for longer than the options allow.
    pub(crate) fn walk(
        &self,
        doing: &'static str,
        pushed: &Pushed,
        after: Option<ItemId>,
        columns: &[&str],
        mut each: impl FnMut(Read) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let count = self.count_pushed(&pushed.text)?;
        if count == 0 {
            return Ok(());
        }
        let (begun, walking) = (Instant::now(), self.client.options.walking);
        let mut looked_at = 0;
        let mut length = (LAST / u128::from(count)).saturating_mul(u128::from(STRETCH));
        let mut after = after;
        loop {
            let begin = after.map_or(0, number);
            let end = begin.saturating_add(length);
            let last = ItemId::from_bytes(end.to_be_bytes());
            let filter = pushed.between(after, last);
            let answer = self.query(doing, &filter, columns, Some(MOST), true)?;
            let mut rows = self.rows_of(doing, answer)?;
            if rows.len() >= MOST && length > 1 {
                length /= 2;
                continue;
            }
            if (rows.len() as u64) < STRETCH / 4 {
                length = length.saturating_mul(2);
            }
            rows.sort_unstable_by_key(|row| row.id);
            looked_at += rows.len();
            for row in rows {
                if each(row).is_break() {
                    return Ok(());
                }
            }
            if end == LAST {
                return Ok(());
            }
            if begun.elapsed() >= walking {
                let seconds = walking.as_secs_f32();
                return Err(self.client.unsupported(format!(
                    "going through {count} items one by one, which took longer than {seconds} s (to {doing}; {looked_at} were looked at); narrow the filter by what its server checks by itself, such as tag:, folder:, taken:, width: or color:"
                )));
            }
            after = Some(last);
        }
    }

    /// The rows with these ids, in any order; those that are there.
    pub(crate) fn rows_with(
        &self,
        doing: &'static str,
        ids: &[ItemId],
        columns: &[&str],
        strong: bool,
    ) -> Result<Vec<Read>, StoreError> {
        /// At once: so long a filter is still read quickly.
        const AT_ONCE: usize = 500;
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let mut rows = vec![];
        for some in ids.chunks(AT_ONCE) {
            let filter = crate::filter::any_of(some);
            let answer = self.query(doing, &filter, columns, None, strong)?;
            rows.extend(self.rows_of(doing, answer)?);
        }
        Ok(rows)
    }

    /// The ids that are there, of these.
    pub(crate) fn known(&self, ids: &[ItemId]) -> Result<Vec<ItemId>, StoreError> {
        let rows = self.rows_with("delete", ids, &[column::ID], true)?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }
}
