//! Lists of labels that the store keeps: each label is known by words, by pictures, or by
//! both. The words' vectors are kept, too, so that labelling loads no tower for texts.

mod apply;
mod calibrate;
mod classify;
mod groups;
mod kept;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ekphrasis_index::{NameKind, Named, NamedVector, Origin, own_part};

use crate::naming::{self, Before, Example, KnownExample, NotTaken, checked_name};
use crate::{Engine, EngineError, labels};

pub use self::apply::{AppliedLabels, LEAST_LABEL_PROBABILITY, Unapplied};
pub(crate) use self::calibrate::{LabelTrial, Said, SetsSaid, fit, try_out};
pub(crate) use self::classify::{LabelVectors, words_weight};
pub(crate) use self::kept::SetVectors;

/// Labels of one set.
const MOST_LABELS: usize = 2_000;
/// Pictures of one label: more tell nothing new.
const MOST_EXAMPLES: usize = 1_000;
/// Pictures of all labels of one set: all their vectors are read whenever it is used.
const MOST_SET_EXAMPLES: usize = 20_000;
/// Characters of a label.
const LABEL_LIMIT: usize = 200;
/// Characters of a label's words, as of any text that a server is asked.
const WORDS_LIMIT: usize = 10_000;

/// A list of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSet {
    /// What it is called.
    pub name: String,
    /// In the order in which they came.
    pub labels: Vec<SetLabel>,
    /// Id of the space that all was embedded in.
    pub space: String,
    /// Whether that is the store's space, and all is as it was written. If not, it has to
    /// be made again.
    pub comparable: bool,
    /// When it was last changed, seconds since 1970 UTC.
    pub at: i64,
}

/// A label of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetLabel {
    /// What is answered.
    pub label: String,
    /// What is compared with, put into the model's templates; `None`: only its pictures.
    pub words: Option<String>,
    /// Its pictures.
    pub examples: Vec<KnownExample>,
}

/// The words of a label that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LabelWords {
    /// Those it has; of a new label, itself, or the last part if it is a path (`animal > dog`).
    #[default]
    AsKnown,
    /// These.
    Text(String),
    /// None: it is known by pictures only.
    Nothing,
}

/// A label to be added to a set, or to be known by more.
#[derive(Clone, Debug)]
pub struct NewLabel {
    /// What is answered.
    pub label: String,
    /// What is compared with.
    pub words: LabelWords,
    /// Pictures of it, beside those it has.
    pub examples: Vec<Example>,
}

impl NewLabel {
    /// A label known by itself.
    pub fn of_words(label: &str) -> Self {
        Self { label: label.into(), words: LabelWords::AsKnown, examples: vec![] }
    }
}

/// What changing a set came to.
#[derive(Debug)]
pub struct ChangedLabelSet {
    /// As it is now.
    pub set: LabelSet,
    /// Whether the name was not known before.
    pub new: bool,
    /// Pictures that could not be read.
    pub not_taken: Vec<NotTaken>,
}

/// How a set that is written stands to one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// There must be none.
    Create,
    /// It is gone.
    Replace,
    /// It grows.
    Add,
}

