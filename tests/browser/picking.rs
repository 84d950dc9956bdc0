//! Acting on many: selecting, exporting, copying; and copies of the same picture.

use super::*;

/// Lets the page hand over what it would save or copy.
const CATCH: &str = "
    const make = URL.createObjectURL.bind(URL);
    URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return make(blob); };
    HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; };
    navigator.clipboard.writeText = async (text) => { window.copied = text; };
    window.open = (address) => { window.opened = address; };";

#[test]
fn selected_ones_are_listed_copied_and_opened() {
    if skipped() {
        return;
    }
    let page = Page::new(PICTURES);
    let browser = &page.browser;
    browser.run(CATCH);
    page.search("a cat");
    browser.run("document.querySelector('#grid .entry').focus()");
    browser.keys("c");
    page.wait("window.copied?.endsWith('/pictures/cat_451x300.jpg')");
    page.wait("document.querySelector('#toast').innerText.includes('copied')");
    browser.keys("o");
    page.wait("/items\\/[0-9a-f]{32}\\/file/.test(window.opened)");

    browser.keys("x");
    page.wait("document.querySelector('#selection').hidden === false");
    page.wait("document.querySelector('#s-count').innerText === '1 entry selected'");
    // A click selects now; with Shift, all up to there.
    browser.run("document.querySelector('#grid [data-index=\"1\"] .entry').click()");
    page.wait("document.querySelectorAll('.tile.selected').length === 2");
    browser.run(
        "document.querySelector('#grid [data-index=\"3\"] .entry')
           .dispatchEvent(new MouseEvent('click', { shiftKey: true, bubbles: true }))",
    );
    page.wait("document.querySelectorAll('.tile.selected').length === 4");

    browser.click("#s-csv");
    page.wait("window.savedAs === 'pictures.csv' && window.saved?.startsWith('path,caption,')");
    page.wait("window.saved.trim().split('\\r\\n').length === 5");
    browser.click("#s-json");
    page.wait("window.savedAs === 'pictures.json' && window.saved?.startsWith('[')");
    page.wait("JSON.parse(window.saved).every((one) => one.id && one.path && one.meta.width)");
    browser.click("#s-text");
    page.wait("window.savedAs === 'pictures.txt' && window.saved?.startsWith('/')");
    browser.click("#s-copy");
    page.wait("window.copied.trim().split('\\n').length === 4");
    browser.click("#s-all");
    page.wait("document.querySelector('#s-count').innerText === '5 entries selected'");
    browser.run("document.activeElement?.blur()");
    browser.keys(Browser::ESCAPE);
    page.wait("document.querySelector('#selection').hidden");
    page.wait("document.querySelectorAll('.tile.selected').length === 0");
    // Looked at again, a click opens.
    browser.run("document.querySelector('#grid .entry').click()");
    page.wait("document.querySelector('#viewer').open");
    page.end();
}

#[test]
fn copies_are_side_by_side() {
    if skipped() {
        return;
    }
    let page = Page::with(PICTURES, |home| {
        let folder = home.path().join("pictures");
        let rocket = reference("images/rocket_640x427.jpg");
        fs_err::copy(&rocket, folder.join("the same rocket.jpg")).expect("copied");
        let small = image::open(&rocket).expect("a picture").thumbnail(320, 320);
        small.save(folder.join("small rocket.png")).expect("written");
    });
    let browser = &page.browser;
    browser.run(CATCH);
    page.wait_for_tiles(7);
    browser.click("#copies");
    page.wait("location.search.includes('view=duplicates')");
    page.wait("document.querySelectorAll('.group').length === 1");
    page.wait("document.querySelectorAll('.copy').length === 3");
    page.wait("document.querySelector('.copy.best').innerText.includes('best:')");
    page.wait("document.querySelector('#summary').innerText.startsWith('2 copies in 1 group')");
    browser.click("#d-rest");
    page.wait("document.querySelector('#s-count').innerText === '2 entries selected'");
    browser.click("#s-copy");
    page.wait("window.copied.trim().split('\\n').length === 2");
    browser.click("#s-clear");
    browser.click("#d-exact");
    page.wait("document.querySelectorAll('.copy').length === 2");
    browser.click(".copy .entry");
    page.wait("document.querySelector('#viewer').open");
    browser.keys(Browser::ESCAPE);
    page.wait("!document.querySelector('#viewer').open");
    browser.run("document.activeElement?.blur()");
    browser.keys("v");
    page.wait("document.querySelector('#duplicates').hidden && !location.search.includes('view')");
    // A search shows one of each, if that is wanted.
    page.search("a rocket");
    page.wait("document.querySelectorAll('#grid .tile').length === 7");
    browser.run("document.querySelector('#f-copies').click()");
    page.wait("document.querySelectorAll('#grid .tile').length === 5");
    page.wait("document.querySelector('.plaque .tag')?.innerText.includes('+2')");
    page.end();
}
