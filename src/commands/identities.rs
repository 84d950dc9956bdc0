//! `ek enrol`, `ek verify`, `ek identify` and `ek identities`.

use ekphrasis_engine::{Accepting, Example, IdentifyOptions, Source, Verified};
use ekphrasis_web::wire;
use serde_json::{Value, json};

use super::index::absolute;
use super::label::keep_good;
use super::{Done, config, open_if_there, open_to_read, open_to_write};
use crate::cli::{
    AcceptingArgs, EnrolArgs, Global, IdentifyArgs, IdentitiesArgs, IdentitiesVerb, VerifyArgs,
};
use crate::failure::Failure;
use crate::forward::{Forward, segment, texts};
use crate::output::{self, count, printable};

pub(super) fn enrol(global: &Global, args: &EnrolArgs) -> Result<Done, Failure> {
    let config = config(global)?;
    let files = absolute(&args.files)?;
    let reply = match Forward::to_holder(&config) {
        Some(server) => {
            let order = json!({ "paths": texts(&files)?, "add": !args.replace });
            let path = format!("/v1/identities/{}", segment(args.name.trim()));
            server.order(global, "PUT", &path, Some(&order))?.unwrap_or_default()
        }
        None => {
            let engine = open_to_write(global, &config, "ek enrol", None)?;
            let examples: Vec<Example> =
                files.into_iter().map(|file| Example::Picture(Source::Path(file))).collect();
            let enrolment = engine.enrol(&args.name, &examples, args.replace)?;
            serde_json::to_value(wire::Enrolment::from(&enrolment))
                .map_err(|e| Failure::Bug(format!("the answer is no JSON: {e}")))?
        }
    };
    tell_enrolment(global, &reply)
}

fn tell_enrolment(global: &Global, reply: &Value) -> Result<Done, Failure> {
    let not_taken = reply["not_taken"].as_array().map_or(&[][..], Vec::as_slice);
    for one in not_taken {
        output::note(&format!("ek: {}", printable(one["reason"].as_str().unwrap_or_default())));
    }
    if global.json {
        output::json(reply)?;
    } else if !global.quiet {
        let examples = reply["examples"].as_array().map_or(0, Vec::len) as u64;
        output::line(&format!(
            "{} is known by {}, {} of them new; the pictures are not needed any more",
            printable(reply["name"].as_str().unwrap_or_default()),
            count(examples, "example", "examples"),
            reply["added"]
        ))?;
    }
    Ok(if not_taken.is_empty() { Done::Well } else { Done::NothingOrPartly })
}

fn accepting(args: &AcceptingArgs) -> Accepting {
    match (args.threshold, args.false_accept_rate) {
        (Some(threshold), _) => Accepting::Threshold(threshold),
        (None, Some(rate)) => Accepting::Rate(rate),
        (None, None) => Accepting::Usual,
    }
}

pub(super) fn verify(global: &Global, args: &VerifyArgs) -> Result<Done, Failure> {
    let engine = open_to_read(global)?;
    let picture = Example::Picture(Source::Path(args.file.clone()));
    let found = engine.verify(&args.name, &picture, accepting(&args.accepting))?;
    match tell_verified(global, args, &found) {
        // Who only wants the exit code may close the output: the decision stays what it is.
        Ok(()) | Err(Failure::ReaderGone) => {}
        Err(e) => return Err(e),
    }
    Ok(if found.same { Done::Well } else { Done::NothingOrPartly })
}

fn tell_verified(global: &Global, args: &VerifyArgs, found: &Verified) -> Result<(), Failure> {
    if global.json {
        return output::json(&wire::VerifyReply::new(Some(&args.file), found));
    }
    let (is, sign) = if found.same { ("the same as", "≥") } else { ("not", "<") };
    let rate = found.operating.rate.map_or_else(String::new, |rate| {
        format!(
            ", at which about {} of other things are taken for the same (95 %: {} to {})",
            percent(rate.false_accept),
            percent(rate.low),
            percent(rate.high)
        )
    });
    output::line(&format!(
        "{is} {}: score {:.3} {sign} threshold {:.3}{rate}",
        printable(&found.name),
        found.score,
        found.operating.threshold
    ))?;
    measured_on(global, found.operating.about.as_deref());
    Ok(())
}

/// Says where the rate comes from, since it need not hold for other pictures.
fn measured_on(global: &Global, about: Option<&str>) {
    if let (false, Some(about)) = (global.quiet, about) {
        output::note(&format!(
            "measured with one example, on {about}; other kinds of pictures may differ"
        ));
    }
}

/// `1 %`, `0.1 %`.
fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// As [`percent`], rounded up.
fn at_most(share: f64) -> String {
    percent((share * 1e4 - 1e-6).ceil() / 1e4)
}

