//! Given WordNet's files, which nouns are there, what do they mean, and what is each
//! meaning a kind of? The format is that of Princeton's wndb(5WN).

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::Result;

/// A meaning: its place in `data.noun`.
pub(super) type Synset = u32;

/// What is known of a meaning.
pub(super) struct Meaning {
    /// Number of the file that lexicographers keep it in: 5 animals, 6 artifacts …
    pub(super) file: u8,
    /// Its words as written.
    words: Vec<String>,
    /// What it is a kind of.
    pub(super) kinds: Vec<Synset>,
    /// Whether it is one certain thing, such as a river.
    pub(super) instance: bool,
}

/// The nouns of WordNet.
pub(super) struct WordNet {
    meanings: HashMap<Synset, Meaning>,
    /// Of each lemma its meanings, the most frequent first.
    index: HashMap<String, Vec<Synset>>,
    /// How often a lemma was met in each meaning in texts that people annotated.
    counts: HashMap<(String, Synset), u32>,
    /// How often as a noun, and as anything else.
    parts: HashMap<String, (u32, u32)>,
}

impl WordNet {
    /// Reads a folder with `data.noun`, `index.noun` and `index.sense`.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let mut this = Self {
            meanings: HashMap::new(),
            index: HashMap::new(),
            counts: HashMap::new(),
            parts: HashMap::new(),
        };
        // Lines of the licence start with blanks.
        let entries = |name: &str| -> Result<Vec<String>> {
            let text = fs_err::read_to_string(dir.join(name))?;
            Ok(text.lines().filter(|l| !l.starts_with(' ')).map(str::to_owned).collect())
        };
        for line in entries("data.noun")? {
            let (place, meaning) = meaning(&line).ok_or_else(|| unreadable("data.noun", &line))?;
            this.meanings.insert(place, meaning);
        }
        for line in entries("index.noun")? {
            let (lemma, places) = lemma(&line).ok_or_else(|| unreadable("index.noun", &line))?;
            this.index.insert(lemma, places);
        }
        for line in entries("index.sense")? {
            this.count(&line).ok_or_else(|| unreadable("index.sense", &line))?;
        }
        Ok(this)
    }

    fn count(&mut self, line: &str) -> Option<()> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [key, place, _, count] = fields[..] else { return None };
        let (lemma, rest) = key.split_once('%')?;
        let count: u32 = count.parse().ok()?;
        let parts = self.parts.entry(lemma.into()).or_default();
        if rest.starts_with('1') {
            parts.0 += count;
            self.counts.insert((lemma.into(), place.parse().ok()?), count);
        } else {
            parts.1 += count;
        }
        Some(())
    }

    pub(super) fn lemmas(&self) -> impl Iterator<Item = (&str, &[Synset])> {
        self.index.iter().map(|(lemma, places)| (lemma.as_str(), places.as_slice()))
    }

    /// Its meanings, the most frequent first; none for what is no noun.
    pub(super) fn meanings_of(&self, lemma: &str) -> &[Synset] {
        self.index.get(lemma).map_or(&[], Vec::as_slice)
    }

    /// # Panics
    /// If there is no such meaning.
    pub(super) fn meaning(&self, synset: Synset) -> &Meaning {
        &self.meanings[&synset]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Synset, &Meaning)> {
        self.meanings.iter().map(|(&synset, meaning)| (synset, meaning))
    }

    pub(super) fn count_of(&self, lemma: &str, synset: Synset) -> u32 {
        self.counts.get(&(lemma.to_owned(), synset)).copied().unwrap_or(0)
    }

    /// How often it was met as a noun, and as anything else.
    pub(super) fn counts_of(&self, lemma: &str) -> (u32, u32) {
        self.parts.get(lemma).copied().unwrap_or_default()
    }

    /// Whether this meaning writes the lemma with a capital, as a name.
    pub(super) fn is_name(&self, lemma: &str, synset: Synset) -> bool {
        let words = &self.meaning(synset).words;
        words.iter().any(|w| w != lemma && w.eq_ignore_ascii_case(lemma))
    }

    /// The meaning `lemma#number`, as dictionaries count.
    pub(super) fn named(&self, name: &str) -> Result<Synset> {
        let found = name.split_once('#').and_then(|(lemma, number)| {
            let number: usize = number.parse().ok()?;
            self.meanings_of(lemma).get(number.checked_sub(1)?).copied()
        });
        found.ok_or_else(|| format!("WordNet has no meaning {name}").into())
    }

    /// The meanings and all that are kinds of them.
    pub(super) fn below(&self, names: &[&str]) -> Result<HashSet<Synset>> {
        let mut kinds: HashMap<Synset, Vec<Synset>> = HashMap::new();
        for (synset, meaning) in self.all() {
            meaning.kinds.iter().for_each(|kind| kinds.entry(*kind).or_default().push(synset));
        }
        let mut waiting = names.iter().map(|name| self.named(name)).collect::<Result<Vec<_>>>()?;
        let mut found = HashSet::new();
        while let Some(synset) = waiting.pop() {
            if found.insert(synset) {
                waiting.extend(kinds.get(&synset).into_iter().flatten());
            }
        }
        Ok(found)
    }
}

