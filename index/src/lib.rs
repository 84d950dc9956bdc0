//! The index: what was embedded, on disk, and how it is found again.
//!
//! [`StoreRead`] and [`StoreWrite`] say what any store does; [`LocalStore`] is
//! the durable one in a directory, [`MemoryStore`] the plain one that tests
//! compare with.
//!
//! ```
//! use ekphrasis_embed::{Embedding, Space};
//! use ekphrasis_index::{Item, ItemId, MemoryStore, Query, Record, StoreRead, StoreWrite};
//!
//! let space = Space::new("toy", 2)?;
//! let store = MemoryStore::new(&space);
//! let text = "a red bicycle";
//! let item = Item::of_text(text);
//! store.upsert(&[Record { item, embedding: Embedding::new(&space, vec![1.0, 0.0])? }])?;
//! let query = Query { words: Some("bicycles".into()), k: 10, ..Query::default() };
//! assert_eq!(store.search(&query)?[0].id, ItemId::for_text(text));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod applied;
mod catalogue;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod disk;
pub mod elsewhere;
mod error;
mod exchange;
mod facts;
mod filter;
mod fusion;
mod label_path;
mod local;
mod lock;
mod named;
mod oracle;
mod store;
mod text;
mod topk;
mod vector;

pub use applied::{Applied, GivenLabel, LabelAnswer, LabelAnswers, LabelRule, Written};
pub use error::StoreError;
pub use exchange::{ExchangeError, Exported};
pub use facts::{Colour, Exposure, Facts, Taken};
pub use filter::{
    Bytes, Date, Dimensions, Distance, Expr, FilterError, Hundredths, Micros, Near, ParseDateError,
    PathPattern, Pattern, Place, Span, Term,
};
pub use fusion::{RRF_K, reciprocal_rank_fusion};
pub use label_path::{broader_labels, own_part};
pub use local::{
    Access, Entry, FORGOTTEN, Facet, FacetCounts, Glance, Judged, KnownFile, LocalStore,
    MODEL_NOTE, Options, Pictures, Probe, Recall, Report, Side,
};
pub use lock::{Holder, HolderInfo};
pub use named::{NameKind, Named, NamedVector, Origin};
pub use oracle::MemoryStore;
pub use store::{
    Balance, Failure, FileFacts, Filter, Hit, Item, ItemId, Kind, ParseIdError, Query, Record, Seq,
    StoreRead, StoreWrite,
};
pub use text::{FoundWord, TextError, WordField, WordMatch};
