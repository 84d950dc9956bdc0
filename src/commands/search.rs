//! `ek search`.

use std::path::{Path, PathBuf};

use ekphrasis_engine::{
    Example, Expr, Feedback, FilterError, ItemId, Kind, Mode, Part, PartQuery, SearchReply,
    SearchRequest, Source,
};
use ekphrasis_web::wire;
use serde_json::Value;

use super::{Done, config, open_to_ask_once, shared};
use crate::cli::{ForArg, Global, ModeArg, SearchArgs};
use crate::client;
use crate::failure::Failure;
use crate::output::{self, printable};

/// How much it counts that hits differ, where nobody says how much; as the page has it.
const DIVERSE: f32 = 0.3;

pub(super) fn search(global: &Global, args: &SearchArgs) -> Result<Done, Failure> {
    let filter = filter(args.filter.as_deref())?;
    let request = SearchRequest {
        parts: parts(args)?,
        feedback: Feedback {
            liked: examples("--like", &args.like)?,
            disliked: examples("--dislike", &args.dislike)?,
        },
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
        collapse: args.collapse,
        diversity: args.diversity.unwrap_or(if args.diverse { DIVERSE } else { 0.0 }),
        min_confidence: args.min_confidence,
        why: args.why.as_deref().map(asked_about),
        bridge: args.bridge.clone(),
    };
    let reply = answer(global, &request, args.store.store.as_deref())?;
    for warning in reply["warnings"].as_array().into_iter().flatten() {
        output::note(&format!("warning: {}", warning.as_str().unwrap_or_default()));
    }
    let empty = reply["hits"].as_array().is_none_or(Vec::is_empty);
    if global.json {
        output::json(&reply)?;
    } else {
        for hit in reply["hits"].as_array().into_iter().flatten() {
            show(hit, args.explain)?;
        }
        if let Some(words) = reply["why"]["words"].as_str() {
            told_why(args.why.as_deref().unwrap_or_default(), words, &reply["why"])?;
        }
        if !global.quiet {
            sum_up(&reply);
        }
        if empty && !global.quiet {
            output::note(match reply["total_candidates"].as_u64() {
                Some(0) if request.filter.is_some() => "the filter lets nothing through",
                Some(0) => "the store has nothing of this kind yet; `ek index DIR` fills it",
                _ if reply["below_confidence"].as_u64().is_some() => {
                    "all that was found fits with less than --min-confidence"
                }
                _ => "nothing found",
            });
        }
    }
    Ok(if empty { Done::NothingOrPartly } else { Done::Well })
}

/// By the server that holds the store, if there is one; otherwise here.
fn answer(global: &Global, request: &SearchRequest, store: Option<&str>) -> Result<Value, Failure> {
    if let Some(store) = store {
        return shared::search(global, store, request);
    }
    // A model that was named is to be used, and not the server's.
    if global.model.is_none()
        && let Some(reply) = client::search(&config(global)?, request)
    {
        return Ok(reply);
    }
    let engine = open_to_ask_once(global)?;
    let found = std::thread::scope(|scope| {
        scope.spawn(|| engine.warm_up(request));
        engine.search(request)
    });
    let reply = as_wire(&found?, request);
    // The process ends in a moment; to give back piece by piece what was loaded takes a
    // twentieth of it, and whoever only reads has nothing to finish.
    std::mem::forget(engine);
    reply
}

/// Through text, as a server's answer comes: a number has then the same digits.
pub(super) fn as_wire(reply: &SearchReply, request: &SearchRequest) -> Result<Value, Failure> {
    serde_json::to_string(&wire::SearchReply::new(reply, request))
        .and_then(|text| serde_json::from_str(&text))
        .map_err(|e| Failure::Bug(format!("the answer is no JSON: {e}")))
}

/// What became of the one that was asked about.
fn told_why(asked: &str, words: &str, why: &Value) -> Result<(), Failure> {
    let mut line = format!("{}: {}", printable(asked), printable(words));
    if let Some(cosine) = why["cosine"].as_f64() {
        line.push_str(&format!("; cosine {cosine:.3}"));
    }
    if let Some(p) = why["confidence"].as_f64() {
        line.push_str(&format!("; fits with a probability of {:.0} %", p * 100.0));
    }
    output::line(&line)
}

