//! Which rows may a search find?

mod pass;
mod rowset;

pub(crate) use pass::Pass;
pub(crate) use rowset::RowSet;
