//! A real `ek up` on a free port of this machine, and one who asks it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::Result;

/// The server; it ends with this.
pub(crate) struct Server {
    child: Child,
    url: String,
    /// How many it has.
    pub(crate) pictures: u64,
    /// Its store.
    _data: tempfile::TempDir,
}

/// One connection to it.
pub(crate) struct Client {
    agent: ureq::Agent,
    url: String,
}

/// How a search ended.
pub(crate) enum Ended {
    /// 200, with hits.
    Answered,
    /// 429.
    Refused { retry_after: bool },
    /// Anything else.
    Failed,
}

impl Server {
    /// Starts it and waits until the pictures are indexed.
    pub(crate) fn start(home: &Path, pictures: &Path) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_ek"));
        command.args(["up", "--port", "0", "--json", "--quiet"]).arg(pictures);
        command.env("EK_DATA", data.path().join("store")).env("EK_HOME", home);
        command.env_remove("EK_API_KEY").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let mut said = String::new();
        let stdout = child.stdout.take().ok_or("it has no standard output")?;
        BufReader::new(stdout).read_line(&mut said)?;
        let said: Value = serde_json::from_str(&said)?;
        let url = said["listening"].as_str().ok_or("it does not listen")?.to_owned();
        let mut this = Self { child, url, pictures: 0, _data: data };
        loop {
            let status: Value = this
                .client()
                .agent
                .get(format!("{}/v1/status", this.url))
                .call()?
                .body_mut()
                .read_json()?;
            this.pictures = status["images"].as_u64().unwrap_or_default();
            if this.pictures > 0 && status["indexing"].is_null() {
                return Ok(this);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Somebody who asks, over a connection that is kept.
    pub(crate) fn client(&self) -> Client {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(60)));
        Client { agent: config.build().into(), url: self.url.clone() }
    }

    /// Resident memory.
    pub(crate) fn resident_mb(&self) -> Option<f64> {
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kb: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kb / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Client {
    /// Searches by a text and reads the whole answer.
    pub(crate) fn search(&self, text: &str) -> Ended {
        let url = format!("{}/v1/search?k=10&q={}", self.url, text.replace(' ', "+"));
        let Ok(mut reply) = self.agent.get(url).call() else { return Ended::Failed };
        let (status, retry_after) =
            (reply.status().as_u16(), reply.headers().contains_key("retry-after"));
        let body = reply.body_mut().read_to_string().unwrap_or_default();
        match status {
            200 if body.contains("\"rank\":1,") => Ended::Answered,
            429 => Ended::Refused { retry_after },
            _ => Ended::Failed,
        }
    }
}

/// Processor time that a process has used, all threads together.
pub(crate) fn processor_seconds(process: &str) -> Result<f64> {
    let stat = fs_err::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may have spaces; what follows its bracket does not.
    let after = stat.rsplit_once(')').ok_or("no name in stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|n| n.parse::<f64>().ok());
    // Fields 14 and 15, in hundredths of a second on Linux.
    let (user, system) = ticks(11).zip(ticks(12)).ok_or("no times in stat")?;
    Ok((user + system) / 100.0)
}
