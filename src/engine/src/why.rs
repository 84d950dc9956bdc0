//! Given a search and one item, why is the item among the hits, or why not?

use std::path::PathBuf;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Filter, Item, ItemId, LocalStore, Query, StoreRead};

use crate::ranked::{Arrangement, Place};
use crate::{EngineError, SearchRequest};

/// What became of one item in a search.
#[derive(Clone, Debug)]
pub struct Why {
    /// The item that was asked for.
    pub id: ItemId,
    /// Its file, if it is one and known: to the index, or to the ledger of failures.
    pub path: Option<PathBuf>,
    /// What became of it.
    pub reason: WhyReason,
    /// Its place among all hits, from 1, where it has one.
    pub rank: Option<usize>,
    /// What it was ranked by there; as [`crate::SearchHit::score`].
    pub score: Option<f32>,
    /// Its cosine to the query as it is steered, if both have vectors.
    pub cosine: Option<f32>,
    /// The calibrated probability that it fits, if the model is calibrated.
    pub confidence: Option<f32>,
}

/// Why an item is among the hits or not. The first that holds is told.
#[derive(Clone, Debug, PartialEq)]
pub enum WhyReason {
    /// It is on the page.
    Shown,
    /// It is a hit of another page.
    OtherPage,
    /// The index does not know it, and nothing failed.
    NotIndexed,
    /// It could not be indexed.
    Failed(String),
    /// Only the other kind of items was looked for.
    OtherKind,
    /// The filter keeps it out, by each of these conditions.
    Filtered(Vec<String>),
    /// It was disliked.
    Disliked,
    /// It is a copy of another, which is shown in its place or was disliked.
    CopyOf(ItemId, Option<PathBuf>),
    /// It fits with less than the least probability that was asked for.
    BelowConfidence,
    /// The ranking has not got it: it has none of the words, in text mode; otherwise more than
    /// 100,000 are better (2,000 where copies are left out).
    NotRanked,
}

/// What a search has found out by the time it is asked why.
pub(crate) struct Found<'a> {
    pub(crate) store: &'a LocalStore,
    pub(crate) request: &'a SearchRequest,
    pub(crate) query: &'a Query,
    pub(crate) arrangement: &'a Arrangement,
    /// The confidence of an item with this vector; `None` where there is none.
    pub(crate) confidence: &'a dyn Fn(&Item, &Embedding) -> Option<f32>,
}

impl Found<'_> {
    /// What became of an item.
    pub(crate) fn why(&self, id: ItemId) -> Result<Why, EngineError> {
        let Some(item) = self.store.items(&[id])?.pop().flatten() else {
            return self.why_not_indexed(id);
        };
        let vector = self.store.embeddings(&[id])?.pop().flatten();
        let cosine = match (&self.query.vector, &vector) {
            (Some(query), Some(own)) => Some(query.cosine(own)?),
            _ => None,
        };
        let confidence = vector.as_ref().and_then(|own| (self.confidence)(&item, own));
        let known = Why {
            id,
            path: item.path.clone(),
            reason: WhyReason::NotRanked,
            rank: None,
            score: None,
            cosine,
            confidence,
        };
        if let Some(reason) = self.kept_out(&item)? {
            return Ok(Why { reason, ..known });
        }
        Ok(match self.arrangement.place(self.store, self.query, &item)? {
            Place::Nowhere => known,
            Place::CopyOf(of) => {
                let path = self.store.items(&[of])?.pop().flatten().and_then(|item| item.path);
                Why { reason: WhyReason::CopyOf(of, path), ..known }
            }
            Place::At(place, hit) => {
                let (from, k) = (self.request.offset, self.request.k);
                let too_little = self.request.min_confidence.is_some_and(|least| {
                    item.kind == ekphrasis_index::Kind::Image
                        && confidence.is_none_or(|c| c < least)
                });
                let reason = match () {
                    () if too_little => WhyReason::BelowConfidence,
                    () if (from..from + k).contains(&place) => WhyReason::Shown,
                    () => WhyReason::OtherPage,
                };
                Why { reason, rank: Some(place + 1), score: Some(hit.score), ..known }
            }
        })
    }

    /// Why an item takes no part, whatever it looks like.
    fn kept_out(&self, item: &Item) -> Result<Option<WhyReason>, EngineError> {
        let Filter { kind, expr } = &self.query.filter;
        if kind.is_some_and(|kind| kind != item.kind) {
            return Ok(Some(WhyReason::OtherKind));
        }
        if let Some(expr) = expr {
            let seen = self.store.items_as_filtered(&[item.id])?.pop().flatten();
            let unmet = expr.unmet(seen.as_ref().unwrap_or(item));
            if !unmet.is_empty() {
                let unmet = unmet.iter().map(ToString::to_string).collect();
                return Ok(Some(WhyReason::Filtered(unmet)));
            }
        }
        Ok(self.arrangement.hidden.contains(&item.id).then_some(WhyReason::Disliked))
    }

    /// Files are known to the ledger by their paths, of which ids are made.
    fn why_not_indexed(&self, id: ItemId) -> Result<Why, EngineError> {
        let failures = self.store.failures()?;
        let failed = failures.into_iter().find(|failed| ItemId::for_path(&failed.path) == id);
        let (path, reason) = match failed {
            Some(failed) => (Some(failed.path), WhyReason::Failed(failed.reason)),
            None => (None, WhyReason::NotIndexed),
        };
        Ok(Why { id, path, reason, rank: None, score: None, cosine: None, confidence: None })
    }
}
