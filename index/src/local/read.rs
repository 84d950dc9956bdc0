//! How is a question answered from one committed state?

use std::sync::Arc;

use ekphrasis_embed::{Embedding, Space};

use super::{Inner, LocalStore, Options, Snapshot};
use crate::catalogue::{Catalogue, kind_code};
use crate::filter::{Pass, Plan, PlanFacts};
use crate::store::same_space;
use crate::topk::Scored;
use crate::vector::{Ask, Graph, QueryCodes, Rows, cosine, scan, scan_tail};
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
                let (snapshot, pass) = self.admit(inner.snapshot(), &query.filter)?;
                let ranking = inner.nearest(&snapshot, vector, end, query, &pass);
                Ok(page(&ranking, query).iter().map(vector_hit).collect())
            }
            (None, Some(words)) => {
                let (snapshot, searcher) = inner.words()?;
                let (snapshot, pass) = self.admit(snapshot, &query.filter)?;
                let ranking = searcher.search(&snapshot.rows, words, end, &pass)?;
                Ok(page(&ranking, query).iter().map(|s| text_hit(s, None)).collect())
            }
            (Some(vector), Some(words)) => {
                let (snapshot, searcher) = inner.words()?;
                let (snapshot, pass) = self.admit(snapshot, &query.filter)?;
                let depth = fusion::depth(end);
                let by_words = searcher.search(&snapshot.rows, words, depth, &pass)?;
                let by_vector = inner.nearest(&snapshot, vector, depth, query, &pass);
                let cosine_of = |s: &Scored| snapshot.rows.vector(s.row).map(|v| cosine(vector, v));
                Ok(fusion::fused_page(&by_vector, &by_words, cosine_of, query))
            }
        }
    }

    fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
        self.refresh()?;
        let (snapshot, pass) = self.admit(self.inner.snapshot(), filter)?;
        Ok(match filter.expr {
            None => snapshot.rows.count(&pass),
            Some(_) => self.inner.filters.count(filter, &snapshot, &pass),
        })
    }

    fn scan(
        &self,
        after: Option<ItemId>,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Item>, StoreError> {
        // Before the items are read, so that the two can be of one state.
        self.refresh()?;
        self.inner.read(|c| self.inner.scan(c, after, limit, filter))
    }
}

impl Inner {
    fn scan(
        &self,
        c: &Catalogue,
        after: Option<ItemId>,
        limit: usize,
        filter: &Filter,
    ) -> Result<Vec<Item>, StoreError> {
        let key = after.map_or(vec![], |id| id.to_bytes().to_vec());
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut items = vec![];
        let Some(expr) = &filter.expr else {
            let clause = "WHERE id > ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY id LIMIT ?3";
            c.select(clause, (key, filter.kind.map(kind_code), most), |stored| {
                items.push(stored.item);
                Ok(())
            })?;
            return Ok(items);
        };
        let state = c.state()?;
        let Some(rows) = self.rows_of(c, &state, expr)? else {
            c.select("WHERE id > ? ORDER BY id", [key], |stored| {
                if items.len() < limit && filter.accepts(&stored.item) {
                    items.push(stored.item);
                }
                Ok(())
            })?;
            return Ok(items);
        };
        let pass = Pass::new(filter.kind, Some(rows));
        let snapshot = self.snapshot();
        let ids = if snapshot.seq == state.seq {
            snapshot.rows.first_ids(&pass, after, limit)
        } else {
            // Someone commits just now: the catalogue alone knows who has which row.
            c.walk(after, limit, |kind, row| pass.lets(row, kind))?
        };
        for id in ids {
            items.extend(c.item(id)?.map(|stored| stored.item));
        }
        Ok(items)
    }

    fn plan(&self, graph: &Graph, rows: &Rows, pass: &Pass, deep: usize) -> Plan {
        let Options { graph_from, graph_ef: keep, graph_work: work, .. } = self.options;
        let (graph, passing) = (graph.size(), rows.estimate(pass));
        // One ranking for all usual pages.
        let deep = deep.checked_next_power_of_two().unwrap_or(deep);
        PlanFacts { graph, passing, deep, keep, work, graph_from }.plan()
    }

    /// The nearest rows: by the graph where that pays, else by looking at all.
    fn nearest(
        &self,
        snapshot: &Snapshot,
        vector: &[f32],
        want: usize,
        query: &Query,
        pass: &Pass,
    ) -> Vec<Scored> {
        let rows = &*snapshot.rows;
        // Not one of a newer state: it has nothing of what died since.
        let covering = |g: &Arc<Graph>| g.covered() <= rows.len() && g.seq() <= snapshot.seq;
        let graph = self.graph().filter(covering);
        if !query.exact
            && let Some(graph) = &graph
            && let Plan::Graph { keep } = self.plan(graph, rows, pass, want)
        {
            let ask = Ask { rows, query: vector, codes: &QueryCodes::of(vector), pass };
            let tail = scan_tail(rows, graph.covered(), vector, want, pass);
            match graph.search(&ask, keep, tail) {
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
