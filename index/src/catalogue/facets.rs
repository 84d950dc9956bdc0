//! From what are filters answered without reading every item? From a narrow
//! table of the properties that filters ask for, a row for each row of the
//! vector file.
//!
//! It is a projection of the items, kept in the same transactions: what a row
//! says never changes, and a row stays when its item is replaced or deleted, for
//! those who still search an older state (compaction, which numbers the rows anew,
//! makes the table anew as well).
//! Texts that many items share (folders, cameras, tags) are looked at once, in
//! `terms`. Columns have an index where few rows are usually wanted of many.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params, params_from_iter};

use super::item::{hash, kind_code};
use super::{Catalogue, StoredItem};
use crate::filter::RowSet;
use crate::text::fold;
use crate::{Facts, Item, StoreError};

/// Changes when the same items give other rows: then the table is made anew on opening.
const VERSION: &str = "2";
/// Where the version is kept, among the settings.
pub(crate) const VERSION_KEY: &str = "filters";

pub(super) const SCHEMA: &str = "
CREATE TABLE terms (
    id INTEGER PRIMARY KEY, field INTEGER NOT NULL, text TEXT NOT NULL, UNIQUE (field, text)
);
CREATE TABLE facets (
    row INTEGER PRIMARY KEY, kind INTEGER NOT NULL, folder INTEGER, name TEXT, format INTEGER,
    size INTEGER, modified INTEGER, width INTEGER, height INTEGER,
    taken_from INTEGER, taken_to INTEGER, camera INTEGER, lens INTEGER,
    latitude INTEGER, x REAL, y REAL, z REAL
);
CREATE INDEX facets_by_folder ON facets (folder) WHERE folder IS NOT NULL;
CREATE INDEX facets_by_size ON facets (size) WHERE size IS NOT NULL;
CREATE INDEX facets_by_modified ON facets (modified) WHERE modified IS NOT NULL;
CREATE INDEX facets_by_taken ON facets (taken_from) WHERE taken_from IS NOT NULL;
CREATE INDEX facets_by_camera ON facets (camera) WHERE camera IS NOT NULL;
CREATE INDEX facets_by_lens ON facets (lens) WHERE lens IS NOT NULL;
CREATE INDEX facets_by_latitude ON facets (latitude) WHERE latitude IS NOT NULL;
CREATE TABLE marks (term INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (term, row)) WITHOUT ROWID;
";

/// What a text in `terms` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Field {
    Folder = 0,
    Format = 1,
    Camera = 2,
    Lens = 3,
    Tag = 4,
    Label = 5,
    Colour = 6,
    Iso = 7,
    Aperture = 8,
    Exposure = 9,
    Focal = 10,
}

impl Field {
    /// Those of which an item may have several, or that have no column.
    const MARKS: [Self; 7] = [
        Self::Tag,
        Self::Label,
        Self::Colour,
        Self::Iso,
        Self::Aperture,
        Self::Exposure,
        Self::Focal,
    ];
}

/// Which of the columns after `row` is the number of a text of which field.
const TEXTS: [(usize, Field); 4] =
    [(1, Field::Folder), (3, Field::Format), (10, Field::Camera), (11, Field::Lens)];

/// What the table says of one item, with texts in place of their numbers.
struct Facets {
    /// The columns after `row`.
    columns: Vec<Value>,
    marks: BTreeSet<(Field, String)>,
}

