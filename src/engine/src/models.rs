//! Which models are here, which one does the store go with, and how does another
//! one come in?

use std::path::{Path, PathBuf};

use ekphrasis_embed::Space;
use ekphrasis_index::LocalStore;
use ekphrasis_models::{
    AmendError, Amendment, ImportOptions, Imported, Library, MANIFEST_FILE, Manifest, Model,
    Variant,
};

use crate::generations::{Generation, Role, generations, place};
use crate::towers::load_runtime;
use crate::{Config, EngineError, OnnxTowers};
use crate::{bridge, confidence, of_store};

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
    /// The store goes with it: it was made with it, or was told to. Of several of its space
    /// that is one.
    pub of_store: bool,
    /// The store's generation that is of its space: the one that serves, one that did
    /// before, or one that is being made.
    pub generation: Option<Generation>,
}

/// The model in use and all imported ones, the one in use first.
///
/// # Errors
/// If the folder of imported models or the store cannot be read.
pub fn known_models(config: &Config) -> Result<Vec<Known>, EngineError> {
    let (number, dir) = place::serving(&config.data)?;
    let space = LocalStore::space_of(&dir)?;
    let library = Library::at(config.models.clone());
    let default = config.default_model.as_deref();
    let meant = space.as_ref().and_then(|space| {
        of_store::model_of(&config.data, number, space, &library, default).map(|found| found.dir)
    });
    let generations = generations(&config.data)?;
    let known = |name: String, dir: &Path, model: Result<Model, String>| Known {
        name,
        chosen: dir == config.model,
        of_store: match &meant {
            Some(meant) => dir == meant,
            // One that no name finds.
            None => model.as_ref().is_ok_and(|m| Some(m.space()) == space.as_ref()),
        },
        generation: model.as_ref().ok().and_then(|model| {
            generations.iter().find(|g| g.space.as_ref() == Some(model.space())).cloned()
        }),
        dir: dir.into(),
        manifest: model.map(|m| m.manifest().clone()),
    };
    let open = |dir: &Path| Model::open(dir).map_err(|e| e.to_string());
    let mut all = Vec::new();
    for (name, model) in library.models()? {
        let dir = config.models.join(&name);
        all.push(known(name, &dir, model.map_err(|e| e.to_string())));
    }
    if !all.iter().any(|model| model.chosen) {
        let model = open(&config.model);
        // The one that comes with the program can be named; any other only by its folder.
        let named =
            model.as_ref().ok().filter(|_| config.default_model.as_ref() == Some(&config.model));
        let name = named.map_or_else(
            || config.model.display().to_string(),
            |model| model.manifest().name().into(),
        );
        all.push(known(name, &config.model, model));
    }
    // The store may be moved to it, whichever it has now.
    if let Some(dir) = &config.default_model
        && !all.iter().any(|model| model.dir == *dir)
    {
        let model = open(dir);
        let named = model.as_ref().map(|model| model.manifest().name().to_owned());
        let name = named.unwrap_or_else(|_| dir.display().to_string());
        all.push(known(name, dir, model));
    }
    all.sort_by_key(|model| !model.chosen);
    Ok(all)
}

/// The model that the store had before this one, to go back to: what it is called, and its
/// folder. By its space, since a name may have been given to another model.
///
/// # Errors
/// `NotFound` if there is no former store; `Invalid` if its model is not here any more, or
/// what is known of the store cannot be read.
pub fn former_model(config: &Config) -> Result<(String, PathBuf), EngineError> {
    let Some(number) = place::pointer(&config.data)?.former else {
        return Err(EngineError::NotFound(format!(
            "there is no former store to go back to: the store in {} was not moved to another model, \
             or `ek model drop-old` removed the one before; `ek model use NAME` moves it",
            config.data.display()
        )));
    };
    let dir = place::folder(&config.data, number);
    let Some(space) = LocalStore::space_of(&dir)? else {
        return Err(EngineError::NotFound(format!(
            "the former store, {}, is gone, so there is nothing to go back to; `ek model use NAME` \
             makes it anew by the model of that name",
            dir.display()
        )));
    };
    let library = Library::at(config.models.clone());
    of_store::model_of(&config.data, number, &space, &library, config.default_model.as_deref())
        .map(|found| (found.name, found.dir))
        .ok_or_else(|| {
            let noted = place::noted(&config.data, number);
            EngineError::Invalid(format!(
                "the former store, {}, was made by {}, and {} holds no model of the space {space} any \
                 more: import it again (`ek model import DIR`), then say the same again",
                dir.display(),
                noted.as_deref().unwrap_or("a model"),
                config.models.display()
            ))
        })
}

/// What became of an imported model.
#[derive(Clone, Copy, Debug)]
pub struct RemovedModel {
    /// The bytes that it took.
    pub bytes: u64,
    /// There was a bridge from it, which is gone with it.
    pub bridge: bool,
}

fn not_imported(name: &str) -> EngineError {
    EngineError::NotFound(format!(
        "no model was imported as {name:?}; `ek model list` shows those there are"
    ))
}

