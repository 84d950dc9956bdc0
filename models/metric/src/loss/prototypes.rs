//! The prototypical loss: nearest to the mean of one's own group.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2};
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use crate::{LossError, Real, Tally};

/// Options of [`prototypes`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prototypes {
    /// Factor of the squared distance in the softmax; 1 in the paper, whose
    /// embeddings are not of unit length. On unit vectors 10 is a useful start.
    pub scale: f64,
}

/// Which rows of a batch show what a group is, and which ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Episode {
    /// Rows that the prototypes are means of.
    pub support: Vec<usize>,
    /// Rows that are classified.
    pub queries: Vec<usize>,
}

/// Splits each group's rows in two halves at random (the support gets the odd one);
/// groups of one row are left out.
pub fn episode(groups: &[u32], rng: &mut Pcg64) -> Episode {
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (row, &group) in groups.iter().enumerate() {
        members.entry(group).or_default().push(row);
    }
    let mut out = Episode::default();
    for mut rows in members.into_values().filter(|rows| rows.len() > 1) {
        rows.shuffle(rng);
        let half = rows.len().div_ceil(2);
        out.support.extend(&rows[..half]);
        out.queries.extend(&rows[half..]);
    }
    out
}

/// What [`prototypes`] gives.
#[derive(Clone, Debug)]
pub struct Prototyped<T> {
    /// The loss.
    pub loss: f64,
    /// ∂L/∂queries.
    pub queries: Array2<T>,
    /// ∂L/∂support.
    pub support: Array2<T>,
    /// What was counted: a term is active where another prototype is nearer.
    pub tally: Tally,
}

/// −log softmax_k(−scale·‖x − c_k‖²) at the query's own group, averaged over queries;
/// c_k is the mean of group k's support rows (not scaled to unit length). Queries
/// whose group has no support are left out, and so are for each query the prototypes
/// of other groups with a row that is near it.
///
/// # Shapes
/// `queries`: n × d with `query_groups`: n; `support`: m × d with `support_groups`: m;
/// `near`: n × m, whether a query and a support row are too alike to be negatives.
///
/// # Errors
/// `NoNegatives` if no query has a prototype of another group, `NoPositives` if none
/// has its own, `Shape`.
///
/// # Source
/// Snell, Swersky, Zemel 2017, eq. 1 and 2.
pub fn prototypes<T: Real>(
    queries: ArrayView2<'_, T>,
    query_groups: &[u32],
    support: ArrayView2<'_, T>,
    support_groups: &[u32],
    near: Option<&Array2<bool>>,
    options: &Prototypes,
) -> Result<Prototyped<T>, LossError> {
    if queries.nrows() != query_groups.len() || support.nrows() != support_groups.len() {
        return Err(LossError::Shape {
            what: "groups of queries and support",
            expected: format!("{} and {}", queries.nrows(), support.nrows()),
            got: format!("{} and {}", query_groups.len(), support_groups.len()),
        });
    }
    if let Some(near) = near
        && near.dim() != (queries.nrows(), support.nrows())
    {
        return Err(LossError::Shape {
            what: "near-duplicates of queries and support",
            expected: format!("{:?}", (queries.nrows(), support.nrows())),
            got: format!("{:?}", near.dim()),
        });
    }
    let mut place: BTreeMap<u32, usize> = support_groups.iter().map(|&g| (g, 0)).collect();
    place.values_mut().enumerate().for_each(|(k, at)| *at = k);
    let what = || "prototypical loss".to_owned();
    if place.len() < 2 {
        return Err(LossError::NoNegatives { what: what(), candidates: place.len() });
    }
    if !query_groups.iter().any(|g| place.contains_key(g)) {
        return Err(LossError::NoPositives { what: what(), candidates: place.len() });
    }
    // Whether prototype k is one that query i is compared with.
    let mut counted = Array2::from_elem((query_groups.len(), place.len()), true);
    for ((i, j), _) in near.iter().flat_map(|near| near.indexed_iter()).filter(|(_, near)| **near) {
        counted[[i, place[&support_groups[j]]]] &= query_groups[i] == support_groups[j];
    }
    let asks = |i: usize| {
        place.contains_key(&query_groups[i]) && counted.row(i).iter().filter(|c| **c).count() > 1
    };
    let asked = (0..query_groups.len()).filter(|&i| asks(i)).count();
    if asked == 0 {
        return Err(LossError::NoNegatives { what: what(), candidates: place.len() });
    }
    let mut centres = Array2::<T>::zeros((place.len(), support.ncols()));
    let mut counts = vec![0usize; place.len()];
    for (row, group) in support.outer_iter().zip(support_groups) {
        let k = place[group];
        counts[k] += 1;
        centres.row_mut(k).scaled_add(T::one(), &row);
    }
    for (mut centre, &count) in centres.outer_iter_mut().zip(&counts) {
        centre.mapv_inplace(|v| v / T::of(count as f64));
    }
    let mut by_query = Array2::<T>::zeros(queries.dim());
    let mut by_centre = Array2::<T>::zeros(centres.dim());
    let mut tally = Tally { anchors: asked, ..Tally::default() };
    let share = 1.0 / asked as f64;
    let mut loss = 0.0;
    for (i, (x, group)) in queries.outer_iter().zip(query_groups).enumerate() {
        let Some(&own) = place.get(group).filter(|_| asks(i)) else { continue };
        let scores: Vec<f64> = centres
            .outer_iter()
            .zip(counted.row(i))
            .map(|(c, &counts)| {
                if !counts {
                    return f64::NEG_INFINITY;
                }
                let d: T = x.iter().zip(&c).map(|(&x, &c)| (x - c) * (x - c)).sum();
                -options.scale * d.wide()
            })
            .collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = scores.iter().map(|s| (s - top).exp()).sum();
        loss += share * (total.ln() + top - scores[own]);
        let other = scores
            .iter()
            .enumerate()
            .filter(|(k, _)| *k != own)
            .map(|(_, s)| *s)
            .fold(f64::NEG_INFINITY, f64::max);
        tally.term(other - scores[own]);
        tally.active_anchors += usize::from(other > scores[own]);
        for (k, score) in scores.iter().enumerate().filter(|(_, s)| s.is_finite()) {
            // ∂L/∂score, then through −scale·‖x − c‖².
            let by_score = share * ((score - top).exp() / total - f64::from(u8::from(k == own)));
            let weight = T::of(-2.0 * options.scale * by_score);
            let difference = &x - &centres.row(k);
            by_query.row_mut(i).scaled_add(weight, &difference);
            by_centre.row_mut(k).scaled_add(-weight, &difference);
        }
    }
    let mut by_support = Array2::<T>::zeros(support.dim());
    for (mut row, group) in by_support.outer_iter_mut().zip(support_groups) {
        let k = place[group];
        row.scaled_add(T::of(1.0 / counts[k] as f64), &by_centre.row(k));
    }
    Ok(Prototyped { loss, queries: by_query, support: by_support, tally })
}
