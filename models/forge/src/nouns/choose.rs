//! Given WordNet and how often words are met, which nouns are frequent and can be seen?
//!
//! A noun is taken if what it mostly means is of a kind that can be seen ([`SEEN_FILES`],
//! [`SEEN`], without [`UNSEEN`]), and if it is no name. Of words that mean the same, the most
//! frequent is taken. People are those of `people.txt` only, trades and family, since most
//! nouns for people judge them; `excluded.txt` and what no picture is described by
//! ([`ekphrasis_models::unsaid`]) say what else is left out.

use std::collections::{HashMap, HashSet};

use ekphrasis_models::{WordList, unsaid};

use super::wordnet::{Synset, WordNet};
use crate::Result;

/// Animals, artifacts, food, natural objects, plants, shapes.
const SEEN_FILES: [u8; 6] = [5, 6, 13, 17, 20, 25];
/// Substances: only those that are no chemicals.
const SUBSTANCES: u8 = 27;
/// People.
const PEOPLE: u8 = 18;

/// What can be seen of other files: weather, scenes, groups, sports, events, signs, the outside
/// of bodies.
const SEEN: [&str; 39] = [
    "animal_group#1",
    "atmospheric_phenomenon#1",
    "board_game#1",
    "bunch#1",
    "card_game#1",
    "celebration#2",
    "ceremony#1",
    "city#1",
    "crowd#1",
    "dance#4",
    "dancing#1",
    "explosion#1",
    "external_body_part#1",
    "facial_expression#1",
    "fire#1",
    "fire#3",
    "flag#1",
    "forest#1",
    "gathering#1",
    "hair#1",
    "herd#1",
    "letter#2",
    "light#1",
    "meal#1",
    "motion#6",
    "municipality#1",
    "picture#5",
    "playing_card#1",
    "precipitation#3",
    "procession#2",
    "race#2",
    "sign#2",
    "sign#4",
    "social_event#1",
    "sport#1",
    "street#1",
    "swimming#1",
    "tract#1",
    "wave#1",
];

/// The same, one by one: parts of the body whose kinds are inside of it.
const SEEN_ALONE: [&str; 40] = [
    "ankle#1",
    "armpit#1",
    "belly#1",
    "bone#1",
    "cheek#1",
    "chest#1",
    "chin#1",
    "dimple#3",
    "ear#1",
    "elbow#1",
    "eye#1",
    "fingernail#1",
    "forehead#1",
    "freckle#1",
    "heart#2",
    "heel#2",
    "hip#1",
    "knee#1",
    "knuckle#1",
    "lap#1",
    "mouth#2",
    "nape#1",
    "navel#1",
    "nose#1",
    "nostril#1",
    "palm#1",
    "rib_cage#1",
    "shin#1",
    "shoulder#1",
    "skeleton#3",
    "skin#1",
    "skull#1",
    "spinal_column#1",
    "thumbnail#1",
    "toenail#1",
    "tongue#1",
    "tooth#1",
    "torso#1",
    "waist#1",
    "wrist#1",
];

/// What cannot, be it in a file of things that can: what is inside of bodies or too small,
/// medicines, courts, and the families of taxonomists. Or should not be seen in a picture: apes,
/// for which people are taken; drugs, and what people are punished with.
const UNSEEN: [&str; 34] = [
    "alkaloid#1",
    "artery#1",
    "body_substance#1",
    "body_waste#1",
    "cell#2",
    "chromosome#1",
    "contraceptive#1",
    "court#1",
    "drug#1",
    "elementary_particle#1",
    "enzyme#1",
    "gene#1",
    "gland#1",
    "hormone#1",
    "inclusion_body#1",
    "instrument_of_punishment#1",
    "marijuana#1",
    "membrane#2",
    "microorganism#1",
    "muscle#1",
    "necessity#2",
    "nerve#1",
    "neural_structure#1",
    "organelle#1",
    "particle#2",
    "penal_institution#1",
    "primate#2",
    "protein#1",
    "steroid#1",
    "taxonomic_group#1",
    "tissue#1",
    "vein#1",
    "virus#1",
    "vitamin#1",
];

/// Substances that are chemicals, but for metals.
const CHEMICALS: [&str; 11] = [
    "agent#3",
    "alcohol#2",
    "antigen#1",
    "atom#1",
    "chemical#1",
    "chemical_element#1",
    "compound#2",
    "drug#1",
    "molecule#1",
    "radical#1",
    "toxin#1",
];
const METALS: [&str; 2] = ["metal#1", "metallic_element#1"];

/// Times that a noun was met in annotated texts from which on that says something.
const ENOUGH: u32 = 5;
/// The share of them in which it has to mean something that can be seen.
const SEEN_SHARE: f64 = 0.4;
/// The share in which it has to be a noun.
const NOUN_SHARE: f64 = 0.35;

