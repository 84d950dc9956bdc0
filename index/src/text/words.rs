//! Which words does an item have, and which does a query ask for?

use std::path::Path;

use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer,
    TextAnalyzer,
};

use crate::Item;

/// How many folders above a file count: the nearest say what it is about, the
/// farther ones are the same for everything.
const FOLDERS: usize = 2;

/// Longer words (in bytes) are data, not words.
const LONGEST: usize = 60;

/// An item's words, by where they come from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// Captions or the text itself.
    pub(crate) body: String,
    /// File stem and folders, as written and split.
    pub(crate) names: String,
    /// Tags.
    pub(crate) tags: String,
}

impl Words {
    pub(crate) fn of(item: &Item) -> Self {
        let mut names = String::new();
        if let Some(path) = &item.path {
            let stem = path.file_stem().unwrap_or_default();
            let folders = path.parent().into_iter().flat_map(Path::components).rev().take(FOLDERS);
            let parts = std::iter::once(stem).chain(folders.map(|c| c.as_os_str()));
            for part in parts {
                let part = part.to_string_lossy();
                names.push_str(&part);
                names.push(' ');
                let split = split_name(&part);
                if split != part {
                    names.push_str(&split);
                    names.push(' ');
                }
            }
        }
        Self { body: item.text.clone().unwrap_or_default(), names, tags: item.tags.join(" ") }
    }
}

/// Splits `redBicycle_2019-05b` into `red Bicycle 2019 05 b`: at everything that is
/// neither letter nor digit, between lower and upper case, between letters and digits.
pub(crate) fn split_name(name: &str) -> String {
    #[derive(Clone, Copy, PartialEq)]
    enum Class {
        Upper,
        Letter,
        Digit,
        Other,
    }
    let class = |c: char| match c {
        c if c.is_numeric() => Class::Digit,
        c if c.is_uppercase() => Class::Upper,
        c if c.is_alphabetic() => Class::Letter,
        _ => Class::Other,
    };
    let mut split = String::new();
    let mut last = Class::Other;
    for c in name.chars() {
        let this = class(c);
        let joined = last == this || (last == Class::Upper && this == Class::Letter);
        if !joined && !split.is_empty() && !split.ends_with(' ') {
            split.push(' ');
        }
        if this != Class::Other {
            split.push(c);
        }
        last = this;
    }
    split.trim_end().into()
}

/// Turns text into the terms that are compared: words without case, accents
/// and English endings.
#[derive(Clone)]
pub(crate) struct Analyzer(TextAnalyzer);

impl Analyzer {
    pub(crate) fn new() -> Self {
        let analyzer = TextAnalyzer::builder(SimpleTokenizer::default())
            .filter(RemoveLongFilter::limit(LONGEST))
            .filter(LowerCaser)
            .filter(AsciiFoldingFilter)
            .filter(Stemmer::new(Language::English))
            .build();
        Self(analyzer)
    }

    pub(super) fn tokenizer(&self) -> TextAnalyzer {
        self.0.clone()
    }

    /// The terms of a text, in order, repetitions kept.
    pub(crate) fn terms(&mut self, text: &str) -> Vec<String> {
        let mut terms = vec![];
        self.0.token_stream(text).process(&mut |token| terms.push(token.text.clone()));
        terms
    }

    /// The different terms a query asks for: of its words as written, and as names are split.
    /// Nothing in a query is syntax.
    pub(crate) fn query(&mut self, query: &str) -> Vec<String> {
        let mut terms = self.terms(query);
        terms.extend(self.terms(&split_name(query)));
        let mut seen = std::collections::HashSet::new();
        terms.retain(|t| seen.insert(t.clone()));
        terms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_split_into_words() {
        for (name, words) in [
            ("redBicycle_2019-05b", "red Bicycle 2019 05 b"),
            ("IMG_0042", "IMG 0042"),
            ("HTMLPage", "HTMLPage"),
            ("ärgerÜber.x", "ärger Über x"),
            ("__", ""),
            ("", ""),
        ] {
            assert_eq!(split_name(name), words);
        }
    }

    #[test]
    fn terms_lose_case_accents_and_endings() {
        let mut analyzer = Analyzer::new();
        assert_eq!(analyzer.terms("Cafés, RUNNING dogs!"), ["cafe", "run", "dog"]);
        assert_eq!(analyzer.query("\"foo AND (redBike"), ["foo", "and", "redbik", "red", "bike"]);
        assert!(analyzer.query("!\"§ () ").is_empty());
    }

    #[test]
    fn stem_and_near_folders_count() {
        let item = Item {
            id: crate::ItemId::for_text("x"),
            kind: crate::Kind::Image,
            path: Some("/home/ann/trips/rome2019/redBicycle.jpeg".into()),
            text: None,
            tags: vec!["old town".into(), "sun".into()],
            labels: vec![],
            file: None,
            facts: None,
        };
        let words = Words::of(&item);
        assert_eq!(
            words.names.split_whitespace().collect::<Vec<_>>(),
            ["redBicycle", "red", "Bicycle", "rome2019", "rome", "2019", "trips"]
        );
        assert_eq!(words.tags, "old town sun");
        assert_eq!(words.body, "");
    }

    proptest! {
        #[test]
        fn splitting_keeps_every_letter_and_digit(name in "\\PC{0,40}") {
            let kept: String = name.chars().filter(|c| c.is_numeric() || c.is_alphabetic()).collect();
            let split: String = split_name(&name).chars().filter(|&c| c != ' ').collect();
            prop_assert_eq!(split, kept);
        }
    }
}
