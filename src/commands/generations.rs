//! `ek model use`, `ek model drop-old`: the store moves to another model, and the one it
//! had goes at last.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use ekphrasis_engine::{
    BridgeOptions, Config, Engine, Generation, Holder, Known, OnnxTowers, Preview, PreviewOptions,
    PreviewScores, Role, Towers, UseOptions, drop_old, former_model, make_bridge, model_to_use,
    preview_model, use_model,
};
use ekphrasis_web::wire;
use serde_json::{Value, json};

use super::{Done, config, cores, stop_on_interrupt, towers};
use crate::cli::{BridgeArgs, Global, UseArgs};
use crate::failure::Failure;
use crate::forward::{Forward, segment};
use crate::output::{self, ProgressLine, count, printable};

/// Pictures shown that would be lost, or could not be looked at.
const SHOWN: usize = 10;
/// How many are in the JSON.
const LISTED: usize = 1_000;

pub(super) fn use_it(global: &Global, args: &UseArgs) -> Result<Done, Failure> {
    let config = config(global)?;
    let (name, dir) = match (&args.name, args.back) {
        (Some(name), false) => (name.clone(), model_to_use(&config, name)?),
        _ => former_model(&config)?,
    };
    if args.preview.is_some() {
        return preview(global, &config, args, &name, &dir);
    }
    if let Some(server) = Forward::to_holder(&config) {
        // The server is told a name, which has to mean the same there.
        if model_to_use(&config, &name)? != dir {
            return Err(Failure::Usage(format!(
                "{name} is also what an imported model is called, and a server goes by names: end \
                 the server, and say the same again"
            )));
        }
        return through(global, &server, args, &name);
    }
    let towers: Arc<dyn Towers> = Arc::new(other(global, &config, &dir)?);
    let options = UseOptions {
        threads: args.threads.unwrap_or_else(cores),
        rate: args.rate,
        without_missing: args.without_missing,
    };
    let holder = Holder { command: "ek model use".into(), address: None };
    let stop = stop_on_interrupt()?;
    let shown = ProgressLine::new(global);
    let used =
        use_model(&config.data, &towers, &options, &holder, &|p, path| shown.show(p, path), &stop);
    shown.clear();
    let used = wire::Used::new(&used?, LISTED);
    let value = serde_json::to_value(used)
        .map_err(|e| Failure::Bug(format!("the answer is no JSON: {e}")))?;
    tell(global, &name, &value)
}

/// What a model is called: the one that comes with the program by its own name.
fn called(model: &Known) -> String {
    match &model.manifest {
        Ok(manifest) if Path::new(&model.name).is_absolute() => manifest.name().to_owned(),
        _ => model.name.clone(),
    }
}

/// A model that the store may be moved to.
fn other(global: &Global, config: &Config, dir: &Path) -> Result<OnnxTowers, Failure> {
    let quiet = global.quiet;
    Ok(OnnxTowers::at(config, dir, cores(), move |line| {
        if !quiet {
            output::note(line);
        }
    })?)
}

/// The same by the server that holds the store.
fn through(global: &Global, server: &Forward, args: &UseArgs, name: &str) -> Result<Done, Failure> {
    let mut order = json!({ "without_missing": args.without_missing });
    if let Some(rate) = args.rate {
        order["rate"] = json!(rate);
    }
    if let Some(threads) = args.threads {
        order["threads"] = json!(threads);
    }
    let path = format!("/v1/models/{}/use", segment(name));
    let ended = server.run_at(global, &path, &order)?;
    if ended.stopped && ended.used().is_null() {
        return tell(global, name, &json!({ "outcome": "stopped", "report": {} }));
    }
    tell(global, name, ended.used())
}

/// What became of it: JSON, or sentences.
fn tell(global: &Global, name: &str, used: &Value) -> Result<Done, Failure> {
    let outcome = used["outcome"].as_str().unwrap_or_default();
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let text = |value: &Value| printable(value.as_str().unwrap_or_default());
    if !global.quiet {
        let missing = used["missing"].as_array().into_iter().flatten();
        for one in missing.take(SHOWN) {
            output::note(&format!("no vector: {}: {}", text(&one["path"]), text(&one["reason"])));
        }
        let more = number(&used["missing_count"]).saturating_sub(SHOWN as u64);
        if more > 0 {
            output::note(&format!("… and {more} more"));
        }
        for one in used["unmade"].as_array().into_iter().flatten().take(LISTED) {
            output::note(&unmade(
                &text(&one["kind"]),
                &text(&one["name"]),
                one["label"].as_str(),
                &text(&one["source"]),
                one["others_do"] == true,
            ));
        }
        for one in used["unapplied"].as_array().into_iter().flatten() {
            output::note(&format!(
                "pictures have no labels of {} any more: {}",
                text(&one["set"]),
                text(&one["reason"])
            ));
        }
    }
    let report = &used["report"];
    let done = format!(
        "{} embedded, {} there already",
        count(number(&report["indexed"]), "item", "items"),
        number(&report["unchanged"])
    );
    let (sentence, how) = match outcome {
        "switched" => (
            format!(
                "{name} is the store's model now ({done}); `ek model use --back` goes back, \
                 `ek model drop-old` gives back the room that takes"
            ),
            Done::Well,
        ),
        "already" => (format!("{name} is the store's model already"), Done::Well),
        "variant" => (
            format!(
                "{name} is the store's model now; nothing to embed: it is of the same space as the \
                 one before"
            ),
            Done::Well,
        ),
        "stopped" => (
            format!(
                "stopped ({done}); the same again goes on from there, and the store is as it was"
            ),
            Done::NothingOrPartly,
        ),
        _ => (
            format!(
                "not switched ({done}): what is named above would be lost. Put it right and say \
                 the same again, or do without: --without-missing"
            ),
            Done::NothingOrPartly,
        ),
    };
    if global.json {
        output::json(used)?;
    } else if !global.quiet || how == Done::NothingOrPartly {
        output::line(&sentence)?;
    }
    Ok(how)
}

