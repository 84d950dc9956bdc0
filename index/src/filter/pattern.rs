//! Does a text, or a path, look like what was asked for?

use std::fmt;
use std::path::{Component, Path};

use crate::label_path::broader_labels;
use crate::text::fold;

/// A text to compare with, without regard to case and accents. `*` stands for
/// any characters and `?` for one; there is no way to mean the characters
/// themselves, but both match themselves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    text: String,
    folded: String,
}

impl Pattern {
    /// The pattern of a text as typed; blanks around it do not count. `None` if nothing is left.
    pub fn new(text: &str) -> Option<Self> {
        let (text, folded) = (text.trim(), fold(text));
        let folded = folded.trim();
        (!folded.is_empty()).then(|| Self { text: text.into(), folded: folded.into() })
    }

    /// As typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Without case and accents.
    pub fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether it has a `*` or `?`.
    pub fn is_wild(&self) -> bool {
        is_wild(&self.folded)
    }

    /// Whether it is all of the text.
    pub(crate) fn is(&self, text: &str) -> bool {
        glob(&self.folded, fold(text).trim())
    }

    /// Whether it is a label, or one that is broader than it.
    pub(crate) fn is_label(&self, label: &str) -> bool {
        self.is(label) || broader_labels(label).any(|broader| self.is(broader))
    }

    /// Whether it is the name of a folder that `path` goes through.
    pub(crate) fn is_a_name_in(&self, path: &Path) -> bool {
        names_of(path).any(|name| self.is(&name))
    }

