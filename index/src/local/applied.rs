//! Given a label set, of which pictures is it asked, and where do its answers go? Like
//! names, they are no change of what a search without a filter finds, and no commits.

use std::sync::Arc;

use super::{LocalStore, Snapshot};
use crate::applied::{Applied, GivenLabel, KIND, LabelAnswers, LabelRule, Written};
use crate::catalogue::AppliedSet;
use crate::filter::Pass;
use crate::{Item, ItemId, Kind, NameKind, StoreError, StoreRead};

/// The pictures of one committed state, or those that came after a former one.
pub struct Pictures {
    snapshot: Arc<Snapshot>,
    from: u64,
}

impl Pictures {
    /// How many there are.
    pub fn len(&self) -> u64 {
        let rows = &self.snapshot.rows;
        let image = |row: &u64| matches!(rows.live(*row), Some((_, Kind::Image)));
        (self.from..rows.len()).filter(image).count() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many blocks they lie in, for threads to share.
    pub fn blocks(&self) -> usize {
        self.snapshot.rows.chunk_count()
    }

    /// Calls `each` with id, row and vector of every undamaged picture of a block.
    pub fn each_in(&self, block: usize, each: impl FnMut(ItemId, u64, &[f32])) {
        let pass = Pass::new(Some(Kind::Image), None);
        self.snapshot.rows.each_in_chunk(block, self.from, &pass, each);
    }
}

impl LocalStore {
    /// The pictures as they are now.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn pictures(&self) -> Result<Pictures, StoreError> {
        self.refresh()?;
        Ok(Pictures { snapshot: self.inner.snapshot(), from: 0 })
    }

    /// Those of the pictures that a set, which was applied by this rule, was not asked of:
    /// all of them if it is another set now.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn pictures_waiting(&self, set: &str, rule: LabelRule) -> Result<Pictures, StoreError> {
        let mut pictures = self.pictures()?;
        let (known, stamp) =
            self.inner.read(|c| Ok((c.applied_set(set)?, c.named_stamp(KIND, set)?)))?;
        let known = known.filter(|k| {
            k.rule == rule
                && Some(k.stamp) == stamp
                && k.generation == pictures.snapshot.generation.number
        });
        pictures.from = known.map_or(0, |k| k.upto).min(pictures.snapshot.rows.len());
        Ok(pictures)
    }

    /// A number that changes when what stands for a name does; `None` if nothing does.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn stamp(&self, kind: NameKind, name: &str) -> Result<Option<i64>, StoreError> {
        self.inner.read(|c| c.named_stamp(kind, name))
    }

    /// Keeps what a set says of these pictures, in one step: of all, instead of what it said
    /// before, or of those that waited, beside it.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails; then all is as before.
    pub fn put_applied(
        &self,
        answers: &LabelAnswers<'_>,
        pictures: &Pictures,
    ) -> Result<Written, StoreError> {
        let of = &pictures.snapshot;
        let rows = (pictures.from, of.rows.len());
        self.writer()?.catalogue.transaction(|c| c.put_applied(answers, of.generation.number, rows))
    }

    /// Forgets what a set says of pictures; the set stays.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails.
    pub fn remove_applied(&self, set: &str) -> Result<(), StoreError> {
        self.writer()?.catalogue.transaction(|c| c.remove_applied(set))
    }

    /// The sets that were applied, in order of names.
    ///
    /// # Errors
    /// `Corrupt` if what is known of one is not as written; as reading the catalogue fails.
    pub fn applied(&self) -> Result<Vec<Applied>, StoreError> {
        self.refresh()?;
        let snapshot = self.inner.snapshot();
        let (rows, generation) = (&snapshot.rows, snapshot.generation.number);
        let all = rows.count(&Pass::new(Some(Kind::Image), None));
        self.inner.read(|c| {
            let one = |set: AppliedSet| {
                let upto = if set.generation == generation { set.upto } else { 0 };
                let image = |row: &u64| matches!(rows.live(*row), Some((_, Kind::Image)));
                let waiting = (upto..rows.len()).filter(image).count() as u64;
                Ok(Applied {
                    changed: c.named_stamp(KIND, &set.name)? != Some(set.stamp),
                    pictures: all - waiting,
                    waiting,
                    answers: set.count,
                    set: set.name,
                    rule: set.rule,
                    at: set.at,
                })
            };
            c.applied()?.into_iter().map(one).collect()
        })
    }

    /// The labels that sets gave to these items, in the order of `ids`.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn given_labels(&self, ids: &[ItemId]) -> Result<Vec<Vec<GivenLabel>>, StoreError> {
        self.inner.read(|c| {
            let one = |id: &ItemId| match c.head(*id)? {
                Some((head, _)) if head.kind == Kind::Image => c.labels_of_row(head.row),
                _ => Ok(vec![]),
            };
            ids.iter().map(one).collect()
        })
    }

    /// These items as filters see them, in the order of `ids`: the labels that sets gave to a
    /// picture stand beside its own. `None` where there is none.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn items_as_filtered(&self, ids: &[ItemId]) -> Result<Vec<Option<Item>>, StoreError> {
        let (mut items, given) = (self.items(ids)?, self.given_labels(ids)?);
        for (item, given) in items.iter_mut().zip(given) {
            if let Some(item) = item {
                item.labels.extend(given.into_iter().map(|one| one.label));
            }
        }
        Ok(items)
    }
}
