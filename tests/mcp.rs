//! `ek mcp`, by the protocol's own words. A client library not written here does the
//! same by hand; see tests/mcp-client.py.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::support::{Home, reference};

struct Client {
    child: Child,
    to: Option<ChildStdin>,
    from: Lines<BufReader<ChildStdout>>,
    asked: u64,
}

impl Client {
    fn start(home: &Home) -> Self {
        let mut command = home.command(&["mcp"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("ek starts");
        let from = BufReader::new(child.stdout.take().expect("piped")).lines();
        let to = child.stdin.take();
        let mut this = Self { child, to, from, asked: 0 };
        let hello = this.ask(
            "initialize",
            &json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": { "name": "a test", "version": "1" },
            }),
        );
        assert_eq!(hello["result"]["serverInfo"]["name"], "ekphrasis", "{hello}");
        this.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        this
    }

    fn send(&mut self, message: &Value) {
        let to = self.to.as_mut().expect("not closed yet");
        writeln!(to, "{message}").expect("it listens");
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let line = self.from.next().expect("an answer").expect("text");
            let answer: Value = serde_json::from_str(&line).expect("JSON and nothing else");
            if answer["id"] == id {
                return answer;
            }
        }
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.ask("tools/call", &json!({ "name": tool, "arguments": arguments }))["result"].clone()
    }

    fn end(mut self) {
        drop(self.to.take());
        assert!(self.child.wait().expect("it ends").success());
    }
}

fn told(result: &Value) -> Value {
    assert_ne!(result["isError"], true, "{result}");
    serde_json::from_str(result["content"][0]["text"].as_str().expect("text")).expect("JSON")
}

#[test]
fn an_assistant_searches_describes_and_labels() {
    let home = Home::new();
    let folder = home.folder("pictures");
    for name in ["cat_451x300.jpg", "coffee_300x600.webp"] {
        fs_err::copy(reference(&format!("images/{name}")), folder.join(name)).expect("copied");
    }
    let cat = folder.join("cat_451x300.jpg");
    let cat = cat.to_str().expect("UTF-8");
    let mut client = Client::start(&home);
    let tools = client.ask("tools/list", &json!({}));
    let tools = tools["result"]["tools"].as_array().expect("tools");
    let mut names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["describe", "label", "search", "status"]);
    assert!(tools.iter().all(|tool| tool["inputSchema"]["type"] == "object"), "{tools:?}");

    // Before anything is indexed: labels can be had, and the rest says what is missing.
    let labels = json!({ "image": cat, "labels": ["a cat", "a cup of coffee"] });
    assert_eq!(told(&client.call("label", &labels))["images"][0]["labels"][0]["label"], "a cat");
    let nothing = client.call("search", &json!({ "query": "a cat" }));
    assert_eq!(nothing["isError"], true, "{nothing}");

    home.ek(&["index", "pictures"]).exits(0);
    let result = client.call("search", &json!({ "query": "a cup of coffee", "limit": 1 }));
    let hit = told(&result)["hits"][0].clone();
    assert!(hit["path"].as_str().expect("a path").ends_with("coffee_300x600.webp"), "{hit}");
    let picture = &result["content"][1];
    assert_eq!((&picture["type"], &picture["mimeType"]), (&json!("image"), &json!("image/jpeg")));
    use base64::Engine as _;
    let jpeg = picture["data"].as_str().expect("base64");
    let jpeg = base64::prelude::BASE64_STANDARD.decode(jpeg).expect("base64");
    assert!(image::load_from_memory(&jpeg).is_ok(), "a picture");

    let like = json!({ "image": hit["id"], "avoid": "a cat", "pictures": false });
    let like = client.call("search", &like);
    assert_eq!(told(&like)["hits"][0]["id"], hit["id"]);
    assert_eq!(like["content"].as_array().expect("content").len(), 1);
    let words = told(&client.call("describe", &json!({ "image": cat, "limit": 3 })));
    assert_eq!(words["images"][0]["descriptions"].as_array().expect("words").len(), 3);
    assert_eq!(told(&client.call("status", &json!({})))["images"], 2);

    // What is wrong is told, and the next question answered.
    for (tool, arguments) in [
        ("search", json!({})),
        ("search", json!({ "query": "a", "limit": 1000 })),
        ("search", json!({ "query": "a", "filter": "x:y" })),
        ("describe", json!({ "image": "relative.jpg" })),
        ("describe", json!({ "image": "/nowhere.jpg" })),
        ("label", json!({ "image": cat, "labels": ["one"] })),
    ] {
        let result = client.call(tool, &arguments);
        assert_eq!(result["isError"], true, "{tool} {arguments}: {result}");
        assert!(result["content"][0]["text"].as_str().is_some_and(|t| !t.is_empty()), "{result}");
    }
    assert_eq!(told(&client.call("status", &json!({})))["images"], 2);
    client.end();
}
