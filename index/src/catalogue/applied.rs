//! How are the answers of label sets kept? A row a set that was applied, and a row an
//! answer, by the row of the vector file: what is embedded anew, or came later, has none
//! until the set goes on. A set's row has a hash over all it says and over its answers.
//!
//! The tables came after version 2 and have no version of their own, as those of `named`.
//! A program of before may number the rows anew without them; so each set says of which
//! generation its rows are, and of another one they count as not there.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{OptionalExtension, Row, params};

use super::item::hash;
use super::{Catalogue, State};
use crate::applied::KIND;
use crate::{GivenLabel, Item, LabelAnswers, LabelRule, StoreError, Written};

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS applied (
    name TEXT PRIMARY KEY, generation INTEGER NOT NULL, upto INTEGER NOT NULL,
    minimum REAL NOT NULL, multi INTEGER NOT NULL, stamp INTEGER NOT NULL, at INTEGER NOT NULL,
    count INTEGER NOT NULL, digest INTEGER NOT NULL, hash INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS applied_labels (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, label TEXT NOT NULL, UNIQUE (name, label)
);
CREATE TABLE IF NOT EXISTS applied_rows (
    label INTEGER NOT NULL, row INTEGER NOT NULL, probability REAL NOT NULL,
    PRIMARY KEY (label, row)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS applied_by_row ON applied_rows (row);
";

/// The tables of [`SCHEMA`], for whoever asks whether they are there.
pub(super) const TABLES: [&str; 3] = ["applied", "applied_labels", "applied_rows"];

/// The row of a set that was applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AppliedSet {
    pub(crate) name: String,
    pub(crate) generation: u32,
    /// Rows below were looked at, if they were pictures.
    pub(crate) upto: u64,
    pub(crate) rule: LabelRule,
    pub(crate) stamp: i64,
    pub(crate) at: i64,
    pub(crate) count: u64,
    /// XOR over the answers.
    digest: i64,
}

impl AppliedSet {
    fn hash(&self) -> i64 {
        hash(&[
            self.name.as_bytes(),
            &self.generation.to_le_bytes(),
            &self.upto.to_le_bytes(),
            &self.rule.minimum.to_bits().to_le_bytes(),
            &[u8::from(self.rule.multi)],
            &self.stamp.to_le_bytes(),
            &self.at.to_le_bytes(),
            &self.count.to_le_bytes(),
            &self.digest.to_le_bytes(),
        ])
    }

    /// `None` if the row is not as written.
    fn read(row: &Row<'_>) -> rusqlite::Result<Option<Self>> {
        let number = |i| row.get::<_, i64>(i);
        let this = Self {
            name: row.get(0)?,
            generation: row.get(1)?,
            upto: number(2)? as u64,
            rule: LabelRule { minimum: row.get(3)?, multi: row.get(4)? },
            stamp: number(5)?,
            at: number(6)?,
            count: number(7)? as u64,
            digest: number(8)?,
        };
        Ok((this.hash() == number(9)?).then_some(this))
    }
}

fn answer_hash(name: &str, label: &str, row: u64, probability: f64) -> i64 {
    hash(&[
        name.as_bytes(),
        label.as_bytes(),
        &row.to_le_bytes(),
        &probability.to_bits().to_le_bytes(),
    ])
}

/// The labels that sets gave, by row: for those who look at every item.
#[derive(Debug, Default)]
pub(crate) struct GivenLabels(HashMap<u64, Vec<String>>);

impl GivenLabels {
    /// The item with these labels beside its own, where it has some.
    pub(crate) fn seen<T>(&self, item: &Item, row: u64, look: impl FnOnce(&Item) -> T) -> T {
        match self.0.get(&row) {
            None => look(item),
            Some(labels) => {
                let mut item = item.clone();
                item.labels.extend(labels.iter().cloned());
                look(&item)
            }
        }
    }
}

impl Catalogue {
    /// Whether the tables are there: a store that only programs of before wrote to has none.
    fn has_applied(&self) -> Result<bool, StoreError> {
        let there = "SELECT COUNT(*) FROM sqlite_schema WHERE name IN (?, ?, ?)";
        let count: i64 = self.sql(|c| c.prepare_cached(there)?.query_row(TABLES, |r| r.get(0)))?;
        Ok(count == TABLES.len() as i64)
    }

    /// All sets that were applied, in order; those that are not as written are left out, and
    /// what they said with them.
    pub(crate) fn applied(&self) -> Result<Vec<AppliedSet>, StoreError> {
        if !self.has_applied()? {
            return Ok(vec![]);
        }
        let sets: Vec<Option<AppliedSet>> = self.sql(|c| {
            let mut statement = c.prepare_cached("SELECT * FROM applied ORDER BY name")?;
            let rows = statement.query_map([], AppliedSet::read)?;
            rows.collect()
        })?;
        Ok(sets.into_iter().flatten().collect())
    }

    /// A number that changes whenever any answer does.
    pub(crate) fn applied_epoch(&self) -> Result<i64, StoreError> {
        let sets = self.applied()?;
        if sets.is_empty() {
            return Ok(0);
        }
        let all: Vec<u8> = sets.iter().flat_map(|set| set.hash().to_le_bytes()).collect();
        Ok(hash(&[&all]))
    }

    /// Numbers and texts of all labels whose answers are of this generation.
    pub(super) fn applied_labels(&self) -> Result<Vec<(i64, String)>, StoreError> {
        let mut labels = vec![];
        for set in self.current_sets()? {
            labels.extend(self.labels_of_set(&set.name)?);
        }
        Ok(labels)
    }

    /// The sets whose answers are of the rows as they are numbered now.
    fn current_sets(&self) -> Result<Vec<AppliedSet>, StoreError> {
        let mut sets = self.applied()?;
        if !sets.is_empty() {
            let generation = self.state()?.generation;
            sets.retain(|set| set.generation == generation);
        }
        Ok(sets)
    }

    /// Numbers and texts of the labels of a set that were given.
    fn labels_of_set(&self, name: &str) -> Result<Vec<(i64, String)>, StoreError> {
        self.sql(|c| {
            let query = "SELECT id, label FROM applied_labels WHERE name = ?";
            let mut statement = c.prepare_cached(query)?;
            let rows = statement.query_map([name], |r| Ok((r.get(0)?, r.get(1)?)))?;
            rows.collect()
        })
    }

    /// Every picture's labels, by row.
    pub(crate) fn given_labels(&self) -> Result<GivenLabels, StoreError> {
        let texts: BTreeMap<i64, String> = self.applied_labels()?.into_iter().collect();
        let mut given = GivenLabels::default();
        if texts.is_empty() {
            return Ok(given);
        }
        self.sql(|c| {
            let mut statement = c.prepare_cached("SELECT label, row FROM applied_rows")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if let Some(text) = texts.get(&row.get(0)?) {
                    let labels = given.0.entry(row.get::<_, i64>(1)? as u64).or_default();
                    labels.push(text.clone());
                }
            }
            Ok(())
        })?;
        Ok(given)
    }

    /// Calls `found` with the rows of a label.
    pub(super) fn applied_rows(
        &self,
        label: i64,
        mut found: impl FnMut(u64),
    ) -> Result<(), StoreError> {
        self.sql(|c| {
            let mut statement = c.prepare_cached("SELECT row FROM applied_rows WHERE label = ?")?;
            let mut rows = statement.query([label])?;
            while let Some(row) = rows.next()? {
                found(row.get::<_, i64>(0)? as u64);
            }
            Ok(())
        })
    }

    /// What sets say of a row, the most probable first.
    pub(crate) fn labels_of_row(&self, row: u64) -> Result<Vec<GivenLabel>, StoreError> {
        let sets = self.current_sets()?;
        if sets.is_empty() {
            return Ok(vec![]);
        }
        let query = "SELECT l.name, l.label, r.probability FROM applied_rows r \
                     JOIN applied_labels l ON l.id = r.label WHERE r.row = ? \
                     ORDER BY r.probability DESC, l.name, l.label";
        let mut given: Vec<GivenLabel> = self.sql(|c| {
            let mut statement = c.prepare_cached(query)?;
            let rows = statement.query_map([row as i64], |r| {
                let probability = r.get::<_, f64>(2)? as f32;
                Ok(GivenLabel { set: r.get(0)?, label: r.get(1)?, probability })
            })?;
            rows.collect()
        })?;
        given.retain(|label| sets.iter().any(|set| set.name == label.set));
        Ok(given)
    }

    /// Writes what a set says of the rows `from..upto` of a generation; from 0 on, instead
    /// of all it said.
    pub(crate) fn put_applied(
        &self,
        new: &LabelAnswers<'_>,
        generation: u32,
        (from, upto): (u64, u64),
    ) -> Result<Written, StoreError> {
        let stamp = self.named_stamp(KIND, new.set)?;
        if self.state()?.generation != generation || stamp != Some(new.stamp) {
            return Ok(Written::Outdated);
        }
        let mut set = AppliedSet {
            name: new.set.into(),
            generation,
            upto,
            rule: new.rule,
            stamp: new.stamp,
            at: new.at,
            count: 0,
            digest: 0,
        };
        if from == 0 {
            self.remove_applied(new.set)?;
        } else {
            let known = self.applied_set(new.set)?.filter(|known| {
                let asked = (known.generation, known.upto, known.stamp, known.rule);
                asked == (generation, from, new.stamp, new.rule)
            });
            let Some(known) = known else { return Ok(Written::Outdated) };
            (set.count, set.digest) = (known.count, known.digest);
        }
        let mut ids: HashMap<u32, i64> = HashMap::new();
        for answer in new.answers {
            let Some(label) = new.labels.get(answer.label as usize) else { continue };
            let id = match ids.get(&answer.label) {
                Some(&id) => id,
                None => {
                    let id = self.applied_label(new.set, label)?;
                    ids.insert(answer.label, id);
                    id
                }
            };
            let probability = f64::from(answer.probability);
            let row = params![id, answer.row as i64, probability];
            self.execute("INSERT INTO applied_rows VALUES (?, ?, ?)", row)?;
            set.count += 1;
            set.digest ^= answer_hash(new.set, label, answer.row, probability);
        }
        self.put_applied_set(&set)?;
        Ok(Written::Yes)
    }

    pub(crate) fn applied_set(&self, name: &str) -> Result<Option<AppliedSet>, StoreError> {
        if !self.has_applied()? {
            return Ok(None);
        }
        let found = self.sql(|c| {
            c.prepare_cached("SELECT * FROM applied WHERE name = ?")?
                .query_row([name], AppliedSet::read)
                .optional()
        })?;
        // What is not as written is made anew by whoever applies the set again.
        Ok(found.flatten())
    }

    fn put_applied_set(&self, set: &AppliedSet) -> Result<(), StoreError> {
        let row = params![
            set.name,
            set.generation,
            set.upto as i64,
            set.rule.minimum,
            set.rule.multi,
            set.stamp,
            set.at,
            set.count as i64,
            set.digest,
            set.hash(),
        ];
        let put = "INSERT OR REPLACE INTO applied VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        self.execute(put, row).map(|_| ())
    }

    /// The number of a label; it gets one if it has none.
    fn applied_label(&self, name: &str, label: &str) -> Result<i64, StoreError> {
        let put = "INSERT OR IGNORE INTO applied_labels (name, label) VALUES (?, ?)";
        self.execute(put, [name, label])?;
        let get = "SELECT id FROM applied_labels WHERE name = ? AND label = ?";
        self.sql(|c| c.prepare_cached(get)?.query_row([name, label], |r| r.get(0)))
    }

    /// Forgets what a set said.
    pub(crate) fn remove_applied(&self, name: &str) -> Result<(), StoreError> {
        if !self.has_applied()? {
            return Ok(());
        }
        let rows = "DELETE FROM applied_rows WHERE label IN \
                    (SELECT id FROM applied_labels WHERE name = ?)";
        self.execute(rows, [name])?;
        self.execute("DELETE FROM applied_labels WHERE name = ?", [name])?;
        self.execute("DELETE FROM applied WHERE name = ?", [name]).map(|_| ())
    }

    /// Gives all answers of the generation of `old` the rows of the next one.
    pub(super) fn renumber_applied(
        &self,
        old: &State,
        renumber: impl Fn(u64) -> Option<u64>,
    ) -> Result<(), StoreError> {
        for mut set in self.applied()? {
            if set.generation != old.generation {
                continue;
            }
            set.generation += 1;
            // Rows keep their order, so what was looked at still ends with the last of them.
            let last = (0..set.upto.min(old.rows)).rev().find_map(&renumber);
            set.upto = last.map_or(0, |row| row + 1);
            (set.count, set.digest) = (0, 0);
            for (id, label) in self.labels_of_set(&set.name)? {
                let answers: Vec<(i64, f64)> = self.sql(|c| {
                    let query = "SELECT row, probability FROM applied_rows WHERE label = ?";
                    let mut statement = c.prepare_cached(query)?;
                    let rows = statement.query_map([id], |r| Ok((r.get(0)?, r.get(1)?)))?;
                    rows.collect()
                })?;
                self.execute("DELETE FROM applied_rows WHERE label = ?", [id])?;
                for (row, probability) in answers {
                    let Some(row) = renumber(row as u64) else { continue };
                    let put = params![id, row as i64, probability];
                    self.execute("INSERT INTO applied_rows VALUES (?, ?, ?)", put)?;
                    set.count += 1;
                    set.digest ^= answer_hash(&set.name, &label, row, probability);
                }
            }
            self.put_applied_set(&set)?;
        }
        Ok(())
    }

    /// The sets whose answers are not as written.
    pub(crate) fn damaged_applied(&self) -> Result<Vec<String>, StoreError> {
        if !self.has_applied()? {
            return Ok(vec![]);
        }
        let names: Vec<String> = self.sql(|c| {
            let mut statement = c.prepare_cached("SELECT name FROM applied ORDER BY name")?;
            let rows = statement.query_map([], |r| r.get(0))?;
            rows.collect()
        })?;
        let mut damaged = vec![];
        for name in names {
            let (mut count, mut digest) = (0, 0);
            self.sql(|c| {
                let query = "SELECT l.label, r.row, r.probability FROM applied_rows r \
                             JOIN applied_labels l ON l.id = r.label WHERE l.name = ?";
                let mut statement = c.prepare_cached(query)?;
                let mut rows = statement.query([&name])?;
                while let Some(r) = rows.next()? {
                    let (label, row): (String, i64) = (r.get(0)?, r.get(1)?);
                    count += 1;
                    digest ^= answer_hash(&name, &label, row as u64, r.get(2)?);
                }
                Ok(())
            })?;
            let sound = self.applied_set(&name)?;
            if sound.is_none_or(|set| (set.count, set.digest) != (count, digest)) {
                damaged.push(name);
            }
        }
        Ok(damaged)
    }
}
