//! Which map, and what is found with it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ekphrasis_embed::{Embedding, TextEncoder, dot};
use ekphrasis_index::{Access, Balance, Filter, ItemId, Kind, LocalStore, Query, StoreRead};
use ekphrasis_metric::affine::{Affine, AffineError, Moments};
use ekphrasis_metric::measure::bootstrap_mean;
use ekphrasis_models::{Bridge, BridgeFigures, nouns};

use super::{OnTexts, refused, serving};
use crate::generations::{PreviewOptions, captioned};
use crate::{EngineError, Towers};

/// Captioned pictures that are looked at, at most.
const MOST: usize = 5_000;
/// Pictures whose captions are kept for measuring: a third, at most so many.
const MOST_HELD: usize = 500;
/// Fewer tell nothing about what is found.
const LEAST_HELD: usize = 30;
/// Of what the store's own model finds, a bridge has to find this share.
const LEAST_SHARE: f64 = 0.8;
/// Texts that are embedded at once.
const BATCH: usize = 32;
/// How deep a picture may stand to count as found.
const DEPTH: usize = 10;
/// How often the bootstrap draws.
const RESAMPLES: usize = 2_000;
/// Penalties that are tried.
const PENALTIES: [f64; 5] = [0.01, 0.03, 0.1, 0.3, 1.0];
/// What a caption with its picture counts beside a text, of those that are tried.
const CAPTIONS_COUNT: [f64; 3] = [0.0, 1.0, 4.0];

/// How to make a bridge.
#[derive(Clone, Debug)]
pub struct BridgeOptions {
    /// Captioned pictures of the store, as a pairs file: their captions are taken instead of
    /// those that the store has.
    pub queries: Option<PathBuf>,
    /// English nouns that both text towers are asked for.
    pub words: usize,
    /// Seed of the draws.
    pub seed: u64,
}

/// A picture that is there, with captions.
struct Captioned {
    id: ItemId,
    captions: Vec<String>,
    vector: Embedding,
}

/// A text and what both text towers say of it.
struct Both {
    new: Embedding,
    old: Embedding,
}