impl Facets {
    fn of(item: &Item) -> Self {
        fn optional<T>(value: Option<T>, convert: impl Fn(T) -> Value) -> Value {
            value.map_or(Value::Null, convert)
        }
        let (path, file, facts) = (item.path.as_deref(), item.file.as_ref(), item.facts.as_ref());
        let lossy = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        let folder = path.and_then(Path::parent).map(|p| lossy(p.as_os_str()));
        let name = path.and_then(Path::file_name).map(|name| fold(&lossy(name)));
        let taken = facts.and_then(|f| f.taken).map(|taken| taken.date);
        let place = facts.and_then(|f| f.place);
        let point = place.map(|p| p.point());
        let columns = vec![
            kind_code(item.kind).into(),
            optional(folder.filter(|_| name.is_some()), Value::Text),
            optional(name, Value::Text),
            optional(file, |f| f.format.clone().into()),
            optional(file, |f| i64::try_from(f.size).unwrap_or(i64::MAX).into()),
            optional(file, |f| f.mtime_ns.div_euclid(1_000_000_000).into()),
            optional(file, |f| f.width.into()),
            optional(file, |f| f.height.into()),
            optional(taken, |date| date.first().into()),
            optional(taken, |date| date.last().into()),
            optional(facts.and_then(Facts::camera), Value::Text),
            optional(facts.and_then(|f| f.lens.clone()), Value::Text),
            optional(place, |p| p.units().0.into()),
            optional(point, |p| p[0].into()),
            optional(point, |p| p[1].into()),
            optional(point, |p| p[2].into()),
        ];
        let tags = item.tags.iter().map(|tag| (Field::Tag, tag.clone()));
        let labels = item.labels.iter().map(|label| (Field::Label, label.clone()));
        let keywords = facts.into_iter().flat_map(|f| &f.keywords);
        let keywords = keywords.map(|word| (Field::Tag, word.clone()));
        let colours = facts.into_iter().flat_map(|f| &f.colours);
        let colours = colours.map(|colour| (Field::Colour, colour.as_str().to_owned()));
        // Numbers that many pictures share, as texts in their units.
        let exposure = facts.map(|f| f.exposure).unwrap_or_default();
        let numbers = [
            (Field::Iso, exposure.iso.map(u64::from)),
            (Field::Aperture, exposure.aperture_hundredths.map(u64::from)),
            (Field::Exposure, exposure.time_us),
            (Field::Focal, exposure.focal_hundredths.map(u64::from)),
        ];
        let numbers = numbers.into_iter().filter_map(|(field, n)| Some((field, n?.to_string())));
        let words = tags.chain(labels).chain(keywords).chain(colours);
        Self { columns, marks: words.chain(numbers).collect() }
    }
}

impl Catalogue {
    /// Notes what filters may ask of an item that is being written.
    pub(super) fn put_facets(&self, stored: &StoredItem) -> Result<(), StoreError> {
        let mut facets = Facets::of(&stored.item);
        for (i, field) in TEXTS {
            if let Value::Text(text) = &facets.columns[i] {
                facets.columns[i] = self.term(field, text)?.into();
            }
        }
        let row = stored.row as i64;
        facets.columns.insert(0, row.into());
        let values = ["?"; 17].join(",");
        let insert = format!("INSERT OR REPLACE INTO facets VALUES ({values})");
        self.execute(&insert, params_from_iter(facets.columns))?;
        for (field, text) in &facets.marks {
            let mark = params![self.term(*field, text)?, row];
            self.execute("INSERT OR IGNORE INTO marks VALUES (?, ?)", mark)?;
        }
        Ok(())
    }

    /// The number of a text; it gets one if it has none.
    fn term(&self, field: Field, text: &str) -> Result<i64, StoreError> {
        let key = params![field as i64, text];
        let known = self.sql(|c| {
            c.prepare_cached("SELECT id FROM terms WHERE field = ? AND text = ?")?
                .query_row(key, |r| r.get(0))
                .optional()
        })?;
        match known {
            Some(id) => Ok(id),
            None => self.sql(|c| {
                c.prepare_cached("INSERT INTO terms (field, text) VALUES (?, ?) RETURNING id")?
                    .query_row(key, |r| r.get(0))
            }),
        }
    }

    /// The texts of a field, with their numbers.
    pub(super) fn terms(
        &self,
        field: Field,
        mut each: impl FnMut(i64, &str),
    ) -> Result<(), StoreError> {
        self.sql(|c| {
            let mut statement = c.prepare_cached("SELECT id, text FROM terms WHERE field = ?")?;
            let mut rows = statement.query([field as i64])?;
            while let Some(row) = rows.next()? {
                each(row.get(0)?, row.get_ref(1)?.as_str()?);
            }
            Ok(())
        })
    }

    /// Whether the table is as this program makes it.
    pub(crate) fn has_facets(&self) -> Result<bool, StoreError> {
        if self.version() < 2 {
            return Ok(false);
        }
        let version = "SELECT value FROM settings WHERE key = ?";
        let found: Option<String> = self.sql(|c| {
            c.prepare_cached(version)?.query_row([VERSION_KEY], |r| r.get(0)).optional()
        })?;
        Ok(found.as_deref() == Some(VERSION))
    }

