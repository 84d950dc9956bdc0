//! `ek copy` through the real program.

use serde_json::{Value, json};

use crate::support::{album, answers};

#[test]
fn a_store_is_carried_into_another_folder() {
    let home = album(&[]);
    let data = home.data().to_string_lossy().into_owned();
    let copy = ["copy", "--from", "local", "--to", "elsewhere", "--json"];
    let report = home.ek(&copy).exits(0).json();
    let counts = |report: &Value| {
        ["seen", "copied", "unchanged", "there", "recall", "whole"].map(|key| report[key].clone())
    };
    assert_eq!(counts(&report), [json!(4), json!(4), json!(0), json!(4), json!(1.0), json!(true)]);
    assert_eq!(answers(&home, "elsewhere"), answers(&home, &data));
    let report = home.ek(&copy).exits(0).json();
    assert_eq!(counts(&report)[..4], [json!(4), json!(0), json!(4), json!(4)]);
    let said = home.ek(&["copy", "--from", "local", "--to", "elsewhere"]).exits(0).stdout();
    assert!(said.contains("0 items copied, 4 there already"), "{said}");
    assert!(said.contains("100.0 % of the true ten nearest of 3 queries"), "{said}");
}

#[test]
fn what_is_no_store_is_said() {
    let home = album(&[]);
    for (from, to, code, what) in [
        ("local", "local", 2, "--from and --to are both"),
        ("nowhere", "elsewhere", 2, "no store to copy"),
        ("local", "https://example.org/x", 2, "is no store that is known here"),
        #[cfg(feature = "milvus")]
        ("local", "milvus://host", 2, "names no collection"),
        #[cfg(feature = "milvus")]
        ("local", "milvus://127.0.0.1:9/x", 3, "could not be asked for its version"),
        #[cfg(not(feature = "milvus"))]
        ("local", "milvus://host/x", 3, "cargo install --path . --features milvus"),
    ] {
        let said = home.ek(&["copy", "--from", from, "--to", to]).exits(code).stderr();
        assert!(said.contains(what), "{from} {to}: {said}");
    }
}

#[cfg(feature = "milvus")]
mod on_milvus {
    use super::*;
    use crate::support::Milvus;

    #[test]
    fn a_store_goes_to_a_server_and_back() {
        let home = album(&[]);
        let there = Milvus::new_address();
        let report =
            home.ek(&["copy", "--from", "local", "--to", &there, "--json"]).exits(0).json();
        assert_eq!((&report["copied"], &report["recall"]), (&json!(4), &json!(1.0)), "{report}");
        let report =
            home.ek(&["copy", "--from", "local", "--to", &there, "--json"]).exits(0).json();
        assert_eq!((&report["copied"], &report["unchanged"]), (&json!(0), &json!(4)));
        let report = home.ek(&["copy", "--from", &there, "--to", "back", "--json"]).exits(0).json();
        assert_eq!((&report["copied"], &report["whole"]), (&json!(4), &json!(true)), "{report}");
        let data = home.data().to_string_lossy().into_owned();
        assert_eq!(answers(&home, "back"), answers(&home, &data));
    }
}
