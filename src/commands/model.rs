//! `ek model`: which models are here, and how another one comes in.

use std::path::Path;

use ekphrasis_engine::{
    Config, Engine, ImportOptions, Manifest, Precision, PrecisionChoice, Role, Variant,
    import_model, known_models, measure_precisions, remove_model,
};
use ekphrasis_web::wire;
use serde_json::{Value, json};

use super::pull::pull;
use super::{Done, calibration, config, cores, towers};
use crate::cli::{Global, ImportModelArgs, ModelVerb};
use crate::failure::Failure;
use crate::forward::Forward;
use crate::output;

pub(super) fn model(global: &Global, verb: &ModelVerb) -> Result<Done, Failure> {
    match verb {
        ModelVerb::List => list(global),
        ModelVerb::Info { model } => info(global, model.as_deref()),
        ModelVerb::Pull(args) => pull(global, args),
        ModelVerb::Use(args) => super::generations::use_it(global, args),
        ModelVerb::Bridge(args) => super::generations::bridge(global, args),
        ModelVerb::Remove { name } => remove(global, name),
        ModelVerb::DropOld => super::generations::drop_former(global),
        ModelVerb::Import(args) => import_chosen(global, args),
        ModelVerb::Calibrate { model, pairs, seed } => calibrate(global, model, pairs, *seed),
    }
}

fn list(global: &Global) -> Result<Done, Failure> {
    let models = known_models(&config(global)?)?;
    if global.json {
        output::json(&wire::ModelList::new(&models))?;
        return Ok(Done::Well);
    }
    let mut rows = Vec::new();
    for model in &models {
        let mark = if model.chosen { "*" } else { " " };
        let store = match &model.generation {
            _ if model.of_store => " (the store's)",
            Some(g) if g.role == Role::Serving => " (of the store's space)",
            Some(g) if g.role == Role::Former => " (the store's before)",
            Some(g) if g.role == Role::Unfinished => " (the store is being moved to it)",
            _ => "",
        };
        let mut row = vec![format!("{mark} {}{store}", model.name)];
        match &model.manifest {
            Ok(manifest) => row.extend([
                manifest.precision().map_or("as shipped", Precision::name).to_owned(),
                format!("{:.1} MB", manifest.bytes() as f64 / 1e6),
                known_languages(manifest).map_or_else(|| "languages?".into(), |all| short(&all)),
                manifest.space().to_string(),
                manifest.summary().to_owned(),
            ]),
            Err(problem) => row.push(format!("cannot be used: {problem}")),
        }
        rows.push(row);
    }
    let widths: Vec<usize> = (0..5)
        .map(|i| {
            let whole = rows.iter().filter(|row| row.len() > 2);
            whole.map(|row| row[i].chars().count()).max().unwrap_or_default()
        })
        .collect();
    for row in rows {
        let cell = |(i, text): (usize, &String)| match widths.get(i) {
            Some(&width) => format!("{text:<width$}"),
            None => text.clone(),
        };
        let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
        output::line(cells.join("  ").trim_end())?;
    }
    Ok(Done::Well)
}

/// The first few of many languages.
fn short(languages: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = languages[..languages.len().min(SHOWN)].join(",");
    match languages.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more}"),
    }
}

fn remove(global: &Global, name: &str) -> Result<Done, Failure> {
    let config = config(global)?;
    refuse_if_served(&config, name)?;
    let removed = remove_model(&config, name)?;
    if global.json {
        output::json(&json!({
            "removed": name, "bytes": removed.bytes, "bridge": removed.bridge,
        }))?;
    } else if !global.quiet {
        let bridge = if removed.bridge { ", and its bridge" } else { "" };
        output::line(&format!("{name} removed{bridge}, {} bytes given back", removed.bytes))?;
    }
    Ok(Done::Well)
}

/// What a server was told to search with, by `--model`, is noted nowhere: it is asked.
fn refuse_if_served(config: &Config, name: &str) -> Result<(), Failure> {
    let Some(address) = Engine::server(&config.data) else { return Ok(()) };
    let server = Forward::to_holder(config);
    let Some((called, dir)) = server.and_then(|server| server.model_in_use()) else {
        return Err(Failure::Environment(format!(
            "the server at {address} holds the store and does not say which model it searches with; \
             end it, then say the same again"
        )));
    };
    let real = |dir: &Path| fs_err::canonicalize(dir).ok();
    let own = real(&config.models.join(name));
    if called != name && (own.is_none() || real(&dir) != own) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "the server at {address} searches with {name}: move it to another model (`ek model use OTHER`; \
         `ek model list` shows those there are), or end it, then say the same again"
    )))
}

