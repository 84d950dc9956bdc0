//! Which loss with which selection? All that make sense, on the same features,
//! with the same budget and the same seeds.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::JobError;
use super::prepare::{Job, Prepared, Stage, prepare};
use super::supply::DataSupply;
use crate::config::{
    Config, DistanceConfig, LossConfig, Negatives, ReductionConfig, SelectionConfig, SidesConfig,
};
use crate::nn::Fed;
use crate::run::{HeldOut, Judge, Learnt, Outcome, Score, Supplied, Supply, Trainer, evaluate};

/// One way to train.
#[derive(Clone, Debug, PartialEq)]
pub struct Variant {
    /// Such as `triplet`.
    pub loss: &'static str,
    /// Such as `hard after all`.
    pub selection: &'static str,
    /// The recipe.
    pub config: Config,
    /// Whether groups and near-duplicates are known. Otherwise a row's only positive is
    /// its own pair, and everything else, a second caption too, is a negative.
    pub masked: bool,
}

/// What came of one way.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The loss; `none` for the start of training.
    pub loss: String,
    /// The selection of negatives.
    pub selection: String,
    /// On the validation pictures, after the last epoch: one a seed.
    pub scores: Vec<Score>,
    /// Why there is none for a seed, if so.
    pub failed: Option<String>,
}

impl Row {
    /// Mean and standard deviation (n − 1) over seeds of a figure; none without scores.
    pub fn figure(&self, of: impl Fn(&Score) -> Option<f64>) -> Option<(f64, f64)> {
        let all: Option<Vec<f64>> = self.scores.iter().map(of).collect();
        let all = all.filter(|all| !all.is_empty())?;
        let n = all.len() as f64;
        let mean = all.iter().sum::<f64>() / n;
        let squares: f64 = all.iter().map(|v| (v - mean) * (v - mean)).sum();
        Some((mean, (squares / (n - 1.0).max(1.0)).sqrt()))
    }
}

/// All variants of a recipe: its data, heads, optimiser and budget, with other
/// losses and selections. Captions are needed.
pub fn variants(recipe: &Config) -> Vec<Variant> {
    let pick =
        |negatives, warm_up: f64, until: f64| SelectionConfig { negatives, k: 32, warm_up, until };
    let all = pick(Negatives::All, 0.0, 0.0);
    let selections = [
        ("all", all),
        ("random", pick(Negatives::Random, 0.0, 0.0)),
        ("semi-hard", pick(Negatives::SemiHard, 0.0, 0.0)),
        ("hard, cold", pick(Negatives::Hard, 0.0, 0.0)),
        ("hard after all", pick(Negatives::Hard, 0.25, 0.0)),
        ("hard, step by step", pick(Negatives::Hard, 0.1, 0.8)),
        ("32 hardest", pick(Negatives::KHardest, 0.0, 0.0)),
        ("distance-weighted", pick(Negatives::DistanceWeighted, 0.0, 0.0)),
    ];
    let (distance, reduction) = (DistanceConfig::Cosine, ReductionConfig::Mean);
    let hinge = LossConfig::Triplet { distance, margin: 0.2, temperature: 0.0, reduction };
    let soft = LossConfig::Triplet { distance, margin: 0.1, temperature: 0.05, reduction };
    let contrastive = LossConfig::Contrastive {
        distance: DistanceConfig::Euclidean,
        squared: true,
        margin: 1.2,
        balanced: true,
    };
    let margin = LossConfig::Margin { beta: 1.2, alpha: 0.2, learned: true };
    let whole: [(&'static str, LossConfig); 5] = [
        ("smooth-max triplet", LossConfig::SmoothMax { margin: 0.1, temperature: 0.05 }),
        ("smooth-max triplet, m 0.2", LossConfig::SmoothMax { margin: 0.2, temperature: 0.05 }),
        ("InfoNCE", LossConfig::InfoNce { scale: 1.0 / 0.07, learned: true, all_positives: false }),
        ("N-pair", LossConfig::NPair { penalty: 0.002 }),
        ("prototypes", LossConfig::Prototypes { scale: 10.0 }),
    ];
    let mut found = Vec::new();
    let mut add = |loss, selection, config: LossConfig, how: SelectionConfig, masked| {
        let sides =
            Some(SidesConfig { image_to_text: 1.0, text_to_image: 1.0, ..SidesConfig::default() });
        let config = Config {
            loss: config,
            selection: how,
            sides,
            memory: None,
            classifier: None,
            ..recipe.clone()
        };
        found.push(Variant { loss, selection, config, masked });
    };
    for (name, how) in selections {
        add("triplet, hinge", name, hinge.clone(), how, true);
    }
    for name in ["all", "32 hardest", "hard after all"] {
        let (_, how) = selections[selections.iter().position(|s| s.0 == name).unwrap_or(0)];
        add("triplet, soft", name, soft.clone(), how, true);
    }
    for (name, how) in [selections[0], selections[3], selections[6]] {
        add("contrastive", name, contrastive.clone(), how, true);
    }
    for (name, how) in [selections[0], selections[7]] {
        add("margin", name, margin.clone(), how, true);
    }
    add(
        "quadruplet",
        "hard after all",
        LossConfig::Quadruplet { margin: 1.0, other_margin: 0.5 },
        selections[4].1,
        true,
    );
    for (name, config) in whole.clone() {
        add(name, "all", config, all, true);
    }
    // What masking by groups and near-duplicates is worth.
    add("triplet, hinge", "hard after all, unmasked", hinge, selections[4].1, false);
    for (name, config) in [&whole[0], &whole[2]] {
        add(name, "all, unmasked", config.clone(), all, false);
    }
    found
}

/// Trains every variant with every seed and tells each row when it is done. The
/// first row is the start of training. Pictures, split and features are the same for
/// all, by the recipe's seed. When `stop` is raised, the rows that are done are given;
/// a run that was stopped is in none of them.
///
/// # Errors
/// As [`prepare`]. A variant that cannot be trained on these pairs has its reason
/// in its row.
pub fn ablation(
    job: &Job<'_>,
    seeds: &[u64],
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Stage),
    done: &mut dyn FnMut(&Row),
) -> Result<Vec<Row>, JobError> {
    let recipe = &job.config;
    let mut prepared = prepare(job, stop, tell)?;
    let row = |loss: &str, selection: &str| Row {
        loss: loss.to_owned(),
        selection: selection.to_owned(),
        scores: Vec::new(),
        failed: None,
    };
    let mut rows = vec![row("none (the start)", "")];
    for &seed in seeds {
        prepared.reseed(recipe, seed)?;
        rows[0].scores.extend(evaluate(&prepared.model, &prepared.supply));
    }
    if rows[0].scores.is_empty() {
        return Err(JobError::Pairs(
            "an ablation needs held-out pictures that can be ranked; set data.validation over 0, or give lines the split val".into(),
        ));
    }
    done(&rows[0]);
    for variant in variants(recipe) {
        let mut row = row(variant.loss, variant.selection);
        for &seed in seeds {
            if stop.load(Ordering::Relaxed) {
                return Ok(rows);
            }
            prepared.reseed(recipe, seed)?;
            match one(&variant, &prepared, seed, stop) {
                Ok(Trained::Whole(score)) => row.scores.extend(score),
                Ok(Trained::Stopped) => return Ok(rows),
                Err(why) => row.failed = Some(why),
            }
        }
        done(&row);
        rows.push(row);
    }
    Ok(rows)
}

