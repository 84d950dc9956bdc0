//! What can stand between a process and ONNX Runtime, each with the way out.

use std::io;
use std::path::PathBuf;

use super::Origin;

/// Why there is no ONNX Runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Flag or environment name a file that is not there.
    #[error(
        "the ONNX Runtime library named by {origin} is not there: {}; name an existing file, or none, and it is found or fetched",
        path.display()
    )]
    Missing {
        /// Who named it.
        origin: Origin,
        /// The path as given.
        path: PathBuf,
    },
    /// A file that is no such library, or one for another machine.
    #[error("{} ({origin}) cannot be used as ONNX Runtime: {reason}", path.display())]
    NotOnnxRuntime {
        /// Who named it.
        origin: Origin,
        /// The library.
        path: PathBuf,
        /// The loader's words.
        reason: String,
    },
    /// A library from before the API this program speaks.
    #[error(
        "{} ({origin}) is ONNX Runtime {version}; 1.{} or newer is needed; name a newer one, or none, and it is found or fetched",
        path.display(), ort::MINOR_VERSION
    )]
    TooOld {
        /// Who named it.
        origin: Origin,
        /// The library.
        path: PathBuf,
        /// What it reports.
        version: String,
    },
    /// This process uses another library already.
    #[error(
        "this process has loaded ONNX Runtime from {} and cannot load {} too; start another process",
        loaded.display(), asked.display()
    )]
    AlreadyLoaded {
        /// In use.
        loaded: PathBuf,
        /// Asked for now.
        asked: PathBuf,
    },
    /// Nothing found, nothing fetched.
    #[error(
        "ONNX Runtime is not on this machine{}. Run this once and start again:\n  {command}\nor name a library with ORT_DYLIB_PATH",
        reasons(tried)
    )]
    Unavailable {
        /// What was tried to fetch it, and how that failed; empty if fetching is off.
        tried: Vec<String>,
        /// The command that puts it where it is looked for.
        command: String,
    },
    /// No package is known for this operating system and processor.
    #[error(
        "no ONNX Runtime package is known for {} on {}; install version 1.{} or newer and name the library with ORT_DYLIB_PATH",
        std::env::consts::OS,
        std::env::consts::ARCH,
        ort::MINOR_VERSION
    )]
    Platform,
    /// The cache or a named file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    Cache {
        /// Folder or file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The library loaded but would not start.
    #[error("ONNX Runtime in {} does not start: {reason}", path.display())]
    Init {
        /// The library.
        path: PathBuf,
        /// Its words.
        reason: String,
    },
}

fn reasons(tried: &[String]) -> String {
    if tried.is_empty() {
        " and fetching is off".into()
    } else {
        format!(" and could not be fetched ({})", tried.join("; "))
    }
}