fn info(global: &Global, model: Option<&Path>) -> Result<Done, Failure> {
    let named = model.map(Into::into).or_else(|| global.model.clone());
    let config = config(&Global { model: named, ..global.clone() })?;
    let models = known_models(&config)?;
    let Some(model) = models.iter().find(|model| model.chosen) else {
        return Err(Failure::Bug("the model in use is not among the known ones".into()));
    };
    let manifest = match &model.manifest {
        Ok(manifest) => manifest,
        Err(problem) => return Err(Failure::Environment(problem.clone())),
    };
    if global.json {
        output::json(&wire::KnownModel::from(model))?;
        return Ok(Done::Well);
    }
    let mut lines = vec![
        ("name", manifest.name().to_owned()),
        ("folder", model.dir.display().to_string()),
        ("what", manifest.summary().to_owned()),
        ("licence", manifest.license().to_owned()),
        ("languages", languages(manifest)),
        ("space", manifest.space().to_string()),
        ("precision", manifest.precision().map_or("as shipped", Precision::name).to_owned()),
        ("pictures", format!("{} pixels a side", manifest.image().preprocess.size())),
        (
            "texts",
            format!(
                "at most {} tokens, {} pooling",
                manifest.text().context,
                manifest.text().pooling
            ),
        ),
    ];
    if let Some(training) = manifest.training() {
        let base = training.base.as_deref().unwrap_or("nothing");
        lines.push((
            "trained",
            format!("from {base} by {}, training {}", training.loss, training.pair),
        ));
    }
    let confidence = match manifest.confidence() {
        Some(calibration) => calibration.about.clone(),
        None => "not calibrated: hits have none; `ek model calibrate` learns it".into(),
    };
    lines.push(("confidence", confidence));
    let same = match manifest.verification() {
        Some(known) => match known.rates.last() {
            Some(smallest) => {
                format!("false accept rates down to {} by {}", smallest.false_accept, known.about)
            }
            None => format!("no false accept rate can be stated by {}", known.about),
        },
        None => "not measured: `ek verify` needs a threshold; `ek model calibrate` measures".into(),
    };
    lines.push(("same thing", same));
    for (name, value) in lines {
        output::line(&format!("{name:<10} {value}"))?;
    }
    Ok(Done::Well)
}

/// The languages of a model's texts, in words if nobody said them.
fn languages(manifest: &Manifest) -> String {
    known_languages(manifest).map_or_else(|| NOT_KNOWN.into(), |known| known.join(", "))
}

fn known_languages(manifest: &Manifest) -> Option<Vec<String>> {
    match manifest.languages() {
        [] => None,
        [undetermined] if undetermined == "und" => None,
        known => Some(known.to_vec()),
    }
}

/// What is said where they are not known.
const NOT_KNOWN: &str = "not known, so that no search is told that it is in another one: say them \
                         with --language when it is imported";

fn calibrate(global: &Global, model: &Path, pairs: &Path, seed: u64) -> Result<Done, Failure> {
    let global = &Global { model: Some(model.into()), ..global.clone() };
    let config = config(global)?;
    let towers = towers(global, &config, cores())?;
    let found = calibration::calibrate(global, &towers, pairs, seed)?;
    if global.json {
        output::json(&calibration::as_json(&found, towers.dir(), seed))?;
    } else {
        output::line(&format!("{}: {}", towers.dir().display(), found.calibration.about))?;
        match &found.verification {
            Ok(known) => {
                output::line(&format!("the same thing or not: {}", known.about))?;
                for r in &known.rates {
                    output::line(&format!(
                        "  false accepts {:<7} threshold {:.4}, finds {:.3} of the same (95 % on other things {:.5} to {:.5})",
                        r.false_accept, r.threshold, r.true_accept, r.low, r.high
                    ))?;
                }
                for why in &known.refused {
                    output::line(&format!("  not stated: {why}"))?;
                }
            }
            Err(e) => output::note(&format!("the same thing or not: not measured: {e}")),
        }
        match &found.label_sets {
            Ok(known) => output::line(&format!(
                "label sets: words count {} beside pictures; {}",
                known.words_weight, known.about
            ))?,
            Err(e) => output::note(&format!("label sets: not measured: {e}")),
        }
        output::note("see how good it is: ek eval PAIRS --split test --confidence");
    }
    Ok(if found.failed == 0 { Done::Well } else { Done::NothingOrPartly })
}

/// Takes in what was asked for, or the fastest precision of all.
fn import_chosen(global: &Global, args: &ImportModelArgs) -> Result<Done, Failure> {
    let mut options = ImportOptions {
        name: args.name.clone(),
        precision: match args.precision {
            Some(PrecisionChoice::Of(precision)) => Some(precision),
            Some(PrecisionChoice::Auto) | None => None,
        },
        languages: args.language.clone(),
        text: args.text.clone(),
        variant_of: args.variant_of.clone(),
    };
    if args.precision != Some(PrecisionChoice::Auto) {
        return import(global, &args.dir, &options);
    }
    let quiet = global.quiet;
    let log = move |line: &str| {
        if !quiet {
            output::note(line);
        }
    };
    let variants = measure_precisions(&config(global)?, &args.dir, &options, log)?;
    let fastest = Variant::fastest(&variants);
    for variant in &variants {
        log(&told(variant, fastest == Some(variant.precision)));
    }
    let Some(fastest) = fastest else {
        return Err(Failure::Usage(format!(
            "no precision in {} does what its 32-bit form does",
            args.dir.display()
        )));
    };
    options.precision = Some(fastest);
    import_measured(global, &args.dir, &options, &variants)
}

