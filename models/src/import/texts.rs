//! Given the files of a tokenizer, how are texts cut, filled up and cleaned for the
//! graph? `tokenizer.json` cuts; the files beside it say the rest.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use tokenizers::Tokenizer;

use super::config::{Config, Family};
use super::refusal::{Refusal, bytes, json_if_there};
use crate::manifest::Clean;

/// What is known of a text tower's tokenizer.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    /// `tokenizer.json`.
    pub(super) tokenizer: PathBuf,
    /// The token that texts are filled up with.
    pub(super) pad_token: String,
    /// The most tokens, as far as the tokenizer's files say.
    pub(super) context: Option<usize>,
    pub(super) clean: Clean,
    /// The graph may tell padding from text, if the model's own tokenizer gives a mask.
    pub(super) masks: bool,
}

/// `tokenizer_config.json`.
#[derive(Default, Deserialize)]
struct TokenizerConfig {
    pad_token: Option<Token>,
    eos_token: Option<Token>,
    model_max_length: Option<f64>,
    do_lower_case: Option<bool>,
    tokenizer_class: Option<String>,
    model_input_names: Option<Vec<String>>,
}

/// `special_tokens_map.json`.
#[derive(Default, Deserialize)]
struct SpecialTokens {
    pad_token: Option<Token>,
}

/// A token, alone or with its settings.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Token {
    Plain(String),
    Added { content: String },
}

impl Token {
    fn text(self) -> String {
        match self {
            Self::Plain(text) | Self::Added { content: text } => text,
        }
    }
}

/// What of `tokenizer.json` is looked at here.
#[derive(Deserialize)]
struct TokenizerFile {
    #[serde(default)]
    normalizer: Value,
    padding: Option<FilePadding>,
}

#[derive(Deserialize)]
struct FilePadding {
    pad_token: String,
}

impl Texts {
    /// Reads the tokenizer in `dir`, which has to go with `config`.
    pub(super) fn read(dir: &Path, config: Option<&Config>) -> Result<Self, Refusal> {
        let path = dir.join("tokenizer.json");
        let what = "the tokenizer as a tokenizer.json";
        let next = "fetch it again; a vocabulary in other files (vocab.txt, merges.txt, spiece.model) can be saved as tokenizer.json by transformers";
        if !path.is_file() {
            return Err(Refusal::new(&path, what, "no such file", next));
        }
        let contents = bytes(&path, what)?;
        let unusable = |got: String| Refusal::new(&path, what, got, next);
        let file: TokenizerFile =
            serde_json::from_slice(&contents).map_err(|e| unusable(e.to_string()))?;
        let tokenizer = Tokenizer::from_bytes(&contents).map_err(|e| unusable(e.to_string()))?;
        let settings_path = dir.join("tokenizer_config.json");
        let settings: TokenizerConfig =
            json_if_there(&settings_path, "the tokenizer's settings")?.unwrap_or_default();
        let special: SpecialTokens =
            json_if_there(&dir.join("special_tokens_map.json"), "the special tokens")?
                .unwrap_or_default();
        check_vocabulary(&path, &tokenizer, config, settings.eos_token)?;

        let by_id = config.and_then(|c| c.pad_id).and_then(|id| tokenizer.id_to_token(id));
        let pad = settings
            .pad_token
            .or(special.pad_token)
            .map(Token::text)
            .or(file.padding.map(|p| p.pad_token))
            .or(by_id);
        let Some(pad_token) = pad else {
            let expected =
                "a pad_token in tokenizer_config.json, special_tokens_map.json or tokenizer.json";
            let next = "fetch tokenizer_config.json of this model, too";
            return Err(Refusal::new(&settings_path, expected, "none", next));
        };
        if tokenizer.token_to_id(&pad_token).is_none() {
            return Err(Refusal::new(
                &path,
                format!("the pad token {pad_token:?} in it"),
                "no such token",
                "tokenizer.json and tokenizer_config.json are of two models; fetch both from one",
            ));
        }
        let lowers = lowers(&file.normalizer);
        let siglip = config.is_some_and(|c| c.family == Family::Siglip)
            || settings.tokenizer_class.is_some_and(|class| class.starts_with("Siglip"));
        let clean = match config.is_some_and(|c| c.canonical) {
            true => Clean::Canonical,
            false if lowers => Clean::None,
            false if siglip => Clean::Canonical,
            false if settings.do_lower_case == Some(true) => Clean::LowerCase,
            false => Clean::None,
        };
        let names = settings.model_input_names;
        Ok(Self {
            tokenizer: path,
            pad_token,
            // Tokenizers without a limit write 1e30.
            context: settings
                .model_max_length
                .filter(|n| (1.0..=1e6).contains(n))
                .map(|n| n as usize),
            clean,
            masks: names.is_none_or(|names| names.iter().any(|n| n == "attention_mask")),
        })
    }
}

/// Whether the tokenizer makes letters small itself.
fn lowers(normalizer: &Value) -> bool {
    match normalizer {
        Value::Object(map) => {
            let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
            kind == "Lowercase"
                || (kind == "BertNormalizer" && map.get("lowercase") == Some(&Value::Bool(true)))
                || map.get("normalizers").is_some_and(lowers)
        }
        Value::Array(steps) => steps.iter().any(lowers),
        _ => false,
    }
}

/// Refuses the tokenizer of another model: its ids would name other words, or none.
fn check_vocabulary(
    path: &Path,
    tokenizer: &Tokenizer,
    config: Option<&Config>,
    eos: Option<Token>,
) -> Result<(), Refusal> {
    let Some(config) = config else { return Ok(()) };
    let next = "it is of another model; fetch the tokenizer that belongs to the graphs";
    let most = tokenizer.get_vocab(true).into_values().max().unwrap_or(0) as usize;
    if let Some(rows) = config.vocabulary
        && most >= rows
    {
        let expected = format!("token ids below {rows}, as config.json says");
        return Err(Refusal::new(path, expected, format!("ids up to {most}"), next));
    }
    // Some configurations still say 2, whatever their tokenizer has.
    if let (Some(expected), Some(token)) = (config.eos_id.filter(|&id| id != 2), eos) {
        let token = token.text();
        let got = tokenizer.token_to_id(&token);
        if got != Some(expected) {
            let expected = format!("the token {token:?} with id {expected}, as config.json says");
            let got = got.map_or_else(|| "no such token".into(), |id| format!("id {id}"));
            return Err(Refusal::new(path, expected, got, next));
        }
    }
    Ok(())
}
