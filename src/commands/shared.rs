//! `--store`: given a store that other machines share, how is it filled, searched, measured and
//! told of? Without the feature `milvus` it says how to get it.

#[cfg(not(feature = "milvus"))]
pub(super) use without::{index, recall, search, status};

#[cfg(feature = "milvus")]
pub(super) use with_milvus::{index, recall, search, status};

#[cfg(all(feature = "milvus", feature = "server"))]
pub(super) use with_milvus::{OpenedBy, open};

#[cfg(not(feature = "milvus"))]
mod without {
    use ekphrasis_engine::SearchRequest;
    use serde_json::Value;

    use super::super::Done;
    use super::super::stores::without_milvus;
    use crate::cli::{Global, IndexArgs, RecallArgs, StatusArgs};
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

    pub(in super::super) fn recall(_: &Global, _: &RecallArgs, _: &str) -> Result<Done, Failure> {
        Err(without_milvus())
    }
}

#[cfg(feature = "milvus")]
mod with_milvus {
    use std::path::Path;
    use std::sync::Arc;
    #[cfg(feature = "server")]
    use std::time::Duration;

    use ekphrasis_engine::{
        Blobs, Config, FolderBlobs, IndexOptions, IndexPart, RECALL_QUERIES, RECALL_TARGET,
        S3Address, S3Blobs, S3Options, SearchRequest, SharedEngine, SharedIndexOptions,
    };
    use ekphrasis_web::wire;
    use serde_json::Value;

    use super::super::index::tell_and;
    use super::super::search::as_wire;
    use super::super::stores::store_at;
    use super::super::{Done, config, cores, stop_on_interrupt, towers};
    use crate::cli::{BlobArgs, Global, IndexArgs, RecallArgs, StatusArgs};
    use crate::failure::Failure;
    use crate::output::{self, ProgressLine, count};

    /// How long a server goes through items one by one, where a filter needs that: once to search
    /// and once to count, within the 30 s that an answer may take.
    #[cfg(feature = "server")]
    const WALKING: Duration = Duration::from_secs(12);

    /// Who wants the store.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(in super::super) enum OpenedBy {
        /// One who indexes: the store is made if there is none.
        Worker,
        #[cfg(feature = "server")]
        Server,
        /// Somebody who waits for one answer.
        Person,
    }

    /// The store, with the model.
    pub(in super::super) fn open(
        global: &Global,
        store: &str,
        blobs: Option<&BlobArgs>,
        by: OpenedBy,
    ) -> Result<SharedEngine, Failure> {
        let config = config(global)?;
        let at = store_at(store, &config)?;
        #[cfg(feature = "server")]
        let at = if by == OpenedBy::Server { at.walking_at_most(WALKING) } else { at };
        let towers = towers(global, &config, cores())?;
        let engine = SharedEngine::open(&at, towers, by == OpenedBy::Worker)?;
        Ok(match blobs.and_then(|args| args.blobs.as_deref()) {
            Some(place) => engine.with_blobs(blobs_at(place, &config)?),
            None => engine,
        })
    }

    /// What `--blobs` names: a folder, or a place in a bucket.
    fn blobs_at(place: &Path, config: &Config) -> Result<Arc<dyn Blobs>, Failure> {
        let text = place.to_str().unwrap_or_default();
        if text.starts_with("s3:") {
            let address = text.parse::<S3Address>().map_err(|e| Failure::Usage(e.to_string()))?;
            return Ok(Arc::new(S3Blobs::new(address, &config.s3, S3Options::default())?));
        }
        if text.contains("://") {
            return Err(Failure::Usage(format!(
                "{text} is no place that is known here; --blobs names a folder, or s3://BUCKET/PREFIX"
            )));
        }
        Ok(Arc::new(FolderBlobs::new(place)))
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
        let engine = open(global, store, Some(&args.worker.blobs), OpenedBy::Worker)?;
        let stop = stop_on_interrupt()?;
        let files = IndexOptions {
            captions: args.captions.clone(),
            exclude: args.exclude.clone(),
            follow_links: args.follow_links,
            ..IndexOptions::default()
        };
        let options = SharedIndexOptions { files, part, keep_files: args.worker.keep_files };
        let shown = ProgressLine::new(global);
        let result = engine.index(&args.dirs, &options, &|p, path| shown.show(p, path), &stop);
        shown.clear();
        let report = result?;
        tell_and(global, &report, "")?;
        let partly = report.progress.failed > 0 || report.stopped;
        Ok(if partly { Done::NothingOrPartly } else { Done::Well })
    }

    pub(in super::super) fn search(
        global: &Global,
        store: &str,
        request: &SearchRequest,
    ) -> Result<Value, Failure> {
        as_wire(&open(global, store, None, OpenedBy::Person)?.search(request)?, request)
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
        let status = open(global, store, None, OpenedBy::Person)?.status()?;
        if global.json {
            output::json(&wire::SharedStatus::from(&status))?;
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

    pub(in super::super) fn recall(
        global: &Global,
        args: &RecallArgs,
        store: &str,
    ) -> Result<Done, Failure> {
        let target = args.target.unwrap_or(RECALL_TARGET);
        if !(0.0..=1.0).contains(&target) {
            return Err(Failure::Usage(format!("--target is from 0 to 1, got {target}")));
        }
        let engine = open(global, store, None, OpenedBy::Person)?;
        let found = engine.measure_recall(args.queries.unwrap_or(RECALL_QUERIES))?;
        let met = found.recall.is_none_or(|recall| recall >= target);
        if global.json {
            output::json(&wire::SharedRecall::new(&found, target))?;
        } else if let Some(recall) = found.recall {
            output::line(&format!(
                "recall@10 {recall:.4} of {} among {}, {:.1} ms each in the median, 95 % within {:.1} ms; \
                 how widely a server searches is its own matter",
                count(found.queries as u64, "query", "queries"),
                count(found.vectors, "vector", "vectors"),
                found.median.as_secs_f64() * 1e3,
                found.slow.as_secs_f64() * 1e3,
            ))?;
        } else {
            output::line("the store is empty, so there is nothing to measure")?;
        }
        Ok(if met { Done::Well } else { Done::NothingOrPartly })
    }
}
