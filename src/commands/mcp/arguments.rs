//! Given what an assistant sends along with a tool's name, how are typed values taken out
//! of it so that every mistake is answered with the argument's name?

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ekphrasis_engine::ItemId;
use serde_json::{Map, Value};

use crate::failure::Failure;

/// Characters of a text; a model cuts longer ones anyway.
const TEXT_LIMIT: usize = 10_000;

/// Arguments that were sent and not taken yet. Each getter removes its own.
pub(super) struct Arguments(Map<String, Value>);

/// A picture that an assistant names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Picture {
    /// An item of the store.
    Id(ItemId),
    /// A file; the path is absolute.
    File(PathBuf),
}

impl Picture {
    /// What `text` names, which was sent as `name`.
    fn named(name: &str, text: String) -> Result<Self, Failure> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        if text.contains("://") {
            return Err(Failure::Usage(format!(
                "{name} {text}: pictures are not fetched from the network; name a file"
            )));
        }
        if !Path::new(&text).is_absolute() {
            // What it would be relative to is the client's affair, and nobody knows it.
            return Err(Failure::Usage(format!(
                "{name} has to be the id of an item or the absolute path of a file, got {text:?}"
            )));
        }
        Ok(Self::File(text.into()))
    }

    /// The file, if it is none of the store.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::Id(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

impl Arguments {
    /// All of them; null says "not given", as clients that fill every field send it.
    pub(super) fn new(values: Map<String, Value>) -> Self {
        Self(values.into_iter().filter(|(_, value)| !value.is_null()).collect())
    }

    /// Words.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        match self.0.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(checked(name, text)?)),
            Some(other) => Err(wrong(name, "a text", &other)),
        }
    }

    /// A list of words.
    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let list = match self.0.remove(name) {
            None => return Ok(vec![]),
            Some(Value::Array(list)) => list,
            Some(other) => return Err(wrong(name, "a list of texts", &other)),
        };
        list.into_iter()
            .enumerate()
            .map(|(i, entry)| match entry {
                Value::String(text) => checked(&format!("{name}[{i}]"), text),
                other => Err(wrong(&format!("{name}[{i}]"), "a text", &other)),
            })
            .collect()
    }

    /// A whole number within `range`, or `usual` if none was given.
    pub(super) fn whole(
        &mut self,
        name: &str,
        range: RangeInclusive<usize>,
        usual: usize,
    ) -> Result<usize, Failure> {
        let Some(given) = self.0.remove(name) else { return Ok(usual) };
        // Some clients know no whole numbers and send 5.0.
        let number = given.as_f64().filter(|number| number.fract() == 0.0);
        let number = number.map(|number| number as usize).filter(|number| range.contains(number));
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        number.ok_or_else(|| wrong(name, &expected, &given))
    }

    /// Yes or no, or `usual` if neither was given.
    pub(super) fn flag(&mut self, name: &str, usual: bool) -> Result<bool, Failure> {
        match self.0.remove(name) {
            None => Ok(usual),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(other) => Err(wrong(name, "true or false", &other)),
        }
    }

    /// A picture: an item's id, or the absolute path of a file.
    pub(super) fn picture(&mut self, name: &str) -> Result<Option<Picture>, Failure> {
        self.text(name)?.map(|text| Picture::named(name, text)).transpose()
    }

    /// A list of pictures, `most` of them at most.
    pub(super) fn pictures(&mut self, name: &str, most: usize) -> Result<Vec<Picture>, Failure> {
        let texts = self.texts(name)?;
        if texts.len() > most {
            let got = texts.len();
            return Err(Failure::Usage(format!("{name} has {got} pictures, {most} are the most")));
        }
        let named = |(i, text)| Picture::named(&format!("{name}[{i}]"), text);
        texts.into_iter().enumerate().map(named).collect()
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self, known: &[&str]) -> Result<(), Failure> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) if known.is_empty() => {
                Err(Failure::Usage(format!("there is no argument {name:?}; it takes none")))
            }
            Some(name) => Err(Failure::Usage(format!(
                "there is no argument {name:?}, only {}",
                known.join(", ")
            ))),
        }
    }
}

fn checked(name: &str, text: String) -> Result<String, Failure> {
    if text.trim().is_empty() {
        return Err(Failure::Usage(format!("{name} is empty")));
    }
    if text.chars().count() > TEXT_LIMIT {
        return Err(Failure::Usage(format!("{name} has more than {TEXT_LIMIT} characters")));
    }
    Ok(text)
}

fn wrong(name: &str, expected: &str, got: &Value) -> Failure {
    let got = match got {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::String(_) => "a text".to_owned(),
        plain => plain.to_string(),
    };
    Failure::Usage(format!("{name} has to be {expected}, got {got}"))
}
