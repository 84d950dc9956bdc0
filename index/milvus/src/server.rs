//! Which Milvus is it, and what can it do?

use std::fmt;

use ekphrasis_index::StoreError;

use crate::client::Client;
use crate::proto::{Empty, Version, method};

/// The version of a server, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerVersion {
    text: String,
    /// Major and minor; `None` for `milvus-lite`, which counts on its own.
    number: Option<(u32, u32)>,
}

impl ServerVersion {
    pub(crate) fn ask(client: &Client) -> Result<Self, StoreError> {
        let answer: Version =
            client.call("be asked for its version", method::GET_VERSION, &Empty {})?;
        Self::read(&answer.version).ok_or_else(|| {
            let what = format!(
                "its server calls itself {:?}; a Milvus server of 2.3 or newer is needed",
                answer.version
            );
            client.failed("be used", what)
        })
    }

    /// `None`: too old, or no Milvus.
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.trim().trim_start_matches('v').split(['.', '-']);
        let mut next = || parts.next()?.parse::<u32>().ok();
        // What is called "v2.3.5-lite" is no `milvus-lite`: the server of the PyPI package `milvus`.
        if let (Some(major), Some(minor)) = (next(), next()) {
            let number = (major, minor);
            return (number >= (2, 3)).then(|| Self { text: text.into(), number: Some(number) });
        }
        let is_lite = text.to_lowercase().contains("lite");
        is_lite.then(|| Self { text: text.into(), number: None })
    }

    /// Whether it finds words (BM25): from 2.5 on. Older ones accept such a collection and
    /// then end when it is loaded (seen with 2.3.5).
    pub fn finds_words(&self) -> bool {
        self.number.is_none_or(|number| number >= (2, 5))
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_tell_what_a_server_can_do() {
        for (text, words) in [
            ("v2.5.4", Some(true)),
            ("2.6.0-rc1", Some(true)),
            ("v3.0.0", Some(true)),
            ("milvus_lite-3.2.2", Some(true)),
            ("v2.4.13", Some(false)),
            ("2.3.5-dev", Some(false)),
            ("v2.3.5-lite", Some(false)),
            ("v2.2.9", None),
            ("", None),
            ("PostgreSQL 16", None),
        ] {
            assert_eq!(ServerVersion::read(text).map(|v| v.finds_words()), words, "{text}");
        }
    }
}
