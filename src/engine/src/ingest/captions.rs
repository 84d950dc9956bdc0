//! Given a pairs file, which words belong to which file?

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::pairs::{self, Pair, PairsError};

/// Why captions could not be read.
pub type CaptionError = PairsError;

/// The words for files, and texts of their own.
#[derive(Debug, Default)]
pub struct Captions {
    by_path: HashMap<PathBuf, Words>,
    texts: Vec<Words>,
}

/// The words of one file or text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Words {
    pub(super) texts: Vec<String>,
    pub(super) tags: Vec<String>,
    pub(super) labels: Vec<String>,
}

/// Captions, tags and labels.
pub(crate) type WordLists<'a> = (&'a [String], &'a [String], &'a [String]);

impl Words {
    fn lists(&self) -> WordLists<'_> {
        (&self.texts, &self.tags, &self.labels)
    }
}

impl Captions {
    /// Reads a pairs file. Several lines for one picture add up.
    ///
    /// # Errors
    /// As [`pairs::read`].
    pub fn read(file: &Path) -> Result<Self, CaptionError> {
        let mut captions = Self::default();
        for Pair { path, texts, tags, class, .. } in pairs::read(file)? {
            let labels = Vec::from_iter(class);
            match path {
                None => captions.texts.push(Words { texts, tags, labels }),
                Some(path) => {
                    // The walk meets real paths, so links and `..` are resolved here too.
                    let path = fs_err::canonicalize(&path).unwrap_or(path);
                    let words = captions.by_path.entry(path).or_default();
                    add(&mut words.texts, texts);
                    add(&mut words.tags, tags);
                    add(&mut words.labels, labels);
                }
            }
        }
        Ok(captions)
    }

    /// The words for a file, if the pairs file names it.
    pub(super) fn of(&self, path: &Path) -> Option<&Words> {
        self.by_path.get(path)
    }

    /// Captions, tags and labels of a file, if the pairs file names it.
    pub(crate) fn words_of(&self, path: &Path) -> Option<WordLists<'_>> {
        self.of(path).map(Words::lists)
    }

    /// The same of each text that belongs to no file.
    pub(crate) fn texts_alone(&self) -> impl Iterator<Item = WordLists<'_>> {
        self.texts.iter().map(Words::lists)
    }

    /// The files that have words, in no order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.by_path.keys()
    }

    /// The texts that belong to no file.
    pub(super) fn standalone(&self) -> &[Words] {
        &self.texts
    }
}

fn add(to: &mut Vec<String>, from: Vec<String>) {
    for value in from {
        if !to.contains(&value) {
            to.push(value);
        }
    }
}
