//! Given a picture's embedding, which of many nouns are near it, without saying the same
//! thing twice? Words that need not be known from training: a list with their text
//! embeddings, packed, and with what each word is a kind of.

use std::collections::HashSet;

use ekphrasis_embed::{Embedding, EmbeddingError, Space, dot};

use crate::manifest::VocabularyFiles;
use crate::model::{Model, ModelError};
use crate::unsaid::unsaid;

/// The nouns that the default model ships, for other models to embed; a line each, with
/// what it is a kind of behind a tab. `models/lite/CARD.md` says how they were chosen.
pub const NOUNS: &str = include_str!("../lite/nouns.txt");

/// How far up a word's kinds count as the same thing.
const NEAR_KINDS: usize = 2;

/// Nouns and their embeddings in a model's space.
#[derive(Clone, Debug)]
pub struct Lexicon {
    space: Space,
    nouns: Nouns,
    /// `words × dim`, row by row, up to scale.
    codes: Vec<i8>,
    /// What a row is multiplied by to be of unit length.
    scales: Vec<f32>,
}

/// Nouns, and what each is a kind of.
#[derive(Clone, Debug)]
struct Nouns {
    words: Vec<String>,
    /// The place of what each is a kind of, if that is one of them.
    kinds: Vec<Option<u32>>,
}

impl Nouns {
    /// Reads a line a word.
    fn parse(text: &str) -> Result<Self, String> {
        let lines: Vec<(&str, Option<&str>)> = text
            .lines()
            .map(|line| line.split_once('\t').map_or((line, None), |(word, of)| (word, Some(of))))
            .collect();
        let mut places = std::collections::HashMap::with_capacity(lines.len());
        for (place, (word, _)) in lines.iter().enumerate() {
            if word.trim().is_empty() {
                return Err(format!("expected a word in line {}", place + 1));
            }
            if let Some(before) = places.insert(*word, place as u32) {
                return Err(format!(
                    "{word:?} is in line {} and in line {}",
                    before + 1,
                    place + 1
                ));
            }
        }
        let kind = |(place, (_, of)): (usize, &(&str, Option<&str>))| match of {
            None => Ok(None),
            Some(of) => match places.get(of) {
                Some(&at) if at as usize != place => Ok(Some(at)),
                _ => Err(format!("line {} is a kind of {of:?}, which is no other word", place + 1)),
            },
        };
        let kinds = lines.iter().enumerate().map(kind).collect::<Result<_, _>>()?;
        Ok(Self { words: lines.iter().map(|(word, _)| (*word).to_owned()).collect(), kinds })
    }

    /// What a word is a kind of, the nearest first.
    fn kinds_of(&self, word: usize) -> impl Iterator<Item = usize> {
        let up = |&at: &usize| self.kinds[at].map(|kind| kind as usize);
        std::iter::successors(Some(word), up).skip(1).take(NEAR_KINDS)
    }

    /// The words that a noun consists of, in lower case, but for the shortest.
    fn parts_of(&self, noun: usize) -> impl Iterator<Item = String> {
        let parts = self.words[noun].split([' ', '-']).filter(|part| part.len() > 2);
        parts.map(str::to_lowercase)
    }
}

/// What was said already.
#[derive(Default)]
struct Said {
    nouns: HashSet<usize>,
    kinds: HashSet<usize>,
    parts: HashSet<String>,
}

impl Said {
    /// Takes a noun, unless that would say something again: it is a near kind of another,
    /// another of it, or both have a word in common.
    fn takes(&mut self, noun: usize, nouns: &Nouns) -> bool {
        let again = self.kinds.contains(&noun)
            || nouns.kinds_of(noun).any(|kind| self.nouns.contains(&kind))
            || nouns.parts_of(noun).any(|part| self.parts.contains(&part));
        if !again {
            self.nouns.insert(noun);
            self.kinds.extend(nouns.kinds_of(noun));
            self.parts.extend(nouns.parts_of(noun));
        }
        !again
    }
}

impl Lexicon {
    pub(crate) fn read(model: &Model, files: &VocabularyFiles) -> Result<Self, ModelError> {
        let bad = |file: &str, problem: String| ModelError::Vocabulary {
            path: model.path(file),
            problem,
        };
        let text = String::from_utf8(model.read(&files.words)?)
            .map_err(|e| bad(&files.words, format!("expected UTF-8: {e}")))?;
        let nouns = Nouns::parse(&text).map_err(|problem| bad(&files.words, problem))?;
        let bytes = model.read(&files.vectors)?;
        Self::new(model.space(), nouns, &bytes).map_err(|problem| bad(&files.vectors, problem))
    }

