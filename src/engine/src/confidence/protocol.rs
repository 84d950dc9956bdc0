//! Given a calibrated model and captioned pictures it never saw, how good are its
//! probabilities?

use std::collections::BTreeMap;
use std::path::Path;

use ekphrasis_embed::Embedding;
use ekphrasis_metric::measure::{ReliabilityBin, area_under_roc, calibration_error, reliability};

use super::evidence::{probability, sigmoid};
use super::trial::{self, Material, Told};
use super::{Asked, Confidence};
use crate::eval::{embed_all, embed_texts, of_split};
use crate::{EngineError, Towers, label_sets, pairs};

/// What to measure on.
#[derive(Clone, Debug)]
pub struct ConfidenceOptions {
    /// Only the lines of this split.
    pub split: Option<String>,
    /// Of the draws of concepts.
    pub seed: u64,
    /// How often half of the concepts are drawn.
    pub draws: usize,
    /// Bins of equal size.
    pub bins: usize,
}

impl Default for ConfidenceOptions {
    fn default() -> Self {
        Self { split: None, seed: 0, draws: 20, bins: 15 }
    }
}

/// How well one figure tells whether anything fits.
#[derive(Clone, Debug)]
pub struct Signal {
    /// What it is.
    pub name: &'static str,
    /// The area under the ROC curve: mean and standard deviation over the draws.
    pub auroc: (f64, f64),
}

/// What is said to queries that have no right answer.
#[derive(Clone, Debug)]
pub struct OddQueries {
    /// What they are.
    pub name: &'static str,
    /// How many there are.
    pub count: usize,
    /// The mean of the best cosine.
    pub best: f64,
    /// The mean probability that anything fits.
    pub probability: f64,
    /// The share to which a good match was promised.
    pub good: f64,
    /// The share to which was said that nothing seems to match.
    pub nothing: f64,
}

/// How far what is said of labels can be believed: sets of 3 to 100 labels (half of the things
/// at most) are drawn, and of the pictures that are shown half have one.
#[derive(Clone, Debug)]
pub struct LabelsBelieved {
    /// Things that labels were drawn of.
    pub things: usize,
    /// That one of the labels fits, which is what is left by `none_of_these`.
    pub any: Vec<ReliabilityBin>,
    /// Area under the curve of that.
    pub any_auroc: f64,
    /// That a label fits, judged by itself; empty if the model is not calibrated for it.
    pub each: Vec<ReliabilityBin>,
    /// Area under the curve of that.
    pub each_auroc: f64,
    /// The best label where one is to be chosen, which is told beside `none_of_these`.
    pub chosen: Vec<ReliabilityBin>,
    /// Area under the curve of that.
    pub chosen_auroc: f64,
    /// By how many labels a set has, ascending.
    pub by_labels: Vec<SetsBelieved>,
}

/// How far what is said of label sets of one size can be believed.
#[derive(Clone, Copy, Debug)]
pub struct SetsBelieved {
    /// Labels of a set.
    pub labels: usize,
    /// Expected calibration error: that one of the labels fits.
    pub any_error: f64,
    /// The same: the best label where one is to be chosen.
    pub chosen_error: f64,
    /// The same: that a label fits, judged by itself.
    pub each_error: Option<f64>,
    /// The mean probability of the label that is most probable by itself, and how often that
    /// one fits.
    pub first: Option<(f64, f64)>,
}

