//! Given groups of pictures, what is each one called? By the word that tells it from
//! the rest of the collection.
//!
//! A word that is near to everything (or to the manner in which all are drawn) is
//! near to every group's middle too, so nearness alone names badly. What counts is
//! contrast: the correlation, over all pictures, between being in the group and
//! fitting the word. A picture fits a word of the vocabulary or a caption of the
//! store as far as its cosine says; one of its own words (captions, tags, folders)
//! it fits or not. Both correlations are in −1..=1, 1 where the word divides the
//! collection as the group does, so the two kinds of words compete fairly. Words of the
//! vocabulary that no picture is described by ([`unsaid`]) name none; a user's own words may.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Component, Path};

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Filter, Item, Kind, Query, StoreRead};
use ekphrasis_models::unsaid;
use ndarray::{Array2, ArrayView2, Axis};

use crate::{Engine, EngineError};

/// Words told for a group.
const WORDS: usize = 3;
/// Captions of the store looked at for each group: the nearest to its middle.
const NEAR: usize = 8;

/// A group's name, and its best words with their correlations, best first.
pub(super) type Named = (String, Vec<(String, f32)>);

/// Each picture's group.
struct Membership {
    of: Vec<usize>,
    sizes: Vec<usize>,
}

/// How pictures fit a word: sums over each group, and of squares over all.
#[derive(Clone, Debug, PartialEq)]
struct Fit {
    sums: Vec<f64>,
    squares: f64,
}

impl Fit {
    fn none(groups: usize) -> Self {
        Self { sums: vec![0.0; groups], squares: 0.0 }
    }

    fn add(&mut self, group: usize, fit: f64) {
        self.sums[group] += fit;
        self.squares += fit * fit;
    }

    /// Pearson's correlation with membership, a number a group; for words that
    /// pictures fit or not it is the φ coefficient. 0 where either does not vary.
    /// A single group has nothing to be told from: its mean.
    fn correlations(&self, sizes: &[usize]) -> Vec<f32> {
        let n: usize = sizes.iter().sum();
        let n = n as f64;
        if let [_] = sizes {
            return vec![(self.sums[0] / n) as f32];
        }
        let sum: f64 = self.sums.iter().sum();
        let spread = n * self.squares - sum * sum;
        let of = |(&own, &size): (&f64, &usize)| {
            let size = size as f64;
            // Below this, what is left of equal cosines is rounding.
            if spread <= 1e-9 * n * self.squares || size >= n {
                return 0.0;
            }
            ((n * own - size * sum) / (spread * size * (n - size)).sqrt()) as f32
        };
        self.sums.iter().zip(sizes).map(of).collect()
    }
}

/// A word and its correlation with each group.
struct Candidate {
    text: String,
    fits: Vec<f32>,
}

/// Names for groups: the best pairs of group and word first, no word twice. A group
/// without a word that fits has a number, counted from 1.
fn choose(candidates: &[Candidate], groups: usize) -> Vec<Named> {
    let mut ranked: Vec<(usize, usize)> = (0..groups)
        .flat_map(|g| (0..candidates.len()).map(move |w| (g, w)))
        .filter(|&(g, w)| candidates[w].fits[g] > 0.0)
        .collect();
    ranked.sort_by(|&(g, w), &(h, v)| {
        let (a, b) = (&candidates[w], &candidates[v]);
        b.fits[h].total_cmp(&a.fits[g]).then_with(|| a.text.cmp(&b.text)).then(g.cmp(&h))
    });
    let mut names: Vec<Option<usize>> = vec![None; groups];
    let mut words: Vec<Vec<(String, f32)>> = vec![Vec::new(); groups];
    let mut taken = vec![false; candidates.len()];
    for (g, w) in ranked {
        if names[g].is_none() && !taken[w] {
            (names[g], taken[w]) = (Some(w), true);
        }
        if words[g].len() < WORDS {
            words[g].push((candidates[w].text.clone(), candidates[w].fits[g]));
        }
    }
    let name = |(g, name): (usize, Option<usize>)| {
        name.map_or_else(|| format!("group {}", g + 1), |w| candidates[w].text.clone())
    };
    names.into_iter().enumerate().map(name).zip(words).collect()
}

