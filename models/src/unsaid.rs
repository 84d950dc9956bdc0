//! Given a word, may a picture be described by it? Models err, and some errors hurt: there is
//! a list of what no answer says, though a search for it finds what it finds.

use std::collections::HashSet;
use std::sync::LazyLock;

static UNSAID: LazyLock<WordList> = LazyLock::new(|| WordList::parse(include_str!("unsaid.txt")));

/// Whether no picture is described by `word`, be it the nearest: apes (models take people for
/// them, dark ones most often), abuse, what judges people, obscene and cruel words. It is of
/// the answers made of a model's own words only; captions are their writers'.
pub fn unsaid(word: &str) -> bool {
    UNSAID.has(word)
}

/// Words one a line, and words that leave out every other that they are a part of.
#[derive(Clone, Debug)]
pub struct WordList {
    alone: HashSet<String>,
    within: HashSet<String>,
}

impl WordList {
    /// A word behind a star is of every name that has it as one of its words, also in the
    /// plural; lines that start with `#` are comments.
    pub fn parse(text: &str) -> Self {
        let lines = || text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
        let within = lines().filter_map(|l| l.strip_prefix('*')).map(str::to_lowercase).collect();
        let alone = lines().filter(|l| !l.starts_with('*')).map(str::to_lowercase).collect();
        Self { alone, within }
    }

    /// Whether the list has `name`, or a word that `name` has, in whatever case.
    pub fn has(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let listed = |word: &str| self.within.contains(word);
        let bare = |word: &str| {
            let word = word.strip_suffix("'s").unwrap_or(word).trim_matches('\'');
            listed(word) || ["s", "es"].iter().any(|end| word.strip_suffix(end).is_some_and(listed))
        };
        self.alone.contains(&name) || listed(&name) || name.split([' ', '-']).any(bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_found_in_every_form() {
        let list = WordList::parse("# why\n*tramp\n*witch\nBit\n\n");
        for name in ["tramp", "tramps", "tramp steamer", "tramp's hat", "old-tramp", "bit", "Bit"] {
            assert!(list.has(name), "{name}");
        }
        for name in ["trampoline", "drill bit", "# why"] {
            assert!(!list.has(name), "{name}");
        }
        assert!(list.has("witches' hat") && list.has("Witch"));
    }

    #[test]
    fn what_hurts_is_unsaid_and_what_does_not_is_said() {
        for word in ["gorilla", "Madagascar cat", "mountain gorillas", "spider monkey", "clit"] {
            assert!(unsaid(word), "{word}");
        }
        for word in ["dog", "woman", "hand", "cow", "guinea pig", "pirate ship", "grass", "skull"] {
            assert!(!unsaid(word), "{word}");
        }
    }
}
