//! Given pairs, will training on them come to anything? Everything that can be
//! told beforehand is told beforehand, with what to do about it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::groups::{Groups, normal};
use super::{ContentHash, Example, Seen};

/// What the pairs are to be used for; it decides what they must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Pictures and words are brought together: captions are needed.
    Captions,
    /// Pictures are compared with pictures: groups or classes of at least two
    /// pictures are needed.
    Groups,
}

/// Whether training may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Training begins, perhaps without some lines.
    Warning,
    /// It would come to nothing, or to figures that mislead.
    Error,
}

/// Which fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingKind {
    /// No lines, or none with a usable picture.
    NoPictures,
    /// Files that are not there.
    Missing,
    /// Files that cannot be read.
    Unreadable,
    /// Files that are no pictures.
    Undecodable,
    /// Lines that say the same as another.
    DuplicateRows,
    /// One content in several groups.
    OneContentManyGroups,
    /// One content in several splits.
    ContentAcrossSplits,
    /// One group in several splits.
    GroupAcrossSplits,
    /// Captions that are in training and held out.
    CaptionAcrossSplits,
    /// Some lines have a split, others none.
    SomeSplits,
    /// Splits, but none to learn from.
    NoTrainSplit,
    /// No captions at all.
    NoCaptions,
    /// Some pictures without words.
    SomeWithoutWords,
    /// All captions are equal.
    EqualCaptions,
    /// Neither groups nor classes.
    NoGroups,
    /// All in one class or group.
    OneClass,
    /// No two pictures that may be each other's negatives.
    NoNegatives,
    /// No group with two pictures.
    NoPositives,
    /// Fewer pairs than learning needs.
    TooFew,
}

/// One kind of fault, however often it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub kind: FindingKind,
    /// How bad.
    pub severity: Severity,
    /// How many lines, groups or contents have it.
    pub count: usize,
    /// What is wrong, the first few by name, and what to do: whole sentences.
    pub text: String,
}

/// What was found, errors first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The faults.
    pub findings: Vec<Finding>,
    /// The lines that can be used: their picture was seen to be one, and the
    /// same line was not there before.
    pub usable: Vec<usize>,
}

impl Report {
    /// Whether training must not begin.
    pub fn refused(&self) -> bool {
        self.findings.iter().any(|f| f.severity == Severity::Error)
    }
}

/// Pictures to learn from below which nothing is learnt, and below which the
/// model is likely to learn them by heart.
const LEAST: usize = 16;
const FEW: usize = 100;

/// How many are named where many are meant.
const NAMED: usize = 3;

/// Looks for everything that would waste the hour. `seen` is one entry an
/// example, from [`look`](super::look).
///
/// # Panics
/// If the two slices differ in length.
pub fn check(examples: &[Example], seen: &[Seen], purpose: Purpose) -> Report {
    assert_eq!(examples.len(), seen.len(), "one look an example");
    let mut found = Findings(Vec::new());
    let mut usable = pictures(examples, seen, &mut found);
    if usable.is_empty() {
        found.error(
            FindingKind::NoPictures,
            examples.len(),
            "there is no usable picture; check that the paths are relative to the pairs file, or absolute".into(),
        );
        return found.report(usable);
    }
    duplicates(examples, &mut usable, &mut found);
    let contents: Vec<Option<ContentHash>> = seen.iter().map(Seen::content).collect();
    one_content(examples, &contents, &usable, &mut found);
    splits(examples, &contents, &usable, &mut found);
    let groups = Groups::new(examples, &contents);
    let train: Vec<usize> = usable
        .iter()
        .copied()
        .filter(|&i| examples[i].part().is_none_or(|part| part == "train"))
        .collect();
    match purpose {
        Purpose::Captions => words(examples, &train, &mut found),
        Purpose::Groups => labels(examples, &groups, &train, &mut found),
    }
    enough(&groups, &train, &mut found);
    found.report(usable)
}

