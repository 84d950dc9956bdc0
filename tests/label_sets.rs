//! Label sets: lists of labels that the store keeps, known by words, by pictures, or by both.

use serde_json::{Value, json};

use crate::support::{Home, Server, picture, reference};

const CAT: &str = "cat_451x300.jpg";
const COFFEE: &str = "coffee_300x600.webp";
const NOT_THERE: [&str; 12] = [
    "ship",
    "violin",
    "volcano",
    "tractor",
    "umbrella",
    "piano",
    "cactus",
    "lighthouse",
    "scissors",
    "mushroom",
    "igloo",
    "helicopter",
];

fn original(file: &str) -> String {
    reference(&format!("images/{file}")).to_str().expect("UTF-8").to_owned()
}

fn best(reply: &Value, image: usize) -> String {
    reply["images"][image]["labels"][0]["label"].as_str().expect("a label").to_owned()
}

/// With none of them, the probabilities are all there is.
fn sums_up(reply: &Value) {
    for image in reply["images"].as_array().expect("images") {
        let labels = image["labels"].as_array().expect("labels");
        let sum: f64 = labels.iter().filter_map(|l| l["probability"].as_f64()).sum();
        let none = image["none_of_these"].as_f64().expect("the default model is calibrated");
        assert!((0.0..=1.0).contains(&none) && (sum + none - 1.0).abs() < 1e-4, "{image}");
    }
}

#[test]
fn words_are_kept_and_label_as_ever() {
    let home = Home::new();
    let run = home.ek(&["label", &original(CAT), "--set", "pets"]).exits(3);
    assert!(run.stderr().contains("no store"), "{}", run.stderr());
    assert_eq!(home.ek(&["labels", "list", "--json"]).exits(1).json(), json!({"label_sets": []}));
    let made = home.ek(&["labels", "create", "pets", "cat", "dog", "parrot", "--json"]).exits(0);
    assert_eq!(made.json()["labels"].as_array().map(Vec::len), Some(3));
    let by_set = home.ek(&["label", &original(CAT), "--set", "pets", "--json"]).exits(0).json();
    let by_words =
        home.ek(&["label", &original(CAT), "--labels", "cat,dog,parrot", "--json"]).exits(0).json();
    assert_eq!(by_set, by_words);
    assert_eq!(best(&by_set, 0), "cat");
    sums_up(&by_set);
    let shown = home.ek(&["label", &original(CAT), "--set", "pets"]).exits(0).stdout();
    assert!(shown.contains("cat") && shown.contains("(none of these)"), "{shown}");

    let again = home.ek(&["labels", "create", "pets", "mouse"]).exits(2);
    assert!(again.stderr().contains("already"), "{}", again.stderr());
    fs_err::write(home.path().join("words.txt"), "\u{feff}bus\n\n tram \n").expect("written");
    home.ek(&["labels", "create", "pets", "--labels-file", "words.txt", "--replace"]).exits(0);
    let shown = home.ek(&["labels", "show", "pets"]).exits(0).stdout();
    assert_eq!(shown, "bus  (known by itself)\ntram  (known by itself)\n");
    home.ek(&["labels", "delete", "pets", "bus", "ship"]).exits(1);
    let one = home.ek(&["label", &original(CAT), "--set", "pets"]).exits(2);
    assert!(one.stderr().contains("only one"), "{}", one.stderr());
    // Neither was it learned of two when none of them fits.
    for (labels, doubted) in [("cat,dog", true), ("cat,dog,parrot", false)] {
        let two = home.ek(&["label", &original(CAT), "--labels", labels, "--json"]).exits(0);
        let told = two.json()["warnings"].to_string();
        assert_eq!(told.contains("it is a guess"), doubted, "{told}");
        assert_eq!(two.stderr().contains("it is a guess"), doubted, "{}", two.stderr());
    }
    // By itself it can be judged.
    let alone = home.ek(&["label", &original(CAT), "--set", "pets", "--multi", "--json"]).exits(0);
    assert_eq!(best(&alone.json(), 0), "tram");
    let alone = home.ek(&["label", &original(CAT), "--labels", "cat", "--multi", "--json"]);
    let alone = alone.exits(0);
    assert!(alone.stderr().contains("are a guess"), "{}", alone.stderr());
    let alone = alone.json();
    assert!(alone["images"][0]["labels"][0]["probability"].as_f64() > Some(0.5), "{alone}");
    for labels in ["cat", "Cat,cat,dog"] {
        let run = home.ek(&["label", &original(CAT), "--labels", labels]).exits(2);
        let told = if labels == "cat" { "--multi" } else { "nothing but capitals" };
        assert!(run.stderr().contains(told), "{}", run.stderr());
    }
    let run = home.ek(&["labels", "add", "pets", "Tram"]).exits(2);
    assert!(run.stderr().contains("nothing but capitals"), "{}", run.stderr());
    home.ek(&["labels", "delete", "pets", "tram"]).exits(0);
    let gone = home.ek(&["label", &original(CAT), "--set", "pets"]).exits(2);
    assert!(gone.stderr().contains("no label set \"pets\""), "{}", gone.stderr());
    home.ek(&["labels", "delete", "pets"]).exits(1);
    for (args, word) in [
        (&["labels", "create", "x", "a", " "][..], "empty"),
        (&["labels", "create", "a/b", "a"], "cannot be a name"),
        (&["labels", "add", "x", "y", "--no-words"], "words or pictures"),
        (&["label", "x.png", "--set", "pets", "--labels", "a,b"], "cannot be used with"),
        (&["label", "x.png", "--labels-file", "f", "--labels", "a,b"], "cannot be used with"),
        (&["label", "x.png"], "--labels <A,B,C>|--labels-file <FILE>|--set <NAME>"),
    ] {
        let run = home.ek(args).exits(2);
        assert!(run.stderr().contains(word), "{args:?}: {}", run.stderr());
    }
}