/// Candidates that are the same but for case are one, with the better fit.
#[derive(Default)]
struct Candidates(BTreeMap<String, Candidate>);

impl Candidates {
    fn add(&mut self, text: &str, fits: Vec<f32>) {
        let known = self.0.entry(text.to_lowercase());
        known
            .and_modify(|c| c.fits.iter_mut().zip(&fits).for_each(|(a, b)| *a = a.max(*b)))
            .or_insert_with(|| Candidate { text: text.to_owned(), fits });
    }
}

/// How the rows of `words` fit the rows of `pictures`, by cosine.
fn by_cosine(pictures: ArrayView2<'_, f32>, words: ArrayView2<'_, f32>, of: &[usize]) -> Vec<Fit> {
    let groups = of.iter().max().map_or(0, |most| most + 1);
    let mut fits = vec![Fit::none(groups); words.nrows()];
    if fits.is_empty() {
        return fits;
    }
    for (rows, own) in pictures.axis_chunks_iter(Axis(0), 512).zip(of.chunks(512)) {
        for (cosines, &group) in rows.dot(&words.t()).outer_iter().zip(own) {
            fits.iter_mut().zip(cosines).for_each(|(fit, &c)| fit.add(group, f64::from(c)));
        }
    }
    fits
}

/// The own words of pictures that are in a group too often for chance, with their
/// correlations: with so many words, fewer than one is expected to be there as often.
fn own_words(items: &[Item], membership: &Membership) -> Vec<(String, Vec<f32>)> {
    let Membership { of, sizes } = membership;
    let folders: Vec<Vec<String>> = folders(items);
    let mut found: HashMap<String, Vec<usize>> = HashMap::new();
    for ((item, folders), &group) in items.iter().zip(folders).zip(of) {
        let captions = item.text.iter().flat_map(|text| text.lines());
        let mut own: BTreeSet<String> = captions.clone().flat_map(words_of).collect();
        own.extend(captions.chain(item.tags.iter().map(String::as_str)).map(tidy));
        own.extend(folders);
        for word in own.into_iter().filter(|w| !w.is_empty()) {
            found.entry(word).or_insert_with(|| vec![0; sizes.len()])[group] += 1;
        }
    }
    let chance = Chance::new(items.len());
    let words = found.len() as f64;
    let mut kept = Vec::new();
    for (word, counts) in found {
        let all: usize = counts.iter().sum();
        let mut fit = Fit::none(sizes.len());
        counts.iter().enumerate().for_each(|(g, &count)| fit.sums[g] = count as f64);
        fit.squares = all as f64;
        let mut fits = fit.correlations(sizes);
        for (g, value) in fits.iter_mut().enumerate() {
            let telling = sizes.len() == 1
                || words * chance.at_least(counts[g], all, sizes[g], items.len()) < 1.0;
            if !telling {
                *value = 0.0;
            }
        }
        if fits.iter().any(|&f| f > 0.0) {
            kept.push((word, fits));
        }
    }
    kept
}

