//! Given a machine that may or may not have ONNX Runtime, how does the process
//! get one? [`Runtime::load`]: flag, `ORT_DYLIB_PATH`, our cache, the system,
//! and in the end one download through pip or npm.

mod cache;
mod error;
mod fetch;
mod pins;
mod probe;
mod system;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;

pub use error::RuntimeError;

use fetch::Clients;
use pins::Pin;
use probe::{Probe, ProbeError};

use crate::provider::Provider;

/// Where to look for ONNX Runtime, in this order: `flag`, `env`, `cache`, the
/// system, and, if allowed, the package registries.
#[derive(Clone)]
pub struct RuntimeSearch<'a> {
    /// A library named on the command line. It must work.
    pub flag: Option<PathBuf>,
    /// What `ORT_DYLIB_PATH` names. It must work.
    pub env: Option<PathBuf>,
    /// Our folder for what was fetched; made when something is.
    pub cache: PathBuf,
    /// Whether a missing library may be fetched through pip or npm.
    pub fetch: bool,
    /// Told, in one line each, what takes time or was passed over.
    pub log: &'a dyn Fn(&str),
}

/// How the library was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Named on the command line.
    Flag,
    /// Named by `ORT_DYLIB_PATH`.
    Env,
    /// Fetched by an earlier run.
    Cache,
    /// Installed on this machine.
    System,
    /// Fetched by this run.
    Fetched,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "command line",
            Self::Env => "ORT_DYLIB_PATH",
            Self::Cache => "cache",
            Self::System => "system",
            Self::Fetched => "fetched just now",
        })
    }
}

/// ONNX Runtime, loaded and initialised. One a process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Runtime {
    inner: Arc<Inner>,
    /// What computes sessions that are made with this handle.
    provider: Provider,
}

#[derive(Debug)]
struct Inner {
    environment: Environment,
    path: PathBuf,
    version: String,
    origin: Origin,
}

/// The one runtime of this process: ort binds to one library for good.
static LOADED: Mutex<Option<Runtime>> = Mutex::new(None);

impl Runtime {
    /// Finds the library and loads it; fetches it if there is none and `search.fetch`.
    ///
    /// A process has one runtime. A later call gives the first one again if it
    /// names no library, or the same one. Waits while another process fetches.
    ///
    /// # Errors
    /// `Missing`, `NotOnnxRuntime` or `TooOld` for a library that was named by
    /// flag or environment and does not work; `AlreadyLoaded` if a second one
    /// is named; `Unavailable` if there is none and it could not be fetched,
    /// with the command to run by hand; `Cache` if the cache cannot be written.
    pub fn load(search: &RuntimeSearch<'_>) -> Result<Self, RuntimeError> {
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let named = named(search)?;
        if let Some(runtime) = loaded.as_ref() {
            return match named {
                Some(found) if !same_file(&found.path, runtime.path()) => {
                    Err(RuntimeError::AlreadyLoaded {
                        loaded: runtime.path().into(),
                        asked: found.path,
                    })
                }
                _ => Ok(runtime.clone()),
            };
        }
        let found = match named {
            Some(found) => found,
            None => search_unnamed(search, pins::here(), &Clients::default(), &system::files())?,
        };
        let runtime = initialise(found)?;
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library, as it was found; a bare name if the system's loader found it.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The version the library reports, such as `1.24.4`.
    pub fn version(&self) -> &str {
        &self.inner.version
    }

    /// How the library was found.
    pub fn origin(&self) -> Origin {
        self.inner.origin
    }

    /// What computes the encoders that are made with this handle: the processor, for one
    /// that [`Runtime::load`] gave.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// What the library was built with. Whether it works here shows when it is tried:
    /// [`crate::Model::image_encoder_by`].
    pub fn offers(&self) -> Vec<Provider> {
        Provider::ALL.into_iter().filter(|provider| provider.is_in_the_library()).collect()
    }

    /// The same library for encoders that this provider computes.
    pub(crate) fn by(&self, provider: Provider) -> Self {
        Self { inner: Arc::clone(&self.inner), provider }
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.inner.environment
    }
}

/// A library that was opened, answered and is new enough.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    origin: Origin,
    probe: Probe,
}

/// The library that flag or environment name; the flag counts first.
fn named(search: &RuntimeSearch<'_>) -> Result<Option<Found>, RuntimeError> {
    let (path, origin) = match (&search.flag, &search.env) {
        (Some(path), _) => (path, Origin::Flag),
        (None, Some(path)) => (path, Origin::Env),
        (None, None) => return Ok(None),
    };
    if !path.is_file() {
        return Err(RuntimeError::Missing { origin, path: path.clone() });
    }
    // A bare name would make the loader search elsewhere.
    let path = fs_err::canonicalize(path)
        .map_err(|source| RuntimeError::Cache { path: path.clone(), source })?;
    match Probe::open(&path) {
        Ok(probe) => Ok(Some(Found { path, origin, probe })),
        Err(ProbeError::TooOld { version }) => Err(RuntimeError::TooOld { origin, path, version }),
        Err(ProbeError::Unusable(reason)) => {
            Err(RuntimeError::NotOnnxRuntime { origin, path, reason })
        }
    }
}