    /// [`NOUNS`] with vectors that were packed by [`pack_lexicon`], in their order.
    ///
    /// # Errors
    /// What is wrong with the vectors.
    pub fn of_nouns(space: &Space, packed: &[u8]) -> Result<Self, String> {
        Self::new(space, Nouns::parse(NOUNS)?, packed)
    }

    /// What is wrong with words and vectors of a lexicon, if anything.
    pub(crate) fn check(space: &Space, words: &str, packed: &[u8]) -> Result<(), String> {
        Self::new(space, Nouns::parse(words)?, packed).map(|_| ())
    }

    fn new(space: &Space, nouns: Nouns, packed: &[u8]) -> Result<Self, String> {
        let (count, dim) = (nouns.words.len(), space.dim());
        let width = dim.div_ceil(2);
        if packed.len() != count * width {
            return Err(format!(
                "expected {width} bytes for each of {count} words of {space}, got {}",
                packed.len()
            ));
        }
        let mut codes = Vec::with_capacity(count * dim);
        let mut scales = Vec::with_capacity(count);
        for (row, word) in packed.chunks_exact(width).zip(&nouns.words) {
            let both = row.iter().flat_map(|b| [(b & 15) as i8 - 8, (b >> 4) as i8 - 8]);
            let start = codes.len();
            codes.extend(both.take(dim));
            let square: i32 = codes[start..].iter().map(|&c| i32::from(c).pow(2)).sum();
            if square == 0 {
                return Err(format!("expected a direction for {word:?}, got zeros"));
            }
            scales.push(1.0 / (square as f32).sqrt());
        }
        Ok(Self { space: space.clone(), nouns, codes, scales })
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.nouns.words.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nouns.words.is_empty()
    }

    /// The `k` words with the highest cosine to `query`, best first, equal ones in order; of
    /// those of which one is a near kind of the other (*poodle*, *dog*), or that share a word
    /// (*iron*, *steam iron*), the best only. None is [`unsaid`].
    ///
    /// # Errors
    /// `SpaceMismatch` for an embedding of another space.
    pub fn nearest(&self, query: &Embedding, k: usize) -> Result<Vec<(&str, f32)>, EmbeddingError> {
        let mut scored: Vec<(usize, f32)> = self.scores(query)?.into_iter().enumerate().collect();
        let better = |a: &(usize, f32), b: &(usize, f32)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        // Of many words few are wanted; those left out for being alike are many more.
        let some = k.saturating_mul(16).saturating_add(512);
        if some < scored.len() {
            scored.select_nth_unstable_by(some, better);
            scored.truncate(some);
        }
        scored.sort_by(better);
        let mut said = Said::default();
        let sayable = scored.into_iter().filter(|&(noun, _)| !unsaid(&self.nouns.words[noun]));
        let found = sayable.filter(|&(noun, _)| said.takes(noun, &self.nouns)).take(k);
        Ok(found.map(|(i, score)| (self.nouns.words[i].as_str(), score)).collect())
    }

    /// The cosine of every word to `query`, in order.
    ///
    /// # Errors
    /// `SpaceMismatch` for an embedding of another space.
    pub fn scores(&self, query: &Embedding) -> Result<Vec<f32>, EmbeddingError> {
        if query.space() != &self.space {
            return Err(EmbeddingError::SpaceMismatch {
                left: self.space.clone(),
                right: query.space().clone(),
            });
        }
        let rows = self.codes.chunks_exact(self.space.dim()).zip(&self.scales);
        let score = |(row, scale): (&[i8], &f32)| code_dot(row, query.values()) * scale;
        Ok(rows.map(score).map(|score| score.clamp(-1.0, 1.0)).collect())
    }
}

/// The words of [`NOUNS`], in order.
pub fn nouns() -> impl Iterator<Item = &'static str> {
    NOUNS.lines().map(|line| line.split_once('\t').map_or(line, |(word, _)| word))
}

/// In sixteen sums, so that they can be taken side by side.
fn code_dot(codes: &[i8], values: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0f32; LANES];
    let (codes, values) = (codes.chunks_exact(LANES), values.chunks_exact(LANES));
    let rest: f32 = codes
        .remainder()
        .iter()
        .zip(values.remainder())
        .map(|(&code, value)| f32::from(code) * value)
        .sum();
    for (codes, values) in codes.zip(values) {
        for ((sum, &code), value) in sums.iter_mut().zip(codes).zip(values) {
            *sum += f32::from(code) * value;
        }
    }
    sums.iter().sum::<f32>() + rest
}

