//! Given a picture, which of these labels fits, and which words are near it?

use std::collections::{HashMap, HashSet};

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Filter, Kind, Query, StoreRead, broader_labels, own_part};
use ekphrasis_models::Lexicon;

use crate::label_sets::LabelVectors;
use crate::{Description, Engine, EngineError, LabelReply, LabelRequest, Source, Towers, pictures};

impl Engine {
    /// Classifies a picture against words the model need not have seen; see [`label_all`].
    ///
    /// # Errors
    /// As [`label_all`], the picture's own included.
    pub fn label(
        &self,
        picture: &Source,
        request: &LabelRequest,
    ) -> Result<LabelReply, EngineError> {
        let labels = self.meters.encode_text.time(|| request_vectors(&*self.towers, request))?;
        let embed = |picture: &Source| self.embed_image(picture);
        let pictures = std::slice::from_ref(picture);
        classify_all(&embed, pictures, &labels, request.multi)?.swap_remove(0)
    }

    /// Classifies pictures by a label set of the store. Labels of one kind (words, pictures,
    /// both) are compared as [`label_all`] does; labels of different kinds by how far they
    /// lie over what background pictures score for them. With `multi` each label is judged by
    /// itself.
    ///
    /// # Errors
    /// The outer one is the set's: `NotFound` if there is none, `Invalid` if it was made in
    /// another space or has but one label without `multi`, or if the model was not calibrated
    /// for `multi`.
    /// Each picture has its own.
    pub fn label_by_set(
        &self,
        pictures: &[Source],
        set: &str,
        multi: bool,
    ) -> Result<Vec<Result<LabelReply, EngineError>>, EngineError> {
        let labels = self.vectors_of_set(set)?;
        labels.check_count(set, multi)?;
        classify_all(&|picture| self.embed_image(picture), pictures, &labels, multi)
    }

    /// The nearest words for a picture: captions in the store and the model's nouns, or
    /// else its vocabulary.
    ///
    /// # Errors
    /// As [`describe`].
    pub fn describe(&self, picture: &Source, k: usize) -> Result<Vec<Description>, EngineError> {
        let lexicon = self.lexicon()?;
        let image = || self.embed_image(picture);
        described(&*self.towers, &image, Some(self.fresh()?), lexicon.as_deref(), k)
    }
}

/// Classifies pictures against words the model need not have seen; needs no store.
///
/// A label's vector is the mean of the unit embeddings of its prompts, scaled
/// to unit length (as open_clip does); probabilities are the softmax of cosine
/// × the model's logit scale, over the labels given, less what none of them takes: the
/// probability that nothing fits, if the model is calibrated for it. With `multi` each
/// label has a probability of its own.
///
/// # Errors
/// The outer one is the request's: `Invalid` for fewer than two different labels (fewer than
/// one with `multi`), an empty one, two that differ in nothing but capitals, a template
/// without `{}`, or `multi` with a model that is not calibrated for it. Each picture has its
/// own.
pub fn label_all(
    towers: &dyn Towers,
    pictures: &[Source],
    request: &LabelRequest,
) -> Result<Vec<Result<LabelReply, EngineError>>, EngineError> {
    let labels = request_vectors(towers, request)?;
    // Loaded once, however many there are.
    let encoder = towers.image()?;
    classify_all(&|one| pictures::embed(&*encoder, one), pictures, &labels, request.multi)
}

/// Classifies a picture of this vector, as [`label_all`].
#[cfg(feature = "milvus")]
pub(crate) fn label_vector(
    towers: &dyn Towers,
    image: &Embedding,
    request: &LabelRequest,
) -> Result<LabelReply, EngineError> {
    let labels = request_vectors(towers, request)?;
    if request.multi {
        labels.check_multi()?;
    }
    labels.classify(image, request.multi)
}

