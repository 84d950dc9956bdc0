//! Given captioned pictures, how well does a model find one by the other?
//!
//! Pictures are queries against the distinct captions and captions against the
//! pictures. Recall is never measured through an approximate index here.

mod metrics;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use ekphrasis_embed::{Embedding, dot};

pub use metrics::{RetrievalScore, rank};

use crate::{EngineError, Source, Towers, pairs, pictures};

/// What to evaluate.
#[derive(Clone, Debug, Default)]
pub struct EvalOptions {
    /// Only lines of this split; `None`: all.
    pub split: Option<String>,
    /// Templates for zero-shot labels; empty: the model's own.
    pub templates: Vec<String>,
}

/// How good a model is on a pairs file.
#[derive(Clone, Debug)]
pub struct EvalReport {
    /// Pictures that were used.
    pub pictures: usize,
    /// Pictures that could not be read, with the reason.
    pub failed: Vec<(PathBuf, String)>,
    /// Caption → picture.
    pub text_to_image: RetrievalScore,
    /// Picture → caption.
    pub image_to_text: RetrievalScore,
    /// Zero-shot classification into the distinct classes (the `class` column,
    /// or else the first caption).
    pub zero_shot: ZeroShotScore,
}

impl EvalReport {
    /// The sum of the six recalls, in percent (0..=600).
    pub fn rsum(&self) -> f64 {
        self.text_to_image.recall_sum() + self.image_to_text.recall_sum()
    }
}

/// Zero-shot accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZeroShotScore {
    /// How many classes there were to choose from.
    pub classes: usize,
    /// Fraction of pictures whose class came first.
    pub top_1: f64,
    /// … among the first five.
    pub top_5: f64,
}

/// A picture that could be read.
struct Seen {
    captions: Vec<String>,
    class: String,
    embedding: Embedding,
}

