//! `ek status`.

use ekphrasis_engine::Applied;
use ekphrasis_web::wire;

use super::recall::sentence;
use super::{Done, open_to_read, shared};
use crate::cli::{Global, StatusArgs};
use crate::failure::Failure;
use crate::output::{self, count, printable};

pub(super) fn status(global: &Global, args: &StatusArgs) -> Result<Done, Failure> {
    if let Some(store) = &args.store.store {
        return shared::status(global, args, store);
    }
    let engine = open_to_read(global)?;
    if args.failures {
        let failures = engine.failures()?;
        if global.json {
            output::json(&wire::FailureList::new(&failures))?;
        } else {
            for failure in &failures {
                let path = printable(&failure.path.to_string_lossy());
                output::line(&format!("{path}: {}", printable(&failure.reason)))?;
            }
        }
        return Ok(if failures.is_empty() { Done::Well } else { Done::NothingOrPartly });
    }
    let status = engine.status()?;
    if global.json {
        output::json(&wire::Status::from(&status))?;
        return Ok(Done::Well);
    }
    let models = ekphrasis_engine::known_models(&super::config(global)?)?;
    let roots: Vec<String> = status.roots.iter().map(|r| r.display().to_string()).collect();
    let recall = match &status.recall {
        Some(recall) => sentence(recall),
        None => "not measured; `ek recall` does".into(),
    };
    let not_indexed = match status.failures {
        0 => "nothing that was found".into(),
        n => format!(
            "{}; `ek status --failures` says why, `ek retry` tries again",
            count(n, "file", "files")
        ),
    };
    for root in &status.unfinished {
        output::note(&format!(
            "not all of {} is indexed: the last run was stopped; `ek index` goes on with it",
            printable(&root.to_string_lossy())
        ));
    }
    let generation = match super::generations::others(&status.generations, &models) {
        others if others.is_empty() => status.generation.to_string(),
        others => format!("{}; {}", status.generation, others.join("; ")),
    };
    let lines = [
        ("store", status.data.display().to_string()),
        ("pictures", count(status.images, "picture", "pictures")),
        ("texts", count(status.texts, "text", "texts")),
        ("not indexed", not_indexed),
        (
            "known",
            format!(
                "when {}, by which camera {}, where {} of the pictures were taken",
                status.told.taken, status.told.camera, status.told.place
            ),
        ),
        ("folders", if roots.is_empty() { "none".into() } else { roots.join(", ") }),
        ("model", format!("{} ({}, {}-d)", status.model, status.space, status.dim)),
        ("", status.model_note),
        ("generation", generation),
        ("vectors", status.vector_index),
        ("recall", recall),
    ];
    super::warn(&engine);
    for (name, value) in lines {
        output::line(&format!("{name:<12} {value}"))?;
    }
    for applied in &status.labels {
        output::line(&format!("{:<12} {}", "labels", labels(applied)))?;
    }
    Ok(Done::Well)
}

/// Of how many pictures a label set was asked, and what is to be done about the others.
fn labels(applied: &Applied) -> String {
    let name = printable(&applied.set);
    let asked = format!("{name} was asked of {}", count(applied.pictures, "picture", "pictures"));
    if applied.changed {
        return format!("{asked} and changed since; `ek labels apply {name}` asks it again");
    }
    match applied.waiting {
        0 => asked,
        n => format!("{asked}, not of {n} that came later; `ek labels apply {name}` asks it again"),
    }
}
