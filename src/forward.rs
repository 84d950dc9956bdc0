//! Given a store that a running server holds, how is something written there? By a job
//! that the server does; its secret, which lies in the store's folder, shows that
//! whoever asks could write there, too.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ekphrasis_engine::{Config, Engine, Failure as FailedFile, IndexReport, Progress, StoreSecret};
use serde_json::Value;

use crate::cli::Global;
use crate::client::{ANSWER, agent};
use crate::commands::stop_on_interrupt;
use crate::failure::Failure;
use crate::output::{self, ProgressLine};

/// How often a job is asked how far it is.
const PACE: Duration = Duration::from_millis(200);

/// How long one order may take: pictures that are named in it are all looked at.
const ORDER: Duration = Duration::from_secs(600);

/// A server that writes to the store for us.
pub(crate) struct Forward {
    address: String,
    secret: String,
    agent: ureq::Agent,
}

/// A job that has ended.
pub(crate) struct Ended {
    /// The counts, as `--json` prints them.
    pub(crate) report: Value,
    /// It was stopped before its end.
    pub(crate) stopped: bool,
    result: Value,
}

impl Forward {
    /// The server that holds the store, if one does and takes orders from us.
    pub(crate) fn to_holder(config: &Config) -> Option<Self> {
        let address = Engine::server(&config.data)?;
        let secret = StoreSecret::of(&config.data)?;
        let this = Self { address, secret, agent: agent(ANSWER) };
        // One that was killed left its secret and nobody who answers.
        this.call("GET", "/v1/jobs", None).ok().filter(|(status, _)| *status == 200)?;
        Some(this)
    }

    fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), Failure> {
        let gone = |e: ureq::Error| {
            Failure::Environment(format!(
                "the server at {}, which holds the store, does not answer: {e}",
                self.address
            ))
        };
        let url = format!("{}{path}", self.address);
        let key = ("x-ekphrasis-store-key", &self.secret);
        let reply = match (method, body) {
            ("PUT", Some(body)) => self.agent.put(url).header(key.0, key.1).send_json(body),
            (_, Some(body)) => self.agent.post(url).header(key.0, key.1).send_json(body),
            ("DELETE", None) => self.agent.delete(url).header(key.0, key.1).call(),
            _ => self.agent.get(url).header(key.0, key.1).call(),
        };
        let mut reply = reply.map_err(gone)?;
        let value = reply.body_mut().read_json().map_err(gone)?;
        Ok((reply.status().as_u16(), value))
    }

    /// Has one thing done that takes no job: the answer, or `None` if what it is about is
    /// not there.
    pub(crate) fn order(
        &self,
        global: &Global,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Option<Value>, Failure> {
        if !global.quiet {
            output::note(&format!("the server at {} holds the store and does it", self.address));
        }
        // Pictures that are named in it are all looked at, which may take long.
        let patient = Self {
            address: self.address.clone(),
            secret: self.secret.clone(),
            agent: agent(ORDER),
        };
        match patient.call(method, path, body)? {
            (200..=299, reply) => Ok(Some(reply)),
            (404, _) if method == "DELETE" => Ok(None),
            (status, problem) => Err(refused(status, &problem)),
        }
    }

    /// Has a job done and waits for its end; Ctrl-C stops it there.
    pub(crate) fn run(&self, global: &Global, order: &Value) -> Result<Ended, Failure> {
        self.run_at(global, "/v1/jobs", order)
    }

    /// The same for a job that is asked for elsewhere.
    pub(crate) fn run_at(
        &self,
        global: &Global,
        path: &str,
        order: &Value,
    ) -> Result<Ended, Failure> {
        let stop = stop_on_interrupt()?;
        if !global.quiet {
            output::note(&format!("the server at {} holds the store and does it", self.address));
        }
        let (status, job) = self.call("POST", path, Some(order))?;
        if status != 202 {
            return Err(refused(status, &job));
        }
        let id = job["id"].as_str().unwrap_or_default().to_owned();
        let shown = ProgressLine::new(global);
        let ended = self.follow(&id, &shown, &stop);
        shown.clear();
        let job = ended?;
        if let Some(error) = job["error"].as_str() {
            return Err(match job["fault"].as_str() {
                Some("user") => Failure::Usage(error.into()),
                Some("bug") => Failure::Bug(error.into()),
                _ => Failure::Environment(error.into()),
            });
        }
        let stopped = job["state"] == "stopped";
        let result = job["result"].clone();
        Ok(Ended { report: result["report"].clone(), stopped, result })
    }

    /// What the model is called that the server searches with, and its folder; `None` if it does
    /// not say.
    pub(crate) fn model_in_use(&self) -> Option<(String, PathBuf)> {
        let (_, reply) = self.call("GET", "/v1/models", None).ok()?;
        let used = reply["models"].as_array()?.iter().find(|model| model["chosen"] == true)?;
        Some((used["name"].as_str()?.into(), used["dir"].as_str()?.into()))
    }

    /// What the server does instead, if it indexes something.
    fn going_on(&self) -> Option<String> {
        let (_, status) = self.call("GET", "/v1/status", None).ok()?;
        let other = status["indexing"].as_object()?;
        let (seen, waiting) = (other["seen"].as_u64()?, other["waiting"].as_u64()?);
        Some(format!(
            "it indexes just now, {} of {seen} files; this is next (Ctrl-C takes it back)",
            seen.saturating_sub(waiting)
        ))
    }

    fn follow(&self, id: &str, shown: &ProgressLine, stop: &AtomicBool) -> Result<Value, Failure> {
        let path = format!("/v1/jobs/{id}");
        let mut told = false;
        let mut said = shown.is_silent();
        loop {
            let (status, job) = self.call("GET", &path, None)?;
            if status != 200 {
                return Err(refused(status, &job));
            }
            if !matches!(job["state"].as_str(), Some("waiting" | "running")) {
                return Ok(job);
            }
            if !said
                && job["progress"].is_null()
                && let Some(other) = self.going_on()
            {
                said = true;
                output::note(&other);
            }
            if job["progress"].is_object() {
                let file = job["file"].as_str().unwrap_or_default();
                shown.show(&progress(&job["progress"]), Path::new(file));
            }
            if stop.load(Ordering::Relaxed) && !told {
                told = true;
                self.call("DELETE", &path, None)?;
            }
            std::thread::sleep(PACE);
        }
    }
}

