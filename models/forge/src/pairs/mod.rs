//! Given the fixed splits, which file is each picture, and which words are its
//! own? Found in the published packages and written in the one pairs schema.
//!
//! A line has `path`, `caption` (the splits', on which the protocol depends),
//! `captions` (further sentences, training lines alone), `tags` (keywords),
//! `group`, `id`, `split`, `style` (who drew it: openclipart, google, twitter or
//! fluent) and, on test lines, `subset`: `backbone` where the caption names one
//! of the backbone's own classes, else `new`. A line whose picture is byte for
//! byte one that is held out (some flags and faces are one file under two
//! codes) gets the split `copy`: it is neither learnt from nor chosen by.

mod backbone;
mod combinations;
mod recolour;
mod sources;
mod words;

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::packages::{Packages, sha256};
use backbone::ClassNames;
use sources::{SOURCES, source_of};
use words::Keywords;

pub(crate) use sources::{FLUENT, OPENCLIPART};

/// The splits as the repository keeps them.
const SPLITS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference/splits.jsonl");

/// The names of the backbone's classes.
const CLASSES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference/imagenet1k_names.json");

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
    /// Hold a style out: its training lines get the split `style-test`, its
    /// validation lines `style-val`, and the file is pairs-without-STYLE.jsonl.
    #[arg(long, value_parser = ["openclipart", "google", "twitter", "fluent"])]
    without_style: Option<String>,
    /// Write combinations.jsonl instead: drawings in other colours and manners,
    /// with whole (attribute, object) pairs held out.
    #[arg(long, conflicts_with_all = ["only", "without_style"])]
    combinations: bool,
    /// Which combinations are held out.
    #[arg(long, default_value_t = 1, requires = "combinations")]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Split {
    Train,
    Val,
    Test,
}

impl Split {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

/// A line of the splits file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Fixed {
    id: String,
    group: u64,
    split: Split,
    caption: String,
}

/// A line of a pairs file.
#[derive(Debug, PartialEq, Serialize)]
struct Pair<'a> {
    path: String,
    caption: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    captions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    /// A string, as in every other pairs file.
    group: String,
    id: &'a str,
    split: &'a str,
    style: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subset: Option<&'static str>,
}

pub(crate) fn run(packages: &Packages, args: &Args) -> Result<()> {
    let text = fs_err::read_to_string(&args.splits)?;
    let mut fixed = parse(&text).map_err(|e| format!("{}: {e}", args.splits.display()))?;
    if let Some(only) = args.only {
        fixed.retain(|f| f.split == only);
    }
    let files = sources::pictures(packages, &fixed)?;
    fs_err::create_dir_all(&args.out)?;
    let out = fs_err::canonicalize(&args.out)?;
    if args.combinations {
        return combinations::write(&out, &fixed, &files, args.seed);
    }

    let keywords = Keywords::read(packages, &fixed)?;
    let classes = ClassNames::read(Path::new(CLASSES))?;
    let contents = files.iter().map(|f| sha256(f)).collect::<Result<Vec<_>>>()?;
    let copies = copies(&fixed, &contents);
    let mut lines = Vec::with_capacity(fixed.len());
    for ((f, file), is_copy) in fixed.iter().zip(&files).zip(copies) {
        let words = keywords.of(f);
        let style = source_of(&f.id);
        let held_out = args.without_style.as_deref() == Some(style);
        let subset = || if classes.name(&f.caption) { "backbone" } else { "new" };
        lines.push(Pair {
            path: relative(&out, file)?,
            caption: &f.caption,
            // One caption a picture in the splits that are measured on.
            captions: if f.split == Split::Train { words.sentences } else { Vec::new() },
            tags: words.tags,
            group: f.group.to_string(),
            id: &f.id,
            split: match f.split {
                _ if is_copy => "copy",
                Split::Train if held_out => "style-test",
                Split::Val if held_out => "style-val",
                other => other.name(),
            },
            style,
            subset: (f.split == Split::Test).then(subset),
        });
    }
    let name = match &args.without_style {
        Some(style) => format!("pairs-without-{style}.jsonl"),
        None => "pairs.jsonl".to_owned(),
    };
    let written = write(&out, &name, &lines)?;
    print!("{}", table(&fixed));
    print!("{}", summary(&lines));
    println!("{}: {} pictures", written.display(), lines.len());
    Ok(())
}

/// Which lines have the picture of a line that is held out more strictly: test
/// before val before train.
fn copies(fixed: &[Fixed], contents: &[String]) -> Vec<bool> {
    let mut strictest: HashMap<&str, Split> = HashMap::new();
    for (f, content) in fixed.iter().zip(contents) {
        let split = strictest.entry(content).or_insert(f.split);
        *split = f.split.max(*split);
    }
    fixed.iter().zip(contents).map(|(f, c)| strictest[c.as_str()] > f.split).collect()
}

/// Writes lines beside and moves them, so that a reader never sees half a file.
fn write(out: &Path, name: &str, lines: &[impl Serialize]) -> Result<PathBuf> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&serde_json::to_string(line)?);
        text.push('\n');
    }
    let written = out.join(name);
    let partial = out.join(format!("{name}.partial"));
    fs_err::write(&partial, text)?;
    fs_err::rename(&partial, &written)?;
    Ok(written)
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

/// The way from a folder to a file, for a pairs file; both absolute, the
/// folders without symbolic links.
fn relative(from: &Path, to: &Path) -> Result<String> {
    let common = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(to.components().skip(common)).collect();
    Ok(way.to_str().ok_or_else(|| format!("{}: not UTF-8", way.display()))?.to_owned())
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

/// How many lines got which words, and how the test lines divide.
fn summary(lines: &[Pair<'_>]) -> String {
    let tagged = lines.iter().filter(|l| !l.tags.is_empty()).count();
    let tags: usize = lines.iter().map(|l| l.tags.len()).sum();
    let sentences: usize = lines.iter().map(|l| l.captions.len()).sum();
    let copies = lines.iter().filter(|l| l.split == "copy").count();
    let subset = |name| lines.iter().filter(|l| l.subset == Some(name)).count();
    format!(
        "{tagged} pictures with keywords ({tags}), {sentences} further captions; \
         test pictures of the backbone's classes {}, new {}; \
         {copies} lines set aside as copies of held-out pictures\n",
        subset("backbone"),
        subset("new")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn the_stricter_split_keeps_a_picture() {
        let line = |split| Fixed { id: String::new(), group: 0, split, caption: String::new() };
        let fixed = [Split::Train, Split::Val, Split::Test, Split::Train, Split::Val, Split::Train]
            .map(line);
        let contents = ["a", "a", "a", "b", "b", "c"].map(str::to_owned);
        assert_eq!(copies(&fixed, &contents), [true, true, false, true, false, false]);
    }

    #[test]
    fn a_relative_way_leads_back() -> Result<()> {
        let way = |a: &str, b: &str| relative(Path::new(a), Path::new(b));
        assert_eq!(way("/t/pairs", "/t/packages/a.png")?, "../packages/a.png");
        assert_eq!(way("/t", "/t/a.png")?, "a.png");
        assert_eq!(way("/x/y", "/z/a.png")?, "../../z/a.png");
        Ok(())
    }
}