impl Engine {
    /// Keeps labels under a name. What is given twice is taken in turn: pictures add up, and
    /// of words the last are kept. Pictures that cannot be read are told and left out as long
    /// as others were given beside them that can.
    ///
    /// # Errors
    /// All are the whole call's, and nothing is written. `Invalid` for a name, label or words
    /// that cannot be such, no label, one that differs from another in nothing but capitals, more
    /// than 2,000 labels, 1,000 pictures of one or 20,000
    /// of all, a label without words and pictures, one that is to be created and is there, or
    /// labels beside those of another space; the first picture's own error if an entry has
    /// pictures and none of them can be read, whatever its words; where model or store fail,
    /// or labels are to stand beside damaged ones.
    pub fn write_label_set(
        &self,
        name: &str,
        new: &[NewLabel],
        writing: Writing,
    ) -> Result<ChangedLabelSet, EngineError> {
        let name = checked_name(name)?;
        if new.is_empty() {
            return Err(EngineError::of_field(
                "labels",
                format!("the label set {name:?} has no labels"),
            ));
        }
        for one in new {
            check_label(&one.label)?;
            check_words(one)?;
        }
        check_pictures(name, new.iter().map(|one| one.examples.len()).sum())?;
        // Pictures first, outside of the lock: they take long.
        let (mut pictures, mut not_taken) = (Vec::new(), Vec::new());
        for one in new {
            let (vectors, failed) = self.examples_of(one.label.trim(), &one.examples)?;
            pictures.extend(vectors);
            not_taken.extend(failed);
        }
        let (named, new) = self.change_named(NameKind::LabelSet, name, |before| {
            let is_new = matches!(before, Before::Nothing);
            if !is_new && writing == Writing::Create {
                return Err(EngineError::of_field(
                    "create",
                    format!("there is a label set {name:?} already; add to it, or replace it"),
                ));
            }
            let mut vectors =
                if writing == Writing::Add { self.to_add_to(before)? } else { vec![] };
            self.write_words(&mut vectors, new)?;
            naming::add_new(&mut vectors, pictures);
            let vectors = sorted(vectors);
            check_size(name, &vectors, new)?;
            check_different(&vectors, new)?;
            let named = Named { name: name.into(), at: naming::now(), vectors };
            Ok((named, is_new))
        })?;
        Ok(ChangedLabelSet { set: self.label_set_of(&named), new, not_taken })
    }

    /// Puts the words of new labels in place of those that they had.
    fn write_words(
        &self,
        vectors: &mut Vec<NamedVector>,
        new: &[NewLabel],
    ) -> Result<(), EngineError> {
        let is_words = |v: &NamedVector| matches!(v.origin, Origin::Words(_));
        let wanted = words_wanted(vectors, new);
        let wordless: HashSet<&str> =
            wanted.iter().filter(|(_, words)| words.is_none()).map(|(label, _)| *label).collect();
        vectors.retain(|v| !(is_words(v) && wordless.contains(v.part.as_str())));
        let wanted: Vec<(&str, &str)> =
            wanted.into_iter().filter_map(|(label, words)| Some((label, words?))).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let words: Vec<String> = wanted.iter().map(|(_, words)| (*words).to_owned()).collect();
        let embedded = labels::prompt_vectors(&*self.towers, &words, &[])?;
        let places: HashMap<String, usize> = vectors
            .iter()
            .enumerate()
            .filter(|(_, v)| is_words(v))
            .map(|(place, v)| (v.part.clone(), place))
            .collect();
        for ((label, words), embedding) in wanted.into_iter().zip(embedded) {
            let new =
                NamedVector { part: label.into(), origin: Origin::Words(words.into()), embedding };
            match places.get(label) {
                Some(&place) => vectors[place] = new,
                None => vectors.push(new),
            }
        }
        Ok(())
    }

