//! Given pairs, base and recipe, what is trained on? Everything before the first step.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ekphrasis_embed::{Interpolation, Pixels, Preprocess, Resize};
use ekphrasis_models::{Model as BaseModel, Runtime};
use rayon::prelude::*;

use super::build::{Widths, build};
use super::error::JobError;
use super::start;
use super::supply::{DataSupply, ImageInputs, Raw, TextInputs, class_numbers, held_out};
use crate::config::{Batches, Config, ImageSide, TextSide};
use crate::data::{
    self, ContentHash, Example, FeatureTable, Groups, ImageJob, NearTexts, Part, Picture, Progress,
    Purpose, Seen, Severity, Shares, TextJob, TextTable, may_mirror,
};
use crate::run::{HeldOut, Model};
use crate::start::{Correct, Start};

/// What is to be done.
#[derive(Debug)]
pub struct Job<'a> {
    /// The pairs, as the user wrote them.
    pub examples: Vec<Example>,
    /// The recipe.
    pub config: Config,
    /// The model that is started from, and whose tokenizer towers of their own use.
    pub base: BaseModel,
    /// What runs the base.
    pub runtime: &'a Runtime,
    /// Where what the base says is kept.
    pub cache: PathBuf,
    /// How many pictures are worked on at a time.
    pub threads: usize,
}

/// What goes on before training.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Pictures are read; how many.
    Looking(usize),
    /// How many of them need not be decoded, because what the base says of them is kept.
    Known(usize),
    /// Something about the pairs, a sentence.
    Warning(String),
    /// The base looks at pictures.
    Pictures(Progress),
    /// The base reads texts.
    Texts(Progress),
    /// What there is: pictures to learn from, held out to choose by, whether the
    /// file said which.
    Split {
        /// To learn from.
        train: usize,
        /// To choose by.
        validation: usize,
        /// Whether the lines named their splits.
        given: bool,
    },
}

/// All that training needs, in memory.
#[derive(Debug)]
pub struct Prepared {
    /// Where batches come from.
    pub supply: DataSupply,
    /// Both towers with their first values.
    pub model: Model,
    /// The pairs that are used; places in them are those of the supply.
    pub examples: Vec<Example>,
    /// What each of them is for; none: neither learnt from nor chosen by.
    pub parts: Vec<Option<Part>>,
    /// A hash of pictures, words, split and recipe: the run's identity.
    pub run: String,
    /// A hash of pictures and words alone.
    pub data: String,
    /// What lies between a picture and a tower of its own.
    pub preprocess: Option<Preprocess>,
    /// Where training starts, if that is computed; the towers then are
    /// corrections of it.
    pub start: Option<Start>,
    /// What the towers are made from.
    pub(super) widths: Widths,
}

impl Prepared {
    /// The same pictures, split and features under another seed: of the towers' first
    /// values, and of which pictures, views and words come when. Splits and views stay
    /// those of the recipe's seed.
    pub(super) fn reseed(&mut self, config: &Config, seed: u64) -> Result<(), JobError> {
        self.model = build(&Config { seed, ..config.clone() }, self.widths)?;
        self.supply.seed = seed;
        Ok(())
    }
}

