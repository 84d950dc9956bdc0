//! `ek mcp`, by the protocol's own words, and by a client library that was not written here.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::{Home, Server, cache, python, reference, repository};

/// One who speaks JSON-RPC to `ek mcp`, a message a line.
struct Client {
    child: Child,
    to: Option<ChildStdin>,
    from: Lines<BufReader<ChildStdout>>,
    errors: ChildStderr,
    asked: u64,
}

impl Client {
    /// Starts it, and says nothing yet.
    fn silent(home: &Home, more: &[&str]) -> Self {
        let mut command = home.command(&[&["mcp"], more].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("ek starts");
        let from = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (to, errors) = (child.stdin.take(), child.stderr.take().expect("piped"));
        Self { child, to, from, errors, asked: 0 }
    }

    fn start(home: &Home, more: &[&str]) -> Self {
        let mut this = Self::silent(home, more);
        this.greet();
        this
    }

    fn greet(&mut self) {
        let hello = self.ask(
            "initialize",
            &json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": { "name": "a test", "version": "1" },
            }),
        );
        let hello = &hello["result"];
        assert_eq!(hello["serverInfo"]["name"], "ekphrasis", "{hello}");
        assert_eq!(hello["protocolVersion"], "2025-06-18", "{hello}");
        assert!(hello["capabilities"]["tools"].is_object(), "{hello}");
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }).to_string());
    }

    fn send(&mut self, line: &str) {
        let to = self.to.as_mut().expect("not closed yet");
        writeln!(to, "{line}").expect("it listens");
    }

    /// The answer to a request. Whatever else comes is JSON, too: nothing but the protocol
    /// goes to standard output.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&request.to_string());
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

    /// What a tool says in JSON; it has to go well.
    fn told(&mut self, tool: &str, arguments: &Value) -> Value {
        told(&self.call(tool, arguments))
    }

    /// Ends its input, and gives how it ended and what it said on standard error.
    fn end(mut self) -> (ExitStatus, String) {
        drop(self.to.take());
        let rest: Vec<_> = self.from.by_ref().map(|line| line.expect("text")).collect();
        assert!(rest.is_empty(), "{rest:?}");
        let mut said = String::new();
        self.errors.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("it ends"), said)
    }
}

fn told(result: &Value) -> Value {
    assert_ne!(result["isError"], true, "{result}");
    serde_json::from_str(result["content"][0]["text"].as_str().expect("text")).expect("JSON")
}

/// The sentence of a tool that did not do it.
fn refused(result: &Value) -> &str {
    assert_eq!(result["isError"], true, "{result}");
    result["content"][0]["text"].as_str().expect("a sentence")
}

/// Two photographs, not indexed yet.
fn with_two() -> (Home, PathBuf) {
    let home = Home::new();
    let folder = home.folder("pictures");
    for name in ["cat_451x300.jpg", "coffee_300x600.webp"] {
        fs_err::copy(reference(&format!("images/{name}")), folder.join(name)).expect("copied");
    }
    (home, folder.join("cat_451x300.jpg"))
}

/// Every tool once, over a store that has the two photographs.
fn use_all_tools(client: &mut Client, cat: &str) {
    let result = client.call("search", &json!({ "query": "a cup of coffee", "limit": 1 }));
    let found = told(&result);
    let hit = &found["hits"][0];
    assert!(hit["path"].as_str().expect("a path").ends_with("coffee_300x600.webp"), "{found}");
    assert!(found["anything"]["verdict"].is_string(), "{found}");
    let content = result["content"].as_array().expect("content");
    assert_eq!(content.len(), 3, "{result}");
    let name = content[1]["text"].as_str().expect("a name");
    assert!(name.starts_with("1. /") && name.ends_with("coffee_300x600.webp"), "{name}");
    assert_eq!(
        (&content[2]["type"], &content[2]["mimeType"]),
        (&json!("image"), &json!("image/jpeg"))
    );
    let jpeg = BASE64_STANDARD.decode(content[2]["data"].as_str().expect("base64"));
    let jpeg = image::load_from_memory(&jpeg.expect("base64")).expect("a picture");
    assert_eq!((jpeg.width(), jpeg.height()), (200, 400), "its longer side is bounded");

    let like = json!({ "image": hit["id"], "avoid": "a cat", "pictures": false });
    let like = client.call("search", &like);
    assert_eq!(told(&like)["hits"][0]["id"], hit["id"]);
    assert_eq!(like["content"].as_array().expect("content").len(), 1);
    let by_file =
        client.told("search", &json!({ "image": cat, "limit": 1, "filter": "format:jpeg" }));
    assert_eq!(by_file["hits"][0]["path"], cat, "{by_file}");
    assert_eq!(by_file["query"]["parts"][0]["image"], cat, "{by_file}");
    // What is kept away from by a picture comes last, what is liked comes first, and what is
    // disliked not again.
    let (coffee, id) = (&hit["id"], &by_file["hits"][0]["id"]);
    let away = json!({ "query": "a photo", "avoid_image": coffee, "pictures": false });
    let away = client.told("search", &away);
    assert_eq!(&away["hits"][0]["id"], id, "{away}");
    assert!(away["query"]["parts"][1]["weight"].as_f64().expect("a weight") < 0.0, "{away}");
    let liked = client.told("search", &json!({ "liked": [coffee], "pictures": false }));
    assert_eq!((&liked["hits"][0]["id"], &liked["query"]["liked"]), (coffee, &json!([coffee])));
    let judged = json!({ "query": "a photo", "liked": [id], "disliked": [coffee] });
    let judged = client.told("search", &judged);
    assert_eq!(judged["hits"].as_array().expect("hits").len(), 1, "{judged}");
    assert_eq!((&judged["hits"][0]["id"], &judged["query"]["disliked"]), (id, &json!([coffee])));
    let nothing = client.told("search", &json!({ "query": "a cat", "filter": "width:>9000" }));
    assert_eq!(nothing["hits"], json!([]), "finding nothing is no error");

    for image in [json!(cat), by_file["hits"][0]["id"].clone()] {
        let words = client.told("describe", &json!({ "image": image, "limit": 3 }));
        assert_eq!(words["images"][0]["path"], cat, "{words}");
        assert_eq!(words["images"][0]["descriptions"].as_array().expect("words").len(), 3);
        let labels = json!({ "image": image, "labels": ["a cup of coffee", "a cat"] });
        let labels = client.told("label", &labels);
        assert_eq!(labels["images"][0]["path"], cat, "{labels}");
        assert_eq!(labels["images"][0]["labels"][0]["label"], "a cat", "{labels}");
    }
    assert_eq!(client.told("status", &json!({}))["images"], 2);
}

