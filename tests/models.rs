//! `ek model`: what comes in is checked first, lies with the store, and is found again.

use std::path::{Path, PathBuf};

use crate::support::{Home, Server, copy_folder, picture, repository};

/// A copy of the default model in the home, as somebody would have one from elsewhere.
fn copy(home: &Home, name: &str) -> PathBuf {
    let dir = home.folder(name);
    for entry in fs_err::read_dir(repository().join("models/lite")).expect("the default model") {
        let from = entry.expect("an entry").path();
        fs_err::copy(&from, dir.join(from.file_name().expect("a name"))).expect("copied");
    }
    dir
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs_err::read_to_string(path).expect("readable");
    assert!(text.contains(from), "{from:?} in {}", path.display());
    fs_err::write(path, text.replace(from, to)).expect("written");
}

#[test]
fn an_imported_model_goes_with_the_store() {
    let home = Home::new();
    let from = copy(&home, "elsewhere");
    // Another space, so that it is told apart from the default model.
    edit(&from.join("model.toml"), "\"lite-", "\"mine-");
    let imported =
        home.ek(&["model", "import", "elsewhere", "--name", "mine", "--json"]).exits(0).json();
    assert_eq!(imported["name"], "mine");
    assert_eq!(imported["was_there"], false);
    assert!(imported["agreement"].as_f64().expect("a number") > 0.9999, "{imported}");
    assert!(home.data().join("models/mine/CARD.md").is_file(), "the card comes along");
    fs_err::remove_dir_all(&from).expect("removed");

    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    home.ek(&["index", "pictures", "--quiet", "--model", "mine"]).exits(0);
    // From now on it is the store's model, without being named.
    let found = home.ek(&["search", "something red", "--json"]).exits(0).json();
    assert_eq!(found["hits"].as_array().expect("hits").len(), 1, "{found}");
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    let list = home.ek(&["model", "list", "--json"]).exits(0).json();
    assert_eq!(list["models"][0]["name"], "mine", "{list}");
    assert_eq!(list["models"][0]["chosen"], true, "{list}");
    assert_eq!(list["models"][0]["of_store"], true, "{list}");
    let info = home.ek(&["model", "info", "--json"]).exits(0).json();
    assert!(info["space"].as_str().expect("a space").starts_with("mine-"), "{info}");

    // The default model still has to be asked for by its folder, and is refused by this store.
    let lite = repository().join("models/lite");
    let run = home.ek(&["search", "x", "--model", lite.to_str().expect("UTF-8")]).exits(3);
    assert!(run.stderr().contains("mine-"), "{}", run.stderr());
}

#[test]
fn what_is_wrong_with_a_model_is_told_and_nothing_comes_in() {
    let home = Home::new();
    let refused = |args: &[&str], code: i32, word: &str| {
        let run = home.ek(args).exits(code);
        assert!(run.stderr().contains(word), "{word:?} in {}", run.stderr());
        let left = fs_err::read_dir(home.data().join("models")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "nothing came in, and nothing is left");
    };
    refused(&["model", "import", "nowhere"], 2, "model.toml");
    home.folder("empty");
    refused(&["model", "import", "empty"], 2, "model.toml");

    let damaged = copy(&home, "damaged");
    let file = damaged.join("vocabulary.i8");
    let mut bytes = fs_err::read(&file).expect("readable");
    bytes[1000] ^= 1;
    fs_err::write(&file, bytes).expect("written");
    refused(&["model", "import", "damaged", "--name", "d"], 2, "sha256");

    let mixed = copy(&home, "mixed");
    edit(&mixed.join("model.toml"), "pair = \"", "pair = \"0123");
    refused(&["model", "import", "mixed", "--name", "m"], 2, "two trainings");

    copy(&home, "good");
    for name in ["../x", "", ".hidden", "a b"] {
        refused(&["model", "import", "good", "--name", name], 2, "cannot name a model");
    }
    // Nobody could tell it from the one that comes with the program.
    for own in [&["good"][..], &["good", "--name", "lite"], &["good", "--name", "Lite"]] {
        refused(&[&["model", "import"], own].concat(), 2, "choose another name with --name");
    }
}

