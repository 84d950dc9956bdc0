//! Which rows of the vector file pass a filter?

/// Some of the rows 0 to `len`, a bit each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowSet {
    words: Vec<u64>,
    len: u64,
    count: u64,
}

impl RowSet {
    /// How many rows were looked at: from here on nothing is known.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// How many rows are in it.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Looks at rows up to `len` as well, of which those inserted later are in it.
    pub(crate) fn extend_to(&mut self, len: u64) {
        self.len = self.len.max(len);
        let words = usize::try_from(self.len.div_ceil(64)).unwrap_or(usize::MAX);
        self.words.resize(words, 0);
    }

    /// Puts in a row below `len`; others are ignored.
    pub(crate) fn insert(&mut self, row: u64) {
        if row < self.len {
            let (word, bit) = (&mut self.words[(row / 64) as usize], 1 << (row % 64));
            self.count += u64::from(*word & bit == 0);
            *word |= bit;
        }
    }

    /// Whether a row is in it.
    pub(crate) fn contains(&self, row: u64) -> bool {
        let word = usize::try_from(row / 64).ok().and_then(|i| self.words.get(i));
        word.is_some_and(|word| word >> (row % 64) & 1 == 1)
    }

    /// The rows in it from `from` on, ascending.
    pub(crate) fn iter(&self, from: u64) -> impl Iterator<Item = u64> + '_ {
        let first = usize::try_from(from / 64).unwrap_or(usize::MAX).min(self.words.len());
        self.words[first..].iter().zip(first as u64..).flat_map(move |(&word, i)| {
            let below = if i == from / 64 { u64::MAX << (from % 64) } else { u64::MAX };
            let mut word = word & below;
            std::iter::from_fn(move || {
                let bit = word.checked_ilog2().map(|_| word.trailing_zeros())?;
                word &= word - 1;
                Some(i * 64 + u64::from(bit))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn is_a_set(rows in prop::collection::vec(0u64..300, 0..60), len in 0u64..320, from in 0u64..400) {
            let mut set = RowSet::default();
            set.extend_to(len);
            let mut expected = BTreeSet::new();
            for &row in &rows {
                set.insert(row);
                if row < len {
                    expected.insert(row);
                }
            }
            prop_assert_eq!(set.count(), expected.len() as u64);
            prop_assert!((0..400).all(|row| set.contains(row) == expected.contains(&row)));
            let found: Vec<u64> = set.iter(from).collect();
            prop_assert_eq!(found, expected.range(from..).copied().collect::<Vec<_>>());
            set.extend_to(len / 2);
            prop_assert_eq!(set.len(), len);
        }
    }
}
