//! Which items may be found? A small typed language ([`Expr`]), read from what
//! a person types, and evaluated in two ways: on an item, and as SQL over the
//! catalogue (see `catalogue/facets`). Tests hold the two against each other.

mod date;
mod error;
mod expr;
mod parse;
mod pass;
mod pattern;
mod place;
mod plan;
mod rowset;
mod span;

pub use date::{Date, ParseDateError};
pub use error::FilterError;
pub use expr::{Expr, Node, Term};
pub(crate) use pass::Pass;
pub(crate) use pattern::{InFolder, folder_names};
pub use pattern::{PathPattern, Pattern};
pub use place::{Distance, Near, Place};
pub(crate) use plan::{Facts as PlanFacts, Plan};
pub(crate) use rowset::RowSet;
pub use span::{Bytes, Dimensions, Hundredths, Micros, Span};