#[test]
fn labels_may_be_paths_and_what_is_broader_is_told_and_found() {
    let home = Home::new();
    let folder = home.folder("pictures");
    for file in [CAT, COFFEE] {
        fs_err::copy(original(file), folder.join(file)).expect("copied");
    }
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    let paths = "animal > cat,animal > pet > dog,drink > cup of coffee,motorcycle";
    let flat = home.ek(&[
        "label",
        &original(CAT),
        "--labels",
        "cat,dog,cup of coffee,motorcycle",
        "--json",
    ]);
    let (flat, told) = (flat.exits(0).json(), |multi: &[&str]| {
        let args = ["label", &original(CAT), "--labels", paths, "--json"];
        home.ek(&[&args[..], multi].concat()).exits(0).json()
    });
    let of = |reply: &Value, list: &str, label: &str| -> f64 {
        let all = reply["images"][0][list].as_array().expect(list);
        let own = all.iter().find(|one| one["label"] == label).expect(label);
        own["probability"].as_f64().expect("a number")
    };
    // Leaves compete by their own words.
    let competing = told(&[]);
    for (path, label) in [("animal > cat", "cat"), ("animal > pet > dog", "dog")] {
        assert_eq!(of(&competing, "labels", path), of(&flat, "labels", label), "{path}");
    }
    sums_up(&competing);
    assert_eq!(flat["images"][0]["groups"], json!([]));
    let both = ["animal > cat", "animal > pet > dog"];
    let each = told(&["--multi"]);
    let of_both = |reply: &Value| both.map(|label| of(reply, "labels", label));
    let [cat, dog] = of_both(&competing);
    assert!((of(&competing, "groups", "animal") - cat - dog).abs() < 1e-6, "{competing}");
    assert!((of(&competing, "groups", "animal > pet") - dog).abs() < 1e-6, "{competing}");
    let [cat, dog] = of_both(&each);
    assert!((of(&each, "groups", "animal") - cat.max(dog)).abs() < 1e-6, "{each}");
    let shown = home.ek(&["label", &original(CAT), "--labels", paths]).exits(0).stdout();
    assert!(shown.contains("animal > cat\n") && shown.contains("animal (any of them)"), "{shown}");

    fs_err::write(home.path().join("l.txt"), paths.replace(',', "\n")).expect("written");
    home.ek(&["labels", "create", "tree", "--labels-file", "l.txt"]).exits(0);
    let shown = home.ek(&["labels", "show", "tree"]).exits(0).stdout();
    assert!(shown.contains("animal > pet > dog  (known by \"dog\")"), "{shown}");
    home.ek(&["labels", "apply", "tree", "--min-probability", "0.2"]).exits(0);
    let found = |filter: &str| {
        let run = home.ek(&["search", "anything", "--filter", filter, "--json"]);
        run.json()["hits"].as_array().expect("hits").len()
    };
    for (filter, count) in [
        ("label:animal", 1),
        ("label:\"animal > cat\"", 1),
        ("label:\"animal > pet\"", 0),
        ("label:drink", 1),
        ("label:animal or label:drink", 2),
        ("-label:animal", 1),
        ("label:cat", 0),
    ] {
        assert_eq!(found(filter), count, "{filter}");
    }
    for (args, word) in [
        (&["labels", "add", "tree", "animal >  > cow"][..], "is empty"),
        (&["labels", "add", "tree", "animal >"], "is empty"),
        (&["labels", "create", "b", "> cow", "dog"], "is empty"),
        (&["label", &original(CAT), "--labels", "a > > b,c"], "is empty"),
        // They would always tie.
        (&["labels", "create", "b", "bird > crane", "machine > Crane"], "the same words"),
        (&["labels", "add", "tree", "food > cat"], "the same words"),
        (&["labels", "add", "tree", "puss", "--words", "cat"], "the same words"),
    ] {
        let run = home.ek(args).exits(2);
        assert!(run.stderr().contains(word), "{args:?}: {}", run.stderr());
    }
    // By a picture, or other words, it differs.
    home.ek(&["labels", "add", "tree", "food > cat", &original(COFFEE)]).exits(0);
    home.ek(&["labels", "add", "tree", "food > dog", "--words", "hot dog"]).exits(0);
}

