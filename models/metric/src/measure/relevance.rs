//! Given queries and candidates, which candidate is relevant to which query?

use std::collections::HashMap;
use std::hash::Hash;

/// Ragged sets of relevant candidates, one a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Relevance {
    sets: Vec<Vec<usize>>,
    candidates: usize,
    /// Whether query `i` is candidate `i`, which is then left out.
    same_side: bool,
}

/// A candidate that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "query {query} names candidate {candidate}, but there are {candidates} (counted from 0); \
     give positions among the candidates"
)]
pub struct RelevanceError {
    /// Position of the query.
    pub query: usize,
    /// The position it names.
    pub candidate: usize,
    /// How many there are.
    pub candidates: usize,
}

impl Relevance {
    /// From sets of candidates, one a query, in any order; an empty one is a
    /// query that is not scored.
    ///
    /// # Errors
    /// If a position is not below `candidates`.
    pub fn new(mut sets: Vec<Vec<usize>>, candidates: usize) -> Result<Self, RelevanceError> {
        for (query, set) in sets.iter_mut().enumerate() {
            set.sort_unstable();
            set.dedup();
            if let Some(&candidate) = set.last().filter(|&&c| c >= candidates) {
                return Err(RelevanceError { query, candidate, candidates });
            }
        }
        Ok(Self { sets, candidates, same_side: false })
    }

    /// Relevant is what has the query's label.
    pub fn of_labels<L: Eq + Hash>(queries: &[L], candidates: &[L]) -> Self {
        let mut places: HashMap<&L, Vec<usize>> = HashMap::new();
        for (c, label) in candidates.iter().enumerate() {
            places.entry(label).or_default().push(c);
        }
        let sets = queries.iter().map(|q| places.get(q).cloned().unwrap_or_default()).collect();
        Self { sets, candidates: candidates.len(), same_side: false }
    }

    /// Items among themselves: relevant is what has the same label, but not the
    /// query itself, which is no candidate either.
    pub fn within<L: Eq + Hash>(labels: &[L]) -> Self {
        let mut relevance = Self::of_labels(labels, labels);
        relevance.same_side = true;
        for (query, set) in relevance.sets.iter_mut().enumerate() {
            set.retain(|&c| c != query);
        }
        relevance
    }

    /// How many queries.
    pub fn queries(&self) -> usize {
        self.sets.len()
    }

    /// How many candidates each query is ranked over (itself not counted).
    pub fn ranked_over(&self) -> usize {
        self.candidates - usize::from(self.same_side && self.candidates > 0)
    }

    /// How many candidates there are.
    pub fn candidates(&self) -> usize {
        self.candidates
    }

    /// The candidates relevant to a query, ascending.
    ///
    /// # Panics
    /// If there is no such query.
    pub fn of(&self, query: usize) -> &[usize] {
        &self.sets[query]
    }

    /// The candidate that is the query itself.
    pub(super) fn itself(&self, query: usize) -> Option<usize> {
        self.same_side.then_some(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_make_ragged_sets() {
        let r = Relevance::of_labels(&["a", "b", "c"], &["b", "a", "b"]);
        assert_eq!((r.of(0), r.of(1), r.of(2)), (&[1][..], &[0, 2][..], &[][..]));
        let r = Relevance::within(&["a", "b", "a"]);
        assert_eq!((r.of(0), r.of(1)), (&[2][..], &[][..]), "never oneself");
        assert_eq!((r.candidates(), r.ranked_over()), (3, 2));
    }

    #[test]
    fn a_candidate_that_is_not_there_is_refused() {
        let error = Relevance::new(vec![vec![0], vec![1, 5]], 3).expect_err("refused");
        assert_eq!(error, RelevanceError { query: 1, candidate: 5, candidates: 3 });
        let r = Relevance::new(vec![vec![2, 0, 2]], 3).expect("valid");
        assert_eq!(r.of(0), [0, 2]);
    }
}
