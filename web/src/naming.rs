//! Given the fields of a request about names (identities, label sets), what is to be
//! known by what, and what is asked?

use std::path::PathBuf;

use ekphrasis_engine::{
    Accepting, Example, IdentifyOptions, ItemId, LEAST_LABEL_PROBABILITY, LabelRule, LabelWords,
    NewLabel, Source, Writing, check_label,
};

use crate::fields::Fields;
use crate::orders::From;
use crate::problem::Problem;
use crate::request::{self, NAME_LIMIT, Picture, TEXT_LIMIT, limited, words};

/// Pictures of one request, whatever they are examples of.
const PICTURE_LIMIT: usize = 1_000;

/// What a name is to be known by.
#[derive(Debug)]
pub(crate) struct Enrol {
    pub(crate) examples: Vec<Example>,
    /// Beside what is known of it, and not instead of that.
    pub(crate) add: bool,
}

/// Examples from the body of a PUT: `image`, `images`, `id`, `ids`, `paths`, `add`.
pub(crate) fn enrol(mut fields: Fields, from: From) -> Result<Enrol, Problem> {
    let examples = examples(&mut fields, from)?;
    let add = fields.flag("add")?;
    fields.finish()?;
    if examples.is_empty() {
        return Err(Problem::field("image", "no picture to be known by: give image, images or id"));
    }
    Ok(Enrol { examples, add })
}

/// Pictures that are sent, of the store, or, for who can read the store's folder, at paths.
pub(crate) fn examples(fields: &mut Fields, from: From) -> Result<Vec<Example>, Problem> {
    let sent = fields.pictures("image")?.into_iter().chain(fields.pictures("images")?);
    let mut examples: Vec<Example> = sent.map(Example::Picture).collect();
    let mut ids: Vec<ItemId> = fields.id("id")?.into_iter().collect();
    for (i, id) in limited(fields, "ids", PICTURE_LIMIT)?.iter().enumerate() {
        ids.push(id.parse().map_err(|_| {
            let field = format!("ids[{i}]");
            let detail = format!("{field} must be an id of 32 hexadecimal digits, got {id:?}");
            Problem::field(field, detail)
        })?);
    }
    examples.extend(ids.into_iter().map(Example::Item));
    for path in limited(fields, "paths", PICTURE_LIMIT)?.into_iter().map(PathBuf::from) {
        if from != From::Owner {
            return Err(Problem::not_allowed(
                "naming files of the server's machine is for who can read the store's folder; send \
                 the picture, or name an item",
            ));
        }
        if !path.is_absolute() {
            return Err(Problem::field("paths", "a path has to be absolute"));
        }
        examples.push(Example::Picture(Source::Path(path)));
    }
    if examples.len() > PICTURE_LIMIT {
        let detail = format!("{PICTURE_LIMIT} pictures at most, got {}", examples.len());
        return Err(Problem::field("images", detail));
    }
    Ok(examples)
}

/// A picture to be judged.
fn judged(fields: &mut Fields) -> Result<Example, Problem> {
    Ok(match request::picture(fields)? {
        Picture::Sent(source) => Example::Picture(source),
        Picture::Stored(id) => Example::Item(id),
    })
}

/// From when on two pictures show the same.
fn accepting(fields: &mut Fields) -> Result<Accepting, Problem> {
    match (fields.number64("threshold")?, fields.number64("false_accept_rate")?) {
        (None, None) => Ok(Accepting::Usual),
        (Some(threshold), None) if (-1.0..=1.0).contains(&threshold) => {
            Ok(Accepting::Threshold(threshold))
        }
        (Some(threshold), None) => {
            let detail = format!("threshold is a cosine from -1 to 1, got {threshold}");
            Err(Problem::field("threshold", detail))
        }
        (None, Some(rate)) if rate > 0.0 && rate < 1.0 => Ok(Accepting::Rate(rate)),
        (None, Some(rate)) => {
            let detail = format!("false_accept_rate is over 0 and under 1, got {rate}");
            Err(Problem::field("false_accept_rate", detail))
        }
        (Some(_), Some(_)) => {
            Err(Problem::field("threshold", "give threshold or false_accept_rate, not both"))
        }
    }
}

/// Is it this one?
#[derive(Debug)]
pub(crate) struct Verify {
    pub(crate) picture: Example,
    pub(crate) name: String,
    pub(crate) accepting: Accepting,
}

/// A picture, and the name that it is held against.
pub(crate) fn verify(mut fields: Fields) -> Result<Verify, Problem> {
    let picture = judged(&mut fields)?;
    let name = words(&mut fields, "name", NAME_LIMIT)?;
    let accepting = accepting(&mut fields)?;
    fields.finish()?;
    let name = name.ok_or_else(|| {
        Problem::field("name", "name is missing: say whom the picture is to show")
    })?;
    Ok(Verify { picture, name, accepting })
}

