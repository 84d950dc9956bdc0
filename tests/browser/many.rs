//! A hundred thousand results: only what is in sight is in the document, and any of
//! them can be gone to. The server's answers are made up in the page, from one that is real.

use super::*;

#[test]
fn a_hundred_thousand_results_scroll() {
    if skipped() {
        return;
    }
    let page = Page::new(PICTURES);
    let browser = &page.browser;
    browser.run(
        "const real = window.fetch;
         window.asked = [];
         window.fetch = async (path, options) => {
           if (path !== '/v1/search') return real(path, options);
           const { offset, k } = JSON.parse(options.body);
           window.asked.push(offset);
           const reply = await (await real(path, { ...options,
             body: JSON.stringify({ ...JSON.parse(options.body), offset: 0 }) })).json();
           const few = reply.hits;
           reply.total_candidates = 100_000;
           reply.hits = Array.from({ length: Math.min(k, 100_000 - offset) }, (_, i) => {
             const at = offset + i;
             const hit = few[(at * 7919) % few.length];
             return { ...hit, rank: at + 1, path: `/made/up/${at}.jpg`, caption: `number ${at}`,
               id: hit.id, score: 1 - at / 100_000,
               meta: { ...hit.meta, width: 300 + (at * 37) % 500, height: 300 } };
           });
           return new Response(JSON.stringify(reply), { headers: { 'content-type': 'application/json' } });
         };",
    );
    page.search("anything at all");
    page.wait("document.querySelector('#summary').innerText.includes('100,000 pictures')");
    page.wait("document.querySelector('#grid [data-index=\"0\"] img')?.alt === 'number 0'");
    let few = |page: &Page| {
        let tiles = page.browser.run("return document.querySelectorAll('#grid .tile').length");
        let tiles = tiles.as_u64().expect("a number");
        assert!((6..150).contains(&tiles), "{tiles} tiles are in the document");
    };
    few(&page);
    // All of it has a place, so that the scroll bar tells where one is.
    page.wait("document.querySelector('#grid').clientHeight > 2_000_000");

    // Flying through loads next to nothing; where one stops, there are pictures.
    browser.run(
        "window.asked.length = 0;
         const whole = document.documentElement.scrollHeight;
         let step = 0;
         window.frames = [];
         let last = performance.now();
         const next = (now) => {
           window.frames.push(now - last);
           last = now;
           step += 1;
           scrollTo({ top: whole * Math.min(step, 60) / 120, behavior: 'instant' });
           if (step < 60) requestAnimationFrame(next); else window.flown = true;
         };
         requestAnimationFrame(next);",
    );
    page.wait("window.flown");
    page.wait("document.querySelectorAll('#grid .tile img.here').length > 5");
    page.wait("Number(document.querySelector('#grid .tile').dataset.index) > 30_000");
    few(&page);
    let asked = browser.run("return window.asked.length").as_u64().expect("a number");
    assert!(asked < 40, "{asked} pages were asked for on the way");
    // What is in sight is what its place says.
    page.wait(
        "[...document.querySelectorAll('#grid .tile')].every((tile) =>
           tile.querySelector('img').alt === `number ${tile.dataset.index}`)",
    );
    // It stays where it is while what is around it arrives.
    page.wait("document.querySelector('#grid .skeleton') === null");

    // By the keyboard to the very end, and the start.
    browser.run("document.querySelector('#grid .entry[tabindex=\"0\"]').focus({ preventScroll: true })");
    browser.keys(Browser::END);
    page.wait("document.activeElement?.closest('[data-index=\"99999\"]')");
    page.wait("document.activeElement.closest('.tile').getAttribute('aria-posinset') === '100000'");
    few(&page);
    browser.keys(Browser::UP);
    page.wait("Number(document.activeElement?.closest('.tile')?.dataset.index) < 99_999");
    browser.keys("\u{e011}");
    page.wait("document.activeElement?.closest('[data-index=\"0\"]')");
    page.wait("scrollY < 200");
    // The viewer steps through all of them.
    browser.keys(Browser::ENTER);
    page.wait("document.querySelector('#v-place').innerText === '1 of 100,000'");
    page.end();
}
