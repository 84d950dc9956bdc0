//! Looking at one: facts, why it was found, similar ones, its words, labels; liking
//! and disliking; by the keyboard alone.

use super::*;

#[test]
fn the_viewer_tells_and_the_keyboard_is_enough() {
    if skipped() {
        return;
    }
    let page = Page::new(PICTURES);
    let browser = &page.browser;

    browser.run("document.activeElement?.blur()");
    browser.keys("?");
    page.wait("document.querySelector('#help').open && document.querySelectorAll('#help kbd').length > 10");
    browser.keys(Browser::ESCAPE);
    page.wait("!document.querySelector('#help').open");
    browser.keys("/");
    page.wait("document.activeElement?.id === 'q'");
    browser.keys("a cat");
    page.wait_first("cat");
    page.wait(FOUND);
    browser.keys(Browser::DOWN);
    page.wait("document.activeElement?.closest('[data-index=\"0\"]')");
    browser.keys(Browser::RIGHT);
    page.wait("document.activeElement?.closest('[data-index=\"1\"]')");
    browser.keys(Browser::END);
    page.wait("document.activeElement?.closest('[data-index=\"4\"]')");
    browser.keys(Browser::LEFT);
    page.wait("document.activeElement?.closest('[data-index=\"3\"]')");
    browser.keys(Browser::HOME);
    page.wait("document.activeElement?.closest('[data-index=\"0\"]')");
    // Above the first row is the box.
    browser.keys(Browser::UP);
    page.wait("document.activeElement?.id === 'q'");
    browser.keys(Browser::DOWN);
    page.wait("document.activeElement?.closest('[data-index=\"0\"]')");
    browser.keys(Browser::ENTER);
    page.wait("document.querySelector('#viewer').open");
    page.wait("location.search.includes('open=')");

    // What is known of it.
    page.wait("document.querySelector('#v-facts').innerText.includes('451 × 300')");
    page.wait("document.querySelector('#v-place').innerText === '1 of 5'");
    page.wait("document.querySelector('#v-parts').innerText.includes('a cat')");
    page.wait("document.querySelector('#v-matched').innerText.includes('file name')");
    page.wait("document.querySelectorAll('#v-near img').length === 4");
    browser.keys(Browser::RIGHT);
    page.wait("document.querySelector('#v-place').innerText === '2 of 5'");
    browser.keys(Browser::LEFT);
    page.wait("document.querySelector('#v-place').innerText === '1 of 5'");
    browser.click("#v-describe summary");
    page.wait("document.querySelectorAll('#v-words-found li').length > 3");
    browser.click("#v-label summary");
    browser.type_into("#v-words", "cat, rocket, cup of coffee\n");
    page.wait("document.querySelectorAll('#v-labels li').length >= 3");
    page.wait("document.querySelector('#v-labels li').innerText.includes('cat')");

    // Closing goes back to the very picture, and so does going back.
    browser.run("document.querySelector('#v-close').click()");
    page.wait("!document.querySelector('#viewer').open");
    page.wait("!location.search.includes('open=')");
    page.wait("document.activeElement?.closest('[data-index=\"0\"]')");
    browser.keys(Browser::ENTER);
    page.wait("document.querySelector('#viewer').open");
    let address = browser.run("return location.href");
    browser.back();
    page.wait("!document.querySelector('#viewer').open && location.search.includes('q=')");
    // Its address opens it, wherever one comes from.
    browser.open(address.as_str().expect("an address"));
    page.wait("document.querySelector('#viewer').open");
    page.wait("document.querySelector('#v-title').innerText.startsWith('cat')");
    // Words of its description are a search; a fact is a filter.
    browser.run("document.querySelector('#v-describe').open = true");
    page.wait("document.querySelector('#v-words-found .link')");
    browser.run("document.querySelector('#v-words-found .link').click()");
    page.wait("!document.querySelector('#viewer').open && !location.search.includes('open=')");
    page.wait(
        "document.querySelector('#summary q')?.innerText === document.querySelector('#q').value",
    );
    browser.run("document.querySelector('#grid .entry').click()");
    page.wait("document.querySelector('#viewer').open && document.querySelector('#v-facts .link')");
    browser.run("document.querySelector('#v-facts .link').click()");
    page.wait("!document.querySelector('#viewer').open && document.querySelector('.chip.filter')");
    page.end();
}

#[test]
fn likes_and_dislikes_steer() {
    if skipped() {
        return;
    }
    let page = Page::new(PICTURES);
    let browser = &page.browser;
    page.search("an animal or a vehicle");
    let press = |name: &str, key: &str| {
        // What is drawn anew meanwhile would have the focus on another one.
        page.wait("!document.querySelector('#box.busy')");
        browser.run(&format!(
            "[...document.querySelectorAll('#grid .tile')].find((tile) =>
               tile.querySelector('img').alt.startsWith('{name}')).querySelector('.entry').focus()"
        ));
        browser.keys(key);
    };
    press("rocket", "l");
    page.wait("document.querySelectorAll('.chip.like').length === 1");
    page.wait_first("rocket");
    press("cat", "l");
    page.wait("document.querySelectorAll('.chip.like').length === 2");
    page.wait("document.querySelector('.chip.like-all').innerText.includes('2 liked')");
    press("rocket", "d");
    page.wait("document.querySelectorAll('.chip.like').length === 1");
    page.wait("document.querySelectorAll('.chip.dislike').length === 1");
    page.wait_first("cat");
    // It is not shown again.
    let without = "document.querySelectorAll('#grid .tile').length === 4 &&
        [...document.querySelectorAll('#grid img')].every((one) => !one.alt.startsWith('rocket'))";
    page.wait(without);
    page.wait(
        "/like=[0-9a-f]{32}/.test(location.search) && /dislike=[0-9a-f]{32}/.test(location.search)",
    );
    // The address alone brings the same back, and so does going back.
    let address = browser.run("return location.href");
    browser.open("about:blank");
    browser.open(address.as_str().expect("an address"));
    page.wait_first("cat");
    page.wait(without);
    // Why it was found tells what liking counts.
    browser.run("document.querySelector('#grid .entry').click()");
    page.wait("document.querySelector('#v-parts').innerText.includes('like what you liked')");
    page.wait("document.querySelector('#v-parts').innerText.includes('like what you disliked')");
    browser.click("#v-close");
    // Taken out of what was disliked, it is there again.
    browser.click(".chip.dislike .chip-drop");
    page.wait("document.querySelectorAll('#grid .tile').length === 5");
    page.wait("!/dislike=/.test(location.search)");
    // Different ones first: in the address, and a chip.
    browser.run(
        "if (document.querySelector('#facets').hidden) document.querySelector('#filters').click()",
    );
    browser.click("#f-diverse");
    page.wait("location.search.includes('order=different')");
    page.wait("document.querySelector('.chip.filter').innerText.includes('different ones')");
    page.wait_first("cat");
    browser.click(".chip.filter .chip-drop");
    page.wait("!location.search.includes('order=')");
    // From the viewer, the results follow once it is closed.
    browser.run("document.querySelector('#grid .entry').click()");
    page.wait("document.querySelector('#viewer').open");
    browser.keys("l");
    page.wait("document.querySelector('#v-like').getAttribute('aria-pressed') === 'false'");
    browser.click("#v-close");
    page.wait("document.querySelectorAll('.chip.like').length === 0");
    // Only similar ones.
    press("coffee", "s");
    page.wait("document.querySelectorAll('.chip').length === 1 && document.querySelector('#q').value === ''");
    page.wait_first("coffee");
    page.wait("document.title.startsWith('Similar')");
    page.end();
}