impl Ended {
    /// One of the counts.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.report[name].as_u64().unwrap_or_default()
    }

    /// Items that were forgotten.
    pub(crate) fn removed(&self) -> u64 {
        self.result["removed"].as_u64().unwrap_or_default()
    }

    /// Folders around what was forgotten.
    pub(crate) fn within(&self) -> Vec<String> {
        texts_in(&self.result["within"])
    }

    /// What became of a move to another model.
    pub(crate) fn used(&self) -> &Value {
        &self.result["used"]
    }

    /// As if it had been done here.
    pub(crate) fn as_report(&self) -> IndexReport {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let failures = self.result["failures"].as_array().into_iter().flatten();
        let failures = failures.map(|failure| FailedFile {
            path: text(&failure["path"]).into(),
            reason: text(&failure["reason"]),
            at: 0,
        });
        IndexReport {
            progress: progress(&self.report),
            failures: failures.collect(),
            unmatched: texts_in(&self.result["unmatched"]).into_iter().map(PathBuf::from).collect(),
            stopped: self.stopped,
            ..IndexReport::default()
        }
    }
}

fn refused(status: u16, problem: &Value) -> Failure {
    let detail = problem["detail"].as_str().unwrap_or("it gave no reason").to_owned();
    let said = format!("the server that holds the store refused: {detail}");
    match status {
        400 | 404 | 422 => Failure::Usage(said),
        _ => Failure::Environment(said),
    }
}

fn progress(value: &Value) -> Progress {
    let count = |name: &str| value[name].as_u64().unwrap_or_default();
    Progress {
        seen: count("seen"),
        indexed: count("indexed"),
        unchanged: count("unchanged"),
        removed: count("removed"),
        failed: count("failed"),
        still_failing: count("still_failing"),
        reused: count("reused"),
        moved: count("moved"),
        waiting: count("waiting"),
        eta_seconds: value["eta_seconds"].as_f64(),
        seconds: value["seconds"].as_f64().unwrap_or_default(),
    }
}

fn texts_in(list: &Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(|text| Some(text.as_str()?.to_owned())).collect()
}

/// A name as a part of an address.
pub(crate) fn segment(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_~".contains(&b);
    name.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Paths as JSON can hold them.
pub(crate) fn texts(paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let text = |path: &PathBuf| match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => Err(Failure::Environment(format!(
            "{} is no UTF-8, so the server that holds the store cannot be asked for it; end that \
             server and try again",
            path.display()
        ))),
    };
    paths.iter().map(text).collect()
}
