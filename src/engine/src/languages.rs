//! Given a query in words, does the model know its script, and has its tokenizer words for
//! it? A model asked in a language that it never saw answers all the same, at random.

use std::sync::Arc;

use ekphrasis_embed::TextEncoder;
use unicode_script::{Script, UnicodeScript};

use crate::{Engine, EngineError, PartQuery, SearchRequest};

/// The share of a query's letters that may be of other scripts: a formula or a name.
const FOREIGN: f64 = 0.2;
/// The share of its tokens that may stand for nothing.
const UNKNOWN: f64 = 0.3;

impl Engine {
    /// Why the model may not understand a text, if there is reason to think so.
    ///
    /// # Errors
    /// If the text tower cannot be loaded or fails.
    pub fn doubt(&self, text: &str) -> Result<Option<String>, EngineError> {
        let towers = &self.towers;
        doubt(towers.name(), towers.languages(), || towers.text(), text)
    }

    /// What is to be said of a request's words: through which bridge they are searched, if they
    /// are, and why the model that they are asked of may not understand them.
    pub(crate) fn doubts(&self, request: &SearchRequest) -> Result<Vec<String>, EngineError> {
        let through =
            request.bridge.as_deref().map(|name| self.towers.through(name)).transpose()?;
        let mut told = Vec::new();
        for part in &request.parts {
            let PartQuery::Text(text) = &part.what else { continue };
            let Some(through) = &through else {
                told.extend(self.doubt(text)?);
                continue;
            };
            if told.is_empty() {
                told.push(through.note.clone());
            }
            let tower = || Ok(Arc::clone(&through.text));
            told.extend(doubt(&through.model, &through.languages, tower, text)?);
        }
        Ok(told)
    }
}

/// The same of any model.
pub(crate) fn doubt(
    name: &str,
    languages: &[String],
    tower: impl FnOnce() -> Result<Arc<dyn TextEncoder>, EngineError>,
    text: &str,
) -> Result<Option<String>, EngineError> {
    if let Some(found) = foreign_script(text, languages) {
        return Ok(Some(format!(
            "the model {name} is for texts in {} and may not know the {found} letters in {}; what it finds may be chance",
            languages.join(", "),
            shown(text)
        )));
    }
    let share = tower()?.unknown_share(text)?;
    Ok((share > UNKNOWN).then(|| {
        format!(
            "the model {name} has no words for {:.0} % of {}; what it finds may be chance",
            share * 100.0,
            shown(text)
        )
    }))
}

/// The text in quotes, cut if it is long.
fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let cut: String = text.chars().take(MOST).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{text:?}") }
}

/// The name of a script that much of the text is in and none of the languages are written in.
/// Nothing if a language's scripts are not known here.
fn foreign_script(text: &str, languages: &[String]) -> Option<&'static str> {
    let mut known = Vec::new();
    for language in languages {
        known.extend_from_slice(scripts(language)?);
    }
    if known.is_empty() {
        return None;
    }
    let of_letters = text.chars().filter(|c| c.is_alphabetic()).map(|c| c.script());
    let of_letters: Vec<Script> =
        of_letters.filter(|s| !matches!(s, Script::Common | Script::Inherited)).collect();
    let mut foreign: Vec<Script> =
        of_letters.iter().copied().filter(|script| !known.contains(script)).collect();
    if foreign.len() as f64 <= FOREIGN * of_letters.len() as f64 {
        return None;
    }
    // The one that most letters are of; of several, the first by name.
    foreign.sort_by_key(|script| script.full_name());
    let most = foreign
        .chunk_by(|a, b| a == b)
        .max_by(|a, b| a.len().cmp(&b.len()).then_with(|| b[0].full_name().cmp(a[0].full_name())));
    most.map(|script| script[0].full_name())
}

/// What a language is written in, by its tag (ISO 639, perhaps with a region).
fn scripts(language: &str) -> Option<&'static [Script]> {
    use Script::{
        Arabic, Armenian, Bengali, Bopomofo, Cyrillic, Devanagari, Ethiopic, Georgian, Greek,
        Gujarati, Gurmukhi, Han, Hangul, Hebrew, Hiragana, Kannada, Katakana, Khmer, Lao, Latin,
        Malayalam, Myanmar, Sinhala, Tamil, Telugu, Thai,
    };
    let primary = language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    Some(match primary.as_str() {
        "en" | "de" | "fr" | "es" | "it" | "pt" | "nl" | "sv" | "da" | "no" | "nb" | "nn"
        | "fi" | "is" | "pl" | "cs" | "sk" | "sl" | "hr" | "bs" | "hu" | "ro" | "et" | "lv"
        | "lt" | "sq" | "tr" | "id" | "ms" | "vi" | "tl" | "fil" | "sw" | "af" | "ca" | "eu"
        | "gl" | "ga" | "cy" | "mt" | "eo" | "la" | "eng" | "deu" | "fra" | "spa" => &[Latin],
        "ru" | "uk" | "be" | "bg" | "mk" | "kk" | "ky" | "mn" | "tg" => &[Cyrillic],
        "sr" | "uz" | "az" => &[Cyrillic, Latin],
        "el" => &[Greek],
        "zh" | "yue" => &[Han, Bopomofo],
        "ja" => &[Han, Hiragana, Katakana],
        "ko" => &[Hangul, Han],
        "ar" | "fa" | "ur" | "ps" | "ckb" => &[Arabic],
        "he" | "yi" => &[Hebrew],
        "hi" | "mr" | "ne" | "sa" => &[Devanagari],
        "bn" | "as" => &[Bengali],
        "gu" => &[Gujarati],
        "pa" => &[Gurmukhi, Arabic],
        "ta" => &[Tamil],
        "te" => &[Telugu],
        "kn" => &[Kannada],
        "ml" => &[Malayalam],
        "si" => &[Sinhala],
        "th" => &[Thai],
        "lo" => &[Lao],
        "km" => &[Khmer],
        "my" => &[Myanmar],
        "ka" => &[Georgian],
        "hy" => &[Armenian],
        "am" | "ti" => &[Ethiopic],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, languages: &[&str]) -> Option<&'static str> {
        let languages: Vec<String> = languages.iter().map(|&l| l.to_owned()).collect();
        foreign_script(text, &languages)
    }

    #[test]
    fn scripts_are_told_apart_and_a_letter_or_two_is_no_matter() {
        assert_eq!(found("красный велосипед", &["en"]), Some("Cyrillic"));
        assert_eq!(found("赤い自転車", &["en"]), Some("Han"));
        assert_eq!(found("ねこ 猫", &["en", "de"]), Some("Hiragana"));
        assert_eq!(found("a photo of a κύων", &["en"]), Some("Greek"));
        assert_eq!(found("a red bicycle", &["ru"]), Some("Latin"));
        for fine in ["naïve café", "the α particle", "2019 🦊 !?", "", "Straße"] {
            assert_eq!(found(fine, &["en"]), None, "{fine}");
        }
        assert_eq!(found("赤い自転車", &["ja"]), None);
        assert_eq!(found("красный", &["en-GB", "ru"]), None);
    }

    #[test]
    fn of_unknown_languages_nothing_is_said() {
        for unknown in [&["und"][..], &["multilingual"], &["en", "mul"], &[]] {
            assert_eq!(found("красный велосипед", unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn long_texts_are_cut_in_messages() {
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"é".repeat(50)), format!("{:?}…", "é".repeat(40)));
    }
}
