//! Given a filter, which rows of a state pass it, and can the answer be trusted?
//!
//! What a row says never changes within a generation, so an answer is kept, and
//! only newer rows are looked at when the filter is asked for again. The table that answers is
//! derived from the items; it is compared with them at the first filter, of a
//! larger store in the background. If it is off, filters look at every item.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use super::{Inner, LocalStore, Snapshot, join, lock};
use crate::catalogue::{Catalogue, State};
use crate::filter::{Pass, RowSet};
use crate::text::TextSearcher;
use crate::{Expr, Filter, Seq, StoreError};

/// Filters whose rows are kept.
const KEPT: usize = 16;
/// Up to so many items, nobody waits long for the comparison (some 50 ms).
const CHECKED_AT_ONCE: u64 = 5_000;

const UNKNOWN: u8 = 0;
const CHECKING: u8 = 1;
const SOUND: u8 = 2;
const BROKEN: u8 = 3;

/// What an answer is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Of {
    /// Whose rows they are.
    generation: u32,
    /// [`Catalogue::applied_epoch`] of a filter that asks for labels, of others 0: what
    /// label sets say changes without a commit.
    labels: i64,
}

#[derive(Default)]
pub(super) struct Filters {
    /// With what they are of; the latest asked for last.
    known: Mutex<Vec<(Of, Expr, Arc<RowSet>)>>,
    /// How many living rows passed, as of a commit.
    counts: Mutex<Vec<(Filter, Seq, u64)>>,
    state: AtomicU8,
    checker: Mutex<Option<JoinHandle<()>>>,
}

impl Filters {
    fn known(&self, of: Of, expr: &Expr) -> Option<Arc<RowSet>> {
        let mut known = lock(&self.known);
        let at = known.iter().position(|(o, e, _)| *o == of && e == expr)?;
        let entry = known.remove(at);
        let rows = Arc::clone(&entry.2);
        known.push(entry);
        Some(rows)
    }

    fn keep(&self, of: Of, expr: &Expr, rows: &Arc<RowSet>) {
        let mut known = lock(&self.known);
        let now = of.generation;
        // Of a former generation someone may still be searching; of older ones nobody.
        known.retain(|(o, e, _)| o.generation + 1 >= now && (o.generation, e) != (now, expr));
        known.push((of, expr.clone(), Arc::clone(rows)));
        let surplus = known.len().saturating_sub(KEPT);
        known.drain(..surplus);
    }

    /// How many living rows of a state `pass`, which is of this filter, lets through.
    pub(super) fn count(&self, filter: &Filter, snapshot: &Snapshot, pass: &Pass) -> u64 {
        if filter.expr.as_ref().is_some_and(Expr::asks_for_labels) {
            return snapshot.rows.count(pass);
        }
        let of = |f: &Filter, seq: Seq| f == filter && seq == snapshot.seq;
        let known = lock(&self.counts).iter().find(|(f, seq, _)| of(f, *seq)).map(|c| c.2);
        if let Some(count) = known {
            return count;
        }
        let count = snapshot.rows.count(pass);
        let mut counts = lock(&self.counts);
        counts.retain(|(f, seq, _)| f != filter && *seq == snapshot.seq);
        counts.truncate(KEPT - 1);
        counts.push((filter.clone(), snapshot.seq, count));
        count
    }

    /// Forgets every answer; `sound` says what is known of the table now.
    pub(super) fn found(&self, sound: bool) {
        self.state.store(if sound { SOUND } else { BROKEN }, Ordering::Release);
        if !sound {
            self.forget();
        }
    }

    fn forget(&self) {
        lock(&self.known).clear();
        lock(&self.counts).clear();
    }

    pub(super) fn are_broken(&self) -> bool {
        self.state.load(Ordering::Acquire) == BROKEN
    }
}

impl LocalStore {
    /// Compares what filters are answered from with every item, and makes it
    /// anew if it is off; says whether it was. Takes as long as reading all items.
    ///
    /// # Errors
    /// `ReadOnly`; otherwise as reading or writing the catalogue fails.
    pub fn heal_filters(&self) -> Result<bool, StoreError> {
        let writer = self.writer()?;
        let healed = writer.catalogue.transaction(|c| {
            let off = !c.has_facets()? || c.check_facets(&|| false)?.is_some();
            if off {
                c.rebuild_facets()?;
            }
            Ok(off)
        })?;
        if healed {
            self.inner.filters.forget();
        }
        self.inner.filters.found(true);
        Ok(healed)
    }

