//! `ek eval --per-class`: each class by itself, as a table and as JSON.

use ekphrasis_engine::eval::{ClassScore, Confusion, NamedClasses};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, count, printable};

/// Confused pairs that are shown; JSON has all.
const SHOWN: usize = 10;

pub(super) fn as_json(classes: &NamedClasses) -> Value {
    let name = |class: usize| &classes.names[class];
    let class = |s: &ClassScore| {
        json!({
            "class": name(s.class), "pictures": s.support, "taken_for_it": s.predicted,
            "precision": s.precision, "recall": s.recall, "f1": s.f1,
        })
    };
    let pair = |c: &Confusion| json!({"class": name(c.truth), "taken_for": name(c.taken_for), "pictures": c.count});
    json!({
        "macro_f1": classes.scores.macro_f1,
        "classes": classes.scores.classes.iter().map(class).collect::<Vec<_>>(),
        "confused": classes.scores.confused.iter().map(pair).collect::<Vec<_>>(),
    })
}

/// The worst classes first.
pub(super) fn table(classes: &NamedClasses) -> Result<(), Failure> {
    let name = |class: usize| printable(&classes.names[class]);
    output::line(&format!("per class, the worst first; mean F1 {:.3}:", classes.scores.macro_f1))?;
    output::line("  precision  recall     F1  pictures  class")?;
    let mut worst: Vec<&ClassScore> = classes.scores.classes.iter().collect();
    worst.sort_by(|a, b| a.f1.total_cmp(&b.f1).then(b.support.cmp(&a.support)));
    for s in worst {
        output::line(&format!(
            "      {:.3}   {:.3}  {:.3}  {:>8}  {}",
            s.precision,
            s.recall,
            s.f1,
            s.support,
            name(s.class)
        ))?;
    }
    let confused = &classes.scores.confused;
    if !confused.is_empty() {
        output::line("most often taken for another class:")?;
    }
    for c in confused.iter().take(SHOWN) {
        output::line(&format!(
            "  {} for {}: {}",
            name(c.truth),
            name(c.taken_for),
            count(c.count as u64, "picture", "pictures")
        ))?;
    }
    Ok(())
}
