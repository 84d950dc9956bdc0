//! Given a text, how is it brought into the form that a model was trained with?

/// What happens to a text before the tokenizer gets it, beside what that does itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clean {
    /// Nothing.
    #[default]
    None,
    /// Letters become small ones.
    LowerCase,
    /// Letters become small ones, ASCII punctuation goes, and white space becomes single
    /// spaces: what SigLIP was trained on.
    Canonical,
}

impl Clean {
    /// The text as the tokenizer gets it.
    pub fn apply(self, text: &str) -> std::borrow::Cow<'_, str> {
        match self {
            Self::None => text.into(),
            Self::LowerCase => text.to_lowercase().into(),
            Self::Canonical => {
                let kept: String = text.chars().filter(|c| !c.is_ascii_punctuation()).collect();
                let words: Vec<&str> = kept.split_whitespace().collect();
                words.join(" ").to_lowercase().into()
            }
        }
    }
}
