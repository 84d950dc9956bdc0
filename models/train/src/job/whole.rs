//! The whole way, from pairs to a published model.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use ekphrasis_models::Model;

use super::error::JobError;
use super::exported::Towers;
use super::finish::publish_model;
use super::prepare::{Job, Stage, prepare, would_use};
use super::report;
use crate::config::Config;
use crate::data::{Example, lines};
use crate::export::Published;
use crate::run::{
    EpochRecord, Event, Judge, Outcome, RunDirectory, Score, Supply, Trainer, Tried, embed, keep,
    score,
};

/// What goes on.
#[derive(Debug)]
pub enum Told<'a> {
    /// Before training.
    Stage(Stage),
    /// While it trains.
    Training(Event<'a>),
    /// After it: how far towards the trained weights to go, where that is tried.
    Kept {
        /// All that was tried.
        tried: &'a [Tried],
        /// The place of the one that is published.
        chosen: usize,
    },
}

/// Where to.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The model's name.
    pub name: &'a str,
    /// The model's folder, new or empty.
    pub out: &'a Path,
    /// Whether a run that was stopped or killed is to go on.
    pub resume: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Done {
    /// How training ended.
    pub outcome: Outcome,
    /// On the validation pictures, before training; none without any.
    pub before: Option<Score>,
    /// The same with the weights that were kept, as they are stored.
    pub after: Option<Score>,
    /// The epoch those weights are of; none without validation pictures: the last.
    pub best_epoch: Option<u64>,
    /// All epochs.
    pub history: Vec<EpochRecord>,
    /// The model; none if training was stopped.
    pub published: Option<Published>,
    /// The run directory.
    pub run: PathBuf,
    /// The pairs as they were used, each with the split it was of: a file in the run directory.
    pub pairs: PathBuf,
}

/// The run directory that belongs to a model's folder: `DIR.run` beside it.
pub fn run_directory(out: &Path) -> PathBuf {
    let mut name = out.file_name().map(std::ffi::OsStr::to_owned).unwrap_or_default();
    name.push(".run");
    out.with_file_name(name)
}

/// A run whose model is there.
#[derive(Debug)]
pub struct Finished {
    /// The model.
    pub model: Model,
    /// The run directory.
    pub run: PathBuf,
    /// As [`Done::pairs`].
    pub pairs: PathBuf,
    /// The recipe, as it was resolved.
    recipe: String,
}

impl Finished {
    /// Whether these are the pairs that it was trained on: the same pictures, by their contents,
    /// with the same words, groups, classes and splits.
    ///
    /// # Errors
    /// `OtherPairs` if not, `Config` if the run's recipe was changed to what is none.
    pub fn check_pairs(&self, examples: &[Example]) -> Result<(), JobError> {
        let config = Config::read(&self.recipe)?;
        let expected = self.model.manifest().training().map_or("", |training| &training.data);
        // To read files is a hundred times faster than to decode them, and mostly enough.
        let mut got = would_use(examples, &config, true);
        if got.1 != expected {
            got = would_use(examples, &config, false);
        }
        if got.1 == expected {
            return Ok(());
        }
        Err(JobError::OtherPairs {
            model: self.model.dir().into(),
            pairs: self.pairs.clone(),
            expected: expected.into(),
            pictures: got.0,
            got: got.1,
        })
    }
}

/// The trained model in `out`, if the run beside it is its own; none if there is still
/// something to train.
pub fn finished(out: &Path) -> Option<Finished> {
    let (directory, recipe) = RunDirectory::resume(&run_directory(out)).ok()?;
    let model = Model::open(out).ok()?;
    let whole = model.manifest().training().is_some() && directory.pairs().is_file();
    let (run, pairs) = (directory.path().into(), directory.pairs());
    whole.then_some(Finished { model, run, pairs, recipe })
}

