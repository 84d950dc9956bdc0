//! Given queries whose relevant candidates are known, what do judgements of the first hits do for
//! the next ones?

use std::cmp::Ordering;

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::{FirstHits, Relevance};

/// Moves a query by judgements: from its vector and the positions of the candidates that were
/// liked and disliked, to the vector that is ranked by; `None` leaves the ranking as it was.
pub type Steer<'a> = dyn Fn(&[f32], &[usize], &[usize]) -> Option<Vec<f32>> + Sync + 'a;

/// What one query came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// `after[r][s]`: the first hits among those that nobody judged in `r` rounds (the residual
    /// collection), in the ranking after `s ≤ r` rounds. `None` where nothing relevant is left.
    pub after: Vec<Vec<Option<FirstHits>>>,
    /// Of all that is relevant, the share that was seen after the first, second … `shown`
    /// candidates: by judging each of them, and by going on in the first ranking.
    pub seen: Vec<(f64, f64)>,
    /// How many of the first hits were liked.
    pub liked: usize,
}

/// Lets everyone who asks judge the first `shown` hits that were not judged before, `rounds`
/// times: relevant ones are liked, the others disliked, and the query is moved by all judgements
/// so far. `None` for a query with nothing relevant.
///
/// Ties count against the ranking: of equal scores what is relevant comes last.
///
/// # Shapes
/// `queries`: rows of queries; `candidates`: rows of candidates, as wide; scores are dot products.
///
/// # Panics
/// If the shapes do not go together with one another or with `relevance`.
pub fn judge_rounds(
    queries: ArrayView2<'_, f32>,
    candidates: ArrayView2<'_, f32>,
    relevance: &Relevance,
    shown: usize,
    rounds: usize,
    steer: &Steer<'_>,
) -> Vec<Option<Judged>> {
    assert_eq!(queries.nrows(), relevance.queries(), "one row a query");
    assert_eq!(candidates.nrows(), relevance.candidates(), "one row a candidate");
    (0..queries.nrows())
        .into_par_iter()
        .map(|query| {
            let mut relevant = vec![false; candidates.nrows()];
            relevance.of(query).iter().for_each(|&c| relevant[c] = true);
            let one = One { candidates, relevant, itself: relevance.itself(query), shown };
            one.judge(&queries.row(query).to_vec(), rounds, steer)
        })
        .collect()
}

/// One query's candidates.
struct One<'a> {
    candidates: ArrayView2<'a, f32>,
    relevant: Vec<bool>,
    itself: Option<usize>,
    shown: usize,
}

