//! Given a store, which of the models that are here does it go with? One of its space: there
//! may be several, such as precisions of one model, so that which of them is meant is noted
//! beside the store ([`place::note`]).

use std::path::{Path, PathBuf};

use ekphrasis_embed::Space;
use ekphrasis_index::LocalStore;
use ekphrasis_models::{Library, Model};

use crate::Config;
use crate::generations::place;

/// The model that a store goes with.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// What it is called: an import's name, or that of the model that comes with the program.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) dir: PathBuf,
    /// The one that is meant but is not here any more.
    pub(crate) instead_of: Option<String>,
}

/// The model that goes with generation `number`, whose space is `space`: the one that was
/// noted, else any of the space, imported ones first. `None` if none of the space is here. What
/// is wrong with a model is told by whoever opens it.
pub(crate) fn model_of(
    data: &Path,
    number: u32,
    space: &Space,
    library: &Library,
    default: Option<&Path>,
) -> Option<Found> {
    let imported = library.models().unwrap_or_default().into_iter();
    let imported = imported.filter_map(|(name, model)| Some((name, model.ok()?)));
    let default = default.and_then(|dir| Model::open(dir).ok());
    let default = default.map(|model| (model.manifest().name().to_owned(), model));
    let fits = imported.chain(default).filter(|(_, model)| model.space() == space);
    let mut fits: Vec<(String, Model)> = fits.collect();
    let noted = place::noted(data, number);
    let meant = noted.as_ref().and_then(|noted| fits.iter().position(|(name, _)| name == noted));
    if fits.is_empty() {
        return None;
    }
    let (name, model) = fits.swap_remove(meant.unwrap_or(0));
    let instead_of = noted.filter(|_| meant.is_none());
    Some(Found { name, dir: model.dir().into(), instead_of })
}

/// The same for the store that serves; `None`, too, if there is no store, or nothing but the
/// default model to choose from.
pub(crate) fn model_of_serving(
    data: &Path,
    library: &Library,
    default: Option<&Path>,
) -> Option<Found> {
    // Without imports, nothing has to be read to know.
    if library.models().ok()?.is_empty() {
        return None;
    }
    let (number, dir) = place::serving(data).ok()?;
    let space = LocalStore::space_of(&dir).ok()??;
    model_of(data, number, &space, library, default)
}

/// That another model is in use than the one that is meant, in a sentence, if so.
pub(crate) fn told(config: &Config) -> Option<String> {
    let library = Library::at(config.models.clone());
    let found = model_of_serving(&config.data, &library, config.default_model.as_deref())?;
    let meant = found.instead_of.filter(|_| found.dir == config.model)?;
    Some(format!(
        "warning: {meant}, the model of the store in {1}, is not in {2} any more; {0}, of the same \
         space, is used instead. Keep to {0} by `ek model use {0}`, or bring {meant} back by `ek \
         model import DIR --name {meant}`",
        found.name,
        config.data.display(),
        config.models.display()
    ))
}
