//! Which words does an item have, which does a query ask for, and which of the
//! one are meant by which of the other?

use std::path::Path;

use tantivy::tokenizer::{Language, Stemmer, TextAnalyzer, WhitespaceTokenizer};

use super::split::{Run, other_forms, pairs, runs, split_name};
use super::typo;
use crate::{Facts, Item};

/// How many folders above a file count: the nearest say what it is about, the
/// farther ones are the same for everything.
const FOLDERS: usize = 2;
/// The most different words of a query that are looked for.
const MOST_WORDS: usize = 64;
/// From so many letters on, a word may be the beginning of a longer one.
const PREFIX_FROM: usize = 3;
/// From so many letters on, a slip in a word still leaves it recognisable.
const TYPO_FROM: usize = 5;

/// Where an item has a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WordField {
    /// In the text itself, or in a picture's captions.
    Caption,
    /// In a tag or label.
    Tag,
    /// In the file's name, without its ending.
    Name,
    /// In the name of a folder right above.
    Folder,
    /// In the name of the camera or the lens.
    Camera,
}

impl WordField {
    pub(crate) const ALL: [Self; 5] =
        [Self::Caption, Self::Tag, Self::Name, Self::Folder, Self::Camera];

    /// `caption`, `tag`, `name`, `folder` or `camera`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caption => "caption",
            Self::Tag => "tag",
            Self::Name => "name",
            Self::Folder => "folder",
            Self::Camera => "camera",
        }
    }

    /// How much a word counts that is found here.
    pub(crate) fn weight(self) -> f32 {
        match self {
            Self::Caption => 1.0,
            Self::Tag => 1.2,
            Self::Name => 0.7,
            Self::Folder => 0.4,
            Self::Camera => 0.4,
        }
    }

    /// Whether it holds names, which people remember in part and misspell.
    pub(crate) fn is_lenient(self) -> bool {
        matches!(self, Self::Name | Self::Folder)
    }
}

/// How a word of the query is one of the item's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WordMatch {
    /// They are the same, but for case, accents and English endings.
    Same,
    /// The query's is the beginning of the item's.
    Beginning,
    /// They are one slip of the hand apart.
    Similar,
}

impl WordMatch {
    /// `same`, `beginning` or `similar`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Beginning => "beginning",
            Self::Similar => "similar",
        }
    }

    /// How much it counts.
    pub(crate) fn weight(self) -> f32 {
        match self {
            Self::Same => 1.0,
            Self::Beginning => 0.5,
            Self::Similar => 0.4,
        }
    }
}

/// Why words found an item: a word of the query and one of the item's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundWord {
    /// Of the query, without case and accents.
    pub word: String,
    /// Of the item, without case and accents.
    pub found: String,
    /// Where the item has it.
    pub field: WordField,
    /// How the two agree.
    pub how: WordMatch,
}

/// A word to compare by, and the word it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// Letters and digits only.
    pub(crate) term: String,
    pub(crate) word: String,
}

impl Token {
    fn new(term: &str, word: &str) -> Self {
        Self { term: term.into(), word: word.into() }
    }
}

/// Words of English that say nothing beside others. They are rare among names of files, where
/// rare words count most: "a cup of coffee" would find `copy-of-1.png` first.
const LITTLE: [&str; 28] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "for", "from", "in", "into", "is", "of", "on",
    "or", "that", "the", "their", "then", "there", "these", "they", "this", "to", "was", "were",
    "with",
];

/// A word that a query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueryWord {
    /// As asked for, folded.
    pub(crate) word: String,
    /// Without its ending, if it is one of English.
    pub(crate) stem: String,
    /// Longer words that begin so are meant as well: the last word may not be finished.
    pub(crate) begins: bool,
    /// If no item has it, one that is similar may be meant.
    pub(crate) lenient: bool,
}

impl QueryWord {
    /// The terms of items that are this very word.
    pub(crate) fn terms(&self) -> impl Iterator<Item = &str> {
        let stem = (self.stem != self.word).then_some(&self.stem[..]);
        std::iter::once(&self.word[..]).chain(stem)
    }

