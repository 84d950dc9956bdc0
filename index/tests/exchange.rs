//! What is exported comes back, to the bit, and what is not an export is refused.

use std::path::Path;

use ekphrasis_embed::Space;
use ekphrasis_index::conformance::{Random, record, space};
use ekphrasis_index::{
    Access, ExchangeError, Exported, Filter, ItemId, LocalStore, MemoryStore, StoreRead, StoreWrite,
};

use crate::files::scratch;
use crate::{open, writing};

type Export = fn(&LocalStore, &Path) -> Result<Exported, ExchangeError>;
type Import = fn(&LocalStore, &Path) -> Result<u64, ExchangeError>;

const FORMS: [(&str, Export, Import); 2] = [
    ("npy", LocalStore::export_npy, LocalStore::import_npy),
    ("parquet", LocalStore::export_parquet, LocalStore::import_parquet),
];

/// A store with captions, a deleted and a replaced item, and the same without captions.
fn made(dir: &Path, count: usize) -> (LocalStore, MemoryStore) {
    let (mut random, oracle) = (Random(41), MemoryStore::new(&space()));
    let store = open(dir, writing()).expect("made");
    for start in (0..count).step_by(500) {
        let mut records: Vec<_> =
            (start..count.min(start + 500)).map(|name| record(&mut random, name)).collect();
        #[cfg(unix)]
        if let Some(record) = records.first_mut() {
            let odd: &std::ffi::OsStr =
                std::os::unix::ffi::OsStrExt::from_bytes(b"/p/\xff\n\".jpg");
            record.item.path = Some(odd.into());
            record.item.text = Some(String::new());
        }
        store.upsert(&records).expect("written");
        oracle.upsert(&records).expect("written");
    }
    let captions: Vec<_> = [20_001, 20_003].map(|name| record(&mut random, name)).into();
    let owner = record(&mut random, 20_000);
    store
        .upsert_captioned(std::slice::from_ref(&owner), &[(owner.item.id, captions.clone())])
        .expect("written");
    oracle.upsert(&captions).expect("written");
    oracle.upsert(&[owner]).expect("written");
    let again: Vec<_> = (3..9).map(|name| record(&mut random, name)).collect();
    store.upsert(&again).expect("written");
    oracle.upsert(&again).expect("written");
    store.delete(&[again[0].item.id]).expect("deleted");
    oracle.delete(&[again[0].item.id]).expect("deleted");
    (store, oracle)
}

fn bits(store: &dyn StoreRead) -> Vec<Vec<u32>> {
    let items = store.scan(None, usize::MAX, &Filter::default()).expect("read");
    let ids: Vec<ItemId> = items.iter().map(|item| item.id).collect();
    let vectors = store.embeddings(&ids).expect("read").into_iter().flatten();
    vectors.map(|e| e.values().iter().map(|v| v.to_bits()).collect()).collect()
}

#[test]
fn what_is_exported_comes_back_to_the_bit() {
    let dir = tempfile::tempdir().expect("tempdir");
    let (store, oracle) = made(&dir.path().join("store"), 5200);
    for (form, export, import) in FORMS {
        let place = dir.path().join(form);
        let exported = export(&store, &place).expect("exported");
        assert_eq!((exported.items, &exported.damaged[..]), (5202, &[][..]), "{form}");
        let other = open(&dir.path().join(format!("from {form}")), writing()).expect("made");
        // Something is there already: one item of the same id, one of another.
        let mut random = Random(1);
        other.upsert(&[record(&mut random, 7), record(&mut random, 9001)]).expect("written");
        for _ in 0..2 {
            assert_eq!(import(&other, &place).expect("imported"), 5202, "{form}");
        }
        other.delete(&[record(&mut random, 9001).item.id]).expect("deleted");
        let all = |s: &dyn StoreRead| s.scan(None, usize::MAX, &Filter::default()).expect("read");
        assert_eq!(all(&other), all(&oracle), "{form}");
        assert_eq!(bits(&other), bits(&store), "{form}");
        assert_eq!(bits(&other), bits(&oracle), "{form}");
        // Texts that are there only as captions go with their owner.
        let owner = record(&mut random, 20_000).item.id;
        assert_eq!(
            other.captions(owner).expect("read"),
            store.captions(owner).expect("read"),
            "{form}"
        );
        other.delete(&[owner]).expect("deleted");
        assert_eq!(other.count(&Filter::default()).expect("read"), 5199, "{form}");
        assert!(other.verify().expect("checked").is_sound());

        let message = export(&store, &place).expect_err("it is there").to_string();
        assert!(message.contains("is there already"), "{message}");
        let elsewhere = Space::new("elsewhere", 8).expect("valid");
        let foreign =
            LocalStore::open(&dir.path().join(format!("{form} 2")), &elsewhere, writing())
                .expect("made");
        let message = import(&foreign, &place).expect_err("another space").to_string();
        for part in ["conformance (8-d)", "elsewhere (8-d)"] {
            assert!(message.contains(part), "{message} lacks {part}");
        }
        assert_eq!(foreign.seq(), 0, "nothing was changed");
        let reader = open(&dir.path().join("store"), Access::Read).expect("opened");
        assert!(import(&reader, &place).is_err(), "it was opened for reading");
    }
}

