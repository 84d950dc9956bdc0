//! `ek cluster`.

use std::path::Path;

use ekphrasis_engine::cluster::{
    Agreement, AgreementReport, ClusterOptions, ClusterReport, Form, LearnedReport, Mahalanobis,
    metric_from_rows, metric_rows,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Done, open_to_read, warn};
use crate::cli::{ClusterArgs, Global, MetricArg};
use crate::failure::Failure;
use crate::output::{self, count, printable};

/// Central pictures shown on the terminal; JSON has all members.
const SHOWN: usize = 3;

/// A learned distance as it is kept: d(x, y) is the length of map·(x − y).
#[derive(Serialize, Deserialize)]
struct MetricFile {
    /// Always `mahalanobis`.
    kind: String,
    /// The space of the vectors it is for.
    space: String,
    /// Rows of the map.
    map: Vec<Vec<f64>>,
}

const KIND: &str = "mahalanobis";

pub(super) fn cluster(global: &Global, args: &ClusterArgs) -> Result<Done, Failure> {
    if args.save_metric.is_some() && args.metric == Some(MetricArg::None) {
        return Err(Failure::Usage(
            "--metric none learns no distance, so there is none for --save-metric to keep".into(),
        ));
    }
    let engine = open_to_read(global)?;
    let space = engine.towers().space().id().to_owned();
    let learn = match (args.metric, &args.pairs, &args.use_metric) {
        (Some(MetricArg::Diagonal), ..) => Some(Form::Diagonal),
        (Some(MetricArg::Full), ..) | (None, Some(_), None) => Some(Form::Full),
        (Some(MetricArg::None), ..) | (None, ..) => None,
    };
    let metric = args.use_metric.as_deref().map(|file| read(file, &space)).transpose()?;
    let options =
        ClusterOptions { k: args.k, seed: args.seed, pairs: args.pairs.clone(), learn, metric };
    let report = engine.cluster(&options)?;
    warn(&engine);
    if let (Some(file), Some(metric)) = (&args.save_metric, &report.metric) {
        write(file, &space, metric)?;
    }
    if let Some(agreement) = report.agreement.as_ref().filter(|a| a.missing > 0) {
        let missing = count(agreement.missing as u64, "labelled picture", "labelled pictures");
        output::note(&format!("not used: {missing} that the store does not have"));
    }
    if global.json {
        output::json(&as_json(&report, &options))?;
    } else {
        table(&report)?;
    }
    Ok(if report.groups.is_empty() { Done::NothingOrPartly } else { Done::Well })
}

fn read(file: &Path, space: &str) -> Result<Mahalanobis, Failure> {
    let wrong = |what: String| Failure::Usage(format!("{}: {what}", file.display()));
    let text = fs_err::read_to_string(file).map_err(|e| Failure::Usage(e.to_string()))?;
    let kept: MetricFile = serde_json::from_str(&text)
        .map_err(|e| wrong(format!("expected a distance kept by --save-metric: {e}")))?;
    if kept.kind != KIND {
        return Err(wrong(format!("expected the kind {KIND:?}, got {:?}", kept.kind)));
    }
    if kept.space != space {
        return Err(wrong(format!(
            "the distance is for vectors of {}, the model in use makes those of {space}; learn it \
             again with --pairs",
            kept.space
        )));
    }
    Ok(metric_from_rows(&kept.map)?)
}

fn write(file: &Path, space: &str, metric: &Mahalanobis) -> Result<(), Failure> {
    let kept = MetricFile { kind: KIND.into(), space: space.into(), map: metric_rows(metric) };
    let text = serde_json::to_string(&kept)
        .map_err(|e| Failure::Bug(format!("the distance is no JSON: {e}")))?;
    fs_err::write(file, text).map_err(|e| Failure::Environment(e.to_string()))
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Full => "full",
        Form::Diagonal => "diagonal",
    }
}

