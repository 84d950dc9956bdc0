//! Given two stores of different spaces, how does the one come to hold what the other
//! does? Vectors are made anew by whoever asks for that, a batch of entries at a time;
//! what does not hang on the space is copied here.

use std::io::ErrorKind;
use std::path::Path;

use ekphrasis_embed::Space;

use super::open::open_catalogue;
use super::{LocalStore, folder, recall};
use crate::catalogue::{FILTERS_VERSION, StoredItem};
use crate::disk::OsDisk;
use crate::lock::WriterLock;
use crate::{Holder, Item, ItemId, Record, StoreError};

/// Tables that are copied as they are, each with its columns and what of it stays behind.
/// A test keeps this list, and that of those that are not copied, equal to the tables there are.
const COPIED: [(&str, &str); 4] = [
    ("roots", "path"),
    ("settings", "key, value"),
    ("failures", "path, reason, at"),
    ("judged", "path, size, mtime_ns"),
];

/// An item with all that belongs to it but its vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The item.
    pub item: Item,
    /// Whether it is there in its own right, not only as someone's caption.
    pub standalone: bool,
    /// Its captions, by ascending id.
    pub captions: Vec<ItemId>,
}

/// What is known of a store without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// The space of its vectors.
    pub space: Space,
    /// How many items it has.
    pub items: u64,
}

impl LocalStore {
    /// What the store at `dir` is; `None` if there is none.
    ///
    /// # Errors
    /// As for reading in [`LocalStore::open`].
    pub fn glance(dir: &Path) -> Result<Option<Glance>, StoreError> {
        use folder::Folder;
        match folder::look(dir)? {
            Folder::Absent | Folder::Blank => Ok(None),
            Folder::Other(found) => Err(StoreError::NotAStore { path: dir.into(), found }),
            Folder::Store => match open_catalogue(&OsDisk, dir) {
                Ok(catalogue) => {
                    let state = catalogue.state()?;
                    Ok(Some(Glance { space: state.space, items: state.items }))
                }
                Err(StoreError::NoStore(_)) => Ok(None),
                Err(e) => Err(e),
            },
        }
    }

    /// Bytes that the store at `dir` takes on disk; what else lies there is not counted.
    ///
    /// # Errors
    /// `Io` if the folder cannot be read. That it is not there is no error.
    pub fn disk_bytes(dir: &Path) -> Result<u64, StoreError> {
        let mut bytes = 0;
        let entries = match fs_err::read_dir(dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if !folder::is_of_a_store(&entry.file_name().to_string_lossy()) {
                continue;
            }
            // What goes meanwhile takes no room any more.
            if let Ok(meta) = entry.metadata() {
                bytes += if meta.is_dir() { files_in(&entry.path()) } else { meta.len() };
            }
        }
        Ok(bytes)
    }

    /// Deletes the store at `dir`, and the folder if nothing else lies in it. Cut short, it
    /// can be done again.
    ///
    /// # Errors
    /// `Locked` if somebody writes to it, also if that is who calls; `Io` if a file cannot be
    /// deleted.
    pub fn discard(dir: &Path, holder: &Holder) -> Result<(), StoreError> {
        if !fs_err::exists(dir)? {
            return Ok(());
        }
        let lock = WriterLock::take(dir, holder)?;
        folder::remove_all(&OsDisk, dir)?;
        drop(lock);
        folder::remove_lock(&OsDisk, dir)
    }

    /// The next entries after `after` in the order of ids. Other than what reads vectors,
    /// this sees what is newest.
    ///
    /// # Errors
    /// As the store's reading fails.
    pub fn entries(&self, after: Option<ItemId>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.inner.check_once()?;
        let key = after.map_or(vec![], |id| id.to_bytes().to_vec());
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        self.inner.read(|c| {
            let mut stored = vec![];
            c.select("WHERE id > ? ORDER BY id LIMIT ?", (key, most), |one| {
                stored.push(one);
                Ok(())
            })?;
            stored.into_iter().map(|one| with_captions(c, one)).collect()
        })
    }

    /// The entries with these ids, in the order of `ids`; `None` where there is none.
    ///
    /// # Errors
    /// As the store's reading fails.
    pub fn entries_of(&self, ids: &[ItemId]) -> Result<Vec<Option<Entry>>, StoreError> {
        self.inner.check_once()?;
        self.inner.read(|c| {
            let one = |&id| c.item(id)?.map(|stored| with_captions(c, stored)).transpose();
            ids.iter().map(one).collect()
        })
    }

