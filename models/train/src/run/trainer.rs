//! The loop.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ekphrasis_metric::Near;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointError};
use super::criterion::{Criterion, Judged, Refused};
use super::directory::{RunDirectory, RunDirectoryError};
use super::evaluate::{Score, evaluate, in_chunks};
use super::model::Model;
use super::pace::Pace;
use super::passes::Passes;
use super::plan::Plan;
use super::supply::{Supplied, Supply};
use crate::nn::{AdamW, Params, Purpose, clip, rng_for};

/// Steps in a row whose gradient was no number before the run is given up.
const LOST_STEPS: u32 = 20;

/// Numbers of the average of weights that are worth a task.
const CHUNK: usize = 1 << 14;

/// Why training ended without a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The data or the loss.
    #[error("{0}")]
    Data(String),
    /// Numbers ran away.
    #[error(
        "step {step}: the gradient was not finite {LOST_STEPS} times in a row; lower optimiser.rate, or choose a softer loss"
    )]
    Diverged {
        /// Counted from 0.
        step: u64,
    },
    /// A checkpoint of another run.
    #[error(
        "the checkpoint does not fit this run: {0}; resume with the same data and configuration, or name another --out"
    )]
    Foreign(String),
    /// The disk.
    #[error(transparent)]
    Directory(#[from] RunDirectoryError),
    /// The disk.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// 0 is before training.
    pub epoch: u64,
    /// Optimiser steps so far.
    pub step: u64,
    /// Mean loss over the epoch's batches; none before training.
    pub loss: Option<f64>,
    /// The image side's learning rate in the last step.
    pub rate: f64,
    /// Length of the gradient before clipping, mean.
    pub gradient: f64,
    /// Figures of the loss, means over the epoch's batches.
    pub notes: BTreeMap<String, f64>,
    /// On the validation pictures; none without any.
    pub score: Option<Score>,
    /// The sum of recalls in percent.
    pub rsum: Option<f64>,
    /// What is wrong, with advice, and how many batches said so.
    pub findings: BTreeMap<String, u64>,
    /// Wall time of the epoch, checkpoints and measurement included, over all
    /// processes that had a part in it.
    pub seconds: f64,
}

/// What the loop tells while it runs.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// After a step.
    Step {
        /// Steps done.
        step: u64,
        /// Steps there will be, about.
        total: u64,
        /// Epoch, from 1.
        epoch: u64,
        /// The batch's loss.
        loss: f64,
        /// Steps a second, lately.
        rate: f64,
    },
    /// After an epoch, and before the first.
    Epoch(&'a EpochRecord),
}

/// How training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs were done.
    Finished,
    /// The score did not rise any more.
    Early,
    /// It was asked to stop; the checkpoint is written.
    Stopped,
}

/// A run.
pub struct Trainer<'a> {
    model: Model,
    plan: Plan,
    supply: &'a dyn Supply,
    criterion: Box<dyn Criterion + 'a>,
    run: String,
    optimiser: AdamW,
    loss_optimiser: AdamW,
    average: Option<Vec<Vec<f32>>>,
    best: Option<(u64, f64, Vec<Vec<f32>>)>,
    step: u64,
    epoch: u64,
    batch: u64,
    sums: Sums,
    /// Seconds that went into the epoch so far, as of the last checkpoint.
    spent: f64,
    history: Vec<EpochRecord>,
}

#[derive(Default)]
struct Sums {
    of: BTreeMap<String, f64>,
    findings: BTreeMap<String, u64>,
}

impl Sums {
    fn add(&mut self, name: &str, value: f64) {
        *self.of.entry(name.to_owned()).or_default() += value;
    }
}

impl<'a> Trainer<'a> {
    /// A run from its start. `run` says which configuration and data it is, so
    /// that no other one is resumed by mistake.
    pub fn new(
        model: Model,
        plan: Plan,
        supply: &'a dyn Supply,
        mut criterion: Box<dyn Criterion + 'a>,
        run: String,
    ) -> Self {
        let optimiser = AdamW::for_params(plan.optimiser, &model.params);
        let lengths: Vec<usize> = criterion.parameters().iter().map(|p| p.len()).collect();
        Self {
            average: plan.average.map(|_| values(&model.params)),
            loss_optimiser: AdamW::new(plan.optimiser, lengths),
            model,
            plan,
            supply,
            criterion,
            run,
            optimiser,
            best: None,
            step: 0,
            epoch: 1,
            batch: 0,
            sums: Sums::default(),
            spent: 0.0,
            history: Vec::new(),
        }
    }

