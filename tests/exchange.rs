//! `ek export`, `ek import` and `ek recall` through the real program.

use serde_json::{Value, json};

use crate::support::{Home, album, answers};

#[test]
fn what_is_exported_is_found_where_it_is_imported() {
    let home = album(&[json!({"text": "a text of its own"})]);
    let data = home.data().to_string_lossy().into_owned();
    let forms: &[&str] =
        if cfg!(feature = "parquet") { &["all.npy", "all.parquet"] } else { &["all.npy"] };
    for form in forms {
        let export = ["export", "--vectors", form];
        // Three pictures, a caption and a text.
        assert_eq!(home.ek(&[&export[..], &["--json"]].concat()).exits(0).json()["items"], 5);
        let said = home.ek(&export).exits(2).stderr();
        assert!(said.contains("is there already"), "{said}");
        let other = format!("from-{form}");
        let import = ["import", form, "--data", &other, "--json"];
        assert_eq!(home.ek(&import).exits(0).json()["items"], 5);
        assert_eq!(answers(&home, &other), answers(&home, &data), "{form}");
    }
    let said = home.ek(&["export", "--vectors", "all.csv"]).exits(2).stderr();
    assert!(said.contains(".npy or .parquet"), "{said}");
    let said = home.ek(&["import", "gone.npy"]).exits(2).stderr();
    assert!(said.contains("no file gone.npy"), "{said}");
    fs_err::write(home.path().join("alone.npy"), "x").expect("written");
    let said = home.ek(&["import", "alone.npy", "--data", "elsewhere"]).exits(2).stderr();
    assert!(said.contains("alone.jsonl") && said.contains("three files"), "{said}");
    // Nothing of an export that is not as it was comes in.
    fs_err::write(home.path().join("all.jsonl"), "{}\n").expect("written");
    let said = home.ek(&["import", "all.npy", "--data", "elsewhere"]).exits(2).stderr();
    assert!(said.contains("not as it was exported"), "{said}");
    let status = home.ek(&["status", "--data", "elsewhere", "--json"]).exits(0).json();
    assert_eq!((&status["images"], &status["texts"]), (&json!(0), &json!(0)));
}

#[cfg(not(feature = "parquet"))]
#[test]
fn parquet_says_how_it_is_had() {
    let home = album(&[json!({"text": "a text of its own"})]);
    let said = home.ek(&["export", "--vectors", "all.parquet"]).exits(3).stderr();
    assert!(said.contains("cargo install --path . --features parquet"), "{said}");
}

/// A store that is large enough for a graph is measured in the tests of the index.
#[test]
fn a_small_store_misses_nothing_and_says_so() {
    let home = album(&[json!({"text": "a text of its own"})]);
    let status = || home.ek(&["status", "--json"]).exits(0).json()["recall"].clone();
    assert_eq!(status(), Value::Null);
    let said = home.ek(&["recall"]).exits(0).stdout();
    assert!(said.contains("all 5 vectors: nothing is missed"), "{said}");
    let recall = status();
    assert_eq!(
        (&recall["exact"], &recall["met"], &recall["ef"]),
        (&true.into(), &true.into(), &Value::Null)
    );
    let sides = recall["sides"].as_array().expect("sides");
    let of = |part: &str| sides.iter().map(|side| side[part].clone()).collect::<Vec<_>>();
    assert_eq!(of("from"), ["text", "image", "image", "text"]);
    assert_eq!(of("to"), ["image", "image", "text", "all"]);
    assert_eq!(of("recall"), [1.0, 1.0, 1.0, 1.0]);
    let said = home.ek(&["status"]).exits(0).stdout();
    assert!(said.contains("nothing is missed"), "{said}");
    let json = home.ek(&["recall", "--measure-only", "--target", "1", "--json"]).exits(0).json();
    assert_eq!((&json["target"], &json["met"]), (&json!(1.0), &json!(true)));
    let said = home.ek(&["recall", "--target", "1.5"]).exits(2).stderr();
    assert!(said.contains("from 0 to 1"), "{said}");
    let empty = Home::new();
    let said = empty.ek(&["recall"]).exits(3).stderr();
    assert!(said.contains("there is no store"), "{said}");
}
