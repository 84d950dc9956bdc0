//! Given pictures and the names of their classes, how often does the model find
//! the class, also when classes it was trained on are among the labels?

use std::collections::{BTreeSet, HashMap, HashSet};

use ekphrasis_embed::Embedding;
use ekphrasis_metric::measure::{self, Generalised, PerClass, ZeroShotScore};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::pictures::{self, Failed, Seen};
use super::{EvalOptions, NamedClasses};
use crate::pairs::Pair;
use crate::{EngineError, Towers, labels};

/// One unit vector a class, as [`labels::label_vectors`] makes it, but for thousands:
/// on all cores, and prompts of one length together.
fn class_vectors(
    towers: &dyn Towers,
    classes: &[String],
    templates: &[String],
) -> Result<Vec<Embedding>, EngineError> {
    let templates = if templates.is_empty() { &towers.labels().templates } else { templates };
    labels::check(classes, templates, 2)?;
    let prompts: Vec<String> = classes
        .iter()
        .flat_map(|class| templates.iter().map(|t| t.replace("{}", class.trim())))
        .collect();
    let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
    let embedded = pictures::embed_texts(towers, &prompts)?;
    embedded
        .chunks(templates.len())
        .map(|prompts| {
            let parts: Vec<_> = prompts.iter().map(|e| (e, 1.0)).collect();
            Ok(Embedding::combine(towers.space(), &parts)?)
        })
        .collect()
}

pub(super) fn plain(
    towers: &dyn Towers,
    seen: &[Seen],
    templates: &[String],
) -> Result<(ZeroShotScore, NamedClasses), EngineError> {
    let classes: BTreeSet<&str> = seen.iter().map(|s| s.facts.label()).collect();
    let classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
    let vectors = class_vectors(towers, &classes, templates)?;
    let number: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let truth: Vec<usize> = seen.iter().map(|s| number[s.facts.label()]).collect();
    let (images, rows) = (pictures::image_rows(seen), pictures::rows(vectors.iter()));
    let score = measure::zero_shot(images.view(), rows.view(), &truth);
    let each: Option<PerClass> = measure::per_class(images.view(), rows.view(), &truth);
    match (score, each) {
        (Some(score), Some(scores)) => Ok((score, NamedClasses { names: classes, scores })),
        _ => Err(EngineError::Invalid("there is no picture to classify".into())),
    }
}

/// Seen are the classes of all pictures of `split`. Pictures of seen classes are
/// those of the evaluated split, and a sample of `split` itself.
pub(super) fn generalised(
    towers: &dyn Towers,
    lines: &[Pair],
    evaluated: &[Seen],
    split: &str,
    options: &EvalOptions,
    on_progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<(Generalised, Failed), EngineError> {
    let invalid = |message: String| Err(EngineError::Invalid(message));
    if options.split.as_deref().is_none_or(|own| own == split) {
        return invalid(format!(
            "seen classes come from split {split:?}, so another one has to be evaluated; name it \
             with --split"
        ));
    }
    let mut wanted = pictures::of_split(lines, Some(split));
    if wanted.is_empty() {
        return invalid(format!("there is no picture with a caption of the seen split {split:?}"));
    }
    let known: HashSet<String> = wanted.iter().map(|(_, f)| f.label().to_owned()).collect();
    if wanted.len() > options.seen_pictures {
        wanted.shuffle(&mut Pcg64::seed_from_u64(options.seed));
        wanted.truncate(options.seen_pictures);
    }
    let (sample, failed) = pictures::embed_all(towers, wanted, on_progress)?;

    let all = || evaluated.iter().chain(&sample);
    let classes: BTreeSet<&str> =
        known.iter().map(String::as_str).chain(all().map(|s| s.facts.label())).collect();
    let classes: Vec<String> = classes.into_iter().map(str::to_owned).collect();
    let vectors = class_vectors(towers, &classes, &options.templates)?;
    let number: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let truth: Vec<usize> = all().map(|s| number[s.facts.label()]).collect();
    let seen: Vec<bool> = classes.iter().map(|c| known.contains(c)).collect();
    let embeddings: Vec<_> = all().map(|s| &s.embedding).collect();
    let (images, classes) =
        (pictures::rows(embeddings.into_iter()), pictures::rows(vectors.iter()));
    let score =
        measure::generalised_zero_shot(images.view(), classes.view(), &truth, &seen, options.gamma)
            .map_err(|e| EngineError::Invalid(e.to_string()))?;
    Ok((score, failed))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ekphrasis_embed::testing::ColourEncoder;

    use super::*;
    use crate::GivenTowers;

    #[test]
    fn many_classes_at_once_have_the_vectors_of_single_labels() {
        let encoder = Arc::new(ColourEncoder::default());
        let towers = GivenTowers::new("colours", encoder.clone(), encoder).expect("one space");
        let words = ["red", "green", "blue", "yellow", "white", "black"];
        // More than two batches, in an order that is not that of their lengths.
        let classes: Vec<String> = (0..200)
            .map(|i| format!("{}{} {}", words[i % 6], " dark".repeat(i % 5), words[(i / 6) % 6]))
            .enumerate()
            .map(|(i, class)| format!("{class} {i}"))
            .collect();
        for templates in [&[][..], &["a {} thing".to_owned(), "{}".to_owned()]] {
            let fast = class_vectors(&towers, &classes, templates).expect("embedded");
            let slow = labels::label_vectors(&towers, &classes, templates, 2).expect("embedded");
            assert_eq!(fast, slow);
        }
        let one = class_vectors(&towers, &classes[..1], &[]).expect_err("refused").to_string();
        assert!(one.contains("two"), "{one}");
    }
}