    /// Goes on where `checkpoint` was written.
    ///
    /// # Errors
    /// `Foreign` if it belongs to another run.
    pub fn restore(&mut self, mut checkpoint: Checkpoint) -> Result<(), TrainError> {
        if checkpoint.run != self.run {
            let (expected, got) = (&self.run, &checkpoint.run);
            return Err(TrainError::Foreign(format!("expected run {expected}, got {got}")));
        }
        let names: Vec<String> = self.model.params.list().iter().map(|p| p.name.clone()).collect();
        let lengths: Vec<usize> = self.model.params.list().iter().map(|p| p.values.len()).collect();
        let mut take = |prefix: &str| -> Result<Option<Vec<Vec<f32>>>, TrainError> {
            let taken = checkpoint.take(prefix);
            if taken.is_empty() {
                return Ok(None);
            }
            let fits = taken.len() == names.len()
                && taken
                    .iter()
                    .zip(&names)
                    .zip(&lengths)
                    .all(|((t, n), l)| t.0 == *n && t.1.len() == *l);
            if !fits {
                let got: Vec<_> = taken.iter().map(|t| (&t.0, t.1.len())).collect();
                return Err(TrainError::Foreign(format!("expected arrays {names:?}, got {got:?}")));
            }
            Ok(Some(taken.into_iter().map(|t| t.1).collect()))
        };
        let missing = || TrainError::Foreign("expected weights, got none".to_owned());
        let weights = take("weight/")?.ok_or_else(missing)?;
        let (average, best) = (take("average/")?, take("best/")?);
        let mut moments = |prefix: &str| -> Vec<[Vec<f32>; 2]> {
            let first = checkpoint.take(&format!("{prefix}1/"));
            let second = checkpoint.take(&format!("{prefix}2/"));
            first.into_iter().zip(second).map(|(a, b)| [a.1, b.1]).collect()
        };
        let [own, loss] = [moments("moment"), moments("loss-moment")];
        let [steps, loss_steps] = checkpoint.optimiser_steps;
        self.optimiser.restore(steps, own).map_err(TrainError::Foreign)?;
        self.loss_optimiser.restore(loss_steps, loss).map_err(TrainError::Foreign)?;
        set(&mut self.model.params, weights);
        self.average = average;
        self.best = checkpoint.best.zip(best).map(|((epoch, score), best)| (epoch, score, best));
        self.criterion.import(&checkpoint.criterion).map_err(TrainError::Foreign)?;
        (self.step, self.epoch, self.batch) = (checkpoint.step, checkpoint.epoch, checkpoint.batch);
        self.sums = Sums {
            of: checkpoint.sums.into_iter().collect(),
            findings: checkpoint.findings.into_iter().collect(),
        };
        self.spent = self.sums.of.remove(SPENT).unwrap_or(0.0);
        self.history = checkpoint.history;
        Ok(())
    }