    /// Writes items in one commit, each with whether it stands alone. Those that do not are
    /// captions, and wait for [`LocalStore::link`].
    ///
    /// # Errors
    /// As [`crate::StoreWrite::upsert`].
    pub fn put_entries(&self, records: &[(Record, bool)]) -> Result<(), StoreError> {
        self.restore(records)
    }

    /// Takes over from `from` what does not hang on the space, in place of what is here:
    /// folders, settings, failures. Not items and names.
    ///
    /// # Errors
    /// `ReadOnly`, or as reading the one or writing the other fails; then nothing has changed.
    pub fn take_bookkeeping(&self, from: &LocalStore) -> Result<(), StoreError> {
        let read = from.inner.read(|c| {
            COPIED.iter().map(|(table, columns)| c.whole_table(table, columns)).collect()
        });
        let tables: Vec<_> = read?;
        self.writer()?.catalogue.transaction(|c| {
            for ((table, columns), rows) in COPIED.iter().zip(&tables) {
                // How wide this store's graph is searched, and in which form filters lie here,
                // is its own.
                let own = [recall::SETTING, FILTERS_VERSION];
                c.replace_table(table, columns, rows, |key| own.contains(&key))?;
            }
            Ok(())
        })
    }
}

fn with_captions(c: &crate::catalogue::Catalogue, stored: StoredItem) -> Result<Entry, StoreError> {
    let query = "SELECT text FROM captions WHERE owner = ? ORDER BY text";
    let captions = c.ids(query, [stored.item.id.to_bytes()])?;
    Ok(Entry { item: stored.item, standalone: stored.standalone, captions })
}

