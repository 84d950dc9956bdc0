//! Searches say whether anything fits, and models learn to say so.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Home, Server, picture, reference, repository};

fn indexed() -> Home {
    let home = Home::new();
    let pictures = home.folder("pictures");
    for file in ["cat_451x300.jpg", "coffee_300x600.webp", "motorcycle_gray_370x250.png"] {
        fs_err::copy(reference(&format!("images/{file}")), pictures.join(file)).expect("copied");
    }
    for i in 0..9u8 {
        picture(&pictures.join(format!("plain-{i}.png")), [i * 28, 255 - i * 20, 90]);
    }
    fs_err::write(home.path().join("words.jsonl"), r#"{"text":"a text of its own"}"#)
        .expect("written");
    home.ek(&["index", "pictures", "--captions", "words.jsonl", "--quiet"]).exits(0);
    home
}

fn probability(reply: &Value) -> f64 {
    reply["anything"]["probability"].as_f64().unwrap_or_else(|| panic!("none: {reply}"))
}

#[test]
fn what_is_there_is_believed_more_than_what_is_not() {
    let home = indexed();
    let ask = |args: &[&str]| home.ek(&[&["search", "--json"], args].concat()).exits(0).json();
    let cat = ask(&["a photo of a tabby animal", "--mode", "vector"]);
    let nonsense = ask(&["xqzt vorp", "--mode", "vector"]);
    // Whether anything is there is not told well of a dozen pictures; which of them it is, is.
    let first = |reply: &Value| reply["hits"][0]["confidence"].as_f64().expect("a picture's");
    assert!(first(&cat) > first(&nonsense), "{cat}\n{nonsense}");
    // Neither the page nor the mode changes what is there.
    let later = ask(&["a photo of a tabby animal", "--mode", "vector", "-n", "1"]);
    assert_eq!(probability(&cat), probability(&later), "{later}");
    let hybrid = ask(&["a photo of a tabby animal"]);
    assert_eq!(probability(&cat), probability(&hybrid), "{hybrid}");
    assert_eq!(cat["anything"]["calibrated"], true);
    let hits = cat["hits"].as_array().expect("hits");
    let confidence: Vec<f64> =
        hits.iter().map(|h| h["confidence"].as_f64().expect("a picture's")).collect();
    assert!(confidence.iter().all(|c| (0.0..=1.0).contains(c)), "{confidence:?}");
    assert!(confidence[0] >= confidence[9], "{confidence:?}");
    // A word that a picture's name has speaks for it.
    let named = ask(&["motorcycle"]);
    let unnamed = ask(&["motorcycle", "--mode", "vector", "--filter", "-name:motor*"]);
    assert!(probability(&named) > probability(&unnamed), "{named}\n{unnamed}");
    // A picture that is there finds itself, and is judged by what else it finds.
    let named = ask(&["motorcycle", "--filter", "name:motor*"]);
    let id = named["hits"][0]["id"].as_str().expect("an id");
    let itself = ask(&["--image", id]);
    assert_eq!(itself["hits"][0]["id"], id);
    let others = ask(&["--image", id, "--filter", "-name:motor*"]);
    assert!((probability(&itself) - probability(&others)).abs() < 1e-6, "{itself}\n{others}");
    // So it is by its file, whoever answers; a copy of it is something that was found.
    let file = "pictures/motorcycle_gray_370x250.png";
    fs_err::copy(home.path().join(file), home.path().join("elsewhere.png")).expect("copied");
    let by_file = |from: &str| ask(&["--image", from, "--explain"]);
    let alone = by_file(file);
    assert!((probability(&itself) - probability(&alone)).abs() < 1e-3, "{itself}\n{alone}");
    let elsewhere = by_file("elsewhere.png");
    assert!(probability(&elsewhere) > probability(&itself) + 0.1, "{itself}\n{elsewhere}");
    {
        let _server = Server::start(&home, &["up", "pictures"]);
        let asked = by_file(file);
        assert!((probability(&itself) - probability(&asked)).abs() < 1e-3, "{itself}\n{asked}");
        assert_eq!(asked["query"]["parts"], alone["query"]["parts"]);
        assert_eq!(asked["hits"][0]["parts"][0]["part"], "image", "{asked}");
        let elsewhere = by_file("elsewhere.png");
        assert!(probability(&elsewhere) > probability(&itself) + 0.1, "{itself}\n{elsewhere}");
    }
    // Of texts, and by words alone, nothing is promised.
    assert!(ask(&["text", "--for", "texts"])["anything"].is_null());
    let all = ["text", "--for", "all", "--filter", "kind:text"];
    let texts = ask(&all);
    assert!(texts["anything"].is_null() && texts["hits"][0]["kind"] == "text", "{texts}");
    let by_words = ask(&["motorcycle", "--mode", "text"]);
    assert!(by_words["anything"].is_null() && by_words["hits"][0]["confidence"].is_null());
}

#[test]
fn a_least_confidence_leaves_out_the_rest_and_says_so() {
    let home = indexed();
    let all = home.ek(&["search", "a cat", "--json"]).exits(0).json();
    let confidence = |hit: &Value| hit["confidence"].as_f64().expect("a number");
    let hits = all["hits"].as_array().expect("hits");
    let best = hits.iter().map(confidence).fold(0.0, f64::max);
    let least = (best - 1e-6).to_string();
    let run = home.ek(&["search", "a cat", "--json", "--min-confidence", &least]).exits(0);
    let some = run.json();
    let left = some["hits"].as_array().expect("hits");
    assert!(!left.is_empty() && left.iter().all(|h| confidence(h) >= best - 1e-6), "{some}");
    assert_eq!(some["below_confidence"], hits.len() - left.len(), "{some}");
    // Who is left keeps the rank that it has among all.
    assert!(left.iter().all(|h| hits.contains(h)), "{some}");

    let run = home.ek(&["search", "xqzt vorp", "--min-confidence", "1"]).exits(1);
    assert_eq!(run.stdout(), "");
    assert!(run.stderr().contains("--min-confidence"), "{}", run.stderr());
    for wrong in ["1.5", "-1", "nan"] {
        let run = home.ek(&["search", "a cat", "--min-confidence", wrong]).exits(2);
        assert!(run.stderr().contains("0 to 1"), "{wrong}: {}", run.stderr());
    }
    let run = home.ek(&["search", "text", "--for", "texts", "--min-confidence", "0.5"]).exits(2);
    assert!(run.stderr().contains("pictures"), "{}", run.stderr());
}

#[test]
fn a_picture_whose_words_are_asked_for_is_found_by_them() {
    let home = indexed();
    let ask = |args: &[&str]| home.ek(&[&["search", "--json", "spreadsheets"], args].concat());
    let plain = ask(&["--mode", "vector", "-n", "12"]).exits(0).json();
    let hits = plain["hits"].as_array().expect("hits");
    // By its vector it is the last, and so not among those that are looked at.
    let last = hits[11]["path"].as_str().expect("a path").to_owned();
    let line = json!({"path": last, "caption": "the spreadsheet of 2019"}).to_string();
    fs_err::write(home.path().join("more.jsonl"), line).expect("written");
    home.ek(&["index", "pictures", "--captions", "more.jsonl", "--quiet"]).exits(0);
    let told = ask(&[]).exits(0).json();
    assert_eq!(told["hits"][0]["path"], json!(last), "{told}");
    let first = told["hits"][0]["confidence"].as_f64().expect("a number");
    for other in told["hits"].as_array().expect("hits").iter().skip(1) {
        assert!(other["confidence"].as_f64().expect("a number") < first, "{told}");
    }
    assert!(first > 0.4 && probability(&told) > probability(&plain) + 0.1, "{plain}\n{told}");
    // It is not left out by who wants what fits.
    let kept = ask(&["--min-confidence", "0.4"]).exits(0).json();
    assert_eq!(kept["hits"][0]["path"], json!(last), "{kept}");
    // Nor does a filter that lets nothing else through hide it.
    let name = format!("name:{}", last.rsplit('/').next().expect("a name"));
    let alone = ask(&["--filter", &name]).exits(0).json();
    let hit = alone["hits"][0]["confidence"].as_f64().expect("a number");
    assert!((hit - first).abs() < 1e-3 && probability(&alone) > hit - 1e-4, "{first} {alone}");
    let two = ask(&["--filter", &format!("{name} or name:cat*")]).exits(0).json();
    let hits = two["hits"].as_array().expect("hits");
    let sum: f64 = hits.iter().map(|hit| hit["confidence"].as_f64().expect("a number")).sum();
    let most = probability(&told).min(sum) + 1e-3;
    assert!((hit - 1e-3..=most).contains(&probability(&two)), "{told}\n{two}");
    // Words find nothing where only vectors are asked.
    let vector = ask(&["--mode", "vector"]).exits(0).json();
    assert!(probability(&vector) < probability(&told), "{vector}\n{told}");
    // Part of the words is not all of them.
    let part = home.ek(&["search", "--json", "spreadsheet xqzt vorp"]).exits(0).json();
    assert!(probability(&part) < probability(&told), "{part}\n{told}");
}

#[test]
fn a_folder_of_pictures_is_not_named_in_a_search_for_pictures() {
    let home = Home::new();
    let ask = |data: &str, query: &str| {
        let run = home.ek(&["search", query, "--json", "--data", data]).exits(0).json();
        (probability(&run), run["hits"][0]["confidence"].as_f64().expect("calibrated"))
    };
    for folder in ["Pictures", "x"] {
        let (from, to) = (reference("images/cat_451x300.jpg"), home.folder(folder));
        fs_err::copy(from, to.join("a.jpg")).expect("copied");
        home.ek(&["index", folder, "--quiet", "--data", &format!("data-{folder}")]).exits(0);
    }
    for query in ["pictures of zebras", "a picture of zebras"] {
        assert_eq!(ask("data-Pictures", query), ask("data-x", query), "{query}");
    }
}

#[test]
fn of_few_that_a_filter_lets_through_anything_is_no_likelier_than_they_are() {
    // Of the whole it is told with four digits.
    const ROUNDED: f64 = 1e-4;
    let home = indexed();
    let ask = |args: &[&str]| home.ek(&[&["search", "--json"], args].concat()).exits(0).json();
    let confidence = |hit: &Value| hit["confidence"].as_f64().expect("a number");
    for query in ["a dog", "a cup of coffee", "xqzt vorp"] {
        let one = ask(&[query, "--filter", "name:cat*"]);
        let hits = one["hits"].as_array().expect("hits");
        assert_eq!(hits.len(), 1, "{one}");
        assert!(probability(&one) <= confidence(&hits[0]) + ROUNDED, "{query}: {one}");
        // Alone it is no likelier than among all.
        let all = ask(&[query, "-n", "12"]);
        let same = all["hits"].as_array().expect("hits").iter().find(|h| h["id"] == hits[0]["id"]);
        let same = confidence(same.expect("among all"));
        assert!(confidence(&hits[0]) < same + 0.1, "{query}: {one}\n{all}");
        let some = ask(&[query, "--filter", "name:plain*"]);
        let sum: f64 = some["hits"].as_array().expect("hits").iter().map(confidence).sum();
        assert!(probability(&some) <= sum + ROUNDED, "{query}: {some}");
    }
}

/// The default model, to be changed.
fn copy_of_the_model(home: &Home, name: &str) -> PathBuf {
    let dir = home.folder(name);
    for entry in fs_err::read_dir(repository().join("models/lite")).expect("the default model") {
        let from = entry.expect("an entry").path();
        fs_err::copy(&from, dir.join(from.file_name().expect("a name"))).expect("copied");
    }
    dir
}

/// The default model without its calibration, as one from elsewhere.
fn uncalibrated(home: &Home) -> PathBuf {
    let dir = copy_of_the_model(home, "uncalibrated");
    let manifest = dir.join("model.toml");
    let text = fs_err::read_to_string(&manifest).expect("readable");
    let mut table: toml::Table = text.parse().expect("TOML");
    table.remove("confidence").expect("the default model is calibrated");
    fs_err::write(manifest, table.to_string()).expect("written");
    dir
}

#[test]
fn a_model_without_calibration_says_so() {
    let home = indexed();
    let model = uncalibrated(&home);
    let model = model.to_str().expect("UTF-8");
    let ask = |args: &[&str]| home.ek(&[args, &["--model", model]].concat());
    let reply = ask(&["search", "a cat", "--json"]).exits(0).json();
    assert_eq!(reply["anything"]["calibrated"], false, "{reply}");
    assert!(reply["anything"]["probability"].is_null() && reply["hits"][0]["confidence"].is_null());
    assert_eq!(reply["anything"]["verdict"], "perhaps", "{reply}");
    let run = ask(&["search", "a cat"]).exits(0);
    assert!(run.stderr().contains("not calibrated"), "{}", run.stderr());
    let run = ask(&["search", "a cat", "--min-confidence", "0.5"]).exits(2);
    assert!(run.stderr().contains("ek model calibrate"), "{}", run.stderr());
    let info = home.ek(&["model", "info", model]).exits(0);
    assert!(info.stdout().contains("not calibrated"), "{}", info.stdout());
    // Told once, however many pictures; and wherever a whole library is labelled.
    let told = "cannot tell when none of the labels fits";
    let cat = reference("images/cat_451x300.jpg").to_str().expect("UTF-8").to_owned();
    let run = ask(&["label", &cat, &cat, "--labels", "cat,dog"]).exits(0);
    assert_eq!(run.stderr().matches(told).count(), 1, "{}", run.stderr());
    // Where nothing is told of none, no guess is.
    assert!(!run.stderr().contains("a guess"), "{}", run.stderr());
    ask(&["labels", "create", "pets", "cat", "dog"]).exits(0);
    let run = ask(&["labels", "apply", "pets", "--json"]).exits(0);
    assert!(run.stderr().contains(told), "{}", run.stderr());
    let warning = run.json()["warnings"][0].as_str().expect("a warning").to_owned();
    assert!(warning.contains(told) && !warning.contains("  "), "{warning:?}");
    let server = Server::start(&home, &["up", "pictures", "--model", model]);
    let applied = server.post("/v1/label-sets/pets/apply", &json!({})).1;
    assert!(applied["warnings"].to_string().contains(told), "{applied}");
    drop(server);
    let run = home.ek(&["eval", "words.jsonl", "--confidence", "--model", model]).exits(2);
    assert!(run.stderr().contains("not calibrated"), "{}", run.stderr());
}

#[test]
fn a_damaged_calibration_is_a_warning() {
    let home = indexed();
    let dir = copy_of_the_model(&home, "damaged");
    for name in backgrounds(&dir) {
        let path = dir.join(name);
        let mut bytes = fs_err::read(&path).expect("readable");
        bytes[0] ^= 1;
        fs_err::write(path, bytes).expect("written");
    }
    let model = dir.to_str().expect("UTF-8");
    let reply = home.ek(&["search", "a cat", "--json", "--model", model]).exits(0).json();
    assert!(!reply["hits"].as_array().expect("hits").is_empty(), "{reply}");
    let warnings = reply["warnings"].to_string();
    assert!(warnings.contains("cannot be told"), "{reply}");
    // Who asks for a confidence is not given hits without.
    let run = home.ek(&["search", "a cat", "--min-confidence", "0.5", "--model", model]);
    assert!(run.code() != 0 && run.stdout().is_empty(), "{}", run.stderr());
}

/// Plain pictures with captions: 110 of one split, 66 of 22 concepts of the other.
fn pairs(home: &Home) {
    let folder = home.folder("plain");
    let mut lines = Vec::new();
    for i in 0..176u32 {
        let (split, group) = if i < 110 { ("train", 1000 + i) } else { ("val", i % 22) };
        let colour = [group * 37 % 256, group * 91 % 256, group * 53 % 256].map(|c| c as u8);
        let name = format!("plain/{i}.png");
        picture(&folder.join(format!("{i}.png")), colour);
        lines.push(
            json!({"path": name, "caption": format!("thing {group} number {i}"),
                "tags": [format!("thing {group}")], "group": group.to_string(), "split": split})
            .to_string(),
        );
    }
    fs_err::write(home.path().join("pairs.jsonl"), lines.join("\n")).expect("written");
}

fn backgrounds(dir: &Path) -> Vec<String> {
    let entries = fs_err::read_dir(dir).expect("readable");
    let names = entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".i4")).collect()
}

