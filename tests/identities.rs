//! Something is enrolled by a picture or more, and known again: in the terminal, over
//! HTTP, after a crash, without the pictures it was enrolled by.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Home, Server, reference, repository};

const CAT: &str = "cat_451x300.jpg";
const COFFEE: &str = "coffee_300x600.webp";
const ROCKET: &str = "rocket_640x427.jpg";

/// The picture as another camera might have taken it: mirrored, cut, darker.
fn again(home: &Home, file: &str, name: &str) -> String {
    let picture = image::open(reference(&format!("images/{file}"))).expect("a picture");
    let (w, h) = (picture.width(), picture.height());
    let other = picture.fliph().crop_imm(w / 20, h / 20, w * 9 / 10, h * 9 / 10).brighten(-15);
    let path = home.path().join(name);
    other.to_rgb8().save(&path).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn original(file: &str) -> String {
    reference(&format!("images/{file}")).to_str().expect("UTF-8").to_owned()
}

/// The copy of the default model, its manifest changed.
fn model(home: &Home, change: impl Fn(String) -> String) -> String {
    let dir = home.folder("other-model");
    for entry in fs_err::read_dir(repository().join("models/lite")).expect("the model") {
        let from = entry.expect("an entry").path();
        fs_err::copy(&from, dir.join(from.file_name().expect("a name"))).expect("copied");
    }
    let manifest = dir.join("model.toml");
    let text = fs_err::read_to_string(&manifest).expect("readable");
    fs_err::write(&manifest, change(text)).expect("written");
    dir.to_str().expect("UTF-8").to_owned()
}

/// Without the section that says from which score on it is the same thing.
fn unmeasured(manifest: String) -> String {
    let start = manifest.find("[verification]").expect("the default model was measured");
    manifest[..start].to_owned()
}

#[test]
fn one_example_is_enough_and_its_file_is_not_needed() {
    let home = Home::new();
    let first = home.path().join("mittens.jpg");
    fs_err::copy(original(CAT), &first).expect("copied");
    let told = home.ek(&["enrol", "Mittens", "mittens.jpg", "--json"]).exits(0).json();
    assert_eq!(
        (&told["name"], &told["added"], &told["new"]),
        (&json!("Mittens"), &json!(1), &json!(true))
    );
    fs_err::remove_file(&first).expect("removed");

    let other = again(&home, CAT, "again.png");
    let same = home.ek(&["verify", &other, "Mittens", "--json"]).exits(0).json();
    assert_eq!((&same["same"], &same["examples"]), (&json!(true), &json!(1)), "{same}");
    let (score, threshold) = (same["score"].as_f64(), same["threshold"].as_f64());
    assert!(score >= threshold, "{same}");
    assert_eq!(same["false_accept_rate"], 0.01, "{same}");
    let interval = same["false_accept_interval"].as_array().expect("two");
    assert!(interval[0].as_f64() <= Some(0.01) && interval[1].as_f64() >= Some(0.01), "{same}");
    assert!(
        same["measured_on"].as_str().is_some_and(|on| on.contains("different things")),
        "{same}"
    );
    let not = home.ek(&["verify", &original(COFFEE), "Mittens", "--json"]).exits(1).json();
    assert_eq!(not["same"], false, "{not}");
    assert!(not["score"].as_f64() < not["threshold"].as_f64(), "{not}");
    let run = home.ek(&["verify", &original(COFFEE), "Mittens"]).exits(1);
    assert!(run.stdout().starts_with("not Mittens: score "), "{}", run.stdout());
    assert!(run.stdout().contains("about 1 % of other things"), "{}", run.stdout());
    assert!(run.stderr().contains("other kinds of pictures may differ"), "{}", run.stderr());

    // A smaller rate is a higher threshold; what a threshold of one's own does is not known.
    let ask = |more: &[&str]| {
        let args = [&["verify", &other, "Mittens", "--json"], more].concat();
        home.ek(&args)
    };
    let loose = ask(&["--false-accept-rate", "0.1"]).exits(0).json();
    assert!(loose["threshold"].as_f64() < threshold, "{loose}");
    let own = ask(&["--threshold", "1"]).exits(1).json();
    assert_eq!((&own["false_accept_rate"], &own["measured_on"]), (&Value::Null, &Value::Null));
    ask(&["--threshold", "-1"]).exits(0);
    for (args, word) in [
        (&["--false-accept-rate", "0.0000001"][..], "cannot be stated"),
        (&["--false-accept-rate", "1.5"], "under 1"),
        (&["--threshold", "3"], "-1 to 1"),
        (&["--threshold", "0.5", "--false-accept-rate", "0.1"], "cannot be used with"),
    ] {
        let run = ask(args).exits(2);
        assert!(run.stderr().contains(word), "{args:?}: {}", run.stderr());
    }
    let run = home.ek(&["verify", &other, "Tom"]).exits(2);
    assert!(run.stderr().contains("\"Tom\""), "{}", run.stderr());
}

#[test]
fn examples_add_up_are_listed_and_forgotten() {
    let home = Home::new();
    let list = || home.ek(&["identities", "--json"]).json();
    assert_eq!(list(), json!({"identities": []}));
    let other = again(&home, CAT, "again.png");
    fs_err::write(home.path().join("broken.jpg"), "no picture").expect("written");
    home.ek(&["enrol", "a cat", &original(CAT)]).exits(0);
    // The same again is nothing new; one bad file stops nobody.
    let run = home.ek(&["enrol", "a cat", &original(CAT), "broken.jpg", &other, "--json"]).exits(1);
    let told = run.json();
    assert_eq!((&told["added"], &told["new"]), (&json!(1), &json!(false)), "{told}");
    assert_eq!(told["examples"].as_array().map(Vec::len), Some(2), "{told}");
    assert!(run.stderr().contains("broken.jpg"), "{}", run.stderr());
    home.ek(&["enrol", "Ünïcode 猫", &original(ROCKET)]).exits(0);
    let all = list();
    let names: Vec<&str> = all["identities"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|i| i["name"].as_str())
        .collect();
    assert_eq!(names, ["a cat", "Ünïcode 猫"]);
    assert_eq!(all["identities"][0]["comparable"], true, "{all}");
    let shown = home.ek(&["identities", "show", "a cat"]).exits(0).stdout();
    assert_eq!(shown.lines().count(), 2, "{shown}");
    home.ek(&["enrol", "a cat", &other, "--replace"]).exits(0);
    assert_eq!(list()["identities"][0]["examples"].as_array().map(Vec::len), Some(1));

    let run = home.ek(&["identities", "forget", "a cat", "nobody"]).exits(1);
    assert!(run.stdout().contains("a cat is forgotten") && run.stderr().contains("nobody"));
    assert_eq!(list()["identities"].as_array().map(Vec::len), Some(1));
    home.ek(&["identities", "show", "a cat"]).exits(1);
    let nothing = home.ek(&["enrol", "x", "broken.jpg"]).exits(2);
    assert!(nothing.stderr().contains("broken.jpg"), "{}", nothing.stderr());
    for name in ["", "a/b", ".."] {
        let run = home.ek(&["enrol", name, &original(CAT)]).exits(2);
        assert!(run.stderr().contains("cannot be a name"), "{}", run.stderr());
    }
    assert_eq!(list()["identities"].as_array().map(Vec::len), Some(1), "nothing came in");
    // What is enrolled is no item, and nobody's search finds it.
    assert_eq!(home.ek(&["status", "--json"]).exits(0).json()["images"], 0);
    home.ek(&["doctor"]).exits(0);
}

#[test]
fn the_right_one_is_named_and_nobody_for_a_stranger() {
    let home = Home::new();
    let run = home.ek(&["identify", &original(CAT)]).exits(3);
    assert!(run.stderr().contains("no store"), "{}", run.stderr());
    home.ek(&["enrol", "cat", &original(CAT)]).exits(0);
    home.ek(&["enrol", "coffee", &original(COFFEE)]).exits(0);
    let cat = again(&home, CAT, "cat.png");
    let coffee = again(&home, COFFEE, "coffee.png");
    let run = home.ek(&["identify", &cat, &coffee, "--json"]).exits(0);
    let found = run.json();
    let name = |i: usize| found["images"][i]["name"].clone();
    assert_eq!((name(0), name(1)), (json!("cat"), json!("coffee")), "{found}");
    let first = &found["images"][0];
    assert_eq!(first["enrolled"], 2, "{first}");
    assert_eq!(first["candidates"].as_array().map(Vec::len), Some(2), "{first}");
    // Two comparisons may go wrong, each as often as the upper end of the rate says.
    let each = first["operating"]["false_accept_rate"].as_f64().expect("a rate");
    assert_eq!(each, 0.01, "{first}");
    let most = first["operating"]["false_accept_interval"][1].as_f64().expect("an interval");
    assert!(most > each, "{first}");
    assert!((first["strangers_named"].as_f64().expect("a bound") - 2.0 * most).abs() < 1e-9);

    let run = home.ek(&["identify", &original(ROCKET)]).exits(1);
    assert!(run.stdout().starts_with("nobody who is enrolled\n"), "{}", run.stdout());
    assert!(run.stderr().contains("of strangers get some name"), "{}", run.stderr());
    // One is rejected, the other is told all the same.
    let both = home.ek(&["identify", &original(ROCKET), &cat, "--json"]).exits(1).json();
    assert_eq!(
        (&both["images"][0]["name"], &both["images"][1]["name"]),
        (&Value::Null, &json!("cat"))
    );
    assert_eq!(both["images"][0]["candidates"][0]["accepted"], false, "{both}");
    assert!(!run.stderr().contains("cannot be held"), "{}", run.stderr());
    // Among two, one stranger in ten needs a stricter rate than this model's only one.
    let lax = model(&home, |text| {
        let rest = text.find("[[verification.rates]]\nfalse_accept = 0.05").expect("more rates");
        let after = text.find("[label_sets]").expect("after the rates");
        format!("{}{}", &text[..rest], &text[after..])
    });
    let run = home.ek(&["identify", &original(ROCKET), "--model", &lax]);
    assert!(
        run.stderr().contains("no more than 10 % of strangers get some name cannot be held"),
        "{}",
        run.stderr()
    );
    let run = home.ek(&["identify", &original(ROCKET), "--model", &lax, "--threshold", "0.5"]);
    assert!(!run.stderr().contains("cannot be held"), "{}", run.stderr());
    // In a closed set somebody is the best.
    let closed =
        home.ek(&["identify", &original(ROCKET), "--closed", "-n", "1", "--json"]).exits(0);
    let image = closed.json()["images"][0].clone();
    assert!(image["name"].is_string() && image["operating"].is_null(), "{image}");
    assert_eq!(image["candidates"].as_array().map(Vec::len), Some(1), "{image}");
}

#[test]
fn an_unmeasured_model_needs_a_threshold_and_another_space_is_told() {
    let home = Home::new();
    let plain = model(&home, unmeasured);
    let ek = |args: &[&str]| home.ek(&[args, &["--model", &plain]].concat());
    ek(&["enrol", "cat", &original(CAT)]).exits(0);
    for verb in [&["verify", &original(CAT), "cat"][..], &["identify", &original(CAT)]] {
        let run = ek(verb).exits(2);
        let said = run.stderr();
        assert!(said.contains("threshold") && said.contains("ek model calibrate"), "{said}");
        let run = ek(&[verb, &["--threshold", "0.6", "--json"]].concat()).exits(0);
        assert!(run.stdout().contains("\"false_accept_rate\":null"), "{}", run.stdout());
    }
    assert_eq!(
        ek(&["identify", &original(CAT), "--closed", "--json"]).exits(0).json()["images"][0]["name"],
        "cat"
    );
    let info = home.ek(&["model", "info", &plain, "--json"]).exits(0).json();
    assert_eq!(info["false_accept_rates"], Value::Null);

    // The store is of one space; a model of another is refused before anything is compared.
    let renamed = |text: String| text.replace("\"lite-", "\"mine-");
    let other = Home::new();
    let other = model(&other, renamed);
    let run = home.ek(&["verify", &original(CAT), "cat", "--model", &other]).exits(3);
    assert!(run.stderr().contains("mine-"), "{}", run.stderr());
    // Rates of one space in a model of another are no rates.
    let wrong = Home::new();
    let wrong = model(&wrong, |text| text.replace("id = \"lite-", "id = \"mine-"));
    let run = home.ek(&["model", "info", &wrong]).exits(3);
    assert!(run.stderr().contains("verification"), "{}", run.stderr());
}

fn base64(path: &str) -> String {
    BASE64_STANDARD.encode(fs_err::read(path).expect("readable"))
}

#[test]
fn a_server_that_holds_the_store_enrols_and_what_it_said_survives_its_death() {
    let home = Home::new();
    fs_err::copy(original(COFFEE), home.folder("pictures").join("coffee.webp")).expect("copied");
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(1);
    // The terminal's verbs go through the server, which holds the store.
    let run = home.ek(&["enrol", "a cat / no", &original(CAT)]).exits(2);
    assert!(run.stderr().contains("cannot be a name"), "{}", run.stderr());
    let told = home.ek(&["enrol", "mein Käter 50% +", &original(CAT), "--json"]).exits(0);
    assert_eq!(told.json()["added"], 1);
    assert!(told.stderr().contains("holds the store"), "{}", told.stderr());

    let (status, told) =
        server.put("/v1/identities/cup", &json!({"image": base64(&original(COFFEE))}));
    assert_eq!(
        (status, &told["new"], &told["examples"][0]["source"]),
        (201, &json!(true), &json!("upload"))
    );
    let id = server.get("/v1/items").1["items"][0]["id"].clone();
    // The item's file is the same content, so it is nothing new.
    let (status, told) = server.put("/v1/identities/cup", &json!({"id": id, "add": true}));
    assert_eq!((status, &told["added"]), (200, &json!(0)), "{told}");
    let (_, all) = server.get("/v1/identities");
    let names: Vec<&str> = all["identities"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|i| i["name"].as_str())
        .collect();
    assert_eq!(names, ["cup", "mein Käter 50% +"]);
    assert_eq!(server.get("/v1/identities/mein%20K%C3%A4ter%2050%25%20%2B").1["name"], names[1]);

    let (status, same) = server.post("/v1/verify", &json!({"id": id, "name": "cup"}));
    assert_eq!((status, &same["same"]), (200, &json!(true)), "{same}");
    assert!(same["path"].as_str().is_some_and(|p| p.ends_with("coffee.webp")), "{same}");
    let cat = base64(&again(&home, CAT, "again.png"));
    let (_, found) = server.post("/v1/identify", &json!({"image": cat}));
    assert_eq!(found["images"][0]["name"], names[1], "{found}");
    let (_, not) = server.post("/v1/verify", &json!({"image": cat, "name": "cup"}));
    assert_eq!(not["same"], false, "{not}");
    for (body, status) in [
        (json!({"image": cat}), 400),
        (json!({"name": "cup"}), 400),
        (json!({"image": cat, "name": "nobody"}), 404),
        (json!({"image": cat, "name": "cup", "threshold": 0.5, "false_accept_rate": 0.1}), 400),
        (json!({"image": cat, "name": "cup", "threshold": 7}), 400),
        (json!({"image": cat, "name": "cup", "false_accept_rate": 1e-9}), 422),
        (json!({"image": "bm8=", "name": "cup"}), 422),
    ] {
        assert_eq!(server.post("/v1/verify", &body).0, status, "{body}");
    }
    let (status, problem) = server.put("/v1/identities/x", &json!({"paths": [original(CAT)]}));
    assert_eq!(status, 403, "files of the machine are for its owner: {problem}");
    assert_eq!(server.put("/v1/identities/x", &json!({})).0, 400);
    assert_eq!(server.put("/v1/identities/a%2Fb", &json!({"id": id})).0, 422);
    assert_eq!(server.get("/v1/identities/x").0, 404);
    assert_eq!(server.delete("/v1/identities/x").0, 404);

    // Killed, as by a power failure, right after it said so.
    let (status, _) =
        server.put("/v1/identities/rocket", &json!({"image": base64(&original(ROCKET))}));
    assert_eq!(status, 201);
    drop(server);
    fs_err::remove_file(home.path().join("pictures/coffee.webp")).expect("removed");
    let found =
        home.ek(&["identify", &original(ROCKET), &original(COFFEE), "--json"]).exits(0).json();
    assert_eq!(
        (&found["images"][0]["name"], &found["images"][1]["name"]),
        (&json!("rocket"), &json!("cup"))
    );

    let server = Server::start(&home, &["serve"]);
    let run = home.ek(&["identities", "forget", "rocket", "nobody"]).exits(1);
    assert!(run.stdout().contains("rocket is forgotten"), "{}", run.stdout());
    assert_eq!(server.get("/v1/identities").1["identities"].as_array().map(Vec::len), Some(2));
}

#[test]
fn what_a_model_says_of_itself_is_measured_on_other_pictures() {
    let home = Home::new();
    // Twelve things in three styles: colours stand for things, shapes of frames for styles.
    let mut lines = Vec::new();
    for i in 0..12u8 {
        for style in 0..3u8 {
            let path = home.folder("p").join(format!("{i}-{style}.png"));
            framed(&path, [i * 21, 255 - i * 13, (i % 4) * 60], style);
            lines.push(
                json!({"path": path, "caption": format!("thing {i}"), "group": format!("g{i}"),
                    "style": format!("s{style}"), "split": "val"})
                .to_string(),
            );
        }
    }
    fs_err::write(home.path().join("pairs.jsonl"), lines.join("\n")).expect("written");
    let report = home.ek(&["eval", "pairs.jsonl", "--identify", "--json"]).exits(0).json();
    let found = &report["recognition"];
    // 12 things × 3 pairs of styles; 66 pairs of things × 9 pairs of pictures.
    let thresholds = &found["thresholds"];
    assert_eq!(
        (&thresholds["same"], &thresholds["different"]),
        (&json!(36), &json!(594)),
        "{found}"
    );
    for at in thresholds["rates"].as_array().expect("rates") {
        assert!(at["false_accept_rate"].as_f64().is_some_and(|r| (0.0..=1.0).contains(&r)), "{at}");
    }
    let enrolled = found["enrolled"].as_array().expect("rows");
    assert_eq!(enrolled.len(), 4, "one example, and three ways of two");
    assert_eq!((&enrolled[0]["known"], &enrolled[0]["strangers"]), (&json!(12.0), &json!(18.0)));
    // 18 strangers cannot show one in ten.
    assert!(enrolled[0]["tpir_at_fpir"][0]["refused"].as_str().is_some_and(|r| r.contains("100")));
    let table = home.ek(&["eval", "pairs.jsonl", "--identify"]).exits(0).stdout();
    assert!(table.contains("as `ek identify` decides"), "{table}");
}

fn framed(path: &PathBuf, colour: [u8; 3], style: u8) {
    let picture = image::RgbImage::from_fn(48, 48, |x, y| {
        let edge = x.min(y).min(47 - x).min(47 - y) < 3 + 3 * u32::from(style);
        if edge { image::Rgb([255; 3]) } else { image::Rgb(colour) }
    });
    picture.save(path).expect("written");
}