fn files_in(dir: &Path) -> u64 {
    let entries = fs_err::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ekphrasis_embed::Embedding;

    use super::*;
    use crate::{Access, Failure, MODEL_NOTE, StoreRead, StoreWrite};

    fn holder() -> Holder {
        Holder { command: "a test".into(), address: None }
    }

    fn store(dir: &Path, space: &Space) -> LocalStore {
        LocalStore::open(dir, space, Access::Write(holder())).expect("opened")
    }

    fn record(space: &Space, text: &str) -> Record {
        let embedding = Embedding::new(space, vec![1.0, 2.0]).expect("a direction");
        Record { item: Item::of_text(text), embedding }
    }

    #[test]
    fn every_table_is_copied_or_known_not_to_be() {
        // Of the space, or of the numbers of rows in it.
        const OF_THE_SPACE: [&str; 6] = ["state", "dead", "terms", "facets", "marks", "items"];
        // `captions` by `link`, names by those who make their vectors anew.
        // What label sets say of pictures, by asking them again.
        const BY_OTHERS: [&str; 6] =
            ["captions", "named", "named_vectors", "applied", "applied_labels", "applied_rows"];
        let dir = tempfile::tempdir().expect("a folder");
        let store = store(dir.path(), &Space::new("two-1", 2).expect("a space"));
        let there = store.inner.read(crate::catalogue::Catalogue::tables);
        let there: BTreeSet<String> = there.expect("read").into_iter().collect();
        let known = COPIED.iter().map(|(table, _)| *table).chain(OF_THE_SPACE).chain(BY_OTHERS);
        let known: BTreeSet<String> = known.map(str::to_owned).collect();
        assert_eq!(there, known, "a table that is new: does a store of another model need it?");
    }

    #[test]
    fn bookkeeping_comes_along_and_what_is_of_the_store_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let (one, two) =
            (Space::new("one-1", 2).expect("one"), Space::new("two-1", 2).expect("two"));
        let from = store(&dir.path().join("from"), &one);
        let to = store(&dir.path().join("to"), &two);
        from.add_root("/a".as_ref()).expect("added");
        to.add_root("/b".as_ref()).expect("added");
        let failure = Failure { path: "/a/x.png".into(), reason: "it is broken".into(), at: 7 };
        from.record_failures(std::slice::from_ref(&failure)).expect("recorded");
        from.set_setting("options", Some("x")).expect("set");
        from.set_setting(recall::SETTING, Some("{}")).expect("set");
        to.set_setting(recall::SETTING, Some("mine")).expect("set");
        to.set_setting("old", Some("y")).expect("set");
        to.take_bookkeeping(&from).expect("taken");
        assert_eq!(to.roots().expect("read"), [Path::new("/a")]);
        assert_eq!(to.failures().expect("read"), [failure]);
        let setting = |key| to.get_setting(key).expect("read");
        assert_eq!(setting("options").as_deref(), Some("x"));
        assert_eq!(setting(recall::SETTING).as_deref(), Some("mine"));
        assert_eq!(setting("old"), None);
        assert!(setting(FILTERS_VERSION).is_some(), "filters are not made anew");
    }

    #[test]
    fn entries_say_what_stands_alone_and_whose_captions_are_whose() {
        let dir = tempfile::tempdir().expect("a folder");
        let space = Space::new("two-1", 2).expect("a space");
        let store = store(dir.path(), &space);
        let owner = record(&space, "a picture, as it were");
        let caption = record(&space, "its caption");
        let captions = [(owner.item.id, vec![caption.clone()])];
        store.upsert_captioned(std::slice::from_ref(&owner), &captions).expect("written");
        let mut all = store.entries(None, 1).expect("read");
        all.extend(store.entries(Some(all[0].item.id), 9).expect("read"));
        assert_eq!(all.len(), 2);
        for entry in &all {
            let is_owner = entry.item.id == owner.item.id;
            assert_eq!(entry.standalone, is_owner);
            assert_eq!(entry.captions == [caption.item.id], is_owner);
        }
        let none = ItemId::for_text("nobody");
        let some = store.entries_of(&[none, caption.item.id]).expect("read");
        assert!(some[0].is_none() && some[1].as_ref().is_some_and(|e| !e.standalone));
    }

    #[test]
    fn a_store_is_discarded_and_what_lies_beside_it_stays() {
        let dir = tempfile::tempdir().expect("a folder");
        let space = Space::new("two-1", 2).expect("a space");
        let data = dir.path().join("data");
        let held = store(&data, &space);
        held.upsert(&[record(&space, "one")]).expect("written");
        held.flush().expect("flushed");
        assert_eq!(held.count(&crate::Filter::default()).expect("counted"), 1);
        let locked = LocalStore::discard(&data, &holder());
        assert!(matches!(locked, Err(StoreError::Locked { .. })), "{locked:?}");
        drop(held);
        let glance = LocalStore::glance(&data).expect("looked").expect("a store");
        assert_eq!(glance, Glance { space: space.clone(), items: 1 });
        fs_err::create_dir(data.join("models")).expect("made");
        fs_err::write(data.join("notes.txt"), "mine").expect("written");
        let bytes = LocalStore::disk_bytes(&data).expect("counted");
        assert!(bytes > 0);
        LocalStore::discard(&data, &holder()).expect("discarded");
        assert_eq!(LocalStore::disk_bytes(&data).expect("counted"), 0);
        let mut left: Vec<_> = fs_err::read_dir(&data)
            .expect("there")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["models", "notes.txt"]);

        let alone = dir.path().join("alone");
        drop(store(&alone, &space));
        for name in [MODEL_NOTE, "model.new"] {
            fs_err::write(alone.join(name), "dark\n").expect("written");
        }
        LocalStore::discard(&alone, &holder()).expect("discarded");
        assert!(!alone.exists(), "nothing else lay in it");
    }

    #[test]
    fn a_note_of_the_model_keeps_no_store_from_being_made() {
        let dir = tempfile::tempdir().expect("a folder");
        let space = Space::new("two-1", 2).expect("a space");
        // Cut short while it was written, it may be empty.
        for (name, text) in [(MODEL_NOTE, "dark\n"), ("model.new", "dark"), ("model.new", "")] {
            let data = dir.path().join(format!("{name}-{}", text.len()));
            fs_err::create_dir(&data).expect("made");
            fs_err::write(data.join(name), text).expect("written");
            drop(store(&data, &space));
        }
        // What is no such note is somebody else's.
        for (name, text) in [("model", "a\nb\n"), ("models.new", ""), ("model.new.new", "")] {
            let data = dir.path().join(format!("other-{name}"));
            fs_err::create_dir(&data).expect("made");
            fs_err::write(data.join(name), text).expect("written");
            let opened = LocalStore::open(&data, &space, Access::Write(holder()));
            assert!(matches!(opened, Err(StoreError::NotAStore { .. })), "{name}");
            assert_eq!(fs_err::read_to_string(data.join(name)).expect("there"), text);
        }
    }
}
