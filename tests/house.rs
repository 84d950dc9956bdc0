//! The house rules that a compiler does not keep: which way dependencies point,
//! under which licences they come, and which file alone may name what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::support::repository;

fn metadata() -> Metadata {
    let options = ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    MetadataCommand::new()
        .manifest_path(repository().join("Cargo.toml"))
        .other_options(options.map(String::from))
        .exec()
        .expect("cargo metadata")
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("ekphrasis-embed", &[][..]),
        ("ekphrasis-models", &["ekphrasis-embed", "ekphrasis-onnx"]),
        ("ekphrasis-index", &["ekphrasis-embed"]),
        ("ekphrasis-milvus", &["ekphrasis-embed", "ekphrasis-index"]),
        ("ekphrasis-metric", &[]),
        ("ekphrasis-onnx", &[]),
        (
            "ekphrasis-train",
            &["ekphrasis-embed", "ekphrasis-models", "ekphrasis-metric", "ekphrasis-onnx"],
        ),
        (
            "ekphrasis-engine",
            &[
                "ekphrasis-embed",
                "ekphrasis-models",
                "ekphrasis-metric",
                "ekphrasis-index",
                "ekphrasis-milvus",
            ],
        ),
        ("ekphrasis-web", &["ekphrasis-engine"]),
        ("ekphrasis", &["ekphrasis-engine", "ekphrasis-web", "ekphrasis-train"]),
        ("ekphrasis-forge", &["ekphrasis-embed", "ekphrasis-models", "ekphrasis-onnx"]),
    ]);
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        let may = allowed.get(name).unwrap_or_else(|| panic!("{name} has no place in the plan"));
        for dependency in &package.dependencies {
            let other = dependency.name.as_str();
            let plain = dependency.kind == DependencyKind::Normal;
            if plain && other.starts_with("ekphrasis") {
                assert!(may.contains(&other), "{name} must not depend on {other}");
            }
        }
    }
}

#[test]
fn a_part_of_a_kind_has_one_home() {
    let homes: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("ort", &["ekphrasis-models"][..]),
        ("tokenizers", &["ekphrasis-models"]),
        ("hnsw_rs", &["ekphrasis-index"]),
        ("tantivy", &["ekphrasis-index"]),
        ("rusqlite", &["ekphrasis-index"]),
        ("actix-web", &["ekphrasis-web"]),
        ("burn", &["ekphrasis-train"]),
        ("prost", &["ekphrasis-onnx", "ekphrasis-milvus"]),
        ("tonic", &["ekphrasis-milvus"]),
        ("object_store", &["ekphrasis-engine"]),
        ("hyper-util", &["ekphrasis-engine"]),
        ("rmcp", &["ekphrasis"]),
        ("hf-hub", &["ekphrasis"]),
    ]);
    for package in metadata().workspace_packages() {
        for dependency in &package.dependencies {
            if let Some(home) = homes.get(dependency.name.as_str())
                && dependency.kind == DependencyKind::Normal
            {
                let name = package.name.as_str();
                assert!(home.contains(&name), "{} does not belong into {name}", dependency.name);
            }
        }
    }
}

/// Name and licence of every package that reaches the binary on this platform (the
/// lock file also names back ends of burn that nothing asks for).
fn in_the_build(more: &[&str]) -> Vec<(String, String)> {
    let run = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "ekphrasis", "--edges", "normal,build"])
        .args(["--target", "x86_64-unknown-linux-gnu", "--prefix", "none", "--format", "{p}|{l}"])
        .args(more)
        .current_dir(repository())
        .output()
        .expect("cargo tree");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let text = String::from_utf8(run.stdout).expect("UTF-8");
    let line = |line: &str| {
        let (package, licence) = line.split_once('|')?;
        let name = package.split(' ').next()?;
        Some((name.to_owned(), licence.trim_end_matches(" (*)").trim().to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[test]
fn the_first_build_holds_no_trainer() {
    let packages = in_the_build(&[]);
    let holds = |name: &str| packages.iter().any(|(package, _)| package == name);
    assert!(holds("ekphrasis-engine"), "{packages:?}");
    for heavy in ["ekphrasis-train", "burn", "ekphrasis-milvus", "tonic", "object_store"] {
        assert!(!holds(heavy), "{heavy} is compiled into the first-run build");
    }
}

#[test]
fn licences_are_permissive() {
    const ALLOWED: &[&str] = &[
        "0BSD",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSL-1.0",
        "CC0-1.0",
        "CDLA-Permissive-2.0",
        "ISC",
        "MIT",
        "MIT-0",
        "Unicode-3.0",
        "Unlicense",
        "Zlib",
    ];
    // Weak copyleft by file, used as published: `colored` comes with burn, into the trainer
    // only; `option-ext` with hf-hub.
    const EXCEPTIONS: &[(&str, &str)] = &[("colored", "MPL-2.0"), ("option-ext", "MPL-2.0")];
    let mut refused = BTreeSet::new();
    for (name, licence) in in_the_build(&["--features", "train,milvus"]) {
        if licence.is_empty() {
            refused.insert(format!("{name}: states none"));
            continue;
        }
        // Good enough for SPDX as crates write it: one alternative must be allowed,
        // and of what is joined by AND, each.
        let plain = licence.replace('/', " OR ").replace(['(', ')'], "");
        let fine = plain
            .split(" AND ")
            .all(|all| all.split(" OR ").any(|one| ALLOWED.contains(&one.trim())));
        if !fine && !EXCEPTIONS.contains(&(name.as_str(), licence.as_str())) {
            refused.insert(format!("{name}: {licence}"));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

/// All Rust files of the product, without tests.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs_err::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in [
        "src",
        "models/src",
        "models/core/src",
        "models/metric/src",
        "models/onnx/src",
        "models/train/src",
        "index/src",
        "index/milvus/src",
        "web/src",
    ] {
        walk(&repository().join(folder), &mut found);
    }
    found
}

/// Insists that only files whose path ends or starts so contain `needle`.
fn only_in(needle: &str, homes: &[&str]) {
    for file in sources() {
        let name = file.strip_prefix(repository()).expect("inside").display().to_string();
        let code = fs_err::read_to_string(&file).expect("UTF-8");
        let code = code.lines().filter(|l| !l.trim_start().starts_with("//"));
        let named = code.into_iter().any(|line| line.contains(needle));
        let home = homes.iter().any(|h| name.starts_with(h));
        assert!(!named || home, "{name} names {needle}; only {homes:?} may");
    }
}

#[test]
fn some_things_are_named_in_one_place_only() {
    only_in("hnsw_rs", &["index/src/vector/hnsw.rs"]);
    only_in("tantivy", &["index/src/text/", "index/src/error.rs"]);
    only_in("rusqlite", &["index/src/catalogue", "index/src/error.rs"]);
    only_in("tonic", &["index/milvus/src/client"]);
    only_in("object_store", &["src/engine/src/shared/blobs/"]);
    only_in("hyper_util", &["src/engine/src/shared/blobs/http.rs"]);
    only_in("rmcp", &["src/commands/mcp/protocol.rs"]);
    only_in("hf_hub", &["src/hub/cache.rs"]);
    only_in("env::var", &["src/engine/src/config.rs"]);
    // Handlers ask for the engine that serves now; one of their own nobody hands out.
    only_in("Data<Engine>", &["tests/house.rs"]);
}

#[test]
fn files_stay_readable() {
    for file in sources() {
        let lines = fs_err::read_to_string(&file).expect("UTF-8").lines().count();
        assert!(lines <= 600, "{} has {lines} lines", file.display());
    }
}
