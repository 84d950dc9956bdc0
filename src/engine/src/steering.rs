//! Given a query and what was liked and disliked of what it found, what is looked for next?

use std::collections::{HashMap, HashSet};

use ekphrasis_embed::{Embedding, EmbeddingError, Space};
use ekphrasis_index::{ItemId, LocalStore, StoreRead};

use crate::pictures::content_of_file;
use crate::{Engine, EngineError, Example, Source};

/// Examples that may be liked, and as many that may be disliked.
pub const MOST_EXAMPLES: usize = 100;

/// What was found to fit and not to fit. Nothing of it is kept: who goes on searching
/// says it again.
#[derive(Clone, Debug, Default)]
pub struct Feedback {
    /// More like these; they stay among the hits. At most [`MOST_EXAMPLES`].
    pub liked: Vec<Example>,
    /// Less like these; the items among them are not shown. At most [`MOST_EXAMPLES`].
    pub disliked: Vec<Example>,
}

impl Feedback {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.liked.is_empty() && self.disliked.is_empty()
    }

    /// The items that are not to be shown: those that were disliked, by id or by their files.
    pub(crate) fn hidden(&self) -> HashSet<ItemId> {
        self.disliked.iter().filter_map(item_of).collect()
    }

    /// An example that is liked and disliked, by its id or name.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let items: HashSet<ItemId> = self.liked.iter().filter_map(item_of).collect();
        let pictures: Vec<&[u8]> = self.liked.iter().filter_map(bytes_of).collect();
        let both = |one: &&Example| {
            item_of(one).is_some_and(|item| items.contains(&item))
                || bytes_of(one).is_some_and(|bytes| pictures.contains(&bytes))
        };
        Some(match self.disliked.iter().find(both)? {
            Example::Item(id) => id.to_string(),
            Example::Picture(Source::Path(path)) => path.display().to_string(),
            Example::Picture(Source::Sent { .. }) => "one of the pictures".into(),
        })
    }

    /// The items that were judged: they say nothing of whether there is anything else.
    pub(crate) fn judged(&self) -> impl Iterator<Item = ItemId> {
        self.liked.iter().chain(&self.disliked).filter_map(item_of)
    }
}

/// The item that an example is, if it can be one.
fn item_of(example: &Example) -> Option<ItemId> {
    match example {
        Example::Item(id) => Some(*id),
        Example::Picture(source) => item_of_source(source),
    }
}

/// The item that a picture is, if it is a file; whether that was indexed is not looked at.
pub(crate) fn item_of_source(source: &Source) -> Option<ItemId> {
    match source {
        // Files are known by their real paths.
        Source::Path(path) => Some(ItemId::for_path(&fs_err::canonicalize(path).ok()?)),
        Source::Sent { .. } => None,
    }
}

/// The BLAKE3 of an example's file, and what it is called. `None` of what is no picture or cannot
/// be read; whoever embeds it says so.
fn content_of(
    store: &LocalStore,
    example: &Example,
) -> Result<Option<([u8; 32], String)>, EngineError> {
    Ok(match example {
        Example::Item(id) => store.items(&[*id])?.pop().flatten().and_then(|item| {
            let name = item.path.map_or_else(|| id.to_string(), |path| path.display().to_string());
            Some((item.file?.content, name))
        }),
        Example::Picture(Source::Path(path)) => {
            content_of_file(path).ok().map(|content| (content, path.display().to_string()))
        }
        Example::Picture(Source::Sent { bytes, .. }) => {
            Some((*blake3::hash(bytes).as_bytes(), "one of the pictures".into()))
        }
    })
}

/// The bytes of an example that is sent as such.
fn bytes_of(example: &Example) -> Option<&[u8]> {
    match example {
        Example::Picture(Source::Sent { bytes, .. }) => Some(bytes),
        Example::Item(_) | Example::Picture(Source::Path(_)) => None,
    }
}

/// How much judgements count beside what was asked for, whose weight is 1.
///
/// # Source
/// J. J. Rocchio: Relevance Feedback in Information Retrieval, in G. Salton (ed.), The
/// SMART Retrieval System, 1971; over unit vectors, with α = 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rocchio {
    /// β: the mean of what was liked. Finite, 0 or more.
    pub liked: f32,
    /// γ: the mean of what was disliked, taken off. Finite, 0 or more.
    pub disliked: f32,
    /// The same as long as nothing was liked. Much less: away from what does not fit lies all
    /// that does not fit either, and of a query in words, away from all pictures.
    pub disliked_alone: f32,
}

impl Rocchio {
    /// Those of a search; chosen on the validation split (models/lite/CARD.md).
    pub const USED: Self = Self { liked: 1.0, disliked: 0.5, disliked_alone: 0.05 };

    /// γ, beside so many that were liked.
    fn away(self, liked: usize) -> f32 {
        if liked == 0 { self.disliked_alone } else { self.disliked }
    }

    /// `query + β · mean(liked) − γ · mean(disliked)`, scaled to unit length. Without a query
    /// what was liked stands for it.
    ///
    /// # Errors
    /// `SpaceMismatch` for vectors of several spaces; `Zero` if all cancel out or there are none.
    pub fn steer(
        self,
        space: &Space,
        query: Option<&Embedding>,
        liked: &[Embedding],
        disliked: &[Embedding],
    ) -> Result<Embedding, EmbeddingError> {
        let share = |weight: f32, of: &[Embedding]| weight / of.len().max(1) as f32;
        let away = share(-self.away(liked.len()), disliked);
        let toward = share(self.liked, liked);
        let mut parts: Vec<(&Embedding, f32)> =
            query.map(|query| (query, 1.0)).into_iter().collect();
        parts.extend(liked.iter().map(|one| (one, toward)));
        parts.extend(disliked.iter().map(|one| (one, away)));
        Embedding::combine(space, &parts)
    }
}

