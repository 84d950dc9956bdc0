//! `ek train`.

use super::Done;
use crate::cli::{Global, TrainArgs};
use crate::failure::Failure;

/// Without the feature the verb exists, and says how to get it.
#[cfg(not(feature = "train"))]
pub(super) fn train(_: &Global, _: &TrainArgs) -> Result<Done, Failure> {
    Err(Failure::Environment(
        "this ek was built without its trainer; build one that has it with: cargo install --path . --features train"
            .into(),
    ))
}

#[cfg(feature = "train")]
pub(super) use with_trainer::train;

#[cfg(feature = "train")]
mod with_trainer {
    use std::io::IsTerminal;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    use ekphrasis_engine::pairs;
    use ekphrasis_train::config::{Config, FINETUNE};
    use ekphrasis_train::data::Example;
    use ekphrasis_train::job::{self, BaseModel, Finished, Job, JobError, Stage, Target, Told};
    use ekphrasis_train::run::{Direction, EpochRecord, Event, Outcome, Score};
    use serde_json::json;

    use super::super::train_confidence::{self, Confidence};
    use super::super::{config, cores, stop_on_interrupt, towers};
    use super::{Done, Failure, Global, TrainArgs};
    use crate::output;

    pub(in super::super) fn train(global: &Global, args: &TrainArgs) -> Result<Done, Failure> {
        // Without --ablation, clap asks for both.
        let nowhere = PathBuf::new();
        let out = args.out.as_ref().unwrap_or(&nowhere);
        if args.resume
            && let Some(finished) = job::finished(out)
        {
            return complete(global, args, out, &finished);
        }
        let examples = read(&args.data)?;
        // What `--data` and `--model` mean to other verbs they do not mean here.
        let base = Global { model: args.base.clone(), ..global_of(global) };
        let engine = config(&base)?;
        let towers = towers(global, &engine, 1)?;
        let runtime = towers.runtime()?;
        let model = BaseModel::open(towers.dir()).map_err(JobError::from).map_err(failure)?;
        let recipe = recipe(args, out, &model)?;
        let stop = stop_on_interrupt()?;
        let job = Job {
            examples,
            config: recipe,
            base: model,
            runtime: &runtime,
            cache: engine.cache.join("features"),
            threads: cores(),
        };
        let mut teller = Teller::new(global.quiet);
        if let Some(seeds) = args.ablation {
            return ablation(global, &job, seeds, &stop, &mut teller);
        }
        let name = args.model.as_deref().unwrap_or(&nowhere).to_string_lossy();
        let target = Target { name: &name, out, resume: args.resume };
        let done = job::train(&job, target, &stop, &mut |told| teller.tell(told));
        teller.clear();
        let done = done.map_err(failure)?;
        let confidence = done.published.as_ref().map(|_| match args.no_calibration {
            true => Confidence::LeftOut,
            false => train_confidence::learn(global, &engine, out, &done.pairs, &stop),
        });
        if global.json {
            output::json(&as_json(&done, confidence.as_ref())?)?;
        } else {
            show(&done, confidence.as_ref(), out)?;
        }
        Ok(if done.outcome == Outcome::Stopped { Done::NothingOrPartly } else { Done::Well })
    }

    /// A model that is there, of which the rest is still to be done.
    fn complete(
        global: &Global,
        args: &TrainArgs,
        out: &Path,
        finished: &Finished,
    ) -> Result<Done, Failure> {
        finished.check_pairs(&read(&args.data)?).map_err(failure)?;
        let confidence = match finished.model.manifest().confidence() {
            Some(known) => Confidence::Known(known.about.clone()),
            None if args.no_calibration => Confidence::LeftOut,
            None => {
                let engine = config(&Global { model: args.base.clone(), ..global_of(global) })?;
                let stop = stop_on_interrupt()?;
                train_confidence::learn(global, &engine, out, &finished.pairs, &stop)
            }
        };
        let bytes = weight(out)?;
        if global.json {
            let training = finished.model.manifest().training();
            output::json(&json!({
                "outcome": "finished",
                "pair": training.map(|training| &training.pair),
                "model": finished.model.dir().display().to_string(),
                "bytes": bytes,
                "run": finished.run.display().to_string(),
                "calibration": confidence.as_json(out),
            }))?;
        } else {
            output::line("it was trained before")?;
            output::line(&confidence.line(out, &finished.pairs))?;
            output::line(&what_next(out, bytes))?;
        }
        Ok(Done::Well)
    }

