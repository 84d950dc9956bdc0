//! Given a store and another model, would more be found with it? A sample of the pictures is
//! embedded by the other model, and captions look for their pictures among them with both.
//! Words alone would find captions word by word, so that rankings by vector are compared only.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ekphrasis_embed::{Embedding, dot};
use ekphrasis_index::{Filter, Item, ItemId, Kind, LocalStore, StoreRead};
use ekphrasis_metric::measure::{Interval, bootstrap_mean};

use super::names::{self, Unmade};
use super::{encode, place};
use crate::ingest::OnProgress;
use crate::{EngineError, Progress, Towers, pairs};

/// Entries that are read at once.
const PAGE: usize = 512;
/// Pictures that are embedded at once.
const BATCH: usize = 64;
/// How often the bootstrap draws.
const RESAMPLES: usize = 2_000;
/// Captions of one picture that are asked, at most: more tell little new.
const MOST_CAPTIONS: usize = 5;

/// How to look at a model before moving to it.
#[derive(Clone, Debug)]
pub struct PreviewOptions {
    /// Pictures of the sample.
    pub pictures: usize,
    /// Captioned pictures of the store, as a pairs file: their captions are asked instead of
    /// those that the store has.
    pub queries: Option<PathBuf>,
    /// Pictures embedded at once.
    pub threads: usize,
    /// Seed of the draw and of the bootstrap.
    pub seed: u64,
}

/// How much a model finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PreviewScores {
    /// Share of captions whose picture comes first.
    pub at_1: f64,
    /// … and among the first ten.
    pub at_10: f64,
}

/// What a look at another model found.
#[derive(Clone, Debug)]
pub struct Preview {
    /// Pictures that were searched among.
    pub pictures: usize,
    /// Captions that were asked; none, and nothing can be compared.
    pub captions: usize,
    /// By the model in use.
    pub old: Option<PreviewScores>,
    /// By the other.
    pub new: Option<PreviewScores>,
    /// How much more the other finds, with an interval of 95 %, by a bootstrap over pictures:
    /// first, and among the first ten.
    pub difference: Option<(Interval, Interval)>,
    /// Pictures that could not be embedded, and why.
    pub missing: Vec<(PathBuf, String)>,
    /// Pictures of names that a move would lose.
    pub unmade: Vec<Unmade>,
    /// Pictures a second, as they were embedded here.
    pub per_second: f64,
    /// Items of the store.
    pub items: u64,
    /// Pictures of the store.
    pub all_pictures: u64,
    /// Seconds that a move will take, with as many threads: its pictures and texts.
    pub seconds: f64,
    /// It was stopped before all of the sample was embedded.
    pub stopped: bool,
}

/// A picture of the sample, with its vectors by both models.
struct Sampled {
    captions: Vec<String>,
    old: Embedding,
    new: Embedding,
}

