//! Given a caption, is its noun one that the backbone was trained to name?

use std::collections::HashSet;
use std::path::Path;

use crate::Result;

/// The names of the backbone's classes, each as its normal words.
pub(super) struct ClassNames {
    /// Whole names and the nouns they end in: `sports car`, `car`.
    names: HashSet<String>,
}

impl ClassNames {
    /// Reads a JSON list of names.
    ///
    /// # Errors
    /// If there is no such file or it holds anything else.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let names: Vec<String> = serde_json::from_str(&fs_err::read_to_string(file)?)
            .map_err(|e| format!("{}: expected a list of names: {e}", file.display()))?;
        Ok(Self::new(&names))
    }

    fn new(names: &[String]) -> Self {
        let mut known = HashSet::new();
        for name in names {
            let words = words(name);
            known.extend(words.last().cloned());
            known.insert(words.join(" "));
        }
        Self { names: known }
    }

    /// Whether the caption's noun is a class name or the noun that one ends in.
    ///
    /// The noun is the end of the first part: before a preposition or a comma
    /// (`house with garden` is a house), without numbers. That `car` counts
    /// because of `sports car` makes this set larger and the other, on which
    /// the backbone has no head start, stricter.
    pub(super) fn name(&self, caption: &str) -> bool {
        let part = caption.split([',', ':', '(', ';']).next().unwrap_or(caption);
        let mut words = words(part);
        if let Some(end) = words.iter().position(|w| PREPOSITIONS.contains(&w.as_str()))
            && end > 0
        {
            words.truncate(end);
        }
        (0..words.len()).any(|start| self.names.contains(&words[start..].join(" ")))
    }
}

const PREPOSITIONS: [&str; 10] =
    ["with", "of", "in", "on", "and", "at", "for", "from", "by", "without"];

/// Lower-case words without digits and signs, plurals in the singular.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphabetic()).filter(|w| w.len() > 1);
    words.map(singular).collect()
}

fn singular(word: &str) -> String {
    let stem = |end: &str| word.strip_suffix(end).filter(|s| s.len() > 2);
    if let Some(s) = stem("ies") {
        format!("{s}y")
    } else if ["ches", "shes", "sses", "xes"].iter().any(|end| word.ends_with(end)) {
        word[..word.len() - 2].to_owned()
    } else if word.ends_with("ss") || word.ends_with("us") || word.ends_with("is") {
        word.to_owned()
    } else {
        stem("s").unwrap_or(word).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noun_decides() {
        let names = ["sports car", "tabby", "daisy", "wine bottle", "house finch", "lens cap"];
        let classes = ClassNames::new(&names.map(str::to_owned));
        for known in
            ["car", "Red Cars 02", "tabby with ball", "two daisies", "bottle (half)", "cap"]
        {
            assert!(classes.name(known), "{known}");
        }
        for new in ["car wheel", "daisy wheel", "cat", "man with car", "", "of", "42"] {
            assert!(!classes.name(new), "{new}");
        }
    }

    #[test]
    fn plurals_become_one() {
        for (many, one) in [
            ("boxes", "box"),
            ("watches", "watch"),
            ("glasses", "glass"),
            ("berries", "berry"),
            ("bus", "bus"),
            ("cats", "cat"),
            ("tennis", "tennis"),
        ] {
            assert_eq!(singular(many), one);
        }
    }
}
