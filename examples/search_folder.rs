//! Index a folder and search it, in a program of one's own:
//!
//! ```text
//! cargo run --release --example search_folder -- ~/Pictures "a cup of coffee"
//! ```
//!
//! Without arguments it searches the demo gallery. The store is kept in a temporary
//! folder and gone at the end; give `Flags::data` a folder to keep it.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ekphrasis::{
    Config, Engine, Flags, Holder, IndexOptions, OnnxTowers, OpenFor, Part, PartQuery,
    SearchRequest,
};

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let store = tempfile::tempdir()?;
    let flags = Flags {
        data: Some(store.path().join("store")),
        repository: Some(repository),
        ..Flags::default()
    };
    let config = Config::resolve(&flags)?;
    let gallery = config.gallery.clone();
    let folder = arguments.next().map(PathBuf::from).or(gallery).ok_or("name a folder")?;
    let phrase = arguments.next().unwrap_or_else(|| "a cup of coffee".into());

    // An engine is a model and a store.
    let towers = Arc::new(OnnxTowers::open(&config, 2, |line| eprintln!("{line}"))?);
    let holder = Holder { command: "search_folder".into(), address: None };
    let engine = Engine::open(&config.data, towers, OpenFor::Writing(holder))?;
    let stop = AtomicBool::new(false);
    let report = engine.index(&[folder], &IndexOptions::default(), &|_, _| {}, &stop)?;
    println!("{} pictures, {} failed", report.progress.indexed, report.progress.failed);

    let words = Part { what: PartQuery::Text(phrase), weight: 1.0 };
    for hit in engine.search(&SearchRequest::new(vec![words]))?.hits {
        println!("{:2}. {:?} {:.3}", hit.rank, hit.item.path.unwrap_or_default(), hit.score);
    }
    Ok(())
}
