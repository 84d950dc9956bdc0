//! What would the right answer be? A store in memory that does everything in
//! the plainest way, to compare others with and for small tests.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ekphrasis_embed::{Embedding, Space};

use crate::fusion::{text_hit, vector_hit};
use crate::store::same_space;
use crate::text::{Analyzer, QueryWord, Token, WordField};
use crate::topk::Scored;
use crate::vector::cosine;
use crate::{
    Filter, Hit, Item, ItemId, Query, Record, Seq, StoreError, StoreRead, StoreWrite, fusion,
};

/// A store in memory, by brute force. Nothing of it is durable.
#[derive(Debug)]
pub struct MemoryStore {
    space: Space,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    seq: Seq,
    records: BTreeMap<ItemId, Record>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(space: &Space) -> Self {
        Self { space: space.clone(), state: RwLock::default() }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn allowed<'a>(&'a self, filter: &'a Filter) -> impl Iterator<Item = &'a Record> {
        self.records.values().filter(|r| filter.accepts(&r.item))
    }

    fn by_vector(&self, vector: &Embedding, filter: &Filter) -> Vec<Scored> {
        sorted(self.allowed(filter).map(|r| Scored {
            score: cosine(vector.values(), r.embedding.values()),
            id: r.item.id,
            row: 0,
        }))
    }

    /// A query's words, and which of them no item has.
    fn understand(&self, query: &str) -> (Vec<QueryWord>, Vec<bool>) {
        let mut analyzer = Analyzer::new();
        let words = analyzer.query(query);
        let tokens: Vec<Token> = self
            .records
            .values()
            .flat_map(|r| WordField::ALL.map(|field| analyzer.item(&r.item, field)))
            .flatten()
            .collect();
        let has = |word: &QueryWord| tokens.iter().any(|t| word.terms().any(|own| own == t.term));
        let unknown = words.iter().map(|word| word.lenient && !has(word)).collect();
        (words, unknown)
    }

    /// BM25 (k1 1.2, b 0.75) over all words of an item as one text, a word that is
    /// found by half counting by half.
    fn by_words(&self, query: &str, filter: &Filter) -> Vec<Scored> {
        let (words, unknown) = self.understand(query);
        let mut analyzer = Analyzer::new();
        let texts: Vec<(&Item, Vec<(WordField, Token)>)> = self
            .records
            .values()
            .map(|r| {
                let of = |field| {
                    analyzer.item(&r.item, field).into_iter().map(move |token| (field, token))
                };
                (&r.item, WordField::ALL.into_iter().flat_map(of).collect())
            })
            .collect();
        let count = texts.len() as f32;
        let mean = texts.iter().map(|t| t.1.len()).sum::<usize>() as f32 / count.max(1.0);
        let mut scores = vec![0f32; texts.len()];
        for (word, unknown) in words.iter().zip(unknown) {
            let weight = |(field, token): &(WordField, Token)| {
                let how = word.means(*field, &token.term, unknown);
                how.map_or(0.0, |how| field.weight() * how.weight())
            };
            let found: Vec<f32> =
                texts.iter().map(|(_, tokens)| tokens.iter().map(weight).sum()).collect();
            let having = found.iter().filter(|f| **f > 0.0).count() as f32;
            let idf = (1.0 + (count - having + 0.5) / (having + 0.5)).ln();
            for ((score, f), (_, tokens)) in scores.iter_mut().zip(found).zip(&texts) {
                let length = 0.25 + 0.75 * tokens.len() as f32 / mean.max(1.0);
                *score += idf * f * 2.2 / (f + 1.2 * length);
            }
        }
        let found =
            texts.iter().zip(scores).filter(|((item, _), s)| *s > 0.0 && filter.accepts(item));
        sorted(found.map(|((item, _), score)| Scored { score, id: item.id, row: 0 }))
    }

    /// Says why words found these hits.
    fn explain(&self, query: &Query, hits: &mut [Hit]) {
        let Some(words) = query.words.as_ref().filter(|_| query.explain) else { return };
        let (words, unknown) = self.understand(words);
        for hit in hits.iter_mut().filter(|hit| hit.bm25.is_some()) {
            if let Some(record) = self.records.get(&hit.id) {
                hit.words = Analyzer::new().explain(&words, &unknown, &record.item);
            }
        }
    }
}

fn sorted(scored: impl Iterator<Item = Scored>) -> Vec<Scored> {
    let mut ranking: Vec<_> = scored.collect();
    ranking.sort_unstable_by(|a, b| b.cmp(a));
    ranking
}

impl StoreRead for MemoryStore {
    fn space(&self) -> &Space {
        &self.space
    }

    fn seq(&self) -> Seq {
        self.read().seq
    }

    fn items(&self, ids: &[ItemId]) -> Result<Vec<Option<Item>>, StoreError> {
        let state = self.read();
        Ok(ids.iter().map(|id| state.records.get(id).map(|r| r.item.clone())).collect())
    }

    fn embeddings(&self, ids: &[ItemId]) -> Result<Vec<Option<Embedding>>, StoreError> {
        let state = self.read();
        Ok(ids.iter().map(|id| state.records.get(id).map(|r| r.embedding.clone())).collect())
    }

    fn search(&self, query: &Query) -> Result<Vec<Hit>, StoreError> {
        let state = self.read();
        if let Some(vector) = &query.vector {
            same_space(&self.space, vector.space())?;
        }
        let by_vector = query.vector.as_ref().map(|v| state.by_vector(v, &query.filter));
        let by_words = query.words.as_ref().map(|w| state.by_words(w, &query.filter));
        let page = |ranking: Vec<Scored>| ranking.into_iter().skip(query.offset).take(query.k);
        let mut hits = match (by_vector, by_words) {
            (None, None) => vec![],
            (Some(ranking), None) => page(ranking).map(|s| vector_hit(&s)).collect(),
            (None, Some(ranking)) => page(ranking).map(|s| text_hit(&s)).collect(),
            (Some(mut vectors), Some(mut words)) => {
                let depth = fusion::depth(query.offset.saturating_add(query.k));
                let all = vectors.clone();
                vectors.truncate(depth);
                words.truncate(depth);
                let cosine_of = |s: &Scored| all.iter().find(|v| v.id == s.id).map(|v| v.score);
                fusion::fused_page(&vectors, &words, cosine_of, query)
            }
        };
        state.explain(query, &mut hits);
        Ok(hits)
    }

    fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
        Ok(self.read().allowed(filter).count() as u64)
    }

    fn scan(
        &self,
        after: Option<ItemId>,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Item>, StoreError> {
        let state = self.read();
        let rest = state.allowed(filter).filter(|r| after.is_none_or(|a| r.item.id > a));
        Ok(rest.take(limit).map(|r| r.item.clone()).collect())
    }
}

impl StoreWrite for MemoryStore {
    fn upsert(&self, records: &[Record]) -> Result<Seq, StoreError> {
        for record in records {
            same_space(&self.space, record.embedding.space())?;
        }
        let mut state = self.write();
        for record in records {
            state.records.insert(record.item.id, record.clone());
        }
        state.seq += u64::from(!records.is_empty());
        Ok(state.seq)
    }

    fn delete(&self, ids: &[ItemId]) -> Result<u64, StoreError> {
        let mut state = self.write();
        let deleted = ids.iter().filter(|id| state.records.remove(id).is_some()).count() as u64;
        state.seq += u64::from(deleted > 0);
        Ok(deleted)
    }
}
