//! A hundred thousand results: only what is in sight is in the document, and any of
//! them can be gone to. The server's answers are made up in the page, from one that is real.

use super::*;

/// Rows hold every picture once, in order, and fill the width; what is typed is read and
/// written back the same; the address holds the whole query. Says what does not hold.
const RULES: &str = "
    (async () => {
      const { breakRows, placeRow } = await import('/layout.js');
      const { readWords, writeWords, clause, readClause, expression, EMPTY, toAddress, fromAddress } = await import('/query.js');
      const wrong = [];
      let seed = 20261127;
      const chance = () => { seed = (seed * 48271) % 2147483647; return seed / 2147483647; };
      for (let trial = 0; trial < 300; trial += 1) {
        const shapes = Array.from({ length: 1 + Math.floor(chance() * 100) }, () => 0.55 + chance() * 2.25);
        const measures = { width: 300 + Math.floor(chance() * 2500), wish: 120 + chance() * 100, gap: 10, below: 26, last: chance() < 0.5 };
        const { rows, height } = breakRows(shapes, measures);
        let [next, top] = [0, 0];
        rows.forEach((row, i) => {
          const isLast = i === rows.length - 1;
          if (row.from !== next || row.top !== top) wrong.push(`trial ${trial}: row ${i} does not follow`);
          [next, top] = [row.to, top + row.height + measures.below + measures.gap];
          const full = !(measures.last && isLast);
          const places = placeRow(row, shapes, { ...measures, full });
          const end = places.at(-1).left + places.at(-1).width;
          if (end > measures.width + 1) wrong.push(`trial ${trial}: row ${i} is ${end} wide, not ${measures.width}`);
          if (full && rows.length > 2 && end < measures.width - 1) wrong.push(`trial ${trial}: row ${i} is ragged: ${end} of ${measures.width}`);
        });
        if (next !== shapes.length || top !== height) wrong.push(`trial ${trial}: ends at ${next} of ${shapes.length}`);
      }
      for (const [typed, words, without] of [
        ['a cat', 'a cat', []], ['a cat -dog', 'a cat', ['dog']], ['-dog a  cat', 'a cat', ['dog']],
        ['x -\"red car\" y', 'x y', ['red car']], ['x -\"red ca', 'x', ['red ca']], ['black-and-white', 'black-and-white', []],
        ['a - b', 'a - b', []], ['-', '-', []], ['x --y', 'x --y', []], ['-a -b', '', ['a', 'b']],
      ]) {
        const read = readWords(typed);
        if (read.words !== words || String(read.without) !== String(without)) wrong.push(`${typed}: ${JSON.stringify(read)}`);
        const again = readWords(writeWords(read.words, read.without));
        if (JSON.stringify(again) !== JSON.stringify(read)) wrong.push(`${typed}: written back as ${JSON.stringify(again)}`);
      }
      for (const value of ['beach', 'Pixel 7', 'a \"b\" c', 'back\\\\slash (1)', '/a b/(c)']) {
        const read = readClause(clause('tag', value));
        if (read?.value !== value || read.field !== 'tag') wrong.push(`clause of ${value}: ${JSON.stringify(read)}`);
      }
      for (const [filter, wanted] of [
        [['tag:a'], 'tag:a'], [['tag:a', 'tag:b'], '(tag:a or tag:b)'], [['tag:a', '-tag:b'], '-tag:b tag:a'],
        [['width:>5 or format:png', 'tag:a'], '(width:>5 or format:png) tag:a'],
      ]) if (expression(filter) !== wanted) wrong.push(`${filter}: ${expression(filter)}`);
      const id = 'ab'.repeat(16);
      const query = { ...EMPTY, q: 'a & b -c', like: [id, id.replace('a', 'c')], dislike: [id], filter: ['tag:\"x y\"', '-color:red'],
        kind: 'texts', mode: 'text', collapse: true, view: 'duplicates', open: id };
      const here = location.href;
      history.replaceState(null, '', toAddress(query));
      if (JSON.stringify(fromAddress()) !== JSON.stringify(query)) wrong.push(`the address loses something: ${location.search}`);
      history.replaceState(null, '', here);
      done(wrong);
    })().catch((error) => done([String(error)]));";

#[test]
fn a_hundred_thousand_results_scroll() {
    if skipped() {
        return;
    }
    let page = Page::new(PICTURES);
    let browser = &page.browser;
    let wrong = browser.run_async(RULES);
    assert_eq!(wrong, serde_json::json!([]), "rules of rows and of queries");
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
         const next = () => {
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
    browser.run(
        "document.querySelector('#grid .entry[tabindex=\"0\"]').focus({ preventScroll: true })",
    );
    browser.keys(Browser::END);
    page.wait("document.activeElement?.closest('[data-index=\"99999\"]')");
    page.wait("document.activeElement.closest('.tile').getAttribute('aria-posinset') === '100000'");
    few(&page);
    browser.keys(Browser::UP);
    page.wait("Number(document.activeElement?.closest('.tile')?.dataset.index) < 99_999");
    browser.keys(Browser::HOME);
    page.wait("document.activeElement?.closest('[data-index=\"0\"]')");
    page.wait("scrollY < 200");
    // The viewer steps through all of them.
    browser.keys(Browser::ENTER);
    page.wait("document.querySelector('#v-place').innerText === '1 of 100,000'");
    page.end();
}