/// A line about one precision.
fn told(variant: &Variant, taken: bool) -> String {
    let name = variant.precision.name();
    let measured = match &variant.measured {
        Ok(measured) => measured,
        Err(problem) => return format!("  {name:<6} cannot be used: {problem}"),
    };
    let verdict = match (taken, variant.agrees()) {
        (true, _) => "taken",
        (false, true) => "agrees",
        (false, false) => "does not agree",
    };
    format!(
        "{} {name:<6} a picture {:>8}, a text {:>8}, {:.1} MB; agrees to {:.6} (pictures) and {:.6} (texts), {} expected: {verdict}",
        if taken { "*" } else { " " },
        format!("{:.1?}", measured.picture),
        format!("{:.1?}", measured.text),
        variant.bytes as f64 / 1e6,
        measured.agreement.pictures,
        measured.agreement.texts,
        variant.precision.least_agreement(),
    )
}

fn as_json(variant: &Variant) -> Value {
    let measured = variant.measured.as_ref();
    let ms = |time: std::time::Duration| time.as_secs_f64() * 1e3;
    json!({
        "precision": variant.precision.name(),
        "bytes": variant.bytes,
        "agrees": variant.agrees(),
        "expected": variant.precision.least_agreement(),
        "problem": measured.err(),
        "picture_ms": measured.ok().map(|m| ms(m.picture)),
        "text_ms": measured.ok().map(|m| ms(m.text)),
        "golden": measured.ok().map(|m| json!({
            "pictures": m.agreement.pictures, "texts": m.agreement.texts,
        })),
    })
}

/// Takes in the model in `dir`, and says how it went.
pub(super) fn import(
    global: &Global,
    dir: &Path,
    options: &ImportOptions,
) -> Result<Done, Failure> {
    import_measured(global, dir, options, &[])
}

/// The same after several precisions were measured.
fn import_measured(
    global: &Global,
    dir: &Path,
    options: &ImportOptions,
    variants: &[Variant],
) -> Result<Done, Failure> {
    let config = config(global)?;
    let quiet = global.quiet;
    let imported = import_model(&config, dir, options, move |line| {
        if !quiet {
            output::note(line);
        }
    })?;
    let place = imported.model.dir();
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    if global.json {
        let facts = wire::ModelFacts::from(imported.model.manifest());
        let mut shown = serde_json::to_value(facts)
            .map_err(|e| Failure::Bug(format!("the answer is no JSON: {e}")))?;
        shown["name"] = json!(name);
        shown["dir"] = json!(place.to_string_lossy());
        shown["was_there"] = json!(imported.was_there);
        shown["agreement"] = json!(imported.agreement);
        shown["golden"] = json!(imported.golden.map(|golden| json!({
            "pictures": golden.pictures, "texts": golden.texts,
        })));
        shown["brought"] = json!(imported.brought.map(|brought| json!({
            "texts": brought.texts, "texts_agree": brought.texts_agree,
            "pictures": brought.pictures, "pictures_agree": brought.pictures_agree,
            "absent": brought.absent,
        })));
        if !variants.is_empty() {
            shown["measured"] = variants.iter().map(as_json).collect();
        }
        output::json(&shown)?;
        return Ok(Done::Well);
    }
    let done = if imported.was_there { "was there already" } else { "imported" };
    output::line(&format!(
        "{name} {done}: both towers run, batch and single agree to {:.6}",
        imported.agreement
    ))?;
    if let Some(golden) = imported.golden {
        output::line(&format!(
            "  agrees with the reference answers to {:.6} (pictures) and {:.6} (texts)",
            golden.pictures, golden.texts
        ))?;
    }
    if let Some(brought) = imported.brought {
        output::line(&format!(
            "  agrees with its golden.json to {:.6} over {} texts with equal token ids{}",
            brought.texts_agree,
            brought.texts,
            match (brought.pictures, brought.absent) {
                (0, 0) => String::new(),
                (0, absent) => format!("; the {absent} pictures it names are not in the folder"),
                (n, _) => format!(", and to {:.6} over {n} pictures", brought.pictures_agree),
            }
        ))?;
    }
    let manifest = imported.model.manifest();
    output::line(&format!("  space {}, languages {}", manifest.space(), languages(manifest)))?;
    let known = known_models(&config)?;
    let same = known
        .iter()
        .find(|model| model.dir == place)
        .is_some_and(|model| model.generation.as_ref().is_some_and(|g| g.role == Role::Serving));
    if same && !imported.was_there {
        output::note(&format!(
            "it is of the store's space, so that nothing has to be embedded: ek model use {name} \
             takes it from now on"
        ));
    } else if !imported.was_there {
        output::note(&format!(
            "move the store to it: ek model use {name}; or see first which one finds more: ek model \
             use {name} --preview; or begin a store of its own: ek index DIR --model {name} --data …"
        ));
    }
    Ok(Done::Well)
}