/// Prepares, trains and publishes. When `stop` is raised, the checkpoint is
/// written and there is no model yet; with [`Target::resume`] the run goes on
/// from its last checkpoint, to the same bits as if it had not stopped.
///
/// # Errors
/// As [`JobError`] says. A model's folder or run that is there already is refused
/// before anything is done.
pub fn train(
    job: &Job<'_>,
    target: Target<'_>,
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Told<'_>),
) -> Result<Done, JobError> {
    let taken = fs_err::read_dir(target.out).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(crate::export::ExportError::Exists(target.out.into()).into());
    }
    let started = Instant::now();
    let run = run_directory(target.out);
    let directory = match target.resume {
        true => RunDirectory::resume(&run)?.0,
        false => RunDirectory::start(&run, &job.config.write())?,
    };
    let begun = prepare(job, stop, &mut |stage| tell(Told::Stage(stage))).and_then(|prepared| {
        let options = job.config.objective(prepared.supply.classes());
        let names = prepared.supply.group_names(&prepared.examples);
        let judge = Judge::new(options, prepared.model.image.dim, job.config.seed, names);
        Ok((prepared, judge.map_err(|e| JobError::Pairs(e.to_string()))?))
    });
    let (prepared, judge) = match begun {
        Ok(begun) => begun,
        Err(e) => {
            if !target.resume {
                // Nothing was learnt: the same --out may be used again.
                directory.discard();
            }
            return Err(e);
        }
    };
    let plan = job.config.optimiser.plan(&job.config.training, job.config.seed);
    let mut trainer = Trainer::new(
        prepared.model.clone(),
        plan,
        &prepared.supply,
        Box::new(judge),
        prepared.run.clone(),
    );
    if target.resume
        && let Some(checkpoint) = directory.checkpoint()?
    {
        trainer.restore(checkpoint)?;
    }
    // Only now: of other pairs the run would have refused to go on.
    directory.keep_pairs(&lines(&prepared.examples, &prepared.parts))?;
    let begun = Instant::now();
    let outcome = trainer.run(Some(&directory), stop, &mut |event| tell(Told::Training(event)))?;
    let own = begun.elapsed();
    let history = trainer.history().to_vec();
    let (mut model, mut best_epoch) = trainer.best();
    let of = |epoch: u64| history.iter().find(|r| r.epoch == epoch).and_then(|r| r.score);
    let mut after = best_epoch.and_then(of);
    let shares = &job.config.training.keep;
    if outcome != Outcome::Stopped && shares.as_slice() != [1.0] {
        // What is half-way to the last weights may be better than half-way to
        // those that were best by themselves.
        let last = trainer.last();
        let ends = [(&last, true), (&model, false)];
        let ends = if last == model { &ends[..1] } else { &ends[..] };
        let (kept, tried, chosen) = keep(&prepared.model, ends, shares, &prepared.supply);
        tell(Told::Kept { tried: &tried, chosen });
        if tried[chosen].last {
            best_epoch = history.last().map(|record| record.epoch);
        }
        (model, after) = (kept, tried[chosen].score);
    }
    let mut published = None;
    if outcome != Outcome::Stopped {
        let towers = Towers::of(job, &prepared, &model)?;
        let held = prepared.supply.held_out();
        let embedded = match (held.is_empty(), towers.rounds()) {
            (true, _) => None,
            (false, false) => Some(embed(&model, &prepared.supply)),
            (false, true) => Some(towers.held_out(&prepared.supply)?),
        };
        // What is published is what is measured: the weights as they are stored.
        let ranked = embedded.as_ref().filter(|_| held.can_be_ranked());
        after = ranked.map(|(images, texts)| score(images, texts.as_ref(), held));
        let done = publish_model(job, &prepared, &model, &towers, target.name, target.out)?;
        let report = report::of(&report::Run {
            job,
            prepared: &prepared,
            embedded,
            name: target.name,
            outcome,
            history: &history,
            best_epoch,
            before: of(0),
            after,
            published: &done,
            // Of processes before this one the epochs are known.
            took: started.elapsed() - own
                + Duration::from_secs_f64(history.iter().map(|record| record.seconds).sum()),
        });
        crate::report::write(&report, &run.join("report.html"))?;
        published = Some(done);
    }
    Ok(Done {
        outcome,
        before: of(0),
        after,
        best_epoch,
        history,
        published,
        run,
        pairs: directory.pairs(),
    })
}
