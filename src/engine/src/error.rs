//! What can go wrong in the engine, and whose fault it is.

use ekphrasis_embed::{EmbeddingError, EncodeError, PreprocessError, Space};
use ekphrasis_index::StoreError;
use ekphrasis_models::{DecodeError, ImportError, ModelError, RuntimeError};

/// Whose fault an error is; exit codes and HTTP statuses follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request was wrong; asking otherwise helps.
    User,
    /// What was asked for is not there.
    NotFound,
    /// Nobody's: the same slow thing is being done already, and asking again later helps.
    Busy,
    /// Disk, rights, network, a missing library: the machine has to be put right.
    Environment,
    /// Ours.
    Bug,
}

/// Why the engine did not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A request that cannot be answered as it stands.
    #[error("{0}")]
    Invalid(String),
    /// The same, because of one part of the request.
    #[error("{message}")]
    InvalidField {
        /// What the part is called, here and over HTTP.
        field: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A file or item that is not there.
    #[error("{0}")]
    NotFound(String),
    /// A picture that cannot be read.
    #[error("{what} is not a picture that can be read: {source}")]
    Decode {
        /// Path or `the uploaded picture`.
        what: String,
        /// The part of the request that it came as, if it was sent along.
        sent_as: Option<String>,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// A picture that the model cannot take.
    #[error("{what} cannot be prepared for the model: {source}")]
    Preprocess {
        /// Path or `the uploaded picture`.
        what: String,
        /// The part of the request that it came as, if it was sent along.
        sent_as: Option<String>,
        /// Why.
        #[source]
        source: PreprocessError,
    },
    /// The model failed.
    #[error("the model failed: {0}")]
    Encode(#[from] EncodeError),
    /// Vectors that do not go together.
    #[error("{0}")]
    Embedding(#[from] EmbeddingError),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The model could not be opened.
    #[error("{0}")]
    Model(#[from] ModelError),
    /// Somebody else has the same slow thing done.
    #[error("{0}")]
    Busy(&'static str),
    /// Another engine serves since the store was moved to another model. See
    /// [`Serving`](crate::Serving), which asks that one.
    #[error("the store was moved to another model meanwhile; ask again")]
    Left,
    /// A store that others share serves another model's vectors by now.
    #[error("the store at {at} moved to the model of {space}; restart with that model (--model)")]
    Moved {
        /// Its address.
        at: String,
        /// The space of what it serves.
        space: Space,
    },
    /// A model was not imported.
    #[error("{0}")]
    Import(#[from] ImportError),
    /// ONNX Runtime could not be had.
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
    /// A file operation failed; the message names the path.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl EngineError {
    /// A request that cannot be answered because of its `field`.
    pub(crate) fn of_field(field: &'static str, message: String) -> Self {
        Self::InvalidField { field, message }
    }

    /// The part of the request that it is about, where it is about one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::InvalidField { field, .. } => Some(field),
            Self::Decode { sent_as, .. } | Self::Preprocess { sent_as, .. } => sent_as.as_deref(),
            _ => None,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Invalid(_)
            | Self::InvalidField { .. }
            | Self::Decode { .. }
            | Self::Preprocess { .. } => Fault::User,
            Self::NotFound(_) => Fault::NotFound,
            // Parts that cancel out, or a vector of another space: the query's fault.
            Self::Embedding(_) => Fault::User,
            Self::Encode(_) => Fault::Bug,
            Self::Store(e) if e.is_user_fault() => Fault::User,
            Self::Import(ImportError::Io(_) | ImportError::Runtime(_)) => Fault::Environment,
            // The folder that was named, or the name it was to have.
            Self::Import(_) => Fault::User,
            Self::Busy(_) | Self::Left => Fault::Busy,
            Self::Moved { .. }
            | Self::Store(_)
            | Self::Model(_)
            | Self::Runtime(_)
            | Self::Io(_) => Fault::Environment,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a store does not do is for whoever asks to put otherwise: 422 over HTTP.
    #[test]
    fn what_a_store_does_not_do_is_the_requests_fault() {
        let (at, what) = ("milvus://h/c".into(), "hits beyond number 16384".into());
        let error = EngineError::from(StoreError::Unsupported { at, what });
        assert_eq!(error.fault(), Fault::User);
        let (at, why) = ("milvus://h/c".into(), "nobody answers".into());
        let error = EngineError::from(StoreError::Remote { at, doing: "search", why });
        assert_eq!(error.fault(), Fault::Environment);
    }
}
