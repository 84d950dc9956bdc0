//! Given a request for a job, or for a new item, what is to be done, and may it be?

use std::path::PathBuf;

use actix_web::{HttpMessage as _, HttpRequest};
use ekphrasis_engine::{Engine, IndexOptions, NewWords, Source, check_exclude};

use crate::allowed::Allowed;
use crate::fields::Fields;
use crate::guard::Owner;
use crate::jobs::Order;
use crate::problem::Problem;
use crate::request::{TEXT_LIMIT, limited, words};

/// Paths that one job is about.
const PATH_LIMIT: usize = 100;
/// Globs that one job leaves out.
const GLOB_LIMIT: usize = 1_000;
/// Captions or tags of one new item.
const WORDS_LIMIT: usize = 100;
/// The least memory that a run can do with, in bytes; as on the command line.
const LEAST_MEMORY: usize = 128_000_000;

/// Who asks for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// Somebody who can read the store's folder, and so may name any path.
    Owner,
    /// Anybody else who was let in.
    Client,
}

impl From {
    /// Who sent a request that the guard let through.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        match request.extensions().contains::<Owner>() {
            true => Self::Owner,
            false => Self::Client,
        }
    }
}

/// A job from the body of a POST.
pub(crate) fn job(
    mut fields: Fields,
    from: From,
    engine: &Engine,
    allowed: &Allowed,
) -> Result<Order, Problem> {
    let actions = [("index", Action::Index), ("retry", Action::Retry), ("remove", Action::Remove)];
    let action = fields.choice("action", &actions)?.unwrap_or(Action::Index);
    let mut paths: Vec<PathBuf> = Vec::new();
    paths.extend(fields.text("path", TEXT_LIMIT)?.map(PathBuf::from));
    let only = if paths.is_empty() { "paths" } else { "path" };
    paths.extend(limited(&mut fields, "paths", PATH_LIMIT)?.into_iter().map(PathBuf::from));
    let exclude = limited(&mut fields, "exclude", GLOB_LIMIT)?;
    check_exclude(&exclude)?;
    let follow_links = fields.flag("follow_links")?;
    let check_content = fields.flag("check_content")?;
    let captions = fields.text("captions", TEXT_LIMIT)?.map(PathBuf::from);
    let memory = fields.whole("memory", LEAST_MEMORY..=usize::MAX)?.map(|bytes| bytes as u64);
    fields.finish()?;
    if paths.is_empty() && action != Action::Retry {
        let detail = "paths is missing: name at least one folder or file, as an absolute path";
        return Err(Problem::field("paths", detail));
    }
    let owner = from == From::Owner;
    let find = |path: &PathBuf| match (owner, action) {
        (true, _) if path.is_absolute() => Ok(path.clone()),
        (true, _) => Err(Problem::field(only, "a path has to be absolute")),
        (false, Action::Index) => allowed.real(engine, path, only),
        (false, Action::Retry | Action::Remove) => allowed.place(engine, path, only),
    };
    let paths = paths.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    if follow_links && !owner {
        return Err(Problem::not_allowed(
            "following links may lead out of the folders that may be looked at; only `ek index --follow-links` does it",
        ));
    }
    if memory.is_some() && !owner {
        return Err(Problem::not_allowed(
            "how much memory a run may take is for the server's owner to say, by `ek index --memory`",
        ));
    }
    let captions = match captions {
        Some(file) if !owner => Some(allowed.real(engine, &file, "captions")?),
        captions => captions,
    };
    Ok(match action {
        Action::Retry => Order::Retry { paths, memory },
        Action::Remove => Order::Remove { paths },
        Action::Index => {
            let given =
                IndexOptions { captions, exclude, follow_links, check_content, workers: 0, memory };
            let (paths, options) =
                if owner { (paths, given) } else { as_the_owner_did(engine, &paths, given)? };
            Order::Index { paths, options, only_there: !owner }
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Index,
    Retry,
    Remove,
}

/// The folders that the owner indexed around these paths, with the owner's options: what was
/// left out there stays left out, whatever path within is named. A folder that is new takes
/// the defaults; in indexed ones below it the engine leaves out what was left out there.
///
/// # Errors
/// 400 if the folders were indexed with different options.
fn as_the_owner_did(
    engine: &Engine,
    paths: &[PathBuf],
    given: IndexOptions,
) -> Result<(Vec<PathBuf>, IndexOptions), Problem> {
    let roots = engine.roots()?;
    let mut whole: Vec<PathBuf> = Vec::new();
    for path in paths {
        let around = roots.iter().filter(|root| path.starts_with(root));
        let innermost = around.max_by_key(|root| root.components().count());
        whole.push(innermost.unwrap_or(path).clone());
    }
    whole.sort();
    whole.dedup();
    let mut before: Option<(&PathBuf, IndexOptions)> = None;
    for path in &whole {
        let own = engine.options_of(path)?;
        match &before {
            Some((first, others))
                if (others.follow_links, &others.exclude) != (own.follow_links, &own.exclude) =>
            {
                let detail = format!(
                    "{} and {} were indexed with different options; ask for each in a job of its own",
                    first.display(),
                    path.display()
                );
                return Err(Problem::field("paths", detail));
            }
            Some(_) => {}
            None => before = Some((path, own)),
        }
    }
    let mut options = given;
    if let Some((_, own)) = before {
        options.follow_links = own.follow_links;
        options.exclude.extend(own.exclude);
    }
    options.exclude.sort();
    options.exclude.dedup();
    Ok((whole, options))
}

/// Something new for the store.
#[derive(Debug)]
pub(crate) enum Addition {
    /// A text of its own.
    Text { text: String, tags: Vec<String> },
    /// A picture that was sent.
    Picture { bytes: Vec<u8>, name: Option<String>, words: NewWords },
}

/// A new item from the body of a POST.
pub(crate) fn addition(mut fields: Fields) -> Result<Addition, Problem> {
    let text = fields.text("text", TEXT_LIMIT)?;
    let picture = fields.picture("image")?;
    let name = fields.text("name", 1_000)?;
    let mut captions: Vec<String> =
        words(&mut fields, "caption", TEXT_LIMIT)?.into_iter().collect();
    let told = if captions.is_empty() { "captions" } else { "caption" };
    captions.extend(limited(&mut fields, "captions", WORDS_LIMIT)?);
    let tags = limited(&mut fields, "tags", WORDS_LIMIT)?;
    fields.finish()?;
    let blank = |list: &[String]| list.iter().any(|text| text.trim().is_empty());
    if blank(&captions) {
        return Err(Problem::field("captions", "a caption is empty"));
    }
    if blank(&tags) {
        return Err(Problem::field("tags", "a tag is empty"));
    }
    match (text, picture) {
        (Some(text), None) => {
            for (given, field) in [(name.is_some(), "name"), (!captions.is_empty(), told)] {
                if given {
                    let detail = format!("{field} belongs to a picture; a text has none");
                    return Err(Problem::field(field, detail));
                }
            }
            if text.trim().is_empty() {
                return Err(Problem::field("text", "text is empty"));
            }
            Ok(Addition::Text { text, tags })
        }
        (None, Some(Source::Sent { bytes, .. })) => {
            Ok(Addition::Picture { bytes, name, words: NewWords { captions, tags } })
        }
        (Some(_), Some(_)) => Err(Problem::field("text", "give text or image, not both")),
        (None, _) => Err(Problem::field("image", "nothing to add: give image or text")),
    }
}