    /// What a model's files weigh together, in bytes.
    fn weight(dir: &Path) -> Result<u64, Failure> {
        let model = BaseModel::open(dir).map_err(JobError::from).map_err(failure)?;
        Ok(model.manifest().files().values().map(|file| file.bytes).sum())
    }

    fn ablation(
        global: &Global,
        job: &Job<'_>,
        seeds: u64,
        stop: &AtomicBool,
        teller: &mut Teller,
    ) -> Result<Done, Failure> {
        let seeds: Vec<u64> = (1..=seeds.max(1)).collect();
        let mut failed = None;
        let mut line = |text: &str| failed = failed.take().or(output::line(text).err());
        if !global.json {
            line(&format!(
                "after {} epochs, mean ± sd over {} seeds, on validation pictures",
                job.config.training.epochs,
                seeds.len()
            ));
            line(&format!(
                "{:<26} {:<24} {:>14} {:>15} {:>15} {:>15} {:>15}",
                "loss", "negatives", "rsum", "t→i R@1", "t→i R@10", "i→t R@1", "i→t R@10"
            ));
        }
        let rows = job::ablation(
            job,
            &seeds,
            stop,
            &mut |stage| teller.tell(Told::Stage(stage)),
            &mut |row| {
                if global.json {
                    return;
                }
                let figure = |of: &dyn Fn(&Score) -> Option<f64>, digits: usize| {
                    let figure = row.figure(of);
                    figure.map_or("–".to_owned(), |(mean, sd)| {
                        format!("{mean:.digits$} ± {sd:.digits$}")
                    })
                };
                line(&format!(
                    "{:<26} {:<24} {:>14} {:>15} {:>15} {:>15} {:>15}",
                    row.loss,
                    row.selection,
                    figure(&|s| Some(s.rsum()), 1),
                    figure(&|s| s.text_to_image.map(|d| d.recall_at_1), 3),
                    figure(&|s| s.text_to_image.map(|d| d.recall_at_10), 3),
                    figure(&|s| s.image_to_text.map(|d| d.recall_at_1), 3),
                    figure(&|s| s.image_to_text.map(|d| d.recall_at_10), 3),
                ));
                if let Some(why) = &row.failed {
                    line(&format!("  {why}"));
                }
            },
        );
        let rows = rows.map_err(failure)?;
        if let Some(failed) = failed {
            return Err(failed);
        }
        if global.json {
            let all: Vec<_> = rows
                .iter()
                .map(|r| json!({"loss": r.loss, "selection": r.selection, "scores": r.scores, "failed": r.failed}))
                .collect();
            output::json(&all)?;
        }
        let whole = rows.iter().all(|r| r.failed.is_none())
            && !stop.load(std::sync::atomic::Ordering::Relaxed);
        Ok(if whole { Done::Well } else { Done::NothingOrPartly })
    }

    fn global_of(global: &Global) -> Global {
        Global {
            data: None,
            json: global.json,
            quiet: global.quiet,
            model: None,
            onnxruntime: global.onnxruntime.clone(),
            provider: global.provider,
        }
    }

    fn failure(error: JobError) -> Failure {
        let text = error.to_string();
        if error.is_usage() { Failure::Usage(text) } else { Failure::Environment(text) }
    }

    fn recipe(args: &TrainArgs, out: &Path, base: &BaseModel) -> Result<Config, Failure> {
        let kept = job::run_directory(out).join("config.toml");
        let on_base = |mut recipe: Config| {
            recipe.on(base.manifest());
            recipe
        };
        let named = args.config.as_deref().map(read_recipe).transpose()?.map(on_base);
        if args.resume && kept.is_file() {
            let kept = read_recipe(&kept)?;
            if named.is_some_and(|named| named != kept) {
                return Err(Failure::Usage(format!(
                    "--config says something else than the run was started with; leave it away to go on with {}",
                    job::run_directory(out).join("config.toml").display()
                )));
            }
            return Ok(kept);
        }
        match named {
            Some(named) => Ok(named),
            None => Config::read(FINETUNE)
                .map(on_base)
                .map_err(|e| Failure::Bug(format!("the built-in recipe: {e}"))),
        }
    }

