//! Given a file that somebody else wrote and its expected size and checksum,
//! how does one get bytes to trust? Here, for model files and libraries alike.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A file that is not the one that was promised.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub problem: FileProblem,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileProblem {
    /// It is not there, or may not be read.
    #[error("cannot be read: {0}; restore the file or install the model again")]
    Io(#[from] io::Error),
    /// It has another length.
    #[error("expected {expected} bytes, got {got}; restore the file or install the model again")]
    Size {
        /// Bytes promised.
        expected: u64,
        /// Bytes there.
        got: u64,
    },
    /// It has other contents.
    #[error("expected sha256 {expected}, got {got}; restore the file or install the model again")]
    Checksum {
        /// In hexadecimal.
        expected: String,
        /// In hexadecimal.
        got: String,
    },
}

/// The SHA-256 of `bytes` in lower-case hexadecimal, as manifests hold it.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The SHA-256 of a file, read in pieces.
pub(crate) fn sha256_file(path: &Path) -> io::Result<String> {
    let mut hasher = Hashing::new(io::sink());
    io::copy(&mut fs_err::File::open(path)?, &mut hasher)?;
    Ok(hasher.finish().1)
}

/// Whether a file is there with the promised length, without reading it.
pub(crate) fn check_size(path: &Path, expected: u64) -> Result<(), FileError> {
    let fail = |problem| FileError { path: path.to_owned(), problem };
    let got = fs_err::metadata(path).map_err(|e| fail(FileProblem::Io(plain(e))))?.len();
    if got != expected {
        return Err(fail(FileProblem::Size { expected, got }));
    }
    Ok(())
}

/// Whether a file has the promised length and checksum; read in pieces.
pub(crate) fn verify(path: &Path, bytes: u64, sha256: &str) -> Result<(), FileError> {
    check_size(path, bytes)?;
    let fail = |problem| FileError { path: path.to_owned(), problem };
    let got = sha256_file(path).map_err(|e| fail(FileProblem::Io(plain(e))))?;
    if got != sha256 {
        return Err(fail(FileProblem::Checksum { expected: sha256.into(), got }));
    }
    Ok(())
}

/// The file's bytes, if they have the promised length and checksum.
pub(crate) fn read(path: &Path, bytes: u64, sha256: &str) -> Result<Vec<u8>, FileError> {
    check_size(path, bytes)?;
    let fail = |problem| FileError { path: path.to_owned(), problem };
    let mut contents = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    fs_err::File::open(path)
        // One byte more than promised shows that the file has grown since.
        .and_then(|file| file.take(bytes.saturating_add(1)).read_to_end(&mut contents))
        .map_err(|e| fail(FileProblem::Io(plain(e))))?;
    if contents.len() as u64 != bytes {
        let got = contents.len() as u64;
        return Err(fail(FileProblem::Size { expected: bytes, got }));
    }
    let got = sha256_hex(&contents);
    if got != sha256 {
        return Err(fail(FileProblem::Checksum { expected: sha256.into(), got }));
    }
    Ok(contents)
}

/// The error without the path that `fs_err` adds, for messages that name it already.
pub(crate) fn plain(error: io::Error) -> io::Error {
    match error.kind() {
        kind @ (io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => kind.into(),
        _ => error,
    }
}

/// A writer that knows the checksum of what went through it.
pub(crate) struct Hashing<W> {
    inner: W,
    hasher: Sha256,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new() }
    }

    /// The inner writer and the checksum in hexadecimal.
    pub(crate) fn finish(self) -> (W, String) {
        (self.inner, hex(&self.hasher.finalize()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(buf)?;
        self.hasher.update(&buf[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-2, appendix B.1.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn only_the_promised_bytes_are_given() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("f");
        fs_err::write(&path, b"abc").expect("writable");
        assert_eq!(read(&path, 3, ABC).expect("as promised"), b"abc");
        assert_eq!(sha256_file(&path).expect("readable"), ABC);
        verify(&path, 3, ABC).expect("as promised");
        assert!(verify(&path, 3, &ABC.replace('b', "c")).is_err(), "other contents");
        let size = read(&path, 4, ABC).expect_err("too short");
        assert!(matches!(size.problem, FileProblem::Size { expected: 4, got: 3 }));
        let sum = read(&path, 3, &ABC.replace('b', "c")).expect_err("other contents");
        assert!(matches!(sum.problem, FileProblem::Checksum { .. }));
        let gone = read(&dir.path().join("g"), 3, ABC).expect_err("not there").to_string();
        assert!(gone.contains("not found"), "{gone}");
        assert_eq!(gone.matches("/g").count(), 1, "the path once: {gone}");
    }
}
