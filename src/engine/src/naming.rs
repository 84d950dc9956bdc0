//! What names have in common that the store keeps beside items: what may be one, and how
//! a picture becomes an example that needs its file no more.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};

use ekphrasis_embed::Embedding;
use ekphrasis_index::{ItemId, Kind, NameKind, Named, NamedVector, Origin, StoreError, StoreRead};

use crate::{Engine, EngineError, Source, pictures};

/// Characters of a name.
const NAME_LIMIT: usize = 200;

/// A picture that is given as an example, or to be judged.
#[derive(Clone, Debug)]
pub enum Example {
    /// A file, or the bytes of one.
    Picture(Source),
    /// One of the store; its file is not looked at.
    Item(ItemId),
}

/// An example that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownExample {
    /// BLAKE3 of its file.
    pub content: [u8; 32],
    /// Its path, or `upload`. The file may be gone.
    pub source: String,
}

/// An example that was not taken, and why.
#[derive(Debug)]
pub struct NotTaken {
    /// Its path, its id, or `upload`.
    pub source: String,
    /// Why.
    pub error: EngineError,
}

/// What stood for a name before it is changed.
#[derive(Debug)]
pub(crate) enum Before {
    /// Nothing: the name is new.
    Nothing,
    /// As it was written.
    Known(Named),
    /// Not as it was written: it can be replaced, but nothing can be added to it.
    Damaged(StoreError),
}

/// What it is called in messages and lists.
fn source_of(example: &Example) -> String {
    match example {
        Example::Picture(Source::Path(path)) => path.to_string_lossy().into_owned(),
        Example::Picture(Source::Sent { .. }) => "upload".into(),
        Example::Item(id) => id.to_string(),
    }
}

/// The name without blanks around it, if it can be one.
///
/// # Errors
/// `Invalid`, with what is wrong with it.
pub(crate) fn checked_name(name: &str) -> Result<&str, EngineError> {
    let name = name.trim();
    let wrong = |what: &str| {
        let start: String = name.chars().take(40).collect();
        Err(EngineError::of_field("name", format!("{start:?} cannot be a name: {what}")))
    };
    match name {
        "" => wrong("it is empty"),
        "." | ".." => wrong("addresses cannot hold it"),
        _ if name.chars().count() > NAME_LIMIT => wrong("it has more than 200 characters"),
        _ if name.chars().any(char::is_control) => wrong("it has a control character"),
        _ if name.contains(['/', '\\']) => wrong("it has a slash"),
        _ => Ok(name),
    }
}

/// Seconds since 1970 UTC.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

/// The pictures among the vectors.
pub(crate) fn examples<'a>(
    vectors: impl IntoIterator<Item = &'a NamedVector>,
) -> Vec<KnownExample> {
    let known = |vector: &NamedVector| match &vector.origin {
        Origin::Picture { content, source } => {
            Some(KnownExample { content: *content, source: source.clone() })
        }
        Origin::Words(_) => None,
    };
    vectors.into_iter().filter_map(known).collect()
}

/// Adds vectors to those of a part that has some; a picture that is there already is not
/// added again. Returns how many were new.
pub(crate) fn add_new(vectors: &mut Vec<NamedVector>, new: Vec<NamedVector>) -> usize {
    let before = vectors.len();
    let picture = |v: &NamedVector| match &v.origin {
        Origin::Picture { content, .. } => Some((v.part.clone(), *content)),
        Origin::Words(_) => None,
    };
    let mut known: HashSet<(String, [u8; 32])> = vectors.iter().filter_map(picture).collect();
    for vector in new {
        if picture(&vector).is_none_or(|picture| known.insert(picture)) {
            vectors.push(vector);
        }
    }
    vectors.len() - before
}

impl Engine {
    /// A picture's vector, and what it was made of.
    pub(crate) fn example(&self, example: &Example) -> Result<(Embedding, Origin), EngineError> {
        match example {
            Example::Picture(source) => {
                let encoder = self.towers.image()?;
                let (embedding, content) = self
                    .meters
                    .encode_image
                    .time(|| pictures::embed_with_content(&*encoder, source))?;
                Ok((embedding, Origin::Picture { content, source: source_of(example) }))
            }
            Example::Item(id) => {
                let store = self.fresh()?;
                let item = store.items(&[*id])?.pop().flatten();
                let item =
                    item.ok_or_else(|| EngineError::NotFound(format!("there is no item {id}")))?;
                let (Kind::Image, Some(file)) = (item.kind, &item.file) else {
                    return Err(EngineError::of_field(
                        "id",
                        format!("item {id} is a text, not a picture"),
                    ));
                };
                let embedding = store.embeddings(&[*id])?.pop().flatten().ok_or_else(|| {
                    EngineError::NotFound(format!(
                        "the vector of item {id} is damaged; index it again"
                    ))
                })?;
                let source = item.path.as_deref().map_or_else(|| id.to_string(), shown);
                Ok((embedding, Origin::Picture { content: file.content, source }))
            }
        }
    }

