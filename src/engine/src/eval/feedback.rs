//! Given pictures whose things are known, how much does it help to say of the first ten hits
//! which of them fit? By the very steering that a search does.
//!
//! Somebody asks, by a caption or by a picture, likes the relevant ones among the first ten hits
//! and dislikes the others, is shown ten more, and does so once again. Relevant is every picture
//! of the same thing.
//!
//! What was judged is taken out of the collection in every row, also for who did not steer (the
//! residual collection): otherwise the gain would be that what is liked is on top. Out of the
//! second residual is what the first round's steering found; that is hard on all rows, and
//! hardest on those that steered.
//!
//! Beside it, what a person has of it: of all that is relevant, how much was seen after twenty and
//! thirty pictures, by judging each ten, and by paging on?

use std::collections::BTreeMap;

use ekphrasis_embed::{Embedding, Space};
use ekphrasis_metric::measure::{
    FirstHits, Interval, Judged, Relevance, bootstrap_mean_by, judge_rounds,
};
use ndarray::Array2;

use super::EvalOptions;
use super::identity::{SameBy, identities};
use super::pictures::{self, Seen};
use super::retrieval::RESAMPLES;
use crate::{EngineError, Rocchio, Towers};

/// Pictures that are looked at in a round.
const SHOWN: usize = 10;
/// Rounds of judging.
const ROUNDS: usize = 2;
/// Weights that are tried to choose by.
const LIKED: [f32; 6] = [0.0, 0.25, 0.5, 1.0, 2.0, 4.0];
const DISLIKED: [f32; 6] = [0.0, 0.1, 0.25, 0.5, 0.75, 1.0];
const ALONE: [f32; 6] = [0.0, 0.05, 0.1, 0.25, 0.5, 1.0];

/// What judging the first hits does for the next.
#[derive(Clone, Debug)]
pub struct FeedbackReport {
    /// What is relevant: the same class, group or caption.
    pub same_by: SameBy,
    /// Pictures that were ranked.
    pub pictures: usize,
    /// The weights of a search.
    pub weights: Rocchio,
    /// Asked by each distinct caption.
    pub by_words: Steered,
    /// Asked by each picture that is not the only one of its thing.
    pub by_picture: Steered,
    /// Other weights, if they were asked for.
    pub tried: Vec<TriedWeights>,
}

/// How one kind of query fares.
#[derive(Clone, Debug)]
pub struct Steered {
    /// Queries with something relevant.
    pub queries: usize,
    /// Things that they ask for; intervals are over these.
    pub things: usize,
    /// The share of queries with something to like among the first ten.
    pub with_a_like: f64,
    /// After no round, one, two.
    pub residuals: Vec<Residual>,
    /// After ten pictures, twenty, thirty.
    pub seen: Vec<SeenSoFar>,
}

/// The pictures that nobody has judged by then.
#[derive(Clone, Debug)]
pub struct Residual {
    /// Queries that have something relevant left.
    pub queries: usize,
    /// Ranked after no judgements, after one round, after two; as many as there were.
    pub rows: Vec<Measured>,
    /// The last row less the first, query by query; `None` before there were two.
    pub gain: Option<Measured>,
}

/// A row: means over queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Recall at 10 of what is relevant and left, with its 95 % interval.
    pub recall: (f64, Interval),
    /// nDCG at 10, with its 95 % interval.
    pub ndcg: (f64, Interval),
}

/// The share of what is relevant that was seen by then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeenSoFar {
    /// Pictures that were looked at.
    pub pictures: usize,
    /// By judging each ten.
    pub judging: f64,
    /// By paging on.
    pub paging: f64,
    /// The difference, with its 95 % interval.
    pub gain: (f64, Interval),
}

/// How other weights do: nDCG at 10 after one round and after two, on each one's residual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TriedWeights {
    /// The weights.
    pub weights: Rocchio,
    /// Asked by words.
    pub by_words: [f64; ROUNDS],
    /// Asked by a picture.
    pub by_picture: [f64; ROUNDS],
    /// Asked by words: the share of what is relevant that was seen after thirty pictures.
    pub seen_by_words: f64,
    /// The same, asked by a picture.
    pub seen_by_picture: f64,
}

