//! Collections that take over from one another, and stores that are something else.

use ekphrasis_embed::Space;
use ekphrasis_index::conformance::{Random, record, space};
use ekphrasis_index::{Filter, StoreError, StoreRead, StoreWrite};
use ekphrasis_milvus::{MilvusStore, Open};

use crate::{new_address, new_store, open, options};

#[test]
fn a_new_generation_serves_once_it_is_told_to() {
    let old = new_store(&space());
    let address = old.address().clone();
    old.upsert(&[record(&mut Random(1), 0)]).expect("written");
    let other = Space::new("other", 4).expect("valid");
    let (number, new) = old.begin_generation(&other).expect("made");
    assert_eq!((number, new.space()), (2, &other));
    let serving = |store: &MilvusStore| -> Vec<_> {
        store.generations().expect("listed").iter().map(|g| (g.number, g.serves)).collect()
    };
    assert_eq!(serving(&old), [(1, true), (2, false)]);
    assert!(old.is_current().expect("asked") && !new.is_current().expect("asked"));
    assert_eq!(open(&address, &space()).count(&Filter::default()).expect("counted"), 1);

    old.switch_to(2).expect("switched");
    assert_eq!(serving(&old), [(1, false), (2, true)]);
    assert!(new.is_current().expect("asked") && !old.is_current().expect("asked"));
    assert_eq!(open(&address, &other).count(&Filter::default()).expect("counted"), 0);
    assert_eq!(old.count(&Filter::default()).expect("counted"), 1, "whoever is there stays");

    let error = old.drop_generation(2).expect_err("it serves").to_string();
    assert!(error.contains("serves"), "{error}");
    old.switch_to(1).expect("back again");
    old.drop_generation(2).expect("dropped");
    assert_eq!(serving(&old), [(1, true)]);
    assert!(old.switch_to(2).is_err(), "it is gone");
}

#[test]
fn a_store_of_another_space_is_refused() {
    let address = new_store(&space()).address().clone();
    let other = Space::new("other", space().dim()).expect("valid");
    let error = MilvusStore::open(&address, &other, Open::OrCreate, options()).err();
    let error = error.expect("refused");
    assert!(matches!(error, StoreError::SpaceMismatch { path: Some(_), .. }), "{error}");
    for part in ["conformance (8-d)", "other (8-d)", &address.to_string()] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    assert_eq!(MilvusStore::space_of(&address, options()).expect("asked"), Some(space()));
}

#[test]
fn where_nothing_is_says_so_and_nothing_is_made() {
    let address = new_address();
    assert_eq!(MilvusStore::space_of(&address, options()).expect("asked"), None);
    let error = MilvusStore::open(&address, &space(), Open::Existing, options()).err();
    let error = error.expect("there is none").to_string();
    assert!(error.contains("there is none") && error.contains(&address.to_string()), "{error}");
    assert_eq!(MilvusStore::space_of(&address, options()).expect("asked"), None);
}

#[test]
fn several_who_make_a_store_at_once_make_one() {
    let address = new_address();
    std::thread::scope(|scope| {
        let makers: Vec<_> = (0..3)
            .map(|name| {
                let address = &address;
                scope.spawn(move || {
                    let store = open(address, &space());
                    store.upsert(&[record(&mut Random(1), name)]).expect("written");
                })
            })
            .collect();
        makers.into_iter().for_each(|maker| maker.join().expect("made"));
    });
    let store = open(&address, &space());
    assert_eq!(store.count(&Filter::default()).expect("counted"), 3);
    assert_eq!(store.generations().expect("listed").len(), 1);
    MilvusStore::destroy(&address, options()).expect("deleted");
    assert_eq!(MilvusStore::space_of(&address, options()).expect("asked"), None);
}
