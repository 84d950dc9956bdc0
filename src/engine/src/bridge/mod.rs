//! Given a store and another model, how does that model's text tower search the vectors that
//! are there, before they are made anew? Through a bridge: a map into the store's space,
//! fitted to texts that both text towers say something of, and to captions with their
//! pictures. How much is found with it is measured on captions that it was not fitted to, and
//! one with which much less is found than by the store's own model is refused.

mod fit;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ekphrasis_embed::TextEncoder;
use ekphrasis_models::{Bridge, BridgeError, Model};

use crate::generations::place;
use crate::models::model_to_use;
use crate::{Config, EngineError, OnnxTowers, Towers};

pub use self::fit::BridgeOptions;

/// The folder of bridges, in the data folder.
const FOLDER: &str = "bridges";
/// What the files' names end in.
const EXTENSION: &str = "ekb";

/// What is called while a bridge is made: texts embedded, of how many.
pub type OnTexts<'a> = &'a dyn Fn(usize, usize);

/// Makes a bridge from the model of that name into the store's space, keeps it, and says
/// what it finds. `None`: it was stopped; nothing changed.
///
/// # Errors
/// `NotFound` without a store or such a model; `Invalid` if it is the store's model, captions
/// are too few to measure by, or too little is found; where model or store fail.
pub fn make_bridge(
    config: &Config,
    old: &dyn Towers,
    name: &str,
    options: &BridgeOptions,
    log: impl Fn(&str) + Send + Sync + 'static,
    on_texts: OnTexts<'_>,
    stop: &AtomicBool,
) -> Result<Option<Bridge>, EngineError> {
    let new = OnnxTowers::at(config, &model_to_use(config, name)?, 1, log)?;
    let made = fit::fit(&config.data, old, &new, name, options, on_texts, stop)?;
    if let Some(bridge) = &made {
        bridge.write(&file(&config.data, name)).map_err(refused)?;
    }
    Ok(made)
}

/// All bridges of the data folder by name, each with what is wrong with it if something is.
pub(crate) fn bridges(data: &Path) -> Vec<(String, Result<Bridge, BridgeError>)> {
    let Ok(entries) = fs_err::read_dir(data.join(FOLDER)) else { return vec![] };
    let paths = entries.flatten().map(|entry| entry.path());
    let paths = paths.filter(|path| path.extension().is_some_and(|e| e == EXTENSION));
    let mut all: Vec<_> = paths
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, Bridge::read(&path))
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Removes the bridge from the model of that name; whether there was one.
pub(crate) fn remove(data: &Path, name: &str) -> std::io::Result<bool> {
    match fs_err::remove_file(file(data, name)) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// The text tower of that name through its bridge, with a sentence on what it finds.
pub(crate) fn open(
    towers: &OnnxTowers,
    config: &Config,
    name: &str,
) -> Result<Through, EngineError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let path = file(&config.data, name);
    if !name.chars().all(plain) || name.starts_with('.') || !path.is_file() {
        let there: Vec<String> = bridges(&config.data).into_iter().map(|(name, _)| name).collect();
        let there = if there.is_empty() { "none".into() } else { there.join(", ") };
        return Err(EngineError::NotFound(format!(
            "there is no bridge from {name:?} into the store's space (there is {there}); `ek model \
             bridge NAME` makes one"
        )));
    }
    let bridge = Bridge::read(&path).map_err(refused)?;
    if bridge.to != *towers.space() {
        return Err(EngineError::of_field(
            "bridge",
            format!(
                "the bridge from {name} leads into {}, but the store is of {} by now; make it again if \
             it is still of use",
                bridge.to,
                towers.space()
            ),
        ));
    }
    let model =
        Model::open(&model_to_use(config, name)?)?.preparing_in(config.cache.join("sessions"));
    let least = model.manifest().precision().unwrap_or_default().least_agreement();
    let inner = towers.text_of(&model)?;
    let note = format!("searched through the bridge from {name}: {}", bridge.figures.words());
    let languages = model.manifest().languages().to_vec();
    let text = bridge.over(inner, least).map_err(refused)?;
    Ok(Through { text, note, model: name.into(), languages })
}

/// A text tower of the store's space, behind which another model's stands.
#[derive(Clone)]
pub struct Through {
    /// The tower.
    pub text: Arc<dyn TextEncoder>,
    /// What is found with it, in a sentence without its end.
    pub note: String,
    /// The other model's name.
    pub model: String,
    /// The languages of its texts.
    pub languages: Vec<String>,
}

fn file(data: &Path, name: &str) -> PathBuf {
    data.join(FOLDER).join(format!("{name}.{EXTENSION}"))
}

pub(crate) fn refused(error: BridgeError) -> EngineError {
    match error {
        BridgeError::Io(e) => e.into(),
        other => EngineError::Invalid(other.to_string()),
    }
}

/// The folder of the store that serves, for whoever fits to it.
fn serving(data: &Path) -> Result<PathBuf, EngineError> {
    Ok(place::serving(data)?.1)
}
