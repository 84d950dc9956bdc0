//! By words as one types, by pictures, by both; away from things; within filters; with
//! an address that brings all of it back.

use super::*;

#[test]
fn words_pictures_both_and_what_to_keep_away_from() {
    if skipped() {
        return;
    }
    let page = Page::new(PICTURES);
    let browser = &page.browser;

    // Searching as one types; the address follows and brings the same back.
    page.search("a cup of coffee");
    page.wait_first("coffee");
    let address = browser.run("return location.href");
    browser.open("about:blank");
    browser.open(address.as_str().expect("an address"));
    page.wait_first("coffee");
    page.wait("document.querySelector('#q').value === 'a cup of coffee'");

    // An answer that comes late is dropped: the last question counts.
    browser.run(
        "const real = window.fetch; let held = true;
         window.fetch = async (...given) => {
           if (held && String(given[1]?.body ?? '').includes('rocket')) {
             held = false;
             await new Promise((resolve) => setTimeout(resolve, 700));
             window.late = true;
             // As if it could not be cut off any more.
             return real(given[0], { ...given[1], signal: undefined });
           }
           return real(...given);
         };",
    );
    browser.run("const q = document.querySelector('#q'); q.focus(); q.select();");
    browser.keys("rocket");
    page.wait("location.search.includes('rocket')");
    page.search("a cat");
    page.wait("window.late");
    browser.run_async("setTimeout(done, 300)");
    page.wait_first("cat");

    // Nothing but what to keep away from is no search, and that is said.
    browser.open(&format!("{}/?q=-dog", page.server.url));
    page.wait("document.querySelector('#note').innerText.startsWith('Say also what')");
    browser.open(&page.server.url);
    page.wait_for_tiles(PICTURES.len());
    page.search("a cat");
    // What to keep away from is a chip, and weighs against.
    page.search("a cat -cat");
    page.wait("document.querySelector('.chip.without').innerText.includes('cat')");
    page.search("a cat -\"space rocket\" -dog");
    page.wait("document.querySelectorAll('.chip.without').length === 2");
    page.wait_first("cat");
    browser.click(".chip.without .chip-drop");
    page.wait("document.querySelectorAll('.chip.without').length === 1");
    page.wait("document.querySelector('#q').value === 'a cat -dog'");

    // A picture of one's own, alone and with words that steer it.
    browser.open(&page.server.url);
    page.wait_for_tiles(5);
    browser.type_into("#file", &file("coffee_palette.gif"));
    page.wait("document.querySelector('.chip.picture')");
    page.wait_first("coffee");
    page.search("a rocket");
    page.wait("document.querySelector('#summary').innerText.includes('your picture')");
    page.wait(
        "['coffee', 'rocket'].every((one) => [0, 1].some((at) =>
           document.querySelector(`#grid [data-index=\"${at}\"] img`)?.alt.startsWith(one)))",
    );
    // Going back takes the words away and leaves the picture, as long as this page lives.
    browser.back();
    page.wait(
        "document.querySelector('#q').value === '' && document.querySelector('.chip.picture')",
    );
    page.wait_first("coffee");
    browser.back();
    page.wait("!document.querySelector('.chip') && location.search === ''");
    browser.forward();
    page.wait("document.querySelector('.chip.picture')");
    browser.click(".chip.picture .chip-drop");
    page.wait("!document.querySelector('.chip.picture')");

    // Dropped on the page, and pasted.
    for (event, of) in [("drop", "dataTransfer"), ("paste", "clipboardData")] {
        let cat = fs_err::read(reference("images/cat_451x300.jpg")).expect("read");
        let cat = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, cat);
        browser.run(&format!(
            "const bytes = Uint8Array.from(atob('{cat}'), (c) => c.charCodeAt(0));
             const given = new DataTransfer();
             given.items.add(new File([bytes], '{event}.jpg', {{ type: 'image/jpeg' }}));
             const Kind = {{ drop: DragEvent, paste: ClipboardEvent }}['{event}'];
             window.dispatchEvent(new Kind('{event}', {{ {of}: given, cancelable: true }}));"
        ));
        page.wait(&format!(
            "document.querySelector('.chip.picture')?.innerText.includes('{event}.jpg')"
        ));
        page.wait_first("cat");
    }
    page.end();
}

