//! `ek eval` over a few real pictures.

use serde_json::json;

use crate::support::{Home, reference};

fn pairs(home: &Home) {
    let line = |file: &str, caption: &str, split: &str| {
        json!({ "path": reference(&format!("images/{file}")), "caption": caption, "split": split })
            .to_string()
    };
    let lines = [
        line("cat_451x300.jpg", "a cat", "test"),
        line("coffee_300x600.webp", "a cup of coffee", "test"),
        line("motorcycle_gray_370x250.png", "a motorcycle", "test"),
        line("rocket_640x427.jpg", "a rocket", "test"),
        line("no-such-file.jpg", "nothing", "broken"),
        line("astronaut_512x400.png", "an astronaut", "broken"),
    ];
    fs_err::write(home.path().join("pairs.jsonl"), lines.join("\n")).expect("written");
}

#[test]
fn recall_and_zero_shot_are_measured() {
    let home = Home::new();
    pairs(&home);
    let run = home.ek(&["eval", "pairs.jsonl", "--split", "test", "--json"]).exits(0);
    let report = run.json();
    assert_eq!(report["pictures"], 4);
    for direction in ["text_to_image", "image_to_text"] {
        assert_eq!(report[direction]["queries"], 4, "{report}");
        assert_eq!(report[direction]["recall@5"], 1.0, "five of four candidates: {report}");
        assert!(report[direction]["recall@1"].as_f64().expect("a number") >= 0.75, "{report}");
    }
    assert!(report["zero_shot"]["top_1"].as_f64().expect("a number") >= 0.75, "{report}");
    assert_eq!(report["zero_shot"]["classes"], 4);
    let rsum = report["rsum"].as_f64().expect("a number");
    let recalls: f64 = ["text_to_image", "image_to_text"]
        .iter()
        .flat_map(|d| ["recall@1", "recall@5", "recall@10"].map(|r| report[*d][r].as_f64()))
        .flatten()
        .sum();
    assert!((rsum - 100.0 * recalls).abs() < 1e-6);
}

#[test]
fn pictures_that_are_missing_are_told_and_left_out() {
    let home = Home::new();
    pairs(&home);
    let run = home.ek(&["eval", "pairs.jsonl", "--split", "broken", "--json"]);
    // One picture is left, and one class: nothing to tell apart.
    let run = run.exits(2);
    assert!(run.stderr().contains("two"), "{}", run.stderr());
    let run = home.ek(&["eval", "pairs.jsonl", "--json"]).exits(1);
    assert_eq!((&run.json()["pictures"], &run.json()["failed"]), (&5.into(), &1.into()));
    assert!(run.stderr().contains("no-such-file.jpg"), "{}", run.stderr());
    let run = home.ek(&["eval", "pairs.jsonl", "--split", "tset"]).exits(2);
    assert!(run.stderr().contains("tset"), "{}", run.stderr());
}