/// How often words and pairs of words are met.
pub(super) struct Frequencies {
    pub(super) words: HashMap<String, f64>,
    pub(super) pairs: HashMap<String, f64>,
}

/// A pair's count stands for so many of a word's: the two lists are of different texts.
const PAIR: f64 = 30.0;
/// A pair that no list has is taken to be met so often for each time of its rarer word …
const UNKNOWN_PAIR: f64 = 0.002;
/// … at most so often.
const MOST_UNKNOWN: f64 = 300_000.0;
/// What annotated texts have and no list is taken to be met so often.
const ANNOTATED: f64 = 1_000_000.0;

impl Frequencies {
    /// How often a noun is met, about; `annotated`: how often in annotated texts.
    fn of(&self, noun: &str, annotated: u32) -> f64 {
        let word = |word: &str| {
            let word = word.trim_matches('\'');
            self.words.get(&word.replace('-', "")).copied().unwrap_or(0.0)
        };
        let parts: Vec<&str> = noun.split(' ').collect();
        match parts[..] {
            // Joined without their hyphen many are other words.
            [one] if one.contains('-') => {
                let joined = word(one).min(ANNOTATED);
                if joined > 0.0 { joined } else { f64::from(annotated) * 1_000.0 }
            }
            [one] => word(one),
            [first, second] => match self.pairs.get(noun) {
                Some(pair) => pair * PAIR,
                None if annotated > 0 => ANNOTATED,
                None => (word(first).min(word(second)) * UNKNOWN_PAIR).min(MOST_UNKNOWN),
            },
            _ => ANNOTATED * f64::from(annotated),
        }
    }
}

/// A noun that was chosen, and its meaning.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Chosen {
    pub(super) noun: String,
    pub(super) meaning: Option<Synset>,
}

/// Names of classes first, then people, then the most frequent nouns up to `most` in all.
pub(super) fn choose(
    net: &WordNet,
    frequencies: &Frequencies,
    classes: &[String],
    people: &[&str],
    excluded: &WordList,
    most: usize,
) -> Result<Vec<Chosen>> {
    let seen = can_be_seen(net)?;
    let left_out = |noun: &str| unsaid(noun) || excluded.has(noun);
    let (mut chosen, mut words, mut meanings) = (vec![], HashSet::new(), HashSet::new());
    for class in classes.iter().filter(|class| !left_out(class)) {
        if words.insert(class.to_lowercase()) {
            let places = net.meanings_of(&class.to_lowercase().replace(' ', "_"));
            let meaning = places.iter().copied().find(|place| seen.contains(place));
            meanings.extend(meaning);
            chosen.push(Chosen { noun: class.clone(), meaning });
        }
    }
    for &person in people {
        let places = net.meanings_of(&person.replace(' ', "_"));
        let meaning = places.iter().copied().find(|&place| net.meaning(place).file == PEOPLE);
        let Some(meaning) = meaning else {
            return Err(format!("people.txt: {person:?} is no person in WordNet").into());
        };
        if words.insert(person.to_owned()) {
            meanings.insert(meaning);
            chosen.push(Chosen { noun: person.to_owned(), meaning: Some(meaning) });
        }
    }
    let mut candidates: Vec<(f64, String, Synset)> = net
        .lemmas()
        .filter_map(|(lemma, places)| {
            let meaning = main_meaning(net, &seen, lemma, places)?;
            let noun = lemma.replace('_', " ");
            let frequency = frequencies.of(&noun, annotated(net, lemma, places));
            (frequency > 0.0 && !left_out(&noun)).then_some((frequency, noun, meaning))
        })
        .collect();
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    for (_, noun, meaning) in candidates {
        if chosen.len() >= most {
            break;
        }
        if !words.contains(&noun) && meanings.insert(meaning) {
            words.insert(noun.clone());
            chosen.push(Chosen { noun, meaning: Some(meaning) });
        }
    }
    Ok(chosen)
}

/// Meanings that can be seen and are no certain thing.
fn can_be_seen(net: &WordNet) -> Result<HashSet<Synset>> {
    let (metals, chemicals) = (net.below(&METALS)?, net.below(&CHEMICALS)?);
    let unseen = net.below(&UNSEEN)?;
    let mut seen = net.below(&SEEN)?;
    for (synset, meaning) in net.all() {
        let substance = meaning.file == SUBSTANCES
            && (metals.contains(&synset) || !chemicals.contains(&synset));
        if SEEN_FILES.contains(&meaning.file) || substance {
            seen.insert(synset);
        }
    }
    seen.retain(|synset| !unseen.contains(synset) && !net.meaning(*synset).instance);
    for name in SEEN_ALONE {
        seen.insert(net.named(name)?);
    }
    Ok(seen)
}

