//! Given a picture's embedding, which words are near it? A model may ship a
//! list of words with their text embeddings, so that none has to be encoded.

use ekphrasis_embed::{Embedding, EmbeddingError, Space, dot};

use crate::manifest::VocabularyFiles;
use crate::model::{Model, ModelError};
use crate::unsaid::unsaid;

/// Words and their embeddings in the model's space.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    space: Space,
    words: Vec<String>,
    /// `words × dim`, row by row, unit rows.
    rows: Vec<f32>,
}

impl Vocabulary {
    pub(crate) fn read(model: &Model, files: &VocabularyFiles) -> Result<Self, ModelError> {
        let space = model.space().clone();
        let bad = |file: &str, problem: String| ModelError::Vocabulary {
            path: model.path(file),
            problem,
        };
        let text = String::from_utf8(model.read(&files.words)?)
            .map_err(|e| bad(&files.words, format!("expected UTF-8: {e}")))?;
        let words: Vec<String> = text.lines().map(str::to_owned).collect();
        if let Some(line) = words.iter().position(|w| w.trim().is_empty()) {
            return Err(bad(&files.words, format!("expected a word in line {}", line + 1)));
        }
        let bytes = model.read(&files.vectors)?;
        let values = words.len() * space.dim();
        let packed = bytes.len() == values;
        if !packed && bytes.len() != values * 2 {
            let problem = format!(
                "expected {values} bytes, or twice as many, for {} words of {space}, got {}",
                words.len(),
                bytes.len()
            );
            return Err(bad(&files.vectors, problem));
        }
        let mut rows: Vec<f32> = if packed {
            bytes.iter().map(|&b| f32::from(b as i8)).collect()
        } else {
            let halves = bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]));
            halves.map(half::f16::to_f32).collect()
        };
        for (row, word) in rows.chunks_exact_mut(space.dim()).zip(&words) {
            let norm = dot(row, row).sqrt();
            // Half floats keep a unit norm to about 1e-3; of bytes only the direction counts.
            let sound = if packed { norm >= 1.0 } else { (norm - 1.0).abs() < 0.01 };
            if !sound {
                let problem = format!("expected unit vectors, got norm {norm} for {word:?}");
                return Err(bad(&files.vectors, problem));
            }
            row.iter_mut().for_each(|v| *v /= norm);
        }
        Ok(Self { space, words, rows })
    }

    /// The words, in the file's order.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// The embedding of word `i`.
    ///
    /// # Panics
    /// If there is no such word.
    pub fn embedding(&self, i: usize) -> Embedding {
        let dim = self.space.dim();
        Embedding::new(&self.space, self.rows[i * dim..(i + 1) * dim].to_vec())
            .expect("rows are finite and of unit norm")
    }

    /// The `k` words with the highest cosine to `query`, best first; equal ones
    /// in the file's order.
    ///
    /// # Errors
    /// `SpaceMismatch` for an embedding of another space.
    pub fn nearest(&self, query: &Embedding, k: usize) -> Result<Vec<(&str, f32)>, EmbeddingError> {
        if query.space() != &self.space {
            return Err(EmbeddingError::SpaceMismatch {
                left: self.space.clone(),
                right: query.space().clone(),
            });
        }
        let mut scored: Vec<(usize, f32)> = self
            .rows
            .chunks_exact(self.space.dim())
            .map(|row| dot(row, query.values()).clamp(-1.0, 1.0))
            .enumerate()
            .collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let words = scored.into_iter().map(|(i, score)| (self.words[i].as_str(), score));
        Ok(words.filter(|(word, _)| !unsaid(word)).take(k).collect())
    }
}

/// Vectors as signed bytes, the form that takes half the room of half floats.
///
/// # Panics
/// If a vector is all zero.
pub fn pack_vectors<'a>(rows: impl IntoIterator<Item = &'a [f32]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        let largest = row.iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(largest > 0.0, "a vector of unit length has a largest coordinate");
        bytes.extend(row.iter().map(|v| (v / largest * 127.0).round() as i8 as u8));
    }
    bytes
}
