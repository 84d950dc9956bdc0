//! Label sets and identities: made from words, from pictures of the index, and from
//! pictures that are dropped; used beside a picture; forgotten. By the keyboard.

use super::*;

/// Drops a picture of this name onto what the selector finds.
fn drop_onto(browser: &Browser, selector: &str, name: &str) {
    let bytes = fs_err::read(reference(&format!("images/{name}"))).expect("read");
    let bytes = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, bytes);
    browser.run(&format!(
        "const bytes = Uint8Array.from(atob('{bytes}'), (c) => c.charCodeAt(0));
         const given = new DataTransfer();
         given.items.add(new File([bytes], '{name}', {{ type: 'image/jpeg' }}));
         document.querySelector('{selector}').dispatchEvent(
           new DragEvent('drop', {{ dataTransfer: given, cancelable: true, bubbles: true }}));"
    ));
}

/// Opens the picture whose name begins so.
fn look_at(page: &Page, name: &str) {
    page.browser.run(&format!(
        "[...document.querySelectorAll('#grid .tile')].find((tile) =>
           tile.querySelector('img').alt.startsWith('{name}')).querySelector('.entry').click()"
    ));
    page.wait(&format!(
        "document.querySelector('#viewer').open && document.querySelector('#v-title').innerText.startsWith('{name}')"
    ));
}

#[test]
fn label_sets_are_made_used_and_deleted() {
    if skipped() {
        return;
    }
    let page = Page::new(PICTURES);
    let browser = &page.browser;
    browser.run("document.activeElement?.blur()");
    browser.keys("n");
    page.wait(
        "document.querySelector('#names').open && !document.querySelector('#n-no-sets').hidden",
    );
    browser.click("#n-new");
    page.wait("document.activeElement?.id === 'n-set-name'");
    browser.keys("things");
    // Several labels at once; one of them known by a picture that is dropped on it.
    browser.type_into(".label-row input", "a cat, cup\t");
    page.wait("document.querySelectorAll('.label-row').length === 2");
    drop_onto(browser, ".label-row:nth-child(2) .examples", "coffee_300x600.webp");
    page.wait("document.querySelectorAll('.label-row:nth-child(2) .thumbs img').length === 1");
    page.wait("!document.querySelector('.chip.picture')");
    browser.click(".label-row:nth-child(2) .tick input");
    page.wait("document.querySelectorAll('.label-row:nth-child(2) .line input')[1].disabled");
    browser.click("#n-write");
    page.wait("document.querySelector('#n-sets summary')?.innerText.includes('2 labels')");
    let known = "document.querySelector('#n-sets .labels').innerText.replace(/\\s+/g, ' ')";
    page.wait(&format!("{known}.includes('a cat known by itself')"));
    page.wait(&format!("{known}.includes('cup known by 1 picture')"));
    page.wait("document.querySelector('#toast').innerText.includes('things has 2 labels')");

    // The same name again is refused where it was typed.
    browser.click("#n-new");
    browser.keys("things");
    browser.type_into(".label-row input", "dog\n");
    page.wait("document.querySelector('#n-wrong').innerText.includes('already')");
    browser.click("#n-cancel");
    browser.keys(Browser::ESCAPE);
    page.wait("!document.querySelector('#names').open");

    // Beside a picture it is what is chosen among.
    look_at(&page, "cat");
    browser.run("document.querySelector('#v-label').open = true");
    page.wait("document.querySelector('#v-set').value === 'things'");
    page.wait("document.querySelector('#v-labels li')?.innerText.includes('a cat')");
    page.wait("document.querySelector('#v-form').hidden");
    // The picture itself becomes an example, and what is there follows to the next picture.
    browser.type_into("#v-teach-label", "Mittens\n");
    page.wait("document.querySelector('#v-labels li')?.innerText.includes('Mittens')");
    browser.run("document.querySelector('#v-next').click()");
    page.wait("document.querySelector('#v-labels li')");
    // Words that were typed can be kept.
    browser.run(
        "const set = document.querySelector('#v-set'); set.value = ''; set.dispatchEvent(new Event('change'));",
    );
    browser.type_into("#v-words", "cat, rocket, cup of coffee\n");
    page.wait("document.querySelectorAll('#v-labels li').length >= 3");
    browser.click("#v-keep");
    page.wait("document.querySelector('#names').open && document.querySelectorAll('.label-row').length === 3");
    browser.type_into("#n-set-name", "other things\n");
    page.wait("document.querySelectorAll('#n-sets > li').length === 2");
    // It is above the viewer, whose keys rest.
    let place = browser.run("return document.querySelector('#v-place').innerText");
    browser.run("document.querySelector('#n-new').focus()");
    browser.keys(Browser::RIGHT);
    page.wait(&format!("document.querySelector('#v-place').innerText === {place}"));

    let of_things = "[...document.querySelectorAll('#n-sets > li')].at(-1)";
    // The library is labelled by it, and the label is a facet and a filter then.
    browser.run(&format!("{of_things}.querySelector('.apply').click()"));
    page.wait(&format!(
        "{of_things}.querySelector('.applied')?.innerText.includes('is asked of those that come')"
    ));
    page.wait("document.querySelector('#toast').innerText.includes('a label of things')");
    // What was taught shows its picture, and a label or a set goes at the second press.
    page.wait(&format!("{of_things}.querySelector('.thumb-look img')"));
    let delete = format!("{of_things}.querySelector('[aria-label^=\"Delete the label Mittens\"]')");
    browser.run(&format!("const button = {delete}; button.focus(); button.click();"));
    page.wait(&format!("{of_things}.querySelector('[data-sure]')?.innerText === 'Really delete?'"));
    browser.keys(Browser::ENTER);
    page.wait(&format!("{of_things}.querySelector('summary').innerText.includes('2 labels')"));
    for left in [1, 0] {
        browser.run(
            "const button = document.querySelector('#n-sets [aria-label^=\"Delete the set\"]');
             button.closest('details').open = true; button.focus(); button.click();",
        );
        browser.keys(Browser::ENTER);
        page.wait(&format!("document.querySelectorAll('#n-sets > li').length === {left}"));
    }
    page.end_but(&["/v1/label-sets/things"]);
}

