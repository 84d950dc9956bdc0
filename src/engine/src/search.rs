//! Given phrases and pictures with weights, which items fit best?

use std::time::Instant;

use ekphrasis_embed::{Embedding, EmbeddingError};
use ekphrasis_index::{Balance, Filter, Item, ItemId, Kind, LocalStore, Query, StoreRead};

use crate::ranked::{Arrangement, MOST_COLLAPSED};
use crate::steering::{Judgements, MOST_EXAMPLES};
use crate::why::Found;
use crate::{
    Engine, EngineError, Mode, Part, PartQuery, PartScore, Rocchio, SearchHit, SearchReply,
    SearchRequest,
};

/// The most hits one request may ask for.
const MAX_K: usize = 1000;
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
    /// `Invalid` for a request with neither a positive part nor something liked, a weight of
    /// zero or NaN, or a `k` or offset out of range; `NotFound` for an unknown id; otherwise
    /// as reading the picture, the model or the store fails.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchReply, EngineError> {
        let start = Instant::now();
        check(request)?;
        self.check_copies(&request.feedback)?;
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
        if mode == Mode::Text && words.is_none() {
            return Err(EngineError::of_field(
                "mode",
                "text mode needs words to look for; pictures have none".into(),
            ));
        }
        let asked = self.ask(request, mode)?;
        let query = Query {
            vector: asked.steered.clone(),
            words,
            k: request.k,
            offset: request.offset,
            balance: balance(request),
            filter: filter_of(request),
            exact: request.exact,
            explain: request.explain,
        };
        let store = self.fresh()?;
        let mut warnings = store.warnings();
        if mode != Mode::Text {
            warnings.extend(self.doubts(request)?);
        }
        if mode == Mode::Text && !request.feedback.liked.is_empty() {
            warnings.push(
                "what was liked changes nothing in text mode: likeness is of meaning, not of words"
                    .into(),
            );
        }
        let arrangement = Arrangement {
            hidden: request.feedback.hidden(),
            collapse: request.collapse,
            diversity: request.diversity,
        };
        let page = self.meters.rank.time(|| arrangement.page(store, &query))?;
        if page.short {
            warnings.push(format!(
                "among the first {MOST_COLLAPSED} hits are so many copies that there may be more than is shown; search without collapsing to see all"
            ));
        }
        let rows = page.rows;
        let mut confidence = None;
        // What was learned of the store's own text tower says nothing of another.
        if query.vector.is_some() && request.kind != Some(Kind::Text) && request.bridge.is_none() {
            match self.towers.confidence() {
                Ok(known) => confidence = known,
                Err(e) if request.min_confidence.is_none() => {
                    warnings.push(format!("how well the hits fit cannot be told: {e}"));
                }
                Err(e) => return Err(e),
            }
        }
        let judged = match (&asked.whole, &confidence) {
            (Some(vector), Some(confidence)) => {
                self.judge(store, confidence, request, vector, told.as_deref())?
            }
            _ => None,
        };
        if request.min_confidence.is_some() && judged.is_none() {
            return Err(EngineError::of_field(
                "min_confidence",
                self.why_not_judged(request, mode)?,
            ));
        }
        let has_texts = rows.iter().any(|((_, item, _), _)| item.kind == Kind::Text);
        let anything = match (&judged, &asked.whole) {
            // A text may fit although no picture does.
            _ if has_texts => None,
            (Some(judged), _) => Some(judged.anything()),
            (None, Some(vector))
                if confidence.is_none()
                    && request.kind != Some(Kind::Text)
                    && request.bridge.is_none() =>
            {
                self.guess(store, vector, told.as_deref())?
            }
            (None, _) => None,
        };
        // Steered scores are higher; what is calibrated is how far it fits what was asked for.
        let confidence_of = |item: &Item, own: &Embedding| {
            let cosine = asked.whole.as_ref()?.cosine(own).ok()?;
            judged.as_ref()?.hit(item, cosine)
        };
        let is_steered = !request.feedback.is_empty();
        let mut hits = Vec::with_capacity(rows.len());
        let mut below_confidence = 0;
        for (position, ((hit, item, embedding), copies)) in rows.into_iter().enumerate() {
            let confidence = match (&judged, hit.cosine) {
                _ if is_steered => embedding.as_ref().and_then(|own| confidence_of(&item, own)),
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
            let explained = asked.explain(embedding.as_ref())?;
            let rank = request.offset + position + 1;
            let found = SearchHit::found(rank, item, hit, explained);
            hits.push(SearchHit { confidence, copies, ..found });
        }
        let ids: Vec<ItemId> = hits.iter().map(|hit| hit.item.id).collect();
        for (hit, given) in hits.iter_mut().zip(store.given_labels(&ids)?) {
            hit.given = given;
        }
        let found = Found {
            store,
            request,
            query: &query,
            arrangement: &arrangement,
            confidence: &confidence_of,
        };
        let why = request.why.map(|id| found.why(id)).transpose()?;
        Ok(SearchReply {
            hits,
            why,
            mode,
            total_candidates: candidates(store, request, &arrangement)?,
            space: self.towers.space().id().into(),
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
        } else if request.bridge.is_some() {
            "through a bridge there is no confidence; leave min_confidence out"
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

    /// The vectors of what is asked for, as far as the mode needs them.
    fn ask(&self, request: &SearchRequest, mode: Mode) -> Result<Asked, EngineError> {
        let vectors = mode != Mode::Text;
        let parts: Result<Vec<Resolved>, EngineError> = request
            .parts
            .iter()
            .map(|part| {
                Ok(Resolved {
                    name: part_name(&part.what),
                    weight: part.weight,
                    embedding: match (&part.what, &request.bridge) {
                        _ if !vectors => None,
                        (PartQuery::Text(text), Some(bridge)) => {
                            Some(self.embed_text_through(bridge, text)?)
                        }
                        (what, _) => Some(self.embed_part(what)?),
                    },
                })
            })
            .collect();
        let parts = parts?;
        if !vectors {
            return Ok(Asked { parts, ..Asked::default() });
        }
        let space = self.towers.space();
        let judgements = self.judgements(&request.feedback)?;
        let weighted: Vec<_> =
            parts.iter().filter_map(|p| Some((p.embedding.as_ref()?, p.weight))).collect();
        let whole = if parts.is_empty() {
            None
        } else {
            Some(Embedding::combine(space, &weighted).map_err(cancelled("parts"))?)
        };
        if request.feedback.is_empty() {
            return Ok(Asked { steered: whole.clone(), whole, parts, judgements });
        }
        let Judgements { liked, disliked } = &judgements;
        let steered = Rocchio::USED
            .steer(space, whole.as_ref(), liked, disliked)
            .map_err(cancelled("disliked"))?;
        // Where nothing was asked for but by liking, that is what was asked for.
        let whole = whole.unwrap_or_else(|| steered.clone());
        Ok(Asked { steered: Some(steered), whole: Some(whole), parts, judgements })
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

/// What is asked for, as vectors; none in text mode.
#[derive(Default)]
struct Asked {
    parts: Vec<Resolved>,
    judgements: Judgements,
    /// All parts together; what was liked, if there are none.
    whole: Option<Embedding>,
    /// That, moved by what was liked and disliked: hits are ranked by it.
    steered: Option<Embedding>,
}

impl Asked {
    /// How much each part agrees with a hit.
    fn explain(&self, hit: Option<&Embedding>) -> Result<Vec<PartScore>, EngineError> {
        let Some(hit) = hit else { return Ok(Vec::new()) };
        let mut scores = Vec::with_capacity(self.parts.len() + 3);
        for part in &self.parts {
            if let Some(query) = &part.embedding {
                let score = query.cosine(hit)?;
                scores.push(PartScore { part: part.name.clone(), score, weight: part.weight });
            }
        }
        for (name, score, weight) in self.judgements.agreement(hit)? {
            scores.push(PartScore { part: name.into(), score, weight });
        }
        Ok(scores)
    }
}

/// How many items could be found: those that the filter lets through and that are not hidden.
fn candidates(
    store: &LocalStore,
    request: &SearchRequest,
    arrangement: &Arrangement,
) -> Result<u64, EngineError> {
    let filter = filter_of(request);
    let hidden: Vec<ItemId> = arrangement.hidden.iter().copied().collect();
    let hidden = store.items_as_filtered(&hidden)?;
    let hidden = hidden.iter().flatten().filter(|item| filter.accepts(item)).count() as u64;
    Ok(store.count(&filter)?.saturating_sub(hidden))
}

/// What is said of vectors that leave nothing together.
pub(crate) fn cancelled(field: &'static str) -> impl Fn(EmbeddingError) -> EngineError {
    move |error| match error {
        EmbeddingError::Zero { .. } => {
            let what = "what is looked for and what is to be avoided cancel each other out";
            EngineError::of_field(field, format!("{what}: nothing is left to look for"))
        }
        other => other.into(),
    }
}

pub(crate) fn filter_of(request: &SearchRequest) -> Filter {
    Filter { kind: request.kind, expr: request.filter.clone() }
}

pub(crate) fn check(request: &SearchRequest) -> Result<(), EngineError> {
    let invalid = |field, message: String| Err(EngineError::of_field(field, message));
    let feedback = &request.feedback;
    if request.parts.is_empty() && feedback.liked.is_empty() {
        return invalid(
            "parts",
            if feedback.disliked.is_empty() {
                "there is nothing to look for: give words, a picture or an id".into()
            } else {
                "there is only something that was disliked; say also what to look for".into()
            },
        );
    }
    for (name, examples) in [("liked", &feedback.liked), ("disliked", &feedback.disliked)] {
        if examples.len() > MOST_EXAMPLES {
            return invalid(
                name,
                format!("at most {MOST_EXAMPLES} are {name}, got {}", examples.len()),
            );
        }
    }
    if let Some(both) = feedback.contradiction() {
        return invalid(
            "disliked",
            format!("{both} is both liked and disliked; say one of them, or neither"),
        );
    }
    if !(0.0..=1.0).contains(&request.diversity) {
        return invalid("diversity", format!("diversity is 0 to 1, got {}", request.diversity));
    }
    for part in &request.parts {
        if !part.weight.is_finite() || part.weight == 0.0 {
            return invalid(
                "parts",
                format!("a weight is a number other than 0, got {}", part.weight),
            );
        }
        if matches!(&part.what, PartQuery::Text(text) if text.trim().is_empty()) {
            return invalid("parts", "the words to look for are empty".into());
        }
    }
    if request.parts.iter().all(|part| part.weight < 0.0) && !request.parts.is_empty() {
        return invalid(
            "parts",
            "there is only something to avoid; say also what to look for".into(),
        );
    }
    if !(1..=MAX_K).contains(&request.k) {
        return invalid("k", format!("k is 1 to {MAX_K}, got {}", request.k));
    }
    if request.collapse && request.offset + request.k > MOST_COLLAPSED / 2 {
        return invalid(
            "offset",
            format!("without copies, k and offset are at most {} together", MOST_COLLAPSED / 2),
        );
    }
    if let Some(least) = request.min_confidence
        && !(0.0..=1.0).contains(&least)
    {
        return invalid("min_confidence", format!("min_confidence is 0 to 1, got {least}"));
    }
    if request.offset > MAX_OFFSET {
        return invalid(
            "offset",
            format!("offset is at most {MAX_OFFSET}, got {}", request.offset),
        );
    }
    Ok(())
}

/// The words to rank by: all wanted texts. Unwanted ones only steer the vector.
pub(crate) fn words(parts: &[Part]) -> Option<String> {
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
/// much as a phrase does so in both. What was liked has its share.
pub(crate) fn balance(request: &SearchRequest) -> Balance {
    let parts = &request.parts;
    let weight = |wanted: fn(&PartQuery) -> bool| -> f32 {
        parts.iter().filter(|p| p.weight > 0.0 && wanted(&p.what)).map(|p| p.weight).sum()
    };
    let (words, all) = (weight(|what| matches!(what, PartQuery::Text(_))), weight(|_| true));
    let liked = if request.feedback.liked.is_empty() { 0.0 } else { Rocchio::USED.liked };
    // Without anything wanted there are no words either, and nothing to fuse.
    let share = if all > 0.0 { words / (all * (1.0 + liked)) } else { 0.0 };
    Balance { vector: 1.0, words: share }
}

pub(crate) fn part_name(part: &PartQuery) -> String {
    match part {
        PartQuery::Text(text) => text.clone(),
        PartQuery::Image(_) => "image".into(),
        PartQuery::Id(id) => id.to_string(),
        PartQuery::Embedding(_) => "embedding".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Example, Source};

    #[test]
    fn words_count_as_much_as_their_share_in_what_is_wanted() {
        let text = |weight| Part { what: PartQuery::Text("x".into()), weight };
        let image = |weight| Part {
            what: PartQuery::Image(Source::Sent { field: "image".into(), bytes: vec![] }),
            weight,
        };
        for (parts, words) in [
            (vec![text(1.0)], 1.0),
            (vec![text(0.2), text(3.0)], 1.0),
            (vec![text(1.0), image(1.0)], 0.5),
            (vec![text(1.0), image(3.0)], 0.25),
            // What is unwanted only steers the vector.
            (vec![text(1.0), image(-3.0)], 1.0),
            (vec![image(1.0), text(-1.0)], 0.0),
        ] {
            let mut request = SearchRequest::new(parts);
            assert_eq!(balance(&request), Balance { vector: 1.0, words });
            request.feedback.liked =
                vec![Example::Picture(Source::Sent { field: "image".into(), bytes: vec![] })];
            let less = words / (1.0 + Rocchio::USED.liked);
            assert!((balance(&request).words - less).abs() < 1e-6);
        }
    }
}
