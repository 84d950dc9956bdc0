//! Given a query's vector and a store, how probable is it that something fits, and
//! that a hit does?

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ekphrasis_embed::{Embedding, dot};
use ekphrasis_index::{Filter, Item, ItemId, Kind, LocalStore, Query, Seq, StoreRead};

use super::background::Expected;
use super::evidence::{
    Evidence, HitEvidence, LOOKED_AT, Usual, agreement, excess, probability, telling_words,
};
use super::{Anything, Asked, Confidence, Shared, Verdict};
use crate::search::{check, words};
use crate::steering::item_of_source;
use crate::{Engine, EngineError, Mode, PartQuery, SearchRequest};

/// Pictures of a library that tell what its scores are usually like.
const SAMPLE: usize = 512;

/// What a library scores for queries in general; the median over them, since some of them
/// it may have something for.
pub(super) fn usual<'a>(
    queries: impl Iterator<Item = (&'a [f32], Option<usize>, &'a Expected)>,
    library: &[&[f32]],
) -> Usual {
    let mut found: Vec<[f64; 3]> = Vec::new();
    for (query, itself, expected) in queries {
        let others = library.iter().enumerate().filter(|(i, _)| Some(*i) != itself);
        let mut scores: Vec<f32> = others.map(|(_, row)| dot(row, query)).collect();
        let size = scores.len();
        scores.sort_unstable_by(|a, b| b.total_cmp(a));
        scores.truncate(LOOKED_AT);
        found.push(excess(&scores, size, expected));
    }
    if found.is_empty() || library.len() < 2 {
        return Usual::default();
    }
    let median = |i: usize| {
        let mut values: Vec<f64> = found.iter().map(|e| e[i]).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Usual { excess: [median(0), median(1), median(2)] }
}

/// What the library scores usually, kept until it has changed by a tenth.
#[derive(Default)]
pub(crate) struct LibraryUsual {
    known: Mutex<HashMap<Asked, (State, Usual)>>,
    /// The best scores of everyday words, for a model without calibration.
    everyday: Mutex<Option<(State, Vec<f32>)>>,
}

/// How far a library had come.
#[derive(Clone, Copy, Debug)]
struct State {
    pictures: u64,
    /// As many pictures may be others.
    seq: Seq,
}

impl State {
    fn of(store: &LocalStore) -> Result<Self, EngineError> {
        let pictures = store.count(&Filter::of_kind(Kind::Image))?;
        Ok(Self { pictures, seq: store.seq() })
    }

    /// Whether it is still about what it was.
    fn is_about(self, then: Self) -> bool {
        let about = |now: u64, then: u64| now.abs_diff(then) <= then / 10;
        about(self.pictures, then.pictures) && about(self.seq, then.seq)
    }
}

/// Nothing that takes time is done while a lock is held: two who need the same may both
/// find it out.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LibraryUsual {
    fn get(
        &self,
        confidence: &Confidence,
        store: &LocalStore,
        asked: Asked,
    ) -> Result<Usual, EngineError> {
        let now = State::of(store)?;
        let known = lock(&self.known).get(&asked).copied();
        if let Some((then, usual)) = known
            && now.is_about(then)
        {
            return Ok(usual);
        }
        let sample = store.first_vectors(Kind::Image, SAMPLE)?;
        let usual = match asked {
            Asked::Words => confidence.usual_for_words(&sample),
            Asked::Picture => confidence.usual_for_pictures(&sample),
        };
        lock(&self.known).insert(asked, (now, usual));
        Ok(usual)
    }
}

/// What the sums of one cosine differ by, taken in two orders: its own score is not ahead of it.
const ROUNDING: f32 = 1e-6;

/// Pictures of the smallest libraries that weights were fitted on. Fewer that a filter lets through
/// are judged as if they stood among so many of their library: being few makes none of them likelier.
/// If one of them holds all words of a query, they are judged among all of it.
const FITTED_AMONG: usize = 130;
/// Among fewer, anything is no more probable than that one of them fits.
const FEW: usize = 30;