/// A picture, and how it is to be named.
pub(crate) fn identify(mut fields: Fields) -> Result<(Example, IdentifyOptions), Problem> {
    let picture = judged(&mut fields)?;
    let given = accepting(&mut fields)?;
    let closed = fields.flag("closed")?;
    let k = fields.whole("k", 1..=1_000)?.unwrap_or(IdentifyOptions::default().k);
    fields.finish()?;
    if closed && given != Accepting::Usual {
        let detail = "closed says that it is one of them for sure; then there is no threshold";
        return Err(Problem::field("closed", detail));
    }
    Ok((picture, IdentifyOptions { accepting: (!closed).then_some(given), k }))
}

/// Labels of one request.
const LABEL_LIMIT: usize = 2_000;

/// Labels from the body of a PUT: `labels`, `entries`, `add`, `create`.
pub(crate) fn label_set(
    mut fields: Fields,
    from: From,
) -> Result<(Vec<NewLabel>, Writing), Problem> {
    let mut new: Vec<NewLabel> = Vec::new();
    for (i, label) in limited(&mut fields, "labels", LABEL_LIMIT)?.iter().enumerate() {
        check_label(label).map_err(|e| Problem::about(format!("labels[{i}]"), e))?;
        new.push(NewLabel::of_words(label));
    }
    let entries = fields.objects("entries")?;
    let labels = new.len() + entries.len();
    if labels > LABEL_LIMIT {
        let detail = format!("{LABEL_LIMIT} labels at most, got {labels}");
        let field = if new.is_empty() { "entries" } else { "labels" };
        return Err(Problem::field(field, detail));
    }
    let mut pictures = 0;
    for mut entry in entries {
        let label = entry.text("label", TEXT_LIMIT)?;
        let words = match (entry.text("words", TEXT_LIMIT)?, entry.flag("wordless")?) {
            (None, false) => LabelWords::AsKnown,
            (None, true) => LabelWords::Nothing,
            (Some(words), false) if !words.trim().is_empty() => LabelWords::Text(words),
            (Some(_), wordless) => {
                let field = format!("{}.words", entry.whole_name());
                let what = if wordless { "are given and denied at once" } else { "are empty" };
                return Err(Problem::field(&field, format!("{field} {what}")));
            }
        };
        let examples = examples(&mut entry, from)?;
        pictures += examples.len();
        if pictures > PICTURE_LIMIT {
            let detail = format!(
                "{PICTURE_LIMIT} pictures at most in one request, of all entries together; give \
                 the others in another one, with add"
            );
            return Err(Problem::field("entries", detail));
        }
        let field = format!("{}.label", entry.whole_name());
        entry.finish()?;
        let label = label.ok_or_else(|| Problem::field(&field, format!("{field} is missing")))?;
        check_label(&label).map_err(|e| Problem::about(field, e))?;
        new.push(NewLabel { label, words, examples });
    }
    let writing = match (fields.flag("add")?, fields.flag("create")?) {
        (false, false) => Writing::Replace,
        (true, false) => Writing::Add,
        (false, true) => Writing::Create,
        (true, true) => return Err(Problem::field("add", "give add or create, not both")),
    };
    fields.finish()?;
    if new.is_empty() {
        return Err(Problem::field("labels", "no labels: give labels or entries"));
    }
    Ok((new, writing))
}

/// When labels count, from the body of a POST: `min_probability`, `multi`.
pub(crate) fn label_rule(mut fields: Fields) -> Result<LabelRule, Problem> {
    let minimum = fields.number64("min_probability")?.unwrap_or(LEAST_LABEL_PROBABILITY);
    let multi = fields.flag("multi")?;
    fields.finish()?;
    if !(0.0..=1.0).contains(&minimum) {
        let detail = format!("min_probability is from 0 to 1, got {minimum}");
        return Err(Problem::field("min_probability", detail));
    }
    Ok(LabelRule { minimum, multi })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::body::Raw;

    fn asked(body: &Value) -> Result<(Vec<NewLabel>, Writing), Problem> {
        let fields = Fields::from_body(Raw::Json(body.to_string().into())).expect("an object");
        label_set(fields, From::Client)
    }

    #[test]
    fn pictures_and_labels_are_counted_over_all_entries() {
        let entry = |label: &str, pictures: usize| {
            let ids: Vec<String> = (1..=pictures).map(|n| format!("{n:032x}")).collect();
            json!({"label": label, "ids": ids})
        };
        let (new, _) = asked(&json!({"entries": [entry("a", 400), entry("b", 600)]}))
            .expect("as many as there may be");
        assert_eq!(new.iter().map(|one| one.examples.len()).sum::<usize>(), PICTURE_LIMIT);
        let error = asked(&json!({"entries": [entry("a", 400), entry("b", 601)]}));
        let told = format!("{:?}", error.expect_err("one more"));
        assert!(told.contains("1000 pictures") && told.contains("\"entries\""), "{told}");
        let labels: Vec<String> = (0..LABEL_LIMIT).map(|n| n.to_string()).collect();
        let error = asked(&json!({"labels": labels, "entries": [entry("a", 0)]}));
        let told = format!("{:?}", error.expect_err("one more"));
        assert!(told.contains("got 2001"), "{told}");
    }
}
