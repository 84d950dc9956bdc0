//! Given a picture's words, which text is it shown with in a step? Sometimes its
//! caption, sometimes its keywords, sometimes what the backbone itself calls it.

use std::collections::HashMap;

use rand::RngExt;

use super::Example;
use super::seeded::generator;

/// How often a picture is shown with which of its texts. The first three are
/// weights among the kinds that a picture has; a kind it lacks goes to the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// One of its captions.
    pub caption: f32,
    /// All keywords, joined by commas.
    pub joined: f32,
    /// One keyword.
    pub keyword: f32,
    /// The probability, 0..=1, with which its pseudo-caption, if it has one,
    /// takes the place of all others. That keeps the words for photographs that
    /// the backbone knows, which drawings alone would wash out.
    pub pseudo: f32,
}

impl Default for Shares {
    fn default() -> Self {
        Self { caption: 0.6, joined: 0.2, keyword: 0.2, pseudo: 0.35 }
    }
}

impl Shares {
    /// Captions alone.
    pub const CAPTIONS: Self = Self { caption: 1.0, joined: 0.0, keyword: 0.0, pseudo: 0.0 };
}

/// All texts of all examples, each once, so that each is embedded once.
#[derive(Clone, Debug, PartialEq)]
pub struct TextTable {
    texts: Vec<String>,
    variants: Vec<Variants>,
}

/// Rows of the table that belong to one example.
#[derive(Clone, Debug, Default, PartialEq)]
struct Variants {
    captions: Vec<u32>,
    joined: Option<u32>,
    keywords: Vec<u32>,
    pseudo: Option<u32>,
}

/// Keywords in a joined text; more than a caption's length says nothing more.
const JOINED: usize = 8;

impl TextTable {
    /// Collects the texts. `pseudo` is one entry an example (see
    /// [`pseudo_captions`]) or empty for none.
    ///
    /// # Panics
    /// If `pseudo` has another length than 0 or the examples'.
    pub fn new(examples: &[Example], pseudo: &[Option<String>]) -> Self {
        assert!(pseudo.is_empty() || pseudo.len() == examples.len(), "one entry an example");
        let mut rows: HashMap<String, u32> = HashMap::new();
        let mut texts: Vec<String> = Vec::new();
        let mut row = |text: &str| {
            let text = text.trim();
            *rows.entry(text.to_owned()).or_insert_with(|| {
                texts.push(text.to_owned());
                (texts.len() - 1) as u32
            })
        };
        let filled = |list: &[String]| -> Vec<String> {
            list.iter().filter(|t| !t.trim().is_empty()).cloned().collect()
        };
        let variants = examples
            .iter()
            .enumerate()
            .map(|(i, e)| {
                let tags = filled(&e.tags);
                let joined = tags[..tags.len().min(JOINED)].join(", ");
                Variants {
                    captions: filled(&e.captions).iter().map(|t| row(t)).collect(),
                    joined: (tags.len() > 1).then(|| row(&joined)),
                    keywords: tags.iter().map(|t| row(t)).collect(),
                    pseudo: pseudo.get(i).and_then(Option::as_deref).map(&mut row),
                }
            })
            .collect();
        Self { texts, variants }
    }

    /// All texts, none twice; what is to be embedded.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The row of an example's first caption, `None` if it has no caption.
    pub fn caption(&self, example: usize) -> Option<u32> {
        self.variants[example].captions.first().copied()
    }

    /// The rows of an example's keywords, one a keyword.
    pub fn keywords(&self, example: usize) -> &[u32] {
        &self.variants[example].keywords
    }

    /// The row of the text that `example` is shown with in `step` under `seed`:
    /// a function of these and nothing else. `None` if the example has no text
    /// of a kind with a share over 0.
    pub fn pick(&self, example: usize, shares: &Shares, seed: u64, step: u64) -> Option<u32> {
        let v = &self.variants[example];
        let place = [&(example as u64).to_le_bytes()[..], &step.to_le_bytes()[..]];
        let mut rng = generator(seed, "text", &place);
        // Drawn first and always, so that other shares change nothing here.
        let of_pseudo = rng.random::<f32>() < shares.pseudo;
        if of_pseudo && v.pseudo.is_some() {
            return v.pseudo;
        }
        let joined: Vec<u32> = v.joined.into_iter().collect();
        let kinds = [
            (v.captions.as_slice(), shares.caption),
            (joined.as_slice(), shares.joined),
            (v.keywords.as_slice(), shares.keyword),
        ];
        let open = || kinds.iter().filter(|(rows, share)| !rows.is_empty() && *share > 0.0);
        let total: f32 = open().map(|(_, share)| share).sum();
        let mut at = rng.random::<f32>() * total;
        let mut chosen: Option<&[u32]> = None;
        for (rows, share) in open() {
            chosen = Some(rows);
            if at < *share {
                break;
            }
            at -= share;
        }
        chosen.map(|rows| rows[rng.random_range(0..rows.len())])
    }
}

