//! Given a query, which rows stand on its page, when what was disliked is hidden, copies are left
//! out and hits are to differ?
//!
//! Pages of one search are stretches of one order, however long they are: what is hidden is taken
//! out before places are counted, and hits are reordered within the first [`WINDOW`] of all,
//! whichever page is asked for.

use std::collections::HashSet;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Hit, Item, ItemId, LocalStore, Query, StoreRead};

use crate::EngineError;
use crate::diversity::marginal_relevance;
use crate::duplicates::are_copies;

/// Hits that are compared with one another to leave out copies.
pub(crate) const MOST_COLLAPSED: usize = 4_000;
/// The best hits, which are reordered where they are to differ; those after them are not.
pub(crate) const WINDOW: usize = 256;

/// A hit, its item and its vector.
pub(crate) type Row = (Hit, Item, Option<Embedding>);

/// What is done with a ranking before it is shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrangement {
    /// Who is not shown.
    pub(crate) hidden: HashSet<ItemId>,
    /// Show one of copies.
    pub(crate) collapse: bool,
    /// How much hits are to differ, 0..=1.
    pub(crate) diversity: f32,
}

/// The rows of a page.
pub(crate) struct Page {
    /// Each with how many copies of it were left out.
    pub(crate) rows: Vec<(Row, usize)>,
    /// Whether there are fewer than were asked for because no more than [`MOST_COLLAPSED`] are
    /// looked at.
    pub(crate) short: bool,
}

impl Arrangement {
    /// The page that `query` asks for.
    pub(crate) fn page(&self, store: &LocalStore, query: &Query) -> Result<Page, EngineError> {
        if self.collapse {
            return self.collapsed(store, query);
        }
        let rows = if self.diversity > 0.0 {
            self.diverse(store, query)?
        } else if self.hidden.is_empty() {
            rows_of(store, store.search(query)?)?
        } else {
            without(store, query, &self.hidden, query.offset, query.k)?
        };
        Ok(Page { rows: rows.into_iter().map(|row| (row, 0)).collect(), short: false })
    }

    /// The first [`WINDOW`] reordered, and after them the rest as they are ranked.
    fn diverse(&self, store: &LocalStore, query: &Query) -> Result<Vec<Row>, EngineError> {
        let (from, to) = (query.offset, query.offset + query.k);
        let window = without(store, query, &self.hidden, 0, WINDOW)?;
        let full = window.len() == WINDOW;
        let mut gone = self.hidden.clone();
        gone.extend(window.iter().map(|row| row.0.id));
        let window = reordered(window, |row| row, self.diversity);
        let mut rows: Vec<Row> = window.into_iter().skip(from).take(query.k).collect();
        if full && to > WINDOW {
            let skip = from.saturating_sub(WINDOW);
            rows.extend(without(store, query, &gone, skip, to - from.max(WINDOW))?);
        }
        Ok(rows)
    }

    /// The hits of which none is a copy of one before it or of one that is hidden.
    fn collapsed(&self, store: &LocalStore, query: &Query) -> Result<Page, EngineError> {
        let (wanted, enough) = (query.k, query.k + query.offset);
        let enough_to_reorder = if self.diversity > 0.0 { enough.max(WINDOW) } else { enough };
        let hidden: Vec<ItemId> = self.hidden.iter().copied().collect();
        let hidden: Vec<(Item, Option<Embedding>)> = store
            .items(&hidden)?
            .into_iter()
            .zip(store.embeddings(&hidden)?)
            .filter_map(|(item, embedding)| Some((item?, embedding)))
            .collect();
        // The same for all of the first pages, so that they show one order.
        let k = (2 * enough_to_reorder).next_power_of_two().clamp(256, MOST_COLLAPSED);
        let mut query = Query { k, offset: 0, ..query.clone() };
        let (mut kept, all) = loop {
            let found = rows_of(store, store.search(&query)?)?;
            let all = found.len() < query.k;
            let mut kept: Vec<(Row, usize)> = vec![];
            for row in found {
                let like = |item: &Item, embedding: Option<&Embedding>| {
                    are_copies((item, embedding), (&row.1, row.2.as_ref()))
                };
                if self.hidden.contains(&row.0.id)
                    || hidden.iter().any(|(i, e)| like(i, e.as_ref()))
                {
                    continue;
                }
                match kept.iter_mut().find(|(of, _)| like(&of.1, of.2.as_ref())) {
                    Some((_, copies)) => *copies += 1,
                    None => kept.push((row, 0)),
                }
            }
            if all || kept.len() >= enough_to_reorder || query.k >= MOST_COLLAPSED {
                break (kept, all);
            }
            query.k = (2 * query.k).min(MOST_COLLAPSED);
        };
        let short = !all && kept.len() < enough;
        if self.diversity > 0.0 {
            let rest = kept.split_off(WINDOW.min(kept.len()));
            kept = reordered(kept, |(row, _)| row, self.diversity);
            kept.extend(rest);
        }
        let page = kept.into_iter().skip(enough - wanted).take(wanted).collect();
        Ok(Page { rows: page, short })
    }
}

