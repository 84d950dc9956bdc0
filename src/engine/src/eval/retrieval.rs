//! Given pictures with captions, how well is one found by the other, over all
//! and for each subset?

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ekphrasis_metric::measure::{
    Interval, QueryScore, Relevance, RetrievalScore, bootstrap_mean, retrieve,
};

use super::pictures::{self, Seen};
use crate::{EngineError, Towers};

/// Both directions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Directions {
    /// Caption → picture.
    pub text_to_image: Scored,
    /// Picture → caption.
    pub image_to_text: Scored,
}

/// A score and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The figures.
    pub score: RetrievalScore,
    /// 95 % bootstrap intervals of R@1 and R@10 over the queries.
    pub intervals: [Interval; 2],
}

pub(super) struct Found {
    pub(super) all: Directions,
    pub(super) subsets: Vec<(String, Directions)>,
}

/// Draws for an interval: finer ends than these are noise.
pub(super) const RESAMPLES: usize = 2000;

pub(super) fn measure(towers: &dyn Towers, seen: &[Seen], seed: u64) -> Result<Found, EngineError> {
    let captions: BTreeSet<&str> =
        seen.iter().flat_map(|s| &s.facts.captions).map(String::as_str).collect();
    let captions: Vec<&str> = captions.into_iter().collect();
    let vectors = pictures::embed_texts(towers, &captions)?;
    let number: HashMap<&str, usize> = captions.iter().copied().zip(0..).collect();
    let own: Vec<Vec<usize>> = seen
        .iter()
        .map(|s| s.facts.captions.iter().map(|c| number[c.as_str()]).collect())
        .collect();
    let mut owners = vec![Vec::new(); captions.len()];
    for (picture, captions) in own.iter().enumerate() {
        captions.iter().for_each(|&c| owners[c].push(picture));
    }
    // A caption is asked for each subset that one of its pictures is in.
    let mut subsets: BTreeMap<&str, (BTreeSet<usize>, BTreeSet<usize>)> = BTreeMap::new();
    for (picture, s) in seen.iter().enumerate() {
        if let Some(subset) = &s.facts.subset {
            let (images, texts) = subsets.entry(subset).or_default();
            images.insert(picture);
            texts.extend(&own[picture]);
        }
    }

    let images = pictures::image_rows(seen);
    let texts = pictures::rows(vectors.iter());
    let bug = |e: ekphrasis_metric::measure::RelevanceError| EngineError::Invalid(e.to_string());
    let to_text = Relevance::new(own, captions.len()).map_err(bug)?;
    let to_image = Relevance::new(owners, seen.len()).map_err(bug)?;
    let to_text = retrieve(images.view(), texts.view(), &to_text);
    let to_image = retrieve(texts.view(), images.view(), &to_image);
    let of = |images: &dyn Fn(usize) -> bool, texts: &dyn Fn(usize) -> bool| {
        Some(Directions {
            text_to_image: scored(&to_image, texts, seen.len(), seed)?,
            image_to_text: scored(&to_text, images, captions.len(), seed)?,
        })
    };
    let all = of(&|_| true, &|_| true)
        .ok_or_else(|| EngineError::Invalid("there is no picture to look for".into()))?;
    let subsets = subsets
        .iter()
        .filter_map(|(name, (images, texts))| {
            let found = of(&|i| images.contains(&i), &|t| texts.contains(&t))?;
            Some(((*name).to_owned(), found))
        })
        .collect();
    Ok(Found { all, subsets })
}

fn scored(
    scores: &[Option<QueryScore>],
    keep: &dyn Fn(usize) -> bool,
    candidates: usize,
    seed: u64,
) -> Option<Scored> {
    let kept: Vec<Option<QueryScore>> =
        scores.iter().enumerate().filter(|(q, _)| keep(*q)).map(|(_, s)| *s).collect();
    let interval = |k: usize| {
        let hits: Vec<f64> =
            kept.iter().flatten().map(|s| f64::from(u8::from(s.rank < k))).collect();
        bootstrap_mean(&hits, RESAMPLES, 0.95, seed)
    };
    Some(Scored {
        score: RetrievalScore::new(&kept, candidates)?,
        intervals: [interval(1)?, interval(10)?],
    })
}