    /// Whether, and how, a term of an item in `field` is meant. `unknown` says that
    /// no item has this very word.
    pub(crate) fn means(&self, field: WordField, term: &str, unknown: bool) -> Option<WordMatch> {
        if self.terms().any(|t| t == term) {
            return Some(WordMatch::Same);
        }
        if !field.is_lenient() {
            return None;
        }
        if self.begins && term.starts_with(&self.word) {
            return Some(WordMatch::Beginning);
        }
        let similar = unknown && self.lenient && typo::distance(&self.word, term) == 1;
        similar.then_some(WordMatch::Similar)
    }
}

/// Turns text into words that are compared: without case and accents; English
/// ones also without their endings. Scripts that do not set words apart are
/// compared by pairs of neighbouring letters.
#[derive(Clone)]
pub(crate) struct Analyzer(TextAnalyzer);

impl Analyzer {
    /// Changes when the same items give other terms: an index of another version is made anew.
    pub(super) const VERSION: &'static str = "ekphrasis-2";

    pub(crate) fn new() -> Self {
        let stemmer = Stemmer::new(Language::English);
        Self(TextAnalyzer::builder(WhitespaceTokenizer::default()).filter(stemmer).build())
    }

    fn stem(&mut self, word: &str) -> String {
        let mut stem = word.to_owned();
        self.0.token_stream(word).process(&mut |token| stem.clone_from(&token.text));
        stem
    }

    /// Words of a sentence.
    fn text(&mut self, text: &str, tokens: &mut Vec<Token>) {
        for run in runs(text) {
            match run {
                Run::Word(word) => tokens.push(Token { term: self.stem(&word), word }),
                Run::Unspaced(run) => unspaced(&run, tokens),
            }
        }
    }

    /// Words of a name: as written, as split, and numbers in their other forms; each once.
    fn name(&mut self, name: &str, tokens: &mut Vec<Token>) {
        let mut found = vec![];
        for run in runs(name).into_iter().chain(runs(&split_name(name))) {
            match run {
                Run::Word(word) => {
                    let stem = self.stem(&word);
                    found.push(Token::new(&word, &word));
                    found.push(Token::new(&stem, &word));
                    found.extend(other_forms(&word).iter().map(|form| Token::new(form, &word)));
                }
                Run::Unspaced(run) => unspaced(&run, &mut found),
            }
        }
        let mut seen = std::collections::HashSet::new();
        found.retain(|token| seen.insert(token.term.clone()));
        tokens.append(&mut found);
    }

    /// An item's words in one field.
    pub(crate) fn item(&mut self, item: &Item, field: WordField) -> Vec<Token> {
        let mut tokens = vec![];
        let path = item.path.as_deref();
        match field {
            WordField::Caption => {
                let written = item.facts.iter().flat_map(|facts| &facts.texts);
                item.text.iter().chain(written).for_each(|text| self.text(text, &mut tokens));
            }
            WordField::Tag => {
                let keywords = item.facts.iter().flat_map(|facts| &facts.keywords);
                let all = item.tags.iter().chain(&item.labels).chain(keywords);
                all.for_each(|tag| self.text(tag, &mut tokens));
            }
            WordField::Name => {
                if let Some(stem) = path.and_then(Path::file_stem) {
                    self.name(&stem.to_string_lossy(), &mut tokens);
                }
            }
            WordField::Folder => {
                let folders = path.and_then(Path::parent).into_iter().flat_map(Path::components);
                for folder in folders.rev().take(FOLDERS) {
                    self.name(&folder.as_os_str().to_string_lossy(), &mut tokens);
                }
            }
            WordField::Camera => {
                let facts = item.facts.as_ref();
                let names = [facts.and_then(Facts::camera), facts.and_then(|f| f.lens.clone())];
                names.iter().flatten().for_each(|name| self.name(name, &mut tokens));
            }
        }
        tokens
    }