#[test]
fn an_assistant_uses_every_tool() {
    let (home, cat) = with_two();
    let cat = cat.to_str().expect("UTF-8");
    let mut client = Client::start(&home, &[]);
    let tools = client.ask("tools/list", &json!({}));
    let tools = tools["result"]["tools"].as_array().expect("tools");
    let mut names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["describe", "label", "search", "status"]);
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
    }

    // Before anything is indexed: words can be had, and the rest says what is missing.
    let labels = json!({ "image": cat, "labels": ["a cat", "a cup of coffee"] });
    assert_eq!(client.told("label", &labels)["images"][0]["labels"][0]["label"], "a cat");
    let words = client.told("describe", &json!({ "image": cat }));
    assert_eq!(words["images"][0]["descriptions"].as_array().expect("words").len(), 10);
    for tool in ["search", "status"] {
        let result =
            client.call(tool, &if tool == "search" { json!({ "query": "a" }) } else { json!({}) });
        assert!(refused(&result).contains("ek index"), "{result}");
    }
    assert!(!home.data().exists(), "reading makes nothing");

    // What is indexed meanwhile is found, without a new start.
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    use_all_tools(&mut client, cat);
    // Files are judged as ids are.
    let judged = client.told("search", &json!({ "query": "a photo", "disliked": [cat] }));
    assert_eq!(judged["hits"].as_array().expect("hits").len(), 1, "{judged}");
    assert!(judged["hits"][0]["path"].as_str().is_some_and(|path| path != cat), "{judged}");
    let (ended, said) = client.end();
    assert!(ended.success() && said.is_empty(), "{ended}: {said}");
}

#[test]
fn an_assistant_asks_the_server_that_holds_the_store() {
    let (home, cat) = with_two();
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(2);
    // A library that is not there shows that no model is loaded here.
    let mut client = Client::start(&home, &["--onnxruntime", "/no/library"]);
    use_all_tools(&mut client, cat.to_str().expect("UTF-8"));
    // What the server refuses is told in the words of this side.
    let wrong = json!({ "image": "/nowhere.jpg", "labels": ["a", "b"] });
    assert!(!refused(&client.call("label", &wrong)).is_empty());
    drop(server);
    let alone = client.call("search", &json!({ "query": "a cat" }));
    assert!(refused(&alone).contains("/no/library"), "{alone}");
    assert_eq!(client.told("status", &json!({}))["images"], 2);
    assert!(client.end().0.success());
}