/// Evaluates the model on a pairs file; needs no store.
///
/// # Errors
/// `Invalid` if the file is wrong, has no captioned picture in the split, or
/// none could be read; otherwise as the model fails.
pub fn evaluate(
    towers: &dyn Towers,
    file: &std::path::Path,
    options: &EvalOptions,
    on_progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<EvalReport, EngineError> {
    let pairs = pairs::read(file).map_err(|e| EngineError::Invalid(e.to_string()))?;
    let wanted = merge(pairs, options.split.as_deref());
    if wanted.is_empty() {
        let split = options.split.as_deref().map_or(String::new(), |s| format!(" of split {s:?}"));
        return Err(EngineError::Invalid(format!(
            "{}: there is no picture with a caption{split} in it",
            file.display()
        )));
    }
    let (seen, failed) = embed_pictures(towers, wanted, on_progress)?;
    if seen.is_empty() {
        let (path, reason) = &failed[0];
        return Err(EngineError::Invalid(format!(
            "none of the {} pictures could be read; the first: {}: {reason}",
            failed.len(),
            path.display()
        )));
    }
    let captions: Vec<&str> = seen
        .iter()
        .flat_map(|s| &s.captions)
        .map(String::as_str)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let caption_vectors = embed_texts(towers, &captions)?;
    let number: HashMap<&str, usize> = captions.iter().copied().zip(0..).collect();
    let own: Vec<BTreeSet<usize>> =
        seen.iter().map(|s| s.captions.iter().map(|c| number[c.as_str()]).collect()).collect();
    let images: Vec<&[f32]> = seen.iter().map(|s| s.embedding.values()).collect();
    let texts: Vec<&[f32]> = caption_vectors.iter().map(Embedding::values).collect();

    let image_to_text = score(&images, &texts, |image, text| own[image].contains(&text));
    let text_to_image = score(&texts, &images, |text, image| own[image].contains(&text));
    let zero_shot = zero_shot(towers, &seen, &options.templates)?;
    Ok(EvalReport { pictures: seen.len(), failed, text_to_image, image_to_text, zero_shot })
}

/// Ranks of each query's best relevant candidate, as a score.
fn score(
    queries: &[&[f32]],
    candidates: &[&[f32]],
    relevant: impl Fn(usize, usize) -> bool,
) -> RetrievalScore {
    let mut scores = vec![0f32; candidates.len()];
    let ranks = queries
        .iter()
        .enumerate()
        .filter_map(|(q, query)| {
            for (score, candidate) in scores.iter_mut().zip(candidates) {
                *score = dot(query, candidate);
            }
            rank(&scores, |c| relevant(q, c))
        })
        .collect();
    RetrievalScore::from_ranks(ranks, candidates.len())
}

/// One entry a picture, with all its captions, in the order of paths.
fn merge(pairs: Vec<pairs::Pair>, split: Option<&str>) -> Vec<(PathBuf, Vec<String>, String)> {
    let mut merged: BTreeMap<PathBuf, (Vec<String>, Option<String>)> = BTreeMap::new();
    for pair in pairs {
        let in_split = split.is_none_or(|s| pair.split.as_deref() == Some(s));
        if let (true, Some(path)) = (in_split, pair.path) {
            let (captions, class) = merged.entry(path).or_default();
            captions.extend(pair.texts);
            if class.is_none() {
                *class = pair.class;
            }
        }
    }
    merged
        .into_iter()
        .filter_map(|(path, (captions, class))| {
            let class = class.or_else(|| captions.first().cloned())?;
            (!captions.is_empty()).then_some((path, captions, class))
        })
        .collect()
}

#[expect(clippy::type_complexity, reason = "what was seen, and what failed with its reason")]
fn embed_pictures(
    towers: &dyn Towers,
    wanted: Vec<(PathBuf, Vec<String>, String)>,
    on_progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<(Vec<Seen>, Vec<(PathBuf, String)>), EngineError> {
    let encoder = towers.image()?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, total) = (AtomicUsize::new(0), wanted.len());
    let embedded = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some((path, _, _)) = wanted.get(i) else { return };
                    let result = pictures::embed(&*encoder, &Source::Path(path.clone()));
                    let mut embedded = embedded.lock().unwrap_or_else(PoisonError::into_inner);
                    embedded.insert(i, result);
                    on_progress(embedded.len(), total);
                }
            });
        }
    });
    let (mut seen, mut failed) = (Vec::new(), Vec::new());
    let results = embedded.into_inner().unwrap_or_else(PoisonError::into_inner).into_values();
    for ((path, captions, class), result) in wanted.into_iter().zip(results) {
        match result {
            Ok(embedding) => seen.push(Seen { captions, class, embedding }),
            Err(e) => failed.push((path, e.to_string())),
        }
    }
    Ok((seen, failed))
}

fn embed_texts(towers: &dyn Towers, texts: &[&str]) -> Result<Vec<Embedding>, EngineError> {
    let encoder = towers.text()?;
    let mut embeddings = Vec::with_capacity(texts.len());
    for batch in texts.chunks(32) {
        embeddings.extend(encoder.embed_texts(batch)?);
    }
    Ok(embeddings)
}

fn zero_shot(
    towers: &dyn Towers,
    seen: &[Seen],
    templates: &[String],
) -> Result<ZeroShotScore, EngineError> {
    let classes: Vec<String> =
        seen.iter().map(|s| s.class.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    let vectors = crate::labels::label_vectors(towers, &classes, templates)?;
    let mut scores = vec![0f32; classes.len()];
    let (mut top_1, mut top_5) = (0usize, 0usize);
    for picture in seen {
        for (score, vector) in scores.iter_mut().zip(&vectors) {
            *score = dot(vector.values(), picture.embedding.values());
        }
        if let Some(rank) = rank(&scores, |c| classes[c] == picture.class) {
            top_1 += usize::from(rank < 1);
            top_5 += usize::from(rank < 5);
        }
    }
    let fraction = |hits: usize| hits as f64 / seen.len() as f64;
    Ok(ZeroShotScore { classes: classes.len(), top_1: fraction(top_1), top_5: fraction(top_5) })
}
