//! Given a model, what is known of how far its scores can be believed? A section of
//! the manifest with weights, and a file with pictures to compare with; `ek model
//! calibrate` makes both.

use ekphrasis_embed::dot;
use serde::{Deserialize, Serialize};

use crate::model::{Model, ModelError};

/// How a model's scores become probabilities, as the manifest's `[confidence]` has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The file with the vectors of background pictures: for each, its `dim`
    /// coordinates as 4-bit numbers, the first in the lower half of a byte; up to scale.
    pub background: String,
    /// On what this was fitted, in a sentence.
    pub about: String,
    /// For what is looked for in words.
    pub words: Judgement,
    /// For what is looked for by a picture.
    pub picture: Judgement,
}

/// The weights for one kind of query.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// That anything in the index fits.
    pub anything: AnythingWeights,
    /// That one hit fits.
    pub hit: HitWeights,
}

/// Weights for the logarithm of the odds that anything fits. A score's excess is how
/// far it lies above what as many background pictures would score, in deviations of the
/// background's scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnythingWeights {
    /// What stands alone.
    pub bias: f64,
    /// Of the best score's excess.
    pub best: f64,
    /// Of the excess of the mean of the best three.
    pub three: f64,
    /// Of the excess of the mean of the best ten.
    pub ten: f64,
    /// Of how like one another the best five are: their mean cosine.
    pub agreement: f64,
    /// Of the largest share of the query's words that a hit has.
    pub words: f64,
    /// Of the share of the hits of which any words are known: then having none of the
    /// query's speaks against them.
    pub told: f64,
    /// Of the best cosine itself.
    pub cosine: f64,
    /// Of how much the background's scores differ: for what means nothing, they do little.
    pub spread: f64,
}

/// Weights for the logarithm of the odds that one hit fits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HitWeights {
    /// What stands alone.
    pub bias: f64,
    /// Of its score, in deviations from the background's mean.
    pub score: f64,
    /// Of how few background pictures score as much: the negative logarithm of how many
    /// would among as many as there are candidates.
    pub rare: f64,
    /// Of the logarithm of its rank by score, from 1 to 11.
    pub rank: f64,
    /// Of the logarithm of the odds that anything fits.
    pub anything: f64,
    /// Of the share of the query's words that it has.
    pub words: f64,
    /// Whether any words are known of it.
    pub told: f64,
}

impl Calibration {
    /// What is wrong with the numbers, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let finite = |name: &str, of: &Judgement| {
            let Judgement { anything: a, hit: h } = of;
            let of_anything =
                [a.bias, a.best, a.three, a.ten, a.agreement, a.words, a.told, a.cosine, a.spread];
            let of_hit = [h.bias, h.score, h.rare, h.rank, h.anything, h.words, h.told];
            let mut all = of_anything.iter().chain(&of_hit);
            all.any(|v| !v.is_finite()).then(|| format!("a weight of {name} is not finite"))
        };
        if self.about.trim().is_empty() {
            return Some("nothing about what it was fitted on".into());
        }
        finite("words", &self.words).or_else(|| finite("picture", &self.picture))
    }
}

/// Packs unit vectors into the form of a background file.
///
/// # Panics
/// If a row is all zero.
pub fn pack_background<'a>(rows: impl IntoIterator<Item = &'a [f32]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        let largest = row.iter().fold(0f32, |m, v| m.max(v.abs()));
        assert!(largest > 0.0, "a vector of unit length has a largest coordinate");
        let code = |v: &f32| (v / largest * 7.0).round() as i8;
        for two in row.chunks(2) {
            let high = two.get(1).map_or(0, code);
            bytes.push(((code(&two[0]) + 8) as u8) | (((high + 8) as u8) << 4));
        }
    }
    bytes
}

/// The fewest pictures of which a background can be made.
const FEWEST: usize = 100;

/// The vectors of a packed background, of unit length, one after the other; or what is
/// wrong with it.
pub fn unpack_background(dim: usize, bytes: &[u8]) -> Result<Vec<f32>, String> {
    let width = dim.div_ceil(2);
    if !bytes.len().is_multiple_of(width) || bytes.len() / width < FEWEST {
        return Err(format!(
            "expected {width} bytes for each of at least {FEWEST} pictures, got {}",
            bytes.len()
        ));
    }
    let mut rows = Vec::with_capacity(bytes.len() / width * dim);
    for packed in bytes.chunks_exact(width) {
        let start = rows.len();
        let codes = packed.iter().flat_map(|b| [b & 15, b >> 4]);
        rows.extend(codes.take(dim).map(|code| f32::from(code) - 8.0));
        let row = &mut rows[start..];
        let norm = dot(row, row).sqrt();
        if norm < 1.0 {
            return Err("expected vectors that have a direction, got one of zeros".into());
        }
        row.iter_mut().for_each(|v| *v /= norm);
    }
    Ok(rows)
}

/// The vectors of a model's background file.
pub(crate) fn read_background(model: &Model, file: &str) -> Result<Vec<f32>, ModelError> {
    let bytes = model.read(file)?;
    unpack_background(model.space().dim(), &bytes)
        .map_err(|problem| ModelError::Background { path: model.path(file), problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_back_nearly() {
        for dim in [7usize, 384] {
            let rows: Vec<Vec<f32>> = (0..120)
                .map(|i| {
                    let row: Vec<f32> =
                        (0..dim).map(|j| ((i * 31 + j * 17) as f32 * 0.7).sin()).collect();
                    let norm = dot(&row, &row).sqrt();
                    row.iter().map(|v| v / norm).collect()
                })
                .collect();
            let packed = pack_background(rows.iter().map(Vec::as_slice));
            assert_eq!(packed.len(), 120 * dim.div_ceil(2));
            let back = unpack_background(dim, &packed).expect("sound");
            for (row, back) in rows.iter().zip(back.chunks_exact(dim)) {
                assert!((dot(back, back) - 1.0).abs() < 1e-5);
                assert!(dot(row, back) > 0.99, "{}", dot(row, back));
            }
        }
    }

    #[test]
    fn what_is_no_background_is_refused() {
        let says = |bytes: &[u8]| unpack_background(8, bytes).expect_err("refused");
        assert!(says(&[0x99; 4 * 99]).contains("at least 100"));
        assert!(says(&[0x99; 4 * 200 + 1]).contains("4 bytes"));
        assert!(says(&[0x88; 4 * 200]).contains("zeros"));
    }
}
