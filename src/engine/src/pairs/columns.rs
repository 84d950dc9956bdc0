//! Given the names of columns that are not ours, what were they meant to be?

/// What is read, in the order of the schema.
const READ: [&str; 10] =
    ["path", "text", "caption", "captions", "tags", "group", "class", "split", "style", "subset"];

/// Names that other tools use.
const OTHERS: [(&str, &[&str]); 3] = [
    (
        "path",
        &[
            "image",
            "images",
            "img",
            "picture",
            "photo",
            "file",
            "filename",
            "file_name",
            "filepath",
            "file_path",
            "image_path",
            "image_id",
        ],
    ),
    (
        "caption",
        &[
            "description",
            "title",
            "sentence",
            "comment",
            "prompt",
            "alt",
            "alt_text",
            "raw",
            "phrase",
            "text",
        ],
    ),
    ("class", &["label", "category", "target", "class_name"]),
];

/// What `name` was probably meant to be, if it is no name of ours.
fn meant(name: &str) -> Option<&'static str> {
    let lower = name.trim().to_lowercase();
    if READ.contains(&name) {
        return None;
    }
    let own = READ.into_iter().find(|&ours| ours == lower);
    let other = || OTHERS.iter().find(|(_, names)| names.contains(&lower.as_str()));
    own.or_else(|| other().map(|(ours, _)| *ours))
}

/// Whether one of these columns seems to hold words that were meant as captions.
pub(super) fn has_words(found: &[&str]) -> bool {
    found.iter().any(|name| matches!(meant(name), Some("caption" | "captions" | "text")))
}

/// What was found, what is expected, and what to rename.
pub(super) fn advice(found: &[&str]) -> String {
    let names = if found.is_empty() { "no names".into() } else { found.join(", ") };
    let renames: Vec<String> =
        found.iter().filter_map(|name| Some(format!("{name} to {}", meant(name)?))).collect();
    let rename = match renames.len() {
        0 => String::new(),
        _ => format!("; rename {}", renames.join(", ")),
    };
    format!(
        "found {names}; expected path with caption or captions (and, if there are any, tags, group, \
         class, split, style, subset), or text for a text of its own{rename}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_are_understood() {
        assert_eq!(meant("Image"), Some("path"));
        assert_eq!(meant("CAPTION"), Some("caption"));
        assert_eq!(meant("caption"), None);
        assert_eq!(meant("id"), None);
        assert!(has_words(&["id", "Title"]) && !has_words(&["id", "image", "caption"]));
        assert!(advice(&["id"]).contains("found id") && !advice(&["id"]).contains("rename"));
    }
}
