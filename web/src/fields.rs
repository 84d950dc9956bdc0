//! Given named values from JSON, a form or an address, how does one take typed
//! fields out of them so that every mistake is answered with the field's name?

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ekphrasis_engine::{ItemId, Source};
use serde_json::{Map, Value as Json};

use crate::body::{FormValue, Raw};
use crate::problem::Problem;

/// Fields that were sent and not yet taken. Each getter removes its field;
/// [`finish`](Self::finish) refuses whatever nobody asked for.
#[derive(Debug)]
pub(crate) struct Fields {
    /// In front of names in messages, such as `parts[1].`.
    prefix: String,
    values: Vec<(String, Value)>,
    asked: Vec<&'static str>,
}

#[derive(Debug)]
enum Value {
    Json(Json),
    Text(String),
    File(Vec<u8>),
}

/// Padding is a matter of taste among clients.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

impl Fields {
    /// The fields of a received body.
    ///
    /// # Errors
    /// 400 if JSON does not parse or is no object.
    pub(crate) fn from_body(raw: Raw) -> Result<Self, Problem> {
        match raw {
            Raw::Json(bytes) => match serde_json::from_slice(&bytes) {
                Ok(Json::Object(map)) => Ok(Self::from_object(String::new(), map)),
                Ok(other) => Err(Problem::malformed(format!(
                    "the body must be a JSON object, got {}",
                    kind_of(&other)
                ))),
                Err(e) => Err(Problem::malformed(format!("the body is not JSON: {e}"))),
            },
            Raw::Form(form) => {
                let values = form.into_iter().map(|(name, value)| match value {
                    FormValue::Text(text) => (name, Value::Text(text)),
                    FormValue::File(bytes) => (name, Value::File(bytes)),
                });
                Ok(Self { prefix: String::new(), values: values.collect(), asked: vec![] })
            }
        }
    }

    /// The fields of a body that need not be there.
    ///
    /// # Errors
    /// As [`Fields::from_body`].
    pub(crate) fn from_any_body(raw: Option<Raw>) -> Result<Self, Problem> {
        raw.map_or_else(|| Ok(Self::from_query(vec![])), Self::from_body)
    }

    /// The fields of an address, already decoded.
    pub(crate) fn from_query(pairs: Vec<(String, String)>) -> Self {
        let values = pairs.into_iter().map(|(name, text)| (name, Value::Text(text))).collect();
        Self { prefix: String::new(), values, asked: vec![] }
    }

