//! Given identities and label sets, what are they by another model? Words are embedded
//! again; a picture is, if it is indexed or its file is still what it was. The pictures
//! themselves are not kept, so some may have to be given again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use ekphrasis_embed::Embedding;
use ekphrasis_index::{LocalStore, NameKind, Named, NamedVector, Origin};

use super::copy::Mover;
use crate::{EngineError, Source, Towers, labels, pictures};

/// The kinds of names, as they are called.
const KINDS: [(NameKind, &str); 2] =
    [(NameKind::Identity, "identity"), (NameKind::LabelSet, "label set")];

/// A picture of a name that has no vector of the new model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unmade {
    /// `identity` or `label set`.
    pub kind: &'static str,
    /// Whose it is.
    pub name: String,
    /// The label of the set; nothing for an identity.
    pub label: Option<String>,
    /// The picture's path, or `upload`. For a name that is damaged: nothing.
    pub source: String,
    /// Whether the rest of the name can be used without it. If not, the name is kept as it
    /// was, and has to be given again.
    pub others_do: bool,
}

type Key = (String, Result<[u8; 32], String>);

/// What a vector is of: the part, and the picture or the words.
fn key(vector: &NamedVector) -> Key {
    let of = match &vector.origin {
        Origin::Picture { content, .. } => Ok(*content),
        Origin::Words(words) => Err(words.clone()),
    };
    (vector.part.clone(), of)
}

impl Mover<'_> {
    /// Brings all names over; says which pictures could not be embedded.
    pub(super) fn names(&mut self, from: &LocalStore) -> Result<Vec<Unmade>, EngineError> {
        let mut unmade = Vec::new();
        for (kind, called) in KINDS {
            let (all, damaged) = from.all_named(kind)?;
            for named in &all {
                if self.is_stopped() {
                    return Ok(unmade);
                }
                let there = match self.to.named(kind, &named.name) {
                    // It is written over.
                    Err(ekphrasis_index::StoreError::Corrupt { .. }) => None,
                    there => there?,
                };
                let made = self.name(named, there.as_ref(), kind, called, &mut unmade)?;
                if there.as_ref() != Some(&made) {
                    self.to.put_named(kind, &made)?;
                }
            }
            unmade.extend(damaged.iter().map(|name| Unmade {
                kind: called,
                name: name.clone(),
                label: None,
                source: String::new(),
                others_do: false,
            }));
            let known: HashSet<&String> = all.iter().map(|n| &n.name).chain(&damaged).collect();
            for name in self.to.names(kind)?.iter().filter(|name| !known.contains(name)) {
                self.to.remove_named(kind, name)?;
            }
        }
        Ok(unmade)
    }

    /// What stands for a name by the new model; as it was, if that cannot be had.
    fn name(
        &self,
        named: &Named,
        there: Option<&Named>,
        kind: NameKind,
        called: &'static str,
        unmade: &mut Vec<Unmade>,
    ) -> Result<Named, EngineError> {
        let space = self.towers.space();
        if let Some(there) = there.filter(|there| says_as_much(there, named))
            && there.vectors.iter().all(|vector| vector.embedding.space() == space)
        {
            return Ok(there.clone());
        }
        let there: HashMap<Key, &Embedding> = there
            .iter()
            .flat_map(|there| &there.vectors)
            .filter(|vector| vector.embedding.space() == space)
            .map(|vector| (key(vector), &vector.embedding))
            .collect();
        let words: Vec<String> = named
            .vectors
            .iter()
            .filter(|v| v.embedding.space() != space && !there.contains_key(&key(v)))
            .filter_map(|v| match &v.origin {
                Origin::Words(words) => Some(words.clone()),
                Origin::Picture { .. } => None,
            })
            .collect();
        let words = match words.is_empty() {
            // Pictures need no tower for texts.
            true => vec![],
            false => labels::prompt_vectors(self.towers, &words, &[])?,
        };
        let mut words = words.into_iter();
        let (mut vectors, mut lost) = (Vec::with_capacity(named.vectors.len()), Vec::new());
        for vector in &named.vectors {
            let made = if vector.embedding.space() == space {
                Some(vector.embedding.clone())
            } else if let Some(there) = there.get(&key(vector)) {
                Some((*there).clone())
            } else {
                match &vector.origin {
                    Origin::Words(_) => words.next(),
                    Origin::Picture { content, source } => self.picture(content, source)?,
                }
            };
            match made {
                Some(embedding) => vectors.push(NamedVector { embedding, ..vector.clone() }),
                None => lost.push(vector),
            }
        }
        // Each label needs something to be known by, and so does an identity.
        let left: HashSet<&str> = vectors.iter().map(|v| v.part.as_str()).collect();
        let others_do = named.vectors.iter().all(|v| left.contains(v.part.as_str()));
        unmade.extend(lost.iter().map(|vector| Unmade {
            kind: called,
            name: named.name.clone(),
            label: (kind == NameKind::LabelSet).then(|| vector.part.clone()),
            source: match &vector.origin {
                Origin::Picture { source, .. } => source.clone(),
                Origin::Words(words) => words.clone(),
            },
            others_do,
        }));
        let vectors = if others_do { vectors } else { named.vectors.clone() };
        Ok(Named { name: named.name.clone(), at: named.at, vectors })
    }

    fn picture(&self, content: &[u8; 32], source: &str) -> Result<Option<Embedding>, EngineError> {
        if let Some(vector) = self.of_content(content)? {
            return Ok(Some(vector));
        }
        let path = Path::new(source);
        if !path.is_absolute() {
            return Ok(None);
        }
        let encoder = self.towers.image()?;
        // What cannot be read any more is told with the rest.
        let made = pictures::embed_with_content(&*encoder, &Source::Path(path.into())).ok();
        Ok(made.filter(|(_, now)| now == content).map(|(vector, _)| vector))
    }
}

/// Whether a name was not changed since `there` was written. That may have more: pictures that
/// were lost when the store moved on from there.
fn says_as_much(there: &Named, named: &Named) -> bool {
    let known: HashSet<Key> = there.vectors.iter().map(key).collect();
    there.at == named.at && named.vectors.iter().all(|vector| known.contains(&key(vector)))
}

/// Pictures of names that could not be embedded by another model as things are now, found out
/// without one.
pub(super) fn unmade_of(
    from: &LocalStore,
    towers: &dyn Towers,
) -> Result<Vec<Unmade>, EngineError> {
    let mut unmade = Vec::new();
    for (kind, called) in KINDS {
        for named in from.all_named(kind)?.0 {
            for vector in named.vectors.iter().filter(|v| v.embedding.space() != towers.space()) {
                let Origin::Picture { content, source } = &vector.origin else { continue };
                let mut paths: Vec<PathBuf> =
                    from.same_content(content, 4)?.into_iter().filter_map(|i| i.path).collect();
                paths.push(source.into());
                let is_it = |path: &PathBuf| {
                    path.is_absolute()
                        && fs_err::metadata(path).is_ok_and(|meta| meta.is_file())
                        && fs_err::read(path).is_ok_and(|b| blake3::hash(&b).as_bytes() == content)
                };
                if !paths.iter().any(is_it) {
                    unmade.push(Unmade {
                        kind: called,
                        name: named.name.clone(),
                        label: (kind == NameKind::LabelSet).then(|| vector.part.clone()),
                        source: source.clone(),
                        others_do: named.vectors.iter().any(|other| {
                            other.part == vector.part && other.origin != vector.origin
                        }),
                    });
                }
            }
        }
    }
    Ok(unmade)
}