    /// Makes the table anew from the items, in the transaction that is open.
    pub(crate) fn rebuild_facets(&self) -> Result<(), StoreError> {
        for table in ["facets", "marks", "terms"] {
            self.execute(&format!("DELETE FROM {table}"), [])?;
        }
        self.select("", [], |stored| self.put_facets(&stored))?;
        let note = "INSERT OR REPLACE INTO settings VALUES (?, ?)";
        self.execute(note, [VERSION_KEY, VERSION]).map(|_| ())
    }

    /// What is wrong with the table, if anything; stops early when `stop` says so.
    /// Compares it with every item, so it takes as long as reading them all.
    ///
    /// # Errors
    /// As reading fails for another reason than damage.
    pub(crate) fn check_facets(
        &self,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<String>, StoreError> {
        match self.compare_facets(stop) {
            // Of the table or of the items: in both cases nobody should rely on the table.
            Err(StoreError::Corrupt { what, .. }) => Ok(Some(what)),
            other => other,
        }
    }

    fn compare_facets(&self, stop: &dyn Fn() -> bool) -> Result<Option<String>, StoreError> {
        for table in ["facets", "marks", "terms"] {
            let check = format!("PRAGMA integrity_check({table})");
            let line: String = self.sql(|c| c.query_row(&check, [], |r| r.get(0)))?;
            if line != "ok" {
                return Ok(Some(line));
            }
            if stop() {
                return Ok(None);
            }
        }
        let mut terms = HashMap::new();
        for field in Field::MARKS {
            self.terms(field, |id, text| {
                terms.insert((field, text.to_owned()), id);
            })?;
        }
        let (mut wrong, mut rows, mut marks) = (None, RowSet::default(), Marks::default());
        rows.extend_to(self.state()?.rows);
        self.select("", [], |stored| {
            if wrong.is_some() || stop() {
                return Ok(());
            }
            let expected = Facets::of(&stored.item);
            let known = expected.marks.into_iter().map(|mark| terms.get(&mark).copied());
            let known: Option<Vec<i64>> = known.collect();
            if known.is_none() || self.columns_of(stored.row)? != Some(expected.columns) {
                wrong = Some(format!("they do not say what item {} says", stored.item.id));
            }
            known.iter().flatten().for_each(|&term| marks.add(term, stored.row as i64));
            rows.insert(stored.row);
            Ok(())
        })?;
        if wrong.is_some() || stop() {
            return Ok(wrong);
        }
        let mut found = Marks::default();
        self.sql(|c| {
            let mut statement = c.prepare_cached("SELECT term, row FROM marks")?;
            let mut all = statement.query([])?;
            while let Some(mark) = all.next()? {
                let (term, row): (i64, i64) = (mark.get(0)?, mark.get(1)?);
                if rows.contains(row as u64) {
                    found.add(term, row);
                }
            }
            Ok(())
        })?;
        Ok((found != marks).then(|| "they have other tags or labels than the items".into()))
    }

    /// What the table says of a row.
    fn columns_of(&self, row: u64) -> Result<Option<Vec<Value>>, StoreError> {
        let text = |column: &str, field: Field| {
            format!("(SELECT text FROM terms WHERE id = {column} AND field = {})", field as i64)
        };
        let query = format!(
            "SELECT kind, {}, name, {}, size, modified, width, height, taken_from, taken_to, \
             {}, {}, latitude, x, y, z FROM facets WHERE row = ?",
            text("folder", Field::Folder),
            text("format", Field::Format),
            text("camera", Field::Camera),
            text("lens", Field::Lens),
        );
        self.sql(|c| {
            c.prepare_cached(&query)?
                .query_row([row as i64], |r| (0..16).map(|i| r.get(i)).collect())
                .optional()
        })
    }
}

/// How many marks there are, and which, in whatever order.
#[derive(Debug, Default, PartialEq)]
struct Marks {
    count: u64,
    digest: i64,
}

impl Marks {
    fn add(&mut self, term: i64, row: i64) {
        self.count += 1;
        self.digest ^= hash(&[&term.to_le_bytes(), &row.to_le_bytes()]);
    }
}