    /// The different words a query asks for: its words as written, and as names are
    /// split. Nothing in a query is syntax.
    pub(crate) fn query(&mut self, query: &str) -> Vec<QueryWord> {
        let mut words: Vec<QueryWord> = vec![];
        let last = runs(query).pop().filter(|_| !query.ends_with(char::is_whitespace));
        let written = query.split_whitespace();
        for run in written.flat_map(|w| runs(w).into_iter().chain(runs(&split_name(w)))) {
            let is_last = Some(&run) == last.as_ref();
            let new = match run {
                Run::Word(word) => {
                    let letters = word.chars().count();
                    let spelt = !word.chars().any(char::is_numeric);
                    vec![QueryWord {
                        stem: self.stem(&word),
                        begins: is_last && letters >= PREFIX_FROM,
                        lenient: spelt && letters >= TYPO_FROM,
                        word,
                    }]
                }
                Run::Unspaced(run) => {
                    let plain = |pair: String| QueryWord {
                        stem: pair.clone(),
                        begins: false,
                        lenient: false,
                        word: pair,
                    };
                    pairs(&run).into_iter().map(plain).collect()
                }
            };
            for word in new {
                if let Some(known) = words.iter_mut().find(|w| w.word == word.word) {
                    known.begins |= word.begins;
                } else if words.len() < MOST_WORDS {
                    words.push(word);
                }
            }
        }
        let says_nothing = |word: &QueryWord| !word.begins && LITTLE.contains(&&word.word[..]);
        if !words.iter().all(says_nothing) {
            words.retain(|word| !says_nothing(word));
        }
        words
    }

    /// Which of a query's words an item has, with the best place for each. `unknown`
    /// says which words no item has.
    pub(crate) fn explain(
        &mut self,
        words: &[QueryWord],
        unknown: &[bool],
        item: &Item,
    ) -> Vec<FoundWord> {
        let fields = WordField::ALL.map(|field| (field, self.item(item, field)));
        let mut found = vec![];
        for (word, &unknown) in words.iter().zip(unknown) {
            let all = fields.iter().flat_map(|(field, tokens)| {
                let one = move |token: &Token| {
                    let how = word.means(*field, &token.term, unknown)?;
                    let (word, found) = (word.word.clone(), token.word.clone());
                    Some(FoundWord { word, found, field: *field, how })
                };
                tokens.iter().filter_map(one)
            });
            let weight = |found: &FoundWord| found.field.weight() * found.how.weight();
            // Of equals the first.
            let best =
                all.reduce(|best, other| if weight(&other) > weight(&best) { other } else { best });
            found.extend(best);
        }
        found
    }
}

