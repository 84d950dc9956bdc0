//! Is everything in the store as it was written?

use super::{LocalStore, lock};
use crate::vector::Graph;
use crate::{ItemId, StoreError};

/// What a thorough check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Items and vectors that were checked.
    pub checked: u64,
    /// Items whose vector is damaged or missing: not found by vector until they are indexed again.
    pub bad_vectors: Vec<ItemId>,
    /// Rows of the vector file that no item uses any more.
    pub dead_rows: u64,
    /// What is wrong with the catalogue, the word index or the graph, a sentence each.
    pub problems: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.bad_vectors.is_empty() && self.problems.is_empty()
    }
}

impl LocalStore {
    /// Whose vector is damaged or missing, by row: not found by vector until they
    /// are written again, which heals them. Checks every row: takes as long as
    /// reading the vector file from disk.
    ///
    /// # Errors
    /// As reading fails; damage is no error here.
    pub fn damaged(&self) -> Result<Vec<ItemId>, StoreError> {
        self.refresh()?;
        self.inner.snapshot().rows.damaged(&self.inner.file)
    }

    /// Reads everything and checks every checksum. Takes as long as reading the
    /// store from disk; others may read and write meanwhile, but searching words
    /// in this process waits while the word index is checked.
    ///
    /// # Errors
    /// Only if the catalogue cannot be read at all; damage is in the report.
    pub fn verify(&self) -> Result<Report, StoreError> {
        let (inner, mut report) = (&self.inner, Report::default());
        report.problems.extend(self.warnings());
        let mut broken = |what: String| report.problems.push(what);
        inner.read(|c| {
            for line in c.check_pages()? {
                broken(format!("{}: {line}", c.path().display()));
            }
            let state = c.state()?;
            if let Err(e) = c.heads(&state, None, |_| ()) {
                broken(e.to_string());
            }
            report.dead_rows = state.rows.saturating_sub(state.items);
            if !inner.filters.are_broken()
                && c.has_facets()?
                && c.check_facets(&|| false)?.is_some()
            {
                inner.filters.found(false);
                broken(inner.broken_filters());
            }
            let (checked, bad) = (&mut report.checked, &mut report.bad_vectors);
            let read = c.select("ORDER BY row", [], |stored| {
                *checked += 1;
                if inner.file.read(stored.row, stored.item.id)?.is_none() {
                    bad.push(stored.item.id);
                }
                Ok(())
            });
            if let Err(e) = read {
                broken(e.to_string());
            }
            Ok(())
        })?;
        match lock(&inner.text).index().map(|index| index.verify()) {
            Some(Ok(())) => {}
            Some(Err(e)) => report.problems.push(format!("the word index: {e}; it is made anew when the store is next opened for writing")),
            None => report.problems.push("the word index is damaged; it is made anew when the store is next opened for writing".into()),
        }
        for problem in Graph::problems(&inner.dir, &inner.space, inner.generation)? {
            report.problems.push(format!(
                "{problem}; it is made anew when the store is next opened for writing"
            ));
        }
        Ok(report)
    }
}
