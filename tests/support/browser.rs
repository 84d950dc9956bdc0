//! A real Chromium, driven over the WebDriver protocol (W3C), which is plain
//! JSON over HTTP: a library for it would be larger than what we need of it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: TempDir,
}

/// Whether the page's tests are to be left out; said aloud if so.
pub(crate) fn skipped() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests, not of the product")]
    let skip = std::env::var_os("EK_SKIP_BROWSER").is_some_and(|v| v == "1");
    if skip {
        eprintln!("SKIPPED: EK_SKIP_BROWSER=1");
    }
    skip
}

/// A driver and the port it took; `None` if it ended before it said which. That was seen
/// once, in CI; most likely another process had the port on IPv6 that was free on IPv4.
fn driver() -> Option<(Child, String)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver is installed (EK_SKIP_BROWSER=1 leaves the page's tests out)");
    let lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
    let mut said = Vec::new();
    for line in lines.map_while(Result::ok) {
        if let Some((_, port)) = line.split_once("successfully on port ") {
            return Some((driver, port.trim_end_matches('.').to_owned()));
        }
        said.push(line);
    }
    let status = driver.wait().expect("chromedriver ended");
    eprintln!("chromedriver ended ({status}) after saying {said:?}");
    None
}

impl Browser {
    pub(crate) fn start() -> Self {
        let (driver, port) = (0..5)
            .find_map(|_| driver())
            .expect("chromedriver says its port; five times it ended without");
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut args: Vec<String> = [
            "--headless",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--force-device-scale-factor=1",
            "--window-size=1400,1000",
        ]
        .map(str::to_owned)
        .to_vec();
        // Chromium's sandbox refuses root, which CI is; the page is our own.
        if fs_err::read_dir("/root").is_ok() {
            args.push("--no-sandbox".into());
        }
        args.push(format!("--user-data-dir={}", profile.path().display()));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)));
        let agent: ureq::Agent = config.build().into();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            agent,
            _profile: profile,
        };
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let reply = browser.post("", &wanted);
        let id = reply["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {reply}"));
        browser.session = format!("{}/{id}", browser.session);
        browser
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let mut reply = self
            .agent
            .post(format!("{}{path}", self.session))
            .send_json(body)
            .expect("chromedriver answers");
        let text = reply.body_mut().read_to_string().expect("text");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        value["value"].clone()
    }

    pub(crate) fn open(&self, url: &str) {
        let reply = self.post("/url", &json!({ "url": url }));
        assert!(reply.is_null(), "{reply}");
    }

    /// Runs JavaScript in the page; `return` gives the value.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until the expression is true, and panics with the page's text if it never is.
    pub(crate) fn wait(&self, expression: &str) {
        let start = Instant::now();
        while self.run(&format!("return Boolean({expression})")) != Value::Bool(true) {
            if start.elapsed() > Duration::from_secs(60) {
                let text = self.run("return document.body.innerText");
                panic!("never true: {expression}\npage: {text}\nconsole: {:?}", self.console());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        let id = found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {selector}: {found}"));
        format!("/element/{id}")
    }

    /// Clicks where a person would; panics if something lies above it.
    pub(crate) fn click(&self, selector: &str) {
        self.act(selector, "click", &json!({}));
    }

    /// Does something to what the selector finds. The page may draw it anew after it was found
    /// (an answer came in): then it is looked for again, as an eye would.
    fn act(&self, selector: &str, action: &str, body: &Value) {
        for _ in 0..20 {
            let reply = self.post(&format!("{}/{action}", self.element(selector)), body);
            if reply["error"] != "stale element reference" {
                assert!(reply.is_null(), "{selector}: {reply}");
                return;
            }
        }
        panic!("{selector} is drawn anew whenever it is found");
    }

    pub(crate) fn back(&self) {
        self.post("/back", &json!({}));
    }

    pub(crate) fn forward(&self) {
        self.post("/forward", &json!({}));
    }

    /// How much of the page is seen, in pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let metrics = json!({
            "cmd": "Emulation.setDeviceMetricsOverride",
            "params": { "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false },
        });
        self.post("/goog/cdp/execute", &metrics);
    }

    /// What `prefers-color-scheme` says: `light` or `dark`; and that nothing should move.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        let media =
            json!({ "cmd": "Emulation.setEmulatedMedia", "params": { "features": features } });
        self.post("/goog/cdp/execute", &media);
    }

    /// Runs JavaScript that calls `done(value)` some time.
    pub(crate) fn run_async(&self, script: &str) -> Value {
        let script = format!("const done = arguments[arguments.length - 1]; {script}");
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Puts what is seen into a file under the target folder, and returns its path.
    pub(crate) fn screenshot(&self, name: &str) -> Option<PathBuf> {
        let reply = self.agent.get(format!("{}/screenshot", self.session)).call().ok()?;
        let text = reply.into_body().read_to_string().ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        let png = BASE64_STANDARD.decode(value["value"].as_str()?).ok()?;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("browser");
        fs_err::create_dir_all(&folder).ok()?;
        let path = folder.join(format!("{name}.png"));
        fs_err::write(&path, png).ok()?;
        Some(path)
    }

    /// Types into what the selector finds (a file's path, for a file input).
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        self.act(selector, "value", &json!({ "text": text }));
    }

    pub(crate) const LEFT: &str = "\u{e012}";
    pub(crate) const UP: &str = "\u{e013}";
    pub(crate) const RIGHT: &str = "\u{e014}";
    pub(crate) const HOME: &str = "\u{e011}";
    pub(crate) const END: &str = "\u{e010}";
    pub(crate) const DOWN: &str = "\u{e015}";
    pub(crate) const ENTER: &str = "\u{e007}";
    pub(crate) const ESCAPE: &str = "\u{e00c}";

    /// Presses keys, wherever the focus is.
    pub(crate) fn keys(&self, text: &str) {
        let presses: Vec<Value> = text
            .chars()
            .flat_map(|c| {
                let key = |kind| json!({ "type": kind, "value": c.to_string() });
                [key("keyDown"), key("keyUp")]
            })
            .collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": presses });
        let reply = self.post("/actions", &json!({ "actions": [keyboard] }));
        assert!(reply.is_null(), "{reply}");
    }

    /// Errors the page wrote to the console.
    pub(crate) fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let severe = entries.iter().filter(|e| e["level"] == "SEVERE");
        severe.filter_map(|e| Some(e["message"].as_str()?.to_owned())).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let test = std::thread::current().name().unwrap_or("test").replace("::", "-");
            match self.screenshot(&test) {
                Some(path) => eprintln!("what the page looked like: {}", path.display()),
                None => eprintln!("no screenshot could be taken"),
            }
        }
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