/// A picture of a name that has no vector of the new model, in a sentence.
fn unmade(kind: &str, name: &str, label: Option<&str>, source: &str, others_do: bool) -> String {
    let label = label.map(|label| format!(", label {}", printable(label))).unwrap_or_default();
    let then = if others_do { "it can be used without it" } else { "it has to be given again" };
    match source {
        "" => format!("{kind} {name} is damaged; {then}"),
        _ => format!("{kind} {name}{label}: {source} cannot be had any more; {then}"),
    }
}

fn preview(
    global: &Global,
    config: &Config,
    args: &UseArgs,
    name: &str,
    dir: &Path,
) -> Result<Done, Failure> {
    let new = other(global, config, dir)?;
    if !Engine::exists(&config.data)? {
        return Err(Failure::Usage(format!("there is no store in {}", config.data.display())));
    }
    let old = towers(global, config, cores())?;
    let options = PreviewOptions {
        pictures: args.preview.unwrap_or_default(),
        queries: args.queries.clone(),
        threads: args.threads.unwrap_or_else(cores),
        seed: args.seed,
    };
    let stop = stop_on_interrupt()?;
    let shown = ProgressLine::new(global);
    let found =
        preview_model(&config.data, &*old, &new, &options, &|p, path| shown.show(p, path), &stop);
    shown.clear();
    let found = found?;
    if global.json {
        output::json(&as_json(&found, old.name(), name, args.seed))?;
    } else {
        print(&found, old.name(), name)?;
    }
    Ok(if found.stopped || !found.missing.is_empty() { Done::NothingOrPartly } else { Done::Well })
}

fn as_json(found: &Preview, old: &str, new: &str, seed: u64) -> Value {
    let scores = |scores: &Option<PreviewScores>| {
        scores.map(|s| json!({ "recall_at_1": s.at_1, "recall_at_10": s.at_10 }))
    };
    json!({
        "pictures": found.pictures,
        "captions": found.captions,
        "old": { "model": old, "scores": scores(&found.old) },
        "new": { "model": new, "scores": scores(&found.new) },
        "difference": found.difference.map(|(one, ten)| json!({
            "recall_at_1": [one.low, one.high], "recall_at_10": [ten.low, ten.high],
        })),
        "seed": seed,
        "per_second": found.per_second,
        "items": found.items,
        "seconds": found.seconds,
        "stopped": found.stopped,
        "missing": found.missing.iter().take(LISTED).map(|(path, why)| json!({
            "path": path.to_string_lossy(), "reason": why,
        })).collect::<Vec<_>>(),
        "missing_count": found.missing.len(),
        "unmade": found.unmade.iter().map(wire::Unmade::from).collect::<Vec<_>>(),
    })
}

fn print(found: &Preview, old: &str, new: &str) -> Result<(), Failure> {
    for (path, why) in found.missing.iter().take(SHOWN) {
        output::note(&format!("no vector: {}: {why}", printable(&path.to_string_lossy())));
    }
    for one in &found.unmade {
        let (name, source) = (printable(&one.name), printable(&one.source));
        output::note(&unmade(one.kind, &name, one.label.as_deref(), &source, one.others_do));
    }
    output::line(&format!(
        "{} among {}, by vectors alone:",
        count(found.captions as u64, "caption", "captions"),
        count(found.pictures as u64, "picture", "pictures")
    ))?;
    match (&found.old, &found.new, &found.difference) {
        (Some(before), Some(after), Some((one, ten))) => {
            output::line(&format!("{:<24} {:>8} {:>12}", "", "first", "in first 10"))?;
            for (name, scores) in [(old, before), (new, after)] {
                output::line(&format!(
                    "{name:<24} {:>7.1}% {:>11.1}%",
                    100.0 * scores.at_1,
                    100.0 * scores.at_10
                ))?;
            }
            for (what, i) in [("first", one), ("in first 10", ten)] {
                let verdict = if i.low > 0.0 {
                    format!("{new} finds more")
                } else if i.high < 0.0 {
                    format!("{new} finds less")
                } else {
                    "which one finds more cannot be told".into()
                };
                output::line(&format!(
                    "{what}: {:+.1} to {:+.1} points (95 %): {verdict}",
                    100.0 * i.low,
                    100.0 * i.high
                ))?;
            }
        }
        _ => output::line(
            "nothing can be compared without captions: index with some, or name pairs by --queries",
        )?,
    }
    output::line(&format!(
        "to move all {}: about {:.0} s, at {:.1} pictures a second",
        count(found.items, "item", "items"),
        found.seconds,
        found.per_second
    ))
}

