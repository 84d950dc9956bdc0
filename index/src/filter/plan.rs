//! Are the nearest of some rows found sooner by looking at each, or by the graph?
//!
//! A graph search that is to find enough rows that pass has to keep more of all; so its
//! work grows as fewer pass, while that of a scan shrinks. Where none that pass are near the
//! query, keeping more of all finds none; then they are compared by their sketches.

/// How the nearest are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Every row that may be found is compared.
    Scan,
    /// The graph is asked.
    Graph(Width),
}

/// How much of a graph is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Width {
    /// So many of the nearest are kept, whether they pass or not.
    pub(crate) keep: usize,
    /// If too few of them pass: whether sketches are looked at then, which else are more work than
    /// a scan.
    pub(crate) sketched: bool,
}

/// What is known before a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Rows in the graph.
    pub(crate) graph: usize,
    /// Living rows that may be found, by estimate.
    pub(crate) passing: u64,
    /// How many of them are wanted.
    pub(crate) deep: usize,
    /// Candidates that the graph keeps at least, if all rows pass.
    pub(crate) keep: usize,
    /// How many of the rows that a filter names are scanned in the time that the graph
    /// takes for one candidate.
    pub(crate) work: usize,
    /// With fewer rows in all, nothing but a scan is thought of.
    pub(crate) graph_from: usize,
}

impl Facts {
    pub(crate) fn plan(self) -> Plan {
        let passing = usize::try_from(self.passing).unwrap_or(usize::MAX);
        let all = passing.max(self.graph);
        // Asking for a good part of everything is what a scan is for.
        if passing < self.deep.saturating_mul(4).max(1) || all < self.graph_from || self.graph == 0
        {
            return Plan::Scan;
        }
        let share = (passing as f64 / self.graph as f64).min(1.0);
        // So many that pass are most likely among them that those wanted are in the nearer
        // half, where the graph hardly misses one.
        let more = (self.deep as f64 * 2.5 * (1.0 / share - 1.0)).ceil() as usize;
        let usual = self.keep.max(self.deep.saturating_mul(2));
        let wider = usual.saturating_add((usual as f64 * WIDER * (1.0 - share)) as usize);
        let keep = wider.saturating_add(more);
        if keep.saturating_mul(self.work) >= passing {
            return Plan::Scan;
        }
        let sketched = passing.saturating_mul(SKETCHES) >= self.graph;
        Plan::Graph(Width { keep, sketched })
    }
}

/// Where many of those kept do not pass, one that does is missed more often: so much more is kept
/// where hardly one does.
const WIDER: f64 = 0.5;
/// So many rows of a graph are compared by their sketches in the time that a scan takes for one
/// that a filter names. All are, in blocks, if but one of each block is named.
const SKETCHES: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(graph: usize, passing: u64, deep: usize) -> Plan {
        Facts { graph, passing, deep, keep: 64, work: 20, graph_from: 10_000 }.plan()
    }

    fn graph(keep: usize, sketched: bool) -> Plan {
        Plan::Graph(Width { keep, sketched })
    }

    #[test]
    fn few_are_scanned_and_many_are_not() {
        assert_eq!(plan(0, 1_000_000, 10), Plan::Scan);
        assert_eq!(plan(9_000, 9_000, 10), Plan::Scan);
        assert_eq!(plan(60_000, 60_000, 10), graph(64, true));
        assert_eq!(plan(1_000_000, 500_000, 10), graph(105, true));
        assert_eq!(plan(1_000_000, 100_000, 10), graph(317, true));
        // Those that pass are scanned sooner than all are compared by their sketches.
        assert_eq!(plan(1_000_000, 60_000, 10), graph(486, false));
        // The scan of 10,000 is faster than keeping 2,570.
        assert_eq!(plan(1_000_000, 10_000, 10), Plan::Scan);
        assert_eq!(plan(1_000_000, 1_000, 10), Plan::Scan);
        // It is the whole that has to be large, not what passes.
        assert_eq!(plan(60_000, 30_000, 10), graph(105, true));
        assert_eq!(plan(1_000_000, 1_000_000, 1_024), graph(2_048, true));
        assert_eq!(plan(1_000_000, 1_000_000, 300_000), Plan::Scan);
        // More live than the graph has: the newest are scanned beside it.
        assert_eq!(plan(1_000_000, 1_100_000, 10), graph(64, true));
        assert_eq!(plan(1_000_000, u64::MAX, usize::MAX), Plan::Scan);
        assert_eq!(plan(10_000, 3_000, 10), graph(145, true));
    }

    /// More rows that pass never turn a graph search into a scan.
    #[test]
    fn there_is_one_crossover() {
        for graph in [60_000usize, 200_000, 1_000_000] {
            let graphs: Vec<bool> = (0..=100)
                .map(|percent| plan(graph, (graph * percent / 100) as u64, 10) != Plan::Scan)
                .collect();
            assert!(graphs.is_sorted(), "{graph}: {graphs:?}");
            assert!(graphs[100] && !graphs[0]);
        }
    }
}
