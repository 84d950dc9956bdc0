//! A store on a Milvus server, as whoever searches or indexes sees it.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ekphrasis_embed::{Embedding, Space};
use ekphrasis_index::{
    Filter, Hit, Item, ItemId, Query, Record, Seq, StoreError, StoreRead, StoreWrite,
};
use prost::Message;

use crate::client::{Client, Consistency};
use crate::filter::Pushed;
use crate::generations::{create_first, real_name};
use crate::proto::Answer;
use crate::schema::{Header, column, describe, load};
use crate::server::ServerVersion;
use crate::{Address, Options};

/// Whether a store has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It is an error if it is not.
    Existing,
    /// It is made if it is not.
    OrCreate,
}

/// A store on a Milvus server; any number of processes on any number of machines may read
/// and write it. Its calls block, and panic within an asynchronous runtime.
///
/// # What differs from a store in a folder
/// - A batch of more than 500 rows is sent in parts, and readers may see the first part
///   before the last one; after a failure in between, the parts before it are there. To
///   send the same batch again puts that right: the same id is the same row.
/// - [`StoreRead::seq`] counts the changes of this very object. There is no common number:
///   Milvus has none, and no compare-and-swap to make one with.
/// - Reads see all that this object wrote; what others wrote, as [`Consistency`] says.
/// - Words are found whole: neither beginnings of words nor misspelt ones. Where an item has
///   them counts alike. Scores are the server's BM25.
/// - `exact` brings all vectors that pass the filter here: right, and slow, for
///   [`Options::walking`] at most.
/// - The nearest 128 are cut from one ranking; on later pages somebody may come twice or not
///   at all, since each page asks the server's graph anew. A page that reaches beyond the 16,384th,
///   where there are more, is `Unsupported`.
/// - Parts of a filter that the server cannot check (`path:`, `name:`, `camera:`, `lens:`,
///   `near:`, and whatever has a `*` or `?`) are checked here, over all items that the other
///   parts let through, for [`Options::walking`] at most.
/// - An item with more than 65,535 bytes of text, or more than 4,096 tags, is refused.
/// - A call that returned `Ok` is as durable as the server makes it.
pub struct MilvusStore {
    pub(crate) client: Client,
    pub(crate) server: ServerVersion,
    /// The collection itself, not its alias.
    pub(crate) collection: String,
    pub(crate) space: Space,
    /// Whether it finds words.
    pub(crate) words: bool,
    /// Whether searches wait for everything that was written.
    pub(crate) strong: bool,
    pub(crate) seq: AtomicU64,
    /// When this object wrote last, by the server's clock.
    pub(crate) written: AtomicU64,
}

impl MilvusStore {
    /// Opens the generation that serves at an address.
    ///
    /// # Errors
    /// `Remote` if the server cannot be reached, is none, refuses, or has no such store;
    /// `SpaceMismatch` if it holds vectors of another space; `Version` if a program of
    /// another version made it.
    pub fn open(
        address: &Address,
        space: &Space,
        open: Open,
        options: Options,
    ) -> Result<Self, StoreError> {
        let client = Client::new(address, options)?;
        let server = ServerVersion::ask(&client)?;
        let described = match describe(&client, address.collection())? {
            Some(described) => Some(described),
            None if open == Open::OrCreate => {
                create_first(&client, &Header::new(space, server.finds_words()))?;
                describe(&client, address.collection())?
            }
            None => None,
        };
        let described = described.ok_or_else(|| no_store(&client))?;
        let header = Header::of(&client, &described)?;
        let found = header.space(&client)?;
        if found != *space {
            return Err(StoreError::SpaceMismatch {
                expected: found,
                got: space.clone(),
                path: Some(address.to_string().into()),
            });
        }
        let name = real_name(address, &described);
        load(&client, &name)?;
        Self::over(client, server, name, &header)
    }

    /// The space of the store at an address; `None` if there is none.
    ///
    /// # Errors
    /// As [`MilvusStore::open`], but for the space.
    pub fn space_of(address: &Address, options: Options) -> Result<Option<Space>, StoreError> {
        let client = Client::new(address, options)?;
        ServerVersion::ask(&client)?;
        match describe(&client, address.collection())? {
            None => Ok(None),
            Some(described) => Ok(Some(Header::of(&client, &described)?.space(&client)?)),
        }
    }