/// How good a model's probabilities are.
#[derive(Clone, Debug)]
pub struct ConfidenceReport {
    /// Pictures, different captions, concepts.
    pub over: (usize, usize, usize),
    /// Pictures in a library, the mean over the draws.
    pub library: f64,
    /// How often half of the concepts were drawn.
    pub draws: usize,
    /// Queries with something to find, as a share of all.
    pub base_rate: f64,
    /// Queries in words: each figure alone, the learned combination last but one, and
    /// the same where the pictures' keywords are indexed last.
    pub signals: Vec<Signal>,
    /// Queries by picture: the best cosine and the learned combination.
    pub by_picture: Vec<Signal>,
    /// What was said and what came true, of anything for queries in words.
    pub anything: Vec<ReliabilityBin>,
    /// The same where keywords are indexed.
    pub anything_with_words: Vec<ReliabilityBin>,
    /// The same for queries by picture.
    pub anything_by_picture: Vec<ReliabilityBin>,
    /// Of the first ten hits of queries in words.
    pub hits: Vec<ReliabilityBin>,
    /// Area under the curve of hits: by cosine, and as judged.
    pub hits_auroc: (f64, f64),
    /// The same where keywords are indexed, with those that hold all words of the query.
    pub hits_with_words: Vec<ReliabilityBin>,
    /// Area under the curve of those, as judged.
    pub hits_with_words_auroc: f64,
    /// Queries that have no right answer.
    pub odd: Vec<OddQueries>,
    /// Drawn label sets; `None` if the model is not calibrated for them, or there are too
    /// few things with two pictures.
    pub labels: Option<LabelsBelieved>,
    /// Pictures that could not be read.
    pub failed: usize,
}

impl ConfidenceReport {
    /// The expected calibration error of [`ConfidenceReport::anything`].
    pub fn error(&self) -> f64 {
        calibration_error(&self.anything)
    }
}

/// The names of the figures that count alone.
const PLAIN: [&str; 3] = ["best cosine", "best less fifth", "z-score of the best in the library"];

/// Texts that mean nothing.
const NONSENSE: &[&str] = &[
    "xqzt vorp",
    "asdf jkl",
    "blorptang fnord",
    "qwxz qwxz",
    "grumfle snark ozzle",
    "zzzzzz",
    "ilkj mnop",
    "vlad hrebt",
    "0x7f3a9c",
    "skdjfh sdkjfh",
    "wibbleflop",
    "trx 88 pqo",
    "mmmm",
    "ghjkty",
    "plim plam plorum",
    "hsdkjf",
    "aaaa bbbb",
    "kwyjibo",
    "frobnicate the quux",
    "%&/()",
];

/// What everyone knows, in languages that the model may not.
const OTHER_LANGUAGES: &[&str] = &[
    "ein roter Apfel",
    "das Fahrrad",
    "Regenschirm",
    "eine Tasse Kaffee",
    "Schmetterling",
    "un perro",
    "la bicicleta",
    "una manzana roja",
    "el paraguas",
    "mariposa",
    "une pomme rouge",
    "le vélo",
    "un parapluie",
    "le papillon",
    "собака",
    "красное яблоко",
    "велосипед",
    "红苹果",
    "自行车",
    "蝴蝶",
    "りんご",
    "自転車",
    "傘",
    "사과",
    "자전거",
    "تفاحة حمراء",
    "אופניים",
    "एक कुत्ता",
];

