//! Given captioned pictures, what happens when half of the concepts are taken out of
//! the library and all are asked for?

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ekphrasis_embed::{Embedding, dot};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::background::Expected;
use super::evidence::{Evidence, HitEvidence, LOOKED_AT, Usual, agreement, excess, telling_words};
use super::judge::{as_learned, share};
use super::{Asked, Confidence};
use crate::eval::Seen;

/// A picture that may be in the library.
struct Picture {
    embedding: Embedding,
    group: usize,
    /// Of its keywords.
    words: Vec<String>,
}

/// Something to look for.
struct Asking {
    embedding: Embedding,
    expected: Expected,
    group: usize,
    words: Vec<String>,
    /// The picture that asks.
    itself: Option<usize>,
}

/// Pictures, and everything that can be asked for among them.
pub(super) struct Material {
    pictures: Vec<Picture>,
    words: Vec<Asking>,
    by_picture: Vec<Asking>,
    groups: usize,
}

/// One query over one library.
pub(super) struct Example {
    /// Whether something of its concept is in the library.
    pub(super) present: bool,
    pub(super) evidence: Evidence,
    /// The best cosine; its distance from the fifth; its z-score among the library's.
    pub(super) plain: [f64; 3],
    hits: Vec<Candidate>,
    query: usize,
    asked: Asked,
    size: usize,
}

/// One of the best hits.
struct Candidate {
    cosine: f32,
    rank: usize,
    words: f64,
    told: bool,
    /// Whether it is of the concept that was asked for.
    fits: bool,
}

/// What is known of a library's pictures beside what they look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    /// Keywords, of the nearest pictures: weights are fitted by that.
    OfNearest,
    /// Keywords, and pictures that hold all words of a query are found by them, as a search does.
    OfFound,
}

/// Which concepts are there and which are asked for in vain.
pub(super) struct Library {
    pictures: Vec<usize>,
    there: HashSet<usize>,
    gone: HashSet<usize>,
    usual: HashMap<Asked, Usual>,
    told: Told,
    seed: u64,
}

impl Material {
    /// Everything that the pictures' captions, and the pictures themselves, can ask.
    pub(super) fn new(
        seen: Vec<Seen>,
        texts: &BTreeMap<String, Embedding>,
        confidence: &Confidence,
    ) -> Self {
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mut pictures = Vec::with_capacity(seen.len());
        let mut captions: BTreeMap<String, usize> = BTreeMap::new();
        for one in seen {
            // Without a group, what shows the same is called the same.
            let name = one.facts.group.clone().unwrap_or_else(|| one.facts.label().to_owned());
            let next = numbers.len();
            let group = *numbers.entry(name).or_insert(next);
            for caption in &one.facts.captions {
                captions.entry(caption.clone()).or_insert(group);
            }
            let words = telling_words(&one.facts.tags.join(" "));
            pictures.push(Picture { embedding: one.embedding, group, words });
        }
        let words = captions
            .into_iter()
            .filter_map(|(caption, group)| {
                let embedding = texts.get(&caption)?.clone();
                Some(Asking {
                    expected: confidence.background.expected(embedding.values()),
                    embedding,
                    group,
                    words: telling_words(&caption),
                    itself: None,
                })
            })
            .collect();
        let by_picture = pictures
            .iter()
            .enumerate()
            .map(|(i, picture)| Asking {
                expected: confidence.background.expected(picture.embedding.values()),
                embedding: picture.embedding.clone(),
                group: picture.group,
                words: Vec::new(),
                itself: Some(i),
            })
            .collect();
        Self { pictures, words, by_picture, groups: numbers.len() }
    }

    pub(super) fn pictures(&self) -> usize {
        self.pictures.len()
    }

    pub(super) fn captions(&self) -> usize {
        self.words.len()
    }

    pub(super) fn groups(&self) -> usize {
        self.groups
    }

    /// A library of a share of the concepts; those with half of the captions are out.
    pub(super) fn library(
        &self,
        confidence: &Confidence,
        share: f64,
        told: Told,
        seed: u64,
    ) -> Library {
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut groups: Vec<usize> = (0..self.groups).collect();
        groups.shuffle(&mut rng);
        groups.truncate(((self.groups as f64 * share).round() as usize).max(2));
        let mut captions = vec![0usize; self.groups];
        self.words.iter().for_each(|asking| captions[asking.group] += 1);
        let all: usize = groups.iter().map(|&g| captions[g]).sum();
        let (mut gone, mut there, mut count) = (HashSet::new(), HashSet::new(), 0);
        for group in groups {
            if 2 * count < all {
                count += captions[group];
                gone.insert(group);
            } else {
                there.insert(group);
            }
        }
        let mut pictures: Vec<usize> =
            (0..self.pictures.len()).filter(|&i| there.contains(&self.pictures[i].group)).collect();
        pictures.shuffle(&mut rng);
        let sample: Vec<Embedding> =
            pictures.iter().take(512).map(|&i| self.pictures[i].embedding.clone()).collect();
        let usual = HashMap::from([
            (Asked::Words, confidence.usual_for_words(&sample)),
            (Asked::Picture, confidence.usual_for_pictures(&sample)),
        ]);
        Library { pictures, there, gone, usual, told, seed }
    }