/// What a request's labels are compared by.
fn request_vectors(
    towers: &dyn Towers,
    request: &LabelRequest,
) -> Result<LabelVectors, EngineError> {
    let fewest = if request.multi { 1 } else { 2 };
    let vectors = label_vectors(towers, &request.labels, &request.templates, fewest)?;
    LabelVectors::of_words(towers, &request.labels, vectors)
}

/// How a picture is embedded.
type Embed<'a> = &'a dyn Fn(&Source) -> Result<Embedding, EngineError>;

fn classify_all(
    embed: Embed<'_>,
    pictures: &[Source],
    labels: &LabelVectors,
    multi: bool,
) -> Result<Vec<Result<LabelReply, EngineError>>, EngineError> {
    if multi {
        labels.check_multi()?;
    }
    let of = |picture| labels.classify(&embed(picture)?, multi);
    Ok(pictures.iter().map(of).collect())
}

/// The nearest words for a picture: the model's nouns, or else its vocabulary; needs no
/// store. Of words that say the same thing only the nearest is given.
///
/// # Errors
/// `Invalid` for a `k` outside 1..=1000; otherwise as reading the picture, the
/// model or the store fails.
pub fn describe(
    towers: &dyn Towers,
    picture: &Source,
    k: usize,
) -> Result<Vec<Description>, EngineError> {
    let image = || pictures::embed(&*towers.image()?, picture);
    described(towers, &image, None, towers.lexicon()?.as_deref(), k)
}

pub(crate) fn described(
    towers: &dyn Towers,
    image: &dyn Fn() -> Result<Embedding, EngineError>,
    store: Option<&dyn StoreRead>,
    lexicon: Option<&Lexicon>,
    k: usize,
) -> Result<Vec<Description>, EngineError> {
    if !(1..=1000).contains(&k) {
        return Err(EngineError::Invalid(format!("k is 1 to 1000, got {k}")));
    }
    let image = image()?;
    let mut found = Vec::new();
    if let Some(store) = store {
        let query = Query {
            vector: Some(image.clone()),
            k,
            filter: Filter::of_kind(Kind::Text),
            ..Query::default()
        };
        let hits = store.search(&query)?;
        let ids: Vec<_> = hits.iter().map(|hit| hit.id).collect();
        for (hit, item) in hits.iter().zip(store.items(&ids)?) {
            if let Some(text) = item.and_then(|item| item.text) {
                found.push(Description { text, score: hit.score, id: Some(hit.id) });
            }
        }
    }
    let known: HashSet<String> = found.iter().map(|d| d.text.to_lowercase()).collect();
    // Enough of them to have k left after those that are captions as well.
    let wanted = k + known.len();
    let vocabulary = if lexicon.is_none() { towers.vocabulary()? } else { None };
    let words = match (lexicon, &vocabulary) {
        (Some(lexicon), _) => lexicon.nearest(&image, wanted)?,
        (None, Some(vocabulary)) => vocabulary.nearest(&image, wanted)?,
        (None, None) => vec![],
    };
    for (word, score) in words {
        if !known.contains(&word.to_lowercase()) {
            found.push(Description { text: word.to_owned(), score, id: None });
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.text.cmp(&b.text)));
    found.truncate(k);
    Ok(found)
}

/// One unit vector for each of at least `fewest` labels: the mean over the prompt templates.
/// The words of a label that is a path (`animal > dog`) are its last part. Empty `templates`:
/// the model's own.
pub(crate) fn label_vectors(
    towers: &dyn Towers,
    labels: &[String],
    templates: &[String],
    fewest: usize,
) -> Result<Vec<Embedding>, EngineError> {
    let used = if templates.is_empty() { &towers.labels().templates } else { templates };
    few_enough(labels, used)?;
    check(labels, used, fewest)?;
    for label in labels {
        check_path(label)?;
    }
    differ(labels)?;
    let words: Vec<String> = labels.iter().map(|label| own_part(label).to_owned()).collect();
    prompt_vectors(towers, &words, templates)
}