/// Pairs of neighbours, and the letters themselves for those who look for one.
fn unspaced(run: &str, tokens: &mut Vec<Token>) {
    tokens.extend(pairs(run).iter().map(|pair| Token::new(pair, pair)));
    if run.chars().nth(1).is_some() {
        tokens.extend(run.chars().map(|c| Token::new(&c.to_string(), &c.to_string())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileFacts, ItemId, Kind};

    fn terms(tokens: &[Token]) -> Vec<&str> {
        tokens.iter().map(|t| &t.term[..]).collect()
    }

    fn asked(query: &str) -> Vec<String> {
        Analyzer::new().query(query).into_iter().map(|w| w.word).collect()
    }

    #[test]
    fn words_that_say_nothing_are_not_asked_for_beside_others() {
        let asked = |query: &str| -> Vec<String> {
            Analyzer::new().query(query).into_iter().map(|w| w.word).collect()
        };
        assert_eq!(asked("A cup of coffee "), ["cup", "coffee"]);
        assert_eq!(asked("to be or"), ["to", "be", "or"]);
        // Whoever is still writing may mean a theatre.
        assert_eq!(asked("old the"), ["old", "the"]);
        assert_eq!(asked("old the "), ["old"]);
        assert_eq!(asked("die of"), ["die"]);
    }

    #[test]
    fn stem_and_near_folders_count() {
        let item = Item {
            id: ItemId::for_text("x"),
            kind: Kind::Image,
            path: Some("/home/ann/trips/rome2019/IMG_2019-08-Berlin_trip0042.jpeg".into()),
            text: Some("Cafés, RUNNING dogs!".into()),
            tags: vec!["old town".into(), "sun".into()],
            labels: vec!["bridges".into()],
            file: None::<FileFacts>,
            facts: Some(Facts { model: Some("Pixel 7".into()), ..Facts::default() }),
        };
        let mut analyzer = Analyzer::new();
        let mut of = |field| analyzer.item(&item, field);
        assert_eq!(terms(&of(WordField::Caption)), ["cafe", "run", "dog"]);
        assert_eq!(terms(&of(WordField::Tag)), ["old", "town", "sun", "bridg"]);
        assert_eq!(
            terms(&of(WordField::Name)),
            ["img", "2019", "08", "8", "berlin", "trip0042", "trip", "0042", "42"]
        );
        assert_eq!(terms(&of(WordField::Folder)), ["rome2019", "rome", "2019", "trips", "trip"]);
        assert_eq!(terms(&of(WordField::Camera)), ["pixel", "7"]);
    }

    #[test]
    fn a_query_has_no_syntax() {
        assert_eq!(asked("\"foo NOT (redBike"), ["foo", "not", "redbike", "red", "bike"]);
        assert_eq!(asked("東京タワー 海"), ["東京", "京タ", "タワ", "ワー", "海"]);
        assert_eq!(asked("!\"§ () "), [""; 0]);
        let many: String = (0..100).map(|i| format!("w{i} ")).collect();
        assert_eq!(asked(&many).len(), MOST_WORDS);
        let begins = |query: &str| {
            let words = Analyzer::new().query(query);
            words.into_iter().filter(|w| w.begins).map(|w| w.word).collect::<Vec<_>>()
        };
        assert_eq!(begins("old ber"), ["ber"]);
        assert_eq!(begins("old ber "), [""; 0]);
        assert_eq!(begins("old be"), [""; 0]);
    }

    #[test]
    fn slips_and_beginnings_are_forgiven_in_names_only() {
        use WordField::{Caption, Name};
        use WordMatch::{Beginning, Same, Similar};
        let word = |query: &str| Analyzer::new().query(query).swap_remove(0);
        assert_eq!(word("Bicycles").means(Caption, "bicycl", true), Some(Same));
        assert_eq!(word("bicylce").means(Name, "bicycle", true), Some(Similar));
        assert_eq!(word("bicylce").means(Name, "bicycle", false), None, "some item has it");
        assert_eq!(word("bicylce").means(Caption, "bicycle", true), None);
        assert_eq!(word("cta").means(Name, "cat", true), None, "too short");
        assert_eq!(word("20191").means(Name, "20192", true), None, "numbers are exact");
        assert_eq!(word("berl").means(Name, "berlin", false), Some(Beginning));
        assert_eq!(word("berl x").means(Name, "berlin", false), None, "not the last word");
        assert_eq!(word("berl").means(Caption, "berlin", false), None);
    }

    #[test]
    fn the_best_place_explains() {
        let item = Item {
            path: Some("/trips/berlin/redBicycle.jpg".into()),
            tags: vec!["Berlin".into()],
            ..Item::of_text("a bicycle, running")
        };
        let mut analyzer = Analyzer::new();
        let words = analyzer.query("BERLIN run bicylce nowhere");
        let found = analyzer.explain(&words, &[false, false, true, true], &item);
        let line = |f: &FoundWord| {
            format!("{} {} {} {}", f.word, f.field.as_str(), f.found, f.how.as_str())
        };
        assert_eq!(
            found.iter().map(line).collect::<Vec<_>>(),
            ["berlin tag berlin same", "run caption running same", "bicylce name bicycle similar"]
        );
    }
}