impl One<'_> {
    fn judge(&self, query: &[f32], rounds: usize, steer: &Steer<'_>) -> Option<Judged> {
        let all = self.relevant.iter().filter(|&&r| r).count();
        if all == 0 {
            return None;
        }
        let mut rankings = vec![self.ranking(query)];
        let mut gone = vec![false; self.relevant.len()];
        let (mut liked, mut disliked): (Vec<usize>, Vec<usize>) = (vec![], vec![]);
        let mut judged = Judged { after: vec![], seen: vec![], liked: 0 };
        for round in 0..=rounds {
            let left = all - liked.len();
            let first = |ranking: &Vec<usize>| {
                let hits: Vec<bool> =
                    self.first(ranking, &gone).map(|candidate| self.relevant[candidate]).collect();
                FirstHits::new(&hits, left)
            };
            judged.after.push(rankings.iter().map(first).collect());
            let next: Vec<usize> = self.first(&rankings[round], &gone).collect();
            for &candidate in &next {
                gone[candidate] = true;
                let pile = if self.relevant[candidate] { &mut liked } else { &mut disliked };
                pile.push(candidate);
            }
            let paged = rankings[0].iter().take((round + 1) * self.shown);
            let paged = paged.filter(|&&candidate| self.relevant[candidate]).count();
            judged.seen.push((liked.len() as f64 / all as f64, paged as f64 / all as f64));
            if round == 0 {
                judged.liked = liked.len();
            }
            if round < rounds {
                let moved = steer(query, &liked, &disliked);
                let next = moved.map_or_else(|| rankings[round].clone(), |v| self.ranking(&v));
                rankings.push(next);
            }
        }
        Some(judged)
    }

    /// The first of a ranking that were not judged.
    fn first(&self, ranking: &[usize], gone: &[bool]) -> impl Iterator<Item = usize> {
        ranking.iter().copied().filter(|&candidate| !gone[candidate]).take(self.shown)
    }

    /// All candidates but the query itself, the best first.
    fn ranking(&self, vector: &[f32]) -> Vec<usize> {
        let scores = self.candidates.dot(&ndarray::ArrayView1::from(vector));
        let mut order: Vec<usize> =
            (0..scores.len()).filter(|&candidate| Some(candidate) != self.itself).collect();
        // What is no number stands behind all numbers, as in `rank` for relevant ones.
        let known = |c: usize| if scores[c].is_nan() { f32::NEG_INFINITY } else { scores[c] };
        order.sort_by(|&a, &b| {
            let by_score = known(b).partial_cmp(&known(a)).unwrap_or(Ordering::Equal);
            by_score.then(self.relevant[a].cmp(&self.relevant[b])).then(a.cmp(&b))
        });
        order
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    /// Candidates on a line, the query at its upper end: the ranking is 0, 1, 2, …
    fn line(n: usize) -> (Array2<f32>, Array2<f32>) {
        let candidates = Array2::from_shape_fn((n, 2), |(i, j)| match j {
            0 => (n - i) as f32,
            // Even ones lie on one side, odd ones on the other.
            _ => {
                if i % 2 == 0 {
                    1.0
                } else {
                    -1.0
                }
            }
        });
        (array![[1.0, 0.0]], candidates)
    }

    #[test]
    fn rounds_go_by_the_residual_collection() {
        let (query, candidates) = line(8);
        // Even ones are relevant: two of the first four are liked, two are not.
        let relevance = Relevance::new(vec![vec![0, 2, 4, 6]], 8).expect("in range");
        let asked = std::sync::Mutex::new(vec![]);
        let steer = |q: &[f32], liked: &[usize], disliked: &[usize]| {
            asked.lock().expect("alone").push((q.to_vec(), liked.to_vec(), disliked.to_vec()));
            // Looks at the side alone.
            Some(vec![0.0, 1.0])
        };
        let judged = judge_rounds(query.view(), candidates.view(), &relevance, 2, 2, &steer);
        let judged = judged[0].as_ref().expect("something is relevant");
        let asked = asked.into_inner().expect("alone");
        // First 0 and 1 are shown; then, by the side, 2 and 4.
        assert_eq!(asked[0], (vec![1.0, 0.0], vec![0], vec![1]));
        assert_eq!(asked[1], (vec![1.0, 0.0], vec![0, 2, 4], vec![1]));
        assert_eq!(judged.liked, 1);
        let recall = |r: usize, s: usize| judged.after[r][s].expect("some are left").recall;
        assert_eq!(recall(0, 0), 0.25);
        // Left are 2 … 7, of which 2, 4, 6 are relevant: unsteered 2 and 3 come first.
        assert_eq!((recall(1, 0), recall(1, 1)), (1.0 / 3.0, 2.0 / 3.0));
        // Left are 3, 5, 6, 7; the first ranking has 3 and 5 first.
        assert_eq!((recall(2, 0), recall(2, 1), recall(2, 2)), (0.0, 1.0, 1.0));
        assert_eq!(judged.seen, [(0.25, 0.25), (0.75, 0.5), (1.0, 0.75)]);
    }

    #[test]
    fn a_steering_that_does_nothing_changes_nothing() {
        let (query, candidates) = line(40);
        let relevance = Relevance::new(vec![vec![1, 13, 14, 33]], 40).expect("in range");
        let same = |q: &[f32], _: &[usize], _: &[usize]| Some(q.to_vec());
        let nothing = |_: &[f32], _: &[usize], _: &[usize]| None;
        for steer in [&same as &Steer<'_>, &nothing] {
            let judged = judge_rounds(query.view(), candidates.view(), &relevance, 10, 2, steer);
            let judged = judged[0].as_ref().expect("something is relevant");
            for rows in &judged.after {
                assert!(rows.iter().all(|row| row == &rows[0]), "{rows:?}");
            }
            assert!(judged.seen.iter().all(|(judging, paging)| judging == paging), "{judged:?}");
            assert_eq!(judged.seen.last(), Some(&(0.75, 0.75)));
        }
    }

    #[test]
    fn who_has_found_all_has_nothing_left_to_score() {
        let (query, candidates) = line(6);
        let relevance = Relevance::new(vec![vec![0, 1]], 6).expect("in range");
        let judged = judge_rounds(query.view(), candidates.view(), &relevance, 2, 1, &|q, _, _| {
            Some(q.to_vec())
        });
        let judged = judged[0].as_ref().expect("something is relevant");
        assert_eq!(judged.after[1], [None, None]);
        assert_eq!(judged.seen, [(1.0, 1.0), (1.0, 1.0)]);
        let none = Relevance::new(vec![vec![]], 6).expect("in range");
        let of = judge_rounds(query.view(), candidates.view(), &none, 2, 1, &|_, _, _| None);
        assert_eq!(of, [None]);
    }
}
