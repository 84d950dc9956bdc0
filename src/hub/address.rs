//! Given the address of a hub and where a reply points to, where does one go, and is that
//! the same server?

use ureq::http::Uri;

/// An `http` or `https` address with a host and without a user's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    text: String,
    uri: Uri,
}

impl Address {
    /// None for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let plain = matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        plain.then(|| Self { text: text.into(), uri })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The server: who knows the token of one must not learn it for another.
    pub(super) fn origin(&self) -> (bool, String, u16) {
        let host = self.uri.host().unwrap_or_default().to_ascii_lowercase();
        (
            self.is_secure(),
            host,
            self.uri.port_u16().unwrap_or(if self.is_secure() { 443 } else { 80 }),
        )
    }

    pub(super) fn is_secure(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// The host, for messages.
    pub(super) fn host(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// Where a reply's `location` leads to from here (RFC 3986, section 5.2, without dots
    /// in paths, which servers resolve).
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        let scheme = if self.is_secure() { "https" } else { "http" };
        let end = location.find(['/', '?', '#']).unwrap_or(location.len());
        if location[..end].contains(':') {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        let server = format!("{scheme}://{}", self.host());
        let path = self.uri.path();
        Self::parse(&match location.chars().next()? {
            '/' => format!("{server}{location}"),
            '?' => format!("{server}{path}{location}"),
            _ => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                format!("{server}{folder}/{location}")
            }
        })
    }
}

/// A file's path as an address holds it.
pub(super) fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn only_plain_web_addresses_are_taken() {
        at("https://hub.example/mirror");
        at("http://127.0.0.1:8080");
        for text in
            ["", "hub.example", "ftp://a/b", "file:///etc/passwd", "http://", "http://a:b@c/", "/x"]
        {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_server_is_scheme_host_and_port() {
        let hub = at("https://Hub.example/a").origin();
        assert_eq!(hub, at("https://hub.example:443/b?c").origin());
        for other in
            ["http://hub.example/a", "https://hub.example:8443/a", "https://cdn.hub.example/a"]
        {
            assert_ne!(hub, at(other).origin(), "{other}");
        }
    }

    #[test]
    fn replies_point_as_the_standard_says() {
        let base = at("https://h:9/o/r/resolve/main/f.json?x=1");
        for (location, expected) in [
            ("https://cdn.example/k?sig=a:b", "https://cdn.example/k?sig=a:b"),
            ("//cdn.example/k", "https://cdn.example/k"),
            ("/o/new/f.json", "https://h:9/o/new/f.json"),
            ("g.json", "https://h:9/o/r/resolve/main/g.json"),
            ("?y=2", "https://h:9/o/r/resolve/main/f.json?y=2"),
        ] {
            assert_eq!(base.join(location).expect(location).as_str(), expected);
        }
        for location in ["", "javascript:alert(1)", "file:///etc/passwd", "https://"] {
            assert_eq!(base.join(location), None, "{location}");
        }
    }

    #[test]
    fn names_of_files_are_escaped() {
        assert_eq!(encode("onnx/a b#c?d%.onnx"), "onnx/a%20b%23c%3Fd%25.onnx");
        assert_eq!(encode("é"), "%C3%A9");
    }
}
