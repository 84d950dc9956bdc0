//! The page of the API: what it offers can be sent as it stands.

use super::*;

#[test]
fn the_api_is_described_and_can_be_tried() {
    if skipped() {
        return;
    }
    let page = Page::new(&["cat_451x300.jpg"]);
    let browser = &page.browser;
    browser.open(&format!("{}/docs", page.server.url));
    page.wait("document.querySelectorAll('#operations details').length > 30");
    // With the examples as they are: what is made is there, and can be taken back.
    for (method, path, status) in [
        ("PUT", "/v1/identities/{name}", 201),
        ("GET", "/v1/identities", 200),
        ("GET", "/v1/identities/{name}", 200),
        ("POST", "/v1/identify", 200),
        ("POST", "/v1/verify", 200),
        ("PUT", "/v1/label-sets/{name}", 201),
        ("GET", "/v1/label-sets", 200),
        ("GET", "/v1/label-sets/{name}", 200),
        ("POST", "/v1/label", 200),
        ("POST", "/v1/search", 200),
        ("POST", "/v1/describe", 200),
        ("DELETE", "/v1/label-sets/{name}/labels/{label}", 200),
        ("DELETE", "/v1/label-sets/{name}", 200),
        ("DELETE", "/v1/identities/{name}", 200),
    ] {
        browser.run(&format!(
            "window.block = [...document.querySelectorAll('#operations > section > details')].find((one) =>
               one.querySelector('.method').innerText === '{method}' &&
               one.querySelector('summary code').innerText === '{path}');
             window.block.open = true;"
        ));
        // A picture of the store is put where an example names one.
        page.wait(
            "window.block.querySelector('form') &&
               !window.block.querySelector('textarea')?.value.includes('0123456789abcdef')",
        );
        browser.run("window.block.querySelector('form').requestSubmit()");
        page.wait(&format!(
            "window.block.querySelector('form > div').innerText.startsWith('{status} ')"
        ));
    }
    page.end();
}
