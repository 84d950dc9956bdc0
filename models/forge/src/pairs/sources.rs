//! Given an id of the splits, which file is its picture? Four published sources
//! of pictures, and how each one's ids come from its files' names.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::Fixed;
use crate::Result;
use crate::packages::{Package, Packages, Registry};

/// Where the pictures of one source are.
pub(super) struct Source {
    /// What stands before the colon of its ids; also the style its pictures are drawn in.
    pub(super) name: &'static str,
    package: Package,
    /// The pictures' folder within the package.
    folder: &'static str,
    ids: Ids,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ids {
    /// The rest of the id is a file's relative path.
    Paths,
    /// The rest of the id is the normal form of a file's hex code points.
    CodePoints,
}

/// Drawings in the public domain.
pub(crate) const OPENCLIPART: Package = Package {
    registry: Registry::Debian,
    name: "openclipart-png",
    version: "1:0.18+dfsg-19",
    sha256: "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02",
};

/// Emoji rendered in three dimensions.
pub(crate) const FLUENT: Package = Package {
    registry: Registry::Npm,
    name: "@lobehub/fluent-emoji-3d",
    version: "1.1.0",
    sha256: "c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
};

pub(super) const SOURCES: [Source; 4] = [
    Source {
        name: "openclipart",
        package: OPENCLIPART,
        folder: "usr/share/openclipart/png",
        ids: Ids::Paths,
    },
    Source {
        name: "google",
        package: Package {
            registry: Registry::Npm,
            name: "emoji-datasource-google",
            version: "16.0.0",
            sha256: "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        },
        folder: "img/google/64",
        ids: Ids::CodePoints,
    },
    Source {
        name: "twitter",
        package: Package {
            registry: Registry::Npm,
            name: "emoji-datasource-twitter",
            version: "16.0.0",
            sha256: "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
        },
        folder: "img/twitter/64",
        ids: Ids::CodePoints,
    },
    Source { name: "fluent", package: FLUENT, folder: "assets", ids: Ids::CodePoints },
];

/// What stands before the colon of an id.
pub(super) fn source_of(id: &str) -> &str {
    id.split_once(':').map_or(id, |(source, _)| source)
}

/// The picture of each line, in the lines' order.
///
/// # Errors
/// With the counts if a package cannot be fetched or lacks pictures.
pub(super) fn pictures(packages: &Packages, fixed: &[Fixed]) -> Result<Vec<PathBuf>> {
    let mut files = HashMap::new();
    for source in &SOURCES {
        if fixed.iter().any(|f| source_of(&f.id) == source.name) {
            let folder = packages.unpacked(&source.package)?.join(source.folder);
            collect(source, &fs_err::canonicalize(folder)?, &mut files)?;
        }
    }
    complete(fixed, &files)?;
    Ok(dealt(fixed, &files).into_iter().map(Path::to_path_buf).collect())
}

/// Adds every picture of a source under its id.
fn collect(
    source: &Source,
    folder: &Path,
    files: &mut HashMap<String, Vec<PathBuf>>,
) -> Result<()> {
    let mut found = Vec::new();
    walk(folder, &mut found)?;
    // Some emoji lie there twice (`23-fe0f-20e3`, `0023-fe0f-20e3`), as two pictures.
    found.sort();
    for file in found {
        let rest = file.strip_prefix(folder)?;
        let Some(rest) = rest.to_str() else { continue };
        let rest = match source.ids {
            Ids::Paths => rest.to_owned(),
            Ids::CodePoints => match rest.rsplit_once('.') {
                Some((stem, "png" | "webp")) => code_points(stem),
                _ => continue,
            },
        };
        files.entry(format!("{}:{rest}", source.name)).or_default().push(file);
    }
    Ok(())
}

/// Each line's picture. The splits list an id as often as it has pictures, so
/// its lines are dealt the files in the order of their names.
fn dealt<'a>(fixed: &[Fixed], files: &'a HashMap<String, Vec<PathBuf>>) -> Vec<&'a Path> {
    let mut turns: HashMap<&str, usize> = HashMap::new();
    fixed
        .iter()
        .map(|f| {
            let own = &files[&f.id];
            let turn = turns.entry(&f.id).or_default();
            *turn += 1;
            own[(*turn - 1) % own.len()].as_path()
        })
        .collect()
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(&path, found)?;
        } else if path.is_file() {
            // A drawing that fits two folders is a link in one of them.
            found.push(path);
        }
    }
    Ok(())
}