/// What was found out about a query; hits are judged by it.
pub(crate) struct Judged {
    confidence: Shared,
    asked: Asked,
    expected: Expected,
    evidence: Evidence,
    /// The best cosines of those that it is judged among, but for those of pictures that ask.
    best: Vec<f32>,
    /// Among how many they are judged.
    size: usize,
    words: Vec<String>,
    /// The tenth best cosine of the library, whatever the filter; the least that weights were
    /// learned on.
    tenth: Option<f32>,
    /// The least and the most that anything can be.
    between: (f64, f64),
}

impl Engine {
    /// Gets ready what a first search needs beside the model's tower, while that is loaded by
    /// another thread: what the library usually scores, and what the store makes when it is first
    /// asked. What cannot be had is met again by the search, which says so.
    pub fn warm_up(&self, request: &SearchRequest) {
        if request.mode == Mode::Text || check(request).is_err() {
            return;
        }
        let store = &self.store;
        let is_judged = request.kind != Some(Kind::Text) && request.bridge.is_none();
        if is_judged && let Ok(Some(confidence)) = self.towers.confidence() {
            let told = words(&request.parts).is_some();
            let asked = if told { Asked::Words } else { Asked::Picture };
            let _ = self.usual.get(&confidence, store, asked);
        }
        // Those that a filter lets through may be few.
        if request.filter.is_none()
            && let Ok(likes) = store.first_vectors(Kind::Image, 1)
        {
            for like in likes {
                let query = Query { vector: Some(like), k: LOOKED_AT, ..Query::default() };
                let _ = store.search(&query);
            }
        }
    }

    /// Looks at a query's best hits among the pictures that its filter lets through, by vector and
    /// those that hold all of its words, but
    /// for those that it asks by and those that were judged: they would fit themselves. `None` if
    /// texts are looked for, too, and there are no pictures.
    pub(crate) fn judge(
        &self,
        store: &LocalStore,
        confidence: &Shared,
        request: &SearchRequest,
        query: &Embedding,
        words: Option<&str>,
    ) -> Result<Option<Judged>, EngineError> {
        let filter = Filter { kind: Some(Kind::Image), expr: request.filter.clone() };
        let count = |filter: &Filter| -> Result<usize, EngineError> {
            Ok(usize::try_from(store.count(filter)?).unwrap_or(usize::MAX))
        };
        let mut passing = count(&filter)?;
        if passing == 0 && request.kind != Some(Kind::Image) {
            return Ok(None);
        }
        let asking: Vec<ItemId> = request
            .parts
            .iter()
            .filter_map(|part| match &part.what {
                PartQuery::Id(id) => Some(*id),
                PartQuery::Image(source) => item_of_source(source),
                PartQuery::Text(_) | PartQuery::Embedding(_) => None,
            })
            .chain(request.feedback.judged())
            .collect();
        let nearest = |filter| Nearest::of(store, query, filter, request.exact, &asking);
        let near = nearest(filter.clone())?;
        passing = passing.saturating_sub(near.left_out);
        let few = passing < FITTED_AMONG;
        let library = if few { count(&Filter::of_kind(Kind::Image))? } else { passing };
        let mut size = match passing {
            0 => 0,
            passing => passing.max(library.min(FITTED_AMONG)),
        };
        let asked = if words.is_some() { Asked::Words } else { Asked::Picture };
        let text = words;
        let words = words.map(telling_words).unwrap_or_default();
        let mut seen: Vec<ItemId> = near.items.iter().map(|item| item.id).collect();
        seen.extend(&asking);
        let by_words = match text {
            Some(text) if !words.is_empty() && request.mode != Mode::Vector => {
                holding_all(store, text, &words, filter, &seen)?
            }
            _ => vec![],
        };
        // Only what holds all words is ever held against it.
        let whole = match few && !words.is_empty() && request.filter.is_some() {
            true => Some(nearest(Filter::of_kind(Kind::Image))?),
            false => None,
        };
        let tenth = whole.as_ref().unwrap_or(&near).cosines.last().copied();
        let held = near.items.iter().chain(&by_words).map(|item| share_of_words(&words, item));
        let held = held.fold(0.0, f64::max);
        // What holds all words is found by them whatever else passes: as without a filter.
        let looked_at = match &whole {
            Some(whole) if held >= 1.0 => {
                size = library.saturating_sub(whole.left_out);
                whole
            }
            _ => &near,
        };
        let expected = confidence.background.expected(query.values());
        let told = looked_at.items.iter().filter(|item| is_told_of(item)).count();
        let evidence = Evidence {
            excess: excess(&looked_at.cosines, size, &expected),
            agreement: agreement(&super::rows(&looked_at.vectors)),
            words: held,
            told: told as f64 / looked_at.items.len().max(1) as f64,
            cosine: looked_at.cosines.first().map_or(0.0, |&s| f64::from(s)),
            spread: expected.deviation,
        };
        let usual = self.usual.get(confidence, store, asked)?;
        let mut judged = Judged {
            evidence: evidence.less(&usual),
            confidence: confidence.clone(),
            asked,
            expected,
            best: looked_at.cosines.clone(),
            size,
            words,
            tenth,
            between: (0.0, 1.0),
        };
        if few {
            // However they hang together, it is no less than the best of them, and of few no
            // more than the sum.
            let nearest = near.items.iter().zip(&near.cosines);
            let nearest: Vec<f32> = nearest.filter_map(|(i, &c)| judged.hit(i, c)).collect();
            let farthest = near.cosines.last().copied().unwrap_or(-1.0);
            let told: Vec<f32> = by_words.iter().filter_map(|i| judged.hit(i, farthest)).collect();
            let least = nearest.iter().chain(&told).copied().fold(0.0, f32::max);
            let others = passing.saturating_sub(nearest.len() + told.len()) as f32;
            let others = others * nearest.last().copied().unwrap_or(0.0);
            let sum = nearest.iter().chain(&told).sum::<f32>() + others;
            let most = if passing < FEW { sum.min(1.0) } else { 1.0 };
            judged.between = (f64::from(least), f64::from(most.max(least)));
        }
        Ok(Some(judged))
    }

