//! How is a question answered from one committed state?

use ekphrasis_embed::{Embedding, Space};

use super::{Inner, LocalStore, Options, Snapshot};
use crate::catalogue::{Catalogue, StoredItem, kind_code};
use crate::filter::{Pass, Plan, PlanFacts};
use crate::fusion::{text_hit, vector_hit};
use crate::store::same_space;
use crate::text::Understood;
use crate::topk::Scored;
use crate::vector::{Ask, Graph, QueryCodes, Rows, cosine, scan, scan_tail};
use crate::{Filter, Hit, Item, ItemId, Kind, Query, Seq, StoreError, StoreRead, fusion};

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
        let inner = &self.inner;
        let end = query.offset.saturating_add(query.k);
        let vector = query.vector.as_ref().map(Embedding::values);
        let ef = (!query.exact).then(|| inner.ef());
        match (vector, &query.words) {
            (None, None) => Ok(vec![]),
            _ if query.k == 0 => Ok(vec![]),
            (Some(vector), None) => {
                let (snapshot, pass) = self.admitted(&query.filter)?;
                let ranking =
                    inner.nearest(&snapshot, &Wanted { vector, count: end, ef, pass: &pass });
                Ok(page(&ranking, query).iter().map(vector_hit).collect())
            }
            (None, Some(words)) => {
                let (snapshot, searcher, pass) = self.admitted_words(&query.filter)?;
                let asked = searcher.understand(&snapshot.rows, words)?;
                let ranking = searcher.search(&snapshot.rows, &asked, end, &pass)?;
                let hits = page(&ranking, query).iter().map(text_hit).collect();
                self.explained(query, &asked, hits)
            }
            (Some(vector), Some(words)) => {
                let (snapshot, searcher, pass) = self.admitted_words(&query.filter)?;
                let asked = searcher.understand(&snapshot.rows, words)?;
                let depth = fusion::depth(end);
                let by_words = searcher.search(&snapshot.rows, &asked, depth, &pass)?;
                let by_vector =
                    inner.nearest(&snapshot, &Wanted { vector, count: depth, ef, pass: &pass });
                let mut buffer = vec![];
                let cosine_of =
                    |s: &Scored| Some(cosine(vector, snapshot.rows.read(s.row, &mut buffer)?));
                let hits = fusion::fused_page(&by_vector, &by_words, cosine_of, query);
                self.explained(query, &asked, hits)
            }
        }
    }

    fn count(&self, filter: &Filter) -> Result<u64, StoreError> {
        let (snapshot, pass) = self.admitted(filter)?;
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
        self.inner.check_once()?;
        // Before the items are read, so that the two can be of one state.
        self.refresh()?;
        self.inner.read(|c| self.inner.scan(c, after, limit, filter))
    }
}

impl LocalStore {
    /// Adds why words found these hits, if that is asked for.
    fn explained(
        &self,
        query: &Query,
        asked: &Understood,
        mut hits: Vec<Hit>,
    ) -> Result<Vec<Hit>, StoreError> {
        if query.explain {
            let found: Vec<&mut Hit> = hits.iter_mut().filter(|h| h.bm25.is_some()).collect();
            let ids: Vec<ItemId> = found.iter().map(|hit| hit.id).collect();
            for (hit, item) in found.into_iter().zip(self.items(&ids)?) {
                // Deleted meanwhile, if it is not there.
                hit.words = item.map(|item| asked.explain(&item)).unwrap_or_default();
            }
        }
        Ok(hits)
    }
}

impl LocalStore {
    /// The vectors of the `count` items of a kind with the smallest ids, in their order: ids are
    /// hashes, so they are a sample by chance, and the same in equal stores, in whatever order
    /// these came to be. Damaged ones are passed over. No item is read.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn first_vectors(&self, kind: Kind, count: usize) -> Result<Vec<Embedding>, StoreError> {
        self.refresh()?;
        let rows = &self.inner.snapshot().rows;
        let mut buffer = vec![];
        let vector = |row| {
            // What passes the checksum was an embedding when it was written.
            Embedding::new(self.space(), rows.read(row, &mut buffer)?.to_vec()).ok()
        };
        Ok(rows.first_of(kind, count).into_iter().filter_map(vector).collect())
    }

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
            let given = c.given_labels()?;
            let accepted = |item: &Item| filter.accepts(item);
            c.select("WHERE id > ? ORDER BY id", [key], |stored| {
                if items.len() < limit && given.seen(&stored.item, stored.row, accepted) {
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

    /// How the nearest `deep` are found by a graph that keeps `keep` candidates if all pass.
    pub(super) fn plan(
        &self,
        graph: &Graph,
        rows: &Rows,
        pass: &Pass,
        deep: usize,
        keep: usize,
    ) -> Plan {
        let Options { graph_from, graph_work: work, .. } = self.options;
        let (graph, passing) = (graph.size(), rows.estimate(pass));
        let named = pass.named().is_some();
        let deep = rounded(deep);
        PlanFacts { graph, passing, named, deep, keep, work, graph_from }.plan()
    }

    /// The nearest rows: by the graph where that pays, else by looking at all.
    fn nearest(&self, snapshot: &Snapshot, wanted: &Wanted<'_>) -> Vec<Scored> {
        let graph = self.graph_of(snapshot);
        self.nearest_by(graph.as_deref(), snapshot, wanted)
    }

    /// The same by a certain graph, or by none.
    pub(super) fn nearest_by(
        &self,
        graph: Option<&Graph>,
        snapshot: &Snapshot,
        wanted: &Wanted<'_>,
    ) -> Vec<Scored> {
        let (Wanted { vector: query, count, ef, pass }, rows) = (*wanted, &*snapshot.rows);
        // Not one of a newer state: it has nothing of what died since.
        let graph = graph.filter(|g| g.covered() <= rows.len() && g.seq() <= snapshot.seq);
        if let Some(ef) = ef
            && let Some(graph) = graph
            && let Plan::Graph(keep) = self.plan(graph, rows, pass, count, ef)
        {
            let ask = Ask { rows, query, codes: &QueryCodes::of(query), pass };
            // A walk keeps as many for all usual pages; what sketches pass over depends on how many
            // are wanted, so pages are of few rankings.
            let wanted = if pass.named().is_some() { rounded(count) } else { count };
            let tail = scan_tail(rows, graph.covered(), query, wanted, pass);
            match graph.search(&ask, keep, tail) {
                Ok(Some(top)) => {
                    let mut ranking = top.into_ranking();
                    if ranking.len() >= count {
                        ranking.truncate(count);
                        return ranking;
                    }
                }
                Ok(None) => {}
                Err(_) => self.drop_damaged_graph(graph),
            }
        }
        scan(rows, graph, query, count, pass).into_ranking()
    }
}

/// As many as are looked for, so that usual pages are of one ranking or a few.
fn rounded(count: usize) -> usize {
    count.checked_next_power_of_two().unwrap_or(count)
}

/// Which rows are looked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) vector: &'a [f32],
    /// How many of the nearest.
    pub(super) count: usize,
    /// Candidates that a graph keeps at least; `None` compares with all.
    pub(super) ef: Option<usize>,
    pub(super) pass: &'a Pass,
}

fn page<'a>(ranking: &'a [Scored], query: &Query) -> &'a [Scored] {
    ranking.get(query.offset..).unwrap_or(&[])
}
