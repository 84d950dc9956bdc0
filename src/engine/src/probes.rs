//! Given a store that is walked through anyway, how much of the true nearest do its searches
//! find? Queries are made of the first items (ids are hashes, so these are a chance sample), and
//! everybody who comes by is compared with them; so the truth costs one walk.

use std::time::{Duration, Instant};

use ekphrasis_embed::Embedding;
use ekphrasis_index::elsewhere::cosine;
use ekphrasis_index::{Query, Record, StoreRead};

use crate::EngineError;

/// How many nearest a query is to find.
pub(crate) const NEAREST: usize = 10;
/// Scores that differ by less are the same: servers add in another order.
const ROUNDING: f32 = 1e-5;

/// Queries, each with the scores of its nearest so far.
pub(crate) struct Probes(Vec<(Embedding, Vec<f32>)>);

impl Probes {
    /// So many queries, each the middle between two of the records: it lies as items do and is
    /// none, which would be found more easily.
    pub(crate) fn between(records: &[Record], count: usize) -> Self {
        let middle = |pair: &[Record]| {
            let parts = [(&pair[0].embedding, 1.0), (&pair[1].embedding, 1.0)];
            Embedding::combine(pair[0].embedding.space(), &parts).ok()
        };
        let queries = records.windows(2).filter_map(middle).take(count);
        Self(queries.map(|query| (query, vec![])).collect())
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
