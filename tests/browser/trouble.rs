//! What goes wrong is said in plain words; nothing indexed, no server, a server with a key.

use super::*;

#[test]
fn what_goes_wrong_is_said_in_plain_words() {
    if skipped() {
        return;
    }
    let page = Page::new(&["cat_451x300.jpg"]);
    let browser = &page.browser;
    let broken = page.home.path().join("broken.jpg");
    fs_err::write(&broken, "no picture at all").expect("written");
    browser.type_into("#file", &broken.display().to_string());
    page.wait("document.querySelector('#alert').innerText.length > 10");
    let said = browser.run("return document.querySelector('#alert').innerText");
    let said = said.as_str().expect("text").to_lowercase();
    assert!(said.contains("picture") && !said.contains("error {"), "{said}");

    browser.open(&format!("{}/?q=cat", page.server.url));
    page.wait_first("cat");
    let Page { browser, server, home: _home } = page;
    assert_eq!(server.terminate(), 0);
    browser.type_into("#q", " again");
    browser.wait("document.querySelector('#alert').innerText.includes('does not answer')");
}

#[test]
fn nothing_indexed_is_explained_and_a_key_is_asked_for() {
    if skipped() {
        return;
    }
    let home = Home::new();
    home.folder("pictures");
    let mut command = home.command(&["up", "pictures", "--port", "0", "--json"]);
    command.env("EK_API_KEY", "a secret");
    let server = Server::spawn(command);
    let browser = Browser::start();
    browser.open(&server.url);
    browser.wait("document.querySelector('#key').open");
    browser.type_into("#key-value", "a guess\n");
    browser.wait("document.querySelector('#key-title').innerText.includes('not the key')");
    browser.type_into("#key-value", "a secret\n");
    browser.wait("document.querySelector('#empty').innerText.includes('nothing here yet')");
    // A picture that comes later appears by itself, through the key, too.
    let cat = reference("images/cat_451x300.jpg");
    fs_err::copy(cat, home.path().join("pictures/cat.jpg")).expect("copied");
    browser.wait("document.querySelector('#grid .tile img.here')?.src.startsWith('blob:')");
    browser.wait("document.querySelector('#empty').hidden");
}