/// How far a run came.
enum Trained {
    /// To its end, and the score there.
    Whole(Option<Score>),
    /// It was stopped.
    Stopped,
}

fn one(
    variant: &Variant,
    prepared: &Prepared,
    seed: u64,
    stop: &AtomicBool,
) -> Result<Trained, String> {
    let config = &variant.config;
    let options = config.objective(prepared.supply.classes());
    let names = prepared.supply.group_names(&prepared.examples);
    let judge = Judge::new(options, prepared.model.image.dim, seed, names);
    let judge = judge.map_err(|e| e.to_string())?;
    let mut plan = config.optimiser.plan(&config.training, seed);
    // The same budget for all, and no choice among epochs.
    plan.patience = None;
    let unmasked = Unmasked(&prepared.supply);
    let supply: &dyn Supply = if variant.masked { &prepared.supply } else { &unmasked };
    let mut trainer =
        Trainer::new(prepared.model.clone(), plan, supply, Box::new(judge), prepared.run.clone());
    let outcome = trainer.run(None, stop, &mut |_| {}).map_err(|e| e.to_string())?;
    Ok(match outcome {
        Outcome::Stopped => Trained::Stopped,
        Outcome::Finished | Outcome::Early => {
            Trained::Whole(trainer.history().last().and_then(|record| record.score))
        }
    })
}

/// The same batches to somebody who does not know what belongs together.
struct Unmasked<'a>(&'a DataSupply);

impl Supply for Unmasked<'_> {
    fn epoch(&self, epoch: u64) -> Result<Vec<Vec<usize>>, String> {
        self.0.epoch(epoch)
    }

    fn batch(&self, pictures: &[usize], step: u64) -> Supplied {
        let groups = (0..pictures.len() as u32).collect();
        // Which texts are near is not told either: see `Supply::near`.
        Supplied { groups, ..self.0.batch(pictures, step) }
    }

    fn learnt(&self) -> Learnt {
        self.0.learnt()
    }

    fn held_out(&self) -> &HeldOut {
        self.0.held_out()
    }

    fn pictures(&self, pictures: &[usize]) -> Fed {
        self.0.pictures(pictures)
    }

    fn captions(&self, captions: &[usize]) -> Fed {
        self.0.captions(captions)
    }
}
