//! Liking, disliking, different ones first, and why something is not there: in the terminal and
//! over HTTP.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Home, Run, Server, reference};

const PICTURES: [(&str, &str); 6] = [
    ("rocket_640x427.jpg", "rocket.jpg"),
    ("astronaut_512x400.png", "astronaut.png"),
    ("coffee_300x600.webp", "coffee.webp"),
    ("cat_451x300.jpg", "cat.jpg"),
    ("cat_451x300.jpg", "cat again.jpg"),
    ("motorcycle_gray_370x250.png", "motorcycle.png"),
];

/// Five things and a copy, and a file that is no picture.
fn album() -> Home {
    let home = Home::new();
    let folder = home.folder("pictures");
    for (from, to) in PICTURES {
        fs_err::copy(reference(&format!("images/{from}")), folder.join(to)).expect("copied");
    }
    fs_err::write(folder.join("broken.png"), "no picture").expect("written");
    home.ek(&["index", "pictures", "--quiet"]).exits(1);
    home
}

fn names(run: &Run) -> Vec<String> {
    run.paths().iter().map(|p| p.rsplit('/').next().unwrap_or(p).to_owned()).collect()
}

fn search(home: &Home, more: &[&str]) -> Run {
    home.ek(&[&["search", "something with wheels", "--json", "-n", "10"], more].concat())
}