#[test]
fn identities_are_enrolled_recognised_and_forgotten() {
    if skipped() {
        return;
    }
    let page = Page::new(PICTURES);
    let browser = &page.browser;
    look_at(&page, "cat");
    browser.run("document.querySelector('#v-who').open = true");
    page.wait("document.querySelector('#v-found').innerText.includes('Nobody is enrolled yet')");
    page.wait("document.querySelector('#v-verify').hidden");
    browser.type_into("#v-enrol-name", "Mittens\n");
    page.wait("document.querySelector('#v-found .verdict')?.innerText === 'Looks like Mittens'");
    // How far that can be trusted, in words.
    page.wait("/about 1 in [0-9]+ comparisons/.test(document.querySelector('#v-found').innerText)");
    page.wait("document.querySelector('#v-found').innerText.includes('Measured on')");
    page.wait("document.querySelector('#toast').closest('#viewer')");
    // The next picture shows somebody else, who is not known.
    browser.keys(Browser::ESCAPE);
    page.wait("!document.querySelector('#viewer').open");
    look_at(&page, "coffee");
    page.wait(
        "document.querySelector('#v-found .verdict')?.innerText === 'Nobody who is enrolled'",
    );
    page.wait("document.querySelector('#v-found .bar.muted')?.innerText.includes('Mittens')");
    browser.run("document.querySelector('#v-verify').requestSubmit()");
    page.wait("document.querySelector('#v-verified .verdict')?.innerText === 'No, it does not look like Mittens'");
    browser.run("document.querySelector('#v-close').click()");
    page.wait("!document.querySelector('#viewer').open");

    // Several pictures at once, out of the selection.
    for name in ["coffee", "rocket"] {
        browser.run(&format!(
            "[...document.querySelectorAll('#grid .tile')].find((tile) =>
               tile.querySelector('img').alt.startsWith('{name}')).querySelector('.entry').focus()"
        ));
        browser.keys("x");
    }
    page.wait("document.querySelector('#s-count').innerText === '2 entries selected'");
    browser.click("#s-name");
    page.wait("document.activeElement?.id === 'n-enrol-name'");
    page.wait("document.querySelectorAll('#n-enrol .thumbs img').length === 2");
    // One is taken out again, another comes by being dropped anywhere on the sheet.
    browser.click("#n-enrol .thumb-drop");
    page.wait("document.querySelectorAll('#n-enrol .thumbs img').length === 1");
    drop_onto(browser, "#n-title", "cat_451x300.jpg");
    page.wait("document.querySelectorAll('#n-enrol .thumbs img').length === 2");
    browser.type_into("#n-enrol-name", "Ünïcode/猫\n");
    page.wait("document.querySelector('#n-wrong').innerText.includes('cannot be a name')");
    browser.run("document.querySelector('#n-enrol-name').value = ''");
    browser.type_into("#n-enrol-name", "Ünïcode 猫\n");
    page.wait("document.querySelectorAll('#n-list > li').length === 2");
    page.wait("document.querySelector('#n-list').innerText.includes('2 pictures')");
    // Its pictures can be looked for, it can be forgotten.
    browser.run(
        "document.querySelector('#n-list [aria-label=\"Find pictures like Mittens\"]').click()",
    );
    page.wait("!document.querySelector('#names').open && document.querySelectorAll('.chip.like').length === 1");
    page.wait_first("cat");
    browser.run("document.activeElement?.blur()");
    browser.keys("n");
    page.wait("document.querySelector('#names').open && document.querySelectorAll('#n-list > li').length === 2");
    for left in [1, 0] {
        browser.run(
            "const button = document.querySelector('#n-list [aria-label^=\"Forget\"]');
             button.focus(); button.click();",
        );
        page.wait("document.querySelector('#n-list [data-sure]')?.innerText === 'Really forget?'");
        browser.keys(Browser::ENTER);
        page.wait(&format!("document.querySelectorAll('#n-list > li').length === {left}"));
    }
    page.wait("!document.querySelector('#n-no-identities').hidden");
    page.end_but(&["/v1/identities/"]);
}
