//! Given a hub that does not give what was asked, what is said, and whose fault is it?

use std::io;
use std::path::PathBuf;

use crate::failure::Failure;

/// Why a model did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubError {
    /// No repository can have that name.
    #[error(
        "{0:?} is no model of a hub: expected a name that `ek model pull` lists, or OWNER/NAME, either with @REVISION"
    )]
    Name(String),
    /// Nor that revision.
    #[error("{0:?} is no revision: expected a branch, a tag or a commit after the @")]
    Revision(String),
    /// A variable of the environment.
    #[error("{variable}: expected {expected}, got {got:?}")]
    Setting {
        /// Its name.
        variable: &'static str,
        /// What it can be.
        expected: &'static str,
        /// What it is; never a secret.
        got: String,
    },
    /// No folder for the cache.
    #[error(
        "no folder is known for what the hub sends (HOME is not set); name one with HF_HUB_CACHE"
    )]
    NoCache,
    /// No connection, or it broke, or nothing came.
    #[error(
        "{host} is not reached: {why}. {}Otherwise name a mirror by HF_ENDPOINT, or fetch {repo} elsewhere and give its folder to `ek model import`",
        if *cached { "It was pulled before: HF_HUB_OFFLINE=1 takes it from the cache. " } else { "" }
    )]
    Unreachable {
        /// Who was asked.
        host: String,
        /// In words.
        why: String,
        /// What for.
        repo: String,
        /// The cache holds that revision.
        cached: bool,
    },
    /// The connection broke while a file came.
    #[error(
        "{file}: {why}, after {have} of {size} bytes; they are kept, and the same command goes on from there"
    )]
    Broken {
        /// The file.
        file: String,
        /// In words.
        why: String,
        /// Bytes that are here.
        have: u64,
        /// Bytes of the whole.
        size: u64,
    },
    /// The hub's answer is a refusal.
    #[error("{what}: {host} answers {status}{}: {advice}", in_brackets(.said))]
    Refused {
        /// A model or a file.
        what: String,
        /// Who was asked.
        host: String,
        /// The HTTP status.
        status: u16,
        /// Its own words.
        said: String,
        /// What to do.
        advice: String,
    },
    /// The hub's answer makes no sense.
    #[error(
        "{what}: {host} answers with {got}, expected {expected}; if HF_ENDPOINT names a mirror, try another"
    )]
    Nonsense {
        /// A model or a file.
        what: String,
        /// Who was asked.
        host: String,
        /// What came.
        got: String,
        /// What should have.
        expected: String,
    },
    /// The list of files is not one to follow.
    #[error("the list of files of {repo} is refused: {why}")]
    List {
        /// The repository.
        repo: String,
        /// What is wrong.
        why: String,
    },
    /// No layout that can be imported, or not in that precision.
    #[error("{repo} has {found}; {expected}")]
    Layout {
        /// The repository.
        repo: String,
        /// What is there.
        found: String,
        /// What would be understood.
        expected: String,
    },
    /// Twice another file than the hub says.
    #[error(
        "{file}: expected {kind} {expected}, got {got}, twice; somebody on the way changes files, or the hub's own is damaged. Try another network or mirror (HF_ENDPOINT)"
    )]
    Damaged {
        /// The file.
        file: String,
        /// Which sum.
        kind: &'static str,
        /// As the hub says.
        expected: String,
        /// Of what came.
        got: String,
    },
    /// A file of which nobody says what it should be.
    #[error(
        "{file}: {host} names neither its size nor a checksum, so that nothing could be compared; use another mirror (HF_ENDPOINT), or fetch the model elsewhere and give its folder to `ek model import`"
    )]
    Unknown {
        /// The file.
        file: String,
        /// Who was asked.
        host: String,
    },
    /// Offline, and not in the cache.
    #[error(
        "HF_HUB_OFFLINE is set, and {what} is not in {}: {why}; pull it once without that variable, or fetch it elsewhere and give its folder to `ek model import`",
        cache.display()
    )]
    Offline {
        /// What was looked for.
        what: String,
        /// Where.
        cache: PathBuf,
        /// What is missing.
        why: String,
    },
    /// The disk.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The hub's own words, if it has any.
fn in_brackets(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Self {
        let text = error.to_string();
        match error {
            HubError::Name(_) | HubError::Revision(_) | HubError::Layout { .. } => {
                Self::Usage(text)
            }
            // There is no model of that name or revision.
            HubError::Refused { status: 404, .. } => Self::Usage(text),
            HubError::Setting { .. }
            | HubError::NoCache
            | HubError::Unreachable { .. }
            | HubError::Broken { .. }
            | HubError::Refused { .. }
            | HubError::Nonsense { .. }
            | HubError::List { .. }
            | HubError::Damaged { .. }
            | HubError::Unknown { .. }
            | HubError::Offline { .. }
            | HubError::Io(_) => Self::Environment(text),
        }
    }
}
