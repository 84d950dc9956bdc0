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

pub use ekphrasis_engine::{
    Config, ConfigError, Description, Engine, EngineError, Failure, Fault, FileFacts, Flags,
    IndexOptions, IndexReport, Item, ItemId, Kind, LabelReply, LabelRequest, LabelScore, Mode,
    OnnxTowers, OpenFor, Part, PartQuery, PartScore, Progress, SearchHit, SearchReply,
    SearchRequest, Source, Status, Towers,
};
