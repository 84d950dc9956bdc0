//! What becomes of a catalogue that an older version of this program wrote? The
//! first writer brings it up to date, in one transaction.

use super::{Catalogue, VERSION, facets};
use crate::StoreError;

/// Makes the tables of version 1 those of version 2. Rows stay as they are:
/// without labels and facts, a row's hash is that of version 1.
const FROM_1: &str = "
ALTER TABLE items ADD COLUMN labels TEXT;
ALTER TABLE items ADD COLUMN facts TEXT;
";

impl Catalogue {
    /// Brings tables of an older version, and what is derived from others, up to date.
    pub(super) fn upgrade(&self) -> Result<(), StoreError> {
        if self.version() == 1 {
            self.transaction(|this| {
                this.sql(|c| c.execute_batch(FROM_1))?;
                this.sql(|c| c.execute_batch(facets::SCHEMA))?;
                this.set_version()?;
                this.rebuild_facets()
            })?;
        }
        if !self.has_facets()? {
            self.transaction(Self::rebuild_facets)?;
        }
        Ok(())
    }

    pub(super) fn set_version(&self) -> Result<(), StoreError> {
        self.sql(|c| c.pragma_update(None, "user_version", VERSION))?;
        self.version.set(VERSION);
        Ok(())
    }

    /// Version of the tables.
    pub(super) fn version(&self) -> u32 {
        self.version.get()
    }
}
