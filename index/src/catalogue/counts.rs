//! How many items have which property? Counted over the table that filters are
//! answered from, or over the items themselves where it is not to be trusted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use rusqlite::params;

use super::Catalogue;
use super::facets::Field;
use super::item::kind_code;
use crate::{Facts, Item, Kind, StoreError};

/// Values of one property, each with how many items have it.
type Values = HashMap<String, u64>;

/// How many items have which property.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) images: u64,
    pub(crate) texts: u64,
    pub(crate) folders: Values,
    pub(crate) years: Values,
    pub(crate) cameras: Values,
    pub(crate) formats: Values,
    pub(crate) tags: Values,
    pub(crate) labels: Values,
    pub(crate) colours: Values,
}

impl Tally {
    /// Counts one item more.
    pub(crate) fn add(&mut self, item: &Item) {
        fn count(values: &mut Values, value: impl Into<String>) {
            *values.entry(value.into()).or_default() += 1;
        }
        match item.kind {
            Kind::Image => self.images += 1,
            Kind::Text => self.texts += 1,
        }
        let folder = item.path.as_deref().filter(|path| path.file_name().is_some());
        if let Some(folder) = folder.and_then(Path::parent) {
            count(&mut self.folders, folder.to_string_lossy());
        }
        if let Some(file) = &item.file {
            count(&mut self.formats, &*file.format);
        }
        let facts = item.facts.as_ref();
        if let Some(taken) = facts.and_then(|facts| facts.taken) {
            count(&mut self.years, taken.date.year().to_string());
        }
        if let Some(camera) = facts.and_then(Facts::camera) {
            count(&mut self.cameras, camera);
        }
        // A tag that is written in the file, too, is one tag.
        let keywords = facts.into_iter().flat_map(|facts| &facts.keywords);
        let mut tags: Vec<&String> = item.tags.iter().chain(keywords).collect();
        tags.sort();
        tags.dedup();
        tags.into_iter().for_each(|tag| count(&mut self.tags, tag));
        let mut labels: Vec<&String> = item.labels.iter().collect();
        labels.sort();
        labels.dedup();
        labels.into_iter().for_each(|label| count(&mut self.labels, label));
        let colours = facts.into_iter().flat_map(|facts| &facts.colours);
        colours.for_each(|colour| count(&mut self.colours, colour.as_str()));
    }

    fn of(&mut self, field: Field) -> Option<&mut Values> {
        match field {
            Field::Folder => Some(&mut self.folders),
            Field::Format => Some(&mut self.formats),
            Field::Camera => Some(&mut self.cameras),
            Field::Tag => Some(&mut self.tags),
            Field::Label => Some(&mut self.labels),
            Field::Colour => Some(&mut self.colours),
            _ => None,
        }
    }
}

impl Catalogue {
    /// Counts the rows that `lets` says yes to, by the table.
    pub(crate) fn tally(&self, lets: &dyn Fn(u64) -> bool) -> Result<Tally, StoreError> {
        let (mut tally, mut terms) = (Tally::default(), HashMap::<i64, u64>::new());
        let columns = "SELECT row, kind, CAST(strftime('%Y', taken_from, 'unixepoch') AS INTEGER), \
                       folder, format, camera FROM facets";
        self.sql(|c| {
            let mut statement = c.prepare_cached(columns)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                if !lets(row.get::<_, i64>(0)? as u64) {
                    continue;
                }
                let image = row.get::<_, i64>(1)? == kind_code(Kind::Image);
                *(if image { &mut tally.images } else { &mut tally.texts }) += 1;
                if let Some(year) = row.get::<_, Option<i64>>(2)? {
                    *tally.years.entry(year.to_string()).or_default() += 1;
                }
                for column in 3..6 {
                    if let Some(term) = row.get::<_, Option<i64>>(column)? {
                        *terms.entry(term).or_default() += 1;
                    }
                }
            }
            let mut statement = c.prepare_cached("SELECT term, row FROM marks")?;
            let mut marks = statement.query([])?;
            while let Some(mark) = marks.next()? {
                if lets(mark.get::<_, i64>(1)? as u64) {
                    *terms.entry(mark.get(0)?).or_default() += 1;
                }
            }
            Ok(())
        })?;
        for field in
            [Field::Folder, Field::Format, Field::Camera, Field::Tag, Field::Label, Field::Colour]
        {
            let Some(values) = tally.of(field) else { continue };
            self.terms(field, |id, text| {
                if let Some(count) = terms.get(&id) {
                    values.insert(text.to_owned(), *count);
                }
            })?;
        }
        self.tally_applied(lets, &mut tally.labels)?;
        Ok(tally)
    }

    /// Counts what label sets say of pictures: who has a label twice has it once.
    fn tally_applied(
        &self,
        lets: &dyn Fn(u64) -> bool,
        labels: &mut Values,
    ) -> Result<(), StoreError> {
        let mut applied: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (id, label) in self.applied_labels()? {
            applied.entry(label).or_default().push(id);
        }
        for (label, ids) in applied {
            let mut rows: HashSet<u64> = HashSet::new();
            for id in ids {
                self.applied_rows(id, |row| {
                    rows.insert(row);
                })?;
            }
            self.sql(|c| {
                let own = "SELECT row FROM marks WHERE term = \
                           (SELECT id FROM terms WHERE field = ? AND text = ?)";
                let mut statement = c.prepare_cached(own)?;
                let mut own = statement.query(params![Field::Label as i64, label])?;
                while let Some(row) = own.next()? {
                    rows.insert(row.get::<_, i64>(0)? as u64);
                }
                Ok(())
            })?;
            let count = rows.into_iter().filter(|&row| lets(row)).count() as u64;
            if count > 0 {
                labels.insert(label, count);
            }
        }
        Ok(())
    }

    /// Counts the items of the newest state that `accepts` says yes to, by reading them all.
    pub(crate) fn tally_items(&self, accepts: &dyn Fn(&Item) -> bool) -> Result<Tally, StoreError> {
        let (mut tally, given) = (Tally::default(), self.given_labels()?);
        self.select("", [], |stored| {
            given.seen(&stored.item, stored.row, |item| {
                if accepts(item) {
                    tally.add(item);
                }
            });
            Ok(())
        })?;
        Ok(tally)
    }
}
