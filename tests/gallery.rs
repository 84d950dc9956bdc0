//! A phrase finds the photograph, over the gallery that ships with the repository.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{Home, reference, repository};

/// A store of the gallery, made once for all tests of this file.
fn gallery() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = Home::new();
        let pictures = repository().join("web/gallery/pictures");
        let run = home.ek(&["index", &pictures.display().to_string(), "--json"]).exits(0);
        let report = run.json();
        let indexed = report["indexed"].as_u64().expect("a number");
        assert!((150..=250).contains(&indexed), "{report}");
        assert_eq!(report["failed"], 0);
        home
    })
}

/// What the gallery's list says a picture is.
fn caption(path: &str) -> String {
    let list = repository().join("web/gallery/captions.jsonl");
    let name = PathBuf::from(path);
    let name = name.file_name().and_then(|n| n.to_str()).expect("a name");
    let text = fs_err::read_to_string(list).expect("the gallery's list");
    let line = text
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).expect("JSON"))
        .find(|l| l["path"].as_str().is_some_and(|p| p.ends_with(name)))
        .unwrap_or_else(|| panic!("{name} is not in the list"));
    line["caption"].as_str().expect("a caption").to_lowercase()
}

#[test]
fn a_phrase_finds_the_photograph_by_vectors_alone() {
    for (phrase, word) in [
        ("a cup of coffee", "coffee"),
        ("a cat", "tabby cat"),
        ("a rocket launch", "rocket"),
        ("motorcycle", "motorcycle"),
    ] {
        let run = gallery().ek(&["search", phrase, "--mode", "vector", "-n", "3", "--json"]);
        // The gallery has one picture of each, a photograph; the forge's tests keep it so.
        let found: Vec<_> = run.exits(0).paths().iter().map(|p| caption(p)).collect();
        assert!(found[0].contains(word), "{phrase}: {found:?}");
    }
}

#[test]
fn a_picture_finds_itself_and_its_like() {
    let cat = reference("images/cat_451x300.jpg");
    let cat = cat.to_str().expect("UTF-8");
    let run = gallery().ek(&["search", "--image", cat, "--json"]).exits(0);
    assert!(caption(&run.paths()[0]).contains("tabby cat"), "{}", run.stdout());
    // Its id finds it too, and itself first.
    let reply = run.json();
    assert_eq!(reply["query"]["mode"], "vector", "without words there is nothing to fuse");
    let id = reply["hits"][0]["id"].as_str().expect("an id");
    let again = gallery().ek(&["search", "--image", id, "--json"]).exits(0).json();
    assert_eq!(again["hits"][0]["id"], id);
    assert!(again["hits"][0]["score"].as_f64().expect("a score") > 0.9999);
}

#[test]
fn a_cat_is_labelled_a_cat() {
    let cat = reference("images/cat_451x300.jpg");
    let cat = cat.to_str().expect("UTF-8");
    let run = gallery().ek(&["label", cat, "--labels", "cat,dog,bicycle,coffee", "--json"]);
    let reply = run.exits(0).json();
    let labels = reply["images"][0]["labels"].as_array().expect("labels");
    assert_eq!(labels[0]["label"], "cat", "{reply}");
    assert!(labels[0]["probability"].as_f64().expect("a number") > 0.8, "{reply}");
    let none = reply["images"][0]["none_of_these"].as_f64().expect("the model is calibrated");
    assert!((0.0..0.2).contains(&none), "{reply}");
    let sum: f64 = labels.iter().filter_map(|l| l["probability"].as_f64()).sum();
    assert!((sum + none - 1.0).abs() < 1e-5, "{reply}");
}

#[test]
fn a_picture_is_described_by_words() {
    let cat = reference("images/cat_451x300.jpg");
    let run = gallery().ek(&["describe", cat.to_str().expect("UTF-8"), "--json"]).exits(0);
    let reply = run.json();
    let first = reply["images"][0]["descriptions"][0]["text"].as_str().expect("a text");
    assert!(first.contains("cat"), "{reply}");
}

