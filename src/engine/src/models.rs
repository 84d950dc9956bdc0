//! Which models are here, which one does the store go with, and how does another
//! one come in?

use std::path::{Path, PathBuf};

use ekphrasis_index::LocalStore;
use ekphrasis_models::{AmendError, Amendment, ImportOptions, Imported, Library, Manifest, Model};

use crate::confidence;
use crate::towers::load_runtime;
use crate::{Config, EngineError, OnnxTowers};

/// A model that can be used.
#[derive(Clone, Debug)]
pub struct Known {
    /// What `--model` takes: a name for an imported model, else its folder.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Its description, or what is wrong with it.
    pub manifest: Result<Manifest, String>,
    /// A search would use it now.
    pub chosen: bool,
    /// The store was made with it.
    pub of_store: bool,
}

/// The model in use and all imported ones, the one in use first.
///
/// # Errors
/// If the folder of imported models or the store cannot be read.
pub fn known_models(config: &Config) -> Result<Vec<Known>, EngineError> {
    let space = LocalStore::space_of(&config.data)?;
    let known = |name: String, dir: &Path, model: Result<Model, String>| Known {
        name,
        chosen: dir == config.model,
        of_store: model.as_ref().is_ok_and(|m| Some(m.space()) == space.as_ref()),
        dir: dir.into(),
        manifest: model.map(|m| m.manifest().clone()),
    };
    let open = |dir: &Path| Model::open(dir).map_err(|e| e.to_string());
    let mut all = Vec::new();
    for (name, model) in Library::at(config.models.clone()).models()? {
        let dir = config.models.join(&name);
        all.push(known(name, &dir, model.map_err(|e| e.to_string())));
    }
    if !all.iter().any(|model| model.chosen) {
        let name = config.model.display().to_string();
        all.push(known(name, &config.model, open(&config.model)));
    }
    all.sort_by_key(|model| !model.chosen);
    Ok(all)
}

/// Learns from captioned pictures how far a model's scores can be believed, and writes
/// that into its folder; see [`confidence::calibrate`]. Where something was not measured,
/// its error says, too, what became of the model's former figures.
///
/// # Errors
/// If the pairs are wrong or too few, the model fails, or its folder cannot be written.
pub fn calibrate_model(
    towers: &OnnxTowers,
    pairs: &Path,
    seed: u64,
    on_progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<confidence::Calibrated, EngineError> {
    let mut found = confidence::calibrate(towers, pairs, seed, on_progress)?;
    let model = Model::open(towers.dir())?;
    let amendment = Amendment {
        calibration: &found.calibration,
        background: &found.background,
        verification: found.verification.as_ref().ok(),
        label_sets: found.label_sets.as_ref().ok(),
    };
    let amended = model.amend(&amendment).map_err(|e| match e {
        AmendError::Model(e) => EngineError::from(e),
        AmendError::Io(e) => EngineError::from(e),
        other => EngineError::Invalid(other.to_string()),
    })?;
    let (before, after) = (model.manifest(), amended.manifest());
    if before.verification().is_some() {
        let then = "the model's former rates are kept";
        found.verification = found.verification.map_err(|e| with(&e, then));
    }
    if before.label_sets().is_some() {
        let then = match after.label_sets() {
            Some(_) => "the model's former figures are kept: its background is the same",
            None => "the model's former figures are dropped: they belong to its former background",
        };
        found.label_sets = found.label_sets.map_err(|e| with(&e, then));
    }
    Ok(found)
}

/// Why something was not measured, and what that means for the model.
fn with(why: &EngineError, then: &str) -> EngineError {
    EngineError::Invalid(format!("{why}; {then}"))
}

/// Takes a copy of the model in `from`, of this program or in a public layout, after
/// checking all of it; see [`Library::import`].
///
/// # Errors
/// If it is refused, or ONNX Runtime cannot be had.
pub fn import_model(
    config: &Config,
    from: &Path,
    options: &ImportOptions,
    log: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Imported, EngineError> {
    let runtime = || load_runtime(config, &log);
    Ok(Library::at(config.models.clone()).import(from, options, &runtime)?)
}