    /// Forgets a set. False if it was not known.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn forget_label_set(&self, name: &str) -> Result<bool, EngineError> {
        self.forget_named(NameKind::LabelSet, name)
    }

    /// Forgets one label of a set; a set without labels goes. False if there is no such
    /// label.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn forget_label(&self, name: &str, label: &str) -> Result<bool, EngineError> {
        let (name, label) = (name.trim(), label.trim());
        let _names = self.hold_names();
        let Some(mut named) = self.store.named(NameKind::LabelSet, name)? else {
            return Ok(false);
        };
        let count = named.vectors.len();
        named.vectors.retain(|v| v.part != label);
        if named.vectors.len() == count {
            return Ok(false);
        }
        named.at = naming::now();
        self.store.put_named(NameKind::LabelSet, &named)?;
        Ok(true)
    }

    /// All sets, in the order of names.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn label_sets(&self) -> Result<Vec<LabelSet>, EngineError> {
        let (all, damaged) = self.fresh()?.all_named(NameKind::LabelSet)?;
        let mut all: Vec<LabelSet> = all.iter().map(|named| self.label_set_of(named)).collect();
        all.extend(damaged.into_iter().map(|name| LabelSet {
            name,
            labels: vec![],
            space: String::new(),
            comparable: false,
            at: 0,
        }));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// One of them.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn label_set(&self, name: &str) -> Result<Option<LabelSet>, EngineError> {
        let named = self.fresh()?.named(NameKind::LabelSet, name.trim())?;
        Ok(named.map(|named| self.label_set_of(&named)))
    }

    /// What is compared with for a set. Made once for as long as the set stays the same.
    pub(crate) fn vectors_of_set(&self, name: &str) -> Result<Arc<LabelVectors>, EngineError> {
        let name = name.trim();
        let stamp = self.fresh()?.stamp(NameKind::LabelSet, name)?;
        if let Some(known) = stamp.and_then(|stamp| self.set_vectors.get(name, stamp)) {
            return Ok(known);
        }
        let named = self.fresh()?.named(NameKind::LabelSet, name)?.ok_or_else(|| {
            EngineError::NotFound(format!(
                "there is no label set {name:?}; `ek labels list` has all, `ek labels create` \
                 makes one"
            ))
        })?;
        self.same_space(&named)?;
        let vectors = Arc::new(LabelVectors::of_set(&*self.towers, &named)?);
        // Somebody may have changed it in between.
        if let (Some(before), Some(now)) = (stamp, self.store.stamp(NameKind::LabelSet, name)?)
            && before == now
        {
            self.set_vectors.put(name, now, vectors.clone());
        }
        Ok(vectors)
    }

    fn label_set_of(&self, named: &Named) -> LabelSet {
        let mut labels: Vec<SetLabel> = Vec::new();
        // What belongs to one label lies together.
        for of in named.vectors.chunk_by(|a, b| a.part == b.part) {
            let words = of.iter().find_map(|v| match &v.origin {
                Origin::Words(words) => Some(words.clone()),
                Origin::Picture { .. } => None,
            });
            let examples = naming::examples(of);
            labels.push(SetLabel { label: of[0].part.clone(), words, examples });
        }
        let space = named.vectors.first().map(|v| v.embedding.space().id().to_owned());
        LabelSet {
            name: named.name.clone(),
            labels,
            space: space.unwrap_or_default(),
            comparable: self.same_space(named).is_ok(),
            at: named.at,
        }
    }
}

/// The different parts, in order of their first vectors.
fn parts(vectors: &[NamedVector]) -> Vec<&str> {
    let mut seen = HashSet::new();
    vectors.iter().map(|v| v.part.as_str()).filter(|part| seen.insert(*part)).collect()
}

/// What belongs to one label one after the other, in the order of their first vectors.
fn sorted(vectors: Vec<NamedVector>) -> Vec<NamedVector> {
    let order: HashMap<String, usize> =
        parts(&vectors).into_iter().map(str::to_owned).zip(0..).collect();
    let mut vectors = vectors;
    vectors.sort_by_key(|v| order[&v.part]);
    vectors
}

/// Whether this can be a label.
///
/// # Errors
/// `InvalidField` about `labels`, with what is wrong with it.
pub fn check_label(label: &str) -> Result<(), EngineError> {
    let label = label.trim();
    let wrong = |what: &str| {
        let start: String = label.chars().take(40).collect();
        Err(EngineError::of_field("labels", format!("{start:?} cannot be a label: {what}")))
    };
    match label {
        "" => wrong("it is empty"),
        _ if label.chars().count() > LABEL_LIMIT => wrong("it has more than 200 characters"),
        _ if label.chars().any(char::is_control) => wrong("it has a control character"),
        _ => labels::check_path(label),
    }
}

fn check_words(one: &NewLabel) -> Result<(), EngineError> {
    let LabelWords::Text(words) = &one.words else { return Ok(()) };
    let label = one.label.trim();
    let length = words.trim().chars().count();
    if length == 0 {
        return Err(EngineError::of_field(
            "labels",
            format!(
                "the words of the label {label:?} are empty; give some, or say that it has none \
             (`--no-words`; over HTTP `wordless`)"
            ),
        ));
    }
    if length > WORDS_LIMIT {
        return Err(EngineError::of_field(
            "labels",
            format!(
                "words of a label have at most {WORDS_LIMIT} characters; those of {label:?} have \
             {length}"
            ),
        ));
    }
    Ok(())
}