/// Packs vectors of unit length: each coordinate as a number of four bits, the first in the
/// lower half of a byte, up to scale. The scale is the one of those tried that keeps the
/// direction best.
///
/// # Panics
/// If a vector is all zero.
pub fn pack_lexicon<'a>(rows: impl IntoIterator<Item = &'a [f32]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        let largest = row.iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(largest > 0.0, "a vector of unit length has a largest coordinate");
        let codes = |clip: f32| -> Vec<i8> {
            let code = |v: &f32| (v / (largest * clip) * 7.0).round().clamp(-7.0, 7.0) as i8;
            row.iter().map(code).collect()
        };
        let cosine = |codes: &[i8]| {
            let values: Vec<f32> = codes.iter().map(|&c| f32::from(c)).collect();
            dot(&values, row) / dot(&values, &values).sqrt()
        };
        let tried = CLIPS.map(codes);
        let best = tried.iter().max_by(|a, b| cosine(a).total_cmp(&cosine(b)));
        for two in best.into_iter().flat_map(|codes| codes.chunks(2)) {
            let high = two.get(1).copied().unwrap_or(0);
            bytes.push(((two[0] + 8) as u8) | (((high + 8) as u8) << 4));
        }
    }
    bytes
}

/// Shares of the largest coordinate from which on all count as the largest.
const CLIPS: [f32; 5] = [1.0, 0.9, 0.8, 0.7, 0.6];

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon(text: &str, rows: &[[f32; 3]]) -> Lexicon {
        let space = Space::new("three-1", 3).expect("a space");
        let packed = pack_lexicon(rows.iter().map(|row| &row[..]));
        Lexicon::new(&space, Nouns::parse(text).expect("words"), &packed).expect("vectors")
    }

    #[test]
    fn the_same_thing_is_not_said_twice() {
        let text = "animal\ndog\tanimal\npoodle\tdog\ntoy poodle\tpoodle\ncat\tanimal\n";
        let rows =
            [[0.6, 0.8, 0.0], [0.9, 0.4, 0.0], [1.0, 0.0, 0.0], [0.9, 0.0, 0.1], [0.0, 0.0, 1.0]];
        let lexicon = lexicon(text, &rows);
        let query = Embedding::new(&lexicon.space, vec![1.0, 0.0, 0.0]).expect("a direction");
        let found = lexicon.nearest(&query, 5).expect("one space");
        let words: Vec<&str> = found.iter().map(|(word, _)| *word).collect();
        // Dog and toy poodle are near kinds of poodle, and animal is, too; cat is another one.
        assert_eq!(words, ["poodle", "cat"]);
        assert!((found[0].1 - 1.0).abs() < 0.01, "{found:?}");
        assert_eq!(lexicon.nearest(&query, 1).expect("one space").len(), 1);
    }

    #[test]
    fn the_unsaid_is_left_out_be_it_the_nearest() {
        let lexicon = lexicon("gorilla\nman\n", &[[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]]);
        let query = Embedding::new(&lexicon.space, vec![1.0, 0.0, 0.0]).expect("a direction");
        let found = lexicon.nearest(&query, 2).expect("one space");
        assert_eq!(found.iter().map(|(word, _)| *word).collect::<Vec<_>>(), ["man"]);
    }

    #[test]
    fn what_is_no_lexicon_is_refused() {
        for (text, told) in [
            ("a\n\nb\n", "line 2"),
            ("a\nb\na\n", "line 1 and in line 3"),
            ("a\tb\n", "\"b\""),
            ("a\ta\n", "no other word"),
        ] {
            let problem = Nouns::parse(text).expect_err(told);
            assert!(problem.contains(told), "{problem}");
        }
        let space = Space::new("three-1", 3).expect("a space");
        let of = |bytes: &[u8]| {
            Lexicon::new(&space, Nouns::parse("a\n").expect("words"), bytes).expect_err("refused")
        };
        assert!(of(&[0x99]).contains("2 bytes"));
        assert!(of(&[0x88, 0x88]).contains("zeros"));
    }

    #[test]
    fn the_nouns_of_the_default_model_can_be_read_and_packed_ones_keep_their_direction() {
        let nouns = Nouns::parse(NOUNS).expect("as written");
        assert!(nouns.words.len() > 15_000, "{}", nouns.words.len());
        assert_eq!(super::nouns().collect::<Vec<_>>(), nouns.words);
        for dim in [7usize, 384] {
            let row: Vec<f32> = (0..dim).map(|j| ((j * 17 + 3) as f32 * 0.7).sin()).collect();
            let norm = dot(&row, &row).sqrt();
            let row: Vec<f32> = row.iter().map(|v| v / norm).collect();
            let packed = pack_lexicon([&row[..]]);
            let space = Space::new("any-1", dim).expect("a space");
            let one = Lexicon::new(&space, Nouns::parse("a\n").expect("words"), &packed);
            let query = Embedding::new(&space, row).expect("a direction");
            let score = one.expect("vectors").nearest(&query, 1).expect("one space")[0].1;
            assert!(score > 0.99, "{dim}: {score}");
        }
    }
}