/// Measures on pairs that neither training nor calibration saw: half of the queries have
/// their whole concept out of the library. All figures are over `draws` such halves.
///
/// # Errors
/// `Invalid` if the model is not calibrated or the pairs are wrong or too few; otherwise
/// as the model fails.
pub fn measure(
    towers: &dyn Towers,
    file: &Path,
    options: &ConfidenceOptions,
    on_progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<ConfidenceReport, EngineError> {
    let Some(confidence) = towers.confidence()? else {
        return Err(EngineError::Invalid(
            "the model is not calibrated, so there is no confidence to measure; \
             `ek model calibrate DIR --pairs FILE` does it"
                .into(),
        ));
    };
    let lines = pairs::read(file).map_err(|e| EngineError::Invalid(e.to_string()))?;
    let wanted = of_split(&lines, options.split.as_deref());
    let (seen, failed) = embed_all(towers, wanted, on_progress)?;
    let captions = trial::captions(&seen);
    let vectors = embed_texts(towers, &captions)?;
    let texts: BTreeMap<String, Embedding> =
        captions.iter().map(|c| (*c).to_owned()).zip(vectors).collect();
    let labels = match towers.label_sets() {
        Some(known) => label_sets::try_out(towers, &seen, &confidence, known, options.seed)?,
        None => None,
    };
    let material = Material::new(seen, &texts, &confidence);
    if material.groups() < 4 {
        return Err(EngineError::Invalid(format!(
            "{}: confidence is measured on at least 4 concepts, got {}",
            file.display(),
            material.groups()
        )));
    }

    let (mut words, mut pictures, mut keywords) = <(Tally, Tally, Tally)>::default();
    let mut odd: Vec<Odd> = odd_queries(towers)?;
    let mut sizes = 0usize;
    for draw in 0..options.draws {
        let seed = options.seed.wrapping_mul(1_000).wrapping_add(draw as u64);
        let library = material.library(&confidence, 1.0, Told::Nothing, seed);
        sizes += library.len();
        words.add(&material, &confidence, material.ask(&library, Asked::Words), Asked::Words);
        pictures.add(
            &material,
            &confidence,
            material.ask(&library, Asked::Picture),
            Asked::Picture,
        );
        for kind in &mut odd {
            kind.ask(&material, &library, &confidence);
        }
        let known = material.library(&confidence, 1.0, Told::OfFound, seed);
        keywords.add(&material, &confidence, material.ask(&known, Asked::Words), Asked::Words);
    }
    let mut signals: Vec<Signal> =
        PLAIN.iter().zip(&words.plain).map(|(name, areas)| signal(name, areas)).collect();
    signals.push(signal("learned", &words.learned));
    signals.push(signal("learned, keywords indexed", &keywords.learned));
    let bins = |tally: &Tally| reliability(&tally.said, &tally.truth, options.bins);
    Ok(ConfidenceReport {
        over: (material.pictures(), material.captions(), material.groups()),
        library: sizes as f64 / options.draws.max(1) as f64,
        draws: options.draws,
        base_rate: share(&words.truth),
        signals,
        by_picture: vec![
            signal(PLAIN[0], &pictures.plain[0]),
            signal("learned", &pictures.learned),
        ],
        anything: bins(&words),
        anything_with_words: bins(&keywords),
        anything_by_picture: bins(&pictures),
        hits: reliability(&words.hit_said, &words.hit_truth, options.bins),
        hits_auroc: (
            area_under_roc(&words.hit_cosines, &words.hit_truth).unwrap_or(0.5),
            area_under_roc(&words.hit_said, &words.hit_truth).unwrap_or(0.5),
        ),
        hits_with_words: reliability(&keywords.hit_said, &keywords.hit_truth, options.bins),
        hits_with_words_auroc: area_under_roc(&keywords.hit_said, &keywords.hit_truth)
            .unwrap_or(0.5),
        odd: odd.into_iter().map(Odd::told).collect(),
        labels: labels.map(|trial| believed(&trial, options.bins)),
        failed: failed.len(),
    })
}

fn believed(trial: &label_sets::LabelTrial, bins: usize) -> LabelsBelieved {
    let of = |all: &label_sets::Said| {
        let auroc = area_under_roc(&all.said, &all.truth).unwrap_or(0.5);
        (reliability(&all.said, &all.truth, bins), auroc)
    };
    let ((any, any_auroc), (each, each_auroc)) = (of(&trial.all.any), of(&trial.all.each));
    let (chosen, chosen_auroc) = of(&trial.all.chosen);
    let error =
        |all: &label_sets::Said| calibration_error(&reliability(&all.said, &all.truth, bins));
    let mean = |said: &[f64]| said.iter().sum::<f64>() / said.len().max(1) as f64;
    let sized = |(&labels, sets): (&usize, &label_sets::SetsSaid)| {
        let judged = !sets.each.said.is_empty();
        SetsBelieved {
            labels,
            any_error: error(&sets.any),
            chosen_error: error(&sets.chosen),
            each_error: judged.then(|| error(&sets.each)),
            first: judged.then(|| (mean(&sets.first.said), share(&sets.first.truth))),
        }
    };
    let by_labels = trial.by_labels.iter().map(sized).collect();
    LabelsBelieved {
        things: trial.things,
        any,
        any_auroc,
        each,
        each_auroc,
        chosen,
        chosen_auroc,
        by_labels,
    }
}

fn share(truth: &[bool]) -> f64 {
    truth.iter().filter(|&&t| t).count() as f64 / truth.len().max(1) as f64
}

/// Mean and deviation over the draws.
fn signal(name: &'static str, areas: &[f64]) -> Signal {
    let n = areas.len().max(1) as f64;
    let mean = areas.iter().sum::<f64>() / n;
    let deviation = (areas.iter().map(|a| (a - mean).powi(2)).sum::<f64>() / n).sqrt();
    Signal { name, auroc: (mean, deviation) }
}

/// What is gathered over the draws.
#[derive(Default)]
struct Tally {
    plain: [Vec<f64>; 3],
    learned: Vec<f64>,
    said: Vec<f64>,
    truth: Vec<bool>,
    hit_said: Vec<f64>,
    hit_cosines: Vec<f64>,
    hit_truth: Vec<bool>,
}

impl Tally {
    fn add(
        &mut self,
        material: &Material,
        confidence: &Confidence,
        examples: Vec<trial::Example>,
        asked: Asked,
    ) {
        let judgement = confidence.judgement(asked);
        let truth: Vec<bool> = examples.iter().map(|e| e.present).collect();
        for (i, areas) in self.plain.iter_mut().enumerate() {
            let scores: Vec<f64> = examples.iter().map(|e| e.plain[i]).collect();
            areas.extend(area_under_roc(&scores, &truth));
        }
        let said: Vec<f64> = examples.iter().map(|e| probability(&e.evidence, judgement)).collect();
        self.learned.extend(area_under_roc(&said, &truth));
        for example in &examples {
            let logit = example.evidence.logit(&judgement.anything);
            for (hit, cosine, fits) in material.judged(example, logit) {
                self.hit_said.push(hit.probability(&judgement.hit));
                self.hit_cosines.push(cosine);
                self.hit_truth.push(fits);
            }
        }
        self.said.extend(said);
        self.truth.extend(truth);
    }
}

/// Queries of one kind, and what was said to them.
struct Odd {
    name: &'static str,
    queries: Vec<(String, Embedding)>,
    best: Vec<f64>,
    said: Vec<f64>,
}

fn odd_queries(towers: &dyn Towers) -> Result<Vec<Odd>, EngineError> {
    let kind = |name, texts: &[&str]| -> Result<Odd, EngineError> {
        let vectors = embed_texts(towers, texts)?;
        let queries = texts.iter().map(|t| (*t).to_owned()).zip(vectors).collect();
        Ok(Odd { name, queries, best: Vec::new(), said: Vec::new() })
    };
    Ok(vec![
        kind("nonsense", NONSENSE)?,
        kind("other languages", OTHER_LANGUAGES)?,
        kind("the empty text", &[""])?,
    ])
}

impl Odd {
    fn ask(&mut self, material: &Material, library: &trial::Library, confidence: &Confidence) {
        let judgement = confidence.judgement(Asked::Words);
        for (text, embedding) in &self.queries {
            let example = material.example_of(library, text, embedding, confidence);
            self.best.push(example.plain[0]);
            self.said.push(sigmoid(example.evidence.logit(&judgement.anything)));
        }
    }

    fn told(self) -> OddQueries {
        let n = self.said.len().max(1) as f64;
        let share =
            |fits: &dyn Fn(f64) -> bool| self.said.iter().filter(|&&p| fits(p)).count() as f64 / n;
        OddQueries {
            name: self.name,
            count: self.queries.len(),
            best: self.best.iter().sum::<f64>() / n,
            probability: self.said.iter().sum::<f64>() / n,
            good: share(&|p| super::Verdict::of(p) == super::Verdict::Good),
            nothing: share(&|p| super::Verdict::of(p) == super::Verdict::Nothing),
        }
    }
}