/// Queries and what is relevant to each.
struct Asked {
    queries: Array2<f32>,
    relevance: Relevance,
    /// The number of the thing that is asked for.
    things: Vec<usize>,
}

pub(super) fn measure(
    towers: &dyn Towers,
    seen: &[Seen],
    options: &EvalOptions,
) -> Result<FeedbackReport, EngineError> {
    let (same_by, thing) = identities(seen, options.same_by)?;
    let images = pictures::image_rows(seen);
    let by_picture = asked_by_pictures(&images, &thing);
    if by_picture.things.is_empty() {
        return Err(EngineError::Invalid(format!(
            "no two pictures have a {same_by} in common, so nothing is left to find once the first \
             is judged; name another column with --same-by"
        )));
    }
    let by_words = asked_by_captions(towers, seen, &thing)?;
    let run = |asked: &Asked, weights| rounds(towers.space(), seen, &images, asked, weights);
    let report = |asked: &Asked| steered(asked, &run(asked, Rocchio::USED), options.seed);
    let nothing = || EngineError::Invalid("there is no query with something to find".into());
    let mut tried = vec![];
    if options.feedback_grid {
        tried = grid()
            .into_iter()
            .map(|weights| {
                let words = brief(&run(&by_words, weights));
                let picture = brief(&run(&by_picture, weights));
                TriedWeights {
                    weights,
                    by_words: words.0,
                    by_picture: picture.0,
                    seen_by_words: words.1,
                    seen_by_picture: picture.1,
                }
            })
            .collect();
    }
    Ok(FeedbackReport {
        same_by,
        pictures: seen.len(),
        weights: Rocchio::USED,
        by_words: report(&by_words).ok_or_else(nothing)?,
        by_picture: report(&by_picture).ok_or_else(nothing)?,
        tried,
    })
}

/// All weights of what was liked with all of what was disliked, and with those of a search what
/// disliking alone counts. The first ones count nothing.
fn grid() -> Vec<Rocchio> {
    let mut all = vec![Rocchio { liked: 0.0, disliked: 0.0, disliked_alone: 0.0 }];
    for liked in LIKED {
        all.extend(DISLIKED.map(|disliked| Rocchio { liked, disliked, ..Rocchio::USED }));
    }
    all.extend(ALONE.map(|disliked_alone| Rocchio { disliked_alone, ..Rocchio::USED }));
    all
}

/// Each picture that is not the only one of its thing asks for the others.
fn asked_by_pictures(images: &Array2<f32>, thing: &[Option<usize>]) -> Asked {
    // What is of no known thing is of one of its own.
    let known = thing.iter().flatten().max().map_or(0, |most| most + 1);
    let labels: Vec<usize> =
        thing.iter().enumerate().map(|(i, of)| of.unwrap_or(known + i)).collect();
    let relevance = Relevance::within(&labels);
    let things = (0..labels.len()).filter(|&q| !relevance.of(q).is_empty()).map(|q| labels[q]);
    Asked { queries: images.clone(), things: things.collect(), relevance }
}

/// Each distinct caption asks for all pictures of the things it is a caption of.
fn asked_by_captions(
    towers: &dyn Towers,
    seen: &[Seen],
    thing: &[Option<usize>],
) -> Result<Asked, EngineError> {
    let mut of: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (one, thing) in seen.iter().zip(thing) {
        for caption in &one.facts.captions {
            of.entry(caption).or_default().extend(thing);
        }
    }
    let relevant = |things: &Vec<usize>| -> Vec<usize> {
        (0..seen.len()).filter(|&i| thing[i].is_some_and(|t| things.contains(&t))).collect()
    };
    let sets: Vec<Vec<usize>> = of.values().map(relevant).collect();
    let things = of.values().filter_map(|things| things.first().copied()).collect();
    let captions: Vec<&str> = of.into_keys().collect();
    let vectors = pictures::embed_texts(towers, &captions)?;
    let relevance = Relevance::new(sets, seen.len());
    Ok(Asked {
        queries: pictures::rows(vectors.iter()),
        relevance: relevance.map_err(|e| EngineError::Invalid(e.to_string()))?,
        things,
    })
}

