//! `ek labels`: lists of labels that the store keeps.

use std::path::{Path, PathBuf};

use ekphrasis_engine::{Example, LabelRule, LabelWords, NewLabel, Source, Writing};
use ekphrasis_web::wire;
use serde_json::{Value, json};

use super::index::absolute;
use super::{Done, config, open_if_there, open_to_read, open_to_write};
use crate::cli::{Global, LabelsVerb};
use crate::failure::Failure;
use crate::forward::{Forward, segment, texts};
use crate::output::{self, count, printable};

pub(super) fn labels(global: &Global, verb: &LabelsVerb) -> Result<Done, Failure> {
    match verb {
        LabelsVerb::Create { name, labels, labels_file, replace } => {
            let labels = match labels_file {
                Some(file) => lines(file)?,
                None => labels.clone(),
            };
            let new = labels.iter().map(|label| Given::of_words(label)).collect::<Vec<_>>();
            let writing = if *replace { Writing::Replace } else { Writing::Create };
            write(global, name, &new, writing)
        }
        LabelsVerb::Add { name, label, files, words, no_words } => {
            let words = match (words, no_words) {
                (Some(words), _) => LabelWords::Text(words.clone()),
                (None, true) => LabelWords::Nothing,
                (None, false) => LabelWords::AsKnown,
            };
            let files = absolute(files)?;
            write(global, name, &[Given { label: label.clone(), words, files }], Writing::Add)
        }
        LabelsVerb::Apply { name, min_probability, multi } => {
            apply(global, name, LabelRule { minimum: *min_probability, multi: *multi })
        }
        LabelsVerb::List => list(global),
        LabelsVerb::Show { name } => show(global, name),
        LabelsVerb::Delete { name, labels } => delete(global, name, labels),
    }
}

/// The lines of a file that say something.
pub(super) fn lines(file: &Path) -> Result<Vec<String>, Failure> {
    let text = fs_err::read_to_string(file).map_err(|e| Failure::Usage(e.to_string()))?;
    // Some editors begin UTF-8 with a mark, which is no part of the first label.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect())
}

/// A label as it was typed.
struct Given {
    label: String,
    words: LabelWords,
    files: Vec<PathBuf>,
}

impl Given {
    fn of_words(label: &str) -> Self {
        Self { label: label.into(), words: LabelWords::AsKnown, files: vec![] }
    }

    fn here(&self) -> NewLabel {
        let example = |file: &PathBuf| Example::Picture(Source::Path(file.clone()));
        NewLabel {
            label: self.label.clone(),
            words: self.words.clone(),
            examples: self.files.iter().map(example).collect(),
        }
    }

    /// As a server takes it.
    fn there(&self) -> Result<Value, Failure> {
        let mut entry = json!({ "label": self.label, "paths": texts(&self.files)? });
        match &self.words {
            LabelWords::AsKnown => {}
            LabelWords::Text(words) => entry["words"] = json!(words),
            LabelWords::Nothing => entry["wordless"] = json!(true),
        }
        Ok(entry)
    }
}

fn write(global: &Global, name: &str, new: &[Given], writing: Writing) -> Result<Done, Failure> {
    let config = config(global)?;
    let reply = match Forward::to_holder(&config) {
        Some(server) => {
            let entries = new.iter().map(Given::there).collect::<Result<Vec<_>, _>>()?;
            let order = json!({
                "entries": entries,
                "add": writing == Writing::Add,
                "create": writing == Writing::Create,
            });
            let path = format!("/v1/label-sets/{}", segment(name.trim()));
            server.order(global, "PUT", &path, Some(&order))?.unwrap_or_default()
        }
        None => {
            let engine = open_to_write(global, &config, "ek labels", None)?;
            let new: Vec<NewLabel> = new.iter().map(Given::here).collect();
            let changed = engine.write_label_set(name, &new, writing)?;
            serde_json::to_value(wire::ChangedLabelSet::from(&changed))
                .map_err(|e| Failure::Bug(format!("the answer is no JSON: {e}")))?
        }
    };
    let not_taken = reply["not_taken"].as_array().map_or(&[][..], Vec::as_slice);
    for one in not_taken {
        output::note(&format!("ek: {}", printable(one["reason"].as_str().unwrap_or_default())));
    }
    if global.json {
        output::json(&reply)?;
    } else if !global.quiet {
        let labels = reply["labels"].as_array().map_or(0, Vec::len) as u64;
        output::line(&format!(
            "{} has {}",
            printable(reply["name"].as_str().unwrap_or_default()),
            count(labels, "label", "labels")
        ))?;
    }
    Ok(if not_taken.is_empty() { Done::Well } else { Done::NothingOrPartly })
}