#[test]
fn what_is_wrong_is_told_and_harms_nothing() {
    let (home, cat) = with_two();
    let cat = cat.to_str().expect("UTF-8");
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    let mut client = Client::start(&home, &[]);
    let nobody = "0".repeat(32);
    let pipe = home.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for (tool, arguments, word) in [
        ("search", json!({}), "nothing to look for"),
        ("search", json!({ "avoid": "a dog" }), "also what to look for"),
        ("search", json!({ "disliked": [cat] }), "also what to look for"),
        ("search", json!({ "query": "a", "liked": [nobody] }), "no item"),
        ("search", json!({ "query": "a", "limit": 1000 }), "limit"),
        ("search", json!({ "query": ["a"] }), "query"),
        ("search", json!({ "query": "a", "filter": "x:y" }), "filter"),
        ("search", json!({ "query": "a", "frobnicate": 1 }), "frobnicate"),
        ("search", json!({ "image": nobody }), "no item"),
        ("describe", json!({}), "image is missing"),
        ("describe", json!({ "image": "relative.jpg" }), "absolute"),
        ("describe", json!({ "image": "https://example.org/a.jpg" }), "network"),
        ("describe", json!({ "image": "/nowhere.jpg" }), "/nowhere.jpg"),
        ("describe", json!({ "image": "/dev/zero" }), "regular file"),
        ("describe", json!({ "image": pipe }), "regular file"),
        ("describe", json!({ "image": home.path() }), "folder"),
        ("label", json!({ "image": cat, "labels": ["one"] }), "two different"),
        ("label", json!({ "image": cat, "labels": "a,b" }), "labels"),
        ("status", json!({ "more": true }), "more"),
    ] {
        let result = client.call(tool, &arguments);
        let said = refused(&result);
        assert!(said.contains(word) && !said.contains('\n'), "{tool} {arguments}: {said}");
    }
    // The same words as on the command line.
    let there = home.ek(&["label", cat, "--labels", "one"]).exits(2).stderr();
    let here = client.call("label", &json!({ "image": cat, "labels": ["one"] }));
    assert_eq!(there.trim_end(), format!("ek: {}", refused(&here)));

    // What is no call of a tool here is the protocol's affair.
    let unknown = client.ask("tools/call", &json!({ "name": "frobnicate", "arguments": {} }));
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    assert!(unknown["error"]["message"].as_str().is_some_and(|m| m.contains("frobnicate")));
    for params in [json!({}), json!({ "name": 7 }), json!({ "name": "search", "arguments": [1] })] {
        let answer = client.ask("tools/call", &params);
        assert!(answer["error"]["code"].is_number(), "{params}: {answer}");
    }
    assert_eq!(client.ask("no/such/method", &json!({}))["error"]["code"], -32601);
    for garbage in ["", "garbage", "{", "[1,2", "\u{0}", "null", "7", "[]", "{\"jsonrpc\":\"2.0\"}"]
    {
        client.send(garbage);
    }
    let deep = "[".repeat(100_000);
    client.send(&deep);
    client.send(&format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{}\"", "x".repeat(1_000_000)));
    assert_eq!(client.told("status", &json!({}))["images"], 2);

    // Many at once: each is answered.
    for id in 1000..1040 {
        let call = json!({ "name": "search", "arguments": { "query": format!("a cat {id}"), "limit": 1 } });
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": call });
        client.send(&call.to_string());
    }
    let mut answered: Vec<i64> = Vec::new();
    while answered.len() < 40 {
        let line = client.from.next().expect("an answer").expect("text");
        let answer: Value = serde_json::from_str(&line).expect("JSON");
        told(&answer["result"]);
        answered.push(answer["id"].as_i64().expect("an id"));
    }
    answered.sort_unstable();
    assert!(answered.iter().copied().eq(1000..1040), "{answered:?}");
    assert!(client.end().0.success());
}

#[test]
fn it_ends_with_its_input() {
    let home = Home::new();
    // Before a word was said, and after the greeting.
    let (ended, said) = Client::silent(&home, &[]).end();
    assert!(ended.success() && said.is_empty(), "{ended}: {said}");
    assert!(Client::start(&home, &[]).end().0.success());
    // Whose first message is something else is told so, and nothing is served.
    let mut client = Client::silent(&home, &[]);
    client.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}");
    let (ended, said) = client.end();
    assert_eq!(ended.code(), Some(2), "{said}");
    assert!(said.starts_with("ek: ") && said.contains("initialize"), "{said}");
    // Without a model no tool could answer: that is told at once.
    let run = home.ek(&["mcp", "--model", "nowhere"]).exits(3);
    assert!(run.stderr().contains("nowhere") && run.stdout().is_empty(), "{}", run.stderr());
}

/// The first run installs the library from PyPI, which takes half a minute.
#[test]
fn a_client_library_not_written_here_lists_and_calls_the_tools() {
    let (home, cat) = with_two();
    home.ek(&["index", "pictures", "--quiet"]).exits(0);
    let folder = repository().join("tests/mcp_client");
    let run = Command::new(python(&folder.join("requirements.txt")))
        .arg(folder.join("client.py"))
        .args([PathBuf::from(env!("CARGO_BIN_EXE_ek")), home.data(), cache(), cat])
        .output()
        .expect("python starts");
    let [out, err] = [&run.stdout, &run.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(run.status.success(), "{out}\n{err}");
    for mode in ["legacy: ekphrasis", "auto: ekphrasis"] {
        assert!(out.contains(mode), "{out}");
    }
}
