//! Given a line of a pairs file, what does the trainer keep of it?

use std::path::PathBuf;

/// A picture with its words. Plain input: nothing is checked yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Example {
    /// The picture's file.
    pub path: PathBuf,
    /// The line of the pairs file it is on, counted from 1 with headings and empty
    /// lines; none for a folder's pictures.
    pub line: Option<u64>,
    /// Whole captions; the first is the one that measurements use.
    pub captions: Vec<String>,
    /// Single keywords.
    pub tags: Vec<String>,
    /// The concept: pictures of one group are never each other's negatives, and
    /// never lie in two splits.
    pub group: Option<String>,
    /// The class, for labelled pictures. Unlike a group it may be in all splits.
    pub class: Option<String>,
    /// `train`, `val`, `test`, or another name; none: the trainer splits.
    pub split: Option<String>,
    /// Who drew it, or how it was taken.
    pub style: Option<String>,
}

impl Example {
    /// The split by its usual name: `train`, `val` (also written `valid`,
    /// `validation` or `dev`) and `test` in any case; others as they are written.
    /// None: the line names none.
    pub fn part(&self) -> Option<&str> {
        let written = self.split.as_deref()?.trim();
        match written.to_lowercase().as_str() {
            "" => None,
            "train" => Some("train"),
            "val" | "valid" | "validation" | "dev" => Some("val"),
            "test" => Some("test"),
            _ => Some(written),
        }
    }
}