/// The same without asking whether the labels can be told apart.
pub(crate) fn prompt_vectors(
    towers: &dyn Towers,
    labels: &[String],
    templates: &[String],
) -> Result<Vec<Embedding>, EngineError> {
    let templates = if templates.is_empty() { &towers.labels().templates } else { templates };
    few_enough(labels, templates)?;
    let encoder = towers.text()?;
    let mut vectors = Vec::with_capacity(labels.len());
    // As many labels at once as make a good batch, so that prompts never pile up.
    for labels in labels.chunks((PROMPT_BATCH / templates.len()).max(1)) {
        let prompts: Vec<String> = labels
            .iter()
            .flat_map(|label| templates.iter().map(|t| t.replace("{}", label.trim())))
            .collect();
        let prompts: Vec<&str> = prompts.iter().map(String::as_str).collect();
        for prompts in encoder.embed_texts(&prompts)?.chunks(templates.len()) {
            let parts: Vec<_> = prompts.iter().map(|e| (e, 1.0)).collect();
            vectors.push(Embedding::combine(towers.space(), &parts)?);
        }
    }
    Ok(vectors)
}

fn few_enough(labels: &[String], templates: &[String]) -> Result<(), EngineError> {
    if labels.len().saturating_mul(templates.len()) <= MAX_PROMPTS {
        return Ok(());
    }
    Err(EngineError::Invalid(format!(
        "{} labels × {} templates are more than {MAX_PROMPTS} prompts; give fewer at once",
        labels.len(),
        templates.len()
    )))
}

/// Prompts encoded at once.
const PROMPT_BATCH: usize = 32;
/// Labels × templates: beyond, one wants a vocabulary and not a request.
const MAX_PROMPTS: usize = 20_000;
/// Characters of a label or template; the model cuts longer ones anyway.
const MAX_LENGTH: usize = 1_000;

/// Whether labels, and the words they are known by, differ in more than capitals.
fn differ(labels: &[String]) -> Result<(), EngineError> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for label in labels.iter().map(|label| label.trim()) {
        let Some(other) = seen.insert(own_part(label).to_lowercase(), label) else { continue };
        if other.to_lowercase() == label.to_lowercase() {
            return Err(same_but_for_capitals(other, label));
        }
        return Err(known_by_the_same(other, label, own_part(label)));
    }
    Ok(())
}

/// What is said of two labels that always tie.
pub(crate) fn known_by_the_same(one: &str, other: &str, words: &str) -> EngineError {
    EngineError::of_field(
        "labels",
        format!(
            "{one:?} and {other:?} are known by the same words, {words:?}; a label set can have other \
         words for one (`ek labels add SET LABEL --words TEXT`; over HTTP `words`)"
        ),
    )
}

/// Whether each part of a label says something, if it is a path.
pub(crate) fn check_path(label: &str) -> Result<(), EngineError> {
    // A sign that stands alone stands between parts; one that clings to a word does not.
    let mut after_part = false;
    let mut missing = false;
    for word in label.split_whitespace() {
        missing |= word == ">" && !after_part;
        after_part = word != ">";
    }
    let mut parts = broader_labels(label).chain([own_part(label)]);
    let clings = |part: &str| part.starts_with('>') || part.ends_with('>');
    let unclear = broader_labels(label).next().is_some() && parts.any(clings);
    // An empty label is told as such, not as a path.
    let whole = after_part || label.trim().is_empty();
    if whole && !missing && !unclear {
        return Ok(());
    }
    Err(EngineError::of_field(
        "labels",
        format!("a part of the label {label:?} is empty; a path is written as in \"animal > dog\""),
    ))
}

/// What is said where two labels cannot be told apart.
pub(crate) fn same_but_for_capitals(one: &str, other: &str) -> EngineError {
    EngineError::of_field(
        "labels",
        format!(
            "{one:?} and {other:?} differ in nothing but capitals, so they are one label; give one of \
         them"
        ),
    )
}

