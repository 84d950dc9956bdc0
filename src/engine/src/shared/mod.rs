//! Given a store that many processes share, what can be asked? Searching, indexing and the
//! state, without a data folder: all that has to be known lies in the store. What an
//! [`Engine`](crate::Engine) does beyond that needs its folder (a ledger of failures, label
//! sets, copies), and is refused here by name.

mod blobs;
mod content;
mod recall;
mod search;
mod serving;

use std::sync::Arc;
use std::time::Duration;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Filter, Kind, StoreRead};
use ekphrasis_milvus::{Consistency, MilvusStore, Open, Options};

pub use self::blobs::{
    BlobKind, BlobName, Blobs, FolderBlobs, ParseS3Error, S3Address, S3Blobs, S3Options,
};
pub use self::content::SharedFile;
pub use self::recall::SharedRecall;

use self::serving::Served;

use crate::queries::KnownTexts;
use crate::{EngineError, StoreAt, Towers};

/// For how long a worker waits for a server that is away.
const PATIENCE: Duration = Duration::from_secs(120);

/// A model and a store that others read and write, too. Share it between threads with `Arc`.
pub struct SharedEngine {
    served: Served,
    pub(crate) towers: Arc<dyn Towers>,
    at: String,
    known_texts: KnownTexts,
    /// Where thumbnails and files are kept, if they are.
    pub(crate) blobs: Option<Arc<dyn Blobs>>,
}

/// The state of a shared store in short.
#[derive(Clone, Debug)]
pub struct SharedStatus {
    /// Its address.
    pub at: String,
    /// What its server calls itself.
    pub server: String,
    /// Whether it can be searched by words.
    pub finds_words: bool,
    /// Pictures in it.
    pub images: u64,
    /// Texts in it.
    pub texts: u64,
    /// Name of the model.
    pub model: String,
    /// Id of its space.
    pub space: String,
    /// Width of its embeddings.
    pub dim: usize,
}

impl SharedEngine {
    /// Opens a store with a model; `make` one if there is none.
    ///
    /// # Errors
    /// `Invalid` for a data folder, which is for [`Engine`](crate::Engine); otherwise if there
    /// is no store, it was made with another model, or its server cannot be asked.
    pub fn open(at: &StoreAt, towers: Arc<dyn Towers>, make: bool) -> Result<Self, EngineError> {
        match at {
            StoreAt::Folder(data) => Err(EngineError::Invalid(format!(
                "{} is a data folder; --data names it",
                data.display()
            ))),
            StoreAt::Milvus(address, options) => {
                // Workers see what the others have just brought in.
                let (open, consistency) = match make {
                    true => (Open::OrCreate, Consistency::Strong),
                    false => (Open::Existing, options.consistency),
                };
                let options = Options { consistency, ..options.clone() };
                // Nobody waits for an answer of theirs, and the work goes on after a restart.
                let patience = make.then_some(PATIENCE);
                let served = Served::open(address, options, towers.space(), open, patience)?;
                let (at, known_texts) = (at.name(), KnownTexts::default());
                Ok(Self { served, towers, at, known_texts, blobs: None })
            }
        }
    }

    /// The generation that serves. It is followed: a second after it was switched at the latest
    /// this gives the other one.
    ///
    /// # Errors
    /// `Moved` if that is of another model; otherwise if the store's server cannot be asked.
    pub(crate) fn store(&self) -> Result<Arc<MilvusStore>, EngineError> {
        self.served.now()
    }

    /// The state in short.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn status(&self) -> Result<SharedStatus, EngineError> {
        let store = self.store()?;
        let count = |kind| store.count(&Filter::of_kind(kind));
        Ok(SharedStatus {
            at: self.at.clone(),
            server: store.server().to_string(),
            finds_words: store.finds_words(),
            images: count(Kind::Image)?,
            texts: count(Kind::Text)?,
            model: self.towers.name().into(),
            space: self.towers.space().id().into(),
            dim: self.towers.space().dim(),
        })
    }

    /// The embedding of a text; of those that were asked for last, without the model.
    ///
    /// # Errors
    /// If the text tower cannot be loaded or fails.
    pub fn embed_text(&self, text: &str) -> Result<Embedding, EngineError> {
        if let Some(known) = self.known_texts.get(text) {
            return Ok(known);
        }
        let embedding =
            self.towers.text()?.embed_texts(&[text])?.pop().ok_or_else(|| {
                EngineError::Invalid("the model gave no vector for the text".into())
            })?;
        self.known_texts.keep(text, &embedding);
        Ok(embedding)
    }

    /// The model in use.
    pub fn towers(&self) -> &Arc<dyn Towers> {
        &self.towers
    }

    fn unsupported(&self, what: &str) -> EngineError {
        EngineError::Invalid(format!("not supported by the store at {}: {what}", self.at))
    }
}