    /// Whether anything fits as far as an uncalibrated model can tell; `None` if it
    /// cannot. The query and everyday words are asked of the same pictures: all of the
    /// library, whatever the filter. Only for queries in words: others have not loaded the
    /// tower for texts.
    pub(crate) fn guess(
        &self,
        store: &LocalStore,
        query: &Embedding,
        words: Option<&str>,
    ) -> Result<Option<Anything>, EngineError> {
        if words.is_none() {
            return Ok(None);
        }
        let now = State::of(store)?;
        let known = lock(&self.usual.everyday).clone();
        let known = match known {
            Some((then, known)) if now.is_about(then) => known,
            _ => {
                let everyday = self.towers.text()?.embed_texts(EVERYDAY)?;
                let best: Result<Vec<_>, _> =
                    everyday.iter().map(|word| best_score(store, word)).collect();
                let known: Vec<f32> = best?.into_iter().flatten().collect();
                *lock(&self.usual.everyday) = Some((now, known.clone()));
                known
            }
        };
        let Some(found) = best_score(store, query)? else { return Ok(None) };
        let under = known.iter().filter(|&&other| other < found).count();
        let verdict = if under * 2 < known.len() { Verdict::Nothing } else { Verdict::Perhaps };
        Ok(Some(Anything { probability: None, verdict }))
    }
}

/// The pictures that lie nearest to a query, the nearest first.
struct Nearest {
    items: Vec<Item>,
    vectors: Vec<Embedding>,
    cosines: Vec<f32>,
    /// Of those that are to be left out, how many were as near.
    left_out: usize,
}

impl Nearest {
    /// Of those that a filter lets through, but for some.
    fn of(
        store: &LocalStore,
        query: &Embedding,
        filter: Filter,
        exact: bool,
        but: &[ItemId],
    ) -> Result<Self, EngineError> {
        let mut best = store.search(&Query {
            vector: Some(query.clone()),
            k: LOOKED_AT + but.len(),
            filter,
            exact,
            ..Query::default()
        })?;
        let all = best.len();
        best.retain(|hit| !but.contains(&hit.id));
        let left_out = all - best.len();
        best.truncate(LOOKED_AT);
        let ids: Vec<ItemId> = best.iter().map(|hit| hit.id).collect();
        Ok(Self {
            items: store.items(&ids)?.into_iter().flatten().collect(),
            vectors: store.embeddings(&ids)?.into_iter().flatten().collect(),
            cosines: best.iter().filter_map(|hit| hit.cosine).collect(),
            left_out,
        })
    }
}