pub(super) fn fit(
    data: &Path,
    old: &dyn Towers,
    new: &dyn Towers,
    name: &str,
    options: &BridgeOptions,
    on_texts: OnTexts<'_>,
    stop: &AtomicBool,
) -> Result<Option<Bridge>, EngineError> {
    let dir = serving(data)?;
    let Some(known) = LocalStore::glance(&dir)? else {
        return Err(EngineError::NotFound(format!("there is no store in {}", data.display())));
    };
    if known.space == *new.space() {
        let text = format!("{name} is of the store's space already; search with --model {name}");
        return Err(EngineError::Invalid(text));
    }
    let store = LocalStore::open(&dir, old.space(), Access::Read)?;
    let (held, fitted) = divided(pictures(&store, options)?)?;

    // Every text once, by both towers.
    let words = even(options.words);
    let of = |pictures: &[Captioned]| -> Vec<String> {
        pictures.iter().flat_map(|p| p.captions.iter().cloned()).collect()
    };
    let captions = of(&fitted);
    let texts: Vec<&str> =
        words.iter().copied().chain(captions.iter().map(String::as_str)).collect();
    let asked = of(&held);
    let all: Vec<&str> = texts.iter().copied().chain(asked.iter().map(String::as_str)).collect();
    let total = 2 * all.len();
    let (new_text, old_text) = (new.text()?, old.text()?);
    let by_new = embed(&*new_text, &all, &|done| on_texts(done, total), stop)?;
    let by_old = embed(&*old_text, &all, &|done| on_texts(all.len() + done, total), stop)?;
    let (Some(by_new), Some(by_old)) = (by_new, by_old) else { return Ok(None) };
    let mut both: Vec<Both> =
        by_new.into_iter().zip(by_old).map(|(new, old)| Both { new, old }).collect();
    let asked = both.split_off(texts.len());

    let map = choose(&both, words.len(), &fitted)?;
    let (mut found, mut own) = (Vec::new(), Vec::new());
    let mut rest = asked.into_iter();
    // What several pictures are called, all of them are right for.
    let mut right: BTreeMap<&str, HashSet<ItemId>> = BTreeMap::new();
    for picture in &held {
        for caption in &picture.captions {
            right.entry(caption).or_default().insert(picture.id);
        }
    }
    for picture in &held {
        let (mut through, mut plain) = (0.0, 0.0);
        for (caption, both) in picture.captions.iter().zip(rest.by_ref()) {
            let bridged = Embedding::new(old.space(), map.apply(both.new.values()))?;
            through += hit(&store, bridged, &right[caption.as_str()])?;
            plain += hit(&store, both.old, &right[caption.as_str()])?;
        }
        let n = picture.captions.len() as f64;
        found.push(through / n);
        own.push(plain / n);
    }
    let mean = |shares: &[f64]| shares.iter().sum::<f64>() / shares.len() as f64;
    let (recall, own_recall) = (mean(&found), mean(&own));
    let interval = bootstrap_mean(&found, RESAMPLES, 0.95, options.seed);
    let interval = interval.map_or([0.0, 1.0], |i| [i.low, i.high]);
    let figures = BridgeFigures {
        captions: held.iter().map(|p| p.captions.len()).sum(),
        pictures: held.len(),
        among: store.count(&Filter::of_kind(Kind::Image))?,
        recall,
        interval,
        own_recall,
        texts: texts.len(),
        fitted_captions: captions.len(),
        seed: options.seed,
    };
    if recall < LEAST_SHARE * own_recall {
        return Err(EngineError::Invalid(format!(
            "no bridge from {name}: {}; expected {:.0} % of that or more. `ek model use {name}` \
             embeds everything anew instead",
            figures.words(),
            100.0 * LEAST_SHARE
        )));
    }
    let bridge = Bridge::new(name, &*new_text, old.space(), (map.weights, map.bias), figures);
    bridge.map(Some).map_err(refused)
}

/// Captioned pictures with their vectors, in a random order.
fn pictures(store: &LocalStore, options: &BridgeOptions) -> Result<Vec<Captioned>, EngineError> {
    let options = PreviewOptions {
        pictures: MOST,
        queries: options.queries.clone(),
        threads: 1,
        seed: options.seed,
    };
    let chosen = captioned(store, &options)?;
    let ids: Vec<ItemId> = chosen.iter().map(|(item, _)| item.id).collect();
    let vectors = store.embeddings(&ids)?;
    let with = chosen.into_iter().zip(vectors).filter_map(|((item, captions), vector)| {
        let captions: Vec<String> =
            captions.into_iter().filter(|caption| !caption.trim().is_empty()).collect();
        // What is damaged has no vector.
        (!captions.is_empty()).then_some(Captioned { id: item.id, captions, vector: vector? })
    });
    Ok(with.collect())
}

/// Those to measure by, and those to fit to: no caption of the former is among the latter's.
fn divided(mut all: Vec<Captioned>) -> Result<(Vec<Captioned>, Vec<Captioned>), EngineError> {
    let there = all.len();
    let mut fitted = all.split_off((there / 3).min(MOST_HELD));
    let held = all;
    let known: HashSet<&String> = held.iter().flat_map(|p| &p.captions).collect();
    for picture in &mut fitted {
        picture.captions.retain(|caption| !known.contains(caption));
    }
    fitted.retain(|picture| !picture.captions.is_empty());
    if held.len() < LEAST_HELD {
        return Err(EngineError::Invalid(format!(
            "expected {} captioned pictures in the store or more, to say what a bridge finds, got \
             {there}: index with captions, or name captioned pictures by --queries",
            3 * LEAST_HELD
        )));
    }
    Ok((held, fitted))
}

