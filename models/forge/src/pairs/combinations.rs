//! Given drawings, which (attribute, object) combinations are there to test
//! whether parts seen apart are understood together?
//!
//! Emoji of things, all from concepts of the training split, drawn by three
//! hands, are each given six colours (the main hue moved) and three manners
//! (black and white, pixelated, lines): captions `red balloon`, `line drawing
//! of balloon`. By the seed, two of each object's nine attributes are held out
//! as whole combinations, so that an attribute is held out for about two
//! objects in nine; every object and every attribute is seen in training.
//! Of each combination one hand's picture is for testing: `subset` says
//! `unseen` where nothing of the combination is in training, `seen` where the
//! two other hands' pictures are. So both subsets are tested on pictures that
//! were never seen, and differ in the combination alone. An eighth of the seen
//! combinations give one training picture to `val`.
//!
//! What it is not: photographs. Hues are moved by arithmetic, so a `blue apple`
//! is an apple whose red became blue; that is the point, and the limit.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::recolour::{ATTRIBUTES, Attribute, main_hue};
use super::{Fixed, Split};
use crate::Result;

const HANDS: [&str; 3] = ["google", "twitter", "fluent"];

/// Attributes held out of each object.
const HELD_OUT: usize = 2;

/// Larger drawings are shrunk to this side in pixels.
const SIDE: u32 = 160;

/// Things with one main colour: code point, plain name.
const OBJECTS: [(&str, &str); 64] = [
    ("1f388", "balloon"),
    ("1f4d5", "book"),
    ("1f697", "car"),
    ("2764", "heart"),
    ("1f34e", "apple"),
    ("1f422", "turtle"),
    ("1f392", "backpack"),
    ("1f42c", "dolphin"),
    ("1f41f", "fish"),
    ("1f98b", "butterfly"),
    ("1f339", "rose"),
    ("1f433", "whale"),
    ("1f980", "crab"),
    ("1f99e", "lobster"),
    ("1f419", "octopus"),
    ("1f438", "frog"),
    ("1f409", "dragon"),
    ("1f996", "dinosaur"),
    ("1f40c", "snail"),
    ("1f692", "fire engine"),
    ("26f5", "sailboat"),
    ("1f699", "off-road car"),
    ("1f6f5", "scooter"),
    ("1f3ce", "racing car"),
    ("1f6f6", "canoe"),
    ("1fa91", "chair"),
    ("1f6cb", "couch"),
    ("260e", "telephone"),
    ("1f511", "key"),
    ("1f451", "crown"),
    ("1f452", "hat"),
    ("1f9f2", "magnet"),
    ("1f9fd", "sponge"),
    ("1f460", "high-heeled shoe"),
    ("26d1", "helmet"),
    ("1f456", "jeans"),
    ("1f332", "fir tree"),
    ("1f9f3", "suitcase"),
    ("1f380", "ribbon"),
    ("1f350", "pear"),
    ("1f34b", "lemon"),
    ("1f34c", "banana"),
    ("1f353", "strawberry"),
    ("1f345", "tomato"),
    ("1f346", "aubergine"),
    ("1f336", "chilli pepper"),
    ("1fad1", "bell pepper"),
    ("1f966", "broccoli"),
    ("2b50", "star"),
    ("1f335", "cactus"),
    ("1f341", "maple leaf"),
    ("1f33b", "sunflower"),
    ("1f3b8", "guitar"),
    ("1f3ba", "trumpet"),
    ("1f98a", "fox"),
    ("1fa80", "yo-yo"),
    ("1f40d", "snake"),
    ("1f3be", "tennis ball"),
    ("1f94a", "boxing glove"),
    ("1f9f8", "teddy bear"),
    ("1f48e", "gem"),
    ("1f514", "bell"),
    ("1f9ef", "fire extinguisher"),
    ("1f9f6", "yarn"),
];

/// A line of combinations.jsonl. The combination is the class: it is in
/// training and in the test on purpose, which a group must not be.
#[derive(Serialize)]
struct Line<'a> {
    path: String,
    caption: String,
    class: String,
    id: String,
    split: &'static str,
    style: &'a str,
    subset: &'static str,
}

/// What becomes of one picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Line {
        split: &'static str,
        unseen: bool,
    },
    /// Of a held-out combination, beside its test picture.
    Unused,
}

