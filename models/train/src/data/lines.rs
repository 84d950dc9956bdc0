//! Given examples and what each is for, what does a pairs file say of them? Who learns
//! something of the trained model has to know which pictures it was trained on, and the
//! trainer alone knows which it held out.

use serde::Serialize;

use super::{Example, Part};

/// A line, by the names that a pairs file has.
#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    captions: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<&'a str>,
    split: &'a str,
}

/// A line of JSON for each example, in order, with its split: `train` if it was learnt
/// from, `val` if it was chosen by, else as its own line says. A file whose name is not
/// UTF-8 has no line.
///
/// # Panics
/// If there is not one part an example.
pub(crate) fn lines(examples: &[Example], parts: &[Option<Part>]) -> String {
    assert_eq!(examples.len(), parts.len(), "one part an example");
    let mut text = String::new();
    for (example, part) in examples.iter().zip(parts) {
        let split = match part {
            Some(Part::Train) => "train",
            Some(Part::Val) => "val",
            Some(Part::Test) => "test",
            None => example.part().unwrap_or("none"),
        };
        let Some(path) = example.path.to_str() else { continue };
        let line = Line {
            path,
            captions: &example.captions,
            tags: &example.tags,
            group: example.group.as_deref(),
            class: example.class.as_deref(),
            style: example.style.as_deref(),
            split,
        };
        text.push_str(&serde_json::to_string(&line).expect("texts are JSON"));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_the_split_that_was_made_of_it() {
        let example = |path: &str, split: Option<&str>| Example {
            path: path.into(),
            captions: vec!["a \"red\" cup".into(), "two".into()],
            tags: vec!["cup".into()],
            group: Some("7".into()),
            split: split.map(str::to_owned),
            ..Example::default()
        };
        let examples = [
            example("/a.png", None),
            example("/b.png", Some("Validation")),
            example("/c.png", Some("ink")),
            Example { path: "/d.png".into(), ..Example::default() },
        ];
        let parts = [Some(Part::Train), Some(Part::Val), None, Some(Part::Train)];
        let text = lines(&examples, &parts);
        let read: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let splits: Vec<&str> = read.iter().map(|l| l["split"].as_str().expect("one")).collect();
        assert_eq!(splits, ["train", "val", "ink", "train"]);
        assert_eq!(
            read[1],
            serde_json::json!({
                "path": "/b.png", "captions": ["a \"red\" cup", "two"], "tags": ["cup"],
                "group": "7", "split": "val",
            })
        );
        assert_eq!(read[3], serde_json::json!({"path": "/d.png", "split": "train"}));
    }
}
