//! How much do searches of this store miss, by queries of both kinds?

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Filter, Kind, Probe, Recall, StoreRead};

use crate::{Engine, EngineError};

/// What share of the true ten nearest is to be found, unless another is asked for.
pub const RECALL_TARGET: f64 = 0.99;
/// Queries of each kind; `ek recall` prints the standard error that comes of so many.
pub const RECALL_QUERIES: usize = 200;

impl Engine {
    /// Measures recall@10 on the store as it is: texts and pictures that look for pictures
    /// and, if there are texts, pictures that look for texts and texts that look for
    /// anything; `queries` of each. Texts are those of the store, and words of the model's
    /// vocabulary if they are few.
    /// Finds the least width of search that reaches `target`, and changes nothing.
    ///
    /// # Errors
    /// `Invalid` for a target outside 0..=1 or no queries; otherwise as the store or the
    /// model's vocabulary cannot be read.
    pub fn measure_recall(&self, target: f64, queries: usize) -> Result<Recall, EngineError> {
        if !(0.0..=1.0).contains(&target) || queries == 0 {
            return Err(EngineError::Invalid(format!(
                "expected a target from 0 to 1 and at least one query, got {target} and {queries}"
            )));
        }
        let store = self.fresh()?;
        let mut probes = vec![];
        let mut probe = |from, to, queries: Vec<Embedding>| {
            if !queries.is_empty() {
                probes.push(Probe { from, to, queries });
            }
        };
        let count = |kind| store.count(&Filter::of_kind(kind));
        let (images, texts) = (count(Kind::Image)?, count(Kind::Text)?);
        let pictures = store.unseen(Kind::Image, queries)?;
        let mut phrases: Vec<_> =
            store.sample(Kind::Text, queries)?.into_iter().map(|(_, text)| text).collect();
        if phrases.len() < queries
            && let Some(vocabulary) = self.towers.vocabulary()?
        {
            let (words, wanted) = (vocabulary.words().len(), queries - phrases.len());
            let take = wanted.min(words);
            phrases.extend((0..take).map(|i| vocabulary.embedding(i * words / take)));
        }
        if images > 0 {
            probe(Kind::Text, Some(Kind::Image), phrases.clone());
            probe(Kind::Image, Some(Kind::Image), pictures.clone());
        }
        if texts > 0 {
            probe(Kind::Image, Some(Kind::Text), pictures);
            // Whoever looks for anything, or keeps texts only.
            probe(Kind::Text, None, phrases);
        }
        Ok(store.measure_recall(&probes, target)?)
    }

    /// Keeps what was measured; searches are as wide from now on.
    ///
    /// # Errors
    /// If the store was opened for reading, or cannot be written.
    pub fn keep_recall(&self, recall: &Recall) -> Result<(), EngineError> {
        Ok(self.store.keep_recall(recall)?)
    }

    /// Measures and keeps recall if the vectors are searched by a graph that was not
    /// measured yet, or is another by now; by the target that was last asked for.
    ///
    /// # Errors
    /// As measuring and keeping fail.
    pub fn tend_recall(&self) -> Result<Option<Recall>, EngineError> {
        if !self.store.is_writable() || !self.store.is_recall_due()? {
            return Ok(None);
        }
        let target = self.store.recall()?.map_or(RECALL_TARGET, |recall| recall.target);
        let recall = self.measure_recall(target, RECALL_QUERIES)?;
        self.keep_recall(&recall)?;
        Ok(Some(recall))
    }
}
