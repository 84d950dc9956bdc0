//! Of one state's living rows, which may a search find?

use std::sync::Arc;

use super::RowSet;
use crate::Kind;

/// Says of a row whether it may be found. The default lets every row through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pass {
    kind: Option<Kind>,
    rows: Option<Arc<RowSet>>,
}

impl Pass {
    /// Rows of this kind and in this set, where those are given.
    pub(crate) fn new(kind: Option<Kind>, rows: Option<Arc<RowSet>>) -> Self {
        Self { kind, rows }
    }

    /// Whether `row`, which is of `kind`, may be found.
    pub(crate) fn lets(&self, row: u64, kind: Kind) -> bool {
        self.kind.is_none_or(|k| k == kind)
            && self.rows.as_ref().is_none_or(|rows| rows.contains(row))
    }

    /// The only kind, if there is one.
    pub(crate) fn kind(&self) -> Option<Kind> {
        self.kind
    }

    /// As [`Pass::rows`], to be known again by.
    pub(crate) fn named(&self) -> Option<&Arc<RowSet>> {
        self.rows.as_ref()
    }

    /// The only rows, if they were named; among them dead ones and such of other kinds.
    pub(crate) fn rows(&self) -> Option<&RowSet> {
        self.rows.as_deref()
    }
}
