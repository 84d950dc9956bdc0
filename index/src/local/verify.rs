//! Is everything in the store as it was written?

use super::{LocalStore, heads, lock};
use crate::catalogue::Catalogue;
use crate::vector::Graph;
use crate::{ItemId, NameKind, StoreError};

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
        let snapshot = self.inner.snapshot();
        snapshot.rows.damaged(&snapshot.generation.file)
    }

    /// Reads everything and checks every checksum. Takes as long as reading the
    /// store from disk; others may read and write meanwhile, but searching words
    /// in this process waits while the word index is checked.
    ///
    /// # Errors
    /// Only if the catalogue cannot be read at all; damage is in the report.
    pub fn verify(&self) -> Result<Report, StoreError> {
        let inner = &self.inner;
        let mut report = inner.read_vectors(|c, state, file| {
            let mut report = Report::default();
            for line in c.check_pages()? {
                report.problems.push(format!("{}: {line}", c.path().display()));
            }
            if let Err(e) = c.heads(state, None, |_| ()) {
                report.problems.push(e.to_string());
            }
            report.dead_rows = state.rows.saturating_sub(state.items);
            if !inner.filters.are_broken()
                && c.has_facets()?
                && c.check_facets(&|| false)?.is_some()
            {
                // Told with the warnings below.
                inner.filters.found(false);
            }
            let (checked, bad) = (&mut report.checked, &mut report.bad_vectors);
            let read = c.select("ORDER BY row", [], |stored| {
                *checked += 1;
                if file.read(stored.row, stored.item.id)?.is_none() {
                    bad.push(stored.item.id);
                }
                Ok(())
            });
            if let Err(e) = read {
                report.problems.push(e.to_string());
            }
            for kind in [NameKind::Identity, NameKind::LabelSet] {
                for name in c.names(kind)? {
                    if let Err(e) = c.named(kind, &name) {
                        report.problems.push(e.to_string());
                    }
                }
            }
            for name in c.damaged_applied()? {
                report.problems.push(format!(
                    "what the label set {name:?} says of pictures is not as written; apply it \
                     again, or forget it"
                ));
            }
            Ok(report)
        })?;
        report.problems.splice(0..0, self.warnings());
        let state = inner.read(Catalogue::state)?;
        if let Err(e) = lock(&inner.text).verify(&state) {
            report
                .problems
                .push(format!("{e}; it is made anew when the store is next opened for writing"));
        }
        let generation = inner.snapshot().generation.number;
        if let Some(what) = heads::damage(&inner.dir, &inner.space, generation) {
            report.problems.push(format!("the list of rows is damaged ({what}); opening reads all items until it is made anew"));
        }
        for problem in Graph::problems(&inner.dir, &inner.space, generation)? {
            report.problems.push(format!(
                "{problem}; searches that meet the damage compare with all vectors; delete the file, and it is made anew when the store is next opened for writing"
            ));
        }
        Ok(report)
    }
}