/// The normal form of a sequence of hex code points: lower case, no leading
/// zeros, without the selector that only asks for the coloured form.
pub(super) fn code_points(stem: &str) -> String {
    let points = stem.split('-').map(|p| p.trim_start_matches('0').to_lowercase());
    points.filter(|p| p != "fe0f").collect::<Vec<_>>().join("-")
}

/// Fails with the numbers unless every id has its file.
fn complete(fixed: &[Fixed], files: &HashMap<String, Vec<PathBuf>>) -> Result<()> {
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for f in fixed.iter().filter(|f| !files.contains_key(&f.id)) {
        missing.entry(source_of(&f.id)).or_default().push(&f.id);
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut message = String::from("pictures of the splits that their packages lack:");
    for (source, ids) in missing {
        message.push_str(&format!(" {source} {} (first {})", ids.len(), ids[0]));
    }
    message.push_str("; are the packages and the splits of the pinned versions?");
    Err(message.into())
}

#[cfg(test)]
mod tests {
    use super::super::Split;
    use super::*;

    #[test]
    fn code_points_have_one_normal_form() {
        assert_eq!(code_points("0023-FE0F-20E3"), "23-20e3");
        assert_eq!(code_points("23-fe0f-20e3"), "23-20e3");
        assert_eq!(code_points("00a9-fe0f"), "a9");
        assert_eq!(code_points("1F468-200D-2764-FE0F-200D-1F468"), "1f468-200d-2764-200d-1f468");
        assert_eq!(code_points("1f004"), "1f004");
    }

    #[test]
    fn files_get_the_ids_of_their_source() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("forge-pairs-{}", std::process::id()));
        fs_err::create_dir_all(folder.join("animals/birds"))?;
        for name in
            ["animals/birds/owl_01.png", "0023-fe0f-20e3.png", "23-fe0f-20e3.png", "note.md"]
        {
            fs_err::write(folder.join(name), "x")?;
        }
        let mut files = HashMap::new();
        for source in SOURCES.iter().filter(|s| s.name == "openclipart" || s.name == "google") {
            collect(source, &folder, &mut files)?;
        }
        assert_eq!(
            files["openclipart:animals/birds/owl_01.png"],
            [folder.join("animals/birds/owl_01.png")]
        );
        let both = ["0023-fe0f-20e3.png", "23-fe0f-20e3.png"].map(|name| folder.join(name));
        assert_eq!(files["google:23-20e3"], both);
        let line = || Fixed {
            id: "google:23-20e3".into(),
            group: 0,
            split: Split::Test,
            caption: "keycap: #".into(),
        };
        assert_eq!(dealt(&[line(), line()], &files), both, "one picture a line");
        assert!(!files.contains_key("google:note"));
        fs_err::remove_dir_all(&folder)?;
        Ok(())
    }

    #[test]
    fn missing_pictures_are_counted_by_source() {
        let line =
            |id: &str| Fixed { id: id.into(), group: 0, split: Split::Test, caption: "a".into() };
        let fixed = [line("google:1"), line("google:2"), line("fluent:1"), line("twitter:1")];
        let files = HashMap::from([("twitter:1".to_owned(), vec![PathBuf::from("x")])]);
        let message = complete(&fixed, &files).unwrap_err().to_string();
        assert!(message.contains("google 2 (first google:1)"), "{message}");
        assert!(message.contains("fluent 1"), "{message}");
        assert!(!message.contains("twitter"), "{message}");
        assert!(complete(&fixed[3..], &files).is_ok());
    }
}
