//! Ekphrasis: search pictures by phrase, find the words for a picture, label a
//! picture with words the model was never trained on.
//!
//! ```no_run
//! use std::sync::Arc;
//! use ekphrasis::{Config, Engine, Flags, OnnxTowers, OpenFor, Part, PartQuery, SearchRequest};
//!
//! let config = Config::resolve(&Flags::default())?;
//! let towers = Arc::new(OnnxTowers::open(&config, 1, |line| eprintln!("{line}"))?);
//! let engine = Engine::open(&config.data, towers, OpenFor::Reading)?;
//! let phrase = Part { what: PartQuery::Text("a red bicycle".into()), weight: 1.0 };
//! for hit in engine.search(&SearchRequest::new(vec![phrase]))?.hits {
//!     println!("{:.3} {:?}", hit.score, hit.item.path);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/search_folder.rs` indexes a folder, too. An [`Engine`] may be shared between
//! threads; one process at a time writes to a store ([`OpenFor::Writing`]), any number
//! reads. Files that cannot be indexed are no errors but lines in [`Engine::failures`];
//! what can go wrong otherwise is an [`EngineError`] that knows whose [`Fault`] it is.

pub use ekphrasis_engine::{
    Added, Config, ConfigError, Description, Engine, EngineError, Expr, FacetGroup, FacetValue,
    Facets, Facts, Failure, Fault, FileFacts, Filter, FilterError, Flags, GivenTowers, Holder,
    IndexOptions, IndexReport, Item, ItemId, Kind, LabelGroup, LabelReply, LabelRequest,
    LabelScore, Mode, NewWords, OnnxTowers, OpenFor, Part, PartQuery, PartScore, Progress,
    SearchHit, SearchReply, SearchRequest, Source, Status, Towers, WatchEvent, watch,
};