/// The vectors of what was judged.
#[derive(Debug, Default)]
pub(crate) struct Judgements {
    pub(crate) liked: Vec<Embedding>,
    pub(crate) disliked: Vec<Embedding>,
}

impl Judgements {
    /// How much a hit is like what was liked, and what was disliked: means of cosines, each with
    /// its weight, by name.
    ///
    /// # Errors
    /// `SpaceMismatch` for a vector of another space.
    pub(crate) fn agreement(
        &self,
        hit: &Embedding,
    ) -> Result<Vec<(&'static str, f32, f32)>, EmbeddingError> {
        let (toward, away) = (Rocchio::USED.liked, Rocchio::USED.away(self.liked.len()));
        let mut told = Vec::new();
        for (name, examples, weight) in
            [("liked", &self.liked, toward), ("disliked", &self.disliked, -away)]
        {
            let cosines: Result<Vec<f32>, _> = examples.iter().map(|e| e.cosine(hit)).collect();
            let cosines = cosines?;
            if !cosines.is_empty() {
                told.push((name, cosines.iter().sum::<f32>() / cosines.len() as f32, weight));
            }
        }
        Ok(told)
    }
}

impl Engine {
    /// Refuses a copy of what is liked that is disliked: it is the same picture by another name.
    ///
    /// # Errors
    /// `Invalid`, naming both; if the store cannot be read.
    pub(crate) fn check_copies(&self, feedback: &Feedback) -> Result<(), EngineError> {
        if feedback.liked.is_empty() || feedback.disliked.is_empty() {
            return Ok(());
        }
        let store = self.fresh()?;
        let mut liked = HashMap::new();
        for one in &feedback.liked {
            liked.extend(content_of(store, one)?);
        }
        for one in &feedback.disliked {
            let Some((content, name)) = content_of(store, one)? else { continue };
            if let Some(other) = liked.get(&content) {
                return Err(EngineError::of_field(
                    "disliked",
                    format!(
                        "{name} is disliked, and {other}, which is liked, is a copy of it; say one \
                         of them, or neither"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The vectors of what was judged.
    pub(crate) fn judgements(&self, feedback: &Feedback) -> Result<Judgements, EngineError> {
        let embed = |examples: &[Example]| -> Result<Vec<Embedding>, EngineError> {
            examples.iter().map(|example| self.embed_example(example)).collect()
        };
        Ok(Judgements { liked: embed(&feedback.liked)?, disliked: embed(&feedback.disliked)? })
    }

    fn embed_example(&self, example: &Example) -> Result<Embedding, EngineError> {
        match example {
            Example::Item(id) => self.embedding_of(*id),
            Example::Picture(source) => self.embed_image(source),
        }
    }

    /// The vector of an item.
    pub(crate) fn embedding_of(&self, id: ItemId) -> Result<Embedding, EngineError> {
        let found = self.store.embeddings(&[id])?.pop().flatten();
        found.ok_or_else(|| EngineError::NotFound(format!("there is no item {id}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn space() -> Space {
        Space::new("test", 3).expect("a valid name")
    }

    fn unit(values: [f32; 3]) -> Embedding {
        Embedding::new(&space(), values.to_vec()).expect("valid")
    }

    #[test]
    fn the_query_moves_by_the_formula() {
        let (x, y, z) = (unit([1.0, 0.0, 0.0]), unit([0.0, 1.0, 0.0]), unit([0.0, 0.0, 1.0]));
        let weights = Rocchio { liked: 0.5, disliked: 0.25, disliked_alone: 0.1 };
        let steered = weights
            .steer(&space(), Some(&x), &[y.clone(), z.clone()], std::slice::from_ref(&z))
            .expect("a direction");
        // By hand: x + 0.5 (y + z) / 2 − 0.25 z = (1, 0.25, 0).
        assert!((steered.cosine(&unit([1.0, 0.25, 0.0])).expect("one space") - 1.0).abs() < 1e-6);
        let alone = weights.steer(&space(), None, std::slice::from_ref(&y), &[]).expect("liked");
        assert_eq!(alone, y);
        let away = weights.steer(&space(), Some(&x), &[], std::slice::from_ref(&y));
        let away = away.expect("a direction");
        assert!((away.cosine(&unit([1.0, -0.1, 0.0])).expect("one space") - 1.0).abs() < 1e-6);
        let none = weights.steer(&space(), None, &[], &[]);
        assert!(matches!(none, Err(EmbeddingError::Zero { .. })));
    }

    proptest! {
        /// Whatever was asked and judged before: one more like of something brings it nearer, one
        /// more dislike takes it away.
        #[test]
        fn a_like_brings_nearer_and_a_dislike_takes_away(
            query in prop::array::uniform3(-1f32..1.0),
            one in prop::array::uniform3(-1f32..1.0),
        ) {
            let length = |v: &[f32; 3]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
            prop_assume!(length(&query) > 0.1 && length(&one) > 0.1);
            let (query, one) = (unit(query), unit(one));
            let before = query.cosine(&one).expect("one space");
            prop_assume!(before.abs() < 0.99);
            let steer = |liked: &[Embedding], disliked: &[Embedding]| {
                let moved = Rocchio::USED.steer(&space(), Some(&query), liked, disliked);
                moved.expect("a direction").cosine(&one).expect("one space")
            };
            let examples = std::slice::from_ref(&one);
            prop_assert!(steer(examples, &[]) > before);
            prop_assert!(steer(&[], examples) < before);
        }
    }
}