#[test]
fn a_name_is_one_models() {
    let home = Home::new();
    copy(&home, "good");
    let other = copy(&home, "other");
    edit(&other.join("model.toml"), "logit_scale = ", "logit_scale = 1");
    home.ek(&["model", "import", "good", "--name", "m"]).exits(0);
    let again = home.ek(&["model", "import", "good", "--name", "m", "--json"]).exits(0).json();
    assert_eq!(again["was_there"], true);
    let run = home.ek(&["model", "import", "other", "--name", "m"]).exits(2);
    assert!(run.stderr().contains("--name"), "{}", run.stderr());
    // What an import that was killed leaves is no model, and stops nobody.
    home.folder("data/models/.import-x1");
    let list = home.ek(&["model", "list", "--json"]).exits(0).json();
    assert_eq!(list["models"].as_array().expect("models").len(), 2, "{list}");
}

#[test]
fn importing_again_repairs_a_copy() {
    let home = Home::new();
    copy(&home, "good");
    let import = || home.ek(&["model", "import", "good", "--name", "m", "--json"]).exits(0).json();
    assert_eq!(import()["was_there"], false);
    let file = home.data().join("models/m/vocabulary.i8");
    let whole = fs_err::read(&file).expect("readable");
    let mut flipped = whole.clone();
    flipped[1000] ^= 1;
    for damaged in [&flipped[..], &whole[..1000]] {
        fs_err::write(&file, damaged).expect("written");
        assert_eq!(import()["was_there"], false, "it was another");
        assert!(fs_err::read(&file).expect("readable") == whole, "it is whole again");
        assert_eq!(import()["was_there"], true);
    }
    fs_err::remove_file(&file).expect("removed");
    // Its own folder is no source: that is told, and changes nothing.
    let own = file.parent().expect("a folder");
    let own_path = own.to_str().expect("UTF-8");
    let run = home.ek(&["model", "import", own_path, "--name", "m"]).exits(2);
    assert!(run.stderr().contains("vocabulary.i8"), "{}", run.stderr());
    assert!(own.join("model.toml").is_file());
    import();
    assert!(fs_err::read(&file).expect("readable") == whole, "it is whole again");
    let left = fs_err::read_dir(home.data().join("models")).expect("a folder").count();
    assert_eq!(left, 1, "nothing else is left");
}