/// Whether labels and templates say what to compare, however many there are: at least
/// `fewest` different labels.
pub(crate) fn check(
    labels: &[String],
    templates: &[String],
    fewest: usize,
) -> Result<(), EngineError> {
    if let Some(long) = labels.iter().chain(templates).find(|t| t.chars().count() > MAX_LENGTH) {
        let start: String = long.chars().take(20).collect();
        return Err(EngineError::of_field(
            "labels",
            format!(
                "a label or template has at most {MAX_LENGTH} characters; the one that starts with {start:?} has more"
            ),
        ));
    }
    let different: HashSet<&str> = labels.iter().map(|l| l.trim()).collect();
    if different.contains("") {
        return Err(EngineError::of_field("labels", "one of the labels is empty".into()));
    }
    if different.len() < fewest {
        return Err(EngineError::of_field("labels", match fewest {
            0 | 1 => "there is no label; give at least one".into(),
            _ => "labels are compared with each other: give at least two different ones, or judge \
                  each by itself (`--multi`; over HTTP `multi`)"
                .into(),
        }));
    }
    if different.len() < labels.len() {
        return Err(EngineError::of_field("labels", "a label is given twice".into()));
    }
    match templates.iter().find(|t| t.matches("{}").count() != 1) {
        Some(t) => Err(EngineError::of_field(
            "templates",
            format!(
                "the template {t:?} needs one {{}} where the label goes, as in \"a photo of a {{}}\""
            ),
        )),
        None => Ok(()),
    }
}

/// Softmax of `scale · scores`, in f64 and shifted by the largest, so that it
/// neither overflows nor loses the small ones.
pub(crate) fn softmax(scores: &[f32], scale: f32) -> Vec<f32> {
    let logits: Vec<f64> = scores.iter().map(|&s| f64::from(s) * f64::from(scale)).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = logits.iter().map(|l| (l - largest).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|e| (e / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_agrees_with_hand_worked_values() {
        // e^0 / (e^0 + e^ln3) = 1/4.
        let p = softmax(&[0.0, 3f32.ln() / 40.0], 40.0);
        assert!((p[0] - 0.25).abs() < 1e-6 && (p[1] - 0.75).abs() < 1e-6, "{p:?}");
        let p = softmax(&[1.0, -1.0], 1e6);
        assert_eq!(p, [1.0, 0.0]);
    }

    #[test]
    fn wrong_labels_are_named() {
        let labels = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let one = ["{}".to_owned()];
        for (names, word) in
            [(&["cat"][..], "two"), (&["cat", " "], "empty"), (&["cat", "dog", "cat "], "twice")]
        {
            let error = check(&labels(names), &one, 2).expect_err("refused").to_string();
            assert!(error.contains(word), "{names:?}: {error}");
        }
        // By itself one can be judged; none cannot.
        assert!(check(&labels(&["cat"]), &one, 1).is_ok());
        assert!(check(&labels(&[]), &one, 1).is_err());
        let error = differ(&labels(&["Cat", "dog", " cat"])).expect_err("refused").to_string();
        assert!(error.contains("\"Cat\" and \"cat\""), "{error}");
        assert!(differ(&labels(&["a > cat", "a > dog", "a"])).is_ok());
        let error = differ(&labels(&["bird > crane", "machine > Crane"])).expect_err("refused");
        assert!(error.to_string().contains("the same words, \"Crane\""), "{error}");
        for (label, fits) in [
            ("a > b", true),
            ("a >> b", true),
            ("a>b", true),
            (">b", true),
            ("> b", false),
            (" > b", false),
            ("a >", false),
            (">", false),
            ("a > > b", false),
            ("a >  > b", false),
            ("a > b >", false),
            ("a > b> > c", false),
        ] {
            assert_eq!(check_path(label).is_ok(), fits, "{label:?}");
        }
        let error = check(&labels(&["cat", "dog"]), &["a photo".into()], 2).expect_err("refused");
        assert!(error.to_string().contains("a photo"), "{error}");
        assert!(check(&labels(&["cat", "dog"]), &one, 2).is_ok());
    }
}
