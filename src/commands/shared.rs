//! `--store`: given a store that other machines share, how is it filled, searched and told of?
//! Without the feature `milvus` it says how to get it.

#[cfg(not(feature = "milvus"))]
pub(super) use without::{index, search, status};

#[cfg(feature = "milvus")]
pub(super) use with_milvus::{index, search, status};

#[cfg(not(feature = "milvus"))]
mod without {
    use ekphrasis_engine::SearchRequest;
    use serde_json::Value;

    use super::super::Done;
    use super::super::stores::without_milvus;
    use crate::cli::{Global, IndexArgs, StatusArgs};
    use crate::failure::Failure;

    pub(in super::super) fn index(_: &Global, _: &IndexArgs, _: &str) -> Result<Done, Failure> {
        Err(without_milvus())
    }

    pub(in super::super) fn search(
        _: &Global,
        _: &str,
        _: &SearchRequest,
    ) -> Result<Value, Failure> {
        Err(without_milvus())
    }

    pub(in super::super) fn status(_: &Global, _: &StatusArgs, _: &str) -> Result<Done, Failure> {
        Err(without_milvus())
    }
}

#[cfg(feature = "milvus")]
mod with_milvus {
    use ekphrasis_engine::{
        IndexOptions, IndexPart, SearchRequest, SharedEngine, SharedIndexOptions,
    };
    use serde_json::{Value, json};

    use super::super::index::tell;
    use super::super::search::as_wire;
    use super::super::stores::store_at;
    use super::super::{Done, config, cores, stop_on_interrupt, towers};
    use crate::cli::{Global, IndexArgs, StatusArgs};
    use crate::failure::Failure;
    use crate::output::{self, ProgressLine, count};

    /// The store, with the model; one is made if `make` says so.
    fn open(global: &Global, store: &str, make: bool) -> Result<SharedEngine, Failure> {
        let config = config(global)?;
        let at = store_at(store, &config)?;
        let towers = towers(global, &config, cores())?;
        Ok(SharedEngine::open(&at, towers, make)?)
    }

    fn unsupported(store: &str, what: &str) -> Failure {
        Failure::Usage(format!("not supported by the store at {store}: {what}"))
    }

    pub(in super::super) fn index(
        global: &Global,
        args: &IndexArgs,
        store: &str,
    ) -> Result<Done, Failure> {
        for (asked, what) in [
            (args.watch, "following changes (--watch); run it again instead"),
            (args.check_content, "--check-content"),
            (args.memory.memory.is_some(), "--memory"),
        ] {
            if asked {
                return Err(unsupported(store, what));
            }
        }
        let part = args.worker.part.as_deref().unwrap_or("1/1");
        let part = part.parse::<IndexPart>().map_err(|e| Failure::Usage(format!("--part: {e}")))?;
        let engine = open(global, store, true)?;
        let stop = stop_on_interrupt()?;
        let files = IndexOptions {
            captions: args.captions.clone(),
            exclude: args.exclude.clone(),
            follow_links: args.follow_links,
            ..IndexOptions::default()
        };
        let options = SharedIndexOptions { files, part };
        let shown = ProgressLine::new(global);
        let result = engine.index(&args.dirs, &options, &|p, path| shown.show(p, path), &stop);
        shown.clear();
        let report = result?;
        tell(global, &report)?;
        let partly = report.progress.failed > 0 || report.stopped;
        Ok(if partly { Done::NothingOrPartly } else { Done::Well })
    }

    pub(in super::super) fn search(
        global: &Global,
        store: &str,
        request: &SearchRequest,
    ) -> Result<Value, Failure> {
        as_wire(&open(global, store, false)?.search(request)?, request)
    }

    pub(in super::super) fn status(
        global: &Global,
        args: &StatusArgs,
        store: &str,
    ) -> Result<Done, Failure> {
        if args.failures {
            let what = "a list of failures; each `ek index` tells those of its own run";
            return Err(unsupported(store, what));
        }
        let status = open(global, store, false)?.status()?;
        if global.json {
            output::json(&json!({
                "store": status.at,
                "server": status.server,
                "finds_words": status.finds_words,
                "images": status.images,
                "texts": status.texts,
                "model": status.model,
                "space": status.space,
                "dim": status.dim,
            }))?;
            return Ok(Done::Well);
        }
        let words = if status.finds_words { "" } else { "; it finds no words" };
        for (name, value) in [
            ("store", status.at),
            ("server", format!("Milvus {}{words}", status.server)),
            ("pictures", count(status.images, "picture", "pictures")),
            ("texts", count(status.texts, "text", "texts")),
            ("model", format!("{} ({}, {}-d)", status.model, status.space, status.dim)),
        ] {
            output::line(&format!("{name:<12} {value}"))?;
        }
        Ok(Done::Well)
    }
}
