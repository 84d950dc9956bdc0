//! A small store to carry from one place to another, and what is found in it.

use serde_json::{Value, json};

use super::{Home, picture};

/// Three indexed pictures, of which one has a caption and a tag, and what `lines` of a captions
/// file say beyond that.
pub(crate) fn album(lines: &[Value]) -> Home {
    let home = Home::new();
    for (name, colour) in [("red", [255, 0, 0]), ("green", [0, 255, 0]), ("blue", [0, 0, 255])] {
        picture(&home.folder("pictures").join(format!("{name}.png")), colour);
    }
    let line = json!({"path": "pictures/red.png", "caption": "a red square", "tags": ["Colour"]});
    let lines: Vec<String> = [line].iter().chain(lines).map(Value::to_string).collect();
    fs_err::write(home.path().join("captions.jsonl"), lines.join("\n")).expect("written");
    home.ek(&["index", "pictures", "--captions", "captions.jsonl", "--quiet"]).exits(0);
    home
}

/// What is found for a few questions, without the times.
pub(crate) fn answers(home: &Home, data: &str) -> Vec<Value> {
    let ask = |args: &[&str]| {
        let run = home.ek(&[args, &["--data", data, "--json"]].concat()).exits(0);
        run.json()["hits"].clone()
    };
    vec![
        ask(&["search", "a red square"]),
        ask(&["search", "green", "--for", "all", "--mode", "vector"]),
        ask(&["search", "colour", "--mode", "text", "--filter", "tag:colour width:>10"]),
    ]
}
