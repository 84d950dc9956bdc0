//! Lists of labels that the store keeps: each label is known by words, by pictures, or by
//! both. The words' vectors are kept, too, so that labelling loads no tower for texts.

mod calibrate;
mod classify;

use std::sync::PoisonError;

use ekphrasis_index::{NameKind, Named, NamedVector, Origin};

use crate::naming::{self, Example, KnownExample, NotTaken, checked_name};
use crate::{Engine, EngineError, labels};

pub(crate) use self::calibrate::fit;
pub(crate) use self::classify::{LabelVectors, words_weight};

/// Labels of one set.
const MOST_LABELS: usize = 2_000;
/// Pictures of one label: more tell nothing new.
const MOST_EXAMPLES: usize = 1_000;
/// Characters of a label.
const LABEL_LIMIT: usize = 200;

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
    /// Those it has; of a new label, itself.
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
    /// Keeps labels under a name.
    ///
    /// # Errors
    /// `Invalid` for a name or label that cannot be one, no label, too many, a label without
    /// words and pictures, or one that is to be created and is there; if a picture cannot be
    /// read and nothing else stands for its label; where model or store fail.
    pub fn write_label_set(
        &self,
        name: &str,
        new: &[NewLabel],
        writing: Writing,
    ) -> Result<ChangedLabelSet, EngineError> {
        let name = checked_name(name)?;
        if new.is_empty() {
            return Err(EngineError::Invalid(format!("the label set {name:?} has no labels")));
        }
        for one in new {
            check_label(&one.label)?;
        }
        // Pictures first, outside of the lock: they take long.
        let (mut pictures, mut not_taken) = (Vec::new(), Vec::new());
        for one in new {
            let (vectors, failed) = self.examples_of(one.label.trim(), &one.examples)?;
            pictures.push(vectors);
            not_taken.extend(failed);
        }
        let (named, new) = self.change_named(NameKind::LabelSet, name, |before| {
            let is_new = before.is_none();
            let mut vectors = match (before, writing) {
                (Some(_), Writing::Create) => {
                    return Err(EngineError::Invalid(format!(
                        "there is a label set {name:?} already; add to it, or replace it"
                    )));
                }
                (Some(before), Writing::Add) => {
                    self.same_space(&before)?;
                    before.vectors
                }
                _ => vec![],
            };
            self.write_words(&mut vectors, new)?;
            for pictures in pictures {
                naming::add_new(&mut vectors, pictures);
            }
            check_size(name, &vectors, new)?;
            let named = Named { name: name.into(), at: naming::now(), vectors: sorted(vectors) };
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
        let is_words =
            |v: &NamedVector, label: &str| v.part == label && matches!(v.origin, Origin::Words(_));
        let mut wanted: Vec<(&str, &str)> = Vec::new();
        for one in new {
            let label = one.label.trim();
            match &one.words {
                LabelWords::Nothing => vectors.retain(|v| !is_words(v, label)),
                LabelWords::Text(words) => wanted.push((label, words.trim())),
                LabelWords::AsKnown => {
                    let known = vectors.iter().any(|v| v.part == label)
                        || wanted.iter().any(|(other, _)| *other == label);
                    if !known {
                        wanted.push((label, label));
                    }
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let words: Vec<String> = wanted.iter().map(|(_, words)| (*words).to_owned()).collect();
        let embedded = labels::prompt_vectors(&*self.towers, &words, &[])?;
        for ((label, words), embedding) in wanted.into_iter().zip(embedded) {
            let new =
                NamedVector { part: label.into(), origin: Origin::Words(words.into()), embedding };
            match vectors.iter_mut().find(|v| is_words(v, label)) {
                Some(old) => *old = new,
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
        Ok(self.store.remove_named(NameKind::LabelSet, name.trim())?)
    }

    /// Forgets one label of a set; a set without labels goes. False if there is no such
    /// label.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn forget_label(&self, name: &str, label: &str) -> Result<bool, EngineError> {
        let (name, label) = (name.trim(), label.trim());
        let _names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// What is compared with for a set.
    pub(crate) fn vectors_of_set(&self, name: &str) -> Result<LabelVectors, EngineError> {
        let name = name.trim();
        let named = self.fresh()?.named(NameKind::LabelSet, name)?.ok_or_else(|| {
            EngineError::NotFound(format!(
                "there is no label set {name:?}; `ek labels list` has all, `ek labels create` \
                 makes one"
            ))
        })?;
        self.same_space(&named)?;
        LabelVectors::of_set(&*self.towers, &named)
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
    let mut seen = std::collections::HashSet::new();
    vectors.iter().map(|v| v.part.as_str()).filter(|part| seen.insert(*part)).collect()
}

/// What belongs to one label one after the other, in the order of their first vectors.
fn sorted(vectors: Vec<NamedVector>) -> Vec<NamedVector> {
    let order: std::collections::HashMap<String, usize> =
        parts(&vectors).into_iter().map(str::to_owned).zip(0..).collect();
    let mut vectors = vectors;
    vectors.sort_by_key(|v| order[&v.part]);
    vectors
}

fn check_label(label: &str) -> Result<(), EngineError> {
    let label = label.trim();
    let wrong = |what: &str| {
        let start: String = label.chars().take(40).collect();
        Err(EngineError::Invalid(format!("{start:?} cannot be a label: {what}")))
    };
    match label {
        "" => wrong("it is empty"),
        _ if label.chars().count() > LABEL_LIMIT => wrong("it has more than 200 characters"),
        _ if label.chars().any(char::is_control) => wrong("it has a control character"),
        _ => Ok(()),
    }
}

fn check_size(name: &str, vectors: &[NamedVector], new: &[NewLabel]) -> Result<(), EngineError> {
    for one in new {
        let label = one.label.trim();
        let count = vectors.iter().filter(|v| v.part == label).count();
        if count == 0 {
            return Err(EngineError::Invalid(format!(
                "the label {label:?} needs words or pictures to be known by"
            )));
        }
        if count > MOST_EXAMPLES {
            return Err(EngineError::Invalid(format!(
                "a label has at most {MOST_EXAMPLES} pictures; {label:?} would have {count}"
            )));
        }
    }
    let labels = parts(vectors).len();
    if labels > MOST_LABELS {
        return Err(EngineError::Invalid(format!(
            "a label set has at most {MOST_LABELS} labels; {name:?} would have {labels}"
        )));
    }
    Ok(())
}
