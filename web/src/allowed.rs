//! Given a path that somebody sent, may the server look there? Below the folders
//! that its owner named or indexed, links resolved: so a link out of such a folder
//! leads nowhere.

use std::path::{Component, Path, PathBuf};

use ekphrasis_engine::Engine;

use crate::problem::Problem;

/// Folders that jobs may be about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    named: Vec<PathBuf>,
}

impl Allowed {
    /// The folders that the server's owner named, beside those that were indexed.
    pub(crate) fn new(named: &[PathBuf]) -> Self {
        Self { named: named.iter().filter_map(|path| fs_err::canonicalize(path).ok()).collect() }
    }

    /// The real path of something that is there, if it may be looked at.
    ///
    /// # Errors
    /// 400 if it is not absolute, 403 if it lies outside, 404 if nothing is there. What
    /// lies outside is refused alike whether it is there or not.
    pub(crate) fn real(
        &self,
        engine: &Engine,
        path: &Path,
        field: &str,
    ) -> Result<PathBuf, Problem> {
        let real = self.place(engine, path, field)?;
        match real.try_exists() {
            Ok(true) => Ok(real),
            _ => Err(Problem::not_found(format!("there is nothing at {}", path.display()))),
        }
    }

    /// The real path of something that was there, if it may be looked at.
    ///
    /// # Errors
    /// 400 if it is not absolute, 403 if it lies outside.
    pub(crate) fn place(
        &self,
        engine: &Engine,
        path: &Path,
        field: &str,
    ) -> Result<PathBuf, Problem> {
        if !path.is_absolute() {
            let detail = format!("a path has to be absolute, got {:?}", path.to_string_lossy());
            return Err(Problem::field(field, detail));
        }
        let roots = engine.roots()?;
        let within = |real: &PathBuf| {
            let mut known = self.named.iter().chain(&roots);
            known.any(|folder| real.starts_with(folder))
        };
        resolved(path).filter(within).ok_or_else(|| {
            Problem::not_allowed(format!(
                "{} is not in a folder that this server may look at; its owner allows more by \
                 `ek up DIR` or `ek index DIR`",
                path.display()
            ))
        })
    }
}

/// The real path of what is there of `path`, and the rest of it.
fn resolved(path: &Path) -> Option<PathBuf> {
    if path.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    path.ancestors().find_map(|there| {
        let real = fs_err::canonicalize(there).ok()?;
        let rest = path.strip_prefix(there).ok()?;
        // `join` with nothing would end in a slash.
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    })
}