fn search_unnamed(
    search: &RuntimeSearch<'_>,
    pin: Option<&'static Pin>,
    clients: &Clients,
    system: &[PathBuf],
) -> Result<Found, RuntimeError> {
    if let Some(pin) = pin
        && let Some(path) = cache::installed(&search.cache, pin, search.log)
        && let Some(found) = open_or_log(path, Origin::Cache, search.log)
    {
        return Ok(found);
    }
    for path in system {
        if let Some(found) = open_or_log(path.clone(), Origin::System, search.log) {
            return Ok(found);
        }
    }
    let Some(pin) = pin else { return Err(RuntimeError::Platform) };
    let path = fetch::fetch(&search.cache, pin, clients, search.fetch, search.log)?;
    match Probe::open(&path) {
        Ok(probe) => Ok(Found { path, origin: Origin::Fetched, probe }),
        Err(e) => Err(RuntimeError::NotOnnxRuntime {
            origin: Origin::Fetched,
            path,
            reason: e.to_string(),
        }),
    }
}

/// Opens a library nobody named; one that does not work is passed over.
fn open_or_log(path: PathBuf, origin: Origin, log: &dyn Fn(&str)) -> Option<Found> {
    match Probe::open(&path) {
        Ok(probe) => Some(Found { path, origin, probe }),
        // The loader knows no such name: that is the usual case and no news.
        Err(_) if path.components().count() == 1 => None,
        Err(e) => {
            log(&format!("passing over {}: {e}", path.display()));
            None
        }
    }
}

fn initialise(found: Found) -> Result<Runtime, RuntimeError> {
    let Found { path, origin, probe } = found;
    let failed = |reason: String| RuntimeError::Init { path: path.clone(), reason };
    let environment = ort::init_from(&path)
        .map_err(|e| failed(e.to_string()))?
        .with_name("ekphrasis")
        .with_telemetry(false)
        // The library would write warnings about missing GPUs to stderr; what
        // goes wrong comes back as an error.
        .with_logger(Arc::new(|_, _, _, _, _| {}))
        .build()
        .map_err(|e| failed(e.to_string()))?;
    environment.set_log_level(LogLevel::Error);
    let version = probe.version().to_owned();
    let inner = Arc::new(Inner { environment, path, version, origin });
    Ok(Runtime { inner, provider: Provider::Cpu })
}

fn same_file(a: &Path, b: &Path) -> bool {
    let real = |p: &Path| fs_err::canonicalize(p).unwrap_or_else(|_| p.into());
    real(a) == real(b)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn nothing_installed() -> Clients {
        Clients { python: vec!["no-such-python".into()], npm: "no-such-npm".into() }
    }

    #[test]
    fn without_a_client_the_error_names_the_command() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let pin = pins::all().first().expect("at least one platform");
        let search = RuntimeSearch {
            flag: None,
            env: None,
            cache: dir.path().join("cache"),
            fetch: true,
            log: &|_| {},
        };
        let error = search_unnamed(&search, Some(pin), &nothing_installed(), &[])
            .expect_err("there is nothing to fetch with");
        let text = error.to_string();
        let command = fetch::by_hand(&search.cache, pin);
        assert!(command.starts_with("python3 -m pip download onnxruntime=="), "{command}");
        assert!(text.contains(&command), "{text}");
        assert!(text.contains("no-such-python") && text.contains("no-such-npm"), "{text}");
        let offline = RuntimeSearch { fetch: false, ..search };
        let text = search_unnamed(&offline, Some(pin), &nothing_installed(), &[])
            .expect_err("fetching is off")
            .to_string();
        assert!(text.contains(&command) && !text.contains("no-such-python"), "{text}");
    }

    #[test]
    fn a_broken_system_library_is_passed_over_with_a_line() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let broken = dir.path().join("libonnxruntime.so.1");
        fs_err::write(&broken, b"not a library").expect("writable");
        let lines = Mutex::new(Vec::new());
        let log = |line: &str| lines.lock().expect("not poisoned").push(line.to_owned());
        let search = RuntimeSearch {
            flag: None,
            env: None,
            cache: dir.path().join("cache"),
            fetch: false,
            log: &log,
        };
        let bare = PathBuf::from("libno-such-runtime.so");
        let result = search_unnamed(&search, None, &nothing_installed(), &[broken.clone(), bare]);
        assert!(matches!(result, Err(RuntimeError::Platform)));
        let lines = lines.into_inner().expect("not poisoned");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(&broken.display().to_string()), "{lines:?}");
    }
}