    /// The rows of a state that the filter lets through; `None` if the catalogue has
    /// gone on so that it cannot tell any more: try a newer state then.
    pub(super) fn admit(
        &self,
        snapshot: &Snapshot,
        filter: &Filter,
    ) -> Result<Option<Pass>, StoreError> {
        let (inner, generation) = (&self.inner, snapshot.generation.number);
        let pass = |rows| Some(Pass::new(filter.kind, rows));
        let Some(expr) = &filter.expr else { return Ok(pass(None)) };
        // What label sets say is asked of the catalogue each time.
        let known = match expr.asks_for_labels() {
            true => None,
            false => inner.filters.known(Of { generation, labels: 0 }, expr),
        };
        if let Some(rows) = known.filter(|rows| rows.len() >= snapshot.rows.len()) {
            return Ok(pass(Some(rows)));
        }
        self.check_in_background();
        inner.read(|c| {
            let state = c.state()?;
            if state.generation != generation {
                return Ok(None);
            }
            if let Some(rows) = inner.rows_of(c, &state, expr)? {
                return Ok(pass(Some(rows)));
            }
            // Items know the rows of the newest state only.
            if state.seq != snapshot.seq {
                return Ok(None);
            }
            let mut rows = RowSet::default();
            c.filter_items(expr, &mut rows, state.rows)?;
            Ok(pass(Some(Arc::new(rows))))
        })
    }

    /// The newest state, and its rows that the filter lets through.
    pub(super) fn admitted(&self, filter: &Filter) -> Result<(Arc<Snapshot>, Pass), StoreError> {
        loop {
            self.refresh()?;
            let snapshot = self.inner.snapshot();
            if let Some(pass) = self.admit(&snapshot, filter)? {
                return Ok((snapshot, pass));
            }
            // A commit is about to be published.
            std::thread::yield_now();
        }
    }

    /// The newest state, its words, and its rows that the filter lets through.
    pub(super) fn admitted_words(
        &self,
        filter: &Filter,
    ) -> Result<(Arc<Snapshot>, TextSearcher, Pass), StoreError> {
        loop {
            let (snapshot, searcher) = self.words()?;
            if let Some(pass) = self.admit(&snapshot, filter)? {
                return Ok((snapshot, searcher, pass));
            }
            std::thread::yield_now();
        }
    }

    /// Starts comparing the table with the items, once, if there are many.
    fn check_in_background(&self) {
        let filters = &self.inner.filters;
        let many = self.inner.snapshot().rows.count(&Pass::default()) > CHECKED_AT_ONCE;
        let claim = || {
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            filters.state.compare_exchange(UNKNOWN, CHECKING, success, failure).is_ok()
        };
        if !many || !claim() {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let spawned = std::thread::Builder::new().name("filters".into()).spawn(move || {
            let stop = || inner.cancel.load(Ordering::Relaxed);
            let checked =
                inner.read(|c| if c.has_facets()? { c.check_facets(&stop) } else { Ok(None) });
            match checked {
                Ok(wrong) => inner.filters.found(wrong.is_none()),
                // What cannot be read is told to whoever asks for it.
                Err(_) => inner.filters.state.store(UNKNOWN, Ordering::Release),
            }
        });
        // Without a thread, `LocalStore::verify` is left to find damage.
        if let Ok(handle) = spawned {
            *lock(&filters.checker) = Some(handle);
        }
    }

    pub(super) fn join_filter_check(&self) {
        join(&self.inner.filters.checker);
    }
}

impl Inner {
    /// What a user should know if filters are slow because of damage.
    pub(super) fn broken_filters(&self) -> String {
        format!(
            "what filters are answered from in {} is damaged: until the next `ek index` makes it anew, they look at every item",
            self.dir.join(crate::catalogue::FILE).display()
        )
    }

    /// The rows of `state` whose items pass, by the table; `None` if it is not to be trusted.
    pub(super) fn rows_of(
        &self,
        c: &Catalogue,
        state: &State,
        expr: &Expr,
    ) -> Result<Option<Arc<RowSet>>, StoreError> {
        if self.filters.are_broken() || !c.has_facets()? {
            return Ok(None);
        }
        if self.filters.state.load(Ordering::Acquire) == UNKNOWN && state.items <= CHECKED_AT_ONCE {
            let wrong = c.check_facets(&|| false)?;
            self.filters.found(wrong.is_none());
            if wrong.is_some() {
                return Ok(None);
            }
        }
        let labels = if expr.asks_for_labels() { c.applied_epoch()? } else { 0 };
        let of = Of { generation: state.generation, labels };
        let known = self.filters.known(of, expr);
        if let Some(rows) = known.as_ref().filter(|rows| rows.len() >= state.rows) {
            return Ok(Some(Arc::clone(rows)));
        }
        let mut rows = known.map(|rows| RowSet::clone(&rows)).unwrap_or_default();
        match c.filter(expr, &mut rows, state.rows) {
            Ok(()) => {}
            Err(StoreError::Corrupt { .. }) => {
                self.filters.found(false);
                return Ok(None);
            }
            Err(e) => return Err(e),
        }
        let rows = Arc::new(rows);
        self.filters.keep(of, expr, &rows);
        Ok(Some(rows))
    }
}
