//! Given a folder whose sub-folders are classes, which pictures are of which?

use std::path::{Path, PathBuf};

use super::{Pair, PairsError};
use crate::ingest::ENDINGS;

/// Sub-folders of these names are splits, if there are no others.
const SPLITS: [&str; 5] = ["train", "val", "valid", "validation", "test"];

/// Every picture at any depth below `dir/CLASS`, or `dir/SPLIT/CLASS`; in the
/// order of their paths. Hidden files are left out, and files in `dir` itself
/// that are no pictures' business (a licence, a list).
pub(super) fn read(dir: &Path) -> Result<Vec<Pair>, PairsError> {
    let mut pairs = Vec::new();
    let folders = sub_folders(dir)?;
    let splits = !folders.is_empty() && folders.iter().all(|f| SPLITS.contains(&name(f).as_str()));
    for folder in &folders {
        if splits {
            let split = match name(folder).as_str() {
                "valid" | "validation" => "val".to_owned(),
                other => other.to_owned(),
            };
            for class in sub_folders(folder)? {
                pictures(&class, &words(&class), Some(&split), &mut pairs)?;
            }
        } else {
            pictures(folder, &words(folder), None, &mut pairs)?;
        }
    }
    if pairs.is_empty() { Err(PairsError::NoClasses(dir.into())) } else { Ok(pairs) }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// `golden_retriever` and `golden-retriever` are "golden retriever".
fn words(folder: &Path) -> String {
    let spaced = name(folder).replace(['_', '-'], " ");
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What lies in a folder and is not hidden, in the order of names.
fn entries(dir: &Path) -> Result<Vec<PathBuf>, PairsError> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        if !name(&path).starts_with('.') {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn sub_folders(dir: &Path) -> Result<Vec<PathBuf>, PairsError> {
    Ok(entries(dir)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn pictures(
    folder: &Path,
    class: &str,
    split: Option<&str>,
    pairs: &mut Vec<Pair>,
) -> Result<(), PairsError> {
    for path in entries(folder)? {
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_lowercase();
        // A linked folder may lead back up; linked pictures are fine.
        if path.is_dir() && !path.is_symlink() {
            pictures(&path, class, split, pairs)?;
        } else if path.is_file() && ENDINGS.contains(&ending.as_str()) {
            pairs.push(Pair {
                path: Some(path),
                texts: vec![class.to_owned()],
                class: Some(class.to_owned()),
                split: split.map(str::to_owned),
                ..Pair::default()
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for file in files {
            let path = dir.path().join(file);
            fs_err::create_dir_all(path.parent().expect("a folder")).expect("created");
            fs_err::write(path, "x").expect("written");
        }
        dir
    }

    #[test]
    fn sub_folders_are_classes() {
        let dir = tree(&[
            "golden_retriever/b.JPG",
            "golden_retriever/deeper/a.png",
            "golden_retriever/notes.txt",
            "tabby-cat/c.webp",
            "tabby-cat/.hidden.png",
            "LICENSE",
        ]);
        let pairs = read(dir.path()).expect("classes");
        let seen: Vec<_> = pairs
            .iter()
            .map(|p| (name(p.path.as_deref().expect("a picture")), p.texts[0].as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("b.JPG".to_owned(), "golden retriever"),
                ("a.png".to_owned(), "golden retriever"),
                ("c.webp".to_owned(), "tabby cat"),
            ]
        );
        assert!(pairs.iter().all(|p| p.class.as_deref() == Some(p.texts[0].as_str())));
        assert_eq!(pairs[0].split, None);
    }

    #[test]
    fn folders_named_like_splits_are_splits() {
        let dir = tree(&["train/cat/a.png", "validation/cat/b.png", "test/dog/c.png"]);
        let pairs = read(dir.path()).expect("classes");
        let splits: Vec<_> = pairs.iter().map(|p| p.split.as_deref().unwrap_or("")).collect();
        assert_eq!(splits, ["test", "train", "val"]);
        assert_eq!(pairs[0].texts, ["dog"]);
    }

    #[test]
    fn a_folder_without_classes_is_refused() {
        let dir = tree(&["a.png", "empty/readme.md"]);
        let error = read(dir.path()).expect_err("refused").to_string();
        assert!(error.contains("CLASS/PICTURE"), "{error}");
    }
}