/// Lower case, with single spaces.
fn tidy(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// The words of a caption, of at least two letters.
fn words_of(caption: &str) -> Vec<String> {
    let inside = |c: char| c.is_alphanumeric() || c == '-' || c == '\'';
    let words = caption.split(|c: char| !inside(c)).map(|w| w.trim_matches(['-', '\'']));
    words.filter(|w| w.chars().count() > 1).map(str::to_lowercase).collect()
}

/// For each picture the folders it lies in, below what all have in common.
fn folders(items: &[Item]) -> Vec<Vec<String>> {
    let parts = |item: &Item| -> Vec<String> {
        let folder = item.path.as_deref().and_then(Path::parent);
        let names = folder.into_iter().flat_map(Path::components).filter_map(|c| match c {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        });
        names.collect()
    };
    let mut all: Vec<Vec<String>> = items.iter().map(parts).collect();
    let first = all.first().cloned().unwrap_or_default();
    let common = all
        .iter()
        .map(|parts| parts.iter().zip(&first).take_while(|(a, b)| a == b).count())
        .min()
        .unwrap_or(0);
    for parts in &mut all {
        parts.drain(..common);
        parts.iter_mut().for_each(|name| *name = tidy(&name.replace(['_', '-'], " ")));
    }
    all
}

/// How likely chance is to do as much: the tail of the hypergeometric distribution.
struct Chance {
    /// ln n! for n up to the number of pictures.
    factorials: Vec<f64>,
}

impl Chance {
    fn new(most: usize) -> Self {
        let mut factorials = vec![0.0];
        for n in 1..=most {
            factorials.push(factorials[n - 1] + (n as f64).ln());
        }
        Self { factorials }
    }

    fn choose(&self, n: usize, k: usize) -> f64 {
        self.factorials[n] - self.factorials[k] - self.factorials[n - k]
    }

    /// That at least `hits` of `size` drawn from `all` are among `marked`.
    fn at_least(&self, hits: usize, marked: usize, size: usize, all: usize) -> f64 {
        let least = hits.max((size + marked).saturating_sub(all));
        let most = size.min(marked);
        let log = |x| {
            self.choose(marked, x) + self.choose(all - marked, size - x) - self.choose(all, size)
        };
        (least..=most).map(|x| log(x).exp()).sum()
    }
}

impl Engine {
    /// For each group its name and best words. `members` are positions among the
    /// pictures, the most central one first.
    pub(super) fn names(
        &self,
        members: &[Vec<usize>],
        items: &[Item],
        pictures: ArrayView2<'_, f32>,
        embeddings: &[Embedding],
    ) -> Result<Vec<Named>, EngineError> {
        let mut membership =
            Membership { of: vec![0; items.len()], sizes: members.iter().map(Vec::len).collect() };
        for (group, own) in members.iter().enumerate() {
            own.iter().for_each(|&i| membership.of[i] = group);
        }
        let mut candidates = Candidates::default();
        for (word, fits) in own_words(items, &membership) {
            candidates.add(&word, fits);
        }
        let texts = self.texts_near(members, embeddings)?;
        let rows = crate::eval::rows(texts.values());
        let fits = by_cosine(pictures, rows.view(), &membership.of);
        for (text, fit) in texts.keys().zip(fits) {
            candidates.add(text, fit.correlations(&membership.sizes));
        }
        if let Some(vocabulary) = self.towers.vocabulary()? {
            let dim = self.towers.space().dim();
            let mut rows = Array2::zeros((vocabulary.words().len(), dim));
            for (i, mut row) in rows.outer_iter_mut().enumerate() {
                let word = vocabulary.embedding(i);
                row.iter_mut().zip(word.values()).for_each(|(to, from)| *to = *from);
            }
            let fits = by_cosine(pictures, rows.view(), &membership.of);
            let words = vocabulary.words().iter().zip(fits);
            for (word, fit) in words.filter(|(word, _)| !unsaid(word)) {
                candidates.add(word, fit.correlations(&membership.sizes));
            }
        }
        let candidates: Vec<Candidate> = candidates.0.into_values().collect();
        Ok(choose(&candidates, members.len()))
    }

    /// The store's texts nearest to each group's middle.
    fn texts_near(
        &self,
        members: &[Vec<usize>],
        embeddings: &[Embedding],
    ) -> Result<BTreeMap<String, Embedding>, EngineError> {
        let space = self.towers.space();
        let store = self.fresh()?;
        let mut found = BTreeMap::new();
        for group in members {
            let parts: Vec<_> = group.iter().map(|&i| (&embeddings[i], 1.0)).collect();
            // Vectors that cancel out have no middle; the most central one stands for them.
            let middle =
                Embedding::combine(space, &parts).unwrap_or_else(|_| embeddings[group[0]].clone());
            let query = Query {
                vector: Some(middle),
                k: NEAR,
                filter: Filter::of_kind(Kind::Text),
                ..Query::default()
            };
            let ids: Vec<_> = store.search(&query)?.iter().map(|hit| hit.id).collect();
            for (item, embedding) in store.items(&ids)?.into_iter().zip(store.embeddings(&ids)?) {
                if let (Some(text), Some(embedding)) = (item.and_then(|i| i.text), embedding) {
                    found.insert(text, embedding);
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use ekphrasis_index::ItemId;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    /// Pearson's formula, over the pictures one by one.
    fn pearson(a: &[f64], b: &[f64]) -> f64 {
        let n = a.len() as f64;
        let mean = |v: &[f64]| v.iter().sum::<f64>() / n;
        let (ma, mb) = (mean(a), mean(b));
        let over = |x: &[f64], mx: f64, y: &[f64], my: f64| -> f64 {
            x.iter().zip(y).map(|(p, q)| (p - mx) * (q - my)).sum()
        };
        over(a, ma, b, mb) / (over(a, ma, a, ma) * over(b, mb, b, mb)).sqrt()
    }

    #[test]
    fn sums_give_pearsons_correlation() {
        let mut rng = Pcg64::seed_from_u64(2);
        let of: Vec<usize> = (0..40).map(|i| i % 3).collect();
        let scores: Vec<f64> = of.iter().map(|&g| rng.random_range(0.0..1.0) + g as f64).collect();
        let mut fit = Fit::none(3);
        of.iter().zip(&scores).for_each(|(&g, &s)| fit.add(g, s));
        let got = fit.correlations(&[14, 13, 13]);
        for (g, &got) in got.iter().enumerate() {
            let is: Vec<f64> = of.iter().map(|&o| f64::from(u8::from(o == g))).collect();
            let expected = pearson(&is, &scores);
            assert!((f64::from(got) - expected).abs() < 1e-6, "group {g}: {got} {expected}");
        }
        let mut same = Fit::none(2);
        (0..7).for_each(|i| same.add(i % 2, 0.3));
        assert_eq!(same.correlations(&[4, 3]), [0.0, 0.0], "a word that fits all alike");
        assert_eq!(Fit { sums: vec![3.0], squares: 3.0 }.correlations(&[4]), [0.75]);
    }

    /// Every way to draw four of nine.
    #[test]
    fn chance_is_that_of_counting() {
        let chance = Chance::new(9);
        let draws: Vec<u32> = (0..1u32 << 9).filter(|d| d.count_ones() == 4).collect();
        for marked in 0..=9 {
            for hits in 0..=4 {
                let mask = (1u32 << marked) - 1;
                let often = draws.iter().filter(|&d| (d & mask).count_ones() >= hits as u32);
                let expected = often.count() as f64 / draws.len() as f64;
                let got = chance.at_least(hits, marked, 4, 9);
                assert!((got - expected).abs() < 1e-12, "{hits} of {marked}: {got} {expected}");
            }
        }
    }

    fn candidate(text: &str, fits: &[f32]) -> Candidate {
        Candidate { text: text.into(), fits: fits.to_vec() }
    }

    #[test]
    fn no_name_is_given_twice_and_the_better_fit_has_it() {
        let words = [
            candidate("dog", &[0.8, 0.9, -0.9]),
            candidate("cat", &[0.5, 0.6, -0.7]),
            candidate("tree", &[-0.9, -0.9, -0.1]),
        ];
        let named = choose(&words, 3);
        let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cat", "dog", "group 3"]);
        assert_eq!(named[0].1, [("dog".to_owned(), 0.8), ("cat".to_owned(), 0.5)]);
        assert!(named[2].1.is_empty(), "no word fits it");
    }

    /// All pictures lie near one word; what tells them apart is small beside it.
    #[test]
    fn a_word_that_is_near_to_all_names_none() {
        // Coordinates: "drawing", "cat", "car".
        let words = ndarray::array![[1f32, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let pictures = ndarray::array![
            [0.99f32, 0.10, 0.02],
            [0.98, 0.12, 0.00],
            [0.97, 0.01, 0.14],
            [0.99, 0.00, 0.11]
        ];
        let of = [0, 0, 1, 1];
        let fits = by_cosine(pictures.view(), words.view(), &of);
        let candidates: Vec<Candidate> = ["drawing", "cat", "car"]
            .into_iter()
            .zip(&fits)
            .map(|(text, fit)| candidate(text, &fit.correlations(&[2, 2])))
            .collect();
        for group in 0..2 {
            let nearest = fits.iter().position(|f| f.sums[group] > 1.9);
            assert_eq!(nearest, Some(0), "by nearness both were drawings");
        }
        let names: Vec<String> = choose(&candidates, 2).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["cat", "car"]);
    }

    fn item(folder: &str, i: usize, caption: &str, tags: &[&str]) -> Item {
        let path = Path::new("/pictures").join(folder).join(format!("{i}.png"));
        Item {
            id: ItemId::for_path(&path),
            kind: Kind::Image,
            path: Some(path),
            text: (!caption.is_empty()).then(|| caption.to_owned()),
            tags: tags.iter().map(|t| (*t).to_owned()).collect(),
            file: None,
            facts: None,
            labels: vec![],
        }
    }

    fn own(items: &[Item], of: Vec<usize>) -> HashMap<String, Vec<f32>> {
        let groups = of.iter().max().map_or(0, |m| m + 1);
        let sizes = (0..groups).map(|g| of.iter().filter(|&&o| o == g).count()).collect();
        own_words(items, &Membership { of, sizes }).into_iter().collect()
    }

    #[test]
    fn captions_tags_and_folders_are_words_of_their_pictures() {
        let items: Vec<Item> = (0..16)
            .map(|i| match i {
                0..4 => item("my_holidays/beach", i, "", &["Sea"]),
                4..8 => item("my_holidays/hills", i, "a walk\na view", &[]),
                _ => item("work", i, "the office", &["desk"]),
            })
            .collect();
        let found = own(&items, (0..16).map(|i| (i / 4).min(2)).collect());
        for (word, fits) in [
            ("sea", [1.0, -0.333, -0.577]),
            ("beach", [1.0, -0.333, -0.577]),
            ("view", [-0.333, 1.0, -0.577]),
            ("a view", [-0.333, 1.0, -0.577]),
            ("office", [-0.577, -0.577, 1.0]),
            ("work", [-0.577, -0.577, 1.0]),
        ] {
            let got = found.get(word).unwrap_or_else(|| panic!("{word}: {found:?}"));
            for (got, expected) in got.iter().zip(fits) {
                // What chance explains is 0, and so may be what is rarer than by chance.
                assert!((got - expected).abs() < 1e-3 || *got == 0.0, "{word}: {got} {expected}");
            }
            assert!(got.contains(&1.0), "{word}: {got:?}");
        }
        assert!(!found.contains_key("pictures"), "all lie there");
        assert!(!found.contains_key("a"), "one letter is no name");
    }

    #[test]
    fn words_that_chance_explains_are_no_names() {
        // Each picture has words of its own, and all are dealt to groups by chance.
        let mut rng = Pcg64::seed_from_u64(4);
        let items: Vec<Item> = (0..200)
            .map(|i| {
                let tags: Vec<String> =
                    (0..3).map(|_| format!("w{}", rng.random_range(0..60))).collect();
                item("", i, "", &tags.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect();
        let of: Vec<usize> = (0..200).map(|_| rng.random_range(0..5)).collect();
        let found = own(&items, of);
        // About five groups × less than one word are expected.
        assert!(found.len() <= 8, "{found:?}");
    }
}