/// Writes `combinations.jsonl` and its pictures below `out`.
pub(super) fn write(out: &Path, fixed: &[Fixed], files: &[PathBuf], seed: u64) -> Result<()> {
    let by_id: HashMap<&str, (&Fixed, &PathBuf)> =
        fixed.iter().zip(files).map(|(f, file)| (f.id.as_str(), (f, file))).collect();
    let folder = out.join("combinations");
    fs_err::create_dir_all(&folder)?;
    let mut lines = Vec::new();
    let mut passed_over = Vec::new();
    let mut used = 0usize;
    for (code, object) in OBJECTS {
        let hands = HANDS.map(|hand| by_id.get(format!("{hand}:{code}").as_str()).copied());
        let [Some(a), Some(b), Some(c)] = hands else {
            passed_over.push(format!("{object} (not drawn by all)"));
            continue;
        };
        if [a, b, c].iter().any(|(f, _)| f.split != Split::Train) {
            passed_over.push(format!("{object} (no training concept)"));
            continue;
        }
        let drawings = [a, b, c].map(|(_, file)| read(file));
        let [Ok(a), Ok(b), Ok(c)] = drawings else {
            return Err(format!("{object} ({code}): a drawing cannot be read").into());
        };
        let drawings = [a, b, c];
        if drawings.iter().any(|d| main_hue(d).is_none()) {
            passed_over.push(format!("{object} (no main colour)"));
            continue;
        }
        let fates = fates(used, seed);
        used += 1;
        for (attribute, fates) in ATTRIBUTES.into_iter().zip(fates) {
            let phrase = attribute.phrase(object);
            for ((hand, drawing), fate) in HANDS.iter().zip(&drawings).zip(fates) {
                let Fate::Line { split, unseen } = fate else { continue };
                let made = attribute.apply(drawing).ok_or("a main colour was there")?;
                let name = format!("{}-{hand}.png", phrase.replace(' ', "-"));
                made.save(folder.join(&name))?;
                lines.push(Line {
                    path: format!("combinations/{name}"),
                    caption: phrase.clone(),
                    class: phrase.clone(),
                    id: format!("combination:{hand}:{code}:{}", attribute_key(attribute)),
                    split,
                    style: hand,
                    subset: if unseen { "unseen" } else { "seen" },
                });
            }
        }
    }
    let written = super::write(out, "combinations.jsonl", &lines)?;
    let count = |split: &str, subset: &str| {
        lines.iter().filter(|l| l.split == split && l.subset == subset).count()
    };
    println!(
        "{used} objects × {} attributes; passed over: {}",
        ATTRIBUTES.len(),
        if passed_over.is_empty() { "none".to_owned() } else { passed_over.join(", ") }
    );
    println!(
        "{}: train {}, val {}, test of seen combinations {}, of unseen ones {}",
        written.display(),
        count("train", "seen"),
        count("val", "seen"),
        count("test", "seen"),
        count("test", "unseen")
    );
    Ok(())
}

/// What becomes of an object's pictures, by attribute and hand.
fn fates(object: usize, seed: u64) -> [[Fate; 3]; ATTRIBUTES.len()] {
    // A fixed pace through the attributes holds each one out equally often;
    // the seed turns where it starts.
    let n = ATTRIBUTES.len();
    let first = (draw(seed, "start", 0) as usize + object * HELD_OUT) % n;
    // A second step that differs from round to round, so that the same two are
    // not always out together.
    let round = object / n;
    let held: [usize; HELD_OUT] = [first, (first + 1 + round % (n - 1)) % n];
    std::array::from_fn(|attribute| {
        let place = object * n + attribute;
        let test = draw(seed, "hand", place) as usize % 3;
        let unseen = held.contains(&attribute);
        let val = (!unseen && draw(seed, "val", place).is_multiple_of(8)).then_some((test + 1) % 3);
        std::array::from_fn(|hand| {
            let split = match hand {
                h if h == test => "test",
                _ if unseen => return Fate::Unused,
                h if Some(h) == val => "val",
                _ => "train",
            };
            Fate::Line { split, unseen }
        })
    })
}

/// A number that depends on all its parts and nothing else.
fn draw(seed: u64, what: &str, place: usize) -> u32 {
    let digest = Sha256::digest(format!("{seed} {what} {place}"));
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

fn attribute_key(attribute: Attribute) -> String {
    attribute.phrase("").trim().replace(' ', "-")
}

fn read(file: &Path) -> Result<image::RgbaImage> {
    // The name's ending is not trusted; the bytes say what it is.
    let picture = image::load_from_memory(&fs_err::read(file)?)
        .map_err(|e| format!("{}: {e}", file.display()))?;
    let picture = if picture.width().max(picture.height()) > SIDE {
        picture.resize(SIDE, SIDE, image::imageops::FilterType::Triangle)
    } else {
        picture
    };
    Ok(picture.to_rgba8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_seen_and_each_attribute_held_out_about_equally() {
        for seed in 0..20 {
            let all: Vec<_> = (0..OBJECTS.len()).map(|o| fates(o, seed)).collect();
            let mut held = [0usize; ATTRIBUTES.len()];
            for object in &all {
                let unseen =
                    |a: &[Fate; 3]| a.iter().any(|f| matches!(f, Fate::Line { unseen: true, .. }));
                assert_eq!(object.iter().filter(|a| unseen(a)).count(), HELD_OUT, "seed {seed}");
                for (i, attribute) in object.iter().enumerate() {
                    held[i] += usize::from(unseen(attribute));
                    let count = |want: &str| {
                        let is =
                            |f: &&Fate| matches!(f, Fate::Line { split, .. } if *split == want);
                        attribute.iter().filter(is).count()
                    };
                    assert_eq!(count("test"), 1, "one test picture a combination");
                    // Nothing of a held-out combination is learnt from or chosen by.
                    let learnt = count("train") + count("val");
                    assert_eq!(learnt, if unseen(attribute) { 0 } else { 2 }, "seed {seed}");
                    assert!(unseen(attribute) || count("train") >= 1, "seen means trained");
                }
            }
            for (attribute, times) in ATTRIBUTES.iter().zip(held) {
                let expected = OBJECTS.len() * HELD_OUT / ATTRIBUTES.len();
                assert!(times.abs_diff(expected) <= expected / 2, "{attribute:?} {times}");
            }
        }
    }

    #[test]
    fn another_seed_holds_out_others() {
        assert_eq!(fates(3, 7), fates(3, 7));
        let different = (0..9).filter(|&seed| fates(3, seed) != fates(3, 100)).count();
        assert!(different > 5);
    }

    #[test]
    fn objects_are_named_once() {
        let mut names: Vec<_> = OBJECTS.iter().flat_map(|(code, name)| [*code, *name]).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
