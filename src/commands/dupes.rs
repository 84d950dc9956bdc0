//! `ek dupes`.

use ekphrasis_engine::{DuplicateGroup, Filter};
use ekphrasis_web::wire;

use super::search::filter;
use super::{Done, open_to_read};
use crate::cli::{DupesArgs, Global};
use crate::failure::Failure;
use crate::output::{self, count, printable};

pub(super) fn dupes(global: &Global, args: &DupesArgs) -> Result<Done, Failure> {
    let filter = Filter { kind: None, expr: filter(args.filter.as_deref())? };
    let engine = open_to_read(global)?;
    super::warn(&engine);
    let report = engine.duplicates(args.exact, &filter)?;
    if global.json {
        output::json(&wire::DuplicateReport::new(&report, 0, usize::MAX))?;
    } else {
        for group in &report.groups {
            show(group)?;
        }
        if !global.quiet {
            output::note(&format!(
                "{} of {} can be spared, {:.1} MB; nothing was deleted",
                count(report.copies, "copy", "copies"),
                count(report.pictures, "picture", "pictures"),
                report.bytes as f64 / 1e6
            ));
        }
    }
    Ok(if report.groups.is_empty() { Done::NothingOrPartly } else { Done::Well })
}

fn show(group: &DuplicateGroup) -> Result<(), Failure> {
    for (i, copy) in group.copies.iter().enumerate() {
        let path = copy.item.path.as_deref().unwrap_or(std::path::Path::new(""));
        let file = copy.item.file.as_ref();
        let facts = file.map_or_else(String::new, |file| {
            format!("{} × {}, {:.1} MB", file.width, file.height, file.size as f64 / 1e6)
        });
        let (mark, what) = match i {
            0 => ("best", group.why.to_owned()),
            _ if copy.similarity >= 1.0 => ("", "identical".into()),
            _ => ("", format!("{:.3} alike", copy.similarity)),
        };
        output::line(&format!(
            "{mark:<5} {}  {facts}, {what}",
            printable(&path.to_string_lossy())
        ))?;
    }
    output::line("")
}
