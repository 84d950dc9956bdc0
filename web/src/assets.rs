//! Given an address, which file of the page lies there? They are all in the
//! executable, so that the page works wherever it is started and offline.

use std::sync::OnceLock;

use actix_web::body::MessageBody;
use actix_web::http::header::{self, EntityTag, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};

/// One embedded file.
pub(crate) struct Asset {
    path: &'static str,
    mime: &'static str,
    bytes: &'static [u8],
    tag: OnceLock<String>,
}

macro_rules! assets {
    ($($path:literal $file:literal $mime:literal;)*) => {
        [$(Asset {
            path: $path,
            mime: $mime,
            bytes: include_bytes!(concat!("../static/", $file)),
            tag: OnceLock::new(),
        }),*]
    };
}

static ASSETS: [Asset; 36] = assets! {
    "/" "index.html" "text/html; charset=utf-8";
    "/icon.svg" "icon.svg" "image/svg+xml";
    "/api.js" "api.js" "text/javascript; charset=utf-8";
    "/app.js" "app.js" "text/javascript; charset=utf-8";
    "/chips.js" "chips.js" "text/javascript; charset=utf-8";
    "/dialogs.css" "dialogs.css" "text/css; charset=utf-8";
    "/dom.js" "dom.js" "text/javascript; charset=utf-8";
    "/duplicates.js" "duplicates.js" "text/javascript; charset=utf-8";
    "/examples.js" "examples.js" "text/javascript; charset=utf-8";
    "/facets.js" "facets.js" "text/javascript; charset=utf-8";
    "/facts.js" "facts.js" "text/javascript; charset=utf-8";
    "/grid.js" "grid.js" "text/javascript; charset=utf-8";
    "/identities.js" "identities.js" "text/javascript; charset=utf-8";
    "/jobs.js" "jobs.js" "text/javascript; charset=utf-8";
    "/keys.js" "keys.js" "text/javascript; charset=utf-8";
    "/labelling.js" "labelling.js" "text/javascript; charset=utf-8";
    "/labelsets.js" "labelsets.js" "text/javascript; charset=utf-8";
    "/layout.js" "layout.js" "text/javascript; charset=utf-8";
    "/library.js" "library.js" "text/javascript; charset=utf-8";
    "/names.css" "names.css" "text/css; charset=utf-8";
    "/names.js" "names.js" "text/javascript; charset=utf-8";
    "/pictures.js" "pictures.js" "text/javascript; charset=utf-8";
    "/query.js" "query.js" "text/javascript; charset=utf-8";
    "/recognising.js" "recognising.js" "text/javascript; charset=utf-8";
    "/results.css" "results.css" "text/css; charset=utf-8";
    "/results.js" "results.js" "text/javascript; charset=utf-8";
    "/selection.js" "selection.js" "text/javascript; charset=utf-8";
    "/status.js" "status.js" "text/javascript; charset=utf-8";
    "/style.css" "style.css" "text/css; charset=utf-8";
    "/theme.js" "theme.js" "text/javascript; charset=utf-8";
    "/tile.js" "tile.js" "text/javascript; charset=utf-8";
    "/viewer.js" "viewer.js" "text/javascript; charset=utf-8";
    "/words.js" "words.js" "text/javascript; charset=utf-8";
    "/docs" "docs.html" "text/html; charset=utf-8";
    "/docs.css" "docs.css" "text/css; charset=utf-8";
    "/docs.js" "docs.js" "text/javascript; charset=utf-8";
};

/// The file at `path`.
pub(crate) fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

/// Every address that has a file.
pub(crate) fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|asset| asset.path)
}

impl Asset {
    /// The file, or 304 for a browser that has it already.
    pub(crate) fn reply(&self, request: &HttpRequest) -> HttpResponse {
        let tag = self.tag.get_or_init(|| tag(self.bytes));
        // `no-cache`: keep it, but ask whether it is still the one; a new
        // version of the program must not meet an old page.
        tagged(request, tag, self.mime, "no-cache", || Bytes::from_static(self.bytes))
    }
}

/// The entity tag of some content.
pub(crate) fn tag(bytes: &[u8]) -> String {
    tag_of(&blake3::hash(bytes))
}

/// The same, of content with this hash.
pub(crate) fn tag_of(hash: &blake3::Hash) -> String {
    hash.to_hex()[..32].to_owned()
}

/// A reply that need not be sent twice: 304 if the browser has this `tag`.
pub(crate) fn tagged<B: MessageBody + 'static>(
    request: &HttpRequest,
    tag: &str,
    mime: &str,
    cache: &'static str,
    body: impl FnOnce() -> B,
) -> HttpResponse {
    let etag = EntityTag::new_strong(tag.to_owned()).to_string();
    let known = request.headers().get(header::IF_NONE_MATCH).map(HeaderValue::as_bytes);
    let known = known.and_then(|list| std::str::from_utf8(list).ok()).unwrap_or_default();
    let same = known.split(',').any(|one| {
        let one = one.trim();
        one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag
    });
    let mut reply = if same { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    reply.insert_header((header::ETAG, etag)).insert_header((header::CACHE_CONTROL, cache));
    if same {
        return reply.finish();
    }
    reply.insert_header((header::CONTENT_TYPE, mime)).body(body())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_embedded_and_short() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/static");
        for entry in fs_err::read_dir(folder).expect("readable") {
            let name = entry.expect("readable").file_name().into_string().expect("UTF-8");
            let path = match name.strip_suffix(".html") {
                Some("index") => "/".to_owned(),
                Some(page) => format!("/{page}"),
                None => format!("/{name}"),
            };
            let asset = find(&path).unwrap_or_else(|| panic!("{name} has no address"));
            let lines = asset.bytes.iter().filter(|byte| **byte == b'\n').count();
            assert!(lines <= 600, "{name} has {lines} lines");
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere() {
        for asset in &ASSETS {
            let text = std::str::from_utf8(asset.bytes).expect("the page is text");
            // The one address in the files is the name of the SVG namespace.
            for address in text.match_indices("://").map(|(at, _)| &text[at..]) {
                assert!(address.starts_with("://www.w3.org/2000/svg"), "{}", asset.path);
            }
            assert!(!text.contains("innerHTML"), "{} builds markup from strings", asset.path);
        }
    }

    #[test]
    fn everything_the_page_names_is_there() {
        for asset in &ASSETS {
            let text = std::str::from_utf8(asset.bytes).expect("the page is text");
            for opening in ["src=\"", "href=\"", "from \""] {
                for (at, _) in text.match_indices(opening) {
                    let name = text[at + opening.len()..].split('"').next().unwrap_or_default();
                    // A route of its own.
                    if name.starts_with('#') || name == "openapi.json" {
                        continue;
                    }
                    let path = format!("/{}", name.trim_start_matches(['.', '/']));
                    assert!(find(&path).is_some(), "{} names {name}", asset.path);
                }
            }
        }
    }

    #[test]
    fn the_policy_allows_the_page() {
        let page = std::str::from_utf8(find("/").expect("the page").bytes).expect("text");
        for forbidden in ["style=\"", "<style", "onclick", "onload", "<script>"] {
            assert!(!page.contains(forbidden), "{forbidden} is against the CSP");
        }
    }
}