fn apply(global: &Global, name: &str, rule: LabelRule) -> Result<Done, Failure> {
    let config = config(global)?;
    let reply = match Forward::to_holder(&config) {
        Some(server) => {
            let order = json!({ "min_probability": rule.minimum, "multi": rule.multi });
            let path = format!("/v1/label-sets/{}/apply", segment(name.trim()));
            server.order(global, "POST", &path, Some(&order))?.unwrap_or_default()
        }
        None => {
            let engine = open_to_write(global, &config, "ek labels apply", None)?;
            let applied = engine.apply_label_set(name, rule)?;
            serde_json::to_value(wire::AppliedLabels::from(&applied))
                .map_err(|e| Failure::Bug(format!("the answer is no JSON: {e}")))?
        }
    };
    let number = |name: &str| reply[name].as_u64().unwrap_or_default();
    for warning in reply["warnings"].as_array().map_or(&[][..], Vec::as_slice) {
        output::note(&format!("ek: {}", printable(warning.as_str().unwrap_or_default())));
    }
    if global.json {
        output::json(&reply)?;
    } else if !global.quiet {
        output::line(&format!(
            "{} of {} have a label of {}",
            number("labelled"),
            count(number("pictures"), "picture", "pictures"),
            printable(name.trim())
        ))?;
        let labels = reply["labels"].as_array().map_or(&[][..], Vec::as_slice);
        let mut labels: Vec<(&str, u64)> = labels
            .iter()
            .map(|l| (l["label"].as_str().unwrap_or_default(), l["pictures"].as_u64().unwrap_or(0)))
            .filter(|(_, pictures)| *pictures > 0)
            .collect();
        labels.sort_by_key(|(_, pictures)| std::cmp::Reverse(*pictures));
        for (label, pictures) in labels {
            output::line(&format!("{pictures:>8}  {}", printable(label)))?;
        }
    }
    Ok(if number("labelled") == 0 { Done::NothingOrPartly } else { Done::Well })
}

fn list(global: &Global) -> Result<Done, Failure> {
    // Without a store there are none, which is an answer.
    let all = match open_if_there(global)? {
        Some(engine) => engine.label_sets()?,
        None => vec![],
    };
    if global.json {
        output::json(&wire::LabelSetList::new(&all))?;
    } else {
        for set in &all {
            let note =
                if set.comparable { "" } else { "  (cannot be used any more: make it again)" };
            output::line(&format!(
                "{}  {}{note}",
                printable(&set.name),
                count(set.labels.len() as u64, "label", "labels")
            ))?;
        }
    }
    if all.is_empty() && !global.quiet && !global.json {
        output::note("there are no label sets; `ek labels create NAME LABEL…` makes one");
    }
    Ok(if all.is_empty() { Done::NothingOrPartly } else { Done::Well })
}

fn absent(name: &str) -> Done {
    output::note(&format!("there is no label set {name:?}"));
    Done::NothingOrPartly
}

fn show(global: &Global, name: &str) -> Result<Done, Failure> {
    let Some(set) = open_to_read(global)?.label_set(name)? else { return Ok(absent(name)) };
    if global.json {
        output::json(&wire::LabelSet::from(&set))?;
    } else {
        for label in &set.labels {
            let mut by = Vec::new();
            match &label.words {
                Some(words) if *words != label.label => by.push(format!("{words:?}")),
                Some(_) => by.push("itself".into()),
                None => {}
            }
            if !label.examples.is_empty() {
                by.push(count(label.examples.len() as u64, "picture", "pictures"));
            }
            output::line(&format!(
                "{}  (known by {})",
                printable(&label.label),
                printable(&by.join(" and "))
            ))?;
        }
    }
    Ok(Done::Well)
}

fn delete(global: &Global, name: &str, labels: &[String]) -> Result<Done, Failure> {
    let config = config(global)?;
    let set = segment(name.trim());
    let server = Forward::to_holder(&config);
    let engine = match server {
        Some(_) => None,
        None => Some(open_to_write(global, &config, "ek labels delete", None)?),
    };
    let whole = || match (&server, &engine) {
        (Some(server), _) => {
            let there =
                server.order(global, "DELETE", &format!("/v1/label-sets/{set}"), None)?.is_some();
            Ok(there)
        }
        (None, Some(engine)) => Ok::<_, Failure>(engine.forget_label_set(name)?),
        (None, None) => Ok(false),
    };
    let one = |label: &str| match (&server, &engine) {
        (Some(server), _) => {
            let path = format!("/v1/label-sets/{set}/labels/{}", segment(label.trim()));
            Ok(server.order(global, "DELETE", &path, None)?.is_some())
        }
        (None, Some(engine)) => Ok::<_, Failure>(engine.forget_label(name, label)?),
        (None, None) => Ok(false),
    };
    let mut forgotten = Vec::new();
    if labels.is_empty() {
        if !whole()? {
            return Ok(absent(name));
        }
        forgotten.push(name.trim());
    }
    for label in labels {
        if one(label)? {
            forgotten.push(label.trim());
        } else {
            output::note(&format!("there is no label {label:?} in a label set {name:?}"));
        }
    }
    if global.json {
        output::json(&json!({ "forgotten": forgotten }))?;
    } else if !global.quiet {
        for gone in &forgotten {
            output::line(&format!("{} is forgotten; no file was touched", printable(gone)))?;
        }
    }
    let all = labels.is_empty() || forgotten.len() == labels.len();
    Ok(if all { Done::Well } else { Done::NothingOrPartly })
}
