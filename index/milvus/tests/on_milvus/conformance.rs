//! Does it keep the contract of a store?

use ekphrasis_index::conformance::{check_store, space};

use crate::new_store;

#[test]
fn keeps_the_contract() {
    check_store(|| Box::new(new_store(&space())));
}
