//! Given a model and names of values inside its graphs, how does the runtime
//! come to give them? As further outputs of a copy of the model.

use std::path::Path;

use ekphrasis_models::{MANIFEST_FILE, Model, sha256_hex};
use ekphrasis_onnx::{self as onnx, Graph};

use super::error::ExportError;
use super::tower::graph;

/// Writes a copy of `base` into the folder `to` whose graphs also give these values
/// out, under their own names, and opens it. Embeddings, space and pair stay the same.
/// A value that is an output already may be named, too.
///
/// # Errors
/// `Read` and `Join` for a graph that cannot be added to or has no such value;
/// `Io` if `to` cannot be written.
pub fn expose(
    base: &Model,
    image: &[&str],
    text: &[&str],
    to: &Path,
) -> Result<Model, ExportError> {
    fs_err::create_dir_all(to)?;
    let manifest = base.manifest();
    let mut table: toml::Table =
        toml::from_str(&fs_err::read_to_string(base.dir().join(MANIFEST_FILE))?)
            .map_err(|e| std::io::Error::other(format!("{}: {e}", base.dir().display())))?;
    for file in manifest.files().keys() {
        let names = match file {
            f if *f == manifest.image().file => image,
            f if *f == manifest.text().file => text,
            _ => &[],
        };
        let mut bytes = base.read(file)?;
        if !names.is_empty() {
            let (model, path) = graph(base, file)?;
            let join = |source| ExportError::Join { path: path.clone(), source };
            let mut graph = Graph::extend(model, "").map_err(join)?;
            names.iter().try_for_each(|name| graph.expose(name)).map_err(join)?;
            bytes = onnx::write(&graph.finish());
        }
        let entry = table
            .get_mut("files")
            .and_then(|f| f.get_mut(file))
            .and_then(toml::Value::as_table_mut);
        let entry = entry.expect("a manifest lists its files");
        entry.insert("bytes".into(), (bytes.len() as i64).into());
        entry.insert("sha256".into(), sha256_hex(&bytes).into());
        let path = to.join(file);
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        fs_err::write(path, bytes)?;
    }
    fs_err::write(to.join(MANIFEST_FILE), toml::to_string(&table)?)?;
    Ok(Model::open(to)?)
}
