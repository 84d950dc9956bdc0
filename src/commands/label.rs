//! `ek label` and `ek describe`.

use std::path::{Path, PathBuf};

use ekphrasis_engine::{Engine, EngineError, LabelReply, LabelRequest, OpenFor, Source};
use ekphrasis_web::wire;

use super::labels::lines;
use super::{Done, config, open_to_read, towers};
use crate::cli::{DescribeArgs, Global, LabelArgs};
use crate::failure::Failure;
use crate::output::{self, printable};

/// Labels shown for a picture on the terminal; JSON has all.
const SHOWN: usize = 5;

pub(super) fn label(global: &Global, args: &LabelArgs) -> Result<Done, Failure> {
    let sources: Vec<Source> = args.files.iter().cloned().map(Source::Path).collect();
    let replies = match &args.set {
        Some(set) => open_to_read(global)?.label_by_set(&sources, set, args.multi)?,
        None => {
            let request = LabelRequest {
                labels: labels(args)?,
                templates: args.template.clone(),
                multi: args.multi,
            };
            let config = config(global)?;
            let towers = towers(global, &config, 1)?;
            // Labelling by words needs no store, so it works before anything is indexed.
            ekphrasis_engine::label_all(&*towers, &sources, &request)?
        }
    };
    let labelled = keep_good(&args.files, replies)?;
    let doubt = labelled.first().and_then(|(_, reply)| reply.doubt(args.multi));
    let warnings: Vec<String> = doubt.into_iter().collect();
    if !global.quiet {
        warnings.iter().for_each(|doubt| output::note(&format!("ek: {doubt}")));
    }
    if global.json {
        let images =
            labelled.iter().map(|(path, r)| wire::LabelledImage::new(Some(path), r)).collect();
        output::json(&wire::LabelReply { images, warnings })?;
    } else {
        for (path, reply) in &labelled {
            show(path, reply, labelled.len() > 1)?;
        }
        if !args.multi && !global.quiet && labelled.iter().any(|(_, r)| r.none_of_these.is_none()) {
            output::note(
                "ek: this model cannot tell when none of the labels fits; `ek model calibrate` lets \
                 it tell",
            );
        }
    }
    Ok(if labelled.len() < args.files.len() { Done::NothingOrPartly } else { Done::Well })
}

fn show(path: &Path, reply: &LabelReply, name: bool) -> Result<(), Failure> {
    if name {
        output::line(&printable(&path.to_string_lossy()))?;
    }
    let none = reply.none_of_these.map(|none| (none, "(none of these)"));
    // Where none of them takes its place among the labels.
    let before = reply.labels.iter().filter(|l| none.is_none_or(|(none, _)| l.probability >= none));
    let before = before.count();
    let labels = reply.labels.iter().map(|l| (l.probability, l.label.as_str()));
    let mut all: Vec<(f32, &str)> = labels.collect();
    if let Some(none) = none {
        all.insert(before, none);
    }
    for (place, (probability, label)) in all.into_iter().enumerate() {
        if place < SHOWN || Some((probability, label)) == none {
            output::line(&format!("{:>6.1} %  {}", probability * 100.0, printable(label)))?;
        }
    }
    for group in reply.groups.iter().take(SHOWN) {
        let (percent, label) = (group.probability * 100.0, printable(&group.label));
        output::line(&format!("{percent:>6.1} %  {label} (any of them)"))?;
    }
    Ok(())
}

/// Separates what worked from what did not, which is told. If nothing worked,
/// the first failure is the command's.
pub(super) fn keep_good<T>(
    files: &[PathBuf],
    results: Vec<Result<T, EngineError>>,
) -> Result<Vec<(PathBuf, T)>, Failure> {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for (path, result) in files.iter().zip(results) {
        match result {
            Ok(value) => good.push((path.clone(), value)),
            Err(error) => bad.push(error),
        }
    }
    if good.is_empty() && !bad.is_empty() {
        let first = bad.remove(0);
        bad.iter().for_each(|error| output::note(&format!("ek: {error}")));
        return Err(first.into());
    }
    bad.iter().for_each(|error| output::note(&format!("ek: {error}")));
    Ok(good)
}

fn labels(args: &LabelArgs) -> Result<Vec<String>, Failure> {
    match &args.labels_file {
        Some(file) => lines(file),
        None => Ok(args.labels.iter().map(|l| l.trim().to_owned()).collect()),
    }
}

pub(super) fn describe(global: &Global, args: &DescribeArgs) -> Result<Done, Failure> {
    let config = config(global)?;
    let towers = towers(global, &config, 1)?;
    // Without a store the model's own vocabulary still answers.
    let engine = match Engine::exists(&config.data)? {
        true => Some(Engine::open(&config.data, towers.clone(), OpenFor::Reading)?),
        false => None,
    };
    let results = args
        .files
        .iter()
        .map(|file| {
            let source = Source::Path(file.clone());
            match &engine {
                Some(engine) => engine.describe(&source, args.n),
                None => ekphrasis_engine::describe(&*towers, &source, args.n),
            }
        })
        .collect();
    let described = keep_good(&args.files, results)?;
    if global.json {
        let images =
            described.iter().map(|(path, d)| wire::DescribedImage::new(Some(path), d)).collect();
        output::json(&wire::DescribeReply { images })?;
    } else {
        for (path, descriptions) in &described {
            if described.len() > 1 {
                output::line(&printable(&path.to_string_lossy()))?;
            }
            for description in descriptions {
                output::line(&format!(
                    "{:.3}  {}",
                    description.score,
                    printable(&description.text)
                ))?;
            }
        }
    }
    let wordless = described.iter().any(|(_, d)| d.is_empty());
    if wordless && !global.quiet {
        output::note(
            "ek: there are no words to describe by: this model came without nouns, and the store has \
             no texts; while `ek up` or `ek serve` runs, nouns are embedded for it",
        );
    }
    let all = described.len() == args.files.len() && !wordless;
    Ok(if all { Done::Well } else { Done::NothingOrPartly })
}
