//! Given phrases and pictures with weights, which items of a shared store fit best?

use std::time::Instant;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{ItemId, Query, StoreRead};

use super::SharedEngine;
use crate::languages::doubt;
use crate::search::{balance, cancelled, check, filter_of, part_name, words};
use crate::{EngineError, Mode, PartQuery, PartScore, SearchHit, SearchReply, SearchRequest};

impl SharedEngine {
    /// Finds the items that fit the request best, as [`Engine::search`](crate::Engine::search)
    /// does. Without a calibration to the library, `confidence` and `anything` are not there.
    ///
    /// # Errors
    /// `Invalid` for what a shared store does not do (feedback, copies, diversity, confidence,
    /// `why`) and as that one; otherwise as the model or the store fails: a server that cannot
    /// be asked is never an empty answer.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchReply, EngineError> {
        let start = Instant::now();
        check(request)?;
        self.refuse(request)?;
        let store = self.store()?;
        let told = words(&request.parts);
        let mut warnings = vec![];
        let mode = match request.mode {
            Mode::Hybrid if told.is_none() => Mode::Vector,
            Mode::Hybrid if !store.finds_words() => {
                warnings.push(format!(
                    "{} finds no words (BM25 needs Milvus 2.5 or newer), so this is a search by meaning alone",
                    store.server()
                ));
                Mode::Vector
            }
            Mode::Text if told.is_none() => {
                return Err(EngineError::of_field(
                    "mode",
                    "text mode needs words to look for; pictures have none".into(),
                ));
            }
            mode => mode,
        };
        let vectors = mode != Mode::Text;
        let mut parts: Vec<(String, f32, Embedding)> = vec![];
        if vectors {
            for part in &request.parts {
                if let PartQuery::Text(text) = &part.what {
                    let towers = &self.towers;
                    let tower = || towers.text();
                    warnings.extend(doubt(towers.name(), towers.languages(), tower, text)?);
                }
                parts.push((part_name(&part.what), part.weight, self.embed_part(&part.what)?));
            }
        }
        let weighted: Vec<_> = parts.iter().map(|(_, weight, own)| (own, *weight)).collect();
        let whole = match vectors {
            true => Some(
                Embedding::combine(self.towers.space(), &weighted).map_err(cancelled("parts"))?,
            ),
            false => None,
        };
        let query = Query {
            vector: whole,
            words: if mode == Mode::Vector { None } else { told },
            k: request.k,
            offset: request.offset,
            balance: balance(request),
            filter: filter_of(request),
            exact: request.exact,
            explain: request.explain,
        };
        let found = store.search(&query)?;
        let ids: Vec<ItemId> = found.iter().map(|hit| hit.id).collect();
        let items = store.items(&ids)?;
        let vectors = if parts.is_empty() { vec![] } else { store.embeddings(&ids)? };
        let mut hits = Vec::with_capacity(found.len());
        for (position, (hit, item)) in found.into_iter().zip(items).enumerate() {
            // Deleted by somebody else a moment ago.
            let Some(item) = item else { continue };
            let own = vectors.get(position).and_then(Option::as_ref);
            let mut scores = vec![];
            for (name, weight, part) in &parts {
                if let Some(own) = own {
                    let (part, score) = (name.clone(), part.cosine(own)?);
                    scores.push(PartScore { part, score, weight: *weight });
                }
            }
            hits.push(SearchHit::found(request.offset + position + 1, item, hit, scores));
        }
        Ok(SearchReply {
            hits,
            why: None,
            mode,
            total_candidates: store.count(&query.filter)?,
            space: self.towers.space().id().into(),
            anything: None,
            below_confidence: 0,
            took_ms: start.elapsed().as_secs_f64() * 1e3,
            warnings,
        })
    }

    /// Insists that nothing is asked for that takes more than the store.
    fn refuse(&self, request: &SearchRequest) -> Result<(), EngineError> {
        let asked = [
            (!request.feedback.is_empty(), "feedback (--like, --dislike)"),
            (request.collapse, "leaving out copies (--collapse)"),
            (request.diversity > 0.0, "different ones first (--diverse)"),
            (request.min_confidence.is_some(), "confidence (--min-confidence)"),
            (request.why.is_some(), "where one item stands (--why)"),
            (request.bridge.is_some(), "the words of another model (--bridge)"),
        ];
        match asked.iter().find(|(asked, _)| *asked) {
            Some((_, what)) => Err(self.unsupported(what)),
            None => Ok(()),
        }
    }

    fn embed_part(&self, part: &PartQuery) -> Result<Embedding, EngineError> {
        match part {
            PartQuery::Text(text) => self.embed_text(text),
            PartQuery::Image(source) => self.embed_image(source),
            PartQuery::Embedding(embedding) => Ok(embedding.clone()),
            PartQuery::Id(id) => self.embedding_of(*id),
        }
    }
}