/// What labels that are given are to be called in words, each label once; `None`: not at
/// all. The last words that are given for a label are meant. Labels that keep those they
/// have are left out.
fn words_wanted<'a>(
    vectors: &[NamedVector],
    new: &'a [NewLabel],
) -> Vec<(&'a str, Option<&'a str>)> {
    let known: HashSet<&str> = vectors.iter().map(|v| v.part.as_str()).collect();
    let mut wanted: Vec<(&'a str, Option<&'a str>)> = Vec::new();
    let mut places: HashMap<&'a str, usize> = HashMap::new();
    for one in new {
        let label = one.label.trim();
        let place = places.get(label).copied();
        let words = match &one.words {
            LabelWords::Nothing => None,
            LabelWords::Text(words) => Some(words.trim()),
            LabelWords::AsKnown if place.is_some() || known.contains(label) => continue,
            LabelWords::AsKnown => Some(own_part(label)),
        };
        match place {
            Some(place) => wanted[place].1 = words,
            None => {
                places.insert(label, wanted.len());
                wanted.push((label, words));
            }
        }
    }
    wanted
}

fn check_pictures(name: &str, count: usize) -> Result<(), EngineError> {
    if count <= MOST_SET_EXAMPLES {
        return Ok(());
    }
    Err(EngineError::of_field(
        "labels",
        format!(
            "a label set has at most {MOST_SET_EXAMPLES} pictures; {name:?} would have {count}"
        ),
    ))
}

/// Filters do not tell capitals from small letters, and hardly does a model.
fn check_different(vectors: &[NamedVector], new: &[NewLabel]) -> Result<(), EngineError> {
    let new: HashSet<&str> = new.iter().map(|one| one.label.trim()).collect();
    let mut seen: HashMap<String, &str> = HashMap::new();
    for label in parts(vectors) {
        // Those that are there already stay as they are.
        if let Some(other) = seen.insert(label.to_lowercase(), label)
            && (new.contains(label) || new.contains(other))
        {
            return Err(labels::same_but_for_capitals(other, label));
        }
    }
    check_words_differ(vectors, &new)
}

/// Whether labels that are known by words only are known by different ones: others always tie.
fn check_words_differ(vectors: &[NamedVector], new: &HashSet<&str>) -> Result<(), EngineError> {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for of in vectors.chunk_by(|a, b| a.part == b.part) {
        let [NamedVector { part, origin: Origin::Words(words), .. }] = of else { continue };
        let (label, words) = (part.as_str(), words.trim());
        if let Some(other) = seen.insert(words.to_lowercase(), label)
            && (new.contains(label) || new.contains(other))
        {
            return Err(labels::known_by_the_same(other, label, words));
        }
    }
    Ok(())
}

fn check_size(name: &str, vectors: &[NamedVector], new: &[NewLabel]) -> Result<(), EngineError> {
    // Of each label, be it known by words only.
    let mut pictures: HashMap<&str, usize> = HashMap::new();
    for vector in vectors {
        let picture = matches!(vector.origin, Origin::Picture { .. });
        *pictures.entry(vector.part.as_str()).or_default() += usize::from(picture);
    }
    for one in new {
        let label = one.label.trim();
        let Some(&count) = pictures.get(label) else {
            return Err(EngineError::of_field(
                "labels",
                format!("the label {label:?} needs words or pictures to be known by"),
            ));
        };
        if count > MOST_EXAMPLES {
            return Err(EngineError::of_field(
                "labels",
                format!(
                    "a label has at most {MOST_EXAMPLES} pictures; {label:?} would have {count}"
                ),
            ));
        }
    }
    let labels = pictures.len();
    if labels > MOST_LABELS {
        return Err(EngineError::of_field(
            "labels",
            format!("a label set has at most {MOST_LABELS} labels; {name:?} would have {labels}"),
        ));
    }
    check_pictures(name, pictures.values().sum())
}

