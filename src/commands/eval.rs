//! `ek eval`.

use std::io::IsTerminal;

use ekphrasis_engine::Towers;
use ekphrasis_engine::confidence::{ConfidenceOptions, measure_confidence};
use ekphrasis_engine::eval::{
    AtGamma, Directions, EvalOptions, EvalReport, Generalised, Interval, PairScores,
    RetrievalScore, SameBy, ShotsScore, VerificationReport, ZeroShotScore, evaluate,
};
use serde_json::{Map, Value, json};

use super::{
    Done, config, cores, eval_confidence, eval_feedback, eval_per_class, eval_recognition,
    eval_roc, towers,
};
use crate::cli::{EvalArgs, Global, SameByArg};
use crate::failure::Failure;
use crate::output::{self, count, printable};

pub(super) fn eval(global: &Global, args: &EvalArgs) -> Result<Done, Failure> {
    if args.report.is_some() && !(args.confidence || args.verify) {
        return Err(Failure::Usage(
            "a report has the diagrams of --confidence, or the curves of --verify: say which"
                .into(),
        ));
    }
    let config = config(global)?;
    let towers = towers(global, &config, cores())?;
    if args.confidence {
        return confidence(global, args, &*towers);
    }
    let options = EvalOptions {
        split: args.split.clone(),
        templates: args.template.clone(),
        seed: args.seed,
        seen_split: args.seen_split.clone(),
        seen_pictures: args.seen_pictures,
        gamma: args.gamma,
        verify: args.verify,
        same_by: args.same_by.map(|by| match by {
            SameByArg::Class => SameBy::Class,
            SameByArg::Group => SameBy::Group,
            SameByArg::Caption => SameBy::Caption,
        }),
        feedback: args.feedback,
        feedback_grid: args.feedback_grid,
        identify: args.identify,
        shots: args.shots.clone(),
        with_words: args.with_words,
        ways: args.ways,
        episodes: args.episodes,
    };
    let show = !global.quiet && std::io::stderr().is_terminal();
    let report = evaluate(&*towers, &args.pairs, &options, &|done, total| {
        if show && (done % 50 == 0 || done == total) {
            eprint_progress(done, total);
        }
    })?;
    if let (Some(to), Some(verification)) = (&args.report, &report.verification) {
        eval_roc::page(verification, to)?;
    }
    for (path, reason) in &report.failed {
        output::note(&format!("not used: {}: {reason}", path.display()));
    }
    if global.json {
        let mut all = as_json(&report, &options);
        if args.per_class {
            all["per_class"] = eval_per_class::as_json(&report.per_class);
        }
        output::json(&all)?;
    } else {
        table(&report, &options)?;
        if args.per_class {
            eval_per_class::table(&report.per_class)?;
        }
    }
    Ok(if report.failed.is_empty() { Done::Well } else { Done::NothingOrPartly })
}

fn confidence(global: &Global, args: &EvalArgs, towers: &dyn Towers) -> Result<Done, Failure> {
    let options =
        ConfidenceOptions { split: args.split.clone(), seed: args.seed, ..Default::default() };
    let show = !global.quiet && std::io::stderr().is_terminal();
    let report = measure_confidence(towers, &args.pairs, &options, &|done, total| {
        if show && (done % 50 == 0 || done == total) {
            eprint_progress(done, total);
        }
    })?;
    if let Some(to) = &args.report {
        eval_confidence::page(&report, to)?;
    }
    if global.json {
        output::json(&eval_confidence::as_json(&report))?;
    } else {
        eval_confidence::table(&report)?;
    }
    Ok(if report.failed == 0 { Done::Well } else { Done::NothingOrPartly })
}

#[expect(clippy::print_stderr, reason = "a line that is rewritten in place")]
pub(super) fn eprint_progress(done: usize, total: usize) {
    eprint!("\r\x1b[K{done} of {total} pictures{}", if done == total { "\r\x1b[K" } else { "" });
}

