//! Given the fixed splits, which file is each picture, and which words are its
//! own? Found in the published packages and written in the one pairs schema.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::packages::{Package, Packages, Registry};

/// The splits as the repository keeps them.
const SPLITS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference/splits.jsonl");

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where pairs.jsonl is written.
    #[arg(long, default_value = "target/pairs")]
    out: PathBuf,
    /// The fixed splits: one line a picture with id, group, split and caption.
    #[arg(long, default_value = SPLITS, hide_default_value = true)]
    splits: PathBuf,
    /// Write this split alone.
    #[arg(long, value_enum)]
    only: Option<Split>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Split {
    Train,
    Val,
    Test,
}

/// A line of the splits file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Fixed {
    id: String,
    group: u64,
    split: Split,
    caption: String,
}

/// A line of the pairs file.
#[derive(Debug, PartialEq, Serialize)]
struct Pair<'a> {
    path: String,
    caption: &'a str,
    /// A string, as in every other pairs file.
    group: String,
    id: &'a str,
    split: Split,
}

/// Where the pictures of one source are.
struct Source {
    /// What stands before the colon of its ids.
    name: &'static str,
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

const SOURCES: [Source; 4] = [
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

pub(crate) fn run(packages: &Packages, args: &Args) -> Result<()> {
    let text = fs_err::read_to_string(&args.splits)?;
    let mut fixed = parse(&text).map_err(|e| format!("{}: {e}", args.splits.display()))?;
    if let Some(only) = args.only {
        fixed.retain(|f| f.split == only);
    }
    let mut files = HashMap::new();
    for source in &SOURCES {
        if fixed.iter().any(|f| source_of(&f.id) == source.name) {
            let folder = packages.unpacked(&source.package)?.join(source.folder);
            collect(source, &fs_err::canonicalize(folder)?, &mut files)?;
        }
    }
    complete(&fixed, &files)?;
    let files = dealt(&fixed, &files);

    fs_err::create_dir_all(&args.out)?;
    let out = fs_err::canonicalize(&args.out)?;
    let mut lines = String::new();
    for (f, file) in fixed.iter().zip(files) {
        let path = relative(&out, file);
        let path = path.to_str().ok_or_else(|| format!("{}: not UTF-8", path.display()))?;
        let pair = Pair {
            path: path.to_owned(),
            caption: &f.caption,
            group: f.group.to_string(),
            id: &f.id,
            split: f.split,
        };
        lines.push_str(&serde_json::to_string(&pair)?);
        lines.push('\n');
    }
    let written = out.join("pairs.jsonl");
    let partial = out.join("pairs.jsonl.partial");
    fs_err::write(&partial, lines)?;
    fs_err::rename(&partial, &written)?;
    print!("{}", table(&fixed));
    println!("{}: {} pictures", written.display(), fixed.len());
    Ok(())
}

/// The lines in the file's order, which is therefore the order of the pairs.
fn parse(text: &str) -> Result<Vec<Fixed>> {
    let mut fixed = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let entry: Fixed =
            serde_json::from_str(line).map_err(|e| format!("line {}: {e}", i + 1))?;
        fixed.push(entry);
    }
    Ok(fixed)
}

fn source_of(id: &str) -> &str {
    id.split_once(':').map_or(id, |(source, _)| source)
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
fn code_points(stem: &str) -> String {
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

/// The way from a folder to a file; both absolute, the folders without symbolic links.
fn relative(from: &Path, to: &Path) -> PathBuf {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    up.chain(to.components().skip(common)).collect()
}

/// Counts by source and split, and the number of concept groups of each split.
fn table(fixed: &[Fixed]) -> String {
    let splits = [Split::Train, Split::Val, Split::Test];
    let row = |name: &str, of: &dyn Fn(Split) -> usize| {
        let [train, val, test] = splits.map(of);
        format!("{name:<12}{train:>7}{val:>7}{test:>7}\n")
    };
    let mut text = format!("{:<12}{:>7}{:>7}{:>7}\n", "source", "train", "val", "test");
    for source in &SOURCES {
        text.push_str(&row(source.name, &|split| {
            fixed.iter().filter(|f| f.split == split && source_of(&f.id) == source.name).count()
        }));
    }
    text.push_str(&row("all", &|split| fixed.iter().filter(|f| f.split == split).count()));
    text.push_str(&row("groups", &|split| {
        let mut groups: Vec<u64> =
            fixed.iter().filter(|f| f.split == split).map(|f| f.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.len()
    }));
    text
}

#[cfg(test)]
mod tests {
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
    fn the_repositorys_splits_have_the_published_counts() -> Result<()> {
        let fixed = parse(&fs_err::read_to_string(SPLITS)?)?;
        let rows = table(&fixed);
        let rows: Vec<Vec<&str>> = rows.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(rows[5], ["all", "7989", "734", "1036"]);
        assert_eq!(rows[6][3], "269");
        for f in &fixed {
            let source = source_of(&f.id);
            assert!(SOURCES.iter().any(|s| s.name == source), "no package for {}", f.id);
        }
        Ok(())
    }

    #[test]
    fn concepts_do_not_cross_splits() -> Result<()> {
        let mut split_of = HashMap::new();
        for f in parse(&fs_err::read_to_string(SPLITS)?)? {
            let first = *split_of.entry(f.group).or_insert(f.split);
            assert_eq!(first, f.split, "group {} of {}", f.group, f.id);
        }
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

    #[test]
    fn a_relative_way_leads_back() {
        let way = |a: &str, b: &str| relative(Path::new(a), Path::new(b));
        assert_eq!(way("/t/pairs", "/t/packages/a.png"), Path::new("../packages/a.png"));
        assert_eq!(way("/t", "/t/a.png"), Path::new("a.png"));
        assert_eq!(way("/x/y", "/z/a.png"), Path::new("../../z/a.png"));
    }
}