    fn read_recipe(file: &Path) -> Result<Config, Failure> {
        let text = fs_err::read_to_string(file).map_err(|e| Failure::Usage(e.to_string()))?;
        Config::read(&text).map_err(|e| Failure::Usage(format!("{}: {e}", file.display())))
    }

    fn read(file: &Path) -> Result<Vec<Example>, Failure> {
        let pairs = pairs::read(file).map_err(|e| Failure::Usage(e.to_string()))?;
        let of = |pair: pairs::Pair| -> Option<Example> {
            Some(Example {
                path: pair.path?,
                line: pair.line,
                captions: pair.texts,
                tags: pair.tags,
                group: pair.group,
                class: pair.class,
                split: pair.split,
                style: pair.style,
            })
        };
        Ok(pairs.into_iter().filter_map(of).collect())
    }

    /// One line that is rewritten on a terminal; elsewhere a line now and then.
    struct Teller {
        quiet: bool,
        terminal: bool,
        last: Option<Instant>,
    }

    impl Teller {
        fn new(quiet: bool) -> Self {
            Self { quiet, terminal: std::io::stderr().is_terminal(), last: None }
        }

        fn tell(&mut self, told: Told<'_>) {
            if self.quiet {
                return;
            }
            match told {
                Told::Stage(Stage::Looking(count)) => {
                    output::note(&format!("reading {count} pictures"));
                }
                Told::Stage(Stage::Known(count)) => {
                    output::note(&format!("{count} of them are known from the cache"));
                }
                Told::Stage(Stage::Warning(text)) => {
                    self.clear();
                    output::note(&format!("warning: {text}"));
                }
                Told::Stage(Stage::Pictures(p)) => self.moving("views of pictures", p),
                Told::Stage(Stage::Texts(p)) => self.moving("texts", p),
                Told::Stage(Stage::Split { train, validation, given }) => {
                    let how = match given {
                        true => "as the file says",
                        false => "whole groups, held out by the seed",
                    };
                    output::note(&format!(
                        "{train} pictures to learn from, {validation} to choose by ({how})"
                    ));
                }
                Told::Training(Event::Step { step, total, epoch, loss, rate }) => {
                    let left = Duration::from_secs_f64((total - step) as f64 / rate.max(1e-9));
                    self.rewrite(&format!(
                        "epoch {epoch}, step {step} of {total}, loss {loss:.4}, {rate:.1} steps/s, {} left",
                        human(left)
                    ));
                }
                Told::Training(Event::Epoch(record)) => {
                    self.clear();
                    output::note(&epoch(record));
                }
                Told::Kept { tried, chosen } => {
                    for (i, way) in tried.iter().enumerate() {
                        let rsum =
                            way.score.map_or("–".to_owned(), |s| format!("{:.1}", s.rsum()));
                        output::note(&format!(
                            "{:.2} of the way to the {} weights: rsum {rsum}{}",
                            way.share,
                            if way.last { "last" } else { "best" },
                            if i == chosen { ", kept" } else { "" }
                        ));
                    }
                }
            }
        }

        fn moving(&mut self, what: &str, p: ekphrasis_train::data::Progress) {
            if p.total == 0 {
                return;
            }
            let left = p.left.map_or(String::new(), |left| format!(", {} left", human(left)));
            self.rewrite(&format!("{} of {} {what}, {:.0}/s{left}", p.done, p.total, p.rate));
        }

        #[expect(clippy::print_stderr, reason = "a line that is rewritten in place")]
        fn rewrite(&mut self, text: &str) {
            let every = Duration::from_millis(if self.terminal { 100 } else { 5_000 });
            if self.last.is_some_and(|last| last.elapsed() < every) {
                return;
            }
            self.last = Some(Instant::now());
            if self.terminal {
                eprint!("\r\x1b[K{text}");
            } else {
                output::note(text);
            }
        }