#[test]
fn a_model_learns_how_far_it_can_be_believed() {
    let home = Home::new();
    pairs(&home);
    let model = uncalibrated(&home);
    let calibrate = || {
        let run =
            home.ek(&["model", "calibrate", "uncalibrated", "--pairs", "pairs.jsonl", "--json"]);
        run.exits(0).json()
    };
    let told = calibrate();
    assert_eq!((&told["captions"], &told["concepts"]), (&json!(66), &json!(22)), "{told}");
    assert_eq!(told["background"], 110, "{told}");
    // These pictures measure neither: rates stay, what belongs to another background goes.
    let rates = told["verification"]["refused"][0].as_str().expect("a reason");
    assert!(rates.contains("former rates are kept"), "{told}");
    let labels = told["label_sets"]["refused"].as_str().expect("a reason");
    assert!(labels.contains("former figures are dropped"), "{told}");
    let first = fs_err::read_to_string(model.join("model.toml")).expect("readable");
    assert!(first.contains("[verification]") && !first.contains("[label_sets"), "{first}");
    // Again it is the same, and nothing old is left.
    calibrate();
    assert_eq!(fs_err::read_to_string(model.join("model.toml")).expect("readable"), first);
    let left: Vec<String> = backgrounds(&model)
        .into_iter()
        .filter(|name| first.contains(&format!("background = {name:?}")))
        .collect();
    assert_eq!(left.len(), 1, "{:?}", backgrounds(&model));
    let info = home.ek(&["model", "info", "uncalibrated", "--json"]).exits(0).json();
    assert!(info["confidence"].as_str().expect("told").contains("66 captions"), "{info}");

    let report = home
        .ek(&[
            "eval",
            "pairs.jsonl",
            "--split",
            "val",
            "--confidence",
            "--json",
            "--report",
            "r.html",
            "--model",
            "uncalibrated",
        ])
        .exits(0)
        .json();
    let bins = report["anything"]["bins"].as_array().expect("bins");
    assert_eq!(bins.len(), 15, "{report}");
    assert!(report["anything"]["ece"].as_f64().expect("a number") <= 1.0);
    assert_eq!(report["without_an_answer"].as_array().expect("rows").len(), 3, "{report}");
    let page = fs_err::read_to_string(home.path().join("r.html")).expect("written");
    assert_eq!(page.matches("<svg").count(), 4, "four diagrams");
    assert!(report["labels"].is_null(), "it is not calibrated for them: {report}");
    // By classes, of which each has three pictures, the default model is.
    let classes = fs_err::read_to_string(home.path().join("pairs.jsonl")).expect("readable");
    let classes = classes.replace("\"group\":", "\"class\":");
    fs_err::write(home.path().join("classes.jsonl"), classes).expect("written");
    let file = ["eval", "classes.jsonl", "--split", "val", "--confidence", "--json"];
    let report = home.ek(&[&file[..], &["--report", "r.html"]].concat()).exits(0).json();
    let labels = &report["labels"];
    assert_eq!(labels["things"], 22, "{labels}");
    let share = |what: &str| {
        let bins = labels[what]["bins"].as_array().expect("bins");
        assert_eq!(bins.len(), 15, "{labels}");
        bins.iter().map(|bin| bin["came_true"].as_f64().expect("a share")).sum::<f64>() / 15.0
    };
    // Half of the pictures have one of the labels, and each of at least three labels has few.
    let (one, each) = (share("one_fits"), share("each_by_itself"));
    assert!((one - 0.5).abs() < 0.02 && (0.01..0.2).contains(&each), "{one} {each}");
    // Of 22 things, half are labels at most.
    let sizes = labels["by_labels"].as_array().expect("sizes");
    let counts: Vec<u64> = sizes.iter().filter_map(|s| s["labels"].as_u64()).collect();
    assert_eq!(counts, [3, 5, 10, 11], "{labels}");
    for size in sizes {
        let number = |path: &str| size.pointer(path).and_then(Value::as_f64).expect(path);
        for path in
            ["/one_fits_ece", "/chosen_ece", "/each_by_itself_ece", "/most_probable/came_true"]
        {
            assert!((0.0..=1.0).contains(&number(path)), "{size}");
        }
    }
    let page = fs_err::read_to_string(home.path().join("r.html")).expect("written");
    assert_eq!(page.matches("<svg").count(), 7, "seven diagrams");
    // Who is chosen is right no more often than one of the labels is.
    let chosen = share("chosen");
    assert!((0.05..=one).contains(&chosen), "{chosen}");

    // Too few to learn from: nothing changes.
    fs_err::write(home.path().join("few.jsonl"), r#"{"path":"plain/0.png","caption":"a"}"#)
        .expect("written");
    let run = home.ek(&["model", "calibrate", "uncalibrated", "--pairs", "few.jsonl"]).exits(2);
    assert!(run.stderr().contains("at least 100"), "{}", run.stderr());
    assert_eq!(fs_err::read_to_string(model.join("model.toml")).expect("readable"), first);
}