/// What the backbone itself calls each picture: the name of its most probable
/// class (softmax of the logits) where that probability is over `least`.
/// `logits` is one row of `names.len()` numbers a picture.
///
/// # Panics
/// If `logits` is not whole rows.
pub fn pseudo_captions(logits: &[f32], names: &[String], least: f32) -> Vec<Option<String>> {
    assert!(!names.is_empty() && logits.len().is_multiple_of(names.len()), "whole rows");
    logits
        .chunks_exact(names.len())
        .map(|row| {
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]))?;
            let sum: f64 = row.iter().map(|&v| f64::from(v - row[best]).exp()).sum();
            // The best one's own share of the softmax is exp(0) / sum.
            (1.0 / sum > f64::from(least)).then(|| names[best].clone())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Example> {
        let words = |list: &[&str]| list.iter().map(|&t| t.to_owned()).collect::<Vec<_>>();
        vec![
            Example {
                captions: words(&["a cat", "cat on a mat"]),
                tags: words(&["pet", "animal"]),
                ..Example::default()
            },
            Example { captions: words(&["a cat"]), ..Example::default() },
            Example { tags: words(&["pet", " "]), ..Example::default() },
            Example::default(),
        ]
    }

    /// How often each text is picked for an example.
    fn counts(table: &TextTable, example: usize, shares: &Shares) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for step in 0..4000 {
            if let Some(row) = table.pick(example, shares, 11, step) {
                *counts.entry(table.texts()[row as usize].clone()).or_default() += 1;
            }
        }
        counts
    }

    #[test]
    fn each_text_is_there_once() {
        let table = TextTable::new(&examples(), &[]);
        assert_eq!(table.texts(), ["a cat", "cat on a mat", "pet, animal", "pet", "animal"]);
        assert_eq!(table.caption(1), Some(0));
        assert_eq!(table.caption(2), None);
    }

    #[test]
    fn shares_are_kept() {
        let pseudo = [Some("tabby".to_owned()), None, None, None];
        let table = TextTable::new(&examples(), &pseudo);
        let shares = Shares { caption: 2.0, joined: 1.0, keyword: 1.0, pseudo: 0.5 };
        let of = counts(&table, 0, &shares);
        let near = |text: &str, share: f64| {
            let got = of[text] as f64 / 4000.0;
            // Four standard errors of a share at 4,000 draws are under 0.032.
            assert!((got - share).abs() < 0.032, "{text}: {got}, expected {share}");
        };
        near("tabby", 0.5);
        near("a cat", 0.125);
        near("cat on a mat", 0.125);
        near("pet, animal", 0.125);
        near("pet", 0.0625);
        near("animal", 0.0625);
        // Kinds that an example lacks go to the others.
        assert_eq!(counts(&table, 1, &shares), HashMap::from([("a cat".to_owned(), 4000)]));
        assert_eq!(counts(&table, 2, &shares), HashMap::from([("pet".to_owned(), 4000)]));
        assert!(counts(&table, 3, &shares).is_empty());
        assert!(counts(&table, 2, &Shares::CAPTIONS).is_empty(), "no caption to show");
    }

    #[test]
    fn picks_depend_on_seed_and_step_alone() {
        let table = TextTable::new(&examples(), &[]);
        let run = |seed: u64| -> Vec<_> {
            (0..64).map(|s| table.pick(0, &Shares::default(), seed, s)).collect()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn only_sure_names_become_captions() {
        let names = ["a", "b", "c"].map(str::to_owned);
        // softmax(2, 0, 0) = 0.787, softmax(0, 0.1, 0) = 0.356, ln 2 over two zeros: 0.5.
        let logits = [2.0, 0.0, 0.0, 0.0, 0.1, 0.0, 0.0, 0.0, std::f32::consts::LN_2];
        let got = pseudo_captions(&logits, &names, 0.4);
        assert_eq!(got, [Some("a".to_owned()), None, Some("c".to_owned())]);
        let got = pseudo_captions(&logits, &names, 0.35);
        assert_eq!(got[1], Some("b".to_owned()));
    }
}