/// Looks at another model; changes nothing.
///
/// # Errors
/// `NotFound` if there is no store; `Invalid` if the model is the store's, or the pairs are
/// wrong; where model or store fail.
pub fn preview_model(
    data: &Path,
    old: &dyn Towers,
    new: &dyn Towers,
    options: &PreviewOptions,
    on_progress: OnProgress<'_>,
    stop: &AtomicBool,
) -> Result<Preview, EngineError> {
    let (_, dir) = place::serving(data)?;
    let Some(known) = LocalStore::glance(&dir)? else {
        return Err(EngineError::NotFound(format!("there is no store in {}", data.display())));
    };
    if known.space == *new.space() {
        let what = match new.known_as() {
            name if name == old.known_as() => "the store's model already",
            _ => "of the store's space: `ek model use` takes it without embedding anything",
        };
        return Err(EngineError::Invalid(format!("{} is {what}", new.name())));
    }
    let store = LocalStore::open(&dir, old.space(), ekphrasis_index::Access::Read)?;
    let chosen = captioned(&store, options)?;
    let total = chosen.len() as u64;
    let mut progress = Progress { waiting: total, ..Progress::default() };
    let (mut sample, mut missing) = (Vec::with_capacity(chosen.len()), Vec::new());
    let start = Instant::now();
    for some in chosen.chunks(BATCH) {
        let ids: Vec<ItemId> = some.iter().map(|(item, _)| item.id).collect();
        let before = store.embeddings(&ids)?;
        let items: Vec<&Item> = some.iter().map(|(item, _)| item).collect();
        let made = encode::pictures(new, &items, options.threads, stop)?;
        for (((item, captions), old), made) in some.iter().zip(before).zip(made) {
            progress.seen += 1;
            progress.waiting -= 1;
            match (old, made) {
                (Some(old), Some(Ok(new))) => {
                    sample.push(Sampled { captions: captions.clone(), old, new });
                }
                (_, Some(Err(why))) => {
                    progress.failed += 1;
                    missing.push((item.path.clone().unwrap_or_default(), why));
                }
                // Its vector is damaged, or it was not come to.
                (_, _) => {}
            }
        }
        progress.seconds = start.elapsed().as_secs_f64();
        progress.eta_seconds =
            Some(progress.seconds / progress.seen.max(1) as f64 * progress.waiting as f64);
        on_progress(&progress, some.last().and_then(|(i, _)| i.path.as_deref()).unwrap_or(data));
        if stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let each = start.elapsed().as_secs_f64() / sample.len().max(1) as f64;
    let stopped = stop.load(Ordering::Relaxed);
    let (captions, of_texts) = if stopped { (vec![], 0.0) } else { compare(old, new, &sample)? };
    let all_pictures = store.count(&Filter::of_kind(Kind::Image))?;
    let texts = known.items.saturating_sub(all_pictures);
    let mean =
        |of: fn(&Asked) -> f64| captions.iter().map(of).sum::<f64>() / captions.len().max(1) as f64;
    let scores = |at_1, at_10| (!captions.is_empty()).then_some(PreviewScores { at_1, at_10 });
    let difference = |cutoff| {
        // Captions of one picture hang together, so that pictures are drawn.
        let mut by_picture: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for one in &captions {
            let gain = hit(one.new, cutoff) - hit(one.old, cutoff);
            by_picture.entry(one.picture).or_default().push(gain);
        }
        let means: Vec<f64> =
            by_picture.values().map(|all| all.iter().sum::<f64>() / all.len() as f64).collect();
        bootstrap_mean(&means, RESAMPLES, 0.95, options.seed)
    };
    Ok(Preview {
        pictures: sample.len(),
        captions: captions.len(),
        old: scores(mean(|a| hit(a.old, 1)), mean(|a| hit(a.old, 10))),
        new: scores(mean(|a| hit(a.new, 1)), mean(|a| hit(a.new, 10))),
        difference: difference(1).zip(difference(10)),
        missing,
        unmade: names::unmade_of(&store, new)?,
        per_second: 1.0 / each.max(1e-9),
        items: known.items,
        all_pictures,
        seconds: each * all_pictures as f64 + of_texts * texts as f64,
        stopped,
    })
}

/// Captions of pictures by their paths.
type Captions = HashMap<PathBuf, Vec<String>>;

fn asked(file: &Path) -> Result<Captions, EngineError> {
    let mut captions = Captions::new();
    for pair in pairs::read(file).map_err(|e| EngineError::Invalid(e.to_string()))? {
        if let Some(path) = pair.path {
            let path = fs_err::canonicalize(&path).unwrap_or(path);
            captions.entry(path).or_default().extend(pair.texts);
        }
    }
    Ok(captions)
}

/// Pictures with their captions, as many as the options say, in a random order.
///
/// # Errors
/// If the pairs that the options name are wrong, or the store cannot be read.
pub(crate) fn captioned(
    store: &LocalStore,
    options: &PreviewOptions,
) -> Result<Vec<(Item, Vec<String>)>, EngineError> {
    let asked = options.queries.as_deref().map(asked).transpose()?;
    choose(store, asked.as_ref(), options)
}

/// Pictures of the sample with their captions: those that have some first, drawn by a hash of
/// id and seed, so that every picture is as likely and no list of all is kept.
fn choose(
    store: &LocalStore,
    asked: Option<&Captions>,
    options: &PreviewOptions,
) -> Result<Vec<(Item, Vec<String>)>, EngineError> {
    let mut best: BTreeMap<(bool, u64, ItemId), (Item, Vec<String>)> = BTreeMap::new();
    let mut after = None;
    loop {
        let items = store.scan(after, PAGE, &Filter::of_kind(Kind::Image))?;
        let Some(last) = items.last() else { break };
        after = Some(last.id);
        for item in items {
            let captions: Vec<String> = match asked {
                Some(asked) => item.path.as_ref().and_then(|p| asked.get(p)).cloned(),
                None => item.text.as_ref().map(|t| t.lines().map(str::to_owned).collect()),
            }
            .unwrap_or_default();
            let captions: Vec<String> = captions.into_iter().take(MOST_CAPTIONS).collect();
            let hash =
                blake3::hash(&[&item.id.to_bytes()[..], &options.seed.to_le_bytes()].concat());
            let mut draw = [0; 8];
            draw.copy_from_slice(&hash.as_bytes()[..8]);
            let key = (captions.is_empty(), u64::from_le_bytes(draw), item.id);
            best.insert(key, (item, captions));
            if best.len() > options.pictures {
                best.pop_last();
            }
        }
    }
    Ok(best.into_values().collect())
}

/// One caption that was asked.
struct Asked {
    /// The place of its (first) picture in the sample.
    picture: usize,
    /// Rank of the best right picture, from 1, ties against it.
    old: usize,
    new: usize,
}

fn hit(rank: usize, cutoff: usize) -> f64 {
    f64::from(u8::from(rank <= cutoff))
}

/// Asks every caption of the sample by both models; with the seconds that embedding one by
/// the new model took.
fn compare(
    old: &dyn Towers,
    new: &dyn Towers,
    sample: &[Sampled],
) -> Result<(Vec<Asked>, f64), EngineError> {
    // What two pictures are called, both are right for.
    let mut pictures: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, one) in sample.iter().enumerate() {
        for caption in one.captions.iter().filter(|caption| !caption.trim().is_empty()) {
            pictures.entry(caption).or_default().push(at);
        }
    }
    let captions: Vec<&str> = pictures.keys().copied().collect();
    if captions.is_empty() {
        return Ok((vec![], 0.0));
    }
    new.text()?;
    let start = Instant::now();
    let by_new = encode::texts(new, &captions)?;
    let each = start.elapsed().as_secs_f64() / captions.len() as f64;
    let by_old = encode::texts(old, &captions)?;
    let rank = |query: &Embedding, of: fn(&Sampled) -> &Embedding, right: &[usize]| {
        let right: HashSet<usize> = right.iter().copied().collect();
        let scores: Vec<f32> =
            sample.iter().map(|one| dot(query.values(), of(one).values())).collect();
        let best = right.iter().map(|&at| scores[at]).fold(f32::NEG_INFINITY, f32::max);
        let not_worse = |(at, score): &(usize, &f32)| !right.contains(at) && **score >= best;
        1 + scores.iter().enumerate().filter(not_worse).count()
    };
    let asked = pictures.values().zip(by_old).zip(by_new).map(|((right, by_old), by_new)| Asked {
        picture: right[0],
        old: rank(&by_old, |one| &one.old, right),
        new: rank(&by_new, |one| &one.new, right),
    });
    Ok((asked.collect(), each))
}