/// The item that is asked about: by its id, or by its file, which need not be there any more.
fn asked_about(asked: &str) -> ItemId {
    let path = Path::new(asked);
    if let (false, Ok(id)) = (path.exists(), asked.parse()) {
        return id;
    }
    // As it is indexed; of what is gone, the folder may still be there.
    let real = fs_err::canonicalize(path).or_else(|_| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs_err::canonicalize(folder.unwrap_or(Path::new(".")))?;
        Ok::<_, std::io::Error>(path.file_name().map_or(folder.clone(), |name| folder.join(name)))
    });
    ItemId::for_path(&real.unwrap_or_else(|_| path.into()))
}

/// Whether anything fits, in words. A good match needs none.
fn sum_up(reply: &Value) {
    let anything = &reply["anything"];
    let verdict = anything["verdict"].as_str().unwrap_or_default();
    if !matches!(verdict, "nothing" | "perhaps") {
        return;
    }
    let words = anything["words"].as_str().unwrap_or_default();
    output::note(&match anything["probability"].as_f64() {
        Some(p) => format!("{words} (probability that anything does: {:.0} %)", p * 100.0),
        None => format!("{words} (a guess: this model is not calibrated)"),
    });
}

fn show(hit: &Value, explain: bool) -> Result<(), Failure> {
    let number = |value: &Value| value.as_f64().unwrap_or_default();
    // A fused score orders but says nothing to a person; how near it is does.
    let near = hit["cosine"].as_f64().unwrap_or_else(|| number(&hit["score"]));
    let by_words = hit["via"].as_array().is_some_and(|via| via.contains(&"text".into()));
    let words = if by_words { "  (words match)" } else { "" };
    let copies = match hit["copies"].as_u64() {
        Some(n) if n > 0 => format!("  (+{})", output::count(n, "copy", "copies")),
        _ => String::new(),
    };
    let rank = number(&hit["rank"]);
    output::line(&format!("{rank:>3}  {near:.3}  {}{words}{copies}", name(hit)))?;
    if let (true, Some(p)) = (explain, hit["confidence"].as_f64()) {
        output::line(&format!("            fits with a probability of {:.0} %", p * 100.0))?;
    }
    for part in hit["parts"].as_array().into_iter().flatten().filter(|_| explain) {
        let (score, weight) = (number(&part["score"]), number(&part["weight"]));
        let part = part["part"].as_str().unwrap_or_default();
        output::line(&format!("            {score:.3} × {weight:.2}  {part}"))?;
    }
    for matched in hit["matched"].as_array().into_iter().flatten() {
        let text = |name: &str| matched[name].as_str().unwrap_or_default();
        let how = match text("how") {
            "beginning" => format!(", as the beginning of {:?}", text("found")),
            "similar" => format!(", as {:?}", text("found")),
            _ => String::new(),
        };
        output::line(&format!("            {:?} in the {}{how}", text("word"), text("field")))?;
    }
    Ok(())
}

/// The filter; blank is none, as of a script without one.
pub(super) fn filter(text: Option<&str>) -> Result<Option<Expr>, Failure> {
    let text = text.filter(|text| !text.trim().is_empty());
    let parsed = text.map(str::parse).transpose();
    parsed.map_err(|e: FilterError| Failure::Usage(format!("--filter: {e}")))
}

/// What a person knows an item by.
fn name(hit: &Value) -> String {
    match (hit["path"].as_str(), hit["caption"].as_str()) {
        (Some(path), _) => printable(path),
        (None, Some(text)) => format!("“{}”", printable(text)),
        (None, None) => hit["id"].as_str().unwrap_or_default().to_owned(),
    }
}

fn parts(args: &SearchArgs) -> Result<Vec<Part>, Failure> {
    let mut wanted = Vec::new();
    if !args.words.is_empty() {
        wanted.push(PartQuery::Text(args.words.join(" ")));
    }
    for image in &args.image {
        wanted.push(match picture("--image", image)? {
            Example::Picture(source) => PartQuery::Image(source),
            Example::Item(id) => PartQuery::Id(id),
        });
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

fn examples(flag: &str, given: &[String]) -> Result<Vec<Example>, Failure> {
    given.iter().map(|one| picture(flag, one)).collect()
}

fn picture(flag: &str, image: &str) -> Result<Example, Failure> {
    let path = PathBuf::from(image);
    if path.exists() {
        return Ok(Example::Picture(Source::Path(path)));
    }
    if image.contains("://") {
        return Err(Failure::Usage(format!(
            "{flag} {image}: pictures are not fetched from the network; save it and name the file"
        )));
    }
    image.parse().map(Example::Item).map_err(|_| {
        Failure::Usage(format!("{flag} {image}: there is no such file, and it is no item's id"))
    })
}