#[test]
fn filters_are_chips_and_facets_count() {
    if skipped() {
        return;
    }
    let page = Page::with(&["cat_451x300.jpg", "rocket_640x427.jpg"], |home| {
        let trip = home.folder("pictures/a trip");
        for name in ["coffee_300x600.webp", "astronaut_512x400.png"] {
            fs_err::copy(reference(&format!("images/{name}")), trip.join(name)).expect("copied");
        }
        fs_err::write(trip.join("coffee_300x600.txt"), "an espresso in Rome").expect("written");
    });
    let browser = &page.browser;
    page.wait_for_tiles(4);
    page.wait("document.querySelectorAll('#f-lists .facet').length > 3");
    let facet = |name: &str| {
        format!(
            "[...document.querySelectorAll('#f-lists .facet')].find((one) => one.innerText.includes('{name}'))"
        )
    };
    page.wait(&format!("{}.innerText.includes('2')", facet("a trip")));
    browser.run(&format!("{}.click()", facet("a trip")));
    page.wait_for_tiles(2);
    page.wait("document.querySelector('.chip.filter').innerText.includes('a trip')");
    // Filters hold in a search, too, and what is counted is what passes them.
    page.search("a cat");
    page.wait("document.querySelectorAll('#grid .tile').length === 2");
    page.wait(&format!("{}.innerText.includes('1')", facet("WEBP")));
    // Of one property any, of different ones each.
    browser.run(&format!("{}.click()", facet("WEBP")));
    page.wait("document.querySelectorAll('#grid .tile').length === 1");
    page.wait("document.querySelector('#filters-count').innerText === '2'");
    // Words are found, and it is said where.
    page.search("espresso");
    page.wait("document.querySelector('.plaque .tag')?.innerText === 'words'");

    // Written by hand: a mistake is told beside it, what is right becomes a chip.
    browser.click("#chips .quiet-button");
    page.wait("!document.querySelector('.chip')");
    browser.type_into("#f-text", "widht:>500\n");
    page.wait("document.querySelector('#f-wrong').innerText.includes('widht')");
    browser.run("document.querySelector('#f-text').value = ''");
    browser.type_into("#f-text", "width:>600 or format:png\n");
    page.wait("document.querySelectorAll('.chip.filter').length === 1");
    page.wait("document.querySelectorAll('#grid .tile').length === 2");
    browser.type_into("#f-word", "a rocket\n");
    page.wait("document.querySelector('.chip.without')?.innerText.includes('a rocket')");

    // Nothing passes: it is said what to do about it.
    browser.open(&format!("{}/?filter=width:%3E5000", page.server.url));
    page.wait("document.querySelector('#empty').innerText.includes('Nothing passes')");
    browser.click("#empty .primary");
    page.wait_for_tiles(4);
    // Only words, and none fit.
    browser.open(&format!("{}/?q=xylophone&mode=text", page.server.url));
    page.wait("document.querySelector('#empty').innerText.includes('No name')");
    // The address says what is looked for.
    browser.open(&format!("{}/?for=texts", page.server.url));
    page.wait("document.querySelector('#kinds').hidden === false || document.querySelector('#empty').innerText");
    page.end_but(&["filter=widht"]);
}

#[test]
fn years_cameras_and_labels_narrow() {
    if skipped() {
        return;
    }
    let page = Page::with(&["motorcycle_gray_370x250.png"], |home| {
        for name in ["sydney_pixel.jpg", "berlin_canon.png", "scan_of_1987.webp"] {
            let from = repository().join("tests/fixtures/exif").join(name);
            fs_err::copy(from, home.path().join("pictures").join(name)).expect("copied");
        }
    });
    page.wait_for_tiles(4);
    let labels = json!({"labels": ["cat", "rocket", "cup of coffee"]});
    assert_eq!(page.server.put("/v1/label-sets/things", &labels).0, 201);
    // Whatever the model makes of them: everything has one.
    let every = json!({"min_probability": 0.0});
    assert_eq!(page.server.post("/v1/label-sets/things/apply", &every).0, 200);
    page.browser.open(&page.server.url);
    page.wait_for_tiles(4);
    let facets = page.server.get("/v1/facets?for=images").1;
    for name in ["year", "camera", "label"] {
        let facet = facets["facets"].as_array().expect("facets").iter().find(|f| f["name"] == name);
        let first = &facet.expect(name)["values"][0];
        let (value, count) = (&first["value"], first["count"].as_u64().expect("a count"));
        let here = format!(
            "[...document.querySelectorAll('#f-lists .facet')].find((one) => one.title === {value})"
        );
        page.wait(&format!("{here}?.innerText.includes('{count}')"));
        page.browser.run(&format!("{here}.click()"));
        page.wait("document.querySelectorAll('.chip.filter').length === 1");
        page.wait_for_tiles(count as usize);
        page.browser.run(&format!("{here}.click()"));
        page.wait("!document.querySelector('.chip')");
        page.wait_for_tiles(4);
    }
    page.end();
}

#[test]
fn confidence_is_said_in_words() {
    if skipped() {
        return;
    }
    let page = Page::new(PICTURES);
    // What a calibrated model answers; made up here, so that no model decides it.
    page.browser.run(
        "const real = window.fetch;
         window.fetch = async (path, options) => {
           if (path !== '/v1/search') return real(path, options);
           const reply = await (await real(path, options)).json();
           reply.hits.forEach((hit, i) => { hit.confidence = [0.95, 0.72, 0.5, 0.3, 0.02][i]; });
           reply.anything = { probability: 0.1, verdict: 'nothing', words: 'Perhaps nothing here matches', calibrated: true };
           return new Response(JSON.stringify(reply), { headers: { 'content-type': 'application/json' } });
         };",
    );
    page.search("a cat");
    page.wait(
        "[...document.querySelectorAll('.plaque .near')].map((one) => one.innerText).join() ===
           'almost certainly,very likely,likely,perhaps,hardly'",
    );
    page.wait(
        "document.querySelector('#note').innerText.startsWith('Perhaps nothing here matches')",
    );
    page.browser.run("document.querySelector('#grid .entry').click()");
    page.wait("document.querySelector('#v-sure').innerText.includes('almost certainly')");
    page.end();
}