/// What each query with something relevant came to.
fn rounds(
    space: &Space,
    seen: &[Seen],
    images: &Array2<f32>,
    asked: &Asked,
    weights: Rocchio,
) -> Vec<Judged> {
    let vectors = |of: &[usize]| -> Vec<Embedding> {
        of.iter().map(|&i| seen[i].embedding.clone()).collect()
    };
    let steer = |query: &[f32], liked: &[usize], disliked: &[usize]| {
        let query = Embedding::new(space, query.to_vec()).ok()?;
        let moved = weights.steer(space, Some(&query), &vectors(liked), &vectors(disliked));
        Some(moved.ok()?.values().to_vec())
    };
    let Asked { queries, relevance, .. } = asked;
    judge_rounds(queries.view(), images.view(), relevance, SHOWN, ROUNDS, &steer)
        .into_iter()
        .flatten()
        .collect()
}

/// nDCG after each round, steered by all rounds, and what was seen in the end: means.
fn brief(judged: &[Judged]) -> ([f64; ROUNDS], f64) {
    let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let ndcg = std::array::from_fn(|i| {
        let last = |one: &Judged| Some(one.after[i + 1][i + 1]?.ndcg);
        mean(judged.iter().filter_map(last).collect())
    });
    (ndcg, mean(judged.iter().filter_map(|one| Some(one.seen.last()?.0)).collect()))
}

fn steered(asked: &Asked, judged: &[Judged], seed: u64) -> Option<Steered> {
    let things = &asked.things;
    let mean = |values: &[f64], things: &[usize]| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        Some((mean, bootstrap_mean_by(values, things, RESAMPLES, 0.95, seed)?))
    };
    let residual = |round: usize| {
        // Something is left for a query in all rows or in none.
        let left: Vec<(usize, Vec<FirstHits>)> = judged
            .iter()
            .zip(things)
            .filter_map(|(one, thing)| {
                let rows: Option<Vec<FirstHits>> = one.after[round].iter().copied().collect();
                Some((*thing, rows?))
            })
            .collect();
        let things: Vec<usize> = left.iter().map(|(thing, _)| *thing).collect();
        let measured = |of: &dyn Fn(&[FirstHits]) -> (f64, f64)| {
            let (recall, ndcg): (Vec<f64>, Vec<f64>) =
                left.iter().map(|(_, rows)| of(rows)).unzip();
            Some(Measured { recall: mean(&recall, &things)?, ndcg: mean(&ndcg, &things)? })
        };
        let rows: Option<Vec<Measured>> = (0..=round)
            .map(|s| measured(&|rows: &[FirstHits]| (rows[s].recall, rows[s].ndcg)))
            .collect();
        let gain = measured(&|rows: &[FirstHits]| {
            let (none, all) = (rows[0], rows[round]);
            (all.recall - none.recall, all.ndcg - none.ndcg)
        });
        Some(Residual { queries: left.len(), rows: rows?, gain: gain.filter(|_| round > 0) })
    };
    let seen = |round: usize| {
        let (judging, paging): (Vec<f64>, Vec<f64>) =
            judged.iter().map(|one| one.seen[round]).unzip();
        let gain: Vec<f64> = judging.iter().zip(&paging).map(|(a, b)| a - b).collect();
        Some(SeenSoFar {
            pictures: SHOWN * (round + 1),
            judging: mean(&judging, things)?.0,
            paging: mean(&paging, things)?.0,
            gain: mean(&gain, things)?,
        })
    };
    let mut distinct = things.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let liking = judged.iter().filter(|one| one.liked > 0).count();
    Some(Steered {
        queries: judged.len(),
        things: distinct.len(),
        with_a_like: liking as f64 / judged.len().max(1) as f64,
        residuals: (0..=ROUNDS).map_while(residual).collect(),
        seen: (0..=ROUNDS).map(seen).collect::<Option<_>>()?,
    })
}
