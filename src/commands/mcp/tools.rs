//! Given the name of a tool, what does it take, and what is asked for by it?

use std::sync::Arc;

use ekphrasis_engine::{Expr, FilterError, MOST_EXAMPLES};
use serde_json::{Map, Value, json};

use super::arguments::{Arguments, Picture};
use crate::failure::Failure;

/// Hits that an answer may have; each comes with a picture of some 20 kB.
const MOST_HITS: usize = 20;
/// Texts that an answer may have.
const MOST_TEXTS: usize = 100;
/// Hits that may be skipped.
const MOST_SKIPPED: usize = 100_000;

/// Something that an assistant can have done.
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// For a person.
    pub(super) title: &'static str,
    /// For the assistant.
    pub(super) description: &'static str,
    properties: fn() -> Value,
    required: &'static [&'static str],
    read: fn(&mut Arguments) -> Result<Ask, Failure>,
}

/// What is asked for, as it was checked.
#[derive(Debug)]
pub(super) enum Ask {
    Search(Search),
    Describe { image: Picture, limit: usize },
    Label { image: Picture, labels: Vec<String> },
    Status,
}

/// A search.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) query: Option<String>,
    pub(super) image: Option<Picture>,
    pub(super) avoid: Option<String>,
    pub(super) avoid_image: Option<Picture>,
    pub(super) liked: Vec<Picture>,
    pub(super) disliked: Vec<Picture>,
    pub(super) filter: Option<Expr>,
    pub(super) limit: usize,
    pub(super) offset: usize,
    pub(super) pictures: bool,
}

/// All there is.
pub(super) static TOOLS: [Tool; 4] = [
    Tool {
        name: "search",
        title: "Search pictures",
        description: "Search the user's pictures by what they show, by a picture, or by both. \
            Gives JSON with paths, ids and scores, the best first, and a small picture of each \
            hit. `anything` says whether anything fits at all. To go on from what was found, ask \
            again with the ids of all hits so far that the user liked and disliked.",
        properties: || {
            json!({
                "query": text("What to look for, in words", "a cup of coffee"),
                "image": text(
                    "A picture to find similar ones of: the id of a hit, or the absolute path of \
                     a file",
                    "/home/ann/Pictures/cat.jpg",
                ),
                "avoid": text("Words for what to keep away from", "a dog"),
                "avoid_image": text(
                    "A picture of what to keep away from: the id of a hit, or the absolute path \
                     of a file",
                    "/home/ann/Pictures/dog.jpg",
                ),
                "liked": pictures("Pictures to find more of, beside what is looked for or alone"),
                "disliked": pictures("Pictures to find less of; they are not shown again"),
                "filter": text(
                    "Only what meets these conditions, joined by spaces (and), `or`, `-` (not) \
                     and parentheses. Fields: kind path folder name format size width height \
                     dimensions taken modified camera lens iso aperture exposure focal tag label \
                     color near",
                    "taken:2019-05..2020 (tag:beach or near:52.5,13.4,10km) -width:<1000",
                ),
                "limit": whole("How many hits", 1, MOST_HITS, 5),
                "offset": whole("How many hits to skip, to see more of them", 0, MOST_SKIPPED, 0),
                "pictures": {
                    "type": "boolean",
                    "description": "Whether small pictures come along",
                    "default": true,
                    "examples": [true],
                },
            })
        },
        required: &[],
        read: |given| {
            Ok(Ask::Search(Search {
                query: given.text("query")?,
                image: given.picture("image")?,
                avoid: given.text("avoid")?,
                avoid_image: given.picture("avoid_image")?,
                liked: given.pictures("liked", MOST_EXAMPLES)?,
                disliked: given.pictures("disliked", MOST_EXAMPLES)?,
                filter: filter(given.text("filter")?)?,
                limit: given.whole("limit", 1..=MOST_HITS, 5)?,
                offset: given.whole("offset", 0..=MOST_SKIPPED, 0)?,
                pictures: given.flag("pictures", true)?,
            }))
        },
    },
    Tool {
        name: "describe",
        title: "Find words for a picture",
        description: "Find the words and captions that are nearest to a picture. Gives JSON, the \
            nearest first.",
        properties: || {
            json!({
                "image": text(
                    "The id of a hit, or the absolute path of a picture file",
                    "/home/ann/Pictures/cat.jpg",
                ),
                "limit": whole("How many words or captions", 1, MOST_TEXTS, 10),
            })
        },
        required: &["image"],
        read: |given| {
            let image = needed(given.picture("image")?, "image", "the picture to describe")?;
            Ok(Ask::Describe { image, limit: given.whole("limit", 1..=MOST_TEXTS, 10)? })
        },
    },
    Tool {
        name: "label",
        title: "Classify a picture",
        description: "Say which of some words fits a picture best. The words can be any; each gets \
            a probability that it is this one of those given. Gives JSON.",
        properties: || {
            json!({
                "image": text(
                    "The id of a hit, or the absolute path of a picture file",
                    "/home/ann/Pictures/cat.jpg",
                ),
                "labels": {
                    "type": "array",
                    "items": { "type": "string" },
                    "minItems": 2,
                    "description": "At least two different words or phrases",
                    "examples": [["a cat", "a dog"]],
                },
            })
        },
        required: &["image", "labels"],
        read: |given| {
            let image = needed(given.picture("image")?, "image", "the picture to classify")?;
            Ok(Ask::Label { image, labels: given.texts("labels")? })
        },
    },
    Tool {
        name: "status",
        title: "Show what is indexed",
        description: "Say how many pictures and texts are indexed, from which folders, what could \
            not be read, and what the model can and cannot do. Gives JSON.",
        properties: || json!({}),
        required: &[],
        read: |_| Ok(Ask::Status),
    },
];