/// Looks at the pairs, splits them, asks the base, and builds the towers.
///
/// # Errors
/// `Pairs` with all that is wrong with them, `Base` where the recipe asks for
/// outputs that the base does not have, and what models, cache and data say.
pub fn prepare(
    job: &Job<'_>,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Stage),
) -> Result<Prepared, JobError> {
    let stopped = || if stop.load(Ordering::Relaxed) { Err(JobError::Stopped) } else { Ok(()) };
    let config = &job.config;
    let with_texts = !config.text.is_none();
    tell(Stage::Looking(job.examples.len()));
    let outputs = outputs(config);
    let seen = match ask(job, &outputs) {
        None => data::look(&job.examples, &|_| false),
        Some(asked) => {
            let cached = data::cached_pictures(&asked)?;
            let known = AtomicUsize::new(0);
            let seen = data::look(&job.examples, &|content| {
                let is = cached(content);
                known.fetch_add(usize::from(is), Ordering::Relaxed);
                is
            });
            match known.into_inner() {
                0 => {}
                known => tell(Stage::Known(known)),
            }
            seen
        }
    };
    stopped()?;
    let purpose = if with_texts { Purpose::Captions } else { Purpose::Groups };
    let report = data::check(&job.examples, &seen, purpose);
    if report.refused() {
        let errors = report.findings.iter().filter(|f| f.severity == Severity::Error);
        let lines: Vec<&str> = errors.map(|f| f.text.as_str()).collect();
        return Err(JobError::Pairs(lines.join("\n")));
    }
    report.findings.iter().for_each(|f| tell(Stage::Warning(f.text.clone())));
    let (examples, contents) = used(&job.examples, &seen, &report.usable, with_texts);

    let some: Vec<Option<ContentHash>> = contents.iter().copied().map(Some).collect();
    let groups = Groups::new(&examples, &some);
    let (parts, given) = parts(config, &examples, &groups)?;
    let of =
        |part| -> Vec<usize> { (0..examples.len()).filter(|&i| parts[i] == Some(part)).collect() };
    let (train, validation) = (of(Part::Train), of(Part::Val));
    tell(Stage::Split { train: train.len(), validation: validation.len(), given });

    let classes = class_numbers(&examples);
    let asks = match (config.data.batches, config.classifier) {
        _ if classes.is_some() => None,
        (Batches::ByClass, _) => Some("data.batches = \"by-class\""),
        (_, Some(_)) => Some("[classifier]"),
        _ => None,
    };
    if let Some(asks) = asks {
        let without = examples.iter().filter(|e| e.class.is_none()).count();
        return Err(JobError::Pairs(format!(
            "{asks} needs a class on every line, and {without} of {} have none; add the column, or leave {asks} out of the recipe",
            examples.len()
        )));
    }

    let (images, features) = images(job, &examples, &contents, tell)?;
    stopped()?;
    let table = TextTable::new(&examples, &features.pseudo);
    let (texts, near, text_base, words) = texts(job, &table, tell)?;
    stopped()?;
    let same = match (&classes, config.data.batches) {
        (Some(classes), Batches::ByClass) => classes,
        _ => groups.of(),
    };
    let held_out = held_out(&validation, &table, with_texts, same);
    if !held_out.is_empty() && !held_out.can_be_ranked() {
        tell(Stage::Warning(unranked(&held_out)));
    }
    let begins = config.start.options().is_some();
    let raw = if begins { Raw::of(&images, &texts, &held_out) } else { None };
    let (images, texts, start) = start::begin(config, images, texts, &table, &train, groups.of())?;
    // What is added to is then where training starts, in the texts' space.
    let image_base = start.as_ref().map_or(features.base, Start::dim);
    let layers = match &start {
        Some(start) if start.correct() == Correct::Embedding => start.dim(),
        _ => features.layers,
    };
    let widths =
        Widths { image_base, features: layers, text_base, words, space: job.base.space().dim() };
    let model = build(config, widths)?;
    let data = data_hash(&examples, &contents);
    let run = {
        let mut hasher = blake3::Hasher::new();
        hasher.update(data.as_bytes());
        hasher.update(config.write().as_bytes());
        hasher.update(job.base.space().id().as_bytes());
        parts.iter().for_each(|part| {
            hasher.update(&[part.map_or(9, |p| p as u8)]);
        });
        hasher.finalize().to_hex()[..16].to_owned()
    };
    let supply = DataSupply {
        seed: config.seed,
        images,
        texts,
        table,
        words: config.data.words(),
        near,
        groups: groups.of().to_vec(),
        classes,
        train,
        held_out,
        raw,
        batches: config.data.batches,
        batch: config.data.batch,
        per_group: config.data.per_group,
    };
    let preprocess = features.preprocess;
    Ok(Prepared { supply, model, examples, parts, run, data, preprocess, start, widths })
}

