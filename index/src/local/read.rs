//! How is a question answered from one committed state?

use ekphrasis_embed::{Embedding, Space};

use super::{Inner, LocalStore, Snapshot};
use crate::catalogue::filter_code;
use crate::filter::Pass;
use crate::store::same_space;
use crate::topk::Scored;
use crate::vector::{Ask, QueryCodes, cosine, scan, scan_tail};
use crate::{Filter, Hit, Item, ItemId, Query, Seq, StoreError, StoreRead, fusion};

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
        self.inner.read(|c| ids.iter().map(|&id| Ok(c.item(id)?.map(|s| s.item))).collect())
    }

    fn embeddings(&self, ids: &[ItemId]) -> Result<Vec<Option<Embedding>>, StoreError> {
        let inner = &self.inner;
        inner.read(|c| {
            let one = |&id| {
                let Some((head, _)) = c.head(id)? else { return Ok(None) };
                let values = inner.file.read(head.row, id)?;
                // What passes the checksum was an embedding when it was written.
                Ok(values.and_then(|v| Embedding::new(&inner.space, v).ok()))
            };
            ids.iter().map(one).collect()
        })
    }

    fn search(&self, query: &Query) -> Result<Vec<Hit>, StoreError> {
        if let Some(vector) = &query.vector {
            same_space(&self.inner.space, vector.space())?;
        }
        self.refresh()?;
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
                let (snapshot, searcher) = inner.words()?;
                let ranking = searcher.search(&snapshot.rows, words, end, &query.filter)?;
                Ok(page(&ranking, query).iter().map(|s| text_hit(s, None)).collect())
            }
            (Some(vector), Some(words)) => {
                let (snapshot, searcher) = inner.words()?;
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
        Ok(self.inner.snapshot().rows.count(&Pass::new(filter.kind, None)))
    }

    fn scan(
        &self,
        after: Option<ItemId>,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Item>, StoreError> {
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

impl Inner {
    /// The nearest rows: by the graph where that pays, else by looking at all.
    fn nearest(
        &self,
        snapshot: &Snapshot,
        vector: &[f32],
        want: usize,
        query: &Query,
    ) -> Vec<Scored> {
        let (rows, pass) = (&*snapshot.rows, &Pass::new(query.filter.kind, None));
        let candidates = rows.count(pass) as usize;
        // Not one of a newer state: it has nothing of what died since.
        let graph = self.graph().filter(|g| g.covered() <= rows.len() && g.seq() <= snapshot.seq);
        // One ranking for all usual pages.
        let ef =
            self.options.graph_ef.max(want.checked_next_power_of_two().map_or(want, |w| 2 * w));
        // Asking for a good part of everything is what a scan is for.
        if !query.exact
            && candidates >= self.options.graph_from.max(ef.saturating_mul(8))
            && let Some(graph) = &graph
        {
            let ask = Ask { rows, query: vector, codes: &QueryCodes::of(vector), pass };
            let tail = scan_tail(rows, graph.covered(), vector, want, pass);
            match graph.search(&ask, ef, tail) {
                Ok(top) => {
                    let ranking = top.into_ranking();
                    if ranking.len() >= want {
                        return ranking;
                    }
                }
                Err(_) => self.drop_damaged_graph(),
            }
        }
        scan(rows, graph.as_deref(), vector, want, pass).into_ranking()
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