    pub(crate) fn over(
        client: Client,
        server: ServerVersion,
        collection: String,
        header: &Header,
    ) -> Result<Self, StoreError> {
        let space = header.space(&client)?;
        let strong = client.options.consistency == Consistency::Strong;
        let words = header.words && server.finds_words();
        let (seq, written) = Default::default();
        Ok(Self { client, server, collection, space, words, strong, seq, written })
    }

    /// Where it lies.
    pub fn address(&self) -> &Address {
        &self.client.address
    }

    /// The same with a server that may be away for so long: each call is tried until then, and
    /// rows are gone through for as long as that takes.
    #[must_use]
    pub fn waiting_for(mut self, patience: Duration) -> Self {
        self.client.options.attempts = u32::MAX;
        self.client.options.deadline = patience;
        self.client.options.walking = Duration::MAX;
        self
    }

    /// Whether it can be searched by words.
    pub fn finds_words(&self) -> bool {
        self.words
    }

    /// Asks about its collection, which has to be there.
    pub(crate) fn about<Q, A>(
        &self,
        doing: &'static str,
        method: &'static str,
        request: &Q,
    ) -> Result<A, StoreError>
    where
        Q: Message + Clone + 'static,
        A: Answer,
    {
        let answer = self.client.call_about(doing, method, request, Some(&self.collection))?;
        answer.ok_or_else(|| {
            let name = &self.collection;
            let why = format!("its collection {name} was dropped; ask again if another one serves");
            self.client.failed(doing, why)
        })
    }
}

fn no_store(client: &Client) -> StoreError {
    client.failed("be opened", "there is none (any more); ek index --store makes one")
}

impl StoreRead for MilvusStore {
    fn space(&self) -> &Space {
        &self.space
    }

    fn seq(&self) -> Seq {
        self.seq.load(Ordering::Relaxed)
    }

    fn items(&self, ids: &[ItemId]) -> Result<Vec<Option<Item>>, StoreError> {
        let columns = [column::ID, column::ITEM];
        let rows = self.rows_with("read items", ids, &columns, self.strong)?;
        let rows: HashMap<_, _> = rows.into_iter().filter_map(|r| Some((r.id, r.item?))).collect();
        Ok(ids.iter().map(|id| rows.get(id).cloned()).collect())
    }

    fn embeddings(&self, ids: &[ItemId]) -> Result<Vec<Option<Embedding>>, StoreError> {
        let columns = [column::ID, column::VECTOR];
        let rows = self.rows_with("read vectors", ids, &columns, self.strong)?;
        let rows: HashMap<_, _> =
            rows.into_iter().filter_map(|r| Some((r.id, r.embedding?))).collect();
        Ok(ids.iter().map(|id| rows.get(id).cloned()).collect())
    }

    fn search(&self, query: &Query) -> Result<Vec<Hit>, StoreError> {
        self.search_all(query)
    }

    fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
        let pushed = Pushed::new(filter);
        if pushed.exact {
            return self.count_pushed(&pushed.text);
        }
        let mut count = 0;
        self.walk("count", &pushed, None, &[column::ID, column::ITEM], |row| {
            count += u64::from(row.item.is_some_and(|item| filter.accepts(&item)));
            ControlFlow::Continue(())
        })?;
        Ok(count)
    }

    fn scan(
        &self,
        after: Option<ItemId>,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = vec![];
        if limit == 0 {
            return Ok(items);
        }
        let columns = [column::ID, column::ITEM];
        self.walk("read items", &Pushed::new(filter), after, &columns, |row| {
            items.extend(row.item.filter(|item| filter.accepts(item)));
            if items.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(items)
    }
}

impl StoreWrite for MilvusStore {
    fn upsert(&self, records: &[Record]) -> Result<Seq, StoreError> {
        self.upsert_all(records)
    }

    fn delete(&self, ids: &[ItemId]) -> Result<u64, StoreError> {
        self.delete_all(ids)
    }
}
