//! Given a JSONL or CSV file of pictures and texts, what does it say? One
//! schema serves captions, evaluation and training pairs:
//!
//! ```json
//! {"path":"rel/or/abs.jpg","caption":"…","captions":["…"],"tags":["…"],"group":"…","class":"…","split":"…","style":"…","subset":"…"}
//! {"text":"a text of its own","tags":["…"]}
//! ```
//!
//! CSV has the same headings; `captions` and `tags` are separated by `;` there.
//! Paths are relative to the file. A folder will do, too: its sub-folders are
//! classes, and the pictures in each have its name for a caption.

mod columns;
mod folders;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

/// One line, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pair {
    /// The picture, absolute; `None`: a text of its own.
    pub path: Option<PathBuf>,
    /// All captions, or the text; no empty ones, no repetitions.
    pub texts: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// The concept: items of one group are never each other's negatives.
    pub group: Option<String>,
    /// The class, for labelled data.
    pub class: Option<String>,
    /// `train`, `val`, `test`, or another name.
    pub split: Option<String>,
    /// Whose hand, which camera: verification can ask for pairs across styles.
    pub style: Option<String>,
    /// A part of the data that is also reported apart.
    pub subset: Option<String>,
    /// The line of the file, counted from 1 with headings and empty lines; `None`: of
    /// a folder.
    pub line: Option<u64>,
}

/// Why a pairs file was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairsError {
    /// Not readable.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Neither `.jsonl` nor `.csv` nor a folder.
    #[error(
        "{}: pairs are a file that ends in .jsonl or .csv, or a folder whose sub-folders are classes",
        .0.display()
    )]
    Ending(PathBuf),
    /// The words are in columns that are not read.
    #[error("{}: {what}", path.display())]
    Columns {
        /// The file.
        path: PathBuf,
        /// What was found, what is expected, what to rename.
        what: String,
    },
    /// A folder without pictures in sub-folders.
    #[error(
        "{}: there are no pictures in its sub-folders; expected {}/CLASS/PICTURE, or \
         {}/train/CLASS/PICTURE with val and test beside it",
        .0.display(), .0.display(), .0.display()
    )]
    NoClasses(PathBuf),
    /// A line that does not say what it should.
    #[error("{}, line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// No lines at all.
    #[error("{}: there is nothing in it", .0.display())]
    Empty(PathBuf),
}

/// A line as written. Unknown fields are let through: the file may serve others too.
#[derive(Deserialize, Default)]
#[serde(default)]
struct RawLine {
    path: Option<PathBuf>,
    text: Option<String>,
    caption: Option<String>,
    captions: Vec<String>,
    tags: Vec<String>,
    group: Option<Name>,
    class: Option<Name>,
    split: Option<Name>,
    style: Option<Name>,
    subset: Option<Name>,
    /// What is not read; its names tell what was meant.
    #[serde(flatten)]
    others: BTreeMap<String, IgnoredAny>,
}

/// Groups and classes may be written as numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Number(i64),
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        match name {
            Name::Text(text) => text,
            Name::Number(number) => number.to_string(),
        }
    }
}

