//! The house rules that a compiler does not keep: which way dependencies point,
//! under which licences they come, and which file alone may name what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

use crate::support::repository;

fn metadata(more: &[&str]) -> Metadata {
    let plain = ["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    MetadataCommand::new()
        .manifest_path(repository().join("Cargo.toml"))
        .other_options(plain.iter().chain(more).map(ToString::to_string).collect::<Vec<_>>())
        .exec()
        .expect("cargo metadata")
}

#[test]
fn dependencies_point_one_way() {
    let metadata = metadata(&[]);
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("ekphrasis-embed", &[][..]),
        ("ekphrasis-models", &["ekphrasis-embed"]),
        ("ekphrasis-index", &["ekphrasis-embed"]),
        ("ekphrasis-metric", &[]),
        ("ekphrasis-onnx", &[]),
        (
            "ekphrasis-train",
            &["ekphrasis-embed", "ekphrasis-models", "ekphrasis-metric", "ekphrasis-onnx"],
        ),
        (
            "ekphrasis-engine",
            &["ekphrasis-embed", "ekphrasis-models", "ekphrasis-metric", "ekphrasis-index"],
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
        ("prost", &["ekphrasis-onnx"]),
    ]);
    for package in metadata(&[]).workspace_packages() {
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

/// Every package that reaches the binary of `root` on this platform (the lock file
/// also names back ends of burn that nothing asks for).
fn in_the_build<'a>(metadata: &'a Metadata, root: &str) -> Vec<&'a Package> {
    let resolve = metadata.resolve.as_ref().expect("resolved");
    let packages: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p)).collect();
    let nodes: BTreeMap<_, _> = resolve.nodes.iter().map(|n| (&n.id, n)).collect();
    let start = &metadata.packages.iter().find(|p| p.name == root).expect("the root package").id;
    let mut open = vec![start];
    let mut seen = BTreeSet::from([start]);
    while let Some(id) = open.pop() {
        for dependency in &nodes[id].deps {
            let linked = dependency.dep_kinds.iter().any(|k| k.kind != DependencyKind::Development);
            if linked && seen.insert(&dependency.pkg) {
                open.push(&dependency.pkg);
            }
        }
    }
    seen.into_iter().map(|id| packages[id]).collect()
}

#[test]
fn the_first_build_holds_no_trainer() {
    let metadata = metadata(&[]);
    let names: Vec<_> =
        in_the_build(&metadata, "ekphrasis").iter().map(|p| p.name.as_str()).collect();
    assert!(names.contains(&"ekphrasis-engine"), "{names:?}");
    for heavy in ["ekphrasis-train", "burn"] {
        assert!(!names.contains(&heavy), "{heavy} is compiled into the first-run build");
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
    // Weak copyleft by file, used as published; comes with burn, into the trainer only.
    const EXCEPTIONS: &[(&str, &str)] = &[("colored", "MPL-2.0")];
    let mut refused = BTreeSet::new();
    for package in in_the_build(&metadata(&["--features", "train"]), "ekphrasis") {
        let Some(licence) = &package.license else {
            refused.insert(format!("{}: states none", package.name));
            continue;
        };
        // Good enough for SPDX as crates write it: one alternative must be allowed,
        // and of what is joined by AND, each.
        let plain = licence.replace('/', " OR ").replace(['(', ')'], "");
        let fine = plain
            .split(" AND ")
            .all(|all| all.split(" OR ").any(|one| ALLOWED.contains(&one.trim())));
        if !fine && !EXCEPTIONS.contains(&(package.name.as_str(), licence)) {
            refused.insert(format!("{}: {licence}", package.name));
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
    only_in("env::var", &["src/engine/src/config.rs"]);
}

#[test]
fn files_stay_readable() {
    for file in sources() {
        let lines = fs_err::read_to_string(&file).expect("UTF-8").lines().count();
        assert!(lines <= 600, "{} has {lines} lines", file.display());
    }
}
