//! Given the README of a public model, which licence and languages does it state? Its
//! front matter has both.

use std::path::Path;

/// What the front matter says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Card {
    pub(super) license: Option<String>,
    pub(super) languages: Vec<String>,
}

impl Card {
    /// Of the README in `dir`, if there is one and it has front matter.
    pub(super) fn read(dir: &Path) -> Self {
        let text = fs_err::read_to_string(dir.join("README.md")).unwrap_or_default();
        Self::parse(&text)
    }

    /// Understands what these two keys are written as; the rest is left alone.
    fn parse(text: &str) -> Self {
        let mut card = Self::default();
        let mut lines = text.lines();
        if lines.next().map(str::trim_end) != Some("---") {
            return card;
        }
        let mut in_languages = false;
        for line in lines.take_while(|line| line.trim_end() != "---") {
            let item = line.trim_start().strip_prefix("- ");
            if let Some(item) = item.filter(|_| in_languages) {
                card.languages.extend(word(item));
                continue;
            }
            in_languages = false;
            let Some((key, value)) = line.split_once(':') else { continue };
            match key {
                "license" => card.license = word(value),
                "language" | "languages" => {
                    in_languages = value.trim().is_empty();
                    let list = value.trim().trim_start_matches('[').trim_end_matches(']');
                    card.languages.extend(list.split(',').filter_map(word));
                }
                _ => {}
            }
        }
        card
    }
}

fn word(text: &str) -> Option<String> {
    let word = text.trim().trim_matches(['"', '\'']);
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_writing_lists_are_understood() {
        let card = |text: &str| Card::parse(text);
        let want = Card { license: Some("mit".into()), languages: vec!["en".into(), "de".into()] };
        assert_eq!(card("---\nlanguage:\n- en\n- \"de\"\nlicense: mit\n---\n# x\n"), want);
        assert_eq!(card("---\nlicense: 'mit'\nlanguage: [en, de]\ntags:\n- x\n---\n"), want);
        assert_eq!(card("---\nlanguage: multilingual\n---\n").languages, ["multilingual"]);
        assert_eq!(card("# no front matter\nlicense: mit\n"), Card::default());
        assert_eq!(card(""), Card::default());
    }
}
