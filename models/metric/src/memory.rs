//! Cross-batch memory: embeddings of earlier steps as further negatives.

use ndarray::{Array2, ArrayView2};

use crate::Real;

/// A ring of the newest embeddings with their groups, one for each modality.
///
/// Entries are told apart by group and never by place, so any group id (also 0) may
/// come in, and the ring may be partly filled.
///
/// # Source
/// Wang et al. 2020, "Cross-batch memory for embedding learning".
#[derive(Clone, Debug, PartialEq)]
pub struct Memory {
    size: usize,
    width: usize,
    /// Where the next row goes once the ring is full.
    next: usize,
    groups: Vec<u32>,
    rows: Vec<f32>,
}

impl Memory {
    /// An empty ring for `size` embeddings.
    pub fn new(size: usize) -> Self {
        Self { size, width: 0, next: 0, groups: Vec::new(), rows: Vec::new() }
    }

    /// Number of embeddings held.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Groups, in the order of [`rows`](Self::rows).
    pub fn groups(&self) -> &[u32] {
        &self.groups
    }

    /// The embeddings, len × d.
    pub fn rows<T: Real>(&self) -> Array2<T> {
        let rows = self.rows.iter().map(|&v| T::of(f64::from(v))).collect();
        Array2::from_shape_vec((self.len(), self.width), rows)
            .unwrap_or_else(|_| Array2::zeros((0, self.width)))
    }

    /// Takes in a batch, over the oldest entries once it is full. Of a batch larger
    /// than the ring, the last rows stay. A width other than before starts it anew.
    pub fn push<T: Real>(&mut self, embeddings: ArrayView2<'_, T>, groups: &[u32]) {
        if embeddings.ncols() != self.width {
            *self = Self { width: embeddings.ncols(), ..Self::new(self.size) };
        }
        for (row, &group) in embeddings.outer_iter().zip(groups) {
            let values = row.iter().map(|v| v.wide() as f32);
            if self.groups.len() < self.size {
                self.groups.push(group);
                self.rows.extend(values);
            } else if self.size > 0 {
                self.groups[self.next] = group;
                let at = self.next * self.width;
                self.rows[at..at + self.width].iter_mut().zip(values).for_each(|(to, v)| *to = v);
                self.next = (self.next + 1) % self.size;
            }
        }
    }

    /// All that there is to it, for a checkpoint: place, groups, numbers.
    pub fn export(&self) -> (usize, &[u32], &[f32]) {
        (self.next, &self.groups, &self.rows)
    }

    /// Takes up what [`export`](Self::export) gave. `None` if it does not fit the size.
    pub fn import(size: usize, next: usize, groups: Vec<u32>, rows: Vec<f32>) -> Option<Self> {
        let width = if groups.is_empty() { 0 } else { rows.len() / groups.len() };
        let fits = groups.len() <= size
            && width * groups.len() == rows.len()
            && (next == 0 || (next < size && groups.len() == size));
        fits.then_some(Self { size, width, next, groups, rows })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_newest_stay_wherever_the_ring_wraps() {
        for size in 1..8 {
            for batch in 1..6 {
                let mut memory = Memory::new(size);
                let mut all: Vec<u32> = Vec::new();
                for step in 0..9u32 {
                    let groups: Vec<u32> = (0..batch).map(|i| step * batch + i).collect();
                    let rows = Array2::from_shape_fn((groups.len(), 2), |(i, j)| {
                        f64::from(groups[i]) + 0.5 * j as f64
                    });
                    memory.push(rows.view(), &groups);
                    all.extend(&groups);
                    let mut held = memory.groups().to_vec();
                    held.sort_unstable();
                    assert_eq!(
                        held,
                        all[all.len().saturating_sub(size)..],
                        "size {size}, batch {batch}"
                    );
                    for (row, &group) in memory.rows::<f64>().outer_iter().zip(memory.groups()) {
                        assert_eq!(row.to_vec(), [f64::from(group), f64::from(group) + 0.5]);
                    }
                }
                let (next, groups, rows) = memory.export();
                let again = Memory::import(size, next, groups.to_vec(), rows.to_vec());
                assert_eq!(again, Some(memory));
            }
        }
        assert_eq!(Memory::import(2, 0, vec![1, 2, 3], vec![0.0; 3]), None);
        let mut memory = Memory::new(3);
        memory.push(array![[1.0]].view(), &[0]);
        assert_eq!((memory.len(), memory.groups()), (1, &[0][..]), "group 0 is a group");
    }
}
