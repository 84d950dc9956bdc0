//! How do a store's vectors and what is known of them go to other programs, and back?

use std::path::Path;

use ekphrasis_index::{ExchangeError, Exported};

use crate::{Engine, EngineError};

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExchangeForm {
    /// `NAME.npy` with the vectors, `NAME.jsonl` with the items, `NAME.json` about both.
    Npy,
    /// One Parquet file.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl Engine {
    /// Writes every item with its vector; items whose vector is damaged are named instead.
    ///
    /// # Errors
    /// `Invalid` if something is there already; otherwise as reading and writing fail.
    pub fn export(&self, to: &Path, form: ExchangeForm) -> Result<Exported, EngineError> {
        let store = self.fresh()?;
        Ok(match form {
            ExchangeForm::Npy => store.export_npy(to),
            #[cfg(feature = "parquet")]
            ExchangeForm::Parquet => store.export_parquet(to),
        }?)
    }

    /// Takes in what was exported from a store of the same space, over items with the same
    /// ids, and labels the pictures by the label sets that were applied. Says how many items
    /// came. Cut short, it can be done again.
    ///
    /// # Errors
    /// `Invalid` if it is no export or of another space; otherwise as the store cannot
    /// be written.
    pub fn import(&self, from: &Path, form: ExchangeForm) -> Result<u64, EngineError> {
        let items = match form {
            ExchangeForm::Npy => self.store.import_npy(from),
            #[cfg(feature = "parquet")]
            ExchangeForm::Parquet => self.store.import_parquet(from),
        }?;
        // They are there all the same; the state tells how many wait for labels.
        let _ = self.label_new();
        Ok(items)
    }
}

impl From<ExchangeError> for EngineError {
    fn from(error: ExchangeError) -> Self {
        match error {
            ExchangeError::Store(e) => e.into(),
            ExchangeError::Io(e) => e.into(),
            _ => Self::Invalid(error.to_string()),
        }
    }
}