/// So many nouns, evenly out of all.
fn even(wanted: usize) -> Vec<&'static str> {
    let all: Vec<&str> = nouns().collect();
    let wanted = wanted.min(all.len());
    (0..wanted).map(|i| all[i * all.len() / wanted]).collect()
}

fn embed(
    encoder: &dyn TextEncoder,
    texts: &[&str],
    on_texts: &dyn Fn(usize),
    stop: &AtomicBool,
) -> Result<Option<Vec<Embedding>>, EngineError> {
    let mut made = Vec::with_capacity(texts.len());
    for some in texts.chunks(BATCH) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        made.extend(encoder.embed_texts(some)?);
        on_texts(made.len());
    }
    Ok(Some(made))
}

/// The map that finds most for a fifth of the pictures when it is fitted to the others,
/// fitted to all. `both` are nouns first, then the captions of `fitted` in order.
fn choose(both: &[Both], words: usize, fitted: &[Captioned]) -> Result<Affine, EngineError> {
    let failed = |e: AffineError| EngineError::Invalid(format!("no bridge can be fitted: {e}"));
    // Which picture a caption is of.
    let pictures: Vec<usize> = fitted
        .iter()
        .enumerate()
        .flat_map(|(at, picture)| picture.captions.iter().map(move |_| at))
        .collect();
    let of_texts = |which: &dyn Fn(usize) -> bool| {
        let rows = || {
            let captions = both[words..].iter().zip(&pictures);
            let captions = captions.filter(|(_, at)| which(**at)).map(|(both, _)| both);
            both[..words].iter().chain(captions)
        };
        let new: Vec<&[f32]> = rows().map(|b| b.new.values()).collect();
        let old: Vec<&[f32]> = rows().map(|b| b.old.values()).collect();
        (!new.is_empty()).then(|| Moments::of(&new, &old)).transpose()
    };
    let of_captions = |which: &dyn Fn(usize) -> bool| {
        let rows = || both[words..].iter().zip(&pictures).filter(|(_, at)| which(**at));
        let new: Vec<&[f32]> = rows().map(|(b, _)| b.new.values()).collect();
        let old: Vec<&[f32]> = rows().map(|(_, at)| fitted[*at].vector.values()).collect();
        (!new.is_empty()).then(|| Moments::of(&new, &old)).transpose()
    };
    let sums = |texts: &Moments, captions: Option<&Moments>, weight: f64| match captions {
        Some(captions) if weight > 0.0 => texts.plus(captions, weight),
        _ => texts.clone(),
    };
    let nothing = || EngineError::Invalid("there are no texts to fit a bridge to".into());

    // Pictures are in a random order, so that every fifth is as good as any.
    let is_tried = |at: usize| at.is_multiple_of(5);
    let texts = of_texts(&|at| !is_tried(at)).map_err(failed)?;
    let captions = of_captions(&|at| !is_tried(at)).map_err(failed)?;
    let tried: Vec<(&Both, usize)> = both[words..]
        .iter()
        .zip(pictures.iter().copied())
        .filter(|&(_, at)| is_tried(at))
        .collect();
    let mut best = (f64::NEG_INFINITY, 0.1, 0.0);
    if let Some(texts) = &texts {
        for weight in CAPTIONS_COUNT {
            let sums = sums(texts, captions.as_ref(), weight);
            for penalty in PENALTIES {
                let score = ranks(&sums.fit(penalty).map_err(failed)?, &tried, fitted);
                if score > best.0 {
                    best = (score, penalty, weight);
                }
            }
        }
    }
    let (_, penalty, weight) = best;
    let texts = of_texts(&|_| true).map_err(failed)?.ok_or_else(nothing)?;
    let captions = of_captions(&|_| true).map_err(failed)?;
    sums(&texts, captions.as_ref(), weight).fit(penalty).map_err(failed)
}

