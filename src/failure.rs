//! Given an error, what does the person read and what does the script get? One
//! sentence, and an exit code.

use ekphrasis_engine::{ConfigError, EngineError, Fault};

/// Why `ek` did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong use.
    Usage(String),
    /// Something on this machine is missing or broken.
    Environment(String),
    /// Ours.
    Bug(String),
    /// Nobody reads our output any more: nothing to say.
    ReaderGone,
}

impl Failure {
    /// The exit code, as `ek --help` states.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Environment(_) | Self::Bug(_) => 3,
            Self::ReaderGone => 0,
        }
    }

    /// What to print on standard error.
    pub(crate) fn message(&self) -> Option<String> {
        match self {
            Self::Usage(text) | Self::Environment(text) => Some(text.clone()),
            Self::Bug(text) => Some(format!("{text} (this is a fault of ek; please report it)")),
            Self::ReaderGone => None,
        }
    }
}

#[cfg(feature = "hub")]
impl Failure {
    /// The same, with what went well before it.
    pub(crate) fn with(self, before: &str) -> Self {
        match self {
            Self::Usage(text) => Self::Usage(format!("{before}: {text}")),
            Self::Environment(text) => Self::Environment(format!("{before}: {text}")),
            Self::Bug(text) => Self::Bug(format!("{before}: {text}")),
            Self::ReaderGone => Self::ReaderGone,
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let text = error.to_string();
        match error.fault() {
            Fault::User | Fault::NotFound => Self::Usage(text),
            Fault::Busy | Fault::Environment => Self::Environment(text),
            Fault::Bug => Self::Bug(text),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Provider(_) => Self::Usage(error.to_string()),
            _ => Self::Environment(error.to_string()),
        }
    }
}