/// A public export among the fixtures.
fn public(name: &str) -> String {
    let dir = repository().join("models/tests/fixtures").join(name);
    dir.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_public_export_comes_in_and_its_variants_share_a_store() {
    let home = Home::new();
    let siglip = public("siglip");
    let whole = home.ek(&["model", "import", &siglip, "--json"]).exits(0).json();
    assert_eq!((&whole["name"], &whole["precision"]), (&"siglip".into(), &"fp32".into()));
    assert_eq!(whole["brought"]["texts"], 9, "{whole}");
    let small =
        home.ek(&["model", "import", &siglip, "--precision", "int8", "--json"]).exits(0).json();
    assert_eq!(small["space"], whole["space"], "{small}");
    assert!(small["golden"]["pictures"].as_f64().expect("a number") > 0.99, "{small}");
    let run = home.ek(&["model", "import", &siglip, "--precision", "q4"]).exits(2);
    assert!(run.stderr().contains("cosine of 0.99 or more"), "{}", run.stderr());
    let run = home.ek(&["model", "import", &siglip, "--precision", "int5"]).exits(2);
    assert!(run.stderr().contains("q4f16"), "{}", run.stderr());

    // A store made with one is searched with the other, both ways.
    let folder = home.folder("pictures");
    picture(&folder.join("red.png"), [255, 0, 0]);
    home.ek(&["index", "pictures", "--quiet", "--model", "siglip-int8"]).exits(0);
    picture(&folder.join("blue.png"), [0, 0, 255]);
    home.ek(&["index", "pictures", "--quiet", "--model", "siglip"]).exits(0);
    for model in ["siglip", "siglip-int8"] {
        let args = ["search", "--image", "pictures/red.png", "--json", "--model", model];
        let found = home.ek(&args).exits(0).json();
        let first = found["hits"][0]["path"].as_str().expect("a path");
        assert!(first.ends_with("red.png"), "{model}: {found}");
        assert!(found["hits"][0]["cosine"].as_f64().expect("a number") > 0.99, "{model}: {found}");
    }

    // What it says is compared again on this machine, and damage is told with the figure.
    let doctor = home.ek(&["doctor", "--model", "siglip", "--json"]).exits(0).json();
    let check = |name: &str| {
        let checks = doctor["checks"].as_array().expect("checks");
        let found = checks.iter().find(|c| c["name"] == name).unwrap_or_else(|| panic!("{doctor}"));
        found["detail"].as_str().expect("words").to_owned()
    };
    assert!(check("answers").contains("fp32 on the CPU provider"), "{doctor}");
    assert!(check("variant").contains("siglip-int8, of the same space, int8"), "{doctor}");
    let other = home.data().join("models/siglip/golden.json");
    let text = fs_err::read_to_string(&other).expect("readable");
    let mut golden: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    golden["pictures"].as_array_mut().expect("rows").reverse();
    let text = golden.to_string();
    edit_golden(&other, &text);
    let run = home.ek(&["doctor", "--model", "siglip"]).exits(3);
    assert!(run.stdout().contains("BAD  answers"), "{}", run.stdout());
}

#[test]
fn a_store_goes_on_with_the_form_of_a_model_that_it_was_made_with() {
    let home = Home::new();
    let siglip = public("siglip");
    home.ek(&["model", "import", &siglip, "--quiet"]).exits(0);
    home.ek(&["model", "import", &siglip, "--precision", "int8", "--quiet"]).exits(0);
    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    home.ek(&["index", "pictures", "--quiet", "--model", "siglip-int8"]).exits(0);
    let list = || home.ek(&["model", "list", "--json"]).exits(0).json()["models"].clone();
    let in_use = |name: &str| {
        let all = list();
        assert_eq!((&all[0]["name"], &all[0]["chosen"]), (&name.into(), &true.into()), "{all}");
        let of_store = all.as_array().expect("models").iter().filter(|m| m["of_store"] == true);
        assert_eq!(of_store.map(|m| &m["name"]).collect::<Vec<_>>(), [name], "{all}");
    };
    in_use("siglip-int8");
    let info = home.ek(&["model", "info", "--json"]).exits(0).json();
    assert_eq!(info["precision"], "int8", "{info}");
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    in_use("siglip-int8");

    // Within the space nothing is embedded, whoever does it.
    let used = home.ek(&["model", "use", "siglip", "--json"]).exits(0).json();
    assert_eq!((&used["outcome"], &used["report"]["indexed"]), (&"variant".into(), &0.into()));
    in_use("siglip");
    let again = home.ek(&["model", "use", "siglip"]).exits(0).stdout();
    assert!(again.contains("the store's model already"), "{again}");
    let server = Server::start(&home, &["up", "pictures"]);
    let said = home.ek(&["model", "use", "siglip-int8"]).exits(0).stdout();
    assert!(said.contains("nothing to embed"), "{said}");
    let models = server.get("/v1/models").1;
    assert_eq!(
        (&models["models"][0]["name"], &models["models"][0]["chosen"]),
        (&"siglip-int8".into(), &true.into()),
        "{models}"
    );
    assert_eq!(
        server.get("/v1/search?q=red&mode=vector").1["hits"].as_array().map(Vec::len),
        Some(1)
    );
    picture(&home.path().join("pictures/blue.png"), [0, 0, 255]);
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    assert_eq!(server.get("/v1/status").1["images"], 2, "it is written to as before");
    assert_eq!(server.terminate(), 0);
    in_use("siglip-int8");

    // One that is gone is stood in for by another of its space, and that is told.
    fs_err::remove_dir_all(home.data().join("models/siglip-int8")).expect("removed");
    let run = home.ek(&["search", "red"]).exits(0);
    let said = run.stderr();
    assert!(said.contains("siglip-int8, the model of the store in "), "{said}");
    assert!(said.contains(" any more; siglip, of the same space, is used instead"), "{said}");
    assert!(said.contains("ek model import DIR --name siglip-int8"), "{said}");
    home.ek(&["model", "use", "siglip", "--quiet"]).exits(0);
    let run = home.ek(&["search", "red"]).exits(0);
    assert!(!run.stderr().contains("any more"), "{}", run.stderr());
}

/// Puts other answers into a model, as a folder from elsewhere might have them.
fn edit_golden(path: &Path, text: &str) {
    let entry = || {
        let sum = std::process::Command::new("sha256sum").arg(path).output().expect("sha256sum");
        let sum = String::from_utf8(sum.stdout).expect("hexadecimal digits");
        let bytes = fs_err::metadata(path).expect("there").len();
        format!("bytes = {bytes}\nsha256 = \"{}\"", &sum[..64])
    };
    let old = entry();
    fs_err::write(path, text).expect("written");
    edit(&path.with_file_name("model.toml"), &old, &entry());
}

#[test]
fn an_imported_model_goes_if_no_store_needs_it() {
    let home = Home::new();
    let siglip = public("siglip");
    home.ek(&["model", "import", &siglip, "--quiet"]).exits(0);
    let refused = |name: &str, word: &str| {
        let run = home.ek(&["model", "remove", name]).exits(2);
        assert!(run.stderr().contains(word), "{word:?} in {}", run.stderr());
    };
    refused("nobody", "no model was imported");
    refused("lite", "no model was imported");
    refused("../models", "no model was imported");
    let list = home.ek(&["model", "list"]).exits(0).stdout();
    let row = list.lines().find(|line| line.contains("siglip")).expect("a line");
    for told in [" fp32 ", " MB ", " en,de ", "siglip-", "(16-d)"] {
        assert!(row.contains(told), "{told:?} in {row}");
    }

    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    home.ek(&["index", "pictures", "--quiet", "--model", "siglip"]).exits(0);
    let import = ["model", "import", &siglip, "--precision", "int8"];
    let said = home.ek(&import).exits(0).stderr();
    assert!(said.contains("of the store's space") && !said.contains("move the store"), "{said}");
    refused("siglip", "ek model use OTHER");
    home.ek(&["model", "use", "siglip-int8", "--quiet"]).exits(0);
    let removed = home.ek(&["model", "remove", "siglip", "--json"]).exits(0).json();
    assert!(removed["bytes"].as_u64() > Some(10_000), "{removed}");
    assert!(!home.data().join("models/siglip").exists());
    refused("siglip-int8", "ek model use OTHER");
    // Of a former store, too, until that is dropped.
    home.ek(&["model", "use", "lite", "--quiet"]).exits(0);
    refused("siglip-int8", "ek model drop-old");
    home.ek(&["model", "drop-old", "--quiet"]).exits(0);
    home.ek(&["model", "remove", "siglip-int8"]).exits(0);
    assert_eq!(fs_err::read_dir(home.data().join("models")).expect("a folder").count(), 0);
    home.ek(&["search", "red"]).exits(0);
}

#[test]
fn a_model_that_a_server_or_a_move_uses_stays() {
    let home = Home::new();
    let siglip = public("siglip");
    home.ek(&["model", "import", &siglip, "--quiet"]).exits(0);
    home.ek(&["model", "import", &siglip, "--precision", "int8", "--quiet"]).exits(0);
    for (name, colour) in [("red", [255, 0, 0]), ("blue", [0, 0, 255]), ("green", [0, 255, 0])] {
        picture(&home.folder("pictures").join(format!("{name}.png")), colour);
    }
    let refused = |name: &str, words: &str| {
        let run = home.ek(&["model", "remove", name]).exits(2);
        assert!(run.stderr().contains(words), "{words:?} in {}", run.stderr());
        assert!(home.data().join("models").join(name).join("model.toml").exists());
    };
    // Moved to, slowly; which of two of its space is noted at the end.
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    let slow = ["model", "use", "siglip", "--quiet", "--rate", "0.01", "--threads", "1"];
    let mut child = home.command(&slow).spawn().expect("starts");
    let begun = std::time::Instant::now();
    loop {
        let state = home.ek(&["status", "--json"]).exits(0).json();
        if state["generations"][1]["space"].is_string() {
            break;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "it does not begin: {state}");
    }
    refused("siglip", "is just being moved to siglip or another model of its space, by `ek model");
    child.kill().expect("killed");
    child.wait().expect("ended");
    home.ek(&["model", "drop-old", "--quiet"]).exits(0);

    // Searched with, although the store goes with another one.
    home.ek(&["model", "use", "siglip", "--quiet"]).exits(0);
    home.ek(&["model", "drop-old", "--quiet"]).exits(0);
    let folder = home.data().join("models/siglip-int8");
    for named in ["siglip-int8", folder.to_str().expect("UTF-8")] {
        let _server = Server::start(&home, &["up", "pictures", "--model", named]);
        refused("siglip-int8", "searches with siglip-int8: move it to another model");
    }
    let server = Server::start(&home, &["up", "pictures"]);
    home.ek(&["model", "remove", "siglip-int8", "--quiet"]).exits(0);
    assert_eq!(server.get("/v1/search?q=red").0, 200);
}

#[test]
fn languages_that_nobody_said_are_told_in_words() {
    let home = Home::new();
    let dir = home.folder("siglip");
    copy_folder(Path::new(&public("siglip")), &dir);
    fs_err::remove_file(dir.join("README.md")).expect("removed");
    let said = home.ek(&["model", "import", "siglip"]).exits(0).stdout();
    assert!(said.contains("languages not known") && said.contains("--language"), "{said}");
    let info = home.ek(&["model", "info", "siglip"]).exits(0).stdout();
    assert!(info.contains("languages  not known") && !info.contains("  und"), "{info}");
}

#[test]
fn a_query_that_the_model_cannot_know_is_warned_of() {
    let home = Home::new();
    let args = ["model", "import", &public("siglip"), "--language", "en"];
    home.ek(&args).exits(0);
    let folder = home.folder("pictures");
    picture(&folder.join("red.png"), [255, 0, 0]);
    home.ek(&["index", "pictures", "--quiet", "--model", "siglip"]).exits(0);
    let warnings = |words: &str| {
        let found = home.ek(&["search", words, "--mode", "vector", "--json"]).exits(0).json();
        found["warnings"].as_array().cloned().unwrap_or_default()
    };
    assert_eq!(warnings("a red bicycle"), Vec::<serde_json::Value>::new());
    let foreign = warnings("красный велосипед");
    assert_eq!(foreign.len(), 1, "{foreign:?}");
    assert!(foreign[0].as_str().expect("words").contains("Cyrillic"), "{foreign:?}");
    // Letters that no language has, and that its small vocabulary does not know.
    let unknown = warnings("🦊 🦊 🦊");
    assert!(unknown[0].as_str().expect("words").contains("no words for"), "{unknown:?}");
    let run = home.ek(&["search", "赤い自転車"]).exits(0);
    assert!(run.stderr().contains("warning: ") && run.stderr().contains("Han"), "{}", run.stderr());
}