    /// The vectors of examples of `part`; those that cannot be read are told beside.
    ///
    /// # Errors
    /// The first one's if none can be read.
    pub(crate) fn examples_of(
        &self,
        part: &str,
        examples: &[Example],
    ) -> Result<(Vec<NamedVector>, Vec<NotTaken>), EngineError> {
        let (mut taken, mut not_taken) = (Vec::new(), Vec::new());
        for example in examples {
            match self.example(example) {
                Ok((embedding, origin)) => {
                    taken.push(NamedVector { part: part.into(), origin, embedding });
                }
                Err(error) => not_taken.push(NotTaken { source: source_of(example), error }),
            }
        }
        if taken.is_empty() && !not_taken.is_empty() {
            return Err(not_taken.swap_remove(0).error);
        }
        Ok((taken, not_taken))
    }

    /// To be held while what stands for a name is read and changed: nobody else's change
    /// comes between.
    pub(crate) fn hold_names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what stands for a name, as one step.
    pub(crate) fn change_named<T>(
        &self,
        kind: NameKind,
        name: &str,
        change: impl FnOnce(Before) -> Result<(Named, T), EngineError>,
    ) -> Result<(Named, T), EngineError> {
        let _names = self.hold_names();
        let before = match self.store.named(kind, name) {
            Ok(None) => Before::Nothing,
            Ok(Some(named)) => Before::Known(named),
            Err(damage @ StoreError::Corrupt { .. }) => Before::Damaged(damage),
            Err(error) => return Err(error.into()),
        };
        let (named, result) = change(before)?;
        self.store.put_named(kind, &named)?;
        Ok((named, result))
    }

    /// The vectors that others are added to.
    ///
    /// # Errors
    /// `Invalid` if they are of another space; the store's own if they are damaged.
    pub(crate) fn to_add_to(&self, before: Before) -> Result<Vec<NamedVector>, EngineError> {
        match before {
            Before::Nothing => Ok(vec![]),
            Before::Known(named) => {
                self.same_space(&named)?;
                Ok(named.vectors)
            }
            Before::Damaged(damage) => Err(damage.into()),
        }
    }

    /// Forgets a name. False if it was not known. Waits for a change that is being made:
    /// otherwise it would write back what is forgotten here.
    pub(crate) fn forget_named(&self, kind: NameKind, name: &str) -> Result<bool, EngineError> {
        let _names = self.hold_names();
        Ok(self.store.remove_named(kind, name.trim())?)
    }

    /// Insists that what is known was made in the store's space: vectors of two spaces
    /// mean different things.
    pub(crate) fn same_space(&self, named: &Named) -> Result<(), EngineError> {
        match named.vectors.iter().find(|v| v.embedding.space() != self.towers.space()) {
            None => Ok(()),
            Some(other) => Err(EngineError::Invalid(format!(
                "{:?} was given with the model of space {}, but the store's is {} now: their vectors \
                 cannot be compared; give its pictures or words again in place of those that are \
                 there (`--replace`; over HTTP a PUT without `add`)",
                named.name,
                other.embedding.space().id(),
                self.towers.space().id()
            ))),
        }
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_addresses_and_people_can_hold() {
        assert_eq!(checked_name("  Mr. Mittens ü 猫 ").expect("fine"), "Mr. Mittens ü 猫");
        let long = "x".repeat(201);
        for bad in ["", "  ", ".", "..", "a/b", "a\\b", "a\nb", &long] {
            let error = checked_name(bad).expect_err(bad).to_string();
            assert!(error.contains("cannot be a name"), "{error}");
        }
    }

    #[test]
    fn a_picture_is_added_once_to_each_part() {
        let space = ekphrasis_embed::Space::new("three-1", 3).expect("a space");
        let vector = |part: &str, origin: Origin| NamedVector {
            part: part.into(),
            origin,
            embedding: Embedding::new(&space, vec![1.0, 2.0, 3.0]).expect("a direction"),
        };
        let picture = |part: &str, n: u8| {
            vector(part, Origin::Picture { content: [n; 32], source: "upload".into() })
        };
        let mut vectors = vec![vector("cat", Origin::Words("cat".into())), picture("cat", 1)];
        let new = vec![picture("cat", 1), picture("dog", 1), picture("cat", 2), picture("cat", 2)];
        assert_eq!(add_new(&mut vectors, new), 2);
        let parts: Vec<&str> = vectors.iter().map(|v| v.part.as_str()).collect();
        assert_eq!(parts, ["cat", "cat", "dog", "cat"]);
    }
}