#[test]
fn likes_and_dislikes_steer_in_the_terminal_and_over_http() {
    let home = album();
    let plain = search(&home, &[]).exits(0);
    assert_eq!(plain.paths().len(), 6);
    let id = |name: &str| {
        let reply = plain.json();
        let hits = reply["hits"].as_array().expect("hits");
        let is = |hit: &&Value| hit["path"].as_str().is_some_and(|p| p.ends_with(name));
        hits.iter().find(is).expect("found")["id"].as_str().expect("an id").to_owned()
    };
    let (cat, rocket) = (id("/cat.jpg"), id("rocket.jpg"));
    // A file is as good as its id, as long as nobody serves the store.
    let steered = search(&home, &["--like", &cat, "--dislike", "pictures/rocket.jpg", "--explain"]);
    let steered = steered.exits(0);
    let found = names(&steered);
    assert!(found[0].starts_with("cat") && found[1].starts_with("cat"), "{found:?}");
    assert!(found.len() == 5 && !found.contains(&"rocket.jpg".into()), "{found:?}");
    let reply = steered.json();
    assert_eq!(reply["total_candidates"], 5, "{reply}");
    let parts: Vec<&str> = reply["hits"][0]["parts"]
        .as_array()
        .expect("parts")
        .iter()
        .filter_map(|part| part["part"].as_str())
        .collect();
    assert_eq!(parts, ["something with wheels", "liked", "disliked"]);
    assert!(reply["hits"][0]["parts"][2]["weight"].as_f64() < Some(0.0), "{reply}");
    // Told to a person, too; confidence is about what was asked for, whatever was liked.
    let shown = home.ek(&["search", "wheels", "--like", &cat, "--explain"]).exits(0).stdout();
    assert!(shown.contains("  liked"), "{shown}");
    let confidence = |run: &Run| -> BTreeMap<String, f64> {
        let reply = run.json();
        let hits = reply["hits"].as_array().expect("hits");
        let of = |hit: &Value| (hit["path"].to_string(), hit["confidence"].as_f64());
        hits.iter().map(|hit| (of(hit).0, of(hit).1.expect("calibrated"))).collect()
    };
    let (before, after) = (confidence(&plain), confidence(&steered));
    for (path, p) in &after {
        // Two judged pictures fewer to stand among, so not quite the same.
        assert!((p - before[path]).abs() < 0.2, "{path}: {before:?} {after:?}");
    }
    // Liking alone is asking; disliking alone is not.
    let alone = home.ek(&["search", "--like", &cat, "--json"]).exits(0);
    assert!(names(&alone)[0].starts_with("cat"));
    let run = home.ek(&["search", "--dislike", &cat]).exits(2);
    assert!(run.stderr().contains("look for"), "{}", run.stderr());
    home.ek(&["search", "a", "--like", "nowhere.jpg"]).exits(2);
    // By its file it is the same as by its id.
    for (like, dislike) in [(&*cat, "pictures/cat.jpg"), ("pictures/cat.jpg", &*cat)] {
        let run = home.ek(&["search", "wheels", "--like", like, "--dislike", dislike]).exits(2);
        let told = run.stderr();
        assert!(told.contains("both liked and disliked") && told.contains(dislike), "{told}");
    }
    // A copy is the same picture, by whatever name.
    let copy = id("cat again.jpg");
    for (like, dislike) in [(&*cat, &*copy), ("pictures/cat.jpg", "pictures/cat again.jpg")] {
        let run = home.ek(&["search", "wheels", "--like", like, "--dislike", dislike]).exits(2);
        let told = run.stderr();
        assert!(told.contains("is a copy of it") && told.contains("cat again.jpg"), "{told}");
    }

    let server = Server::start(&home, &["serve"]);
    let body = json!({
        "text": "something with wheels", "liked": [cat], "disliked": [rocket], "explain": true,
    });
    let paths = |reply: &Value| -> Vec<String> {
        let hits = reply["hits"].as_array().expect("hits");
        hits.iter().map(|h| h["path"].as_str().unwrap_or_default().to_owned()).collect()
    };
    for route in ["/v1/search", "/v1/feedback"] {
        let (status, reply) = server.post(route, &body);
        assert_eq!((status, &reply["query"]["liked"]), (200, &json!([cat])), "{reply}");
        assert_eq!(reply["hits"][0]["parts"][1]["part"], "liked", "{reply}");
        assert_eq!(paths(&reply), steered.paths(), "as in the terminal");
    }
    let link = format!("/v1/search?q=something%20with%20wheels&liked={cat}&disliked={rocket}");
    assert_eq!(paths(&server.get(&link).1), steered.paths());
    // Through the server, as `ek search` asks it while it runs.
    let forwarded = search(&home, &["--like", &cat, "--dislike", &rocket]).exits(0);
    assert_eq!(forwarded.paths(), steered.paths());
    let (status, problem) = server.post("/v1/feedback", &json!({"text": "a cat"}));
    assert_eq!((status, &problem["field"]), (400, &json!("liked")));
    let both = json!({"text": "a cat", "liked": [cat, rocket], "disliked": [rocket]});
    let (status, problem) = server.post("/v1/feedback", &both);
    assert_eq!((status, &problem["field"]), (422, &json!("disliked")), "{problem}");
    assert!(problem.to_string().contains(&rocket), "{problem}");
    let copies = json!({"text": "a cat", "liked": [cat], "disliked": [rocket, copy]});
    let (status, problem) = server.post("/v1/feedback", &copies);
    assert_eq!((status, &problem["field"]), (422, &json!("disliked")), "{problem}");
    assert!(problem.to_string().contains("cat again.jpg is disliked"), "{problem}");
    let unknown = json!({"text": "a cat", "liked": ["0".repeat(32)]});
    assert_eq!(server.post("/v1/feedback", &unknown).0, 404);
    assert_eq!(server.get("/v1/feedback").0, 405);
}

