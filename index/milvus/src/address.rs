//! Where does a store lie? `milvus://host:19530/collection`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port Milvus listens on if none is named.
const PORT: u16 = 19530;
/// So that what is added to a collection's name still makes one.
const LONGEST_NAME: usize = 200;

/// The address of a store on a Milvus server:
/// `milvus://HOST[:PORT]/COLLECTION[?database=NAME]`, or `milvus+tls://…` for an
/// encrypted connection, with `ca=FILE.pem` if the server's certificate is signed by
/// an authority of your own. A token is no part of it: addresses are shown and logged.
///
/// ```
/// use ekphrasis_milvus::Address;
/// let address: Address = "milvus://db.example/pictures?database=team".parse()?;
/// assert_eq!(address.to_string(), "milvus://db.example:19530/pictures?database=team");
/// # Ok::<(), ekphrasis_milvus::AddressError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) collection: String,
    pub(crate) database: Option<String>,
    pub(crate) ca: Option<PathBuf>,
}

/// Not the address of a store on a Milvus server.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{text:?} is no store: {what}; a store on a Milvus server is written like milvus://host:19530/collection"
)]
pub struct AddressError {
    text: String,
    what: &'static str,
}

impl Address {
    /// Whether a text is meant as one: it begins with `milvus`.
    pub fn is_meant_by(text: &str) -> bool {
        text.starts_with("milvus:") || text.starts_with("milvus+tls:")
    }

    /// The name of the collection, as it was asked for: an alias of the generation that serves.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// Where to connect to.
    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls { "+tls" } else { "" };
        write!(f, "milvus{tls}://{}:{}/{}", self.host, self.port, self.collection)?;
        let database = self.database.iter().map(|name| format!("database={name}"));
        let ca = self.ca.iter().map(|path| format!("ca={}", path.display()));
        let more: Vec<_> = database.chain(ca).collect();
        if more.is_empty() { Ok(()) } else { write!(f, "?{}", more.join("&")) }
    }
}

/// A text as it may be shown and logged: without what may be meant as a secret.
fn harmless(text: &str) -> String {
    let shown = text.split('?').next().unwrap_or_default();
    let more = if shown.len() < text.len() { "?…" } else { "" };
    match (shown.split_once("://"), shown.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}{more}"),
        (None, Some((_, rest))) => format!("…@{rest}{more}"),
        (_, None) => format!("{shown}{more}"),
    }
}

fn is_name(text: &str) -> bool {
    let first = text.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.len() <= LONGEST_NAME
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |what| AddressError { text: harmless(text), what };
        let (tls, rest) = match (text.strip_prefix("milvus://"), text.strip_prefix("milvus+tls://"))
        {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(wrong("it begins with neither milvus:// nor milvus+tls://")),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (server, collection) = rest.split_once('/').ok_or(wrong("it names no collection"))?;
        if server.contains('@') {
            return Err(wrong("a user or token is no part of it; it is given beside it"));
        }
        // The colons of an IPv6 address stand in brackets.
        let bracket = server.rfind(']');
        let colon = server.rfind(':').filter(|&at| bracket.is_none_or(|end| at > end));
        let (host, port) = match colon {
            Some(at) => {
                let port = server[at + 1..].parse().ok().filter(|&port| port > 0);
                (&server[..at], port.ok_or(wrong("its port is no number from 1 to 65535"))?)
            }
            None => (server, PORT),
        };
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        if host.is_empty() || !host.bytes().all(fine) {
            return Err(wrong("its host is no name of one"));
        }
        if !is_name(collection) {
            return Err(wrong(
                "a collection's name is letters, digits and _, at most 200, and begins with no digit",
            ));
        }
        let mut address = Self {
            host: host.into(),
            port,
            tls,
            collection: collection.into(),
            database: None,
            ca: None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("database", name)) if is_name(name) => address.database = Some(name.into()),
                Some(("ca", path)) if !path.is_empty() && tls => address.ca = Some(path.into()),
                Some(("ca", _)) => return Err(wrong("ca=FILE.pem goes with milvus+tls://")),
                _ => return Err(wrong("after the ? may stand database=NAME and ca=FILE.pem")),
            }
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_address_reads_as_it_is_written() {
        for text in [
            "milvus://127.0.0.1:19530/pictures",
            "milvus+tls://db.example:443/_p1?database=team&ca=/etc/own.pem",
            "milvus://[::1]:9000/x",
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
        let short: Address = "milvus://[::1]/x".parse().expect("without a port");
        assert_eq!(short.endpoint(), "http://[::1]:19530");
    }

    #[test]
    fn what_is_none_says_why() {
        for (text, what) in [
            ("http://h/c", "begins with neither"),
            ("milvus://h", "names no collection"),
            ("milvus://h/", "a collection's name"),
            ("milvus://h/a/b", "a collection's name"),
            ("milvus://h/a-b", "a collection's name"),
            ("milvus://h/1a", "a collection's name"),
            ("milvus://:19530/c", "its host"),
            ("milvus://h:0/c", "its port"),
            ("milvus://h:x/c", "its port"),
            ("milvus://root:secret@h/c", "given beside it"),
            ("milvus://h/c?ca=x", "goes with milvus+tls"),
            ("milvus://h/c?token=secret", "after the ?"),
            ("milvus:root:secret@h/c", "begins with neither"),
        ] {
            let error = text.parse::<Address>().expect_err(text).to_string();
            assert!(error.contains(what), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