    fn from_object(prefix: String, map: Map<String, Json>) -> Self {
        let values = map.into_iter().map(|(name, v)| (name, Value::Json(v))).collect();
        Self { prefix, values, asked: vec![] }
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn wrong(&self, name: &str, expected: &str, got: &str) -> Problem {
        let field = self.full(name);
        let detail = format!("{field} must be {expected}, got {got}");
        Problem::field(field, detail)
    }

    /// Removes every value of this name.
    fn take_all(&mut self, name: &'static str) -> Vec<Value> {
        self.asked.push(name);
        let (taken, left) = std::mem::take(&mut self.values)
            .into_iter()
            .partition::<Vec<_>, _>(|(given, _)| given == name);
        self.values = left;
        // null says "not given", as clients that fill every field send it.
        let values = taken.into_iter().map(|(_, value)| value);
        values.filter(|value| !matches!(value, Value::Json(Json::Null))).collect()
    }

    fn take(&mut self, name: &'static str) -> Result<Option<Value>, Problem> {
        let mut values = self.take_all(name);
        if values.len() > 1 {
            let field = self.full(name);
            let detail = format!("{field} is given {} times", values.len());
            return Err(Problem::field(field, detail));
        }
        Ok(values.pop())
    }

    /// A string of at most `limit` characters.
    pub(crate) fn text(
        &mut self,
        name: &'static str,
        limit: usize,
    ) -> Result<Option<String>, Problem> {
        let text = match self.take(name)? {
            None => return Ok(None),
            Some(Value::Text(text) | Value::Json(Json::String(text))) => text,
            Some(Value::File(_)) => return Err(self.wrong(name, "text", "a file")),
            Some(Value::Json(other)) => {
                return Err(self.wrong(name, "a string", kind_of(&other)));
            }
        };
        let length = text.chars().count();
        if length > limit {
            let expected = format!("{limit} characters at most");
            return Err(self.wrong(name, &expected, &length.to_string()));
        }
        Ok(Some(text))
    }

    /// A whole number within `range`.
    pub(crate) fn whole(
        &mut self,
        name: &'static str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, Problem> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let (number, shown) = match self.take(name)? {
            None => return Ok(None),
            Some(Value::Text(text)) => (text.parse::<u64>().ok(), format!("{text:?}")),
            Some(Value::Json(Json::Number(n))) => (n.as_u64(), n.to_string()),
            Some(Value::Json(other)) => {
                return Err(self.wrong(name, &expected, kind_of(&other)));
            }
            Some(Value::File(_)) => return Err(self.wrong(name, &expected, "a file")),
        };
        let number = number.and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n));
        number.map(Some).ok_or_else(|| self.wrong(name, &expected, &shown))
    }

    /// A finite number, as wide as it was sent.
    pub(crate) fn number64(&mut self, name: &'static str) -> Result<Option<f64>, Problem> {
        let expected = "a finite number";
        let (number, shown) = match self.take(name)? {
            None => return Ok(None),
            Some(Value::Text(text)) => (text.parse::<f64>().ok(), format!("{text:?}")),
            Some(Value::Json(Json::Number(n))) => (n.as_f64(), n.to_string()),
            Some(Value::Json(other)) => return Err(self.wrong(name, expected, kind_of(&other))),
            Some(Value::File(_)) => return Err(self.wrong(name, expected, "a file")),
        };
        let number = number.filter(|n| n.is_finite());
        number.map(Some).ok_or_else(|| self.wrong(name, expected, &shown))
    }

    /// A finite number.
    pub(crate) fn number(&mut self, name: &'static str) -> Result<Option<f32>, Problem> {
        let Some(wide) = self.number64(name)? else { return Ok(None) };
        match wide as f32 {
            number if number.is_finite() => Ok(Some(number)),
            _ => Err(self.wrong(name, "a finite number", &wide.to_string())),
        }
    }

    /// `true` or `false`; absent is `false`.
    pub(crate) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        let expected = "true or false";
        match self.take(name)? {
            None => Ok(false),
            Some(Value::Json(Json::Bool(flag))) => Ok(flag),
            Some(Value::Text(text)) if text == "true" => Ok(true),
            Some(Value::Text(text)) if text == "false" => Ok(false),
            Some(Value::Text(text)) => Err(self.wrong(name, expected, &format!("{text:?}"))),
            Some(Value::Json(other)) => Err(self.wrong(name, expected, kind_of(&other))),
            Some(Value::File(_)) => Err(self.wrong(name, expected, "a file")),
        }
    }

    /// One of a few words, each standing for a value.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(word) = self.text(name, 100)? else { return Ok(None) };
        if let Some((_, value)) = choices.iter().find(|(w, _)| *w == word) {
            return Ok(Some(*value));
        }
        let words: Vec<_> = choices.iter().map(|(w, _)| *w).collect();
        Err(self.wrong(name, &words.join(" or "), &format!("{word:?}")))
    }

    /// An item's id.
    pub(crate) fn id(&mut self, name: &'static str) -> Result<Option<ItemId>, Problem> {
        let Some(text) = self.text(name, 1_000)? else { return Ok(None) };
        match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(self.wrong(name, "an id of 32 hexadecimal digits", &format!("{text:?}"))),
        }
    }

    /// At most `limit` ids: a JSON list, or a form's or an address's field, repeated or with
    /// commas between.
    pub(crate) fn ids(&mut self, name: &'static str, limit: usize) -> Result<Vec<ItemId>, Problem> {
        let texts = self.texts(name)?;
        if texts.len() > limit {
            let expected = format!("{limit} ids at most");
            return Err(self.wrong(name, &expected, &texts.len().to_string()));
        }
        let id = |(i, text): (usize, &String)| {
            text.parse::<ItemId>().map_err(|_| {
                let one = format!("{name}[{i}]");
                self.wrong(&one, "an id of 32 hexadecimal digits", &format!("{text:?}"))
            })
        };
        texts.iter().enumerate().map(id).collect()
    }

    /// A picture: base64 (a `data:` URL too) or an upload.
    pub(crate) fn picture(&mut self, name: &'static str) -> Result<Option<Source>, Problem> {
        let value = self.take(name)?;
        value.map(|value| self.picture_of(name, value)).transpose()
    }

    /// Pictures: a JSON list, or a form's field repeated.
    pub(crate) fn pictures(&mut self, name: &'static str) -> Result<Vec<Source>, Problem> {
        let mut pictures = Vec::new();
        for value in self.take_all(name) {
            match value {
                Value::Json(Json::Array(list)) => {
                    for entry in list {
                        pictures.push(self.picture_of(name, Value::Json(entry))?);
                    }
                }
                one => pictures.push(self.picture_of(name, one)?),
            }
        }
        Ok(pictures)
    }

    fn picture_of(&self, name: &str, value: Value) -> Result<Source, Problem> {
        let expected = "a picture, uploaded or in base64";
        let bytes = match value {
            Value::File(bytes) => bytes,
            Value::Text(text) | Value::Json(Json::String(text)) => {
                let data = match text.strip_prefix("data:") {
                    Some(url) => url.split_once(";base64,").map_or("", |(_, data)| data),
                    None => &text,
                };
                let decoded = BASE64.decode(data.trim_ascii());
                decoded.map_err(|e| {
                    self.wrong(name, expected, &format!("text that is no base64 ({e})"))
                })?
            }
            Value::Json(other) => return Err(self.wrong(name, expected, kind_of(&other))),
        };
        if bytes.is_empty() {
            return Err(self.wrong(name, expected, "nothing"));
        }
        Ok(Source::Sent { field: self.full(name), bytes })
    }

    /// Strings: a JSON list, or a form's field repeated or with commas between.
    pub(crate) fn texts(&mut self, name: &'static str) -> Result<Vec<String>, Problem> {
        let expected = "a list of strings";
        let mut texts = Vec::new();
        for value in self.take_all(name) {
            match value {
                Value::Text(text) => {
                    let words = text.split(',').map(str::trim).filter(|w| !w.is_empty());
                    texts.extend(words.map(str::to_owned));
                }
                Value::Json(Json::Array(list)) => {
                    for (i, entry) in list.into_iter().enumerate() {
                        let Json::String(text) = entry else {
                            let field = format!("{}[{i}]", self.full(name));
                            let detail =
                                format!("{field} must be a string, got {}", kind_of(&entry));
                            return Err(Problem::field(field, detail));
                        };
                        texts.push(text);
                    }
                }
                Value::Json(other) => return Err(self.wrong(name, expected, kind_of(&other))),
                Value::File(_) => return Err(self.wrong(name, expected, "a file")),
            }
        }
        Ok(texts)
    }

    /// A list of objects, each as fields of its own. In forms: as JSON text.
    pub(crate) fn objects(&mut self, name: &'static str) -> Result<Vec<Fields>, Problem> {
        let expected = "a list of objects";
        let list = match self.take(name)? {
            None => return Ok(vec![]),
            Some(Value::Json(list)) => list,
            Some(Value::Text(text)) => serde_json::from_str(&text)
                .map_err(|e| self.wrong(name, expected, &format!("text that is no JSON ({e})")))?,
            Some(Value::File(_)) => return Err(self.wrong(name, expected, "a file")),
        };
        let Json::Array(list) = list else {
            return Err(self.wrong(name, expected, kind_of(&list)));
        };
        let objects = list.into_iter().enumerate().map(|(i, entry)| {
            let field = format!("{}[{i}]", self.full(name));
            match entry {
                Json::Object(map) => Ok(Self::from_object(format!("{field}."), map)),
                other => {
                    let detail = format!("{field} must be an object, got {}", kind_of(&other));
                    Err(Problem::field(field, detail))
                }
            }
        });
        objects.collect()
    }

    /// What a message calls these fields when it means them as a whole.
    pub(crate) fn whole_name(&self) -> &str {
        self.prefix.trim_end_matches('.')
    }

    /// Refuses fields that nobody asked for.
    ///
    /// # Errors
    /// 400 with the name of the first one and the names there are.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        let Some((name, _)) = self.values.first() else { return Ok(()) };
        let field = self.full(name);
        let detail =
            format!("there is no field {field:?}; the fields here are {}", self.asked.join(", "));
        Err(Problem::field(field, detail))
    }
}

fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
