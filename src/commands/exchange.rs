//! `ek export` and `ek import`.

use std::path::Path;

use ekphrasis_engine::{Engine, ExchangeForm};
use serde_json::json;

use super::{Done, config, open_to_read, open_to_write};
use crate::cli::{ExportArgs, Global, ImportArgs};
use crate::failure::Failure;
use crate::output::{self, count};

/// Identifiers of missing items that are shown.
const SHOWN: usize = 10;

pub(super) fn export(global: &Global, args: &ExportArgs) -> Result<Done, Failure> {
    let form = form(&args.vectors)?;
    let engine = open_to_read(global)?;
    super::warn(&engine);
    let exported = engine.export(&args.vectors, form)?;
    let missing = exported.damaged.len();
    if missing > 0 && !global.quiet {
        output::note(&format!(
            "{} left out, because the vector is damaged: index the files again, then export again",
            count(missing as u64, "item is", "items are"),
        ));
        for id in exported.damaged.iter().take(SHOWN) {
            output::note(&format!("  {id}"));
        }
    }
    if global.json {
        let damaged: Vec<_> = exported.damaged.iter().map(ToString::to_string).collect();
        output::json(&json!({ "items": exported.items, "damaged": damaged }))?;
    } else if !global.quiet {
        output::line(&format!("{} exported", count(exported.items, "item", "items")))?;
    }
    Ok(if missing > 0 { Done::NothingOrPartly } else { Done::Well })
}

pub(super) fn import(global: &Global, args: &ImportArgs) -> Result<Done, Failure> {
    let form = form(&args.vectors)?;
    if !args.vectors.is_file() {
        return Err(Failure::Usage(format!("there is no file {}", args.vectors.display())));
    }
    let config = config(global)?;
    let engine: Engine = open_to_write(global, &config, "ek import", None)?;
    super::warn(&engine);
    let items = engine.import(&args.vectors, form)?;
    engine.settle();
    engine.tend_recall()?;
    if global.json {
        output::json(&json!({ "items": items }))?;
    } else if !global.quiet {
        output::line(&format!("{} imported", count(items, "item", "items")))?;
    }
    Ok(Done::Well)
}

/// What a file's name says it is.
fn form(path: &Path) -> Result<ExchangeForm, Failure> {
    match path.extension().and_then(|end| end.to_str()) {
        Some("npy") => Ok(ExchangeForm::Npy),
        #[cfg(feature = "parquet")]
        Some("parquet") => Ok(ExchangeForm::Parquet),
        #[cfg(not(feature = "parquet"))]
        Some("parquet") => Err(Failure::Environment(
            "this ek was built without Parquet; build one that has it with: cargo install --path . --features parquet".into(),
        )),
        _ => Err(Failure::Usage(format!(
            "{}: expected a name that ends in .npy or .parquet",
            path.display()
        ))),
    }
}