#[test]
fn a_label_may_be_pictures_and_its_files_are_not_needed() {
    let home = Home::new();
    // Colours have no words here: only the pictures say what the labels mean.
    let colours = [("qux", [230, 20, 20]), ("norp", [20, 200, 40]), ("zil", [30, 40, 220])];
    for (label, colour) in colours {
        let file = home.path().join(format!("{label}.png"));
        picture(&file, colour);
        let args = ["labels", "add", "hues", label, file.to_str().expect("UTF-8"), "--no-words"];
        home.ek(&args).exits(0);
        fs_err::remove_file(&file).expect("removed");
    }
    let set = home.ek(&["labels", "show", "hues", "--json"]).exits(0).json();
    assert_eq!(set["labels"][0]["words"], Value::Null, "{set}");
    for (label, colour) in colours {
        let like = colour.map(|c: u8| c.saturating_sub(15));
        picture(&home.path().join("q.png"), like);
        let found = home.ek(&["label", "q.png", "--set", "hues", "--json"]).exits(0).json();
        assert_eq!(best(&found, 0), label, "{found}");
        sums_up(&found);
    }
    // Words beside a picture, and labels of different kinds side by side.
    home.ek(&["labels", "create", "mixed", "cup of coffee"]).exits(0);
    home.ek(&["labels", "add", "mixed", "Mittens", &original(CAT), "--words", "cat"]).exits(0);
    home.ek(&["labels", "add", "mixed", "motorcycle"]).exits(0);
    let files = [CAT, COFFEE, "motorcycle_gray_370x250.png"].map(original);
    let found = home.ek(&["label", &files[0], &files[1], &files[2], "--set", "mixed", "--json"]);
    let found = found.exits(0).json();
    let names: Vec<String> = (0..3).map(|i| best(&found, i)).collect();
    assert_eq!(names, ["Mittens", "cup of coffee", "motorcycle"], "{found}");
    sums_up(&found);
    let shown = home.ek(&["labels", "show", "mixed"]).exits(0).stdout();
    assert!(shown.contains("Mittens  (known by \"cat\" and 1 picture)"), "{shown}");
    // A label whose picture cannot be read is not half made.
    fs_err::write(home.path().join("broken.png"), "no picture").expect("written");
    home.ek(&["labels", "add", "mixed", "more", "broken.png"]).exits(2);
    let shown = home.ek(&["labels", "show", "mixed"]).exits(0).stdout();
    assert!(!shown.contains("more"), "{shown}");
}

#[test]
fn a_server_keeps_label_sets_and_survives_its_death() {
    let home = Home::new();
    fs_err::copy(original(COFFEE), home.folder("pictures").join("coffee.webp")).expect("copied");
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(1);
    let id = server.get("/v1/items").1["items"][0]["id"].clone();
    let body = json!({"labels": ["cat", "dog"], "entries": [{"label": "my cup", "wordless": true, "id": id}]});
    let (status, made) = server.put("/v1/label-sets/things", &body);
    assert_eq!((status, made["labels"].as_array().map(Vec::len)), (201, Some(3)), "{made}");
    let (status, found) = server.post("/v1/label", &json!({"id": id, "set": "things"}));
    assert_eq!((status, best(&found, 0)), (200, "my cup".to_owned()), "{found}");
    // The terminal's verbs go through the server.
    let run = home.ek(&["labels", "add", "things", "and / or", &original(CAT)]).exits(0);
    assert!(run.stderr().contains("holds the store"), "{}", run.stderr());
    home.ek(&["labels", "create", "things", "x"]).exits(2);
    assert_eq!(server.get("/v1/label-sets/things").1["labels"][3]["label"], "and / or");
    home.ek(&["labels", "delete", "things", "and / or", "dog"]).exits(0);
    for (body, status) in [
        (json!({}), 400),
        (json!({"labels": []}), 400),
        (json!({"labels": ["a"], "add": true, "create": true}), 400),
        (json!({"entries": [{"words": "a"}]}), 400),
        (json!({"entries": [{"label": "a", "words": "b", "wordless": true}]}), 400),
        (json!({"entries": [{"label": "a", "wordless": true}]}), 422),
        (json!({"entries": [{"label": "a", "paths": [original(CAT)]}]}), 403),
        (json!({"entries": [{"label": "a", "frobnicate": 1}]}), 400),
        (json!({"labels": ["a"], "create": true}), 422),
    ] {
        let (got, problem) = server.put("/v1/label-sets/things", &body);
        assert_eq!(got, status, "{body}: {problem}");
    }
    assert_eq!(server.post("/v1/label", &json!({"id": id, "set": "nothing"})).0, 404);
    assert_eq!(
        server.post("/v1/label", &json!({"id": id, "set": "things", "labels": ["a"]})).0,
        400
    );
    assert_eq!(server.delete("/v1/label-sets/things/labels/dog").0, 404);
    assert_eq!(server.get("/v1/label-sets").1["label_sets"].as_array().map(Vec::len), Some(1));

    drop(server);
    let found = home.ek(&["label", &original(COFFEE), "--set", "things", "--json"]).exits(0).json();
    assert_eq!(best(&found, 0), "my cup", "{found}");
    home.ek(&["labels", "delete", "things"]).exits(0);
}

