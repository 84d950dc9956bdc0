//! Given texts, which token ids does the graph get? The tokenizer file says how
//! to cut words; how long a text may be and how it is padded says the manifest.

use ekphrasis_embed::EncodeError;
use tokenizers::{ModelWrapper, PostProcessor, Tokenizer, TruncationParams};

use crate::manifest::{Clean, Padding, TextTower};
use crate::model::{Model, ModelError};

/// An input that token ids go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenInput {
    Ids,
    Mask,
    Types,
    Positions,
}

impl TokenInput {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "input_ids" => Some(Self::Ids),
            "attention_mask" => Some(Self::Mask),
            "token_type_ids" => Some(Self::Types),
            "position_ids" => Some(Self::Positions),
            _ => None,
        }
    }
}

/// The ids of one text, unpadded; every token counts and all types are 0,
/// because there is never a second sentence.
pub(super) type Encoded = Vec<i64>;

/// Texts as the graph takes them, padded to one width.
pub(super) struct Batch {
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) ids: Vec<i64>,
    mask: Vec<i64>,
    types: Vec<i64>,
    positions: Vec<i64>,
}

impl Batch {
    pub(super) fn get(&self, input: TokenInput) -> &[i64] {
        match input {
            TokenInput::Ids => &self.ids,
            TokenInput::Mask => &self.mask,
            TokenInput::Types => &self.types,
            TokenInput::Positions => &self.positions,
        }
    }
}

/// A tokenizer that cuts to the context.
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    pad: i64,
    /// The width of every batch, if the model always pads.
    fixed: Option<usize>,
    clean: Clean,
    /// The token that stands for what the tokenizer does not know.
    unknown: Option<u32>,
}

impl Tokens {
    pub(super) fn read(model: &Model, tower: &TextTower) -> Result<Self, ModelError> {
        let bad = |problem| ModelError::Tokenizer { path: model.path(&tower.tokenizer), problem };
        let mut tokenizer = Tokenizer::from_bytes(model.read(&tower.tokenizer)?)
            .map_err(|e| bad(format!("cannot be used as a tokenizer: {e}")))?;
        let special = tokenizer.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if special >= tower.context {
            return Err(bad(format!(
                "expected fewer special tokens than the context of {}, got {special}",
                tower.context
            )));
        }
        let pad = tokenizer.token_to_id(&tower.pad_token).ok_or_else(|| {
            bad(format!("expected the pad token {:?} in it, got none", tower.pad_token))
        })?;
        // The file's own settings fit whatever it was exported for: MiniLM's
        // pads every text to 128 tokens.
        tokenizer.with_padding(None);
        let truncation = TruncationParams { max_length: tower.context, ..Default::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|e| bad(e.to_string()))?;
        let fixed = match tower.padding {
            Padding::Longest => None,
            Padding::Context => Some(tower.context),
        };
        let unknown = unknown_token(&tokenizer).and_then(|token| tokenizer.token_to_id(&token));
        Ok(Self { tokenizer, pad: i64::from(pad), fixed, clean: tower.clean, unknown })
    }

    pub(super) fn encode(&self, texts: &[&str]) -> Result<Vec<Encoded>, EncodeError> {
        texts
            .iter()
            .map(|text| {
                let encoding = self
                    .tokenizer
                    .encode_fast(&*self.clean.apply(text), true)
                    .map_err(|e| EncodeError::Runtime { what: format!("tokenizer: {e}") })?;
                Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
            })
            .collect()
    }

    /// The share of a text's tokens, without special ones, that stand for something
    /// unknown or for a part of a letter; 0 for a text without tokens.
    pub(super) fn unknown_share(&self, text: &str) -> Result<f64, EncodeError> {
        let encoding = self
            .tokenizer
            .encode(&*self.clean.apply(text), false)
            .map_err(|e| EncodeError::Runtime { what: format!("tokenizer: {e}") })?;
        // What stands for a space alone lies where the next letter does.
        let tokens = encoding.get_ids().iter().zip(encoding.get_offsets());
        let tokens: Vec<_> = tokens
            .zip(encoding.get_tokens())
            .filter(|(_, token)| *token != "▁")
            .map(|((id, place), _)| (*id, *place))
            .collect();
        if tokens.is_empty() {
            return Ok(0.0);
        }
        // A letter that is spelled in bytes is several tokens of one place.
        let shares = |i: usize, j: usize| {
            let (a, b) = (tokens[i].1, tokens[j].1);
            a.0 < b.1 && b.0 < a.1
        };
        let odd = (0..tokens.len()).filter(|&i| {
            Some(tokens[i].0) == self.unknown
                || (i > 0 && shares(i - 1, i))
                || (i + 1 < tokens.len() && shares(i, i + 1))
        });
        Ok(odd.count() as f64 / tokens.len() as f64)
    }

    /// One more than the greatest id there is, added tokens included.
    pub(super) fn count(&self) -> usize {
        let most = self.tokenizer.get_vocab(true).into_values().max();
        most.map_or(0, |most| most as usize + 1)
    }

    /// The width a text of this many tokens is padded to when alone.
    pub(super) fn padded(&self, len: usize) -> usize {
        // A graph cannot take an empty row, which a tokenizer without special
        // tokens gives for the empty text.
        self.fixed.unwrap_or(len).max(1)
    }

    /// The texts at `indices` of `encoded` as one batch.
    pub(super) fn pad(&self, encoded: &[Encoded], indices: &[usize]) -> Batch {
        let longest = indices.iter().map(|&i| encoded[i].len()).max().unwrap_or(0);
        let (rows, width) = (indices.len(), self.padded(longest));
        let mut ids = vec![self.pad; rows * width];
        let mut mask = vec![0; rows * width];
        for (row, &i) in indices.iter().enumerate() {
            let text = &encoded[i];
            ids[row * width..][..text.len()].copy_from_slice(text);
            // An all-masked row would divide by zero in a mean.
            mask[row * width..][..text.len().max(1)].fill(1);
        }
        let positions = (0..rows).flat_map(|_| 0..width as i64).collect();
        Batch { rows, width, ids, mask, types: vec![0; rows * width], positions }
    }
}

/// What the tokenizer writes for what it does not know, if it has such a token.
fn unknown_token(tokenizer: &Tokenizer) -> Option<String> {
    match tokenizer.get_model() {
        ModelWrapper::BPE(bpe) => bpe.get_unk_token().clone(),
        ModelWrapper::WordPiece(pieces) => Some(pieces.unk_token.clone()),
        ModelWrapper::WordLevel(words) => Some(words.unk_token.clone()),
        // What sentencepiece calls it; the file's own number for it is not given out.
        ModelWrapper::Unigram(_) => Some("<unk>".into()),
    }
}
