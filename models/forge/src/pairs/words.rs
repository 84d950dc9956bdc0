//! Given a picture's id, which words came with it beside its caption? Keywords
//! from a drawing's own metadata and file name, or from the list of emoji.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Fixed;
use super::sources::{code_points, source_of};
use crate::Result;
use crate::packages::{Package, Packages, Registry};

/// The drawings that the PNG files were made of, with their metadata.
const OPENCLIPART_SVG: Package = Package {
    registry: Registry::Debian,
    name: "openclipart-svg",
    version: "1:0.18+dfsg-19",
    sha256: "989712d90d57dfa3230049f553bb43b76c30ee4d4b8c5f6e106e33f7db5cbdc5",
};

/// Labels and keywords of emoji.
const EMOJIBASE: Package = Package {
    registry: Registry::Npm,
    name: "emojibase-data",
    version: "17.0.0",
    sha256: "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
};

/// Words of one picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Words {
    /// Keywords, lower case, no repetitions, the caption not among them.
    pub(super) tags: Vec<String>,
    /// Descriptions that read like captions.
    pub(super) sentences: Vec<String>,
}

/// The words of all pictures by id.
pub(super) struct Keywords {
    words: HashMap<String, Words>,
}

impl Keywords {
    /// Reads what the packages say of the pictures in `fixed`.
    ///
    /// # Errors
    /// If a package cannot be fetched, or is not as expected.
    pub(super) fn read(packages: &Packages, fixed: &[Fixed]) -> Result<Self> {
        let mut words = HashMap::new();
        if fixed.iter().any(|f| source_of(&f.id) == "openclipart") {
            let svg = packages.unpacked(&OPENCLIPART_SVG)?.join("usr/share/openclipart/svg");
            drawings(&svg, fixed, &mut words);
        }
        if fixed.iter().any(|f| source_of(&f.id) != "openclipart") {
            let folder = packages.unpacked(&EMOJIBASE)?.join("en");
            let known = emoji(&folder)?;
            for f in fixed.iter().filter(|f| source_of(&f.id) != "openclipart") {
                let hex = f.id.split_once(':').map_or("", |(_, rest)| rest);
                if let Some(tags) = known.get(hex) {
                    let tags = clean(tags.iter().map(String::as_str), &f.caption);
                    words.insert(f.id.clone(), Words { tags, sentences: Vec::new() });
                }
            }
        }
        Ok(Self { words })
    }

    /// The words of a picture; none where nothing is known.
    pub(super) fn of(&self, fixed: &Fixed) -> Words {
        self.words.get(&fixed.id).cloned().unwrap_or_default()
    }
}

/// Keywords that say how a file was kept, not what is drawn.
const NOISE: [&str; 10] = [
    "hash",
    "unsorted",
    "special",
    "openclipart",
    "clipart",
    "appicon",
    "mapsym",
    "networksym",
    "svg",
    "png",
];

/// Adds the words of the drawings among `fixed`.
fn drawings(svg: &Path, fixed: &[Fixed], words: &mut HashMap<String, Words>) {
    let mut all: Vec<(&Fixed, Metadata)> = Vec::new();
    for f in fixed.iter().filter(|f| source_of(&f.id) == "openclipart") {
        let relative = Path::new(f.id.split_once(':').map_or("", |(_, rest)| rest));
        // A drawing without readable metadata still has its file's name.
        let text = fs_err::read_to_string(svg.join(relative.with_extension("svg")));
        let mut metadata = Metadata::parse(&text.unwrap_or_default());
        metadata.path = relative.with_extension("");
        all.push((f, metadata));
    }
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for (_, metadata) in &all {
        *uses.entry(&metadata.description).or_default() += 1;
    }
    for (f, metadata) in &all {
        let sentence = Some(metadata.description.as_str())
            // What is said of four drawings is said of a collection.
            .filter(|d| reads_like_a_caption(d, &f.caption) && uses[d] <= 3);
        let from_path = metadata.path_words(&f.caption);
        let tags = metadata.subjects.iter().chain(&from_path).map(String::as_str);
        let author = metadata.creator.to_lowercase();
        let tags = clean(tags.filter(|t| *t != author), &f.caption);
        let sentences = sentence.map(str::to_owned).into_iter().collect();
        words.insert(f.id.clone(), Words { tags, sentences });
    }
}

fn reads_like_a_caption(text: &str, caption: &str) -> bool {
    let words = text.split_whitespace().count();
    let odd = ["http", "<", "HASH(", "@", "www", "licen", "clip art", "clipart", "Clip Art"];
    (2..=16).contains(&words)
        && !text.eq_ignore_ascii_case(caption)
        && !odd.iter().any(|o| text.contains(o))
}

/// Lower case, no noise, no repetitions, the caption itself left out.
fn clean<'a>(tags: impl Iterator<Item = &'a str>, caption: &str) -> Vec<String> {
    let caption = caption.to_lowercase();
    let mut seen = HashSet::new();
    tags.map(|t| t.replace('_', " ").trim().to_lowercase())
        .filter(|t| {
            // Memory addresses of the tool that wrote them, numbers, single letters.
            let word = t.len() > 1 && t.len() <= 40 && t.chars().any(char::is_alphabetic);
            word && !t.starts_with("hash(")
                && !t.starts_with("0x")
                && !NOISE.contains(&t.as_str())
                && *t != caption
                && seen.insert(t.clone())
        })
        .collect()
}

/// What a drawing says of itself (RDF with Dublin Core terms).
#[derive(Debug, Default, PartialEq)]
struct Metadata {
    subjects: Vec<String>,
    description: String,
    creator: String,
    /// Relative, without its ending.
    path: PathBuf,
}

