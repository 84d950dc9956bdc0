//! What the server has and does: status, jobs with live progress, failures, the model,
//! how much searches miss.

use super::*;

#[test]
fn jobs_failures_model_and_recall() {
    if skipped() {
        return;
    }
    let page = Page::with(&["cat_451x300.jpg", "rocket_640x427.jpg"], |home| {
        fs_err::write(home.path().join("pictures/broken.jpg"), "no picture at all")
            .expect("written");
    });
    let browser = &page.browser;
    page.wait_for_tiles(2);
    page.wait("document.querySelector('#status-text').innerText.includes('1 not read')");
    browser.click("#library-button");
    page.wait("document.querySelector('#library').open");
    page.wait("document.querySelector('#l-roots').innerText.includes('/pictures')");
    page.wait("document.querySelector('#l-numbers').innerText.includes('Pictures')");
    page.wait("document.querySelector('#l-models').innerText.includes('lite')");
    page.wait("document.querySelector('#l-recall-words').innerText.includes('nothing is missed') || document.querySelector('#l-recall-words').innerText.includes('ek recall')");
    browser.click("#l-failures summary");
    page.wait("document.querySelector('#l-failures-list').innerText.includes('broken.jpg')");

    // A picture that is new is found by a job over the folder that its own lies in, which
    // tells how far it is until its end.
    let folder = page.home.path().join("pictures/new");
    fs_err::create_dir(&folder).expect("created");
    fs_err::copy(reference("images/coffee_300x600.webp"), folder.join("coffee.webp"))
        .expect("copied");
    browser.type_into("#j-path", &format!("{}\n", folder.display()));
    page.wait("document.querySelector('.job')?.innerText.includes('Index: pictures')");
    page.wait("document.querySelector('.job').dataset.state === 'done'");
    page.wait("document.querySelector('.job').innerText.includes('files')");
    page.wait("document.querySelector('#l-numbers').innerText.includes('3')");
    // Not everywhere may be looked at: the server says so, beside the box.
    browser.type_into("#j-path", "/etc\n");
    page.wait("document.querySelector('#j-wrong').innerText.length > 10");
    browser.click("#j-retry");
    page.wait("document.querySelectorAll('.job').length === 2");
    page.wait("document.querySelector('.job').innerText.includes('Try again')");
    page.wait("document.querySelector('.job').dataset.state === 'done'");
    browser.keys(Browser::ESCAPE);
    page.wait("!document.querySelector('#library').open");
    page.wait_for_tiles(3);
    // A folder is forgotten at the second press, and its files stay.
    browser.click("#library-button");
    browser.run(
        "const button = document.querySelector('#l-roots [aria-label^=\"Forget\"]');
         button.focus(); button.click();",
    );
    page.wait("document.querySelector('#l-roots [data-sure]')?.innerText.startsWith('Really')");
    browser.keys(Browser::ENTER);
    page.wait("document.querySelector('.job').innerText.includes('3 items forgotten')");
    page.wait("document.querySelectorAll('#l-roots li').length === 0");
    assert!(folder.join("coffee.webp").exists());
    page.end_but(&["/v1/jobs"]);
}

#[test]
fn the_store_moves_to_another_model_at_the_second_press() {
    if skipped() {
        return;
    }
    let page = Page::with(&["cat_451x300.jpg", "rocket_640x427.jpg"], |home| {
        let siglip = repository().join("models/tests/fixtures/siglip");
        home.ek(&["model", "import", siglip.to_str().expect("UTF-8")]).exits(0);
    });
    let browser = &page.browser;
    page.wait_for_tiles(2);
    browser.click("#library-button");
    let button = |name: &str| format!("#l-models [aria-label=\"Use this one: {name}\"]");
    page.wait(&format!("document.querySelector('{}') !== null", button("siglip")));
    // What is in use needs no button.
    page.wait(&format!("document.querySelector('{}') === null", button("lite")));
    browser.run(&format!(
        "const button = document.querySelector('{}'); button.focus(); button.click();",
        button("siglip")
    ));
    page.wait("document.querySelector('#l-models [data-sure]')?.innerText.startsWith('Really')");
    browser.keys(Browser::ENTER);
    page.wait("document.querySelector('.job')?.innerText.includes('Move to: siglip')");
    page.wait("document.querySelector('.job').dataset.state === 'done'");
    page.wait("document.querySelector('.job').innerText.includes('switched: 2 embedded')");
    // Now it is the other one that can be moved to.
    page.wait(&format!("document.querySelector('{}') !== null", button("lite")));
    page.wait(&format!("document.querySelector('{}') === null", button("siglip")));
    page.wait("document.querySelector('#l-model').innerText.includes('siglip-')");
    page.end();
}