#[test]
fn a_model_without_words_finds_nothing_to_say_and_says_why() {
    let home = Home::new();
    let dir = home.folder("wordless");
    for entry in fs_err::read_dir(repository().join("models/lite")).expect("the default model") {
        let from = entry.expect("an entry").path();
        fs_err::copy(&from, dir.join(from.file_name().expect("a name"))).expect("copied");
    }
    let manifest = dir.join("model.toml");
    let text = fs_err::read_to_string(&manifest).expect("readable");
    let mut table: toml::Table = text.parse().expect("TOML");
    for section in ["lexicon", "vocabulary"] {
        table.remove(section).expect("the default model has words");
    }
    fs_err::write(manifest, table.to_string()).expect("written");
    let cat = reference("images/cat_451x300.jpg");
    let cat = cat.to_str().expect("UTF-8");
    let run = home.ek(&["describe", cat, "--model", "wordless", "--json"]).exits(1);
    assert_eq!(run.json()["images"][0]["descriptions"], serde_json::json!([]));
    assert!(run.stderr().contains("ek serve"), "{}", run.stderr());
}

#[test]
fn no_picture_is_called_an_ape() {
    let cat = reference("images/cat_451x300.jpg");
    // Without a store, so that no caption is among the words.
    let args = ["describe", "-n", "1000", "--json", cat.to_str().expect("UTF-8")];
    let reply = Home::new().ek(&args).exits(0).json();
    let words = reply["images"][0]["descriptions"].as_array().expect("words");
    assert!(words.len() > 500, "{}", words.len());
    let apes =
        ["ape", "baboon", "chimpanzee", "gorilla", "lemur", "macaque", "monkey", "orangutan"];
    for word in words.iter().map(|word| word["text"].as_str().expect("a text")) {
        assert!(!word.split([' ', '-']).any(|part| apes.contains(&part)), "{word}");
    }
}

#[test]
fn words_that_no_training_had_describe_a_picture_and_none_says_it_again() {
    // Without a store, so that no caption helps.
    let home = Home::new();
    let pictures: Vec<String> = ["0010.webp", "0037.png", "0091.png"]
        .map(|name| repository().join("web/gallery/pictures").join(name))
        .map(|path| path.to_str().expect("UTF-8").to_owned())
        .to_vec();
    let args = [
        &["describe", "-n", "20", "--json"],
        &pictures.iter().map(String::as_str).collect::<Vec<_>>()[..],
    ];
    let reply = home.ek(&args.concat()).exits(0).json();
    let words = |picture: usize| -> Vec<String> {
        let all = reply["images"][picture]["descriptions"].as_array().expect("words");
        all.iter().map(|d| d["text"].as_str().expect("a text").to_lowercase()).collect()
    };
    let firsts: Vec<String> = (0..3).map(|i| words(i)[0].clone()).collect();
    // No class of the backbone is called so; the others are.
    assert_eq!(firsts, ["rainbow", "acoustic guitar", "broom"], "{reply}");
    for picture in 0..3 {
        let words = words(picture);
        assert_eq!(words.len(), 20, "{words:?}");
        let mut parts: Vec<&str> =
            words.iter().flat_map(|w| w.split([' ', '-'])).filter(|p| p.len() > 2).collect();
        let count = parts.len();
        parts.sort_unstable();
        parts.dedup();
        assert_eq!(parts.len(), count, "said twice: {words:?}");
    }
}

#[test]
fn avoiding_something_lowers_what_is_like_it() {
    let score = |not: &[&str]| {
        let mut args = vec!["search", "an animal", "--mode", "vector", "-n", "300", "--json"];
        args.extend(not.iter().flat_map(|n| ["--not", *n]));
        let run = gallery().ek(&args).exits(0);
        let paths = run.paths();
        let at = paths.iter().position(|p| caption(p).contains("tabby cat")).expect("the cat");
        run.json()["hits"][at]["score"].as_f64().expect("a score")
    };
    let (plain, steered) = (score(&[]), score(&["a cat"]));
    assert!(steered < plain - 0.1, "{plain} → {steered}");
}

#[test]
fn every_hit_can_say_why() {
    let run = gallery().ek(&["search", "motorcycle", "--mode", "vector", "--json"]);
    let hit = run.exits(0).json()["hits"][0].clone();
    assert_eq!(hit["via"], serde_json::json!(["vector"]));
    assert_eq!(hit["parts"][0]["part"], "motorcycle");
    let (score, part) = (hit["score"].as_f64(), hit["parts"][0]["score"].as_f64());
    assert!((score.expect("a score") - part.expect("a score")).abs() < 1e-5, "{hit}");
    let confidence = hit["confidence"].as_f64().expect("the default model is calibrated");
    assert!((0.0..=1.0).contains(&confidence), "{hit}");
}
