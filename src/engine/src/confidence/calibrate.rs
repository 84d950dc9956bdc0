//! Given a model and captioned pictures, which weights turn its scores into
//! probabilities?

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ekphrasis_metric::logistic::{Logistic, LogisticError};
use ekphrasis_models::{
    AnythingWeights, Calibration, HitWeights, Judgement, LabelCalibration, Verification,
    pack_background, unpack_background,
};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use super::evidence::{anything_weights, hit_weights};
use super::trial::{self, Material, Told};
use super::{Asked, Background, Confidence};
use crate::eval::{Facts, embed_all, embed_texts, of_split};
use crate::{Embedding, EngineError, Towers, identities, label_sets, pairs};

/// Pictures of the background: they come with the model, so there is a bound.
const BACKGROUND: usize = 2_000;
/// Pictures that the weights are fitted on, at most: what they tell grows slowly, the time
/// for them with their square.
const HELD: usize = 2_000;
/// Of one concept, where there are more.
const OF_A_CONCEPT: usize = 20;
/// The fewest captions and concepts of which anything can be learned.
const FEWEST: (usize, usize) = (60, 20);
/// The name of the file beside the manifest.
const FILE: &str = "background.i4";
/// Shares of the concepts that a library has: sizes differ from user to user.
const SHARES: [f64; 6] = [1.0, 1.0, 0.6, 0.35, 1.0, 0.8];
/// Libraries that are drawn.
const LIBRARIES: u64 = 60;
/// The penalty on weights, in examples.
const PENALTY: f64 = 300.0;

/// What a calibration came to.
pub struct Calibrated {
    /// What goes into the manifest.
    pub calibration: Calibration,
    /// What goes into the file that it names.
    pub background: Vec<u8>,
    /// Pictures of the background.
    pub background_pictures: usize,
    /// Pictures, captions and concepts that the weights were fitted on.
    pub fitted_on: (usize, usize, usize),
    /// From which score on pictures show the same thing; or why that cannot be said.
    pub verification: Result<Verification, EngineError>,
    /// How labels are compared that are known by pictures; or why that cannot be said.
    pub label_sets: Result<LabelCalibration, EngineError>,
    /// Pictures that could not be read.
    pub failed: usize,
}

