//! Who is whose positive and whose negative?

use ndarray::{Array2, ArrayView2, Axis, concatenate};

use crate::LossError;

/// What a candidate is to an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Relation {
    /// The same thing.
    Positive,
    /// Another thing.
    Negative,
    /// Neither counted as positive nor as negative: the anchor itself, or a
    /// near-duplicate.
    Ignore,
}

/// The relation of every candidate (column) to every anchor (row).
///
/// Rows of equal group are positives, wherever they stand: a second caption of the
/// same picture is never a negative.
#[derive(Clone, Debug, PartialEq)]
pub struct Relations {
    kinds: Array2<Relation>,
    paired: Option<Vec<usize>>,
    masked: usize,
}

impl Relations {
    /// Anchors of one modality, candidates of the other, row by row paired.
    ///
    /// Losses of one positive an anchor take the paired one; others of the group
    /// are then left out.
    ///
    /// # Shapes
    /// `groups`: n; `near`: n × n, where `near[[i, j]]` or `near[[j, i]]` says that
    /// rows i and j are too alike to be negatives. The result is symmetric.
    ///
    /// # Errors
    /// `Shape`.
    pub fn paired(groups: &[u32], near: Option<&Array2<bool>>) -> Result<Self, LossError> {
        let mut kinds = by_group(groups, groups);
        ignore_near(&mut kinds, near, true)?;
        let masked = not_negative(&kinds).saturating_sub(groups.len());
        Ok(Self { kinds, paired: Some((0..groups.len()).collect()), masked })
    }

    /// Anchors and candidates are the same rows; self is ignored.
    ///
    /// # Shapes
    /// As for [`paired`](Self::paired).
    ///
    /// # Errors
    /// `Shape`.
    pub fn within(groups: &[u32], near: Option<&Array2<bool>>) -> Result<Self, LossError> {
        let mut kinds = by_group(groups, groups);
        ignore_near(&mut kinds, near, true)?;
        kinds.diag_mut().fill(Relation::Ignore);
        let masked = kinds.iter().filter(|&&k| k == Relation::Ignore).count() - groups.len();
        Ok(Self { kinds, paired: None, masked })
    }

    /// Anchors of a batch against [its own positives | a memory]: in the first n
    /// columns the batch's candidates count as positives only, in the other columns
    /// the memory's count by their group.
    ///
    /// `paired`: whether row i of the batch's candidates is anchor i's own.
    ///
    /// # Shapes
    /// `groups`: n, `memory`: m; `near`: n × m, where `near[[i, j]]` says that row i and
    /// j of the memory are too alike to be negatives. The result is n × (n + m).
    ///
    /// # Errors
    /// `Shape`.
    pub fn memory(
        groups: &[u32],
        memory: &[u32],
        near: Option<&Array2<bool>>,
        paired: bool,
    ) -> Result<Self, LossError> {
        let n = groups.len();
        let mut kinds = by_group(groups, groups);
        let mut held = by_group(groups, memory);
        let same = held.iter().filter(|&&k| k == Relation::Positive).count();
        ignore_near(&mut held, near, false)?;
        let alike = held.iter().filter(|&&k| k == Relation::Ignore).count();
        for i in 0..n {
            for j in 0..n {
                if kinds[[i, j]] == Relation::Negative || (!paired && i == j) {
                    kinds[[i, j]] = Relation::Ignore;
                }
            }
        }
        let kinds = concatenate(Axis(1), &[kinds.view(), held.view()])
            .unwrap_or_else(|_| unreachable!("both have a row for each of the groups"));
        // In row order, whatever the parts were put together in.
        let kinds = kinds.as_standard_layout().into_owned();
        let paired = paired.then(|| (0..n).collect());
        Ok(Self { kinds, paired, masked: same + alike })
    }

    /// Any relations, with no paired positive.
    pub fn from_kinds(kinds: ArrayView2<'_, Relation>) -> Self {
        Self { kinds: kinds.as_standard_layout().into_owned(), paired: None, masked: 0 }
    }