#[test]
fn a_set_is_applied_to_the_library_here_and_by_the_server() {
    let home = Home::new();
    let folder = home.path().join("pictures");
    fs_err::create_dir_all(&folder).expect("created");
    for file in [CAT, COFFEE] {
        fs_err::copy(original(file), folder.join(file)).expect("copied");
    }
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    home.ek(&["labels", "create", "things", "cat", "cup of coffee", "motorcycle"]).exits(0);
    let applied = home.ek(&["labels", "apply", "things", "--min-probability", "0.2", "--json"]);
    let applied = applied.exits(0).json();
    assert_eq!((&applied["pictures"], &applied["labelled"]), (&json!(2), &json!(2)), "{applied}");
    assert_eq!(applied["labels"][2], json!({"label": "motorcycle", "pictures": 0}));
    assert_eq!(applied["warnings"], json!([]), "the default model can tell when none fits");
    let found = home.ek(&["search", "anything", "--filter", "label:cat", "--json"]).exits(0).json();
    let hits = found["hits"].as_array().expect("hits");
    assert_eq!(hits.len(), 1, "{found}");
    assert!(hits[0]["path"].as_str().expect("a path").ends_with(CAT), "{found}");
    let given = &hits[0]["meta"]["given_labels"][0];
    assert_eq!((&given["label"], &given["set"]), (&json!("cat"), &json!("things")), "{found}");
    let state = home.ek(&["status"]).exits(0).stdout();
    assert!(state.contains("things was asked of 2 pictures\n"), "{state}");
    home.ek(&["labels", "apply", "things", "--min-probability", "1.5"]).exits(2);
    home.ek(&["labels", "apply", "nothing"]).exits(2);

    // Each by itself: several may fit, and none need.
    let each =
        home.ek(&["label", &original(CAT), "--labels", "cat,animal,teapot", "--multi", "--json"]);
    let each = each.exits(0).json();
    let probability = |label: &str| {
        let labels = each["images"][0]["labels"].as_array().expect("labels");
        let own = labels.iter().find(|l| l["label"] == label).expect("there");
        own["probability"].as_f64().expect("a number")
    };
    assert!(probability("cat") > 0.5 && probability("teapot") < 0.2, "{each}");
    assert_eq!(each["images"][0]["none_of_these"], Value::Null, "each says so itself: {each}");
    // Among more labels fewer fit, so each is less probable.
    let among_more = format!("cat,animal,teapot,{}", NOT_THERE.join(","));
    let more = home.ek(&["label", &original(CAT), "--labels", &among_more, "--multi", "--json"]);
    let more = more.exits(0).json();
    let labels = more["images"][0]["labels"].as_array().expect("labels");
    let of_cat = labels.iter().find(|l| l["label"] == "cat").expect("there");
    let of_cat = of_cat["probability"].as_f64().expect("a number");
    assert!(of_cat < probability("cat"), "{more}");

    let server = Server::start(&home, &["serve"]);
    let found = server.get("/v1/facets?filter=label:cat").1;
    assert_eq!(found["total"], json!(1), "{found}");
    drop(server);
    let server = Server::start(&home, &["up", "pictures"]);
    let applied = home.ek(&["labels", "apply", "things", "--multi", "--min-probability", "0.3"]);
    let applied = applied.exits(0);
    assert!(applied.stdout().contains("have a label of things"), "{}", applied.stdout());
    let state = server.get("/v1/status").1;
    let set = &state["applied_label_sets"][0];
    assert_eq!((&set["multi"], &set["min_probability"]), (&json!(true), &json!(0.3)), "{state}");
    home.ek(&["labels", "delete", "things"]).exits(0);
    assert_eq!(server.get("/v1/facets?filter=label:cat").1["total"], json!(0));
}
