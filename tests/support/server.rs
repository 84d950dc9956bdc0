//! A real `ek up` or `ek serve` on a free port.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Home;

pub(crate) struct Server {
    child: Child,
    /// What it wrote to standard error.
    log: Arc<Mutex<Vec<String>>>,
    pub(crate) url: String,
    agent: ureq::Agent,
}

impl Server {
    /// Starts `ek VERB… --port 0` and waits until it listens.
    pub(crate) fn start(home: &Home, args: &[&str]) -> Self {
        let mut command = home.command(args);
        command.args(["--port", "0", "--json"]);
        Self::spawn(command)
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("ek starts");
        let mut first = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut first).expect("readable");
        let Ok(said) = serde_json::from_str::<Value>(&first) else {
            let mut why = String::new();
            let stderr = child.stderr.take().expect("piped");
            let _ = BufReader::new(stderr).read_to_string(&mut why);
            let _ = child.kill();
            panic!("ek did not listen: {first:?} {why}");
        };
        // Drained, so that the server never blocks on a full pipe.
        let stderr = child.stderr.take().expect("piped");
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| {
                eprintln!("ek: {line}");
                kept.lock().expect("no panic").push(line);
            });
        });
        let url = said["listening"].as_str().expect("an address").to_owned();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)));
        Self { child, log, url, agent: config.build().into() }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it told the owner of something.
    pub(crate) fn wait_for_line(&self, with: &str) {
        let start = Instant::now();
        loop {
            let lines = self.log.lock().expect("no panic").clone();
            if lines.iter().any(|line| line.contains(with)) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "no line with {with:?}: {lines:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, Value) {
        let mut reply = self.agent.get(format!("{}{path}", self.url)).call().expect("answered");
        let body = reply.body_mut().read_to_string().expect("text");
        (reply.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    /// Status, content type and bytes.
    pub(crate) fn get_bytes(&self, path: &str) -> (u16, String, Vec<u8>) {
        let mut reply = self.agent.get(format!("{}{path}", self.url)).call().expect("answered");
        let kind = reply.headers().get("content-type").and_then(|v| v.to_str().ok());
        let kind = kind.unwrap_or_default().to_owned();
        (reply.status().as_u16(), kind, reply.body_mut().read_to_vec().expect("bytes"))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut reply =
            self.agent.post(format!("{}{path}", self.url)).send_json(body).expect("answered");
        let body = reply.body_mut().read_to_string().expect("text");
        (reply.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut reply =
            self.agent.put(format!("{}{path}", self.url)).send_json(body).expect("answered");
        let body = reply.body_mut().read_to_string().expect("text");
        (reply.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    pub(crate) fn delete(&self, path: &str) -> (u16, Value) {
        let mut reply = self.agent.delete(format!("{}{path}", self.url)).call().expect("answered");
        let body = reply.body_mut().read_to_string().expect("text");
        (reply.status().as_u16(), serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    /// An answer whose body is not read yet.
    pub(crate) fn open(&self, path: &str) -> ureq::http::Response<ureq::Body> {
        self.agent.get(format!("{}{path}", self.url)).call().expect("answered")
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Waits until the store has `images` pictures and no indexing goes on.
    pub(crate) fn wait_for_images(&self, images: u64) {
        self.wait_for("/v1/status", |status| {
            status["images"] == images && status["indexing"].is_null()
        });
    }

    /// Asks again and again until the answer is as it should be.
    pub(crate) fn wait_for(&self, path: &str, is_so: impl Fn(&Value) -> bool) {
        let start = Instant::now();
        loop {
            let (_, answer) = self.get(path);
            if is_so(&answer) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(120), "{path} never came: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Asks it to end.
    pub(crate) fn tell_to_end(&self) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        assert!(told.success());
    }

    /// Asks it to end, as Ctrl-C or a service manager does, and returns the exit code.
    pub(crate) fn terminate(mut self) -> i32 {
        self.tell_to_end();
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
