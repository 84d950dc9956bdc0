//! Cross-batch memory: embeddings of earlier steps as further negatives.

use ndarray::{Array2, ArrayView2};

use crate::{Near, Real};

/// A ring of the newest embeddings with their groups and the ids of their texts, one
/// for each modality.
///
/// Entries are told apart by group and text and never by place, so any group id (also
/// 0) may come in, and the ring may be partly filled.
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
    /// [`Near::NONE`] where none was given.
    texts: Vec<u32>,
    rows: Vec<f32>,
}

/// All that there is to a [`Memory`], for a checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Held {
    pub(crate) next: usize,
    pub(crate) groups: Vec<u32>,
    pub(crate) texts: Vec<u32>,
    pub(crate) rows: Vec<f32>,
}

impl Memory {
    /// An empty ring for `size` embeddings.
    pub fn new(size: usize) -> Self {
        let (groups, texts, rows) = (Vec::new(), Vec::new(), Vec::new());
        Self { size, width: 0, next: 0, groups, texts, rows }
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

    /// Ids of texts, in the order of [`rows`](Self::rows); [`Near::NONE`] where none was
    /// given.
    pub fn texts(&self) -> &[u32] {
        &self.texts
    }

    /// The embeddings, len × d.
    pub fn rows<T: Real>(&self) -> Array2<T> {
        let rows = self.rows.iter().map(|&v| T::of(f64::from(v))).collect();
        Array2::from_shape_vec((self.len(), self.width), rows)
            .unwrap_or_else(|_| Array2::zeros((0, self.width)))
    }

    /// Takes in a batch, over the oldest entries once it is full. Of a batch larger
    /// than the ring, the last rows stay. A width other than before starts it anew.
    /// `texts`: one a row, if they have ids.
    pub fn push<T: Real>(
        &mut self,
        embeddings: ArrayView2<'_, T>,
        groups: &[u32],
        texts: Option<&[u32]>,
    ) {
        if embeddings.ncols() != self.width {
            *self = Self { width: embeddings.ncols(), ..Self::new(self.size) };
        }
        let texts = texts.unwrap_or(&[]).iter().copied().chain(std::iter::repeat(Near::NONE));
        for ((row, &group), text) in embeddings.outer_iter().zip(groups).zip(texts) {
            let values = row.iter().map(|v| v.wide() as f32);
            if self.groups.len() < self.size {
                self.groups.push(group);
                self.texts.push(text);
                self.rows.extend(values);
            } else if self.size > 0 {
                self.groups[self.next] = group;
                self.texts[self.next] = text;
                let at = self.next * self.width;
                self.rows[at..at + self.width].iter_mut().zip(values).for_each(|(to, v)| *to = v);
                self.next = (self.next + 1) % self.size;
            }
        }
    }

    /// All that there is to it.
    pub(crate) fn export(&self) -> Held {
        let Self { next, groups, texts, rows, .. } = self.clone();
        Held { next, groups, texts, rows }
    }

    /// Takes up what [`export`](Self::export) gave. `None` if it does not fit the size.
    pub(crate) fn import(size: usize, held: Held) -> Option<Self> {
        let Held { next, groups, texts, rows } = held;
        let width = if groups.is_empty() { 0 } else { rows.len() / groups.len() };
        let fits = groups.len() <= size
            && texts.len() == groups.len()
            && width * groups.len() == rows.len()
            && (next == 0 || (next < size && groups.len() == size));
        fits.then_some(Self { size, width, next, groups, texts, rows })
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
                    let texts: Vec<u32> = groups.iter().map(|g| 2 * g).collect();
                    // Now and then there are none.
                    let texts = (step % 3 > 0).then_some(texts.as_slice());
                    memory.push(rows.view(), &groups, texts);
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
                    for (&text, &group) in memory.texts().iter().zip(memory.groups()) {
                        let given = group / batch % 3 > 0;
                        assert_eq!(text, if given { 2 * group } else { Near::NONE });
                    }
                }
                assert_eq!(Memory::import(size, memory.export()), Some(memory));
            }
        }
        let held = |texts: usize| Held {
            groups: vec![1, 2, 3],
            texts: vec![0; texts],
            rows: vec![0.0; 3],
            ..Held::default()
        };
        assert_eq!(Memory::import(2, held(3)), None, "too many");
        assert_eq!(Memory::import(3, held(2)), None, "a row without a text");
        let mut memory = Memory::new(3);
        memory.push(array![[1.0]].view(), &[0], None);
        assert_eq!((memory.len(), memory.groups()), (1, &[0][..]), "group 0 is a group");
    }
}