/// Of the best that words find, those that hold all that tell something, but for some.
fn holding_all(
    store: &LocalStore,
    text: &str,
    words: &[String],
    filter: Filter,
    but: &[ItemId],
) -> Result<Vec<Item>, EngineError> {
    let found = store.search(&Query {
        words: Some(text.to_owned()),
        k: LOOKED_AT + but.len(),
        filter,
        ..Query::default()
    })?;
    let found = found.iter().map(|hit| hit.id).filter(|id| !but.contains(id));
    let found: Vec<ItemId> = found.take(LOOKED_AT).collect();
    let items = store.items(&found)?.into_iter().flatten();
    Ok(items.filter(|item| share_of_words(words, item) >= 1.0).collect())
}

/// The best cosine among all pictures of a library; `None` if it has none.
fn best_score(store: &LocalStore, query: &Embedding) -> Result<Option<f32>, EngineError> {
    let found = store.search(&Query {
        vector: Some(query.clone()),
        k: 1,
        filter: Filter::of_kind(Kind::Image),
        ..Query::default()
    })?;
    Ok(found.first().and_then(|hit| hit.cosine))
}

/// Words whose best scores tell what is usual in a library.
const EVERYDAY: &[&str] = &[
    "a dog",
    "a tree",
    "a house",
    "a car",
    "a person",
    "food",
    "a flower",
    "a boat",
    "a book",
    "a chair",
    "a bird",
    "a mountain",
    "a street",
    "a cup",
    "a train",
    "a guitar",
    "a fish",
    "a clock",
    "a bridge",
    "a shoe",
    "an apple",
    "a horse",
    "a computer",
    "the sky",
];

impl Judged {
    /// Whether anything fits.
    pub(crate) fn anything(&self) -> Anything {
        let p = if self.size == 0 {
            0.0
        } else {
            let (least, most) = self.between;
            probability(&self.evidence, self.confidence.judgement(self.asked)).clamp(least, most)
        };
        Anything { probability: Some(p), verdict: Verdict::of(p) }
    }

    /// The probability that a picture fits; `None` for a text.
    pub(crate) fn hit(&self, item: &Item, cosine: f32) -> Option<f32> {
        if item.kind != Kind::Image {
            return None;
        }
        let judgement = self.confidence.judgement(self.asked);
        let words = share_of_words(&self.words, item);
        let cosine = as_learned(cosine, words, self.tenth.as_slice());
        let rank = 1 + self.best.iter().filter(|&&other| other > cosine + ROUNDING).count();
        let evidence = HitEvidence::new(
            cosine,
            rank,
            self.size,
            &self.expected,
            self.evidence.logit(&judgement.anything),
            (words, is_told_of(item)),
        );
        Some(evidence.probability(&judgement.hit) as f32)
    }
}

/// The cosine that a hit is judged by: weights were learned on the ten nearest, so of one that
/// holds all words no lower cosine is known than the tenth's.
pub(super) fn as_learned(cosine: f32, words: f64, best: &[f32]) -> f32 {
    match best.last() {
        Some(&tenth) if words >= 1.0 => cosine.max(tenth),
        _ => cosine,
    }
}

/// Whether somebody said something of a picture; every file has a name.
fn is_told_of(item: &Item) -> bool {
    item.text.is_some() || !item.tags.is_empty() || !item.labels.is_empty()
}

/// Which share of a query's words is in what is said of an item, or in its name.
fn share_of_words(words: &[String], item: &Item) -> f64 {
    if words.is_empty() {
        return 0.0;
    }
    let mut text = item.text.clone().unwrap_or_default();
    for more in item.tags.iter().chain(&item.labels) {
        text.push(' ');
        text.push_str(more);
    }
    if let Some(path) = &item.path {
        for name in [path.file_stem(), path.parent().and_then(|p| p.file_name())] {
            text.push(' ');
            text.push_str(&name.unwrap_or_default().to_string_lossy());
        }
    }
    share(words, &telling_words(&text))
}

/// Which share of `wanted` is in `there`; both sorted.
pub(super) fn share(wanted: &[String], there: &[String]) -> f64 {
    let found = wanted.iter().filter(|w| there.binary_search(w).is_ok()).count();
    if wanted.is_empty() { 0.0 } else { found as f64 / wanted.len() as f64 }
}