/// The pairs that are trained on, and the contents of their pictures.
fn used(
    all: &[Example],
    seen: &[Seen],
    usable: &[usize],
    with_texts: bool,
) -> (Vec<Example>, Vec<ContentHash>) {
    let one = |&i: &usize| {
        let (example, content) = (&all[i], seen[i].content()?);
        let worded = example.captions.iter().chain(&example.tags).any(|t| !t.trim().is_empty());
        (!with_texts || worded).then(|| (example.clone(), content))
    };
    usable.iter().filter_map(one).unzip()
}

/// How many of these pairs would be trained on by this recipe, and their hash, as a trained model
/// has it. If `believed`, every file that is there is taken for a picture.
pub(super) fn would_use(examples: &[Example], config: &Config, believed: bool) -> (usize, String) {
    let with_texts = !config.text.is_none();
    let purpose = if with_texts { Purpose::Captions } else { Purpose::Groups };
    let seen = data::look(examples, &|_| believed);
    let usable = data::check(examples, &seen, purpose).usable;
    let (examples, contents) = used(examples, &seen, &usable, with_texts);
    (examples.len(), data_hash(&examples, &contents))
}

/// Why held-out pictures are no measure, and what to do.
fn unranked(held: &HeldOut) -> String {
    let (why, needed) = match held.captions.is_empty() {
        true => (
            "no two are of one group (or all are)",
            "two pictures of each of at least two groups or classes",
        ),
        false => ("all have the same caption", "pictures with at least two captions"),
    };
    format!(
        "the {} validation pictures measure nothing, because {why}; the weights of the last epoch will be published. Give {needed} the split `val`, or raise data.validation",
        held.pictures.len()
    )
}

/// Each example's part; none: neither learnt from nor chosen by.
fn parts(
    config: &Config,
    examples: &[Example],
    groups: &Groups,
) -> Result<(Vec<Option<Part>>, bool), JobError> {
    if examples.iter().any(|e| e.part().is_some()) {
        let part = |e: &Example| match e.part() {
            None | Some("train") => Some(Part::Train),
            Some("val") => Some(Part::Val),
            Some(_) => None,
        };
        return Ok((examples.iter().map(part).collect(), true));
    }
    if config.data.validation == 0.0 {
        return Ok((vec![Some(Part::Train); examples.len()], false));
    }
    let shares = Shares { val: config.data.validation, test: 0.0 };
    let parts = data::split(groups, shares, config.seed)?;
    Ok((parts.into_iter().map(Some).collect(), false))
}

/// What is known of the image side once its inputs are there.
#[derive(Default)]
struct Known {
    base: usize,
    layers: usize,
    pseudo: Vec<Option<String>>,
    preprocess: Option<Preprocess>,
}

/// The base's outputs that a head adds to ("" for none) and reads; none of a tower of
/// its own.
fn frozen(image: &ImageSide) -> (&str, &[String]) {
    match image {
        ImageSide::Mlp { base, features, .. } | ImageSide::Linear { base, features, .. } => {
            (base, features)
        }
        ImageSide::Frozen { base } => (base, &[]),
        ImageSide::Cnn { .. } | ImageSide::Vit { .. } => ("", &[]),
    }
}

/// All outputs that the base is asked for, each once.
fn outputs(config: &Config) -> Vec<&str> {
    let (base, features) = frozen(&config.image);
    let words = &config.data.words;
    let pseudo = (words.pseudo > 0.0).then_some(words.pseudo_output.as_str());
    let wanted = (!base.is_empty()).then_some(base).into_iter();
    let mut outputs: Vec<&str> = Vec::new();
    for name in wanted.chain(features.iter().map(String::as_str)).chain(pseudo) {
        if !outputs.contains(&name) {
            outputs.push(name);
        }
    }
    outputs
}