#[test]
fn an_empty_store_comes_back_empty() {
    let dir = tempfile::tempdir().expect("tempdir");
    let store = open(&dir.path().join("store"), writing()).expect("made");
    for (form, export, import) in FORMS {
        let place = dir.path().join(form);
        assert_eq!(export(&store, &place).expect("exported").items, 0, "{form}");
        assert_eq!(import(&store, &place).expect("imported"), 0, "{form}");
    }
}

#[test]
fn a_damaged_vector_is_named_and_left_out() {
    let dir = tempfile::tempdir().expect("tempdir");
    let at = dir.path().join("store");
    let records: Vec<_> = (0..30).map(|name| record(&mut Random(3), name)).collect();
    open(&at, writing()).expect("made").upsert(&records).expect("written");
    let path = at.join("vectors-0001.ekv");
    let mut bytes = fs_err::read(&path).expect("read");
    bytes[256 + 52 * 11] ^= 1;
    fs_err::write(&path, bytes).expect("written");
    let store = open(&at, Access::Read).expect("opened");
    for (form, export, import) in FORMS {
        let place = dir.path().join(form);
        let exported = export(&store, &place).expect("exported");
        assert_eq!((exported.items, &exported.damaged[..]), (29, &[records[11].item.id][..]));
        let other = open(&dir.path().join(format!("from {form}")), writing()).expect("made");
        assert_eq!(import(&other, &place).expect("imported"), 29);
        assert_eq!(other.count(&Filter::default()).expect("read"), 29);
    }
}

#[test]
fn a_damaged_export_is_refused_or_right() {
    let seed = 20_261_202;
    println!("seed {seed}");
    let mut random = Random(seed);
    let dir = tempfile::tempdir().expect("tempdir");
    let (store, oracle) = made(&dir.path().join("store"), 60);
    let (mut refused, mut same) = (0, 0);
    for (form, export, import) in FORMS {
        let place = dir.path().join(form);
        export(&store, &place).expect("exported");
        let mut files = vec![place.clone()];
        if form == "npy" {
            files.extend(["jsonl", "json"].map(|end| place.with_extension(end)));
        }
        for round in 0..60 {
            let file = &files[round % files.len()];
            let bytes = fs_err::read(file).expect("read");
            let mut damaged = bytes.clone();
            if random.below(3) == 0 {
                damaged.truncate(random.below(bytes.len()));
            } else {
                damaged[random.below(bytes.len())] ^= 1 << random.below(8);
            }
            fs_err::write(file, &damaged).expect("written");
            let target = scratch();
            let other = open(target.path(), writing()).expect("made");
            match import(&other, &place) {
                Err(e) => {
                    refused += 1;
                    assert!(!e.to_string().is_empty());
                }
                // Parquet has no checksums: a flip in a number is another number, as in
                // any program that reads the file. What is known is that it is a store.
                Ok(_) if form == "parquet" => {
                    same += 1;
                    assert!(other.verify().expect("checked").is_sound());
                }
                Ok(_) => {
                    same += 1;
                    assert_eq!(bits(&other), bits(&oracle), "round {round}, {}", file.display());
                }
            }
            fs_err::write(file, bytes).expect("written");
        }
    }
    println!("{refused} refused, {same} imported");
    assert!(refused > 50, "{refused} refused, {same} imported");
}

#[test]
fn captions_that_came_after_the_export_go_with_the_import() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut random = Random(43);
    let store = open(&dir.path().join("store"), writing()).expect("made");
    let owner = record(&mut random, 0);
    store.upsert(std::slice::from_ref(&owner)).expect("written");
    for (form, export, import) in FORMS {
        let place = dir.path().join(form);
        export(&store, &place).expect("exported");
        let caption = record(&mut random, 1);
        let captions = [(owner.item.id, vec![caption.clone()])];
        store.upsert_captioned(std::slice::from_ref(&owner), &captions).expect("written");
        assert_eq!(store.captions(owner.item.id).expect("read"), [caption.item.id], "{form}");
        import(&store, &place).expect("imported");
        assert_eq!(store.captions(owner.item.id).expect("read"), [], "{form}");
        assert_eq!(store.count(&Filter::default()).expect("read"), 1, "{form}");
    }
}