/// The mean of one by the rank that a caption gives its picture among all that are captioned:
/// it tells maps apart that find equally many.
fn ranks(map: &Affine, tried: &[(&Both, usize)], fitted: &[Captioned]) -> f64 {
    let one = |(both, at): &(&Both, usize)| {
        let query = map.apply(both.new.values());
        let score = |picture: &Captioned| dot(&query, picture.vector.values());
        let own = score(&fitted[*at]);
        let better = fitted.iter().filter(|picture| score(picture) >= own).count();
        1.0 / better.max(1) as f64
    };
    tried.iter().map(one).sum::<f64>() / tried.len().max(1) as f64
}

/// 1 if one of the right pictures is among the first ten, else 0.
fn hit(store: &LocalStore, query: Embedding, right: &HashSet<ItemId>) -> Result<f64, EngineError> {
    let hits = store.search(&Query {
        vector: Some(query),
        words: None,
        k: DEPTH,
        offset: 0,
        balance: Balance::default(),
        filter: Filter::of_kind(Kind::Image),
        exact: true,
        explain: false,
    })?;
    Ok(f64::from(u8::from(hits.iter().any(|hit| right.contains(&hit.id)))))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ekphrasis_embed::testing::ColourEncoder;
    use ekphrasis_embed::{EncodeError, Space};
    use ekphrasis_index::{FileFacts, Holder, Item, Record, StoreWrite};

    use super::*;
    use crate::GivenTowers;

    const DIM: usize = 8;

    /// Adds up a vector a word, and turns the sum by a matrix of its space; or is deaf.
    struct Words {
        space: Space,
        deaf: bool,
    }

    /// Between -1 and 1, by a hash.
    fn chance(what: &str, i: usize) -> f32 {
        let hash = blake3::hash(format!("{what} {i}").as_bytes());
        f32::from(hash.as_bytes()[0]) / 127.5 - 1.0
    }

    impl Words {
        fn new(space: &str, deaf: bool) -> Arc<Self> {
            Arc::new(Self { space: Space::new(space, DIM).expect("a space"), deaf })
        }
    }

    impl TextEncoder for Words {
        fn space(&self) -> &Space {
            &self.space
        }

        fn unknown_share(&self, _: &str) -> Result<f64, EncodeError> {
            Ok(0.0)
        }

        fn embed_texts(&self, batch: &[&str]) -> Result<Vec<Embedding>, EncodeError> {
            let one = |text: &&str| {
                let mut sum = [0.1f32; DIM];
                for word in text.split_whitespace().filter(|_| !self.deaf) {
                    sum.iter_mut().enumerate().for_each(|(i, v)| *v += chance(word, i));
                }
                let id = self.space.id();
                let turned = (0..DIM).map(|r| {
                    let row = (0..DIM).map(|c| chance(id, r * DIM + c));
                    row.zip(sum).map(|(m, v)| m * v).sum::<f32>()
                });
                Ok(Embedding::new(&self.space, turned.collect())?)
            };
            batch.iter().map(one).collect()
        }
    }

    fn towers(text: Arc<Words>) -> GivenTowers {
        let image = Arc::new(ColourEncoder::new(text.space.id()));
        GivenTowers::new("words", image, text).expect("one space")
    }

    /// A store of so many pictures that lie near what they are called.
    fn store(data: &Path, old: &dyn Towers, pictures: usize) {
        let holder = Holder { command: "a test".into(), address: None };
        let store = LocalStore::open(data, old.space(), Access::Write(holder)).expect("a store");
        let records: Vec<Record> = (0..pictures)
            .map(|i| {
                let caption = format!("thing{} colour{} number{i}", i % 37, i % 11);
                let vectors = old.text().and_then(|text| Ok(text.embed_texts(&[&caption])?));
                let file = FileFacts {
                    size: 1,
                    mtime_ns: 1,
                    content: [i as u8; 32],
                    format: "png".into(),
                    width: 1,
                    height: 1,
                };
                let mut item = Item::of_picture(format!("/p/{i}.png").into(), file);
                item.text = Some(caption);
                Record { item, embedding: vectors.expect("a vector").remove(0) }
            })
            .collect();
        store.upsert(&records).expect("written");
    }

    fn options() -> BridgeOptions {
        BridgeOptions { queries: None, words: 200, seed: 3 }
    }

    fn bridge(data: &Path, old: &dyn Towers, new: &dyn Towers) -> Result<Bridge, EngineError> {
        let stop = AtomicBool::new(false);
        let made = fit(data, old, new, "other", &options(), &|_, _| {}, &stop)?;
        Ok(made.expect("nobody stopped it"))
    }

    #[test]
    fn what_is_a_map_away_is_found_and_what_is_deaf_is_refused() {
        let dir = tempfile::tempdir().expect("a folder");
        let old = towers(Words::new("old", false));
        store(dir.path(), &old, 150);
        let new = Words::new("new", false);
        let made = bridge(dir.path(), &old, &towers(new.clone())).expect("a bridge");
        let figures = &made.figures;
        println!("seed {}: {}", figures.seed, figures.words());
        assert_eq!((figures.pictures, figures.captions, figures.among), (50, 50, 150));
        assert_eq!((figures.fitted_captions, figures.texts), (100, 300));
        assert!(figures.own_recall > 0.99, "each lies where its caption does: {figures:?}");
        assert!(figures.recall > 0.9, "{figures:?}");
        assert!(figures.interval[0] <= figures.recall && figures.recall <= figures.interval[1]);
        // A text that nobody was fitted to comes to lie about where the old tower puts it.
        let plain =
            old.text().expect("a tower").embed_texts(&["thing3 number1"]).expect("a vector");
        let over = made.over(new, 0.9999).expect("the same tower");
        let over = over.embed_texts(&["thing3 number1"]).expect("a vector");
        let cosine = over[0].cosine(&plain[0]).expect("one space");
        assert!(cosine > 0.9, "{cosine}");

        let error = bridge(dir.path(), &old, &towers(Words::new("new", true)));
        let error = error.expect_err("it tells nothing apart").to_string();
        assert!(error.contains("no bridge from other") && error.contains("80 %"), "{error}");
        let error = bridge(dir.path(), &old, &towers(Words::new("old", false)));
        let error = error.expect_err("the same space").to_string();
        assert!(error.contains("of the store's space already"), "{error}");
        let stop = AtomicBool::new(true);
        let new = towers(Words::new("new", false));
        let made = fit(dir.path(), &old, &new, "other", &options(), &|_, _| {}, &stop);
        assert!(made.expect("no error").is_none(), "it was stopped");
    }

    #[test]
    fn too_few_captions_say_nothing() {
        let dir = tempfile::tempdir().expect("a folder");
        let old = towers(Words::new("old", false));
        let new = towers(Words::new("new", false));
        let error = bridge(dir.path(), &old, &new).expect_err("no store").to_string();
        assert!(error.contains("there is no store"), "{error}");
        store(dir.path(), &old, 89);
        let error = bridge(dir.path(), &old, &new).expect_err("too few").to_string();
        assert!(
            error.contains("expected 90 captioned pictures") && error.contains("got 89"),
            "{error}"
        );
    }

    #[test]
    fn no_caption_is_both_fitted_to_and_measured_by() {
        let space = Space::new("old", 2).expect("a space");
        let vector = Embedding::new(&space, vec![1.0, 0.0]).expect("a vector");
        let all = (0..90).map(|i| Captioned {
            id: ItemId::for_text(&i.to_string()),
            captions: vec![format!("{}", i % 60), format!("own {i}")],
            vector: vector.clone(),
        });
        let (held, fitted) = divided(all.collect()).expect("enough");
        assert_eq!(held.len(), 30);
        let asked: HashSet<&String> = held.iter().flat_map(|p| &p.captions).collect();
        assert!(fitted.iter().flat_map(|p| &p.captions).all(|c| !asked.contains(c)));
        assert_eq!(fitted.iter().map(|p| p.captions.len()).sum::<usize>(), 60 + 30);
    }
}
