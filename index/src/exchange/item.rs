//! How is an item written for others, one that has a name their programs can show?
//!
//! These names are the format, and no other type of the crate is written as it is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalogue::{facts_json, facts_of_json, path_bytes, path_from_bytes};
use crate::{FileFacts, Item, ItemId, Kind};

/// An item without its vector: a line of `items.jsonl`, a row of a Parquet file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(super) id: String,
    /// `image` or `text`.
    pub(super) kind: String,
    /// As text, with replacement characters where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    /// Hexadecimal, if the path is no text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path_bytes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) tags: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) labels: Vec<String>,
    /// Whether it is there in its own right, not only as someone's caption.
    pub(super) standalone: bool,
    /// Ids of the texts that are its captions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) captions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<File>,
    /// What the file tells of the picture, as the catalogue has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) facts: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(super) size: u64,
    pub(super) mtime_ns: i64,
    /// BLAKE3, hexadecimal.
    pub(super) content: String,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) format: String,
}

impl Line {
    pub(crate) fn new(item: &Item, standalone: bool, captions: &[ItemId]) -> Self {
        // By name, so that a field that is added is not forgotten here.
        let Item { id, kind, path, text, tags, labels, file, facts } = item;
        let is_text = path.as_ref().is_none_or(|p| p.to_str().is_some());
        Self {
            id: id.to_string(),
            kind: kind.as_str().into(),
            path: path.as_ref().map(|p| p.to_string_lossy().into_owned()),
            path_bytes: path.as_ref().filter(|_| !is_text).map(|p| hex(path_bytes(p))),
            text: text.clone(),
            tags: tags.clone(),
            labels: labels.clone(),
            standalone,
            captions: captions.iter().map(ItemId::to_string).collect(),
            file: file.as_ref().map(|facts| {
                let FileFacts { size, mtime_ns, content, width, height, format } = facts;
                File {
                    size: *size,
                    mtime_ns: *mtime_ns,
                    content: hex(content),
                    width: *width,
                    height: *height,
                    format: format.clone(),
                }
            }),
            facts: facts.as_ref().map(facts_json),
        }
    }

    /// The item, whether it stands alone, and its captions.
    pub(crate) fn read(self) -> Result<(Item, bool, Vec<ItemId>), String> {
        let id = |text: &str| text.parse::<ItemId>().map_err(|e| e.to_string());
        let kind = match self.kind.as_str() {
            "image" => Kind::Image,
            "text" => Kind::Text,
            other => return Err(format!("its kind is {other:?}, not image or text")),
        };
        let path = match self.path_bytes {
            Some(bytes) => {
                Some(path_from_bytes(from_hex(&bytes).ok_or("its path_bytes are not hexadecimal")?))
            }
            None => self.path.map(PathBuf::from),
        };
        let file = match self.file {
            None => None,
            Some(facts) => {
                let content = from_hex(&facts.content).and_then(|bytes| bytes.try_into().ok());
                Some(FileFacts {
                    size: facts.size,
                    mtime_ns: facts.mtime_ns,
                    content: content.ok_or("its content is not 64 hexadecimal digits")?,
                    width: facts.width,
                    height: facts.height,
                    format: facts.format,
                })
            }
        };
        let facts = match &self.facts {
            None => None,
            Some(value) => Some(facts_of_json(value).ok_or("its facts are not as written")?),
        };
        let item = Item {
            id: id(&self.id)?,
            kind,
            path,
            text: self.text,
            tags: self.tags,
            labels: self.labels,
            file,
            facts,
        };
        let captions = self.captions.iter().map(|text| id(text)).collect::<Result<_, _>>()?;
        Ok((item, self.standalone, captions))
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::{Random, record};

    #[test]
    fn lines_come_back() {
        let mut random = Random(5);
        for name in 0..40 {
            let item = record(&mut random, name).item;
            let captions = [ItemId::for_text("a"), ItemId::for_text("b")];
            let json = serde_json::to_string(&Line::new(&item, name % 3 == 0, &captions));
            let line: Line = serde_json::from_str(&json.expect("JSON")).expect("read");
            assert_eq!(line.read(), Ok((item, name % 3 == 0, captions.to_vec())));
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_is_no_text_comes_back() {
        use std::os::unix::ffi::OsStrExt;
        let path = PathBuf::from(std::ffi::OsStr::from_bytes(b"/a/\xff.jpg"));
        let mut item = record(&mut Random(1), 0).item;
        item.path = Some(path);
        let line = Line::new(&item, true, &[]);
        assert_eq!(line.path.as_deref(), Some("/a/\u{fffd}.jpg"));
        assert_eq!(line.read().map(|read| read.0), Ok(item));
    }

    #[test]
    fn hexadecimal() {
        assert_eq!(from_hex(&hex(&[0, 255, 16])), Some(vec![0, 255, 16]));
        for bad in ["0", "0g", "é0"] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