pub(super) fn identify(global: &Global, args: &IdentifyArgs) -> Result<Done, Failure> {
    let engine = open_to_read(global)?;
    let options = IdentifyOptions {
        accepting: (!args.closed).then(|| accepting(&args.accepting)),
        k: args.n,
    };
    let results = args
        .files
        .iter()
        .map(|file| engine.identify(&Example::Picture(Source::Path(file.clone())), &options))
        .collect();
    let found = keep_good(&args.files, results)?;
    if global.json {
        let images = found.iter().map(|(p, f)| wire::IdentifiedImage::new(Some(p), f)).collect();
        output::json(&wire::IdentifyReply { images })?;
    } else {
        for (path, found) in &found {
            if args.files.len() > 1 {
                output::line(&printable(&path.to_string_lossy()))?;
            }
            let best = found
                .name
                .as_deref()
                .map_or_else(|| "nobody who is enrolled".to_owned(), printable);
            output::line(&best)?;
            for candidate in &found.candidates {
                let mark = if candidate.accepted { " " } else { "<" };
                output::line(&format!(
                    "  {:.3} {mark} {}",
                    candidate.score,
                    printable(&candidate.name)
                ))?;
            }
        }
        if let Some((_, first)) = found.first() {
            explain(global, first);
        }
    }
    if let Some((_, first)) = found.first() {
        for name in &first.not_comparable {
            output::note(&format!(
                "{} was not compared: it was enrolled with another model, or is damaged; enrol it again (`--replace`)",
                printable(name)
            ));
        }
    }
    let all = found.len() == args.files.len() && found.iter().all(|(_, f)| f.name.is_some());
    Ok(if all { Done::Well } else { Done::NothingOrPartly })
}

/// By which threshold it was decided, and how often that names a stranger.
fn explain(global: &Global, found: &ekphrasis_engine::Identified) {
    let Some(operating) = found.operating.as_ref().filter(|_| !global.quiet) else { return };
    let strangers = match (found.strangers_named, operating.rate) {
        (Some(share), _) => {
            format!("; by that rate at most {} of strangers get some name", at_most(share))
        }
        (None, Some(rate)) => format!(
            "; with so many enrolled nothing is known of how many strangers get some name (each \
             comparison goes wrong for at most {})",
            at_most(rate.high)
        ),
        (None, None) => String::new(),
    };
    let missed = found.aim_missed.map_or_else(String::new, |aim| {
        format!(
            " (the strictest that was measured; that no more than {} of strangers get some name \
             cannot be held with so many enrolled)",
            percent(aim)
        )
    });
    output::note(&format!(
        "compared with {}, threshold {:.3}{missed}{strangers}",
        count(found.enrolled as u64, "identity", "identities"),
        operating.threshold
    ));
    measured_on(global, operating.about.as_deref());
}

pub(super) fn identities(global: &Global, args: &IdentitiesArgs) -> Result<Done, Failure> {
    match &args.verb {
        None | Some(IdentitiesVerb::List) => list(global),
        Some(IdentitiesVerb::Show { name }) => show(global, name),
        Some(IdentitiesVerb::Forget { names }) => forget(global, names),
    }
}

fn list(global: &Global) -> Result<Done, Failure> {
    // Without a store nobody is enrolled, which is an answer.
    let all = match open_if_there(global)? {
        Some(engine) => engine.identities()?,
        None => vec![],
    };
    if global.json {
        output::json(&wire::IdentityList::new(&all))?;
    } else {
        for identity in &all {
            let note = if identity.comparable {
                ""
            } else {
                "  (cannot be compared any more: `ek enrol --replace` it)"
            };
            output::line(&format!(
                "{}  {}{note}",
                printable(&identity.name),
                count(identity.examples.len() as u64, "example", "examples")
            ))?;
        }
    }
    if all.is_empty() && !global.quiet && !global.json {
        output::note("nobody is enrolled; `ek enrol NAME FILE…` begins");
    }
    Ok(if all.is_empty() { Done::NothingOrPartly } else { Done::Well })
}

fn show(global: &Global, name: &str) -> Result<Done, Failure> {
    let Some(identity) = open_to_read(global)?.identity(name)? else {
        output::note(&format!("nobody is enrolled as {name:?}"));
        return Ok(Done::NothingOrPartly);
    };
    if global.json {
        output::json(&wire::Identity::from(&identity))?;
    } else {
        for example in &identity.examples {
            output::line(&printable(&example.source))?;
        }
    }
    Ok(Done::Well)
}

fn forget(global: &Global, names: &[String]) -> Result<Done, Failure> {
    let config = config(global)?;
    let server = Forward::to_holder(&config);
    let engine = match server {
        Some(_) => None,
        None => Some(open_to_write(global, &config, "ek identities forget", None)?),
    };
    let mut forgotten = Vec::new();
    for name in names {
        let was_there = match (&server, &engine) {
            (Some(server), _) => {
                let path = format!("/v1/identities/{}", segment(name.trim()));
                server.order(global, "DELETE", &path, None)?.is_some()
            }
            (None, Some(engine)) => engine.forget_identity(name)?,
            (None, None) => false,
        };
        if was_there {
            forgotten.push(name.trim());
        } else {
            output::note(&format!("nobody is enrolled as {name:?}"));
        }
    }
    if global.json {
        output::json(&json!({ "forgotten": forgotten }))?;
    } else if !global.quiet {
        for name in &forgotten {
            output::line(&format!("{} is forgotten; no file was touched", printable(name)))?;
        }
    }
    Ok(if forgotten.len() == names.len() { Done::Well } else { Done::NothingOrPartly })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_at_most_so_much_is_never_rounded_down() {
        for (share, shown) in [(0.035_112, "3.52 %"), (0.02, "2 %"), (0.000_01, "0.01 %")] {
            assert_eq!(at_most(share), shown);
        }
    }
}
