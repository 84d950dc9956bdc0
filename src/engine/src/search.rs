//! Given phrases and pictures with weights, which items fit best?

use std::time::Instant;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Balance, Filter, Hit, Item, ItemId, Kind, LocalStore, Query, StoreRead};

use crate::duplicates::are_copies;
use crate::{
    Engine, EngineError, Mode, Part, PartQuery, PartScore, SearchHit, SearchReply, SearchRequest,
};

/// The most hits one request may ask for.
const MAX_K: usize = 1000;
/// Hits that are compared with one another to leave out copies.
const MOST_COLLAPSED: usize = 4_000;
/// How deep paging goes.
const MAX_OFFSET: usize = 100_000;

/// A part with its vector (where the mode needs one).
struct Resolved {
    name: String,
    weight: f32,
    embedding: Option<Embedding>,
}

impl Engine {
    /// Finds the items that fit the request best.
    ///
    /// # Errors
    /// `Invalid` for a request without a positive part, a weight of zero or NaN,
    /// or a `k` or offset out of range; `NotFound` for an unknown id; otherwise
    /// as reading the picture, the model or the store fails.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchReply, EngineError> {
        let start = Instant::now();
        check(request)?;
        // Hits are judged by what is asked for, in words or not; ranked as the mode says.
        let told = words(&request.parts);
        let words = match request.mode {
            Mode::Vector => None,
            Mode::Hybrid | Mode::Text => told.clone(),
        };
        // There is nothing to fuse without words: scores are cosines then, and it is said so.
        let mode = match request.mode {
            Mode::Hybrid if words.is_none() => Mode::Vector,
            mode => mode,
        };
        let parts = self.resolve(request, mode)?;
        let vector = match mode {
            Mode::Text => None,
            Mode::Hybrid | Mode::Vector => Some(self.combine(&parts)?),
        };
        if mode == Mode::Text && words.is_none() {
            return Err(EngineError::Invalid(
                "text mode needs words to look for; pictures have none".into(),
            ));
        }
        let mut query = Query {
            vector,
            words,
            k: request.k,
            offset: request.offset,
            balance: balance(&request.parts),
            filter: filter_of(request),
            exact: request.exact,
            explain: request.explain,
        };
        let store = self.fresh()?;
        let mut warnings = store.warnings();
        let rows = if request.collapse {
            let (rows, short) = self.meters.rank.time(|| collapsed(store, &mut query))?;
            if short {
                warnings.push(format!(
                    "among the first {MOST_COLLAPSED} hits are so many copies that there may be more than is shown; search without collapsing to see all"
                ));
            }
            rows
        } else {
            self.meters.rank.time(|| rows(store, &query))?.into_iter().map(|row| (row, 0)).collect()
        };
        let mut confidence = None;
        if query.vector.is_some() && request.kind != Some(Kind::Text) {
            match self.towers.confidence() {
                Ok(known) => confidence = known,
                Err(e) if request.min_confidence.is_none() => {
                    warnings.push(format!("how well the hits fit cannot be told: {e}"));
                }
                Err(e) => return Err(e),
            }
        }
        let judged = match (&query.vector, &confidence) {
            (Some(vector), Some(confidence)) => {
                self.judge(store, confidence, request, vector, told.as_deref())?
            }
            _ => None,
        };
        if request.min_confidence.is_some() && judged.is_none() {
            return Err(EngineError::Invalid(self.why_not_judged(request, mode)?));
        }
        let has_texts = rows.iter().any(|((_, item, _), _)| item.kind == Kind::Text);
        let anything = match (&judged, &query.vector) {
            // A text may fit although no picture does.
            _ if has_texts => None,
            (Some(judged), _) => Some(judged.anything()),
            (None, Some(vector)) if confidence.is_none() && request.kind != Some(Kind::Text) => {
                self.guess(store, vector, told.as_deref())?
            }
            (None, _) => None,
        };
        let mut hits = Vec::with_capacity(rows.len());
        let mut below_confidence = 0;
        for (position, ((hit, item, embedding), copies)) in rows.into_iter().enumerate() {
            let confidence = match (&judged, hit.cosine) {
                (Some(judged), Some(cosine)) => judged.hit(&item, cosine),
                _ => None,
            };
            // Nothing is known of texts: they stay.
            if item.kind == Kind::Image
                && request.min_confidence.is_some_and(|least| confidence.is_none_or(|c| c < least))
            {
                below_confidence += 1;
                continue;
            }
            let mut explained = explain(&parts, embedding.as_ref())?;
            if let Some(bm25) = hit.bm25 {
                explained.push(PartScore { part: "words".into(), score: bm25, weight: 1.0 });
            }
            hits.push(SearchHit {
                rank: request.offset + position + 1,
                item,
                score: hit.score,
                cosine: hit.cosine,
                confidence,
                via_vector: hit.via_vector,
                via_text: hit.bm25.is_some(),
                parts: explained,
                words: hit.words,
                copies,
                given: vec![],
            });
        }
        let ids: Vec<ItemId> = hits.iter().map(|hit| hit.item.id).collect();
        for (hit, given) in hits.iter_mut().zip(store.given_labels(&ids)?) {
            hit.given = given;
        }
        Ok(SearchReply {
            hits,
            mode,
            total_candidates: store.count(&filter_of(request))?,
            anything,
            below_confidence,
            took_ms: start.elapsed().as_secs_f64() * 1e3,
            warnings,
        })
    }

    /// Why there is no confidence to ask for.
    fn why_not_judged(&self, request: &SearchRequest, mode: Mode) -> Result<String, EngineError> {
        let why = if mode == Mode::Text {
            "a search by words alone has no confidence; leave text mode, or min_confidence"
        } else if request.kind == Some(Kind::Text) {
            "confidence is known for pictures, not for texts; leave min_confidence out"
        } else if self.towers.confidence()?.is_none() {
            "the model is not calibrated, so there is no confidence; `ek model calibrate` does it"
        } else if request.kind.is_none() {
            "there are no pictures to search, and confidence is known for pictures only; leave min_confidence out"
        } else {
            "there is no confidence for this search; leave min_confidence out"
        };
        Ok(why.into())
    }

    fn resolve(&self, request: &SearchRequest, mode: Mode) -> Result<Vec<Resolved>, EngineError> {
        let vectors = mode != Mode::Text;
        request
            .parts
            .iter()
            .map(|part| {
                Ok(Resolved {
                    name: part_name(&part.what),
                    weight: part.weight,
                    embedding: if vectors { Some(self.embed_part(&part.what)?) } else { None },
                })
            })
            .collect()
    }

    fn embed_part(&self, part: &PartQuery) -> Result<Embedding, EngineError> {
        match part {
            PartQuery::Text(text) => self.embed_text(text),
            PartQuery::Image(source) => self.embed_image(source),
            PartQuery::Embedding(embedding) => Ok(embedding.clone()),
            PartQuery::Id(id) => self
                .store
                .embeddings(&[*id])?
                .pop()
                .flatten()
                .ok_or_else(|| EngineError::NotFound(format!("there is no item {id}"))),
        }
    }

    fn combine(&self, parts: &[Resolved]) -> Result<Embedding, EngineError> {
        let weighted: Vec<_> =
            parts.iter().filter_map(|p| Some((p.embedding.as_ref()?, p.weight))).collect();
        Ok(Embedding::combine(self.towers.space(), &weighted)?)
    }
}

