//! When is the graph built anew, and without anyone waiting for it?

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::{Inner, LocalStore, lock};
use crate::filter::Pass;
use crate::vector::Graph;

impl LocalStore {
    /// Starts building in the background if there is enough to build for.
    pub(super) fn build_graph_if_due(&self) {
        if self.writer.is_none() || !self.inner.graph_due() {
            return;
        }
        let mut builder = lock(&self.builder);
        if self.inner.building.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(&self.inner);
        let spawned = std::thread::Builder::new().name("graph".into()).spawn(move || {
            inner.build_graphs();
        });
        match spawned {
            Ok(handle) => *builder = Some(handle),
            // Without a thread there is no graph, and searches scan.
            Err(_) => self.inner.building.store(false, Ordering::Release),
        }
    }
}

/// Takes the flag down however building ends.
struct Done<'a>(&'a Inner);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.building.store(false, Ordering::Release);
    }
}

impl Inner {
    /// Builds in this thread what is due after a compaction, unless another one does.
    pub(super) fn build_graph_here(&self) {
        if self.graph_due() && !self.building.swap(true, Ordering::AcqRel) {
            self.build_graphs();
        }
    }

    /// Builds, and again if rows were renumbered or many came meanwhile. The flag is ours.
    fn build_graphs(&self) {
        let done = Done(self);
        while self.build_graph() && self.graph_wanted() {}
        drop(done);
    }

    fn graph_due(&self) -> bool {
        !self.building.load(Ordering::Acquire) && self.graph_wanted()
    }

    fn graph_wanted(&self) -> bool {
        if self.cancel.load(Ordering::Relaxed) {
            return false;
        }
        let snapshot = self.snapshot();
        let rows = &snapshot.rows;
        if rows.count(&Pass::default()) < self.options.graph_from as u64 {
            return false;
        }
        let Some(graph) = self.graph_of(&snapshot) else { return true };
        let tail = rows.living(graph.covered(), rows.len());
        tail > self.options.graph_tail as u64 || graph.is_worn(rows)
    }

    /// Whether there is one more now.
    fn build_graph(&self) -> bool {
        let snapshot = self.snapshot();
        let threads = self.options.graph_threads;
        let old = self.graph_of(&snapshot);
        let old = old.as_deref().filter(|graph| graph.fits(&snapshot.rows, snapshot.seq));
        let grown = old.unwrap_or(&Graph::default()).grown(
            &snapshot.rows,
            snapshot.seq,
            threads,
            &self.cancel,
        );
        let Some(mut graph) = grown else { return false };
        // A graph that cannot be saved serves all the same, until the process ends.
        let generation = snapshot.generation.number;
        let _ = graph.save(&*self.disk, &self.dir, &self.space, generation);
        self.set_graph(generation, graph);
        true
    }

    /// Forgets a graph in which damage was found, unless another has its place by now; it is
    /// built anew.
    pub(super) fn drop_damaged_graph(&self, damaged: &Graph) {
        let mut place = self.graph.write().unwrap_or_else(PoisonError::into_inner);
        if place.as_ref().is_some_and(|(_, graph)| std::ptr::eq(&**graph, damaged)) {
            *place = None;
        }
    }
}
