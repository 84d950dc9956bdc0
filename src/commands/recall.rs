//! `ek recall`.

use ekphrasis_engine::{Engine, Kind, RECALL_QUERIES, RECALL_TARGET, Recall};
use ekphrasis_web::wire;

use super::{Done, config, open_to_read, open_to_write};
use crate::cli::{Global, RecallArgs};
use crate::failure::Failure;
use crate::output::{self, count};

pub(super) fn recall(global: &Global, args: &RecallArgs) -> Result<Done, Failure> {
    if let Some(store) = &args.store.store {
        return super::shared::recall(global, args, store);
    }
    let config = config(global)?;
    let engine = if args.measure_only || !Engine::exists(&config.data)? {
        open_to_read(global)?
    } else {
        open_to_write(global, &config, "ek recall", None)?
    };
    super::warn(&engine);
    if !args.measure_only {
        // A graph that is not there yet cannot be measured.
        engine.settle();
    }
    let target = args.target.unwrap_or(RECALL_TARGET);
    let recall = engine.measure_recall(target, args.queries.unwrap_or(RECALL_QUERIES))?;
    if !args.measure_only {
        engine.keep_recall(&recall)?;
    }
    if global.json {
        output::json(&wire::Recall::from(&recall))?;
    } else {
        table(&recall, args.measure_only)?;
    }
    Ok(if recall.met { Done::Well } else { Done::NothingOrPartly })
}

fn table(recall: &Recall, measure_only: bool) -> Result<(), Failure> {
    if recall.sides.is_empty() {
        return output::line("the store is empty, so there is nothing to measure");
    }
    let Some(ef) = recall.ef else {
        return output::line(&format!(
            "every query is compared with all {}: nothing is missed",
            count(recall.vectors, "vector", "vectors")
        ));
    };
    output::line("recall@10: how many of the true ten nearest are found")?;
    for side in &recall.sides {
        let name = format!("{} for {}", plural(side.from), side.to.map_or("anything", plural));
        let how = if side.scanned { "  (all are compared)" } else { "" };
        output::line(&format!(
            "  {name:<24} {:.4} ± {:.4}  {:>7.2} ms, all compared {:.2} ms  ({} queries){how}",
            side.recall,
            side.error,
            side.took.as_secs_f64() * 1e3,
            side.exact_took.as_secs_f64() * 1e3,
            side.queries,
        ))?;
    }
    let target = recall.target;
    output::line(&match (recall.met, measure_only) {
        _ if recall.is_exact() => {
            format!("{target} takes so many candidates that searches compare with all instead")
        }
        (true, true) => format!("a search that keeps {ef} candidates reaches {target}"),
        (true, false) => {
            format!("searches keep {ef} candidates from now on, the fewest that reach {target}")
        }
        (false, _) => format!(
            "not even {ef} candidates reach {target}; `ek search --exact` compares with all"
        ),
    })
}

pub(super) fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Image => "pictures",
        Kind::Text => "texts",
    }
}

/// What was measured, in a line.
pub(super) fn sentence(recall: &Recall) -> String {
    let Some(ef) = recall.ef.filter(|_| !recall.is_exact()) else {
        return "nothing is missed: all vectors are compared".into();
    };
    let sides = recall.sides.iter().map(|side| {
        format!(
            "{:.3} {} for {}",
            side.recall,
            plural(side.from),
            side.to.map_or("anything", plural)
        )
    });
    format!(
        "{} of the true ten nearest are found (ef {ef}, target {}, measured at {})",
        sides.collect::<Vec<_>>().join(", "),
        recall.target,
        count(recall.vectors, "vector", "vectors")
    )
}