struct Findings(Vec<Finding>);

impl Findings {
    fn error(&mut self, kind: FindingKind, count: usize, text: String) {
        self.0.push(Finding { kind, severity: Severity::Error, count, text });
    }

    fn warning(&mut self, kind: FindingKind, count: usize, text: String) {
        self.0.push(Finding { kind, severity: Severity::Warning, count, text });
    }

    fn report(mut self, usable: Vec<usize>) -> Report {
        self.0.sort_by_key(|f| std::cmp::Reverse(f.severity));
        Report { findings: self.0, usable }
    }
}

/// The first few, and how many more there are.
fn some<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = items.into_iter().map(|i| i.to_string()).collect();
    let named = all[..all.len().min(NAMED)].join("; ");
    match all.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

fn pictures(examples: &[Example], seen: &[Seen], found: &mut Findings) -> Vec<usize> {
    let (mut missing, mut unreadable, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    let mut usable = Vec::new();
    for (i, (e, seen)) in examples.iter().zip(seen).enumerate() {
        let path = e.path.display();
        match seen {
            Seen::Fine(_) => usable.push(i),
            Seen::Missing => missing.push(path.to_string()),
            Seen::Unreadable(why) => unreadable.push(why.clone()),
            Seen::Undecodable(_, why) => broken.push(format!("{path}: {why}")),
        }
    }
    let total = examples.len();
    if !missing.is_empty() {
        let text = format!(
            "{} of {total} pictures are not there: {}. Paths are relative to the pairs file; move the file beside its pictures, or correct the paths",
            missing.len(),
            some(&missing)
        );
        // A few lost files cost a few lines; many mean that a folder is wrong.
        if missing.len() * 10 > total {
            found.error(FindingKind::Missing, missing.len(), text);
        } else {
            found.warning(FindingKind::Missing, missing.len(), text);
        }
    }
    if !unreadable.is_empty() {
        let text = format!(
            "{} of {total} pictures cannot be read: {}. Check the permissions; they are left out",
            unreadable.len(),
            some(&unreadable)
        );
        found.warning(FindingKind::Unreadable, unreadable.len(), text);
    }
    if !broken.is_empty() {
        let text = format!(
            "{} of {total} files are no pictures: {}. They are left out",
            broken.len(),
            some(&broken)
        );
        found.warning(FindingKind::Undecodable, broken.len(), text);
    }
    usable
}

fn duplicates(examples: &[Example], usable: &mut Vec<usize>, found: &mut Findings) {
    let mut rows = BTreeSet::new();
    let mut twice = Vec::new();
    usable.retain(|&i| {
        let e = &examples[i];
        let new = rows.insert((&e.path, &e.captions, &e.tags, &e.group, &e.class, &e.split));
        if !new {
            let path = e.path.display();
            twice.push(match e.line {
                Some(line) => format!("line {line} ({path})"),
                None => path.to_string(),
            });
        }
        new
    });
    if !twice.is_empty() {
        let text = format!(
            "{} lines say the same as an earlier one: {}. They are left out; several captions of one picture go into `captions`",
            twice.len(),
            some(&twice)
        );
        found.warning(FindingKind::DuplicateRows, twice.len(), text);
    }
}

fn one_content(
    examples: &[Example],
    contents: &[Option<ContentHash>],
    usable: &[usize],
    found: &mut Findings,
) {
    let mut groups: BTreeMap<ContentHash, BTreeMap<&str, &Example>> = BTreeMap::new();
    for &i in usable {
        let e = &examples[i];
        if let (Some(content), Some(group)) = (contents[i], e.group.as_ref().or(e.class.as_ref())) {
            groups.entry(content).or_default().entry(group).or_insert(e);
        }
    }
    let many: Vec<String> = groups
        .values()
        .filter(|names| names.len() > 1)
        .map(|names| {
            let path = names.values().next().map(|e| e.path.display().to_string());
            let names: Vec<&str> = names.keys().copied().collect();
            format!("{} in {}", path.unwrap_or_default(), names.join(" and "))
        })
        .collect();
    if !many.is_empty() {
        let text = format!(
            "{} pictures are in several groups: {}. These groups are treated as one; if that is wrong, remove the wrong lines",
            many.len(),
            some(&many)
        );
        found.warning(FindingKind::OneContentManyGroups, many.len(), text);
    }
}

fn splits(
    examples: &[Example],
    contents: &[Option<ContentHash>],
    usable: &[usize],
    found: &mut Findings,
) {
    let of = |i: usize| examples[i].part();
    let without = usable.iter().filter(|&&i| of(i).is_none()).count();
    if without == usable.len() {
        return;
    }
    if without > 0 {
        let text = format!(
            "{without} of {} lines have no split and the others have one; the former are learnt from. Give all of them a split (train, val or test), or none",
            usable.len()
        );
        found.warning(FindingKind::SomeSplits, without, text);
    }
    let split = |i: usize| of(i).unwrap_or("train");
    if !usable.iter().any(|&i| split(i) == "train") {
        let names: BTreeSet<&str> = usable.iter().map(|&i| split(i)).collect();
        let text = format!(
            "no line is in the split `train`, there are only {}; name the one to learn from `train`",
            some(names)
        );
        found.error(FindingKind::NoTrainSplit, usable.len(), text);
    }
    let mut leak = |kind, name: &str, key: &dyn Fn(usize) -> Option<String>, advice: &str| {
        let mut where_: HashMap<String, (BTreeSet<&str>, String)> = HashMap::new();
        // Splits of other names (such as a style that is held out) are set
        // aside for a purpose that their maker knows.
        let known = |&&i: &&usize| ["train", "val", "test"].contains(&split(i));
        for &i in usable.iter().filter(known) {
            if let Some(key) = key(i) {
                let entry = where_
                    .entry(key)
                    .or_insert_with(|| (BTreeSet::new(), examples[i].path.display().to_string()));
                entry.0.insert(split(i));
            }
        }
        let mut leaks: Vec<String> = where_
            .into_iter()
            .filter(|(_, (splits, _))| splits.len() > 1)
            .map(|(key, (splits, path))| {
                let splits: Vec<&str> = splits.into_iter().collect();
                let shown = if kind == FindingKind::ContentAcrossSplits { path } else { key };
                format!("{shown} in {}", splits.join(" and "))
            })
            .collect();
        leaks.sort();
        if leaks.is_empty() {
            return;
        }
        let text =
            format!("{} {name} are in several splits: {}. {advice}", leaks.len(), some(&leaks));
        if kind == FindingKind::CaptionAcrossSplits {
            found.warning(kind, leaks.len(), text);
        } else {
            found.error(kind, leaks.len(), text);
        }
    };
    leak(
        FindingKind::GroupAcrossSplits,
        "groups",
        &|i| examples[i].group.clone(),
        "What is learnt would be what is measured; keep each group in one split, or remove the splits and let the trainer hold whole groups out. A kind that is to be in all splits is a `class`, not a `group`",
    );
    leak(
        FindingKind::ContentAcrossSplits,
        "pictures",
        &|i| contents[i].map(|c| format!("{c:?}")),
        "What is learnt would be what is measured; remove the copies from all splits but one",
    );
    leak(
        FindingKind::CaptionAcrossSplits,
        "captions",
        // Where there are classes, equal captions on both sides are the point.
        &|i| {
            let e = &examples[i];
            e.class.is_none().then(|| e.captions.first().map(|c| normal(c))).flatten()
        },
        "Figures on them say how well seen words are found, not unseen ones",
    );
}

fn words(examples: &[Example], train: &[usize], found: &mut Findings) {
    let has = |list: &[String]| list.iter().any(|t| !t.trim().is_empty());
    let captioned = train.iter().filter(|&&i| has(&examples[i].captions)).count();
    let silent: Vec<usize> = train
        .iter()
        .copied()
        .filter(|&i| !has(&examples[i].captions) && !has(&examples[i].tags))
        .collect();
    if train.is_empty() {
        return;
    }
    if captioned == 0 {
        let text = format!(
            "none of {} lines has a caption. Captions are read from the columns `caption` and `captions`; if yours is named otherwise, rename it. Pictures without words can be trained on by group (siamese)",
            train.len()
        );
        found.error(FindingKind::NoCaptions, train.len(), text);
        return;
    }
    if !silent.is_empty() {
        let text = format!(
            "{} of {} lines have neither captions nor tags: {}. They are left out",
            silent.len(),
            train.len(),
            some(silent.iter().map(|&i| examples[i].path.display()))
        );
        found.warning(FindingKind::SomeWithoutWords, silent.len(), text);
    }
    let distinct: BTreeSet<String> =
        train.iter().flat_map(|&i| &examples[i].captions).map(|c| normal(c)).collect();
    if captioned > 1
        && distinct.len() == 1
        && let Some(caption) = distinct.first()
    {
        let text = format!(
            "all {captioned} captions say {caption:?}, so no picture can be told from another by words. Is another column the caption?"
        );
        found.error(FindingKind::EqualCaptions, captioned, text);
    }
}

fn labels(examples: &[Example], groups: &Groups, train: &[usize], found: &mut Findings) {
    if train.is_empty() {
        return;
    }
    let named = |i: &&usize| examples[**i].group.is_some() || examples[**i].class.is_some();
    if train.iter().filter(named).count() == 0 {
        let text = format!(
            "none of {} lines has a `group` or a `class`, so nothing says which pictures are the same thing. Add the column, or give folders named by class",
            train.len()
        );
        found.error(FindingKind::NoGroups, train.len(), text);
        return;
    }
    let mut sizes: BTreeMap<u32, usize> = BTreeMap::new();
    train.iter().for_each(|&i| *sizes.entry(groups.of()[i]).or_default() += 1);
    if sizes.len() == 1 {
        let text = format!(
            "all {} pictures are of one class, so there is nothing to tell apart. Add pictures of at least one other",
            train.len()
        );
        found.error(FindingKind::OneClass, train.len(), text);
    } else if sizes.values().all(|&n| n < 2) {
        let text = format!(
            "each of {} groups has a single picture, so nothing is ever the same thing. Add a second picture to some, or train on captions",
            sizes.len()
        );
        found.error(FindingKind::NoPositives, sizes.len(), text);
    }
}

fn enough(groups: &Groups, train: &[usize], found: &mut Findings) {
    let distinct: BTreeSet<u32> = train.iter().map(|&i| groups.of()[i]).collect();
    let told = found.0.iter().any(|f| {
        matches!(
            f.kind,
            FindingKind::OneClass | FindingKind::NoTrainSplit | FindingKind::EqualCaptions
        )
    });
    if distinct.len() == 1 && !told {
        let text = format!(
            "all {} pictures to learn from belong to one group (one group or class, equal captions or equal contents), so there are no negatives. At least two groups are needed",
            train.len()
        );
        found.error(FindingKind::NoNegatives, train.len(), text);
    }
    if train.is_empty() {
        return;
    }
    if train.len() < LEAST {
        let text = format!(
            "{} pictures to learn from are too few; at least {LEAST} are needed, {FEW} or more are better",
            train.len()
        );
        found.error(FindingKind::TooFew, train.len(), text);
    } else if train.len() < FEW {
        let text = format!(
            "{} pictures to learn from are few; below {FEW} a model tends to learn them by heart. Watch the figures on held-out pictures",
            train.len()
        );
        found.warning(FindingKind::TooFew, train.len(), text);
    }
}

#[cfg(test)]
mod tests;