/// Reads a whole pairs file, or a folder of classes.
///
/// # Errors
/// With the line's number for anything that is not as above; nothing is skipped
/// in silence. `Columns` if no line has words, but there is a column that looks
/// as if it held them.
pub fn read(file: &Path) -> Result<Vec<Pair>, PairsError> {
    let file = std::path::absolute(file)?;
    if file.is_dir() {
        return folders::read(&file);
    }
    let ending = file.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if !["jsonl", "ndjson", "csv"].contains(&ending.as_str()) {
        return Err(PairsError::Ending(file));
    }
    let content = fs_err::read_to_string(&file)?;
    let content = content.strip_prefix('\u{feff}').unwrap_or(&content);
    let folder = file.parent().unwrap_or(Path::new("/"));
    let at = |line, what| PairsError::Line { path: file.clone(), line, what };
    let mut pairs = Vec::new();
    let mut others = BTreeSet::new();
    if ending == "csv" {
        let mut reader = csv::Reader::from_reader(content.as_bytes());
        let heads = reader.headers().map_err(|e| at(1, e.to_string()))?.clone();
        let found: Vec<&str> = heads.iter().collect();
        if !found.iter().any(|&h| h == "path" || h == "text") {
            let advice = columns::advice(&found);
            return Err(at(1, format!("a heading named path or text is needed; {advice}")));
        }
        others.extend(found.iter().map(|&h| h.to_owned()));
        for row in reader.records() {
            let row =
                row.map_err(|e| at(e.position().map_or(0, csv::Position::line), e.to_string()))?;
            let line = row.position().map_or(0, csv::Position::line);
            let pair = check(from_csv(&heads, &row), folder).map_err(|what| at(line, what))?;
            pairs.push(Pair { line: Some(line), ..pair });
        }
    } else {
        for (line, number) in content.lines().zip(1u64..) {
            if line.trim().is_empty() {
                continue;
            }
            let raw: RawLine = serde_json::from_str(line).map_err(|e| at(number, e.to_string()))?;
            others.extend(raw.others.keys().cloned());
            others.extend(raw.path.is_some().then(|| "path".to_owned()));
            let pair = check(raw, folder).map_err(|what| at(number, what))?;
            pairs.push(Pair { line: Some(number), ..pair });
        }
    }
    if pairs.is_empty() {
        return Err(PairsError::Empty(file));
    }
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    if pairs.iter().all(|p| p.texts.is_empty()) && columns::has_words(&others) {
        let what = format!("no line has a caption; {}", columns::advice(&others));
        return Err(PairsError::Columns { path: file, what });
    }
    Ok(pairs)
}

fn from_csv(heads: &csv::StringRecord, row: &csv::StringRecord) -> RawLine {
    let cell = |name: &str| {
        let position = heads.iter().position(|h| h == name)?;
        row.get(position).map(str::trim).filter(|v| !v.is_empty()).map(str::to_owned)
    };
    let list = |name: &str| {
        let cell = cell(name).unwrap_or_default();
        cell.split(';').map(|v| v.trim().to_owned()).filter(|v| !v.is_empty()).collect()
    };
    RawLine {
        path: cell("path").map(PathBuf::from),
        text: cell("text"),
        caption: cell("caption"),
        captions: list("captions"),
        tags: list("tags"),
        group: cell("group").map(Name::Text),
        class: cell("class").map(Name::Text),
        split: cell("split").map(Name::Text),
        style: cell("style").map(Name::Text),
        subset: cell("subset").map(Name::Text),
        others: BTreeMap::new(),
    }
}

