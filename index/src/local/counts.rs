//! Given a filter, how many of the items that pass have which property?

use std::collections::HashMap;

use super::LocalStore;
use crate::catalogue::Tally;
use crate::{Filter, StoreError};

/// How many items have which property, for a person to narrow a search by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FacetCounts {
    /// Pictures.
    pub images: u64,
    /// Texts.
    pub texts: u64,
    /// Folders that files lie in, not those above.
    pub folders: Facet,
    /// Years in which pictures were taken.
    pub years: Facet,
    /// Make and model of cameras.
    pub cameras: Facet,
    /// Formats of files, by content.
    pub formats: Facet,
    /// Tags, and keywords that are written in files.
    pub tags: Facet,
    /// Labels.
    pub labels: Facet,
    /// Colours.
    pub colours: Facet,
}

/// The values of one property.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facet {
    /// The most frequent values, each with how many items have it; equally frequent ones
    /// by name. Years: the newest first.
    pub values: Vec<(String, u64)>,
    /// How many different values there are in all.
    pub distinct: usize,
}

impl Facet {
    fn new(values: HashMap<String, u64>, limit: usize) -> Self {
        let distinct = values.len();
        let mut values: Vec<(String, u64)> = values.into_iter().collect();
        values.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        values.truncate(limit);
        Self { values, distinct }
    }

    fn newest_first(mut self) -> Self {
        self.values.sort_by_key(|(year, _)| std::cmp::Reverse(year.parse::<i64>().ok()));
        self
    }
}

impl FacetCounts {
    fn new(tally: Tally, limit: usize) -> Self {
        let facet = |values| Facet::new(values, limit);
        Self {
            images: tally.images,
            texts: tally.texts,
            folders: facet(tally.folders),
            years: facet(tally.years).newest_first(),
            cameras: facet(tally.cameras),
            formats: facet(tally.formats),
            tags: facet(tally.tags),
            labels: facet(tally.labels),
            colours: facet(tally.colours),
        }
    }
}

impl LocalStore {
    /// Counts the items that pass the filter by each of their properties, with at most
    /// `limit` values a property. Takes time in proportion to the rows of the store.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn facet_counts(&self, filter: &Filter, limit: usize) -> Result<FacetCounts, StoreError> {
        loop {
            let (snapshot, pass) = self.admitted(filter)?;
            let tally = self.inner.read(|c| {
                let state = c.state()?;
                if self.inner.filters.are_broken() || !c.has_facets()? {
                    return c.tally_items(&|item| filter.accepts(item)).map(Some);
                }
                // Rows are numbered anew by compaction: a newer snapshot knows them.
                if state.generation != snapshot.generation.number {
                    return Ok(None);
                }
                let lets =
                    |row| snapshot.rows.live(row).is_some_and(|(_, kind)| pass.lets(row, kind));
                c.tally(&lets).map(Some)
            })?;
            match tally {
                Some(tally) => return Ok(FacetCounts::new(tally, limit)),
                None => std::thread::yield_now(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Access, Facts, FileFacts, Holder, Item, Kind, Record, StoreWrite, Taken};
    use ekphrasis_embed::{Embedding, Space};

    fn picture(path: &str, year: Option<&str>, tags: &[&str], keywords: &[&str]) -> Item {
        let file = FileFacts {
            size: 1,
            mtime_ns: 0,
            content: [0; 32],
            width: 1,
            height: 1,
            format: if path.ends_with("png") { "png" } else { "jpeg" }.into(),
        };
        let date = year.map(|year| year.parse().expect("a date"));
        Item {
            tags: tags.iter().map(|&tag| tag.into()).collect(),
            facts: Some(Facts {
                taken: date.map(|date| Taken { date, offset_minutes: None }),
                model: Some("Pixel 7".into()),
                keywords: keywords.iter().map(|&word| word.into()).collect(),
                ..Facts::default()
            }),
            ..Item::of_picture(path.into(), file)
        }
    }

    #[test]
    fn the_table_counts_what_the_items_say() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let space = Space::new("toy", 2).expect("a space");
        let holder = Holder { command: "a test".into(), address: None };
        let store = LocalStore::open(dir.path(), &space, Access::Write(holder)).expect("opens");
        let vector = || Embedding::new(&space, vec![1.0, 0.0]).expect("unit length");
        let items = [
            picture("/a/1.jpg", Some("2019-12-31T23:59:59"), &["cat"], &["cat", "sofa"]),
            picture("/a/2.png", Some("2019"), &["cat"], &[]),
            picture("/a/b/3.jpg", Some("2024-02-29"), &[], &[]),
            picture("/a/b/4.jpg", None, &["dog"], &[]),
            picture("/gone.jpg", Some("1999"), &["gone"], &[]),
            Item::of_text("a cat"),
        ];
        let records = items.map(|item| Record { item, embedding: vector() });
        store.upsert(&records).expect("written");
        // What was replaced or deleted does not count any more.
        store.upsert(&records[..1]).expect("written");
        store.delete(&[records[4].item.id]).expect("deleted");

        let all = store.facet_counts(&Filter::default(), 10).expect("counted");
        let of = |facet: &Facet| facet.values.clone();
        let pairs = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
            list.iter().map(|&(value, n)| (value.into(), n)).collect()
        };
        assert_eq!((all.images, all.texts), (4, 1));
        assert_eq!(of(&all.folders), pairs(&[("/a", 2), ("/a/b", 2)]));
        assert_eq!(of(&all.years), pairs(&[("2024", 1), ("2019", 2)]));
        assert_eq!(of(&all.cameras), pairs(&[("Pixel 7", 4)]));
        assert_eq!(of(&all.formats), pairs(&[("jpeg", 3), ("png", 1)]));
        assert_eq!(of(&all.tags), pairs(&[("cat", 2), ("dog", 1), ("sofa", 1)]));

        let expr = "tag:cat".parse().expect("a filter");
        let cats = Filter { kind: Some(Kind::Image), expr: Some(expr) };
        let cats = store.facet_counts(&cats, 1).expect("counted");
        assert_eq!((cats.images, cats.texts), (2, 0));
        assert_eq!((of(&cats.tags), cats.tags.distinct), (pairs(&[("cat", 2)]), 2));

        // The way without the table comes to the same.
        let by_items = store.inner.read(|c| c.tally_items(&|_| true)).expect("read");
        let by_table = store.facet_counts(&Filter::default(), 10).expect("counted");
        assert_eq!(FacetCounts::new(by_items, 10), by_table);
    }
}