fn as_json(report: &EvalReport, options: &EvalOptions) -> Value {
    let [t2i, i2t] = &report.intervals;
    let mut all = json!({
        "pictures": report.pictures,
        "failed": report.failed.len(),
        "seed": options.seed,
        "text_to_image": direction(&report.text_to_image, t2i),
        "image_to_text": direction(&report.image_to_text, i2t),
        "rsum": report.rsum(),
        "zero_shot": zero_shot(&report.zero_shot),
        "zero_shot_first_template": report.first_template.as_ref().map(zero_shot),
    });
    all["zero_shot"]["templates"] = json!(report.templates);
    if !report.subsets.is_empty() {
        let of = |d: &Directions| {
            json!({
                "text_to_image": direction(&d.text_to_image.score, &d.text_to_image.intervals),
                "image_to_text": direction(&d.image_to_text.score, &d.image_to_text.intervals),
            })
        };
        let subsets: Map<String, Value> =
            report.subsets.iter().map(|(name, d)| (name.clone(), of(d))).collect();
        all["subsets"] = Value::Object(subsets);
    }
    if let Some(g) = &report.generalised {
        all["generalised"] = generalised(g);
    }
    if let Some(v) = &report.verification {
        all["verification"] = json!({
            "same_by": v.same_by.to_string(), "pictures": v.pictures,
            "all": pair_scores(&v.all),
            "across_styles": v.across_styles.as_ref().map(|across| match across {
                Ok(scores) => pair_scores(scores),
                Err(e) => json!({"refused": e.to_string()}),
            }),
        });
    }
    if let Some(feedback) = &report.feedback {
        all["feedback"] = eval_feedback::as_json(feedback);
    }
    if let Some(recognition) = &report.recognition {
        all["recognition"] = eval_recognition::as_json(recognition);
    }
    if !report.few_shot.is_empty() {
        let of = |(shots, score): &ShotsScore| match score {
            Ok(score) => json!({
                "shots": shots, "ways": options.ways, "episodes": score.episodes,
                "classes": score.classes, "accuracy": score.mean,
                "half_width_95": score.half_width,
                "interval_95_over_classes": [score.over_classes.low, score.over_classes.high],
            }),
            Err(e) => json!({"shots": shots, "ways": options.ways, "refused": e.to_string()}),
        };
        all["few_shot"] = report.few_shot.iter().map(of).collect();
        if let Some(with) = &report.with_words {
            all["few_shot_with_words"] = json!({
                "words_weight": with.weight,
                "words": with.words.iter().map(of).collect::<Vec<_>>(),
                "words_and_pictures": with.both.iter().map(of).collect::<Vec<_>>(),
            });
        }
    }
    all
}

fn zero_shot(z: &ZeroShotScore) -> Value {
    json!({
        "classes": z.classes, "top_1": z.top_1, "top_5": z.top_5,
        "class_mean_top_1": z.class_mean_top_1, "class_mean_top_5": z.class_mean_top_5,
    })
}

fn direction(s: &RetrievalScore, intervals: &[Interval; 2]) -> Value {
    let [one, ten] = intervals.map(|i| [i.low, i.high]);
    json!({
        "queries": s.queries, "candidates": s.candidates,
        "recall@1": s.recall_at_1, "recall@5": s.recall_at_5, "recall@10": s.recall_at_10,
        "median_rank": s.median_rank, "mean_rank": s.mean_rank,
        "recall@1_95": one, "recall@10_95": ten,
        "map": s.mean_average_precision, "map@r": s.mean_average_precision_at_r,
        "mrr": s.mean_reciprocal_rank, "r_precision": s.r_precision,
    })
}

fn generalised(g: &Generalised) -> Value {
    let at = |a: &AtGamma| json!({"gamma": a.gamma, "seen": a.seen, "unseen": a.unseen, "harmonic": a.harmonic()});
    json!({
        "seen_classes": g.classes.0, "unseen_classes": g.classes.1,
        "seen_pictures": g.pictures.0, "unseen_pictures": g.pictures.1,
        "seen": g.plain.seen, "unseen": g.plain.unseen, "harmonic": g.plain.harmonic(),
        "seen_alone": g.seen_alone, "unseen_alone": g.unseen_alone,
        "stacked": g.given.as_ref().map(at), "stacked_best_here": at(&g.best), "ausuc": g.ausuc,
    })
}

fn pair_scores(p: &PairScores) -> Value {
    let tar: Vec<Value> = p
        .tar_at_far
        .iter()
        .map(|(far, tar)| match tar {
            Ok(tar) => json!({"far": far, "tar": tar}),
            Err(e) => json!({"far": far, "tar": null, "refused": e.to_string()}),
        })
        .collect();
    let folds = match &p.folds {
        Ok(f) => json!({
            "folds": f.folds, "accuracy": f.mean, "sd": f.sd, "threshold": f.threshold,
            "pairs": f.pairs,
        }),
        Err(e) => json!({"refused": e.to_string()}),
    };
    json!({
        "positives": p.positives, "negatives": p.negatives, "auc": p.auc, "eer": p.eer,
        "tar_at_far": tar, "identity_disjoint": folds, "roc": eval_roc::as_json(&p.roc),
    })
}

