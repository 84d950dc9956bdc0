//! Names in the store: durable like everything else here, but no change of what a
//! search finds, so they do not count as commits.

use super::LocalStore;
use crate::catalogue::Catalogue;
use crate::{NameKind, Named, StoreError};

impl LocalStore {
    /// All names of a kind, in order.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn names(&self, kind: NameKind) -> Result<Vec<String>, StoreError> {
        self.inner.read(|c| c.names(kind))
    }

    /// What stands for a name, if it is known.
    ///
    /// # Errors
    /// `Corrupt` if that is not as it was written; or as reading the catalogue fails.
    pub fn named(&self, kind: NameKind, name: &str) -> Result<Option<Named>, StoreError> {
        self.inner.read(|c| c.named(kind, name))
    }

    /// All names of a kind with what stands for them, in order of names; then the names of
    /// which that is not as it was written. One state of the store.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn all_named(&self, kind: NameKind) -> Result<(Vec<Named>, Vec<String>), StoreError> {
        self.inner.read(|c| {
            let (mut all, mut damaged) = (Vec::new(), Vec::new());
            for name in c.names(kind)? {
                match c.named(kind, &name) {
                    Ok(named) => all.extend(named),
                    Err(StoreError::Corrupt { .. }) => damaged.push(name),
                    Err(e) => return Err(e),
                }
            }
            Ok((all, damaged))
        })
    }

    /// Keeps a name, instead of what it may have stood for. Without vectors it is
    /// forgotten.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails; then it is as before.
    pub fn put_named(&self, kind: NameKind, named: &Named) -> Result<(), StoreError> {
        self.writer()?.catalogue.transaction(|c| {
            if named.vectors.is_empty() {
                return forget(c, kind, &named.name).map(|_| ());
            }
            c.put_named(kind, named)
        })
    }

    /// Forgets a name, and what it said of pictures if it is a label set that was applied.
    /// Says whether it was there.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails.
    pub fn remove_named(&self, kind: NameKind, name: &str) -> Result<bool, StoreError> {
        self.writer()?.catalogue.transaction(|c| forget(c, kind, name))
    }
}

/// Forgets a name, and what it said of pictures if it is a label set.
fn forget(c: &Catalogue, kind: NameKind, name: &str) -> Result<bool, StoreError> {
    if kind == NameKind::LabelSet {
        c.remove_applied(name)?;
    }
    c.remove_named(kind, name)
}