    /// Whether the text has it; with a `*` or `?`: whether it is all of the text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let text = fold(text);
        if self.is_wild() { glob(&self.folded, &text) } else { text.contains(&self.folded) }
    }

    /// Whether its words stand in the text one after another: `pixel 7` in
    /// `Google Pixel 7 Pro`, not in `Pixel 70`; with a `*` or `?`: whether it is
    /// all of the text.
    pub(crate) fn is_among_words_of(&self, text: &str) -> bool {
        if self.is_wild() {
            return self.is(text);
        }
        fn words(folded: &str) -> Vec<&str> {
            folded.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect()
        }
        let text = fold(text);
        let (wanted, there) = (words(&self.folded), words(&text));
        !wanted.is_empty() && there.windows(wanted.len()).any(|run| run == wanted)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_wild(folded: &str) -> bool {
    folded.contains(['*', '?'])
}

/// Whether all of `text` matches; `*` is any run of characters, `?` one. Takes
/// time in proportion to the product of both lengths, at worst.
fn glob(pattern: &str, text: &str) -> bool {
    let (mut p, mut t) = (pattern, text);
    // Where to go on from if what follows the last star does not fit.
    let mut retry = None;
    while let Some(c) = t.chars().next() {
        match p.chars().next() {
            Some('*') => {
                p = &p[1..];
                retry = Some((p, t));
            }
            Some(d) if d == '?' || d == c => {
                (p, t) = (&p[d.len_utf8()..], &t[c.len_utf8()..]);
            }
            _ => match retry {
                Some((after, from)) => {
                    let skipped = from.chars().next().map_or(0, char::len_utf8);
                    (p, t) = (after, &from[skipped..]);
                    retry = Some((p, t));
                }
                None => return false,
            },
        }
    }
    p.bytes().all(|b| b == b'*')
}

/// The most names a [`PathPattern`] may have.
const MOST_NAMES: usize = 60;

/// Where a file may lie. Names are compared as [`Pattern`]s, one by one.
///
/// Without `*` and `?` it is a folder with everything below it, or a file:
/// `trips/rome`. With them it is the whole rest of the path: `trips/*.jpg`;
/// `**` stands for any number of folders, and at the end for everything below.
/// It may begin at any folder, unless it begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern {
    text: String,
    names: Vec<Name>,
    anchored: bool,
    wild: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Name {
    /// `**`
    Folders,
    /// Folded.
    One(String),
}

/// What a folder alone tells of the files in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InFolder<'a> {
    All,
    /// Those whose folded name is this pattern.
    Named(&'a str),
    None,
}

impl PathPattern {
    /// The pattern of a path as typed. `None` if it is empty or has more than 60 names.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let separators: &[char] = if cfg!(windows) { &['/', '\\'] } else { &['/'] };
        let mut names = vec![];
        for part in text.split(separators).map(fold).filter(|part| !part.is_empty()) {
            match &part[..] {
                "**" if names.last() == Some(&Name::Folders) => {}
                "**" => names.push(Name::Folders),
                _ => names.push(Name::One(part)),
            }
        }
        if names.last() == Some(&Name::Folders) {
            names.push(Name::One("*".into()));
        }
        let wild = |name: &Name| match name {
            Name::Folders => true,
            Name::One(name) => is_wild(name),
        };
        let (anchored, wild) = (text.starts_with(separators), names.iter().any(wild));
        let valid = (anchored || !names.is_empty()) && names.len() <= MOST_NAMES;
        valid.then(|| Self { text: text.into(), names, anchored, wild })
    }

    /// As typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether a file may lie here.
    pub(crate) fn holds(&self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        match self.in_folder(folder) {
            InFolder::All => true,
            InFolder::Named(pattern) => glob(pattern, &fold(&name.to_string_lossy())),
            InFolder::None => false,
        }
    }

    /// What is known of the files right in `folder`.
    pub(crate) fn in_folder(&self, folder: &Path) -> InFolder<'_> {
        // Bit i: the first i names of the pattern are found.
        let mut found = self.skipping(1);
        for name in names_of(folder) {
            let mut next = if self.anchored { 0 } else { 1 };
            for (i, pattern) in self.names.iter().enumerate() {
                if found >> i & 1 == 1 {
                    next |= match pattern {
                        Name::Folders => 1 << i,
                        Name::One(pattern) => u64::from(glob(pattern, &name)) << (i + 1),
                    };
                }
            }
            found = self.skipping(next);
            if !self.wild && found >> self.names.len() & 1 == 1 {
                return InFolder::All;
            }
        }
        match self.names.split_last() {
            // The root itself.
            None => InFolder::All,
            Some((Name::One(last), before)) if found >> before.len() & 1 == 1 => {
                if last == "*" {
                    InFolder::All
                } else {
                    InFolder::Named(last)
                }
            }
            _ => InFolder::None,
        }
    }

    /// Adds what `**` finds by standing for no folder at all.
    fn skipping(&self, mut found: u64) -> u64 {
        for (i, name) in self.names.iter().enumerate() {
            if *name == Name::Folders {
                found |= (found >> i & 1) << (i + 1);
            }
        }
        found
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The folded names of the folders that `file` lies in, without blanks around them.
pub(crate) fn folder_names(file: &Path) -> Vec<String> {
    let folder = file.file_name().and_then(|_| file.parent());
    folder.into_iter().flat_map(names_of).map(|name| name.trim().to_owned()).collect()
}

/// The folded names of the folders that `path` goes through, from the root on.
fn names_of(path: &Path) -> impl Iterator<Item = String> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(fold(&name.to_string_lossy())),
        Component::Prefix(prefix) => Some(fold(&prefix.as_os_str().to_string_lossy())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).expect("not empty")
    }

    #[test]
    fn texts_are_compared_without_case_and_accents() {
        assert!(pattern("beach").is("Beach") && pattern("CAFÉ").is("cafe"));
        assert!(!pattern("beach").is("beaches") && pattern("beach*").is("Beaches"));
        assert!(pattern("berl").is_in("Trip to BERLIN.jpg"));
        assert!(!pattern("berl?").is_in("Berlin") && pattern("*berl*").is_in("in Berlin"));
        assert!(pattern("Pixel 7").is_among_words_of("Google Pixel 7 Pro"));
        assert!(!pattern("Pixel 7").is_among_words_of("Google Pixel 70"));
        assert!(!pattern("ixel").is_among_words_of("Google Pixel 7"));
        assert!(!pattern("-").is_among_words_of("a-b"));
        assert!(pattern("canon*").is_among_words_of("Canon EOS 5D"));
        assert_eq!(Pattern::new(" \0"), None);
    }

    #[test]
    fn paths() {
        let path = Path::new("/home/Ann/Trips/Rome 2019/IMG_1.JPG");
        for yes in [
            "/",
            "/home",
            "/home/ann/",
            "trips",
            "trips/rome 2019",
            "rome 2019/img_1.jpg",
            "img_1.jpg",
            "trips/**",
            "/home/**",
            "/**",
            "**",
            "*",
            "*.jpg",
            "**/*.jpg",
            "/home/**/*.jpg",
            "trips/*/*.jpg",
            "trips/**/rome*/**",
            "/home/ann/trips/*/*",
            "/**/img_?.jpg",
            "rome*/**",
            "ann/**/**/img*",
            "/home/*/trips/**",
        ] {
            assert!(PathPattern::new(yes).expect("valid").holds(path), "{yes}");
        }
        for no in [
            "/trips",
            "/ann/**",
            "rip",
            "rome",
            "ann/rome 2019",
            "trips/*.jpg",
            "*.png",
            "img_1.jpg/**",
            "img_1.jpg/*",
            "/home/ann/*",
            "trips/*/x",
            "home/*",
            "trips/rome 2019/img_1.jpg/x",
            "**/trips",
            "/*.jpg",
        ] {
            assert!(!PathPattern::new(no).expect("valid").holds(path), "{no}");
        }
        assert_eq!(PathPattern::new("  "), None);
        assert_eq!(PathPattern::new(&"a/".repeat(61)), None);
        assert!(PathPattern::new(&"a/".repeat(60)).is_some());
    }

    #[test]
    fn a_glob_takes_bounded_time() {
        let text = "a".repeat(2_000);
        assert!(!glob(&("a*".repeat(500) + "b"), &text));
        assert!(glob(&"*a".repeat(500), &text));
    }

    /// By definition: every way to stand for something is tried.
    fn slow_glob(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|n| slow_glob(rest, &text[n..])),
            Some((&c, rest)) => text
                .split_first()
                .is_some_and(|(&t, after)| (c == '?' || c == t) && slow_glob(rest, after)),
        }
    }

    fn slow_path(pattern: &[&str], names: &[&str]) -> bool {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        match pattern.split_first() {
            None => names.is_empty(),
            Some((&"**", [])) => !names.is_empty(),
            Some((&"**", rest)) => (0..=names.len()).any(|n| slow_path(rest, &names[n..])),
            Some((name, rest)) => names.split_first().is_some_and(|(n, after)| {
                slow_glob(&chars(name), &chars(n)) && slow_path(rest, after)
            }),
        }
    }

    proptest! {
        #[test]
        fn globs_agree_with_their_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            prop_assert_eq!(glob(&pattern, &text), slow_glob(&chars(&pattern), &chars(&text)));
        }

        #[test]
        fn paths_agree_with_their_definition(
            pattern in prop::collection::vec("[ab]|[ab]\\*|\\*|\\*\\*", 1..5),
            names in prop::collection::vec("[ab]{1,2}", 1..5),
            anchored: bool,
        ) {
            let start = if anchored { "/" } else { "" };
            let compiled = PathPattern::new(&(start.to_owned() + &pattern.join("/"))).expect("valid");
            let path = format!("/{}", names.join("/"));
            let pattern: Vec<&str> = pattern.iter().map(|p| &p[..]).collect();
            let names: Vec<&str> = names.iter().map(|n| &n[..]).collect();
            let wild = pattern.iter().any(|p| p.contains('*'));
            let from = if anchored { 0..1 } else { 0..names.len() };
            let expected = from.into_iter().any(|from| {
                let to = if wild { names.len()..names.len() + 1 } else { from..names.len() + 1 };
                to.into_iter().any(|to| slow_path(&pattern, &names[from..to]))
            });
            prop_assert_eq!(compiled.holds(Path::new(&path)), expected);
        }
    }
}