impl Metadata {
    fn parse(svg: &str) -> Self {
        let subject = element(svg, "dc:subject").unwrap_or_default();
        let mut subjects = Vec::new();
        let mut rest = subject;
        while let Some(found) = element(rest, "rdf:li") {
            subjects.push(unescape(found));
            // The element lies within `rest`; go on behind it.
            let end = found.as_ptr() as usize - rest.as_ptr() as usize + found.len();
            rest = &rest[end..];
        }
        let text = |name| element(svg, name).map(unescape).unwrap_or_default();
        let creator = element(svg, "dc:creator").and_then(|c| element(c, "dc:title"));
        Self {
            subjects,
            description: text("dc:description"),
            creator: creator.map(unescape).unwrap_or_default(),
            path: PathBuf::new(),
        }
    }

    /// The folders' names, and the file's own words where the caption has none
    /// of them: many titles name a series (`AIGA_Symbol_Signs`), not the thing.
    fn path_words(&self, caption: &str) -> Vec<String> {
        let part = |p: &Path| p.file_name().and_then(|n| n.to_str()).unwrap_or("").to_lowercase();
        let mut found: Vec<String> =
            self.path.ancestors().skip(1).map(part).filter(|p| !p.is_empty()).collect();
        let caption = caption.to_lowercase();
        let creator = self.creator.to_lowercase();
        let creators: Vec<&str> =
            creator.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
        let stem = part(&self.path);
        let own: Vec<&str> = stem
            .split(['_', '-', ' '])
            .filter(|w| w.len() > 1 && w.chars().all(char::is_alphabetic))
            // File names end in the author's name, cut anywhere.
            .filter(|w| !creators.iter().any(|c| c.starts_with(w)))
            .collect();
        let told = own.iter().any(|w| w.len() > 2 && caption.contains(w));
        if !own.is_empty() && !told {
            found.insert(0, own.join(" "));
        }
        found
    }
}

/// What stands between the first `<name …>` and its end tag.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let start = text.find(&format!("<{name}"))?;
    let open = start + text[start..].find('>')? + 1;
    if text[..open].ends_with("/>") {
        return Some(&text[open..open]);
    }
    let end = text[open..].find(&format!("</{name}>"))?;
    Some(&text[open..open + end])
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    let text = text.replace("&apos;", "'").replace("&amp;", "&");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Deserialize)]
struct Emoji {
    hexcode: String,
    #[serde(default)]
    tags: Vec<String>,
    group: Option<usize>,
    #[serde(default)]
    skins: Vec<Skin>,
}

#[derive(Deserialize)]
struct Skin {
    hexcode: String,
}

#[derive(Deserialize)]
struct Messages {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    message: String,
    order: usize,
}

/// Keywords by normal code points: tags, then the group's words.
fn emoji(folder: &Path) -> Result<HashMap<String, Vec<String>>> {
    let file = |name: &str| fs_err::read_to_string(folder.join(name));
    let messages: Messages = serde_json::from_str(&file("messages.json")?)?;
    let emoji: Vec<Emoji> = serde_json::from_str(&file("data.json")?)?;
    let mut known = HashMap::new();
    for e in emoji {
        let mut tags = e.tags;
        let group = messages.groups.iter().find(|g| Some(g.order) == e.group);
        if let Some(group) = group {
            tags.extend(group.message.split('&').map(|w| w.trim().to_owned()));
        }
        // A skin tone changes no keyword.
        for skin in e.skins {
            known.insert(code_points(&skin.hexcode), tags.clone());
        }
        known.insert(code_points(&e.hexcode), tags);
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SVG: &str = r#"<svg><metadata><rdf:RDF><cc:Work>
        <dc:title>AIGA Signs</dc:title>
        <dc:description>A bus &amp;
          a stop</dc:description>
        <dc:subject><rdf:Bag><rdf:li>transport</rdf:li><rdf:li>HASH(0x86a0bb0)</rdf:li>
        <rdf:li></rdf:li><rdf:li> Road_Sign </rdf:li><rdf:li>0x87fadcc</rdf:li></rdf:Bag></dc:subject>
        <dc:creator><cc:Agent><dc:title>Jane Doeman</dc:title></cc:Agent></dc:creator>
        </cc:Work></rdf:RDF></metadata></svg>"#;

    #[test]
    fn metadata_is_read_and_cleaned() {
        let mut m = Metadata::parse(SVG);
        assert_eq!(m.description, "A bus & a stop");
        assert_eq!(m.creator, "Jane Doeman");
        assert_eq!(m.subjects.len(), 5);
        m.path = "signs/bus_stop_jane_doem_01".into();
        let words = m.path_words("AIGA Signs");
        assert_eq!(words, ["bus stop", "signs"]);
        let all = m.subjects.iter().chain(&words).map(String::as_str);
        assert_eq!(clean(all, "Signs"), ["transport", "road sign", "bus stop"]);
        assert_eq!(m.path_words("the bus"), ["signs"], "the caption says it already");
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert_eq!(Metadata::parse(""), Metadata::default());
        assert_eq!(Metadata::parse("<dc:subject/><dc:description>").subjects, [""; 0]);
    }

    #[test]
    fn only_sentences_become_captions() {
        assert!(reads_like_a_caption("A cat on a mat", "cat"));
        for no in ["cat", "Cat on mat", "see http://x y", "HASH(0x1) is it", "<b> c"] {
            assert!(!reads_like_a_caption(no, "cat on mat"), "{no}");
        }
    }
}