/// A hit, its item and its vector.
type Row = (Hit, Item, Option<Embedding>);

fn rows(store: &LocalStore, query: &Query) -> Result<Vec<Row>, EngineError> {
    let found = store.search(query)?;
    let ids: Vec<ItemId> = found.iter().map(|hit| hit.id).collect();
    let (items, embeddings) = (store.items(&ids)?, store.embeddings(&ids)?);
    let rows = found.into_iter().zip(items).zip(embeddings);
    // Deleted between the two reads: not there any more, so not a hit.
    Ok(rows.filter_map(|((hit, item), embedding)| Some((hit, item?, embedding))).collect())
}

/// The hits of which none is a copy of one before it, and how many copies of each
/// were left out; and whether there are fewer than were asked for because no more than
/// [`MOST_COLLAPSED`] are looked at.
fn collapsed(
    store: &LocalStore,
    query: &mut Query,
) -> Result<(Vec<(Row, usize)>, bool), EngineError> {
    let (k, offset) = (query.k, std::mem::take(&mut query.offset));
    let enough = k + offset;
    // The same for all of the first pages, so that they show one order.
    query.k = (2 * enough).next_power_of_two().clamp(256, MOST_COLLAPSED);
    loop {
        let found = rows(store, query)?;
        let all = found.len() < query.k;
        let mut kept: Vec<(Row, usize)> = vec![];
        for row in found {
            let copy = |(of, _): &&mut (Row, usize)| {
                are_copies((&of.1, of.2.as_ref()), (&row.1, row.2.as_ref()))
            };
            match kept.iter_mut().find(copy) {
                Some((_, copies)) => *copies += 1,
                None => kept.push((row, 0)),
            }
        }
        if all || kept.len() >= enough || query.k >= MOST_COLLAPSED {
            let short = !all && kept.len() < enough;
            return Ok((kept.into_iter().skip(offset).take(k).collect(), short));
        }
        query.k = (2 * query.k).min(MOST_COLLAPSED);
    }
}