/// Learns how far a model's scores can be believed. The background is of the split
/// `train`, the weights are fitted on the split `val`; `test` is never looked at. Pairs
/// without splits are divided by concept. Of very many pictures some 2,000 are drawn, by
/// whole concepts. Equal input gives equal weights.
///
/// # Errors
/// `Invalid` if the pairs are wrong or too few; otherwise as the model fails.
pub fn calibrate(
    towers: &dyn Towers,
    file: &Path,
    seed: u64,
    on_progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Calibrated, EngineError> {
    let lines = pairs::read(file).map_err(|e| EngineError::Invalid(e.to_string()))?;
    let (mut behind, held, named) = divide(&lines, seed);
    // A half that the seed made may have been trained on.
    let from = match named {
        true => "held out from training",
        false => "in a half drawn by the seed (they may have been trained on)",
    };
    let mut rng = Pcg64::seed_from_u64(seed);
    behind.shuffle(&mut rng);
    behind.truncate(BACKGROUND);
    let held = some_of(held, seed);
    let few = |what: &str, got: usize, least: usize| {
        Err(EngineError::Invalid(format!(
            "{}: calibrating needs at least {least} {what}, got {got}; give more captioned pictures",
            file.display()
        )))
    };
    if behind.len() < 100 {
        return few("pictures with captions to compare with (split \"train\")", behind.len(), 100);
    }
    let concepts: BTreeSet<&str> = held.iter().map(|(_, f)| concept(f)).collect();
    let captions: BTreeSet<&str> =
        held.iter().flat_map(|(_, f)| &f.captions).map(String::as_str).collect();
    if captions.len() < FEWEST.0 {
        return few("different captions (split \"val\")", captions.len(), FEWEST.0);
    }
    if concepts.len() < FEWEST.1 {
        return few("concepts (split \"val\")", concepts.len(), FEWEST.1);
    }
    let (behind, failed) = embed_all(towers, behind, on_progress)?;
    let (held, more) = embed_all(towers, held, on_progress)?;
    let failed = failed.len() + more.len();
    if behind.len() < 100 || held.is_empty() {
        return few("pictures that can be read", behind.len().min(held.len()), 100);
    }

    // As it will be read: what four bits lose is part of what is learned.
    let dim = towers.space().dim();
    let background = pack_background(behind.iter().map(|s| s.embedding.values()));
    let flat = unpack_background(dim, &background).map_err(EngineError::Invalid)?;
    let any = any_queries(towers)?;
    let zero =
        Judgement { anything: anything_weights(0.0, &[0.0; 8]), hit: hit_weights(0.0, &[0.0; 6]) };
    let mut calibration =
        Calibration { background: FILE.into(), about: String::new(), words: zero, picture: zero };
    let confidence = Confidence::new(calibration.clone(), Background::new(dim, flat), &any);

    let verification = identities::measure(&held, towers.space(), from, seed);
    let captions = trial::captions(&held);
    let vectors = embed_texts(towers, &captions)?;
    let texts: BTreeMap<String, Embedding> =
        captions.iter().map(|c| (*c).to_owned()).zip(vectors).collect();
    let label_sets = label_sets::fit(towers, &held, &confidence, from, seed);
    let material = Material::new(held, &texts, &confidence);
    let mumbled = mumble(seed);
    let texts: Vec<&str> = mumbled.iter().map(String::as_str).collect();
    let mumbled = embed_texts(towers, &texts)?;
    calibration.words = fit(&material, &confidence, Asked::Words, &mumbled, seed)?;
    calibration.picture = fit(&material, &confidence, Asked::Picture, &[], seed)?;
    let fitted_on = (material.pictures(), material.captions(), material.groups());
    calibration.about = format!(
        "{} captions and {} pictures of {} concepts {from}, half of the concepts out of the \
         library; {} pictures as background; seed {seed}",
        fitted_on.1,
        fitted_on.0,
        fitted_on.2,
        behind.len(),
    );
    Ok(Calibrated {
        calibration,
        background,
        background_pictures: behind.len(),
        fitted_on,
        verification,
        label_sets,
        failed,
    })
}

/// Texts that mean nothing, for which nothing can be right.
fn mumble(seed: u64) -> Vec<String> {
    let mut rng = Pcg64::seed_from_u64(seed);
    let letters: Vec<char> = "abcdefghijklmnopqrstuvwxyz".chars().collect();
    let mut word = || -> String {
        (0..rng.random_range(3..10usize)).map(|_| letters[rng.random_range(0..26usize)]).collect()
    };
    // The empty text is what is left of a query of signs.
    let mut texts = vec![String::new()];
    texts.extend(
        (0..39).map(|i| if i % 2 == 0 { word() } else { format!("{} {}", word(), word()) }),
    );
    texts
}

type Named = Vec<(std::path::PathBuf, Facts)>;

/// The pictures to compare with, those to learn from, and whether the file names both
/// splits.
fn divide(lines: &[pairs::Pair], seed: u64) -> (Named, Named, bool) {
    let (behind, held) = (of_split(lines, Some("train")), of_split(lines, Some("val")));
    if !behind.is_empty() && !held.is_empty() {
        return (behind, held, true);
    }
    // To measure by, these must be new.
    let free = |line: &&pairs::Pair| line.split.as_deref() != Some("test");
    let free: Vec<pairs::Pair> = lines.iter().filter(free).cloned().collect();
    let all = of_split(&free, None);
    let groups: BTreeSet<String> = all.iter().map(|(_, f)| concept(f).to_owned()).collect();
    let mut groups: Vec<String> = groups.into_iter().collect();
    groups.shuffle(&mut Pcg64::seed_from_u64(seed));
    let half: BTreeSet<String> = groups.drain(..groups.len() / 2).collect();
    let (behind, held) = all.into_iter().partition(|(_, f)| half.contains(concept(f)));
    (behind, held, false)
}

/// Without a group, what shows the same is called the same.
fn concept(facts: &Facts) -> &str {
    facts.group.as_deref().unwrap_or(facts.label())
}

/// All of them, if they are not too many; else whole concepts in the seed's order, of large
/// ones a few pictures, so that many concepts are there whatever their size.
fn some_of(held: Named, seed: u64) -> Named {
    if held.len() <= HELD {
        return held;
    }
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut concepts: BTreeMap<String, Named> = BTreeMap::new();
    for one in held {
        concepts.entry(concept(&one.1).to_owned()).or_default().push(one);
    }
    let mut concepts: Vec<Named> = concepts.into_values().collect();
    concepts.shuffle(&mut rng);
    let mut some: Named = Vec::new();
    for mut pictures in concepts {
        pictures.shuffle(&mut rng);
        pictures.truncate(OF_A_CONCEPT);
        if some.len() + pictures.len() <= HELD {
            some.append(&mut pictures);
        }
    }
    // As they came, so that what is drawn next does not depend on this order.
    some.sort_by(|a, b| a.0.cmp(&b.0));
    some
}

/// Words of the vocabulary that stand for any query: all that the default model had when its
/// figures were measured.
const ANY_WORDS: usize = 1_000;

/// Texts that stand for any query.
pub(crate) fn any_queries(towers: &dyn Towers) -> Result<Vec<Embedding>, EngineError> {
    Ok(towers.vocabulary()?.map_or_else(Vec::new, |vocabulary| {
        (0..vocabulary.words().len().min(ANY_WORDS)).map(|i| vocabulary.embedding(i)).collect()
    }))
}

fn fit(
    material: &Material,
    confidence: &Confidence,
    asked: Asked,
    mumbled: &[Embedding],
    seed: u64,
) -> Result<Judgement, EngineError> {
    let invalid = |e: LogisticError| EngineError::Invalid(format!("nothing to learn from: {e}"));
    let (mut examples, mut nonsense) = (Vec::new(), Vec::new());
    for draw in 0..LIBRARIES {
        let share = SHARES[draw as usize % SHARES.len()];
        // Half of the libraries know their pictures' keywords.
        let told = if draw % 2 == 1 { Told::OfNearest } else { Told::Nothing };
        let library = material.library(confidence, share, told, seed ^ (draw << 8));
        examples.extend(material.ask(&library, asked));
        for text in mumbled.iter().skip(draw as usize % 4).step_by(4) {
            nonsense.push(material.example_of(&library, "", text, confidence));
        }
    }
    let all = || examples.iter().chain(&nonsense);
    let rows: Vec<Vec<f64>> = all().map(|e| e.evidence.figures()).collect();
    let truth: Vec<bool> = all().map(|e| e.present).collect();
    let fitted = Logistic::fit(&rows, &truth, PENALTY).map_err(invalid)?;
    // The drawn libraries have something for about half of the queries; the probability
    // is to hold for half exactly, so the odds are put right.
    let present = truth.iter().filter(|&&t| t).count() as f64;
    let odds = present / (truth.len() as f64 - present);
    let anything: AnythingWeights = anything_weights(fitted.bias - odds.ln(), &fitted.weights);

    let (mut rows, mut truth) = (Vec::new(), Vec::new());
    for example in &examples {
        for (hit, _, fits) in material.judged(example, example.evidence.logit(&anything)) {
            rows.push(hit.figures());
            truth.push(fits);
        }
    }
    let fitted = Logistic::fit(&rows, &truth, PENALTY).map_err(invalid)?;
    let hit: HitWeights = hit_weights(fitted.bias, &fitted.weights);
    Ok(Judgement { anything, hit })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn line(i: usize, group: usize, split: Option<&str>) -> pairs::Pair {
        pairs::Pair {
            path: Some(PathBuf::from(format!("/{i:06}.png"))),
            texts: vec![format!("caption {i}")],
            group: Some(group.to_string()),
            split: split.map(str::to_owned),
            ..pairs::Pair::default()
        }
    }

    fn groups(named: &Named) -> BTreeSet<&str> {
        named.iter().map(|(_, facts)| concept(facts)).collect()
    }

    #[test]
    fn pictures_to_measure_by_are_never_looked_at() {
        let split = |i: usize| match i % 3 {
            0 => Some("test"),
            1 => Some("train"),
            _ => None,
        };
        let lines: Vec<_> = (0..300).map(|i| line(i, i / 6, split(i))).collect();
        let (behind, held, named) = divide(&lines, 5);
        assert!(!named, "there is no split val");
        assert_eq!(behind.len() + held.len(), 200);
        assert!(groups(&behind).is_disjoint(&groups(&held)));
        let of_test = |(path, _): &(PathBuf, Facts)| {
            lines
                .iter()
                .any(|l| l.path.as_ref() == Some(path) && l.split.as_deref() == Some("test"))
        };
        assert!(!behind.iter().chain(&held).any(of_test));
    }

    #[test]
    fn of_many_pictures_whole_concepts_are_drawn_and_many_of_them() {
        let draw = |sizes: &[usize], seed: u64| {
            let mut lines = Vec::new();
            for (group, &size) in sizes.iter().enumerate() {
                (0..size).for_each(|_| lines.push(line(lines.len(), group, Some("val"))));
            }
            some_of(of_split(&lines, None), seed)
        };
        // Not too many: as they are.
        assert_eq!(draw(&[HELD], 1).len(), HELD);
        // Small concepts stay whole.
        let pairs = draw(&[2; 5_000], 1);
        assert_eq!((pairs.len(), groups(&pairs).len()), (HELD, HELD / 2));
        // Large ones do not crowd the others out.
        let mixed: Vec<usize> = (0..130).map(|i| if i % 10 == 0 { 3_000 } else { 5 }).collect();
        let some = draw(&mixed, 1);
        assert_eq!(groups(&some).len(), 130);
        assert_eq!(some.len(), 13 * OF_A_CONCEPT + 117 * 5);
        let paths = |named: &Named| named.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        let large = draw(&[400; 120], 1);
        assert_eq!((large.len(), groups(&large).len()), (HELD, HELD / OF_A_CONCEPT));
        assert_eq!(paths(&large), paths(&draw(&[400; 120], 1)), "equal input, equal pictures");
        assert_ne!(paths(&large), paths(&draw(&[400; 120], 2)));
    }
}