impl Tool {
    /// JSON Schema of what it takes.
    pub(super) fn schema(&self) -> Arc<Map<String, Value>> {
        let schema = [
            ("type", json!("object")),
            ("properties", (self.properties)()),
            ("required", json!(self.required)),
            ("additionalProperties", json!(false)),
        ];
        Arc::new(schema.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// What is asked for by these arguments.
    ///
    /// # Errors
    /// A sentence that names the argument.
    pub(super) fn read(&self, mut arguments: Arguments) -> Result<Ask, Failure> {
        let ask = (self.read)(&mut arguments)?;
        let properties = (self.properties)();
        let known = properties.as_object().into_iter().flat_map(Map::keys);
        arguments.finish(&known.map(String::as_str).collect::<Vec<_>>())?;
        Ok(ask)
    }
}

fn text(what: &str, example: &str) -> Value {
    json!({ "type": "string", "description": what, "examples": [example] })
}

fn pictures(what: &str) -> Value {
    json!({
        "type": "array",
        "items": { "type": "string" },
        "maxItems": MOST_EXAMPLES,
        "description": format!("{what}: ids of hits, or absolute paths of files"),
        "examples": [["/home/ann/Pictures/cat.jpg"]],
    })
}

fn whole(what: &str, least: usize, most: usize, usual: usize) -> Value {
    json!({
        "type": "integer",
        "description": what,
        "minimum": least,
        "maximum": most,
        "default": usual,
        "examples": [usual],
    })
}

fn needed<T>(value: Option<T>, name: &str, what: &str) -> Result<T, Failure> {
    value.ok_or_else(|| Failure::Usage(format!("{name} is missing: name {what}")))
}

fn filter(text: Option<String>) -> Result<Option<Expr>, Failure> {
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|e: FilterError| Failure::Usage(format!("filter: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(tool: &Tool) -> Map<String, Value> {
        let schema = tool.schema();
        let properties = schema["properties"].as_object().expect("properties").clone();
        properties.into_iter().map(|(name, one)| (name, one["examples"][0].clone())).collect()
    }

    #[test]
    fn what_is_described_is_taken_and_nothing_else() {
        for tool in &TOOLS {
            let all = examples(tool);
            tool.read(Arguments::new(all.clone()))
                .unwrap_or_else(|e| panic!("{}: {e:?}", tool.name));
            for name in tool.required {
                let mut without = all.clone();
                without.remove(*name);
                // `labels` is missed by whoever compares them.
                let refused = tool.read(Arguments::new(without)).is_err();
                assert!(refused || *name == "labels", "{} without {name}", tool.name);
            }
            let mut more = all;
            more.insert("frobnicate".into(), json!(1));
            let error = tool.read(Arguments::new(more)).expect_err("refused");
            let said = error.message().expect("a sentence");
            assert!(said.contains("frobnicate"), "{said}");
        }
    }

    #[test]
    fn every_mistake_names_the_argument() {
        let wrong = [
            ("search", "query", json!(7)),
            ("search", "query", json!(" ")),
            ("search", "query", json!("x".repeat(10_001))),
            ("search", "image", json!("cat.jpg")),
            ("search", "image", json!("http://127.0.0.1/cat.jpg")),
            ("search", "image", json!(["/a.jpg"])),
            ("search", "avoid_image", json!("dog.jpg")),
            ("search", "liked", json!("/a.jpg")),
            ("search", "liked", json!(["/a.jpg", "b.jpg"])),
            ("search", "disliked", json!(["http://127.0.0.1/cat.jpg"])),
            ("search", "disliked", json!(vec!["/a.jpg"; MOST_EXAMPLES + 1])),
            ("search", "filter", json!("x:y")),
            ("search", "limit", json!(0)),
            ("search", "limit", json!(21)),
            ("search", "limit", json!(-1)),
            ("search", "limit", json!(1.5)),
            ("search", "limit", json!(1e300)),
            ("search", "limit", json!("five")),
            ("search", "offset", json!(100_001)),
            ("search", "pictures", json!("yes")),
            ("describe", "limit", json!(101)),
            ("label", "labels", json!("a,b")),
            ("label", "labels", json!(["a", 7])),
            ("label", "labels", json!(["a", ""])),
        ];
        for (name, argument, value) in wrong {
            let tool = TOOLS.iter().find(|tool| tool.name == name).expect("a tool");
            let mut arguments = examples(tool);
            arguments.insert(argument.into(), value.clone());
            let error = tool.read(Arguments::new(arguments)).expect_err("refused");
            let said = error.message().expect("a sentence");
            assert!(said.starts_with(argument), "{name} {argument} {value}: {said}");
        }
    }

    #[test]
    fn numbers_come_in_two_forms_and_null_is_nothing() {
        let search = &TOOLS[0];
        let given = json!({ "query": "a", "limit": 7.0, "filter": null, "avoid": null });
        let given = given.as_object().expect("an object").clone();
        match search.read(Arguments::new(given)) {
            Ok(Ask::Search(search)) => assert_eq!((search.limit, search.pictures), (7, true)),
            other => panic!("{other:?}"),
        }
    }
}
