//! `ek search`.

use std::path::{Path, PathBuf};

use ekphrasis_engine::{
    Expr, FilterError, Item, Kind, Mode, Part, PartQuery, SearchHit, SearchRequest, Source,
    WordMatch,
};
use ekphrasis_web::wire;

use super::{Done, open_to_read};
use crate::cli::{ForArg, Global, ModeArg, SearchArgs};
use crate::failure::Failure;
use crate::output::{self, printable};

pub(super) fn search(global: &Global, args: &SearchArgs) -> Result<Done, Failure> {
    let filter = filter(args)?;
    let request = SearchRequest {
        parts: parts(args)?,
        k: args.n,
        offset: args.offset,
        mode: match args.mode {
            ModeArg::Hybrid => Mode::Hybrid,
            ModeArg::Vector => Mode::Vector,
            ModeArg::Text => Mode::Text,
        },
        kind: match args.kind {
            Some(ForArg::Images) => Some(Kind::Image),
            Some(ForArg::Texts) => Some(Kind::Text),
            Some(ForArg::All) => None,
            // Who asks for a kind in the filter is not held to another.
            None if filter.as_ref().is_some_and(Expr::asks_for_kind) => None,
            None => Some(Kind::Image),
        },
        filter,
        exact: args.exact,
        explain: args.explain,
    };
    let engine = open_to_read(global)?;
    let reply = engine.search(&request)?;
    super::warn(&engine);
    if global.json {
        output::json(&wire::SearchReply::new(&reply, &request))?;
    } else {
        for hit in &reply.hits {
            show(hit, args.explain)?;
        }
        if reply.hits.is_empty() && !global.quiet {
            output::note(match reply.total_candidates {
                0 if request.filter.is_some() => "the filter lets nothing through",
                0 => "the store has nothing of this kind yet; `ek index DIR` fills it",
                _ => "nothing found",
            });
        }
    }
    Ok(if reply.hits.is_empty() { Done::NothingOrPartly } else { Done::Well })
}

fn show(hit: &SearchHit, explain: bool) -> Result<(), Failure> {
    // A fused score orders but says nothing to a person; how near it is does.
    let near = hit.cosine.unwrap_or(hit.score);
    let words = if hit.via_text { "  (words match)" } else { "" };
    output::line(&format!("{:>3}  {near:.3}  {}{words}", hit.rank, name(&hit.item)))?;
    for part in hit.parts.iter().filter(|_| explain) {
        output::line(&format!(
            "            {:.3} × {:.2}  {}",
            part.score, part.weight, part.part
        ))?;
    }
    for found in &hit.words {
        let how = match found.how {
            WordMatch::Same => String::new(),
            WordMatch::Beginning => format!(", as the beginning of {:?}", found.found),
            WordMatch::Similar => format!(", as {:?}", found.found),
        };
        let (word, field) = (&found.word, found.field.as_str());
        output::line(&format!("            {word:?} in the {field}{how}"))?;
    }
    Ok(())
}

/// The filter; blank is none, as of a script without one.
fn filter(args: &SearchArgs) -> Result<Option<Expr>, Failure> {
    let text = args.filter.as_deref().filter(|text| !text.trim().is_empty());
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|e: FilterError| Failure::Usage(format!("--filter: {e}")))
}

/// What a person knows an item by.
fn name(item: &Item) -> String {
    match (&item.path, &item.text) {
        (Some(path), _) => printable(&path.to_string_lossy()),
        (None, Some(text)) => format!("“{}”", printable(text)),
        (None, None) => item.id.to_string(),
    }
}

fn parts(args: &SearchArgs) -> Result<Vec<Part>, Failure> {
    let mut wanted = Vec::new();
    if !args.words.is_empty() {
        wanted.push(PartQuery::Text(args.words.join(" ")));
    }
    for image in &args.image {
        wanted.push(picture(image)?);
    }
    let wanted_count = wanted.len();
    wanted.extend(args.not.iter().map(|not| {
        let path = Path::new(not);
        // A file of that name is meant as a picture; anything else as words.
        if path.is_file() {
            PartQuery::Image(Source::Path(path.into()))
        } else {
            PartQuery::Text(not.clone())
        }
    }));
    if args.weight.len() > wanted.len() {
        return Err(Failure::Usage(format!(
            "--weight has {} numbers for {} parts (the words, then each --image, then each --not)",
            args.weight.len(),
            wanted.len()
        )));
    }
    // Something to avoid counts half, so that it steers and does not take over.
    let weight = |i: usize| {
        let given = args.weight.get(i).copied();
        if i < wanted_count { given.unwrap_or(1.0) } else { -given.unwrap_or(0.5) }
    };
    Ok(wanted.into_iter().enumerate().map(|(i, what)| Part { what, weight: weight(i) }).collect())
}

fn picture(image: &str) -> Result<PartQuery, Failure> {
    let path = PathBuf::from(image);
    if path.exists() {
        return Ok(PartQuery::Image(Source::Path(path)));
    }
    if image.contains("://") {
        return Err(Failure::Usage(format!(
            "--image {image}: pictures are not fetched from the network; save it and name the file"
        )));
    }
    image.parse().map(PartQuery::Id).map_err(|_| {
        Failure::Usage(format!("--image {image}: there is no such file, and it is no item's id"))
    })
}