#[test]
fn different_ones_first_and_why_one_is_not_there() {
    let home = album();
    let server = Server::start(&home, &["serve"]);
    let ask = |mut body: Value| {
        body["text"] = json!("a cat");
        let (status, reply) = server.post("/v1/search", &body);
        assert_eq!(status, 200, "{body}: {reply}");
        reply
    };
    let hits = |reply: &Value| -> Vec<(String, String)> {
        let text = |hit: &Value, name: &str| hit[name].as_str().expect("a text").to_owned();
        let name = |hit: &Value| text(hit, "path").rsplit('/').next().expect("a name").to_owned();
        let hits = reply["hits"].as_array().expect("hits");
        hits.iter().map(|hit| (name(hit), text(hit, "id"))).collect()
    };
    // The copy of the cat waits until all others were shown.
    let plain = hits(&ask(json!({})));
    assert!(plain[1].0.starts_with("cat"), "{plain:?}");
    let diverse = ask(json!({"diversity": 0.9}));
    assert!((diverse["query"]["diversity"].as_f64().expect("echoed") - 0.9).abs() < 1e-6);
    let diverse = hits(&diverse);
    assert!(diverse[0].0.starts_with("cat") && diverse[5].0.starts_with("cat"), "{diverse:?}");
    assert_eq!(server.get("/v1/search?q=a&diversity=1.5").0, 400);

    let id_of = |name: &str| -> &str { &plain.iter().find(|(n, _)| n == name).expect("there").1 };
    let rocket = id_of("rocket.jpg");
    let [(first, first_id), (_, second_id)] = [&plain[0], &plain[1]];
    for (body, id, reason, words) in [
        (json!({}), first_id.as_str(), "shown", "it is hit 1"),
        (json!({"k": 1}), second_id, "other_page", "it is hit 2"),
        (json!({"collapse": true}), second_id, "copy", first),
        (json!({"filter": "format:png width:>5"}), rocket, "filtered", "format:png"),
        (json!({"for": "texts"}), rocket, "other_kind", "only texts"),
        (json!({"disliked": [rocket]}), rocket, "disliked", "disliked"),
        (json!({"mode": "text"}), rocket, "not_ranked", "none of the words"),
        (json!({"min_confidence": 1}), rocket, "below_confidence", "probability"),
    ] {
        let mut asked = body.clone();
        asked["why"] = json!(id);
        let seen = ask(asked)["why"].clone();
        let said = seen["words"].as_str().expect("words");
        assert!(seen["reason"] == reason && said.contains(words), "{body}: {seen}");
        match reason {
            // The other condition is met.
            "filtered" => assert_eq!(seen["unmet"], json!(["format:png"])),
            "copy" => assert_eq!(seen["copy_of"]["id"], json!(first_id)),
            "other_page" => assert!(seen["rank"] == 2 && seen["cosine"].is_f64(), "{seen}"),
            _ => {}
        }
    }
    // Where it stands is where the order that is shown has it.
    for (body, order) in [(json!({"diversity": 0.9}), &diverse), (json!({}), &plain)] {
        for (place, (name, id)) in order.iter().enumerate() {
            let mut asked = body.clone();
            asked["why"] = json!(id);
            assert_eq!(ask(asked)["why"]["rank"], json!(place + 1), "{body} {name}");
        }
    }
    let (status, problem) = server.post("/v1/search", &json!({"text": "a", "why": "rocket.jpg"}));
    assert_eq!((status, &problem["field"]), (400, &json!("why")));

    // In the terminal by the file, be it there or not; the server is asked.
    let why = |file: &str, more: &[&str]| {
        let args = ["search", "a cat", "--why", file];
        home.ek(&[&args[..], more].concat()).exits(0)
    };
    let found = |more: &[&str]| {
        let run = home.ek(&[&["search", "a cat", "--json"], more].concat()).exits(0);
        // Not there if it is 0.
        (names(&run), run.json()["query"]["diversity"].as_f64().unwrap_or_default())
    };
    let names_of = |hits: &[(String, String)]| hits.iter().map(|h| h.0.clone()).collect::<Vec<_>>();
    assert_eq!(found(&["--diversity", "0.9"]).0, names_of(&diverse));
    assert_eq!(found(&["--diversity", "0"]).0, names_of(&plain));
    assert!((found(&["--diverse"]).1 - 0.3).abs() < 1e-6);
    for wrong in [&["--diversity", "1.5"][..], &["--diverse", "--diversity", "0.5"]] {
        home.ek(&[&["search", "a cat"], wrong].concat()).exits(2);
    }
    let text = why("pictures/rocket.jpg", &["--diverse"]).stdout();
    assert!(text.lines().any(|line| line.starts_with("pictures/rocket.jpg: it is hit ")), "{text}");
    for (file, reason, words) in [
        ("pictures/broken.png", "failed", "could not be indexed"),
        ("pictures/nobody.png", "not_indexed", "not in the index"),
    ] {
        let seen = why(file, &["--json"]).json()["why"].clone();
        let said = seen["words"].as_str().expect("words");
        assert!(seen["reason"] == reason && said.contains(words), "{file}: {seen}");
    }
}