fn as_json(report: &ClusterReport, options: &ClusterOptions) -> Value {
    let groups: Vec<Value> = report
        .groups
        .iter()
        .map(|group| {
            let words: Vec<Value> =
                group.words.iter().map(|(text, s)| json!({"text": text, "score": s})).collect();
            let members: Vec<Value> = group
                .members
                .iter()
                .map(|m| {
                    let path = m.path.as_deref().map(Path::to_string_lossy);
                    json!({"id": m.id.to_string(), "path": path})
                })
                .collect();
            json!({"name": group.name, "size": members.len(), "words": words, "members": members})
        })
        .collect();
    json!({
        "k": report.groups.len(),
        "k_chosen": report.chosen,
        "pictures": report.pictures,
        "seed": options.seed,
        "groups": groups,
        "agreement": report.agreement.as_ref().map(agreement_json),
    })
}

fn agreement_json(report: &AgreementReport) -> Value {
    let of = |a: &Agreement| json!({"nmi": a.nmi, "ari": a.ari});
    let learned = report.learned.as_ref().map(|l| {
        json!({
            "form": form(l.form), "from": l.from, "share": l.share,
            "tried": l.tried.iter().map(|(s, k)| json!({"share": s, "kappa": k})).collect::<Value>(),
            "similar": l.pairs.0, "dissimilar": l.pairs.1,
            "objective_before": l.objective.0, "objective_after": l.objective.1,
            "others_before": of(&l.others.0), "others_after": of(&l.others.1),
            "all_before": of(&report.plain), "all_after": of(&l.all),
        })
    });
    json!({
        "labelled": report.labelled, "missing": report.missing, "classes": report.classes,
        "plain": of(&report.plain), "metric": learned,
    })
}

fn table(report: &ClusterReport) -> Result<(), Failure> {
    if report.groups.is_empty() {
        output::note("there are no pictures in the store; index a folder first");
        return Ok(());
    }
    let chosen =
        if report.chosen { " (as many as have the best silhouette; -k for others)" } else { "" };
    output::line(&format!(
        "{} in {}{chosen}",
        count(report.pictures as u64, "picture", "pictures"),
        count(report.groups.len() as u64, "group", "groups"),
    ))?;
    for group in &report.groups {
        let others: Vec<String> = group
            .words
            .iter()
            .filter(|(word, _)| *word != group.name)
            .map(|(word, _)| printable(word))
            .collect();
        let others =
            if others.is_empty() { String::new() } else { format!("  ({})", others.join(", ")) };
        output::line(&format!("{:>6}  {}{others}", group.members.len(), printable(&group.name)))?;
        for path in group.members.iter().take(SHOWN).filter_map(|m| m.path.as_deref()) {
            output::line(&format!("          {}", printable(&path.to_string_lossy())))?;
        }
    }
    report.agreement.as_ref().map_or(Ok(()), agreement_table)
}

fn agreement_table(report: &AgreementReport) -> Result<(), Failure> {
    output::line(&format!(
        "\n{} of {}, grouped into as many by k-means:",
        count(report.labelled as u64, "labelled picture", "labelled pictures"),
        count(report.classes as u64, "class", "classes"),
    ))?;
    output::line("                                     NMI     ARI")?;
    let row = |name: &str, a: &Agreement| {
        output::line(&format!("{name:<33} {:>6.3}  {:>6.3}", a.nmi, a.ari))
    };
    row("all, plain distance", &report.plain)?;
    if let Some(learned) = &report.learned {
        row("all, learned distance", &learned.all)?;
        row("not learned from, plain", &learned.others.0)?;
        row("not learned from, learned", &learned.others.1)?;
        output::line(&format!(
            "learned ({}) from {} pictures: {} like pairs, {} unlike; mean squared distance of like \
             pairs {:.3} → {:.3} where unlike ones have mean distance 1",
            form(learned.form),
            learned.from,
            learned.pairs.0,
            learned.pairs.1,
            learned.objective.0,
            learned.objective.1,
        ))?;
        output::line(&used(learned))?;
    }
    Ok(())
}

/// How much of a learned distance is in use, and why.
fn used(learned: &LearnedReport) -> String {
    let percent = 100.0 * learned.share;
    match learned.share {
        _ if learned.tried.is_empty() => "none of it is used: the labels are too few to hold one \
             out and see whether it helps; label more pictures of each class"
            .to_owned(),
        0.0 => "none of it is used: the plain distance groups held-out pictures as well".to_owned(),
        1.0 => "all of it is used: so held-out pictures are grouped best".to_owned(),
        _ => format!(
            "{percent:.0} % of it is used beside the plain distance: so held-out pictures are \
             grouped best"
        ),
    }
}