fn annotated(net: &WordNet, lemma: &str, places: &[Synset]) -> u32 {
    places.iter().map(|&place| net.count_of(lemma, place)).sum()
}

/// What a lemma means that can be seen, if that is what it mostly means.
fn main_meaning(
    net: &WordNet,
    seen: &HashSet<Synset>,
    lemma: &str,
    places: &[Synset],
) -> Option<Synset> {
    let letters = |c: char| c.is_ascii_lowercase() || "_-'".contains(c);
    let parts = lemma.split('_').count();
    let first = *places.first()?;
    let shape = lemma.chars().all(letters) && lemma.len() > 2 && parts <= 3;
    if !shape || net.is_name(lemma, first) || net.meaning(first).file == PEOPLE {
        return None;
    }
    let visible = |place: &Synset| seen.contains(place) && !net.is_name(lemma, *place);
    let meaning = places.iter().copied().find(visible)?;
    let all = annotated(net, lemma, places);
    let of_seen: u32 =
        places.iter().filter(|p| visible(p)).map(|&place| net.count_of(lemma, place)).sum();
    let mostly = match all {
        0..ENOUGH => meaning == first,
        _ => f64::from(of_seen) >= f64::from(all) * SEEN_SHARE,
    };
    let (noun, other) = net.counts_of(lemma);
    let is_noun = other < ENOUGH || f64::from(noun) >= f64::from(noun + other) * NOUN_SHARE;
    (mostly && is_noun).then_some(meaning)
}

/// Of each of the chosen the place of the nearest that it is a kind of.
pub(super) fn kinds(net: &WordNet, chosen: &[Chosen]) -> Vec<Option<usize>> {
    let mut places: HashMap<Synset, usize> = HashMap::new();
    for (place, one) in chosen.iter().enumerate() {
        if let Some(meaning) = one.meaning {
            places.entry(meaning).or_insert(place);
        }
    }
    let up = |synset: &Synset| net.meaning(*synset).kinds.first().copied();
    chosen
        .iter()
        .enumerate()
        .map(|(place, one)| {
            std::iter::successors(one.meaning.as_ref().and_then(up), up)
                .find_map(|kind| places.get(&kind).copied())
                .filter(|&kind| kind != place)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_no_list_has_are_as_rare_as_their_rarer_word() {
        let map = |list: &[(&str, f64)]| list.iter().map(|&(w, n)| (w.to_owned(), n)).collect();
        let known = Frequencies {
            words: map(&[("straw", 5e6), ("hat", 9e6), ("dog", 1e9), ("box", 2e9)]),
            pairs: map(&[("top hat", 2e5)]),
        };
        assert_eq!(known.of("top hat", 0), 6e6);
        assert_eq!(known.of("straw hat", 0), 1e4);
        assert_eq!(known.of("dog box", 0), MOST_UNKNOWN);
        assert_eq!(known.of("dog hat", 1), ANNOTATED);
        assert_eq!(known.of("hat unknown", 0), 0.0);
    }

    #[test]
    fn the_lists_of_the_tree_agree_with_each_other() {
        let excluded = WordList::parse(super::super::EXCLUDED);
        let left_out = |noun: &str| unsaid(noun) || excluded.has(noun);
        let both: Vec<&str> = super::super::people().filter(|p| left_out(p)).collect();
        assert!(both.is_empty(), "{both:?}");
        // What ships is what these lists let through.
        let shipped: Vec<&str> = ekphrasis_models::nouns().filter(|n| left_out(n)).collect();
        assert!(shipped.is_empty(), "{shipped:?}");
        let known: HashSet<&str> = ekphrasis_models::nouns().collect();
        let missing: Vec<&str> = super::super::people().filter(|p| !known.contains(p)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_noun_is_a_kind_of_the_nearest_that_was_chosen() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let net = super::super::wordnet::tests::small(dir.path());
        let one = |noun: &str, meaning| Chosen { noun: noun.into(), meaning };
        let chosen = [one("poodle", Some(3)), one("animal", Some(1)), one("thing", None)];
        assert_eq!(kinds(&net, &chosen), [Some(1), None, None]);
        let seen: HashSet<Synset> = [1, 2, 3, 4, 8].into();
        let main = |lemma: &str| main_meaning(&net, &seen, lemma, net.meanings_of(lemma));
        assert_eq!((main("dog"), main("poodle")), (Some(2), Some(3)));
        for none in ["laika", "cad", "nurse", "idea"] {
            assert_eq!(main(none), None, "{none}");
        }
    }
}
