//! Are the nearest of some rows found sooner by looking at each, or by the graph?
//!
//! Of all rows they are found by a walk along the graph's links, which has to keep more where
//! some of what it meets may not be found. Of rows that a filter names, by all nodes' sketches: a
//! walk finds none of them if none are near the query, and is slower even if they are.

/// How the nearest are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Every row that may be found is compared.
    Scan,
    /// The graph is asked. A walk keeps so many of the nearest, whether they may be found or not.
    Graph(usize),
}

/// What is known before a search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Rows in the graph.
    pub(crate) graph: usize,
    /// Living rows that may be found, by estimate.
    pub(crate) passing: u64,
    /// Whether a filter names them.
    pub(crate) named: bool,
    /// How many of them are wanted.
    pub(crate) deep: usize,
    /// Candidates that a walk keeps at least, if all rows pass.
    pub(crate) keep: usize,
    /// How many rows are scanned in the time that a walk takes for one candidate.
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
        // Who has a walk keep so many that a scan of all is less wants nothing to be missed.
        let exact = self.keep.saturating_mul(self.work) >= all;
        if self.named && (exact || passing.saturating_mul(SKETCHES) < self.graph) {
            return Plan::Scan;
        }
        let share = (passing as f64 / self.graph as f64).min(1.0);
        // So many that pass are most likely among them that those wanted are in the nearer
        // half, where the graph hardly misses one.
        let more = (self.deep as f64 * 2.5 * (1.0 / share - 1.0)).ceil() as usize;
        let usual = self.keep.max(self.deep.saturating_mul(2));
        let wider = usual.saturating_add((usual as f64 * WIDER * (1.0 - share)) as usize);
        let keep = wider.saturating_add(more);
        if !self.named && keep.saturating_mul(self.work) >= passing {
            return Plan::Scan;
        }
        Plan::Graph(keep)
    }
}

/// Where many of those kept may not be found, one that may is missed more often: so much more is
/// kept where hardly one may.
const WIDER: f64 = 0.5;
/// So many rows of a graph are passed over or compared by their sketches in the time that a scan
/// takes for one that a filter names. All of a block are if but one of them is named.
const SKETCHES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(graph: usize, passing: u64, deep: usize, named: bool) -> Facts {
        Facts { graph, passing, named, deep, keep: 64, work: 20, graph_from: 10_000 }
    }

    fn plan(graph: usize, passing: u64, deep: usize) -> Plan {
        facts(graph, passing, deep, false).plan()
    }

    #[test]
    fn few_are_scanned_and_many_are_not() {
        assert_eq!(plan(0, 1_000_000, 10), Plan::Scan);
        assert_eq!(plan(9_000, 9_000, 10), Plan::Scan);
        assert_eq!(plan(60_000, 60_000, 10), Plan::Graph(64));
        assert_eq!(plan(1_000_000, 500_000, 10), Plan::Graph(105));
        assert_eq!(plan(1_000_000, 100_000, 10), Plan::Graph(317));
        // The scan of 10,000 is faster than keeping 2,570.
        assert_eq!(plan(1_000_000, 10_000, 10), Plan::Scan);
        assert_eq!(plan(1_000_000, 1_000, 10), Plan::Scan);
        // It is the whole that has to be large, not what passes.
        assert_eq!(plan(60_000, 30_000, 10), Plan::Graph(105));
        assert_eq!(plan(1_000_000, 1_000_000, 1_024), Plan::Graph(2_048));
        assert_eq!(plan(1_000_000, 1_000_000, 300_000), Plan::Scan);
        // More live than the graph has: the newest are scanned beside it.
        assert_eq!(plan(1_000_000, 1_100_000, 10), Plan::Graph(64));
        assert_eq!(plan(1_000_000, u64::MAX, usize::MAX), Plan::Scan);
        assert_eq!(plan(10_000, 3_000, 10), Plan::Graph(145));
    }

    /// However many a walk would have to keep, named rows are compared by sketches.
    #[test]
    fn named_ones_are_scanned_only_if_they_are_few() {
        let plan = |graph, passing| facts(graph, passing, 10, true).plan();
        for graph in [20_000usize, 200_000, 1_000_000] {
            let few = graph as u64 / 32;
            assert_eq!(plan(graph, few - 1), Plan::Scan);
            assert!(matches!(plan(graph, few), Plan::Graph(_)));
            assert_eq!(plan(graph, graph as u64), Plan::Graph(64));
        }
        assert_eq!(facts(1_000_000, 100_000, 50_000, true).plan(), Plan::Scan);
        let exact = Facts { keep: 50_000, ..facts(1_000_000, 900_000, 10, true) };
        assert_eq!(exact.plan(), Plan::Scan);
    }

    /// More rows that pass never turn a graph search into a scan.
    #[test]
    fn there_is_one_crossover() {
        for (graph, named) in
            [60_000usize, 200_000, 1_000_000].map(|n| [(n, false), (n, true)]).concat()
        {
            let passing = (0..=100).map(|percent| (graph * percent / 100) as u64);
            let graphs: Vec<bool> =
                passing.map(|n| facts(graph, n, 10, named).plan() != Plan::Scan).collect();
            assert!(graphs.is_sorted(), "{graph}: {graphs:?}");
            assert!(graphs[100] && !graphs[0]);
        }
    }
}