    /// Number of (anchors, candidates).
    pub fn dim(&self) -> (usize, usize) {
        self.kinds.dim()
    }

    /// What candidate `column` is to anchor `row`.
    ///
    /// # Panics
    /// If either is out of range.
    pub fn of(&self, row: usize, column: usize) -> Relation {
        self.kinds[[row, column]]
    }

    /// What all candidates are to anchor `i`.
    ///
    /// # Panics
    /// If `i` is out of range.
    pub fn row(&self, i: usize) -> &[Relation] {
        let width = self.kinds.ncols();
        let all = self.kinds.as_slice().unwrap_or(&[]);
        &all[i * width..(i + 1) * width]
    }

    /// Off-pair entries that groups and near-duplicates took from the negatives.
    pub fn masked(&self) -> usize {
        self.masked
    }

    /// Writes anchor `i`'s positives for losses of triplets: the paired one, or all.
    pub(crate) fn positives(&self, i: usize, into: &mut Vec<usize>) {
        into.clear();
        match &self.paired {
            Some(paired) => into.push(paired[i]),
            None => into.extend(
                self.row(i)
                    .iter()
                    .enumerate()
                    .filter_map(|(j, k)| (*k == Relation::Positive).then_some(j)),
            ),
        }
    }

    /// How many anchors have both a positive and a negative.
    ///
    /// # Errors
    /// `NoNegatives`, `NoPositives` if none has one; `Shape` if `similarities` has
    /// other dimensions.
    pub(crate) fn check(
        &self,
        what: &str,
        similarities: (usize, usize),
    ) -> Result<usize, LossError> {
        if similarities != self.dim() {
            return Err(LossError::Shape {
                what: "similarities",
                expected: format!("{:?} as the relations", self.dim()),
                got: format!("{similarities:?}"),
            });
        }
        let (mut negatives, mut positives, mut both) = (0, 0, 0);
        for i in 0..self.dim().0 {
            let row = self.row(i);
            let negative = row.contains(&Relation::Negative);
            let positive = self.paired.is_some() || row.contains(&Relation::Positive);
            negatives += usize::from(negative);
            positives += usize::from(positive);
            both += usize::from(negative && positive);
        }
        let (what, candidates) = (what.to_owned(), self.dim().1);
        if negatives == 0 {
            return Err(LossError::NoNegatives { what, candidates });
        }
        if positives == 0 || both == 0 {
            return Err(LossError::NoPositives { what, candidates });
        }
        Ok(both)
    }
}

fn by_group(rows: &[u32], columns: &[u32]) -> Array2<Relation> {
    let mut kinds = Vec::with_capacity(rows.len() * columns.len());
    for &group in rows {
        kinds.extend(
            columns
                .iter()
                .map(|&other| if other == group { Relation::Positive } else { Relation::Negative }),
        );
    }
    let shape = (rows.len(), columns.len());
    Array2::from_shape_vec(shape, kinds)
        .unwrap_or_else(|_| Array2::from_elem((0, 0), Relation::Ignore))
}

/// `both`: rows and columns are the same things, and near holds each way round.
fn ignore_near(
    kinds: &mut Array2<Relation>,
    near: Option<&Array2<bool>>,
    both: bool,
) -> Result<(), LossError> {
    let Some(near) = near else { return Ok(()) };
    if near.dim() != kinds.dim() {
        return Err(LossError::Shape {
            what: "near-duplicates",
            expected: format!("{:?}", kinds.dim()),
            got: format!("{:?}", near.dim()),
        });
    }
    for ((i, j), _) in near.indexed_iter().filter(|(_, near)| **near) {
        for at in [[i, j], if both { [j, i] } else { [i, j] }] {
            if kinds[at] == Relation::Negative {
                kinds[at] = Relation::Ignore;
            }
        }
    }
    Ok(())
}

fn not_negative(kinds: &Array2<Relation>) -> usize {
    kinds.iter().filter(|&&k| k != Relation::Negative).count()
}
