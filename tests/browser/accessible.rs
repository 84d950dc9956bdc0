//! axe-core, by Deque, over every state of the page in both themes, and on a small screen.

use std::io::Read;

use flate2::read::GzDecoder;

use super::*;
use crate::support::repository;

fn axe() -> String {
    let packed =
        fs_err::read(repository().join("tests/fixtures/axe/axe.min.js.gz")).expect("there");
    let mut text = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("gzip of UTF-8");
    text
}

impl Page {
    /// Lets axe look at the page as it is, in light and in dark.
    fn look(&self, state: &str, found: &mut Vec<String>) {
        for scheme in ["light", "dark"] {
            self.browser.prefer(scheme);
            let violations = self.browser.run_async(
                "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => done(
                   violations.flatMap((one) => one.nodes.map((node) =>
                     `${one.id}: ${one.help}: ${node.html.slice(0, 300)} ${node.any[0]?.message ?? ''}`))),
                   (error) => done([String(error)]))",
            );
            let violations = violations.as_array().expect("a list").clone();
            found.extend(violations.iter().map(|one| format!("{state}, {scheme}: {one}")));
        }
    }
}

#[test]
fn every_state_passes_axe_in_both_themes() {
    if skipped() {
        return;
    }
    let page = Page::with(PICTURES, |home| {
        let rocket = reference("images/rocket_640x427.jpg");
        fs_err::copy(rocket, home.path().join("pictures/again.jpg")).expect("copied");
        fs_err::write(home.path().join("pictures/broken.jpg"), "no picture").expect("written");
    });
    let browser = &page.browser;
    let mut found = Vec::new();
    page.wait_for_tiles(6);
    let axe = axe();
    let load = |browser: &Browser| browser.run(&axe);
    load(browser);
    page.wait("document.querySelectorAll('#f-lists .facet').length > 1");
    page.look("listing and filters", &mut found);
    page.search("a cat -dog");
    browser.run("document.querySelector('#grid .entry').focus()");
    browser.keys("l");
    page.wait("document.querySelector('.chip.like')");
    browser.run("document.querySelector('#grid .entry').focus()");
    browser.keys("x");
    page.wait("!document.querySelector('#selection').hidden");
    page.look("a search, chips, selection", &mut found);
    browser.click("#s-clear");
    browser.run("document.querySelector('#grid .entry').click()");
    page.wait("document.querySelector('#viewer').open");
    browser.run("document.querySelector('#v-describe').open = true; document.querySelector('#v-label').open = true;");
    browser.type_into("#v-words", "cat, dog\n");
    page.wait(
        "document.querySelector('#v-labels li') && document.querySelector('#v-words-found li')",
    );
    page.look("viewer", &mut found);
    browser.run("document.querySelector('#v-who').open = true");
    browser.type_into("#v-enrol-name", "Mittens\n");
    page.wait("document.querySelector('#v-found .verdict')");
    browser.run("document.querySelector('#v-verify').requestSubmit()");
    page.wait("document.querySelector('#v-verified .verdict')");
    page.look("who it is", &mut found);
    browser.run("document.querySelector('#v-keep').click()");
    page.wait("document.querySelectorAll('.label-row').length === 2");
    browser.type_into(".label-row input[type=file]", &file("cat_451x300.jpg"));
    page.wait("document.querySelector('.label-row .thumbs img')");
    page.look("a label set that is made", &mut found);
    browser.type_into("#n-set-name", "pets\n");
    page.wait("document.querySelector('#n-sets .labels')");
    page.look("label sets", &mut found);
    browser.click("#n-tabs label:nth-of-type(2)");
    page.wait("document.querySelector('#n-list .thumbs')");
    page.look("identities", &mut found);
    browser.keys(Browser::ESCAPE);
    page.wait("!document.querySelector('#names').open");
    browser.keys(Browser::ESCAPE);
    browser.run("document.querySelector('#v-close').click()");
    page.wait("!document.querySelector('#viewer').open");
    browser.click("#help-button");
    page.look("help", &mut found);
    browser.keys(Browser::ESCAPE);
    browser.click("#library-button");
    page.wait("document.querySelector('#l-models li')");
    browser.click("#l-failures summary");
    page.wait("document.querySelector('#l-failures-list dt')");
    page.look("library", &mut found);
    browser.keys(Browser::ESCAPE);
    browser.click("#copies");
    page.wait("document.querySelectorAll('.copy').length === 2");
    page.look("copies", &mut found);
    browser.open(&format!("{}/?filter=width:%3E5000", page.server.url));
    page.wait("!document.querySelector('#empty').hidden");
    load(browser);
    page.look("nothing", &mut found);

    // A small screen: nothing sticks out, and the same holds.
    browser.resize(360, 640);
    browser.open(&format!("{}/?q=a+cat", page.server.url));
    page.wait_first("cat");
    load(browser);
    page.wait("document.documentElement.scrollWidth <= 360");
    page.look("small", &mut found);
    browser.run("document.querySelector('#grid .entry').click()");
    page.wait("document.querySelector('#viewer').open");
    page.wait("document.querySelector('#viewer').scrollWidth <= 360");
    page.look("small viewer", &mut found);
    browser.run("document.querySelector('#v-close').click()");
    page.wait("!document.querySelector('#viewer').open");
    browser.click("#names-button");
    browser.click("#n-new");
    page.wait("document.querySelector('#names').scrollWidth <= 360");
    page.look("small label sets", &mut found);
    browser.keys(Browser::ESCAPE);
    page.wait("!document.querySelector('#names').open");
    browser.click("#filters");
    page.wait("document.activeElement.id === 'f-close'");
    page.look("small filters", &mut found);
    browser.keys(Browser::ESCAPE);
    page.wait(
        "document.querySelector('#facets').hidden && document.activeElement.id === 'filters'",
    );

    // The button goes through the themes, against what the system prefers.
    let dark = "getComputedStyle(document.body).backgroundColor === 'rgb(20, 20, 19)'";
    browser.prefer("light");
    page.wait(&format!("!({dark})"));
    browser.click("#theme");
    page.wait("document.documentElement.dataset.theme === 'light'");
    browser.click("#theme");
    page.wait(dark);
    browser.open(&page.server.url);
    page.wait(dark);
    assert!(found.is_empty(), "{found:#?}");
    page.end();
}