        #[expect(clippy::print_stderr, reason = "clears the line that is rewritten in place")]
        fn clear(&self) {
            if self.terminal && !self.quiet {
                eprint!("\r\x1b[K");
            }
        }
    }

    fn human(time: Duration) -> String {
        match time.as_secs() {
            s @ 0..100 => format!("{s} s"),
            s @ 100..6_000 => format!("{} min", s.div_ceil(60)),
            s => format!("{:.1} h", s as f64 / 3_600.0),
        }
    }

    fn epoch(record: &EpochRecord) -> String {
        let mut text = match record.loss {
            Some(loss) => format!("epoch {}: loss {loss:.4}", record.epoch),
            None => "before training:".to_owned(),
        };
        if let Some(rsum) = record.rsum {
            text.push_str(&format!(" rsum {rsum:.1}"));
        }
        for (finding, times) in &record.findings {
            text.push_str(&format!("\n  {finding} ({times} ×)"));
        }
        text
    }

    fn show(done: &job::Done, confidence: Option<&Confidence>, out: &Path) -> Result<(), Failure> {
        if let (Some(before), Some(after)) = (&done.before, &done.after) {
            output::line("on held-out pairs    queries   R@1            R@5            R@10")?;
            for (name, way) in ways(before, after) {
                let (b, a) = way;
                let both = |b: f64, a: f64| format!("{b:.3} → {a:.3}");
                output::line(&format!(
                    "{name:<18} {:>8}    {}  {}  {}",
                    a.queries,
                    both(b.recall_at_1, a.recall_at_1),
                    both(b.recall_at_5, a.recall_at_5),
                    both(b.recall_at_10, a.recall_at_10),
                ))?;
            }
            if let Some(best) = done.best_epoch {
                output::line(&format!(
                    "weights of epoch {best}, chosen on these same pairs: expect a little less on others"
                ))?;
            }
        }
        match confidence {
            Some(confidence) => {
                output::line(&confidence.line(out, &done.pairs))?;
                output::line(&what_next(out, weight(out)?))
            }
            None => output::line(&format!(
                "stopped; the same command with --resume goes on ({})",
                done.run.display()
            )),
        }
    }

    /// Where the model is, and what takes it.
    fn what_next(out: &Path, bytes: u64) -> String {
        let (megabytes, out) = (bytes as f64 / 1e6, out.display());
        format!("model: {out} ({megabytes:.1} MB); ek model import {out} takes it")
    }

    #[test]
    fn after_training_comes_importing() {
        let told = what_next(Path::new("out/mine"), 2_500_000);
        assert!(told.contains("out/mine (2.5 MB); ek model import out/mine"), "{told}");
    }

    fn ways(before: &Score, after: &Score) -> Vec<(&'static str, (Direction, Direction))> {
        let all = [
            ("text → image", before.text_to_image, after.text_to_image),
            ("image → text", before.image_to_text, after.image_to_text),
            ("image → image", before.image_to_image, after.image_to_image),
        ];
        all.into_iter().filter_map(|(name, b, a)| Some((name, (b?, a?)))).collect()
    }

    fn as_json(
        done: &job::Done,
        confidence: Option<&Confidence>,
    ) -> Result<serde_json::Value, Failure> {
        let model = done.published.as_ref().map(|p| p.model.dir());
        let outcome = match done.outcome {
            Outcome::Finished => "finished",
            Outcome::Early => "early",
            Outcome::Stopped => "stopped",
        };
        Ok(json!({
            "outcome": outcome,
            "epochs": done.history.len().saturating_sub(1),
            "best_epoch": done.best_epoch,
            "before": done.before,
            "after": done.after,
            "pair": done.published.as_ref().map(|p| &p.pair),
            "model": model.map(|dir| dir.display().to_string()),
            "bytes": model.map(weight).transpose()?,
            "run": done.run.display().to_string(),
            "calibration": confidence.zip(model).map(|(c, dir)| c.as_json(dir)),
        }))
    }
}
