//! The page, as a person uses it, in a real Chromium: every capability once. What
//! the page looked like when a test failed lies under `target/tmp/browser/`.

mod accessible;
mod closer;
mod docs;
mod library;
mod many;
mod names;
mod picking;
mod searching;
mod trouble;

use serde_json::json;

use crate::support::browser::{Browser, skipped};
use crate::support::{Home, Server, reference, repository};

/// The name of the entry that is first in the grid.
const FIRST: &str = "(document.querySelector('#grid [data-index=\"0\"] img')?.alt ?? '')";
/// Whether what the grid shows was searched for.
const FOUND: &str = "document.querySelector('#summary').textContent.startsWith('Nearest')";

const PICTURES: &[&str] = &[
    "astronaut_512x400.png",
    "cat_451x300.jpg",
    "coffee_300x600.webp",
    "motorcycle_gray_370x250.png",
    "rocket_640x427.jpg",
];

/// A server of some pictures, and a browser that looks at it. Fields are dropped in this
/// order: the browser first, so that it sees no server end.
struct Page {
    browser: Browser,
    server: Server,
    home: Home,
}

impl Page {
    /// Of golden pictures, by name; `prepare` may add to their folder.
    fn with(images: &[&str], prepare: impl FnOnce(&Home)) -> Self {
        let home = Home::new();
        let folder = home.folder("pictures");
        for name in images {
            fs_err::copy(reference(&format!("images/{name}")), folder.join(name)).expect("copied");
        }
        prepare(&home);
        let server = Server::start(&home, &["up", "pictures"]);
        server.wait_for("/v1/status", |status| {
            status["images"].as_u64() >= Some(images.len() as u64) && status["indexing"].is_null()
        });
        let browser = Browser::start();
        browser.open(&server.url);
        browser.wait("document.querySelector('#library-button').dataset.state !== undefined");
        Self { browser, server, home }
    }

    fn new(images: &[&str]) -> Self {
        let page = Self::with(images, |_| {});
        page.wait_for_tiles(images.len());
        page
    }

    fn wait(&self, expression: &str) {
        self.browser.wait(expression);
    }

    fn wait_for_tiles(&self, count: usize) {
        self.wait(&format!("document.querySelectorAll('#grid .tile img.here').length === {count}"));
    }

    /// Types a search in place of the one before, and waits for its answer.
    fn search(&self, words: &str) {
        self.browser.run("const q = document.querySelector('#q'); q.focus(); q.select();");
        self.browser.keys(words);
        let asked = format!("new URLSearchParams(location.search).get('q') === {words:?}");
        self.wait(&format!("{asked} && {FOUND} && !document.querySelector('#box.busy')"));
    }

    fn wait_first(&self, name: &str) {
        self.wait(&format!("{FIRST}.startsWith({name:?})"));
    }

    /// Ends a test: the page must have had nothing to complain about.
    fn end(self) {
        self.end_but(&[]);
    }

    /// Likewise; a request that was to be refused is in the browser's console too.
    fn end_but(self, refused: &[&str]) {
        let console = self.browser.console();
        let is_refusal = |line: &str| refused.iter().any(|path| line.contains(path));
        let wrong: Vec<_> = console.iter().filter(|line| !is_refusal(line)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

/// A golden picture's path, to be chosen in a file dialog.
fn file(name: &str) -> String {
    reference(&format!("images/{name}")).display().to_string()
}
