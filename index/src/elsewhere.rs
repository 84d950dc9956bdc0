//! What does a store in another crate need, so that it answers as the ones here do?
//!
//! How items are written as text, which words they have, what a filter is made of,
//! how rankings are fused: what makes one store's answer equal another's is decided
//! once, here, and not in each of them.

use std::path::Path;

use ekphrasis_embed::{Embedding, Space};

use crate::exchange::Line;
pub use crate::filter::Node;
use crate::filter::folder_names;
use crate::text::{Analyzer, QueryWord, WordField};
use crate::topk::Scored;
use crate::{Expr, FoundWord, Hit, Item, ItemId, Query, StoreError, fusion};

/// The cosine of two embeddings as every store gives it, bit for bit.
pub fn cosine(a: &Embedding, b: &Embedding) -> f32 {
    crate::vector::cosine(a.values(), b.values())
}

/// Refuses a vector's space unless it is the store's.
///
/// # Errors
/// `SpaceMismatch`.
pub fn same_space(expected: &Space, got: &Space) -> Result<(), StoreError> {
    crate::store::same_space(expected, got)
}

/// An item as one line of JSON: the names that `items.jsonl` of an export has.
///
/// # Errors
/// If it cannot be written as JSON, which no item is known for.
pub fn item_to_json(item: &Item) -> Result<String, String> {
    serde_json::to_string(&Line::new(item, true, &[])).map_err(|e| e.to_string())
}

/// The item of such a line.
///
/// # Errors
/// What is wrong with the line, in a few words.
pub fn item_from_json(line: &str) -> Result<Item, String> {
    let line: Line = serde_json::from_str(line).map_err(|e| e.to_string())?;
    Ok(line.read()?.0)
}

/// Every word an item is found by, in all its fields, as often as it has it:
/// letters and digits only, without case, accents and English endings.
pub fn item_terms(item: &Item) -> Vec<String> {
    let mut analyzer = Analyzer::new();
    let tokens = WordField::ALL.map(|field| analyzer.item(item, field));
    tokens.into_iter().flatten().map(|token| token.term).collect()
}

/// A text as filters compare it: without case and accents, and blanks around it.
pub fn folded(text: &str) -> String {
    crate::text::fold(text).trim().to_owned()
}

/// The names of the folders that a file lies in, as filters compare them.
pub fn folders(file: &Path) -> Vec<String> {
    folder_names(file)
}

/// The words of a query, for a store that finds whole words only.
#[derive(Debug)]
pub struct AskedWords(Vec<QueryWord>);

impl AskedWords {
    /// Of a query as typed; nothing in it is syntax.
    pub fn new(query: &str) -> Self {
        Self(Analyzer::new().query(query))
    }

    /// The terms to look for, in the form of [`item_terms`]; any of them will do.
    pub fn terms(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(QueryWord::terms)
    }

    /// Which of the words an item has, with the best place for each.
    pub fn explain(&self, item: &Item) -> Vec<FoundWord> {
        // Whole words only: neither beginnings nor slips of the hand are meant.
        let whole = |word: &QueryWord| QueryWord { begins: false, ..word.clone() };
        let words: Vec<_> = self.0.iter().map(whole).collect();
        Analyzer::new().explain(&words, &vec![false; words.len()], item)
    }
}

/// An item's place in a ranking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ranked {
    /// Who.
    pub id: ItemId,
    /// Cosine or BM25; more is better.
    pub score: f32,
}

impl Ranked {
    fn scored(self) -> Scored {
        Scored { score: self.score, id: self.id, row: 0 }
    }
}

/// The best first, ties by ascending id.
pub fn sort(ranking: &mut [Ranked]) {
    ranking.sort_unstable_by_key(|ranked| std::cmp::Reverse(ranked.scored()));
}

/// How deep both rankings have to be for a page that ends at `end`, so that later
/// pages continue earlier ones.
pub fn depth(end: usize) -> usize {
    fusion::depth(end)
}

/// The query's page of one or both rankings, each sorted. A hit that was found by words
/// only has no cosine yet.
pub fn page(by_vector: Option<&[Ranked]>, by_words: Option<&[Ranked]>, query: &Query) -> Vec<Hit> {
    let scored = |ranking: &[Ranked]| ranking.iter().map(|r| r.scored()).collect::<Vec<_>>();
    let cut = |ranking: &[Ranked], hit: fn(&Scored) -> Hit| {
        ranking.iter().skip(query.offset).take(query.k).map(|r| hit(&r.scored())).collect()
    };
    match (by_vector, by_words) {
        (None, None) => vec![],
        (Some(vectors), None) => cut(vectors, fusion::vector_hit),
        (None, Some(words)) => cut(words, fusion::text_hit),
        (Some(vectors), Some(words)) => {
            fusion::fused_page(&scored(vectors), &scored(words), |_| None, query)
        }
    }
}

impl Expr {
    /// What it is made of, for a store that asks it of others in their language.
    pub fn node(&self) -> &Node {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Random, record};

    #[test]
    fn items_come_back() {
        let mut random = Random(21);
        for name in 0..40 {
            let item = record(&mut random, name).item;
            let line = item_to_json(&item).expect("JSON");
            assert_eq!(item_from_json(&line), Ok(item));
        }
    }

    #[test]
    fn whole_words_are_found_and_explained() {
        let item =
            Item { path: Some("/trips/berlin/redBicycle.jpg".into()), ..Item::of_text("Cafés") };
        let terms = item_terms(&item);
        let asked = AskedWords::new("the CAFE bicycles berl");
        let found: Vec<_> = asked.terms().filter(|t| terms.iter().any(|own| own == t)).collect();
        assert_eq!(found, ["cafe", "bicycl"]);
        let explained = asked.explain(&item);
        let words: Vec<_> = explained.iter().map(|f| (f.word.as_str(), f.field.as_str())).collect();
        assert_eq!(words, [("cafe", "caption"), ("bicycles", "name")]);
    }
}