/// Where an item stands.
pub(crate) enum Place {
    /// After so many others, with what is known of it as a hit.
    At(usize, Box<Hit>),
    /// Left out as a copy of another, which is shown or was disliked.
    CopyOf(ItemId),
    /// Not among as many of the best as are looked at.
    Nowhere,
}

/// How deep is looked for one item.
const DEEPEST: usize = 100_000;

impl Arrangement {
    /// Where an item stands that the filter lets through and that is not hidden.
    pub(crate) fn place(
        &self,
        store: &LocalStore,
        query: &Query,
        item: &Item,
    ) -> Result<Place, EngineError> {
        if self.collapse {
            return self.place_among_copies(store, query, item);
        }
        // The ranking of usual pages first: a deep one may differ from it where a graph is asked.
        for k in [(query.offset + query.k).max(1000), DEEPEST] {
            let deep = Query { k, offset: 0, explain: false, ..query.clone() };
            let mut ranking = store.search(&deep)?;
            ranking.retain(|hit| !self.hidden.contains(&hit.id));
            let Some(at) = ranking.iter().position(|hit| hit.id == item.id) else { continue };
            let hit = Box::new(ranking[at].clone());
            if self.diversity > 0.0 && at < WINDOW {
                ranking.truncate(WINDOW);
                let window = reordered(rows_of(store, ranking)?, |row| row, self.diversity);
                let at = window.iter().position(|row| row.0.id == item.id).unwrap_or(at);
                return Ok(Place::At(at, hit));
            }
            return Ok(Place::At(at, hit));
        }
        Ok(Place::Nowhere)
    }

    fn place_among_copies(
        &self,
        store: &LocalStore,
        query: &Query,
        item: &Item,
    ) -> Result<Place, EngineError> {
        let whole = Query { k: MOST_COLLAPSED / 2, offset: 0, explain: false, ..query.clone() };
        let rows = self.collapsed(store, &whole)?.rows;
        if let Some(at) = rows.iter().position(|(row, _)| row.1.id == item.id) {
            return Ok(Place::At(at, Box::new(rows[at].0.0.clone())));
        }
        let own = store.embeddings(&[item.id])?.pop().flatten();
        let copy = |other: &Item, vector: Option<&Embedding>| {
            are_copies((other, vector), (item, own.as_ref()))
        };
        if let Some((of, _)) = rows.iter().find(|(row, _)| copy(&row.1, row.2.as_ref())) {
            return Ok(Place::CopyOf(of.1.id));
        }
        let hidden: Vec<ItemId> = self.hidden.iter().copied().collect();
        let hidden = store.items(&hidden)?.into_iter().zip(store.embeddings(&hidden)?);
        let mut of = hidden.filter_map(|(other, vector)| Some((other?, vector)));
        let of = of.find(|(other, vector)| copy(other, vector.as_ref()));
        Ok(of.map_or(Place::Nowhere, |(of, _)| Place::CopyOf(of.id)))
    }
}

/// Rows by maximal marginal relevance.
fn reordered<T>(rows: Vec<T>, row: impl Fn(&T) -> &Row, diversity: f32) -> Vec<T> {
    let scores: Vec<f32> = rows.iter().map(|one| row(one).0.score).collect();
    let vectors: Vec<Option<&[f32]>> =
        rows.iter().map(|one| row(one).2.as_ref().map(Embedding::values)).collect();
    let order = marginal_relevance(&scores, &vectors, diversity);
    let mut rows: Vec<Option<T>> = rows.into_iter().map(Some).collect();
    order.into_iter().filter_map(|at| rows[at].take()).collect()
}

/// Of a ranking without those in `gone`, `take` rows after the first `skip`.
fn without(
    store: &LocalStore,
    query: &Query,
    gone: &HashSet<ItemId>,
    skip: usize,
    take: usize,
) -> Result<Vec<Row>, EngineError> {
    // One end for all that is asked here, so that it is one ranking.
    let end = skip + take + gone.len();
    let whole = Query { k: end, offset: 0, explain: false, ..query.clone() };
    let ranking = store.search(&whole)?;
    let mut left = ranking.iter().enumerate().filter(|(_, hit)| !gone.contains(&hit.id));
    let Some((from, _)) = left.nth(skip) else { return Ok(vec![]) };
    let mut hits = if query.explain {
        // Which words found them is looked up for those that are shown only.
        store.search(&Query { k: end - from, offset: from, explain: true, ..whole })?
    } else {
        ranking[from..].to_vec()
    };
    hits.retain(|hit| !gone.contains(&hit.id));
    hits.truncate(take);
    rows_of(store, hits)
}

fn rows_of(store: &LocalStore, hits: Vec<Hit>) -> Result<Vec<Row>, EngineError> {
    let ids: Vec<ItemId> = hits.iter().map(|hit| hit.id).collect();
    let (items, embeddings) = (store.items(&ids)?, store.embeddings(&ids)?);
    let rows = hits.into_iter().zip(items).zip(embeddings);
    // Deleted between the two reads: not there any more, so not a hit.
    Ok(rows.filter_map(|((hit, item), embedding)| Some((hit, item?, embedding))).collect())
}