fn unreadable(file: &str, line: &str) -> String {
    let start: String = line.chars().take(60).collect();
    format!("{file}: expected a line of WordNet 3, got {start:?}")
}

fn meaning(line: &str) -> Option<(Synset, Meaning)> {
    let mut fields = line.split('|').next()?.split_whitespace();
    let place = fields.next()?.parse().ok()?;
    let file = fields.next()?.parse().ok()?;
    fields.next()?;
    let count = usize::from_str_radix(fields.next()?, 16).ok()?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        words.push(fields.next()?.to_owned());
        fields.next()?;
    }
    let pointers: usize = fields.next()?.parse().ok()?;
    let (mut kinds, mut instance) = (vec![], false);
    for _ in 0..pointers {
        let (sign, to) = (fields.next()?, fields.next()?);
        match sign {
            "@" => kinds.push(to.parse().ok()?),
            "@i" => instance = true,
            _ => {}
        }
        fields.nth(1)?;
    }
    Some((place, Meaning { file, words, kinds, instance }))
}

fn lemma(line: &str) -> Option<(String, Vec<Synset>)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let count: usize = fields.get(2)?.parse().ok()?;
    let pointers: usize = fields.get(3)?.parse().ok()?;
    let places = fields.get(4 + pointers + 2..)?;
    let places: Vec<Synset> = places.iter().map(|p| p.parse().ok()).collect::<Option<_>>()?;
    (places.len() == count).then(|| (fields[0].to_owned(), places))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small WordNet: animal > dog > poodle, a named dog, and a person.
    pub(in super::super) fn small(dir: &Path) -> WordNet {
        let data = "  1 a licence\n\
            00000001 05 n 01 animal 0 000 | a living thing\n\
            00000002 05 n 02 dog 0 domestic_dog 0 001 @ 00000001 n 0000 | a barking animal\n\
            00000003 05 n 01 poodle 0 001 @ 00000002 n 0000 | a curly dog\n\
            00000004 05 n 01 Laika 0 001 @i 00000002 n 0000 | the dog in space\n\
            00000005 18 n 02 dog 0 cad 0 000 | someone who behaves badly\n\
            00000006 18 n 01 nurse 0 000 | one who looks after the sick\n\
            00000007 09 n 01 idea 0 000 | what is thought\n\
            00000008 06 n 01 toy 0 000 | an artifact\n";
        let index = "  1 a licence\n\
            animal n 1 0 1 0 00000001\n\
            dog n 2 1 @ 2 2 00000002 00000005\n\
            domestic_dog n 1 1 @ 1 0 00000002\n\
            poodle n 1 1 @ 1 0 00000003\n\
            laika n 1 1 @ 1 0 00000004\n\
            cad n 1 0 1 0 00000005\n\
            nurse n 1 0 1 0 00000006\n\
            idea n 1 0 1 0 00000007\n\
            toy n 1 0 1 0 00000008\n";
        let senses = "dog%1:05:00:: 00000002 1 42\n\
            dog%1:18:00:: 00000005 2 2\n\
            dog%2:38:00:: 01234567 1 3\n";
        for (name, text) in [("data.noun", data), ("index.noun", index), ("index.sense", senses)] {
            fs_err::write(dir.join(name), text).expect("written");
        }
        WordNet::read(dir).expect("as WordNet writes")
    }

    #[test]
    fn meanings_kinds_and_counts_are_read() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let net = small(dir.path());
        assert_eq!(net.meanings_of("dog"), [2, 5]);
        assert_eq!(net.meaning(3).kinds, [2]);
        assert!(net.meaning(4).instance && net.is_name("laika", 4) && !net.is_name("dog", 2));
        assert_eq!((net.count_of("dog", 2), net.counts_of("dog")), (42, (44, 3)));
        let mut below: Vec<Synset> = net.below(&["dog#1"]).expect("there").into_iter().collect();
        below.sort_unstable();
        assert_eq!(below, [2, 3]);
        assert!(net.below(&["dog#3"]).is_err() && net.named("dog").is_err());
        fs_err::write(dir.path().join("data.noun"), "what is this\n").expect("written");
        let error = WordNet::read(dir.path()).map(|_| ()).expect_err("refused").to_string();
        assert!(error.contains("data.noun") && error.contains("what is this"), "{error}");
    }
}
