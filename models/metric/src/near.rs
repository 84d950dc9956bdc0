//! Which texts say nearly the same, so that neither is the other's negative?

use std::collections::HashMap;

use ndarray::Array2;

/// The texts of a batch, by ids that last over the training: embeddings of earlier
/// batches are compared by them, too.
#[derive(Clone, Copy, Debug)]
pub struct Near<'a> {
    /// n: the id of each row's text; under [`Near::NONE`].
    pub ids: &'a [u32],
    /// By id: the others that are near, each way round. Ids beyond its end are near to
    /// themselves alone.
    pub lists: &'a [Vec<u32>],
}

impl Near<'_> {
    /// The id of no text: near to nothing.
    pub const NONE: u32 = u32::MAX;

    /// n × m: whether text i is near `others[j]`, or the same.
    pub fn mask(&self, others: &[u32]) -> Array2<bool> {
        let mut places: HashMap<u32, Vec<usize>> = HashMap::new();
        for (place, &id) in others.iter().enumerate().filter(|(_, id)| **id != Self::NONE) {
            places.entry(id).or_default().push(place);
        }
        let mut mask = Array2::from_elem((self.ids.len(), others.len()), false);
        for (mut row, &id) in mask.outer_iter_mut().zip(self.ids) {
            let near = self.lists.get(id as usize).into_iter().flatten().chain([&id]);
            for &place in near.filter_map(|id| places.get(id)).flatten() {
                row[place] = true;
            }
        }
        mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_that_of_looking_at_each_pair() {
        let lists = [vec![2], vec![], vec![0, 3], vec![2]];
        let ids = [0, 3, 0, 1, 9];
        let others = [2, 0, Near::NONE, 9, 3, 1, 2];
        let mask = Near { ids: &ids, lists: &lists }.mask(&others);
        for (i, &a) in ids.iter().enumerate() {
            for (j, &b) in others.iter().enumerate() {
                let listed = lists.get(a as usize).is_some_and(|list| list.contains(&b));
                assert_eq!(mask[[i, j]], listed || a == b, "{a} and {b}");
            }
        }
    }
}