/// `ek model bridge`.
pub(super) fn bridge(global: &Global, args: &BridgeArgs) -> Result<Done, Failure> {
    let config = config(global)?;
    let old = towers(global, &config, 1)?;
    let options =
        BridgeOptions { queries: args.queries.clone(), words: args.words, seed: args.seed };
    let quiet = global.quiet;
    let log = move |line: &str| {
        if !quiet {
            output::note(line);
        }
    };
    let show = !quiet && std::io::stderr().is_terminal();
    let on_texts = |done: usize, total: usize| {
        if show {
            let left = format!("{done} of {total} texts");
            output::rewrite(if done == total { "" } else { &left });
        }
    };
    let stop = stop_on_interrupt()?;
    let made = make_bridge(&config, &*old, &args.name, &options, log, &on_texts, &stop)?;
    let Some(bridge) = made else {
        output::note("stopped; nothing changed");
        return Ok(Done::NothingOrPartly);
    };
    let figures = &bridge.figures;
    if global.json {
        output::json(&json!({
            "name": args.name, "from": bridge.from.id(), "to": bridge.to.id(),
            "recall_at_10": figures.recall, "interval": figures.interval,
            "own_recall_at_10": figures.own_recall,
            "captions": figures.captions, "pictures": figures.pictures, "among": figures.among,
            "fitted_texts": figures.texts, "fitted_captions": figures.fitted_captions,
            "seed": figures.seed,
        }))?;
    } else {
        output::line(&format!("a bridge from {}: {}", args.name, figures.words()))?;
        output::note(&format!("search through it: ek search WORDS --bridge {}", args.name));
    }
    Ok(Done::Well)
}

pub(super) fn drop_former(global: &Global) -> Result<Done, Failure> {
    let config = config(global)?;
    let holder = Holder { command: "ek model drop-old".into(), address: None };
    let dropped = drop_old(&config.data, &holder)?;
    let bytes: u64 = dropped.iter().map(|g| g.bytes).sum();
    if global.json {
        let dropped: Vec<wire::Generation> = dropped.iter().map(wire::Generation::from).collect();
        output::json(&json!({ "dropped": dropped, "bytes": bytes }))?;
    } else if !global.quiet {
        output::line(&match dropped.len() {
            0 => "there is no former store, and none that is unfinished".into(),
            _ => format!("{} dropped, {bytes} bytes given back", what(&dropped)),
        })?;
    }
    Ok(if dropped.is_empty() { Done::NothingOrPartly } else { Done::Well })
}

/// Former stores and moves that were not finished, counted.
fn what(dropped: &[Generation]) -> String {
    let unfinished = dropped.iter().filter(|g| g.role == Role::Unfinished).count();
    let former = dropped.len() - unfinished;
    let former = count(former as u64, "former store", "former stores");
    match unfinished as u64 {
        0 => former,
        n if n == dropped.len() as u64 => count(n, "unfinished move", "unfinished moves"),
        n => format!("{former} and {}", count(n, "unfinished move", "unfinished moves")),
    }
}

/// What is said of stores beside the one that serves: by number, role and size.
pub(super) fn others(all: &[Generation], models: &[Known]) -> Vec<String> {
    let serving = all.iter().find(|g| g.role == Role::Serving).map_or(0, |g| g.items);
    let name = |g: &Generation| {
        let is_of = |m: &&Known| m.generation.as_ref().is_some_and(|of| of.number == g.number);
        let space = g.space.as_ref().map(|space| space.id().to_owned());
        let known = g.model.clone().or_else(|| models.iter().find(is_of).map(called));
        known.or(space).unwrap_or_else(|| "a model".into())
    };
    let formers = all.iter().filter(|g| g.role == Role::Former).count();
    let the_former = if formers == 1 { "the former one" } else { "a former one" };
    all.iter()
        .filter_map(|g| {
            let (name, mb) = (name(g), g.bytes as f64 / 1e6);
            match g.role {
                Role::Serving => None,
                Role::Former => Some(format!("{the_former}, of {name}, is kept: {mb:.1} MB")),
                Role::Unfinished => Some(format!(
                    "moving to {name}: {} of {serving} done, {mb:.1} MB; `ek model use` goes on with it",
                    g.items
                )),
            }
        })
        .collect()
}