fn check(raw: RawLine, folder: &Path) -> Result<Pair, String> {
    let mut texts: Vec<String> = Vec::new();
    let written = raw.text.iter().chain(&raw.caption).chain(&raw.captions);
    for text in written.map(|t| t.trim()).filter(|t| !t.is_empty()) {
        if !texts.iter().any(|known| known == text) {
            texts.push(text.to_owned());
        }
    }
    let path = match (raw.path, &raw.text) {
        (Some(path), None) if path.as_os_str().is_empty() => return Err("the path is empty".into()),
        // join() keeps an absolute path as it is.
        (Some(path), None) => Some(folder.join(path)),
        (None, Some(_)) => None,
        (Some(_), Some(_)) => {
            return Err("has both path and text; a picture's words go into caption".into());
        }
        (None, None) => {
            let mut others: Vec<&str> = raw.others.keys().map(String::as_str).collect();
            others.extend((!texts.is_empty()).then_some("caption"));
            return Err(format!("has neither path nor text; {}", columns::advice(&others)));
        }
    };
    if path.is_none() && texts.is_empty() {
        return Err("the text is empty".into());
    }
    Ok(Pair {
        path,
        texts,
        tags: raw.tags,
        group: raw.group.map(String::from),
        class: raw.class.map(String::from),
        split: raw.split.map(String::from),
        style: raw.style.map(String::from),
        subset: raw.subset.map(String::from),
        line: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, content: &str) -> Result<Vec<Pair>, String> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join(name);
        fs_err::write(&file, content).expect("written");
        read(&file).map_err(|e| e.to_string()).map(|mut pairs| {
            for pair in &mut pairs {
                assert!(pair.line.take().is_some(), "lines are counted");
                pair.path = pair
                    .path
                    .take()
                    .map(|p| p.strip_prefix(dir.path()).map(Path::to_path_buf).unwrap_or(p));
            }
            pairs
        })
    }

    #[test]
    fn json_lines_and_csv_say_the_same() {
        let json = "\u{feff}{\"path\":\"a/b.jpg\",\"caption\":\"one\",\"captions\":[\"two\",\"one\",\" \"],\
                    \"tags\":[\"x\",\"y\"],\"group\":7,\"extra\":true}\n\n{\"text\":\"on its own\"}\n";
        let csv = "path,caption,captions,tags,group,text\n\
                   a/b.jpg,one,two; one,x;y,7,\n\
                   ,,,,,on its own\n";
        let from_json = read_text("p.jsonl", json).expect("valid");
        assert_eq!(from_json, read_text("p.csv", csv).expect("valid"));
        assert_eq!(from_json[0].texts, ["one", "two"]);
        assert_eq!(from_json[0].group.as_deref(), Some("7"));
        assert_eq!(from_json[1].texts, ["on its own"]);
        assert_eq!(from_json[1].path, None);
    }

    #[test]
    fn style_and_subset_are_read() {
        let json = r#"{"path":"a","caption":"b","style":"ink","subset":1,"split":"val"}"#;
        let pairs = read_text("p.jsonl", json).expect("valid");
        assert_eq!(
            (pairs[0].style.as_deref(), pairs[0].subset.as_deref()),
            (Some("ink"), Some("1"))
        );
        let csv = "path,caption,style,subset,split\na,b,ink,1,val\n";
        assert_eq!(read_text("p.csv", csv).expect("valid"), pairs);
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let lines = |name: &str, content: &str| -> Vec<(Option<u64>, bool)> {
            let file = dir.path().join(name);
            fs_err::write(&file, content).expect("written");
            let pairs = read(&file).expect("valid");
            pairs.iter().map(|p| (p.line, p.path.is_some())).collect()
        };
        let csv = "path,caption,text\na,x,\n,,alone\nb,\"two\nlines\",\nc,y,\n";
        let expected = [(Some(2), true), (Some(3), false), (Some(4), true), (Some(6), true)];
        assert_eq!(lines("p.csv", csv), expected);
        let json = "{\"path\":\"a\"}\n\n{\"text\":\"alone\"}\n{\"path\":\"b\"}\n";
        assert_eq!(lines("p.jsonl", json), [(Some(1), true), (Some(3), false), (Some(4), true)]);
    }

    #[test]
    fn absolute_paths_stay() {
        let pairs = read_text("p.jsonl", "{\"path\":\"/abs/a.jpg\"}").expect("valid");
        assert_eq!(pairs[0].path.as_deref(), Some(Path::new("/abs/a.jpg")));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (name, content, expected) in [
            (
                "p.jsonl",
                "{\"path\":\"a\"}\n{\"caption\":\"x\"}",
                "line 2: has neither path nor text",
            ),
            ("p.jsonl", "{\"path\":\"a\",\"text\":\"b\"}", "both path and text"),
            ("p.jsonl", "{\"text\":\" \"}", "the text is empty"),
            ("p.jsonl", "not json", "line 1"),
            ("p.jsonl", "\n\n", "nothing in it"),
            ("p.csv", "file,words\na,b\n", "found file, words"),
            ("p.csv", "image,description\na,b\n", "rename image to path, description to caption"),
            ("p.csv", "Path,Caption\na,b\n", "rename Path to path, Caption to caption"),
            ("p.csv", "path,title\na.jpg,b\n", "no line has a caption; found path, title"),
            ("p.jsonl", "{\"filename\":\"a\",\"text_\":\"b\"}", "rename filename to path"),
            ("p.jsonl", "{\"path\":\"a\",\"description\":\"b\"}", "rename description to caption"),
            ("p.csv", "path,caption\na,b,c\n", "line 2"),
            ("p.txt", "x", ".jsonl or .csv"),
        ] {
            let error = read_text(name, content).expect_err("refused");
            assert!(error.contains(expected), "{content:?}: {error}");
        }
    }
}