    /// Asks everything that the library was made for. Of pictures, as many with nothing
    /// to find as with something.
    pub(super) fn ask(&self, library: &Library, asked: Asked) -> Vec<Example> {
        let asking = match asked {
            Asked::Words => &self.words,
            Asked::Picture => &self.by_picture,
        };
        let mut examples = Vec::new();
        for (query, one) in asking.iter().enumerate() {
            let present = library.there.contains(&one.group);
            if !present && !library.gone.contains(&one.group) {
                continue;
            }
            let example = self.example(library, asked, query, one, present);
            // A picture without another of its concept asks for nothing that could be.
            if present && !self.has_another(library, one) {
                continue;
            }
            examples.push(example);
        }
        if asked == Asked::Picture {
            let there = examples.iter().filter(|e| e.present).count();
            let mut absent: Vec<usize> =
                examples.iter().filter(|e| !e.present).map(|e| e.query).collect();
            absent.shuffle(&mut Pcg64::seed_from_u64(library.seed));
            absent.truncate(there);
            let absent: HashSet<usize> = absent.into_iter().collect();
            examples.retain(|e| e.present || absent.contains(&e.query));
        }
        examples
    }

    fn has_another(&self, library: &Library, one: &Asking) -> bool {
        library
            .pictures
            .iter()
            .any(|&i| Some(i) != one.itself && self.pictures[i].group == one.group)
    }

    /// What a text that is no caption finds: nothing that would be right.
    pub(super) fn example_of(
        &self,
        library: &Library,
        text: &str,
        embedding: &Embedding,
        confidence: &Confidence,
    ) -> Example {
        let one = Asking {
            expected: confidence.background.expected(embedding.values()),
            embedding: embedding.clone(),
            group: usize::MAX,
            words: telling_words(text),
            itself: None,
        };
        self.example(library, Asked::Words, usize::MAX, &one, false)
    }

    fn example(
        &self,
        library: &Library,
        asked: Asked,
        query: usize,
        one: &Asking,
        present: bool,
    ) -> Example {
        let candidates = || library.pictures.iter().filter(|&&i| Some(i) != one.itself);
        let mut scored: Vec<(f32, usize)> = candidates()
            .map(|&i| (dot(self.pictures[i].embedding.values(), one.embedding.values()), i))
            .collect();
        let size = scored.len();
        let n = size.max(1) as f64;
        let mean = scored.iter().map(|s| f64::from(s.0)).sum::<f64>() / n;
        let square = scored.iter().map(|s| (f64::from(s.0) - mean).powi(2)).sum::<f64>() / n;
        scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        scored.truncate(LOOKED_AT);
        let best: Vec<f32> = scored.iter().map(|s| s.0).collect();
        let vectors: Vec<&[f32]> =
            scored.iter().map(|s| self.pictures[s.1].embedding.values()).collect();
        let keywords = library.told != Told::Nothing;
        let candidate = |rank: usize, cosine: f32, i: usize| {
            let picture = &self.pictures[i];
            let told = keywords && !picture.words.is_empty();
            let words = if keywords { share(&one.words, &picture.words) } else { 0.0 };
            Candidate { cosine, rank, told, words, fits: picture.group == one.group }
        };
        let nearest = scored.iter().enumerate();
        let mut hits: Vec<Candidate> =
            nearest.map(|(rank, &(cosine, i))| candidate(rank + 1, cosine, i)).collect();
        let told = hits.iter().filter(|h| h.told).count() as f64 / hits.len().max(1) as f64;
        if library.told == Told::OfFound {
            let near: HashSet<usize> = scored.iter().map(|s| s.1).collect();
            let found = candidates()
                .filter(|&i| !near.contains(i))
                .filter(|&&i| share(&one.words, &self.pictures[i].words) >= 1.0);
            let judged_by = as_learned(-1.0, 1.0, &best);
            hits.extend(found.take(LOOKED_AT).map(|&i| candidate(LOOKED_AT, judged_by, i)));
        }
        let evidence = Evidence {
            excess: excess(&best, size, &one.expected),
            agreement: agreement(&vectors),
            words: hits.iter().map(|h| h.words).fold(0.0, f64::max),
            told,
            cosine: best.first().map_or(0.0, |&s| f64::from(s)),
            spread: one.expected.deviation,
        };
        let first = best.first().map_or(0.0, |&s| f64::from(s));
        let fifth = best.get(4).or(best.last()).map_or(0.0, |&s| f64::from(s));
        Example {
            present,
            evidence: evidence.less(&library.usual[&asked]),
            plain: [first, first - fifth, (first - mean) / square.sqrt().max(1e-9)],
            hits,
            query,
            asked,
            size,
        }
    }

    /// What speaks for each hit of an example, given the odds that anything fits; its
    /// cosine; and whether it does fit.
    pub(super) fn judged(&self, example: &Example, anything: f64) -> Vec<(HitEvidence, f64, bool)> {
        let asking = match example.asked {
            Asked::Words => &self.words,
            Asked::Picture => &self.by_picture,
        };
        let expected = &asking[example.query].expected;
        let of = |hit: &Candidate| {
            let (cosine, rank, words) = (hit.cosine, hit.rank, (hit.words, hit.told));
            let found = HitEvidence::new(cosine, rank, example.size, expected, anything, words);
            (found, f64::from(cosine), hit.fits)
        };
        example.hits.iter().map(of).collect()
    }
}

impl Library {
    /// How many pictures there are.
    pub(super) fn len(&self) -> usize {
        self.pictures.len()
    }
}

/// The distinct captions of pictures.
pub(super) fn captions(seen: &[Seen]) -> Vec<&str> {
    let all: BTreeSet<&str> =
        seen.iter().flat_map(|s| &s.facts.captions).map(String::as_str).collect();
    all.into_iter().collect()
}
