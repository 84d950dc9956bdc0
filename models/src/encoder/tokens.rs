//! Given texts, which token ids does the graph get? The tokenizer file says how
//! to cut words; how long a text may be and how it is padded says the manifest.

use ekphrasis_embed::EncodeError;
use tokenizers::{PostProcessor, Tokenizer, TruncationParams};

use crate::manifest::{Padding, TextTower};
use crate::model::{Model, ModelError};

/// An input that token ids go into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenInput {
    Ids,
    Mask,
    Types,
}

impl TokenInput {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "input_ids" => Some(Self::Ids),
            "attention_mask" => Some(Self::Mask),
            "token_type_ids" => Some(Self::Types),
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
}

impl Batch {
    pub(super) fn get(&self, input: TokenInput) -> &[i64] {
        match input {
            TokenInput::Ids => &self.ids,
            TokenInput::Mask => &self.mask,
            TokenInput::Types => &self.types,
        }
    }
}

/// A tokenizer that cuts to the context.
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    pad: i64,
    /// The width of every batch, if the model always pads.
    fixed: Option<usize>,
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
        Ok(Self { tokenizer, pad: i64::from(pad), fixed })
    }

    pub(super) fn encode(&self, texts: &[&str]) -> Result<Vec<Encoded>, EncodeError> {
        texts
            .iter()
            .map(|text| {
                let encoding = self
                    .tokenizer
                    .encode_fast(*text, true)
                    .map_err(|e| EncodeError::Runtime { what: format!("tokenizer: {e}") })?;
                Ok(encoding.get_ids().iter().map(|&id| i64::from(id)).collect())
            })
            .collect()
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
        Batch { rows, width, ids, mask, types: vec![0; rows * width] }
    }
}
