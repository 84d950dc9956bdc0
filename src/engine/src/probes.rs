//! Given a store that is walked through anyway, how much of the true nearest do its searches
//! find? Queries are made of items from all over it, which are read first, and everybody who comes
//! by is compared with them; so the truth costs one walk.

use std::time::{Duration, Instant};

use ekphrasis_embed::Embedding;
use ekphrasis_index::elsewhere::cosine;
use ekphrasis_index::{Filter, ItemId, Query, Record, StoreRead};

use crate::EngineError;

/// How many nearest a query is to find.
pub(crate) const NEAREST: usize = 10;
/// Scores that differ by less are the same: servers add in another order.
const ROUNDING: f32 = 1e-5;

/// Queries, each with the scores of its nearest so far.
#[derive(Default)]
pub(crate) struct Probes(Vec<(Embedding, Vec<f32>)>);

impl Probes {
    /// So many queries, of items from all over a store.
    pub(crate) fn of(store: &dyn StoreRead, count: usize) -> Result<Self, EngineError> {
        Ok(Self::between(&sample(store, count)?, count))
    }

    /// So many queries, each the middle between two of the records: it lies as items do and is
    /// none, which would be found more easily.
    fn between(records: &[Record], count: usize) -> Self {
        let pairs = records.len().saturating_sub(1);
        let count = count.min(pairs);
        let middle = |n: usize| {
            // Evenly, since there may be more records than it takes.
            let pair = &records[n * pairs / count..][..2];
            let parts = [(&pair[0].embedding, 1.0), (&pair[1].embedding, 1.0)];
            Embedding::combine(pair[0].embedding.space(), &parts).ok()
        };
        Self((0..count).filter_map(middle).map(|query| (query, vec![])).collect())
    }

    /// Compares records with all queries. Each is to come once.
    pub(crate) fn see(&mut self, records: &[Record]) {
        for (query, nearest) in &mut self.0 {
            nearest.extend(records.iter().map(|record| cosine(query, &record.embedding)));
            nearest.sort_unstable_by(|a, b| b.total_cmp(a));
            nearest.truncate(NEAREST);
        }
    }

    /// What share of the nearest a store finds (`None` where there is nothing to find), and how
    /// long each query took, the fastest first.
    pub(crate) fn ask(
        &self,
        store: &dyn StoreRead,
    ) -> Result<(Option<f64>, Vec<Duration>), EngineError> {
        let (mut found, mut wanted, mut took) = (0, 0, vec![]);
        for (query, nearest) in &self.0 {
            let Some(least) = nearest.last() else { continue };
            let query = Query { vector: Some(query.clone()), k: NEAREST, ..Query::default() };
            let begun = Instant::now();
            let hits = store.search(&query)?;
            took.push(begun.elapsed());
            // Of those that score alike, any will do.
            found += hits.iter().filter(|hit| hit.score >= least - ROUNDING).count();
            wanted += nearest.len();
        }
        took.sort_unstable();
        let recall = (wanted > 0).then(|| found as f64 / wanted as f64);
        Ok((recall, took))
    }
}

/// Records from several stretches of a store, in the order of ids; all of them if it has few.
fn sample(store: &dyn StoreRead, count: usize) -> Result<Vec<Record>, EngineError> {
    /// Stretches of ids; those are hashes, so each holds about as many.
    const STRETCHES: u128 = 8;
    let mut records = vec![];
    if count == 0 {
        return Ok(records);
    }
    // Twice as many as are needed of each, since some hold fewer, and one more query needs two.
    let each = 2 * count.div_ceil(STRETCHES as usize) + 2;
    let border = |n: u128| ItemId::from_bytes((u128::MAX / STRETCHES * n).to_be_bytes());
    for n in 0..STRETCHES {
        let after = (n > 0).then(|| border(n));
        let mut items = store.scan(after, each, &Filter::default())?;
        if n + 1 < STRETCHES {
            items.retain(|item| item.id <= border(n + 1));
        }
        let ids: Vec<ItemId> = items.iter().map(|item| item.id).collect();
        let vectors = store.embeddings(&ids)?;
        let own = items.into_iter().zip(vectors);
        records.extend(own.filter_map(|(item, own)| Some(Record { item, embedding: own? })));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ekphrasis_embed::Space;
    use ekphrasis_index::{Item, MemoryStore, StoreWrite};

    fn store(count: usize) -> MemoryStore {
        let space = Space::new("probes", 4).expect("valid");
        let store = MemoryStore::new(&space);
        let one = |n: usize| {
            let values = vec![1.0, n as f32, (n * 7 % 13) as f32, 0.5];
            let embedding = Embedding::new(&space, values).expect("a direction");
            Record { item: Item::of_text(&format!("text {n}")), embedding }
        };
        store.upsert(&(0..count).map(one).collect::<Vec<_>>()).expect("written");
        store
    }

    /// Not of the first ones only, and each once.
    #[test]
    fn queries_are_made_of_items_from_all_over() {
        let store = store(2000);
        let sample = sample(&store, 100).expect("read");
        let ids: Vec<ItemId> = sample.iter().map(|record| record.item.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "in order, each once");
        let mut places: Vec<u8> = ids.iter().map(|id| id.to_bytes()[0] >> 5).collect();
        places.dedup();
        assert_eq!(places, [0, 1, 2, 3, 4, 5, 6, 7]);
        let probes = Probes::of(&store, 100).expect("made").0;
        assert_eq!(probes.len(), 100);
        // The last one is between two of the last stretch.
        let last = sample.partition_point(|record| record.item.id.to_bytes()[0] >> 5 < 7);
        let between = Probes::between(&sample[last..], usize::MAX).0;
        assert!(between.iter().any(|(query, _)| *query == probes[99].0));
    }

    #[test]
    fn of_few_items_all_are_asked_by() {
        for count in [0, 1, 2, 4, 30] {
            let probes = Probes::of(&store(count), 200).expect("made");
            assert_eq!(probes.0.len(), count.saturating_sub(1));
        }
        assert!(Probes::of(&store(30), 0).expect("none").0.is_empty());
    }
}
