//! Given what a server has done, what does a monitor read? Prometheus' text format,
//! version 0.0.4, written by hand: it is lines of names and numbers.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ekphrasis_engine::{Engine, EngineError, Histogram, Status};

use crate::gate::Gate;

/// Times and outcomes of requests, by method and route.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    routes: Mutex<BTreeMap<Route, Answers>>,
}

/// Method and route's pattern: few, whatever clients ask for.
type Route = (String, String);

#[derive(Debug, Default)]
struct Answers {
    times: Histogram,
    statuses: BTreeMap<u16, u64>,
}

impl Meter {
    /// Notes how a request was answered. `route` is `None` where there is none.
    pub(crate) fn note(&self, method: &str, route: Option<&str>, status: u16, took: Duration) {
        // Methods, too, are what clients make up.
        let method = match method {
            known @ ("GET" | "HEAD" | "POST" | "PUT" | "DELETE") => known,
            _ => "other",
        };
        let key = (method.to_owned(), route.unwrap_or("other").to_owned());
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = routes.entry(key).or_default();
        answers.times.note(took);
        *answers.statuses.entry(status).or_default() += 1;
    }

    /// All there is to tell.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub(crate) fn text(
        &self,
        engine: &Engine,
        gates: &[(&str, &Gate)],
    ) -> Result<String, EngineError> {
        let mut page = self.answered(gates);
        stages(&mut page, engine);
        store(&mut page, &engine.status()?);
        Ok(page.0)
    }

    /// The same of a store that other machines share.
    ///
    /// # Errors
    /// If it cannot be asked.
    #[cfg(feature = "milvus")]
    pub(crate) fn text_of_shared(
        &self,
        engine: &ekphrasis_engine::SharedEngine,
        gates: &[(&str, &Gate)],
    ) -> Result<String, EngineError> {
        let mut page = self.answered(gates);
        let status = engine.status()?;
        items(&mut page, status.images, status.texts);
        Ok(page.0)
    }

    /// What requests met.
    fn answered(&self, gates: &[(&str, &Gate)]) -> Page {
        let mut page = Page::default();
        self.requests(&mut page);
        page.head("ekphrasis_queue_wait_seconds", "histogram", "Waiting for a turn to work");
        let labelled = |name: &str| format!("queue=\"{name}\"");
        for (name, gate) in gates {
            page.histogram("ekphrasis_queue_wait_seconds", &labelled(name), &gate.waits);
        }
        page.head("ekphrasis_queue_waiting", "gauge", "Requests that wait");
        for (name, gate) in gates {
            page.line("ekphrasis_queue_waiting", &labelled(name), gate.waiting());
        }
        page.head("ekphrasis_refused_total", "counter", "Requests sent away, 429");
        for (name, gate) in gates {
            page.line("ekphrasis_refused_total", &labelled(name), gate.refused());
        }
        page
    }

    fn requests(&self, page: &mut Page) {
        let routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let name = "ekphrasis_http_request_seconds";
        page.head(name, "histogram", "From a request's head to its answer's");
        for ((method, route), answers) in &*routes {
            let labels = format!("method=\"{method}\",route=\"{route}\"");
            page.histogram(name, &labels, &answers.times);
        }
        let name = "ekphrasis_http_responses_total";
        page.head(name, "counter", "Answers by status");
        for ((method, route), answers) in &*routes {
            for (status, count) in &answers.statuses {
                let labels = format!("method=\"{method}\",route=\"{route}\",status=\"{status}\"");
                page.line(name, &labels, count);
            }
        }
    }
}

fn stages(page: &mut Page, engine: &Engine) {
    let (meters, runs) = (engine.meters(), engine.meters().runs());
    let name = "ekphrasis_stage_seconds";
    page.head(name, "histogram", "What requests spend their time on");
    for (stage, times) in [
        ("encode_text", &meters.encode_text),
        ("encode_image", &meters.encode_image),
        ("rank", &meters.rank),
        ("thumbnail", &meters.thumbnail),
    ] {
        page.histogram(name, &format!("stage=\"{stage}\""), times);
    }
    let help = "Texts of queries that needed no encoding";
    page.one("ekphrasis_kept_texts_total", "counter", help, meters.kept_texts());
    let help = "Texts of queries that were encoded, several in a run if many ask at once";
    page.one("ekphrasis_encoded_texts_total", "counter", help, meters.encoded_texts());
    page.one("ekphrasis_ingest_runs_total", "counter", "Indexing runs that ended", runs.ended);
    page.one("ekphrasis_ingest_items_total", "counter", "Items indexed", runs.indexed);
    let help = "Files that could not be indexed, once a run";
    page.one("ekphrasis_ingest_failed_total", "counter", help, runs.failed);
    let name = "ekphrasis_ingest_stage_seconds_total";
    page.head(name, "counter", "Time that each stage of indexing took, all threads together");
    for (stage, seconds) in &runs.stages {
        page.line(name, &format!("stage=\"{stage}\""), seconds);
    }
}

fn store(page: &mut Page, status: &Status) {
    items(page, status.images, status.texts);
    page.one("ekphrasis_failures", "gauge", "Files that are not indexed", status.failures);
    let indexing = u8::from(status.indexing.is_some());
    page.one("ekphrasis_indexing", "gauge", "Whether indexing goes on", indexing);
    page.one("ekphrasis_commit", "gauge", "The newest commit", status.seq);
}

fn items(page: &mut Page, images: u64, texts: u64) {
    page.head("ekphrasis_items", "gauge", "Items in the store");
    page.line("ekphrasis_items", "kind=\"image\"", images);
    page.line("ekphrasis_items", "kind=\"text\"", texts);
}

/// The text in the making.
#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn histogram(&mut self, name: &str, labels: &str, histogram: &Histogram) {
        let (within, all) = histogram.cumulative();
        let comma = if labels.is_empty() { "" } else { "," };
        let bucket = format!("{name}_bucket");
        for (bound, count) in Histogram::BOUNDS.iter().zip(within) {
            self.line(&bucket, &format!("{labels}{comma}le=\"{bound}\""), count);
        }
        self.line(&bucket, &format!("{labels}{comma}le=\"+Inf\""), all);
        self.line(&format!("{name}_sum"), labels, histogram.seconds());
        self.line(&format!("{name}_count"), labels, all);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_prometheus_reads_them() {
        let meter = Meter::default();
        meter.note("GET", Some("/v1/items/{id}"), 200, Duration::from_millis(2));
        meter.note("GET", Some("/v1/items/{id}"), 404, Duration::from_secs(100));
        meter.note("BREW", None, 404, Duration::ZERO);
        let mut page = Page::default();
        meter.requests(&mut page);
        let id = "method=\"GET\",route=\"/v1/items/{id}\"";
        for line in [
            "# TYPE ekphrasis_http_request_seconds histogram".to_owned(),
            format!("ekphrasis_http_request_seconds_bucket{{{id},le=\"0.0025\"}} 1"),
            format!("ekphrasis_http_request_seconds_bucket{{{id},le=\"60\"}} 1"),
            format!("ekphrasis_http_request_seconds_bucket{{{id},le=\"+Inf\"}} 2"),
            format!("ekphrasis_http_request_seconds_count{{{id}}} 2"),
            format!("ekphrasis_http_request_seconds_sum{{{id}}} 100.002"),
            format!("ekphrasis_http_responses_total{{{id},status=\"404\"}} 1"),
            "ekphrasis_http_responses_total{method=\"other\",route=\"other\",status=\"404\"} 1"
                .into(),
        ] {
            assert!(page.0.lines().any(|l| l == line), "{line} in\n{}", page.0);
        }
    }
}
