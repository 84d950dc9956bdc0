//! Given a store, which of the models that are here does it go with? One of its space: several
//! may be, such as precisions of one model.

use std::path::{Path, PathBuf};

use ekphrasis_embed::Space;
use ekphrasis_models::{Library, Model};

/// The model that a store goes with.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// What it is called: an import's name, or that of the model that comes with the program.
    pub(crate) name: String,
    /// Its folder.
    pub(crate) dir: PathBuf,
}

/// The model that goes with a store of `space`. `None` if no model of the space is here. What
/// is wrong with a model is told by whoever opens it.
pub(crate) fn model_of(
    space: &Space,
    library: &Library,
    default: Option<&Path>,
) -> Option<Found> {
    let imported = library.models().unwrap_or_default().into_iter();
    let imported = imported.filter_map(|(name, model)| Some((name, model.ok()?)));
    let default = default.and_then(|dir| Model::open(dir).ok());
    let default = default.map(|model| (model.manifest().name().to_owned(), model));
    let mut fits = imported.chain(default).filter(|(_, model)| model.space() == space);
    fits.next().map(|(name, model)| Found { name, dir: model.dir().into() })
}
