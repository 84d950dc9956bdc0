//! How much of the true nearest do searches of a shared store find, and how long does one take?

use std::time::Duration;

use ekphrasis_index::{Filter, ItemId, Record, StoreRead};

use super::SharedEngine;
use crate::EngineError;
use crate::probes::Probes;

/// Items read at once.
const READ: usize = 500;

/// What was measured of a shared store.
#[derive(Clone, Debug)]
pub struct SharedRecall {
    /// Items with their vectors that all queries were compared with.
    pub vectors: u64,
    /// How many queries.
    pub queries: usize,
    /// The share of their true ten nearest that searches find; `None` in an empty store.
    pub recall: Option<f64>,
    /// How long half of the searches took at most, the way to the server included.
    pub median: Duration,
    /// How long all but one in twenty took at most.
    pub slow: Duration,
}

impl SharedEngine {
    /// Searches with some queries and compares what is found with everything there is, which is
    /// read once for that.
    ///
    /// # Errors
    /// `Invalid` for no queries or more than 499; otherwise if the store cannot be read.
    pub fn measure_recall(&self, queries: usize) -> Result<SharedRecall, EngineError> {
        if !(1..READ).contains(&queries) {
            return Err(EngineError::Invalid(format!(
                "expected 1 to {} queries, got {queries}",
                READ - 1
            )));
        }
        let store = self.store()?;
        let (mut after, mut vectors) = (None, 0);
        let mut probes = Probes::of(&*store, queries)?;
        loop {
            let items = store.scan(after, READ, &Filter::default())?;
            let Some(last) = items.last() else { break };
            after = Some(last.id);
            let ids: Vec<ItemId> = items.iter().map(|item| item.id).collect();
            let own = items.into_iter().zip(store.embeddings(&ids)?);
            let records: Vec<Record> =
                own.filter_map(|(item, own)| Some(Record { item, embedding: own? })).collect();
            vectors += records.len() as u64;
            probes.see(&records);
        }
        let (recall, took) = probes.ask(&*store)?;
        let at = |share: usize| {
            let index = (took.len() * share / 100).min(took.len().saturating_sub(1));
            took.get(index).copied().unwrap_or_default()
        };
        let (median, slow) = (at(50), at(95));
        Ok(SharedRecall { vectors, queries: took.len(), recall, median, slow })
    }
}
