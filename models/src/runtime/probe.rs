//! Given a file, is it an ONNX Runtime this program can use, and of which
//! version? Asked before ort is bound to it for good.

use std::ffi::CStr;
use std::path::Path;

use ort::sys::OrtApiBase;

/// A library that answered, kept open so that the second opening costs nothing.
#[derive(Debug)]
pub(super) struct Probe {
    _library: libloading::Library,
    version: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("it is version {version}, 1.{} or newer is needed", ort::MINOR_VERSION)]
    TooOld { version: String },
    #[error("{0}")]
    Unusable(String),
}

impl Probe {
    /// Opens `path`; a bare name is searched for by the system's loader.
    pub(super) fn open(path: &Path) -> Result<Self, ProbeError> {
        let unusable = |e: libloading::Error| {
            let mut text = e.to_string();
            if let Some(source) = std::error::Error::source(&e) {
                text = format!("{text}: {source}");
            }
            ProbeError::Unusable(text)
        };
        // SAFETY: opening runs the library's initialisers. The library is the
        // one the user named or installed, or one whose checksum was verified.
        let library = unsafe { libloading::Library::new(path) }.map_err(unusable)?;
        // SAFETY: this is the signature of `OrtGetApiBase` in every release of
        // onnxruntime_c_api.h.
        let base = unsafe {
            library.get::<unsafe extern "C" fn() -> *const OrtApiBase>(b"OrtGetApiBase\0")
        }
        .map_err(|_| ProbeError::Unusable("it does not export OrtGetApiBase".into()))?;
        // SAFETY: the function takes nothing and may be called at any time.
        let base = unsafe { base() };
        if base.is_null() {
            return Err(ProbeError::Unusable("OrtGetApiBase gives nothing".into()));
        }
        // SAFETY: not null, and the struct is static within the library, which
        // stays open while it is read; the string is static and NUL-terminated.
        let version = unsafe { CStr::from_ptr(((*base).GetVersionString)()) };
        let version = version.to_string_lossy().into_owned();
        if !new_enough(&version) {
            return Err(ProbeError::TooOld { version });
        }
        // SAFETY: as above; GetApi takes any number.
        let api = unsafe { ((*base).GetApi)(ort::MINOR_VERSION) };
        if api.is_null() {
            return Err(ProbeError::TooOld { version });
        }
        Ok(Self { _library: library, version })
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }
}

fn new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (major, minor) >= (1, ort::MINOR_VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for good in ["1.24.0", "1.24.4", "1.100.1", "2.0.0", "1.25.0-dev"] {
            assert!(new_enough(good), "{good}");
        }
        for bad in ["1.9.0", "1.23.2", "0.99", "", "x.y"] {
            assert!(!new_enough(bad), "{bad}");
        }
    }
}
