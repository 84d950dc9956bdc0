//! `ek model bridge`: another model's words search the vectors that are there.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;

use crate::support::{Home, Server, reference, repository};

/// The default model under another name and space, as if it were another one.
fn other_model(home: &Home) {
    let dir = home.folder("elsewhere");
    for entry in fs_err::read_dir(repository().join("models/lite")).expect("the default model") {
        let from = entry.expect("an entry").path();
        fs_err::copy(&from, dir.join(from.file_name().expect("a name"))).expect("copied");
    }
    let path = dir.join("model.toml");
    let text = fs_err::read_to_string(&path).expect("readable");
    fs_err::write(&path, text.replace("\"lite-", "\"mine-")).expect("written");
    home.ek(&["model", "import", "elsewhere", "--name", "mine"]).exits(0);
}

/// Six pictures, each there many times over under other captions.
fn pictures(home: &Home) {
    let things = [
        ("cat", "cat_451x300.jpg"),
        ("rocket", "rocket_640x427.jpg"),
        ("coffee", "coffee_300x600.webp"),
        ("astronaut", "astronaut_512x400.png"),
        ("motorcycle", "motorcycle_gray_370x250.png"),
        ("orange drawing", "clipart_rgba.png"),
    ];
    let ways = [
        "a {}",
        "the {}",
        "a picture of a {}",
        "one {}",
        "an old {}",
        "a new {}",
        "my {}",
        "your {}",
        "a small {}",
        "a large {}",
        "a {} in the morning",
        "a {} at night",
        "a fine {}",
        "a photo of a {}",
        "some {}",
        "that {} again",
    ];
    let folder = home.folder("pictures");
    let mut lines = String::new();
    for (thing, file) in things {
        let extension = Path::new(file).extension().expect("one").to_string_lossy();
        for (i, way) in ways.iter().enumerate() {
            let name = format!("{}{i}.{extension}", &thing[..3]);
            fs_err::copy(reference(&format!("images/{file}")), folder.join(&name)).expect("copied");
            let caption = way.replace("{}", thing);
            writeln!(
                lines,
                "{}",
                json!({ "path": format!("pictures/{name}"), "caption": caption })
            )
            .expect("text");
        }
    }
    fs_err::write(home.path().join("captions.jsonl"), lines).expect("written");
    home.ek(&["index", "pictures", "--captions", "captions.jsonl", "--quiet"]).exits(0);
}

#[test]
fn another_models_words_search_the_vectors_that_are_there() {
    let home = Home::new();
    other_model(&home);
    pictures(&home);
    let run = home.ek(&["search", "a cat", "--bridge", "mine"]).exits(2);
    assert!(run.stderr().contains("there is no bridge from \"mine\""), "{}", run.stderr());
    let args = ["model", "bridge", "mine", "--words", "60", "--json"];
    let made = home.ek(&args).exits(0).json();
    let number = |name: &str| made[name].as_f64().expect("a number");
    assert!(number("recall_at_10") >= 0.8 * number("own_recall_at_10"), "{made}");
    assert!(number("own_recall_at_10") > 0.3, "{made}");
    assert_eq!((&made["among"], &made["pictures"]), (&json!(96), &json!(32)), "{made}");

    let args = ["search", "a cat", "--mode", "vector", "--json"];
    let through = [&args[..], &["--bridge", "mine"]].concat();
    let found = home.ek(&through).exits(0).json();
    let first = found["hits"][0]["path"].as_str().expect("a path");
    assert!(first.contains("/cat"), "{found}");
    assert_eq!(found["query"]["bridge"], "mine");
    // What it finds is said again, and nothing of how far that can be believed.
    let told = found["warnings"][0].as_str().expect("a sentence");
    assert!(told.starts_with("searched through the bridge from mine: a caption's"), "{told}");
    assert!(found["hits"][0]["confidence"].is_null() && found["anything"].is_null(), "{found}");
    // Languages are those of the model that is asked, and a picture needs none.
    let foreign = ["search", "кошка", "--mode", "vector", "--bridge", "mine", "--json"];
    let foreign = home.ek(&foreign).exits(0).json();
    let told = foreign["warnings"].to_string();
    assert!(
        told.contains("the model mine is for texts in en") && told.contains("Cyrillic"),
        "{told}"
    );
    let alone = ["search", "--image", "pictures/cat0.jpg", "--bridge", "mine", "--json"];
    let alone = home.ek(&alone).exits(0).json();
    assert!(!alone["warnings"].to_string().contains("bridge"), "{alone}");
    let run = home.ek(&[&through[..], &["--min-confidence", "0.5"]].concat()).exits(2);
    assert!(run.stderr().contains("through a bridge there is no confidence"), "{}", run.stderr());

    // The same over HTTP, by a server and by who asks it.
    let server = Server::start(&home, &["serve"]);
    let ask = json!({ "text": "a cat", "mode": "vector", "bridge": "mine" });
    let (status, reply) = server.post("/v1/search", &ask);
    assert_eq!((status, &reply["hits"][0]["id"]), (200, &found["hits"][0]["id"]), "{reply}");
    let asked = home.ek(&through).exits(0).json();
    assert_eq!(asked["hits"][0]["id"], found["hits"][0]["id"]);
    let (status, problem) =
        server.post("/v1/search", &json!({ "text": "a cat", "bridge": "../models/mine" }));
    assert_eq!(status, 404, "{problem}");
    drop(server);

    // A bridge whose file is damaged is told, and searched through no more.
    let bridge = |code| {
        let checks = home.ek(&["doctor", "--json"]).exits(code).json()["checks"].clone();
        let mut checks = checks.as_array().expect("checks").clone().into_iter();
        checks.find(|c| c["name"] == "bridge").expect("a line")["detail"].to_string()
    };
    assert!(bridge(0).contains("mine: searched through the bridge"), "sound");
    let file = home.data().join("bridges/mine.ekb");
    let mut bytes = fs_err::read(&file).expect("a bridge");
    bytes[2000] ^= 1;
    fs_err::write(&file, bytes).expect("written");
    assert!(bridge(3).contains("expected a bridge as"), "damaged");
    let run = home.ek(&through).exits(2);
    assert!(run.stderr().contains("make it again"), "{}", run.stderr());
}
