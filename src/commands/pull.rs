//! `ek model pull`: given a name, the model comes from a hub and is imported. Without the
//! feature `hub` it says how to get it.

use super::Done;
use crate::cli::{Global, PullArgs};
use crate::failure::Failure;

#[cfg(not(feature = "hub"))]
pub(super) fn pull(_: &Global, _: &PullArgs) -> Result<Done, Failure> {
    Err(Failure::Environment(
        "this ek was built without `ek model pull`; `cargo install --path . --features hub` \
         builds one that has it"
            .into(),
    ))
}

#[cfg(feature = "hub")]
pub(super) use with_hub::pull;

#[cfg(feature = "hub")]
mod with_hub {
    use std::cell::Cell;
    use std::io::IsTerminal;
    use std::time::{Duration, Instant};

    use ekphrasis_engine::{ImportOptions, Precision};
    use serde_json::json;

    use super::super::{config, model};
    use super::{Done, Failure, Global, PullArgs};
    use crate::hub::{CURATED, Curated, Hub, Licence, Pulled, Wanted, Watch};
    use crate::output;

    pub(in super::super) fn pull(global: &Global, args: &PullArgs) -> Result<Done, Failure> {
        let Some(name) = &args.wanted else {
            return list(global);
        };
        let wanted = Wanted::parse(name)?;
        let hub = Hub::new(&config(global)?.hub)?;
        let teller = Teller::new(global.quiet);
        let found = hub.look(&wanted, &teller)?;
        teller.note(&format!("{} at {}", wanted.repo(), found.commit()));
        for line in terms(found.licence(), wanted.curated()) {
            teller.note(&line);
        }
        let pulled = hub.fetch(&found, args.precision, &teller);
        teller.clear();
        let pulled = pulled?;
        let options = ImportOptions {
            name: args.name.clone().or_else(|| name_for(&wanted, &pulled, args.precision)),
            precision: args.precision,
            languages: languages(args, &pulled, wanted.curated()),
            variant_of: args.variant_of.clone(),
            text: None,
        };
        model::import(global, &pulled.dir, &options).map_err(|failure| {
            failure.with(&format!(
                "{} came whole, its files are kept in {}, but it was not imported",
                wanted.repo(),
                pulled.kept.display()
            ))
        })
    }

    /// The languages of its texts: what was said, else what the list says. One that is in
    /// neither has those of its card, and one with a manifest says them there.
    fn languages(args: &PullArgs, pulled: &Pulled, curated: Option<&Curated>) -> Vec<String> {
        if !args.language.is_empty() || pulled.has_manifest {
            return args.language.clone();
        }
        let tags = curated.map_or(&[][..], |known| known.tags);
        tags.iter().map(|&tag| tag.to_owned()).collect()
    }

    /// What a model without a name of its own is called.
    fn name_for(wanted: &Wanted, pulled: &Pulled, precision: Option<Precision>) -> Option<String> {
        let ending = match precision {
            None | Some(Precision::Fp32) => String::new(),
            Some(other) => format!("-{}", other.name()),
        };
        (!pulled.has_manifest).then(|| format!("{}{ending}", wanted.short_name()))
    }

    /// What to know before anything is fetched.
    fn terms(licence: &Licence, curated: Option<&Curated>) -> Vec<String> {
        let mut lines = Vec::new();
        lines.push(match (licence.name.as_str(), curated) {
            ("", None) => "licence: not stated; read its page before you use it".into(),
            ("", Some(known)) => format!("licence: {}", known.licence),
            (name, None) => format!("licence: {name} (as the hub says)"),
            (name, Some(known)) => format!("licence: {name} (as the hub says); {}", known.licence),
        });
        if licence.excludes_commerce() || curated.is_some_and(|known| known.non_commercial) {
            lines.push("its licence excludes commercial use".into());
        }
        if licence.gated {
            lines.push("it is gated: who uses it has accepted its terms".into());
        }
        lines
    }

    fn list(global: &Global) -> Result<Done, Failure> {
        if global.json {
            let all: Vec<_> = CURATED.iter().map(as_json).collect();
            output::json(&json!({ "models": all }))?;
            return Ok(Done::Well);
        }
        for known in CURATED {
            output::line(&format!("{:<20} {}", known.name, known.repo))?;
            let mut told = vec![format!("{}; {}", known.about, known.languages)];
            told.extend(Some(known.size).filter(|s| !s.is_empty()).map(|s| format!("size: {s}")));
            told.push(format!(
                "licence: {}{}",
                known.licence,
                if known.non_commercial { "; NOT FOR COMMERCE" } else { "" }
            ));
            told.extend(
                Some(known.recall).filter(|r| !r.is_empty()).map(|r| format!("recall: {r}")),
            );
            told.extend(known.sources.iter().map(|source| format!("source: {source}")));
            for line in told {
                output::line(&format!("{:<20} {line}", ""))?;
            }
        }
        output::line(
            "Sizes and recall are as published by the sources, not measured here: Flickr30k and \
             Crossmodal-3600 are a picture for a text, the latter as the mean of R@1, R@5 and R@10. \
             Any OWNER/NAME of the hub can be pulled, too.",
        )?;
        Ok(Done::Well)
    }

    fn as_json(known: &Curated) -> serde_json::Value {
        let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        json!({
            "name": known.name, "repository": known.repo, "about": known.about,
            "languages": known.languages, "licence": known.licence,
            "non_commercial": known.non_commercial, "size": told(known.size),
            "recall": told(known.recall), "measured_here": false, "sources": known.sources,
        })
    }

    /// Says on standard error what happens.
    struct Teller {
        quiet: bool,
        terminal: bool,
        shown: Cell<Option<Instant>>,
    }

    impl Teller {
        fn new(quiet: bool) -> Self {
            Self { quiet, terminal: std::io::stderr().is_terminal(), shown: Cell::new(None) }
        }

        /// Wipes the line that is rewritten.
        fn clear(&self) {
            if self.terminal && self.shown.get().is_some() {
                output::rewrite("");
            }
        }
    }

    impl Watch for Teller {
        fn note(&self, text: &str) {
            if !self.quiet {
                self.clear();
                output::note(text);
            }
        }

        fn progress(&self, done: u64, total: u64) {
            let every = Duration::from_millis(if self.terminal { 100 } else { 5_000 });
            let due = self.shown.get().is_none_or(|last| last.elapsed() >= every);
            if self.quiet || !due {
                return;
            }
            // Without a terminal, what is done sooner needs no line of its own.
            let first = self.shown.replace(Some(Instant::now())).is_none();
            let text = format!("{:.1} of {:.1} MB", done as f64 / 1e6, total as f64 / 1e6);
            if self.terminal {
                output::rewrite(&text);
            } else if !first {
                output::note(&text);
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn terms_are_told_before_anything_comes() {
            let licence = |name: &str, gated| Licence { name: name.into(), gated };
            let known = |name: &str| CURATED.iter().find(|known| known.name == name);
            assert_eq!(terms(&licence("mit", false), None), ["licence: mit (as the hub says)"]);
            let unknown = terms(&licence("", false), None);
            assert!(unknown.len() == 1 && unknown[0].contains("not stated"), "{unknown:?}");
            for (licence, known) in [
                (licence("cc-by-nc-4.0", false), None),
                (licence("other", false), known("mobileclip-s2")),
            ] {
                let told = terms(&licence, known);
                assert!(told[1].contains("excludes commercial use"), "{told:?}");
            }
            assert!(terms(&licence("mit", true), None)[1].contains("gated"));
        }
    }
}