/// What is asked of the base's picture tower; none if that is nothing.
fn ask<'a>(job: &'a Job<'_>, outputs: &'a [&'a str]) -> Option<ImageJob<'a>> {
    let data = &job.config.data;
    (!outputs.is_empty()).then_some(ImageJob {
        model: &job.base,
        runtime: job.runtime,
        outputs,
        views: data.augment.views,
        augment: data.augment(),
        seed: job.config.seed,
        sessions: job.threads,
        precision: data.precision(),
        cache: &job.cache,
    })
}

fn images(
    job: &Job<'_>,
    examples: &[Example],
    contents: &[ContentHash],
    tell: &mut dyn FnMut(Stage),
) -> Result<(ImageInputs, Known), JobError> {
    let config = &job.config;
    let mirror: Vec<bool> = examples
        .iter()
        .map(|e| may_mirror(e.captions.iter().chain(&e.tags).map(String::as_str)))
        .collect();
    if let ImageSide::Cnn { side, .. } | ImageSide::Vit { side, .. } = &config.image {
        return pixels(config, *side as u32, examples, contents, mirror);
    }
    let (base, features) = frozen(&config.image);
    let pseudo = config.data.words.pseudo > 0.0;
    let outputs = outputs(config);
    let asked = ask(job, &outputs).expect("a head reads outputs of the base");
    let pictures: Vec<Picture> = (0..examples.len())
        .map(|i| Picture {
            path: examples[i].path.clone(),
            content: contents[i],
            may_mirror: mirror[i],
        })
        .collect();
    let got = data::image_features(&asked, &pictures, &mut |p| tell(Stage::Pictures(p)))?;
    if let Some(first) = got.skipped.first() {
        let path = examples[first.picture].path.display();
        let more = got.skipped.len() - 1;
        return Err(JobError::Pairs(format!("{path}: {} (and {more} more)", first.why)));
    }
    let table = |name: &str| -> FeatureTable {
        let place = outputs.iter().position(|o| *o == name);
        got.tables[place.expect("every name was asked for")].clone()
    };
    let base = (!base.is_empty()).then(|| table(base));
    let features: Vec<FeatureTable> = features.iter().map(|name| table(name)).collect();
    let mut known = Known {
        base: base.as_ref().map_or(0, FeatureTable::width),
        layers: features.iter().map(FeatureTable::width).sum(),
        ..Known::default()
    };
    if pseudo {
        let words = &config.data.words;
        let names = class_names(job, &words.names)?;
        let logits = table(&words.pseudo_output);
        if logits.width() != names.len() {
            return Err(JobError::Base(format!(
                "output {:?} has {} numbers, but there are {} class names; set data.words.names to a file with one name a line",
                words.pseudo_output,
                logits.width(),
                names.len()
            )));
        }
        let rows: Vec<usize> = (0..examples.len()).map(|i| got.row(i, 0)).collect();
        let scores = logits.gather(&rows);
        let scores: Vec<f32> = scores.iter().copied().collect();
        known.pseudo = data::pseudo_captions(&scores, &names, words.pseudo_least);
    }
    Ok((ImageInputs::Features { base, features, views: got.views }, known))
}

fn class_names(job: &Job<'_>, file: &str) -> Result<Vec<String>, JobError> {
    if file.is_empty() {
        let words = job.base.vocabulary()?;
        return words.map(|v| v.words().to_vec()).ok_or_else(|| {
            JobError::Base(
                "data.words.pseudo needs class names, and the base has no vocabulary; set data.words.names".into(),
            )
        });
    }
    let text = fs_err::read_to_string(file).map_err(|e| JobError::Base(e.to_string()))?;
    Ok(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect())
}

fn pixels(
    config: &Config,
    side: u32,
    examples: &[Example],
    contents: &[ContentHash],
    may_mirror: Vec<bool>,
) -> Result<(ImageInputs, Known), JobError> {
    let preprocess = Preprocess::new(
        side,
        Resize::Pad { fill: [255; 3] },
        Interpolation::Bilinear,
        [0.5; 3],
        [0.5; 3],
    )
    .expect("a side of 16 to 128, and mean and deviation of one half");
    let read = |example: &Example| -> Result<Pixels, String> {
        let bytes = fs_err::read(&example.path).map_err(|e| e.to_string())?;
        let picture = ekphrasis_models::decode(&bytes)
            .map_err(|e| format!("{}: {e}", example.path.display()))?;
        // Twice the side: views crop and turn before they shrink.
        Ok(picture.pixels.fit_within(2 * side))
    };
    let pictures: Result<Vec<Pixels>, String> = examples.par_iter().map(read).collect();
    let inputs = ImageInputs::Pixels {
        pictures: pictures.map_err(JobError::Pairs)?,
        contents: contents.to_vec(),
        may_mirror,
        preprocess: preprocess.clone(),
        augment: (config.data.augment.views > 0).then(|| config.data.augment()),
    };
    Ok((inputs, Known { preprocess: Some(preprocess), ..Known::default() }))
}

type Texts = (TextInputs, Option<NearTexts>, usize, usize);

fn texts(job: &Job<'_>, table: &TextTable, tell: &mut dyn FnMut(Stage)) -> Result<Texts, JobError> {
    let config = &job.config;
    if config.text.is_none() {
        return Ok((TextInputs::None, None, 0, 0));
    }
    let near = config.data.near < 1.0;
    let rows = if near || !config.text.reads_tokens() {
        let asked = TextJob {
            model: &job.base,
            runtime: job.runtime,
            sessions: job.threads,
            precision: config.data.precision(),
            cache: &job.cache,
        };
        Some(data::text_features(&asked, table.texts(), &mut |p| tell(Stage::Texts(p)))?)
    } else {
        None
    };
    let near = rows.as_ref().filter(|_| near).map(|rows| {
        let all: Vec<usize> = (0..rows.len()).collect();
        NearTexts::find(rows.gather(&all).view(), config.data.near)
    });
    if let TextSide::Transformer { longest, .. } = config.text {
        let encoder = job.base.ort_text_encoder(job.runtime, 1)?;
        let ids: Result<Vec<Vec<i64>>, _> =
            table.texts().iter().map(|text| encoder.token_ids(text)).collect();
        let mut ids = ids.map_err(|e| JobError::Base(e.to_string()))?;
        for text in &mut ids {
            // As the runtime cuts: the first tokens, and the one that ends a text.
            if let Some(&end) = text.last().filter(|_| text.len() > longest) {
                text.truncate(longest - 1);
                text.push(end);
            }
        }
        return Ok((TextInputs::Tokens(ids), near, 0, encoder.token_count()));
    }
    let rows = rows.expect("asked for, because no tokens are read");
    let width = rows.width();
    let (base, layers) = match config.text {
        TextSide::Frozen {} => (true, false),
        TextSide::Map { .. } => (false, true),
        _ => (true, true),
    };
    Ok((TextInputs::Features { base, layers, rows }, near, width, 0))
}

fn data_hash(examples: &[Example], contents: &[ContentHash]) -> String {
    let mut hasher = blake3::Hasher::new();
    for (example, content) in examples.iter().zip(contents) {
        hasher.update(content.as_bytes());
        let words = example.captions.iter().chain(&example.tags);
        let marks = [&example.group, &example.class, &example.split];
        for part in words.chain(marks.into_iter().flatten()) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        hasher.update(&[0xff]);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_without_a_split_are_learnt_from() {
        let split = |i: usize| match i {
            0..24 => None,
            24..27 => Some("val"),
            27 => Some("Validation"),
            28 => Some("train"),
            _ => Some("style-test"),
        };
        let examples: Vec<Example> = (0..30)
            .map(|i| Example {
                captions: vec![format!("thing {i}")],
                split: split(i).map(str::to_owned),
                ..Example::default()
            })
            .collect();
        let groups = Groups::new(&examples, &[None; 30]);
        let (parts, given) = parts(&Config::default(), &examples, &groups).expect("parts");
        assert!(given);
        assert_eq!(parts[..24], [Some(Part::Train); 24]);
        assert_eq!(parts[24..28], [Some(Part::Val); 4]);
        assert_eq!(parts[28..], [Some(Part::Train), None]);
    }
}
