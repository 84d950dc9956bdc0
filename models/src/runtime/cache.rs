//! Given a pinned library, where does it lie in our cache, and is it whole?
//!
//! A cached library is hashed before every load: with hardware SHA that takes
//! about 20 ms for its 22 MB, and nothing has to be remembered between runs.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::pins::{Library, NPM_VERSION, Pin, VERSION};
use super::{RuntimeError, fetch};
use crate::checked::{Hashing, sha256_file};

/// Where the library of the wheel belongs.
pub(super) fn wheel_path(cache: &Path, pin: &Pin) -> PathBuf {
    cache.join(format!("onnxruntime-{VERSION}-{}", pin.platform)).join(pin.wheel.name())
}

/// Where the library of the npm package belongs.
pub(super) fn npm_path(cache: &Path, pin: &Pin, library: &Library) -> PathBuf {
    cache.join(format!("onnxruntime-node-{NPM_VERSION}-{}", pin.platform)).join(library.name())
}

/// The library in the cache, if it is there with the pinned checksum. A wheel
/// that somebody put into the cache's download folder is unpacked first.
pub(super) fn installed(cache: &Path, pin: &Pin, log: &dyn Fn(&str)) -> Option<PathBuf> {
    let npm = pin.npm.as_ref().map(|library| (npm_path(cache, pin, library), library));
    for (path, library) in [(wheel_path(cache, pin), &pin.wheel)].into_iter().chain(npm) {
        match sha256_file(&path) {
            Ok(sum) if sum == library.sha256 => return Some(path),
            Ok(_) => log(&format!(
                "{} is damaged (its checksum is not the pinned one); it is not used",
                path.display()
            )),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => log(&format!("passing over {}: {e}", path.display())),
        }
    }
    fetch::unpack_by_hand(cache, pin, log)
}

/// Writes a library into the cache: to a temporary name, checked, synced, then
/// renamed, so that a reader sees the whole library or none and two processes
/// at once do no harm.
pub(super) fn install(
    path: &Path,
    library: &Library,
    from: &mut dyn Read,
) -> Result<(), RuntimeError> {
    let fail = |source| RuntimeError::Cache { path: path.into(), source };
    let folder = path.parent().unwrap_or(path);
    fs_err::create_dir_all(folder).map_err(fail)?;
    let temporary = temporary(folder).map_err(fail)?;
    let mut writer = Hashing::new(temporary);
    // One byte more than pinned is enough to be wrong.
    std::io::copy(&mut from.take(library.bytes + 1), &mut writer).map_err(fail)?;
    let (temporary, sum) = writer.finish();
    if sum != library.sha256 {
        let text = format!("expected sha256 {}, got {sum}", library.sha256);
        return Err(fail(std::io::Error::new(std::io::ErrorKind::InvalidData, text)));
    }
    temporary.as_file().sync_all().map_err(fail)?;
    temporary.persist(path).map_err(|e| fail(e.error))?;
    sync_folder(folder).map_err(fail)
}

/// Prefix of a library that is being written.
pub(super) const UNFINISHED: &str = ".fetching-";

fn temporary(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(UNFINISHED);
    // Readable for whoever else uses this cache, unless the umask says no; a
    // temporary file is private by default.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    builder.tempfile_in(folder)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    fs_err::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> std::io::Result<()> {
    // Elsewhere a folder cannot be opened for syncing.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: Library = Library {
        member: "package/lib/abc.so",
        bytes: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };

    #[test]
    fn only_the_pinned_bytes_get_into_the_cache() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("deep").join(ABC.name());
        for wrong in ["abd", "ab", "abcd", ""] {
            let error = install(&path, &ABC, &mut wrong.as_bytes()).expect_err(wrong).to_string();
            assert!(error.contains(ABC.sha256) && error.contains("abc.so"), "{error}");
            let left =
                fs_err::read_dir(path.parent().expect("a folder")).expect("readable").count();
            assert_eq!(left, 0, "nothing stays behind");
        }
        install(&path, &ABC, &mut "abc".as_bytes()).expect("the pinned bytes");
        assert_eq!(fs_err::read(&path).expect("readable"), b"abc");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Any other new file shows what the umask leaves.
            let other = dir.path().join("other");
            fs_err::write(&other, b"").expect("writable");
            let mode = |p: &Path| fs_err::metadata(p).expect("there").permissions().mode() & 0o777;
            assert_eq!(mode(&path), mode(&other) & 0o644);
        }
    }

    #[test]
    fn a_damaged_library_is_not_used() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let pin = &super::super::pins::all()[0];
        let path = wheel_path(dir.path(), pin);
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs_err::write(&path, b"cut short").expect("writable");
        let lines = std::cell::RefCell::new(Vec::new());
        let found = installed(dir.path(), pin, &|l| lines.borrow_mut().push(l.to_owned()));
        assert_eq!(found, None);
        assert!(lines.borrow()[0].contains("damaged"), "{lines:?}");
        // Neither is what cannot be read, and the reason is named.
        fs_err::remove_file(&path).expect("writable");
        fs_err::create_dir(&path).expect("writable");
        lines.borrow_mut().clear();
        let found = installed(dir.path(), pin, &|l| lines.borrow_mut().push(l.to_owned()));
        assert_eq!((found, lines.borrow().len()), (None, 1));
        assert!(lines.borrow()[0].contains(&path.display().to_string()), "{lines:?}");
    }
}
