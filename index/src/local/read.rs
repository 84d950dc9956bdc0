//! How is a question answered from one committed state?

use ekphrasis_embed::{Embedding, Space};

use super::{Inner, LocalStore, Snapshot};
use crate::catalogue::{StoredItem, filter_code};
use crate::store::same_space;
use crate::topk::{Scored, TopK};
use crate::vector::{cosine, scan_rows, scan_tail};
use crate::{Filter, Hit, Item, ItemId, Query, Seq, StoreError, StoreRead, fusion};

/// Rankings by the graph are made at least this deep, so that the usual pages
/// are cut from one and the same ranking.
const PAGES: usize = 64;

impl StoreRead for LocalStore {
    fn space(&self) -> &Space {
        &self.inner.space
    }

    fn seq(&self) -> Seq {
        // A reader that cannot look sees what it saw last.
        let _ = self.refresh();
        self.inner.seq()
    }

    fn items(&self, ids: &[ItemId]) -> Result<Vec<Option<Item>>, StoreError> {
        let items: Vec<_> =
            self.inner.read(|c| ids.iter().map(|&id| Ok(c.item(id)?.map(|s| s.item))).collect())?;
        // Whoever is found proves it; whoever is not may have vanished.
        if items.iter().any(Option::is_none) {
            self.inner.check_once()?;
        }
        Ok(items)
    }

    fn embeddings(&self, ids: &[ItemId]) -> Result<Vec<Option<Embedding>>, StoreError> {
        self.inner.read_vectors(|c, _, file| {
            let one = |&id| {
                let Some((head, _)) = c.head(id)? else {
                    self.inner.check_once()?;
                    return Ok(None);
                };
                let values = file.read(head.row, id)?;
                // What passes the checksum was an embedding when it was written.
                Ok(values.and_then(|v| Embedding::new(self.space(), v).ok()))
            };
            ids.iter().map(one).collect()
        })
    }

    fn search(&self, query: &Query) -> Result<Vec<Hit>, StoreError> {
        if let Some(vector) = &query.vector {
            same_space(&self.inner.space, vector.space())?;
        }
        if query.words.is_none() {
            self.refresh()?;
        }
        let inner = &self.inner;
        let end = query.offset.saturating_add(query.k);
        let vector = query.vector.as_ref().map(Embedding::values);
        match (vector, &query.words) {
            (None, None) => Ok(vec![]),
            _ if query.k == 0 => Ok(vec![]),
            (Some(vector), None) => {
                let ranking = inner.nearest(&inner.snapshot(), vector, end, query);
                Ok(page(&ranking, query).iter().map(vector_hit).collect())
            }
            (None, Some(words)) => {
                let (snapshot, searcher) = self.words()?;
                let ranking = searcher.search(&snapshot.rows, words, end, &query.filter)?;
                Ok(page(&ranking, query).iter().map(|s| text_hit(s, None)).collect())
            }
            (Some(vector), Some(words)) => {
                let (snapshot, searcher) = self.words()?;
                let depth = fusion::depth(end);
                let by_words = searcher.search(&snapshot.rows, words, depth, &query.filter)?;
                let by_vector = inner.nearest(&snapshot, vector, depth, query);
                let cosine_of = |s: &Scored| snapshot.rows.vector(s.row).map(|v| cosine(vector, v));
                Ok(fusion::fused_page(&by_vector, &by_words, cosine_of, query))
            }
        }
    }

    fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
        self.refresh()?;
        Ok(self.inner.snapshot().rows.count(filter))
    }

    fn scan(
        &self,
        after: Option<ItemId>,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Item>, StoreError> {
        self.inner.check_once()?;
        let after = after.map_or(vec![], |id| id.to_bytes().to_vec());
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut items = vec![];
        self.inner.read(|c| {
            c.select(
                "WHERE id > ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY id LIMIT ?3",
                (after, filter_code(filter), limit),
                |stored| {
                    items.push(stored.item);
                    Ok(())
                },
            )
        })?;
        Ok(items)
    }
}

impl LocalStore {
    /// Calls `each` with every item of one state by ascending id, its captions, and
    /// its vector unless that is damaged, until it says `false`.
    pub(crate) fn each_stored(
        &self,
        mut each: impl FnMut(&StoredItem, Vec<ItemId>, Option<&[f32]>) -> bool,
    ) -> Result<(), StoreError> {
        const PAGE: i64 = 1000;
        self.inner.check_once()?;
        self.inner.read_vectors(|c, _, file| {
            let mut after = vec![];
            loop {
                let mut page = vec![];
                c.select("WHERE id > ? ORDER BY id LIMIT ?", (&after, PAGE), |stored| {
                    page.push(stored);
                    Ok(())
                })?;
                let Some(last) = page.last() else { return Ok(()) };
                after = last.item.id.to_bytes().to_vec();
                for stored in page {
                    let id = stored.item.id;
                    let query = "SELECT text FROM captions WHERE owner = ? ORDER BY text";
                    let captions = c.ids(query, [id.to_bytes()])?;
                    if !each(&stored, captions, file.read(stored.row, id)?.as_deref()) {
                        return Ok(());
                    }
                }
            }
        })
    }
}

impl Inner {
    /// The nearest rows: by the graph where that pays, else by looking at all.
    fn nearest(
        &self,
        snapshot: &Snapshot,
        vector: &[f32],
        want: usize,
        query: &Query,
    ) -> Vec<Scored> {
        let (rows, filter) = (&*snapshot.rows, &query.filter);
        let candidates = rows.count(filter) as usize;
        let deep = want.checked_next_power_of_two().unwrap_or(want).max(PAGES);
        // Asking for a good part of everything is what a scan is for.
        if !query.exact
            && candidates >= self.options.graph_from.max(deep.saturating_mul(4))
            && let Some(graph) =
                self.graph_of(snapshot).filter(|g| g.covered() <= rows.len() && g.size() > 0)
        {
            let share = (candidates as f64 / graph.size() as f64).min(1.0);
            let ef = (self.options.graph_ef.max(2 * deep) as f64 / share).ceil() as usize;
            let tail = scan_tail(rows, graph.covered(), vector, deep, filter);
            let mut ranking = graph.search(rows, vector, ef, filter, tail).into_ranking();
            if ranking.len() >= want {
                ranking.truncate(want);
                return ranking;
            }
        }
        let top: TopK = scan_rows(rows, vector, want, filter);
        top.into_ranking()
    }
}

fn page<'a>(ranking: &'a [Scored], query: &Query) -> &'a [Scored] {
    ranking.get(query.offset..).unwrap_or(&[])
}

pub(crate) fn vector_hit(s: &Scored) -> Hit {
    Hit { id: s.id, score: s.score, cosine: Some(s.score), bm25: None, via_vector: true }
}

pub(crate) fn text_hit(s: &Scored, cosine: Option<f32>) -> Hit {
    Hit { id: s.id, score: s.score, cosine, bm25: Some(s.score), via_vector: false }
}