fn table(report: &EvalReport, options: &EvalOptions) -> Result<(), Failure> {
    output::line(
        "                 queries   over     R@1     R@5    R@10   median rank     mAP     MRR   R-prec",
    )?;
    let row = |name: &str, s: &RetrievalScore| {
        output::line(&format!(
            "{name:<15} {:>8} {:>6}   {:.3}   {:.3}   {:.3}   {:>11}   {:.3}   {:.3}    {:.3}",
            s.queries,
            s.candidates,
            s.recall_at_1,
            s.recall_at_5,
            s.recall_at_10,
            s.median_rank,
            s.mean_average_precision,
            s.mean_reciprocal_rank,
            s.r_precision,
        ))
    };
    row("text → image", &report.text_to_image)?;
    row("image → text", &report.image_to_text)?;
    for (name, [one, ten]) in ["text → image", "image → text"].iter().zip(&report.intervals) {
        output::line(&format!(
            "{name}: 95 % bootstrap over queries, R@1 {:.3}–{:.3}, R@10 {:.3}–{:.3}",
            one.low, one.high, ten.low, ten.high
        ))?;
    }
    output::line(&format!("rsum {:.1} of 600; ties count against the model", report.rsum()))?;
    for (name, d) in &report.subsets {
        output::line(&format!("subset {}:", printable(name)))?;
        row("  text → image", &d.text_to_image.score)?;
        row("  image → text", &d.image_to_text.score)?;
    }
    let zero_shot = |how: &str, z: &ZeroShotScore| {
        output::line(&format!(
            "zero-shot over {} classes{how}: top-1 {:.3}, top-5 {:.3}; mean of classes {:.3}, {:.3}",
            z.classes, z.top_1, z.top_5, z.class_mean_top_1, z.class_mean_top_5
        ))
    };
    match &report.first_template {
        None => zero_shot("", &report.zero_shot)?,
        Some(first) => {
            let how = format!(", mean of {} templates", report.templates);
            zero_shot(&how, &report.zero_shot)?;
            zero_shot(", the first template alone", first)?;
        }
    }
    if let Some(g) = &report.generalised {
        generalised_table(g)?;
    }
    if let Some(v) = &report.verification {
        verification_table(v)?;
    }
    if let Some(feedback) = &report.feedback {
        eval_feedback::table(feedback)?;
    }
    if let Some(recognition) = &report.recognition {
        eval_recognition::table(recognition)?;
    }
    few_shot_table("", &report.few_shot, options)?;
    if let Some(with) = &report.with_words {
        few_shot_table(" by words alone", &with.words, options)?;
        let name = format!(" with words (weight {})", with.weight);
        few_shot_table(&name, &with.both, options)?;
    }
    Ok(())
}

fn few_shot_table(name: &str, scores: &[ShotsScore], options: &EvalOptions) -> Result<(), Failure> {
    for (shots, score) in scores {
        let ways = options.ways;
        output::line(&match score {
            Ok(s) => format!(
                "{ways}-way {shots}-shot{name}: {:.3} ± {:.3} over {} episodes, {:.3} to {:.3} over {} classes (95 %)",
                s.mean,
                s.half_width,
                s.episodes,
                s.over_classes.low,
                s.over_classes.high,
                s.classes
            ),
            Err(e) => format!("{ways}-way {shots}-shot{name}: not measured: {e}"),
        })?;
    }
    Ok(())
}

fn generalised_table(g: &Generalised) -> Result<(), Failure> {
    output::line(&format!(
        "generalised zero-shot over {} seen and {} unseen classes ({} and {} pictures), means of classes:",
        g.classes.0, g.classes.1, g.pictures.0, g.pictures.1
    ))?;
    let row = |name: &str, a: &AtGamma| {
        output::line(&format!(
            "  {name:<34} seen {:.3}  unseen {:.3}  H {:.3}",
            a.seen,
            a.unseen,
            a.harmonic()
        ))
    };
    row("as scored", &g.plain)?;
    if let Some(given) = &g.given {
        row(&format!("stacked, γ {:.4} as given", given.gamma), given)?;
    }
    row(&format!("stacked, γ {:.4} best on these", g.best.gamma), &g.best)?;
    output::line(&format!(
        "  seen among seen {:.3}, unseen among unseen {:.3}; area under seen over unseen {:.3}",
        g.seen_alone, g.unseen_alone, g.ausuc
    ))
}

fn verification_table(v: &VerificationReport) -> Result<(), Failure> {
    output::line(&format!(
        "verification by {}, {}:",
        v.same_by,
        count(v.pictures as u64, "picture", "pictures")
    ))?;
    let across = v.across_styles.as_ref().map(|p| ("across styles", p.as_ref()));
    for (name, p) in [("all pairs", Ok(&v.all))].into_iter().chain(across) {
        let p = match p {
            Ok(p) => p,
            Err(e) => {
                output::line(&format!("  {name:<13} not measured: {e}"))?;
                continue;
            }
        };
        output::line(&format!(
            "  {name:<13} {} same, {} different: AUC {:.3}, EER {:.3}",
            count(p.positives as u64, "pair", "pairs"),
            p.negatives,
            p.auc,
            p.eer
        ))?;
        for (far, tar) in &p.tar_at_far {
            output::line(&match tar {
                Ok(tar) => format!("    TAR {tar:.3} at FAR {far}"),
                Err(e) => format!("    not measured: {e}"),
            })?;
        }
        output::line(&match &p.folds {
            Ok(f) => format!(
                "    accuracy {:.3} ± {:.3} over {} folds without common identities, threshold {:.3}",
                f.mean, f.sd, f.folds, f.threshold
            ),
            Err(e) => format!("    no accuracy by folds: {e}"),
        })?;
    }
    Ok(())
}