    /// Everything that changes, for the disk.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut arrays = Vec::new();
        let named = |prefix: &str, all: &[Vec<f32>]| -> Vec<(String, Vec<f32>)> {
            let names = self.model.params.list().iter().map(|p| format!("{prefix}{}", p.name));
            names.zip(all.iter().cloned()).collect()
        };
        arrays.extend(named("weight/", &values(&self.model.params)));
        if let Some(average) = &self.average {
            arrays.extend(named("average/", average));
        }
        if let Some((_, _, best)) = &self.best {
            arrays.extend(named("best/", best));
        }
        for (prefix, optimiser) in
            [("moment", &self.optimiser), ("loss-moment", &self.loss_optimiser)]
        {
            for (i, [first, second]) in optimiser.moments().iter().enumerate() {
                arrays.push((format!("{prefix}1/{i}"), first.clone()));
                arrays.push((format!("{prefix}2/{i}"), second.clone()));
            }
        }
        let spent = (self.spent > 0.0).then(|| (SPENT.to_owned(), self.spent));
        let sums = self.sums.of.iter().map(|(n, v)| (n.clone(), *v)).chain(spent);
        Checkpoint {
            run: self.run.clone(),
            step: self.step,
            epoch: self.epoch,
            batch: self.batch,
            sums: sums.collect(),
            findings: self.sums.findings.iter().map(|(n, v)| (n.clone(), *v)).collect(),
            best: self.best.as_ref().map(|(epoch, score, _)| (*epoch, *score)),
            history: self.history.clone(),
            optimiser_steps: [self.optimiser.steps(), self.loss_optimiser.steps()],
            arrays,
            criterion: self.criterion.export(),
        }
    }

    /// The records of finished epochs.
    pub fn history(&self) -> &[EpochRecord] {
        &self.history
    }

    /// The model as it is now, or as it was when it scored best (the average of
    /// weights, where one is kept), and that epoch.
    pub fn best(&self) -> (Model, Option<u64>) {
        let mut model = self.model.clone();
        match (&self.best, &self.average) {
            (Some((epoch, _, best)), _) => {
                set(&mut model.params, best.clone());
                (model, Some(*epoch))
            }
            (None, Some(average)) => {
                set(&mut model.params, average.clone());
                (model, None)
            }
            (None, None) => (model, None),
        }
    }

    /// The model as it is now; the average of weights, where one is kept.
    pub fn last(&self) -> Model {
        let mut model = self.model.clone();
        if let Some(average) = &self.average {
            set(&mut model.params, average.clone());
        }
        model
    }

    /// The model with its present weights.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Trains to the end, or until `stop` is raised. Writes checkpoints and
    /// records to `directory`, if there is one.
    ///
    /// # Errors
    /// `Data` where the data or the loss allows no step, `Diverged`, and what
    /// the disk says.
    pub fn run(
        &mut self,
        directory: Option<&RunDirectory>,
        stop: &AtomicBool,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<Outcome, TrainError> {
        let first = self.supply.epoch(1).map_err(TrainError::Data)?;
        if first.is_empty() {
            return Err(TrainError::Data("there are no pictures to learn from".to_owned()));
        }
        let total = first.len() as u64 * self.plan.epochs;
        if self.history.is_empty() {
            let started = Instant::now();
            self.close_epoch(0, 0.0, started.elapsed(), directory, tell)?;
        }
        let mut lost = 0;
        while self.epoch <= self.plan.epochs {
            if self.is_waiting_in_vain() {
                return Ok(Outcome::Early);
            }
            let started = Instant::now();
            let earlier = self.spent;
            let mut saved = Instant::now();
            let mut nothing = None;
            let mut pace = Pace::new();
            let batches = self.supply.epoch(self.epoch).map_err(TrainError::Data)?;
            let mut rate = 0.0;
            while let Some(pictures) = batches.get(self.batch as usize) {
                if stop.load(Ordering::Relaxed) {
                    self.spent = earlier + started.elapsed().as_secs_f64();
                    if let Some(directory) = directory {
                        directory.save(&self.checkpoint())?;
                    }
                    return Ok(Outcome::Stopped);
                }
                rate = self.plan.schedule.at(self.step, total);
                let loss = match self.one_step(pictures, rate, total)? {
                    Stepped::Taken(loss) => {
                        lost = 0;
                        Some(loss)
                    }
                    Stepped::Lost => {
                        lost += 1;
                        None
                    }
                    Stepped::Nothing(why) => {
                        nothing = Some(why);
                        None
                    }
                };
                if lost >= LOST_STEPS {
                    return Err(TrainError::Diverged { step: self.step });
                }
                self.step += 1;
                self.batch += 1;
                tell(Event::Step {
                    step: self.step,
                    total: total.max(self.step),
                    epoch: self.epoch,
                    loss: loss.unwrap_or(f64::NAN),
                    rate: pace.step(),
                });
                if let Some(directory) = directory
                    && saved.elapsed().as_secs_f64() >= self.plan.checkpoint_seconds
                {
                    self.spent = earlier + started.elapsed().as_secs_f64();
                    directory.save(&self.checkpoint())?;
                    saved = Instant::now();
                }
            }
            // An unlucky epoch after others that taught is none to end the run for.
            if let Some(why) = nothing
                && self.optimiser.steps() == 0
            {
                let epoch = self.epoch;
                return Err(TrainError::Data(format!("no batch of epoch {epoch} teaches: {why}")));
            }
            let rate = rate * f64::from(self.plan.rates.image);
            let spent = Duration::from_secs_f64(earlier) + started.elapsed();
            self.close_epoch(self.epoch, rate, spent, directory, tell)?;
        }
        Ok(Outcome::Finished)
    }

    fn is_waiting_in_vain(&self) -> bool {
        let best = self.best.as_ref().map(|(epoch, _, _)| *epoch);
        let waited = best.map(|best| (self.epoch - 1).saturating_sub(best));
        self.plan.patience.zip(waited).is_some_and(|(patience, waited)| waited >= patience)
    }

    /// Shows the loss all training pictures as the model sees them now.
    fn refresh(&mut self) -> Result<(), TrainError> {
        let learnt = self.supply.learnt();
        let embed = |part: &[usize]| self.model.images(self.supply.pictures(part));
        let images = in_chunks(&learnt.pictures, embed);
        self.criterion.refresh(&learnt, &images).map_err(TrainError::Data)
    }

    /// One step.
    fn one_step(
        &mut self,
        pictures: &[usize],
        share: f64,
        total: u64,
    ) -> Result<Stepped, TrainError> {
        if self.criterion.refresh_due() {
            self.refresh()?;
        }
        let seed = self.plan.seed;
        let own =
            self.criterion.choose(pictures.len(), &mut rng_for(seed, Purpose::Choice, self.step));
        let pictures = own.as_deref().unwrap_or(pictures);
        let rows: Vec<u32> = pictures.iter().map(|&i| i as u32).collect();
        let Supplied { images, texts, groups, classes, words } =
            self.supply.batch(pictures, self.step);
        // A part of a batch drops by numbers of its own; the first by the step's.
        let step = self.step;
        let drops = |purpose, part: u64| rng_for(seed, purpose, step ^ part << 48);
        let image_drops = |part| drops(Purpose::DropImages, part);
        let text_drops = |part| drops(Purpose::DropTexts, part);
        let (params, chunk) = (&self.model.params, self.plan.chunk);
        let pass = Passes::new(&self.model.image, params, images, chunk, &image_drops);
        let text_pass = match (&self.model.text, texts) {
            (Some(tower), Some(fed)) => Some(Passes::new(tower, params, fed, chunk, &text_drops)),
            _ => None,
        };
        let judged = Judged {
            images: pass.embeddings(),
            texts: text_pass.as_ref().map(Passes::embeddings),
            image_lengths: pass.lengths(),
            text_lengths: text_pass.as_ref().map(Passes::lengths),
            groups: &groups,
            classes: classes.as_deref(),
            near: self.supply.near().zip(words.as_deref()).map(|(lists, ids)| Near { ids, lists }),
            rows: &rows,
        };
        let progress = (self.step as f64 / total as f64).min(1.0);
        let judged =
            self.criterion.judge(&judged, progress, &mut rng_for(seed, Purpose::Objective, step));
        let judgement = match judged {
            Ok(judgement) => judgement,
            Err(Refused::Batch(why)) => {
                *self.sums.findings.entry(NOTHING.to_owned()).or_default() += 1;
                return Ok(Stepped::Nothing(why));
            }
            Err(Refused::All(why)) => return Err(TrainError::Data(why)),
        };
        let mut gradients = pass.backward(judgement.images, &mut self.model.params);
        if let (Some(pass), Some(gradient)) = (text_pass, judgement.texts) {
            let of_texts = pass.backward(gradient, &mut self.model.params);
            for (one, other) in gradients.iter_mut().zip(of_texts) {
                if other.is_some() {
                    *one = other;
                }
            }
        }
        let mut of_loss = judgement.parameters;
        let all = gradients.iter_mut().flatten().chain(of_loss.iter_mut());
        let length = clip(all.map(Vec::as_mut_slice), self.plan.clip);
        if !length.is_finite() || !judgement.loss.is_finite() {
            *self.sums.findings.entry(LOST.to_owned()).or_default() += 1;
            return Ok(Stepped::Lost);
        }
        let plan = &self.plan;
        let arrays =
            self.model.params.list_mut().iter_mut().zip(&gradients).map(|(param, gradient)| {
                let (rate, decays) = (plan.rates.of(param.group) * share as f32, param.decays());
                let gradient = gradient.as_deref().filter(|_| param.trained);
                (param.values.as_mut_slice(), gradient, rate, decays)
            });
        self.optimiser.step(arrays);
        if !of_loss.is_empty() {
            let rate = plan.rates.loss * share as f32;
            let own = self.criterion.parameters().into_iter().zip(&of_loss);
            self.loss_optimiser.step(own.map(|(v, g)| (v, Some(g.as_slice()), rate, false)));
            self.criterion.constrain();
        }
        if let (Some(average), Some(keep)) = (&mut self.average, self.plan.average) {
            // Young averages follow faster, or the first values would stay for long.
            let keep = keep.min((self.step as f32 + 1.0) / (self.step as f32 + 10.0));
            for (average, param) in average.iter_mut().zip(self.model.params.list()) {
                let tasks = average.par_chunks_mut(CHUNK).zip(param.values.par_chunks(CHUNK));
                tasks.for_each(|(average, values)| {
                    let both = average.iter_mut().zip(values);
                    both.for_each(|(a, v)| *a = keep * *a + (1.0 - keep) * v);
                });
            }
        }
        self.sums.add("loss", judgement.loss);
        self.sums.add("gradient", f64::from(length));
        self.sums.add("batches", 1.0);
        for note in judgement.notes {
            self.sums.add(&format!("note/{}", note.name), note.value);
        }
        for finding in judgement.findings {
            *self.sums.findings.entry(finding).or_default() += 1;
        }
        Ok(Stepped::Taken(judgement.loss))
    }

    fn close_epoch(
        &mut self,
        epoch: u64,
        rate: f64,
        before: Duration,
        directory: Option<&RunDirectory>,
        tell: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), TrainError> {
        let started = Instant::now();
        let mut model = self.model.clone();
        if let Some(average) = &self.average {
            set(&mut model.params, average.clone());
        }
        let score = evaluate(&model, self.supply);
        let rsum = score.as_ref().map(Score::rsum);
        if let Some(rsum) = rsum
            && self.best.as_ref().is_none_or(|(_, best, _)| rsum > *best)
        {
            self.best = Some((epoch, rsum, values(&model.params)));
        }
        let sums = std::mem::take(&mut self.sums);
        let batches = sums.of.get("batches").copied().unwrap_or(0.0).max(1.0);
        let mean = |name: &str| sums.of.get(name).map(|v| v / batches);
        let notes = sums.of.iter().filter_map(|(name, v)| {
            name.strip_prefix("note/").map(|name| (name.to_owned(), v / batches))
        });
        let record = EpochRecord {
            epoch,
            step: self.step,
            loss: mean("loss"),
            rate,
            gradient: mean("gradient").unwrap_or(0.0),
            notes: notes.collect(),
            score,
            rsum,
            findings: sums.findings,
            seconds: (before + started.elapsed()).as_secs_f64(),
        };
        self.history.push(record);
        self.epoch = epoch + 1;
        self.batch = 0;
        self.spent = 0.0;
        if let Some(directory) = directory {
            directory.save(&self.checkpoint())?;
            directory.record(&self.history)?;
        }
        if let Some(record) = self.history.last() {
            tell(Event::Epoch(record));
        }
        Ok(())
    }
}

/// The name of [`Trainer::spent`] among a checkpoint's sums.
const SPENT: &str = "seconds";

/// What became of a batch.
enum Stepped {
    /// The optimiser took a step; the loss.
    Taken(f64),
    /// It was left out because the gradient was no number.
    Lost,
    /// It was left out because there was nothing to learn from; why.
    Nothing(String),
}

const NOTHING: &str = "a batch had nothing to learn from (all of one group or near-duplicates, or no two of a group) and was left out; a larger data.batch, or data.batches = \"by-group\", makes that rare";

const LOST: &str =
    "the gradient was not finite and the step was left out; lower optimiser.rate if this goes on";

fn values(params: &Params) -> Vec<Vec<f32>> {
    params.list().iter().map(|p| p.values.clone()).collect()
}

fn set(params: &mut Params, values: Vec<Vec<f32>>) {
    params.list_mut().iter_mut().zip(values).for_each(|(p, v)| p.values = v);
}