fn filter_of(request: &SearchRequest) -> Filter {
    Filter { kind: request.kind, expr: request.filter.clone() }
}

fn check(request: &SearchRequest) -> Result<(), EngineError> {
    let invalid = |message: String| Err(EngineError::Invalid(message));
    if request.parts.is_empty() {
        return invalid("there is nothing to look for: give words, a picture or an id".into());
    }
    for part in &request.parts {
        if !part.weight.is_finite() || part.weight == 0.0 {
            return invalid(format!("a weight is a number other than 0, got {}", part.weight));
        }
        if matches!(&part.what, PartQuery::Text(text) if text.trim().is_empty()) {
            return invalid("the words to look for are empty".into());
        }
    }
    if request.parts.iter().all(|part| part.weight < 0.0) {
        return invalid("there is only something to avoid; say also what to look for".into());
    }
    if !(1..=MAX_K).contains(&request.k) {
        return invalid(format!("k is 1 to {MAX_K}, got {}", request.k));
    }
    if request.collapse && request.offset + request.k > MOST_COLLAPSED / 2 {
        return invalid(format!(
            "without copies, k and offset are at most {} together",
            MOST_COLLAPSED / 2
        ));
    }
    if let Some(least) = request.min_confidence
        && !(0.0..=1.0).contains(&least)
    {
        return invalid(format!("min_confidence is 0 to 1, got {least}"));
    }
    if request.offset > MAX_OFFSET {
        return invalid(format!("offset is at most {MAX_OFFSET}, got {}", request.offset));
    }
    Ok(())
}

/// The words to rank by: all wanted texts. Unwanted ones only steer the vector.
fn words(parts: &[Part]) -> Option<String> {
    let wanted: Vec<&str> = parts
        .iter()
        .filter(|part| part.weight > 0.0)
        .filter_map(|part| match &part.what {
            PartQuery::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    (!wanted.is_empty()).then(|| wanted.join(" "))
}

/// How much the ranking by words counts beside that by vector: as much as words
/// have a share in what is wanted, so that a picture that counts three times as
/// much as a phrase does so in both.
fn balance(parts: &[Part]) -> Balance {
    let weight = |wanted: fn(&PartQuery) -> bool| -> f32 {
        parts.iter().filter(|p| p.weight > 0.0 && wanted(&p.what)).map(|p| p.weight).sum()
    };
    let (words, all) = (weight(|what| matches!(what, PartQuery::Text(_))), weight(|_| true));
    Balance { vector: 1.0, words: words / all }
}

fn part_name(part: &PartQuery) -> String {
    match part {
        PartQuery::Text(text) => text.clone(),
        PartQuery::Image(_) => "image".into(),
        PartQuery::Id(id) => id.to_string(),
        PartQuery::Embedding(_) => "embedding".into(),
    }
}

fn explain(
    parts: &[Resolved],
    embedding: Option<&Embedding>,
) -> Result<Vec<PartScore>, EngineError> {
    let Some(embedding) = embedding else { return Ok(Vec::new()) };
    let mut scores = Vec::with_capacity(parts.len() + 1);
    for part in parts {
        if let Some(query) = &part.embedding {
            let score = query.cosine(embedding)?;
            scores.push(PartScore { part: part.name.clone(), score, weight: part.weight });
        }
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    #[test]
    fn words_count_as_much_as_their_share_in_what_is_wanted() {
        let text = |weight| Part { what: PartQuery::Text("x".into()), weight };
        let image = |weight| Part { what: PartQuery::Image(Source::Bytes(vec![])), weight };
        for (parts, words) in [
            (vec![text(1.0)], 1.0),
            (vec![text(0.2), text(3.0)], 1.0),
            (vec![text(1.0), image(1.0)], 0.5),
            (vec![text(1.0), image(3.0)], 0.25),
            // What is unwanted only steers the vector.
            (vec![text(1.0), image(-3.0)], 1.0),
            (vec![image(1.0), text(-1.0)], 0.0),
        ] {
            assert_eq!(balance(&parts), Balance { vector: 1.0, words });
        }
    }
}