/// Removes an imported model that no store of the data folder needs: none goes with it, none would
/// be left without a model of its space, and none is being moved to its space. What a server was
/// told to use is not known here.
///
/// # Errors
/// `NotFound` if there is no such import; `Invalid` if a store needs it, with what to do;
/// where the disk fails.
pub fn remove_model(config: &Config, name: &str) -> Result<RemovedModel, EngineError> {
    let library = Library::at(config.models.clone());
    let models = known_models(config)?;
    let is_it = |known: &&Known| known.dir == config.models.join(name);
    let space = |known: &Known| known.manifest.as_ref().ok().map(|m| m.space().clone());
    if !models.iter().any(|known| is_it(&known)) {
        return Err(not_imported(name));
    }
    let own = models.iter().find(is_it).and_then(space);
    let others =
        |of: &Space| models.iter().any(|known| !is_it(&known) && space(known).as_ref() == Some(of));
    for g in generations(&config.data)? {
        let dir = place::folder(&config.data, g.number);
        // Which model of the space it is moved to is not noted before it is done, and at its very
        // start not even the space.
        if own.is_some()
            && (g.space == own || g.space.is_none())
            && g.role != Role::Serving
            && let Some(by) = LocalStore::holder(&dir)?
        {
            return Err(EngineError::Invalid(format!(
                "the store in {} is just being moved to {name} or another model of its space, by \
                 {by}: wait for its end, or stop it there, then say the same again",
                config.data.display()
            )));
        }
        // One that cannot be read may be mended.
        let goes_with_it = g.model.as_deref() == Some(name) && (own.is_none() || g.space == own);
        let is_last = g.space.as_ref().is_some_and(|of| own.as_ref() == Some(of) && !others(of));
        if !(goes_with_it || is_last) {
            continue;
        }
        let dir = dir.display();
        return Err(EngineError::Invalid(match g.role {
            Role::Serving => format!(
                "the store in {dir} goes with {name}, and could not be searched without it: move it \
                 to another model (`ek model use OTHER`; `ek model list` shows those there are), \
                 then say the same again"
            ),
            Role::Former => format!(
                "a former store, {dir}, goes with {name}, and could not be gone back to without it: \
                 give that up by `ek model drop-old`, then say the same again"
            ),
            Role::Unfinished => format!(
                "a move of the store to {name} was begun and has not ended ({dir}): give it up by \
                 `ek model drop-old`, then say the same again; or go on with it by `ek model use \
                 {name}`"
            ),
        }));
    }
    let Some(bytes) = library.remove(name)? else {
        return Err(not_imported(name));
    };
    let bridge = bridge::remove(&config.data, name)?;
    Ok(RemovedModel { bytes, bridge })
}

/// What the model is called that comes with the program.
fn default_name(config: &Config) -> Option<String> {
    let model = Model::open(config.default_model.as_deref()?).ok()?;
    Some(model.manifest().name().to_owned())
}

/// The folder of a model that the store can be moved to: an imported one by its name, or the
/// one that comes with the program by its name or folder. Others would not be found again.
///
/// # Errors
/// `NotFound` for any other name, with those there are; `Invalid` for a model's folder that
/// has to be imported first.
pub fn model_to_use(config: &Config, name: &str) -> Result<PathBuf, EngineError> {
    let library = Library::at(config.models.clone());
    if let Some(dir) = library.find(name) {
        return Ok(dir);
    }
    let default_name = default_name(config);
    if let Some(dir) = config.default_model.as_deref()
        && (default_name.as_deref() == Some(name)
            || fs_err::canonicalize(name)
                .is_ok_and(|named| fs_err::canonicalize(dir).is_ok_and(|default| default == named)))
    {
        return Ok(dir.into());
    }
    if Path::new(name).join(MANIFEST_FILE).is_file() {
        return Err(EngineError::Invalid(format!(
            "the model in {name} lies outside of the store's folder, where it would not be found \
             again: `ek model import {name}` takes a copy, then use it by its name"
        )));
    }
    let mut names: Vec<String> = library.models()?.into_iter().map(|(name, _)| name).collect();
    names.extend(default_name);
    Err(EngineError::NotFound(format!(
        "there is no model named {name:?} here; there are {}; `ek model import DIR` brings one in",
        names.join(", ")
    )))
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
    let library = Library::at(config.models.clone()).reserving(default_name(config));
    Ok(library.import(from, options, &runtime)?)
}

/// Runs every precision of the public export in `from`, computed by what the configuration
/// says, and compares each with the 32-bit form; see [`Library::measure`].
///
/// # Errors
/// If the 32-bit form is refused or is not there, or ONNX Runtime cannot be had.
pub fn measure_precisions(
    config: &Config,
    from: &Path,
    options: &ImportOptions,
    log: impl Fn(&str) + Send + Sync + 'static,
) -> Result<Vec<Variant>, EngineError> {
    let runtime = || load_runtime(config, &log);
    let library = Library::at(config.models.clone());
    Ok(library.measure(from, options, config.provider, &runtime)?)
}