#[cfg(test)]
mod tests {
    use ekphrasis_embed::{Embedding, Space};

    use super::*;

    fn vectors(label: &str, words: bool, pictures: usize) -> Vec<NamedVector> {
        let space = Space::new("three-1", 3).expect("a space");
        let picture = Origin::Picture { content: [0; 32], source: "upload".into() };
        let words = words.then(|| Origin::Words(label.into()));
        words
            .into_iter()
            .chain(std::iter::repeat_n(picture, pictures))
            .map(|origin| NamedVector {
                part: label.into(),
                origin,
                embedding: Embedding::new(&space, vec![1.0, 2.0, 3.0]).expect("a direction"),
            })
            .collect()
    }

    fn label(label: &str, words: LabelWords) -> NewLabel {
        NewLabel { words, ..NewLabel::of_words(label) }
    }

    fn text(words: &str) -> LabelWords {
        LabelWords::Text(words.into())
    }

    #[test]
    fn words_that_say_nothing_or_too_much_are_refused_with_their_label() {
        assert!(check_words(&label("x", text(&"ü".repeat(WORDS_LIMIT)))).is_ok());
        for (words, told) in [(" ".to_owned(), "empty"), ("ü".repeat(WORDS_LIMIT + 1), "10000")] {
            let error = check_words(&label("x", text(&words))).expect_err(told).to_string();
            assert!(error.contains("\"x\"") && error.contains(told), "{error}");
        }
    }

    #[test]
    fn the_last_words_of_a_label_are_meant() {
        let new = [
            label("x", text("a")),
            label("y", LabelWords::Nothing),
            label("z", LabelWords::AsKnown),
            label(" x ", LabelWords::Nothing),
            label("y", text(" b ")),
            label("z", LabelWords::AsKnown),
            label("x", LabelWords::AsKnown),
            label("known", LabelWords::AsKnown),
        ];
        let path = [label("a > b c", LabelWords::AsKnown)];
        assert_eq!(words_wanted(&[], &path), [("a > b c", Some("b c"))], "the last part");
        let wanted = words_wanted(&vectors("known", false, 1), &new);
        assert_eq!(wanted, [("x", None), ("y", Some("b")), ("z", Some("z"))]);
    }

    #[test]
    fn labels_that_differ_in_capitals_are_refused_where_they_are_new() {
        let there: Vec<NamedVector> =
            ["Cat", "dog", "cat"].iter().flat_map(|name| vectors(name, true, 0)).collect();
        assert!(check_different(&there, &[label("dog", LabelWords::AsKnown)]).is_ok());
        for new in ["Cat", " cat "] {
            let error = check_different(&there, &[label(new, LabelWords::AsKnown)]);
            let error = error.expect_err("refused").to_string();
            assert!(error.contains("\"Cat\" and \"cat\""), "{error}");
        }
    }

    #[test]
    fn only_pictures_count_as_pictures() {
        let new = [label("x", LabelWords::AsKnown)];
        let most = vectors("x", true, MOST_EXAMPLES);
        check_size("set", &most, &new).expect("as many as there may be, and words");
        check_size("set", &vectors("x", true, 0), &new).expect("known by words");
        let more = vectors("x", false, MOST_EXAMPLES + 1);
        let error = check_size("set", &more, &new).expect_err("one more").to_string();
        assert!(error.contains("1001"), "{error}");
        let error = check_size("set", &vectors("y", true, 0), &new).expect_err("nothing");
        assert!(error.to_string().contains("\"x\" needs words or pictures"), "{error}");
        // Of all labels together.
        let labels = MOST_SET_EXAMPLES / MOST_EXAMPLES;
        let mut full: Vec<NamedVector> =
            (0..labels).flat_map(|n| vectors(&n.to_string(), true, MOST_EXAMPLES)).collect();
        check_size("set", &full, &[]).expect("as many as there may be");
        full.extend(vectors("x", false, 1));
        let error = check_size("set", &full, &new).expect_err("one more").to_string();
        assert!(error.contains("20001") && error.contains("\"set\""), "{error}");
    }
}
