//! Given what a hub says a file is, is this that file? Large files are known by their
//! SHA-256, those that lie in git itself by git's own name for them.

use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What a file's contents have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// In lower-case hexadecimal; of files that git keeps elsewhere (LFS).
    Sha256(String),
    /// The SHA-1 of git's object, a header and the contents; of small files.
    Git(String),
}

impl Checksum {
    /// From an `ETag` or a name in the cache; none if it is neither.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("W/").unwrap_or(text).trim_matches('"');
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match text.len() {
            64 if hex => Some(Self::Sha256(text.into())),
            40 if hex => Some(Self::Git(text.into())),
            _ => None,
        }
    }

    /// Hexadecimal; the file's name in the cache.
    pub(super) fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Git(hex) => hex,
        }
    }

    /// For messages.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Git(_) => "git's sha1",
        }
    }

    /// The same sum of the file at `path`, read in pieces.
    pub(super) fn of(&self, path: &Path) -> io::Result<String> {
        let mut file = fs_err::File::open(path)?;
        match self {
            Self::Sha256(_) => digest(Sha256::new(), &mut file),
            Self::Git(_) => {
                let length = file.metadata()?.len();
                digest(Sha1::new_with_prefix(format!("blob {length}\0")), &mut file)
            }
        }
    }
}

fn digest<D: Digest>(mut digest: D, file: &mut impl Read) -> io::Result<String> {
    let mut piece = vec![0; 1 << 18];
    loop {
        let read = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        digest.update(&piece[..read]);
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_sha256sum_and_of_git() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("f");
        fs_err::write(&path, "hello\n").expect("written");
        // `sha256sum f` and `git hash-object f`.
        for sum in [
            "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
            "ce013625030ba8dba906f756967f9e9ca394464a",
        ] {
            let checksum = Checksum::parse(&format!("\"{sum}\"")).expect("a sum");
            assert_eq!(checksum.of(&path).expect("readable"), sum);
            assert_eq!(checksum.hex(), sum);
        }
        fs_err::write(&path, "").expect("written");
        let empty = Checksum::Git("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391".into());
        assert_eq!(empty.of(&path).expect("readable"), empty.hex());
    }

    #[test]
    fn other_tags_are_no_sums() {
        for tag in
            ["", "\"abc\"", "../../x", "W/\"5d-18f\"", "CE013625030BA8DBA906F756967F9E9CA394464A"]
        {
            assert_eq!(Checksum::parse(tag), None, "{tag}");
        }
        assert!(Checksum::parse("W/\"ce013625030ba8dba906f756967f9e9ca394464a\"").is_some());
    }
}
