//! The page, as a person uses it, in a real Chromium.

use std::path::Path;

use crate::support::browser::{Browser, skipped};
use crate::support::{Home, Server, reference};

/// The name of the best hit; empty while the page only lists what there is.
const FIRST: &str = "(document.querySelector('#grid .scored .entry img')?.alt ?? '')";

fn with_page(images: &[&str]) -> (Home, Server, Browser) {
    let home = Home::new();
    let folder = home.folder("pictures");
    for name in images {
        fs_err::copy(reference(&format!("images/{name}")), folder.join(name)).expect("copied");
    }
    let server = Server::start(&home, &["up", "pictures"]);
    server.wait_for_images(images.len() as u64);
    let browser = Browser::start();
    browser.open(&server.url);
    (home, server, browser)
}

const PICTURES: &[&str] = &[
    "astronaut_512x400.png",
    "cat_451x300.jpg",
    "coffee_300x600.webp",
    "motorcycle_gray_370x250.png",
    "rocket_640x427.jpg",
];

fn file(name: &str) -> String {
    let path: &Path = &reference(&format!("images/{name}"));
    path.display().to_string()
}

#[test]
fn a_phrase_a_picture_more_like_it_and_labels() {
    if skipped() {
        return;
    }
    let (_home, server, browser) = with_page(PICTURES);
    // Before anything is asked: all pictures, and what the model is good for.
    browser.wait("document.querySelectorAll('#grid .entry.loaded').length === 5");
    browser.wait("document.querySelector('#note').innerText.includes('photograph')");

    // Searching as one types.
    browser.type_into("#q", "a cup of coffee");
    browser.wait(&format!("{FIRST}.startsWith('coffee')"));
    browser.wait("location.search.includes('coffee')");

    // The address alone brings the same back.
    let address = browser.run("return location.href");
    browser.open("about:blank");
    browser.open(address.as_str().expect("an address"));
    browser.wait(&format!("{FIRST}.startsWith('coffee')"));

    // A picture of one's own.
    browser.open(&server.url);
    browser.wait("document.querySelectorAll('#grid .entry').length === 5");
    browser.type_into("#file", &file("coffee_palette.gif"));
    browser.wait(&format!("{FIRST}.startsWith('coffee')"));

    // Looked at, labelled, described, and more like it.
    browser.run("document.querySelector('#grid .entry').click()");
    browser.wait("document.querySelector('#viewer').open");
    browser.wait("document.querySelector('#v-facts').innerText.includes('300 × 600')");
    browser.type_into("#v-words", "cat, rocket, cup of coffee\n");
    browser.wait("document.querySelectorAll('#v-labels li').length === 3");
    browser.wait("document.querySelector('#v-labels li').innerText.includes('coffee')");
    browser.run("document.querySelector('#v-ask').click()");
    browser.wait("document.querySelectorAll('#v-words-found li').length > 3");
    browser.run("document.querySelector('#v-like').click()");
    browser.wait("!document.querySelector('#viewer').open");
    browser.wait(&format!("{FIRST}.startsWith('coffee')"));
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn the_keyboard_is_enough() {
    if skipped() {
        return;
    }
    let (_home, _server, browser) = with_page(PICTURES);
    browser.wait("document.querySelectorAll('#grid .entry.loaded').length === 5");
    browser.run("document.activeElement?.blur()");
    browser.keys("/");
    browser.wait("document.activeElement?.id === 'q'");
    browser.keys("a cat");
    browser.wait(&format!("{FIRST}.startsWith('cat')"));
    browser.keys(Browser::DOWN);
    browser.wait("document.activeElement?.classList.contains('entry')");
    browser.keys(Browser::ENTER);
    browser.wait("document.querySelector('#viewer').open");
    browser.keys(Browser::ESCAPE);
    browser.wait("!document.querySelector('#viewer').open");
    assert_eq!(browser.console(), Vec::<String>::new());
}

#[test]
fn what_goes_wrong_is_said_in_plain_words() {
    if skipped() {
        return;
    }
    let (home, server, browser) = with_page(&["cat_451x300.jpg"]);
    browser.wait("document.querySelectorAll('#grid .entry.loaded').length === 1");
    let broken = home.path().join("broken.jpg");
    fs_err::write(&broken, "no picture at all").expect("written");
    browser.type_into("#file", &broken.display().to_string());
    browser.wait("document.querySelector('#alert').innerText.length > 10");
    let said = browser.run("return document.querySelector('#alert').innerText");
    let said = said.as_str().expect("text").to_lowercase();
    assert!(said.contains("picture") && !said.contains("error {"), "{said}");

    browser.open(&format!("{}/?q=cat", server.url));
    browser.wait(&format!("{FIRST}.startsWith('cat')"));
    assert_eq!(server.terminate(), 0);
    browser.type_into("#q", " again");
    browser.wait("document.querySelector('#alert').innerText.length > 10");
}
