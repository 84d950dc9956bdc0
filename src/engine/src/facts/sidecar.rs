//! Given a picture's path, what do files beside it say? `photo.jpg.xmp` or
//! `photo.xmp` as photo programs write them, `photo.jpg.txt` or `photo.txt` with
//! a caption a line, as sets of captioned pictures have it.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::{Words, xmp};

/// Bytes of a sidecar; what is longer is none.
const MOST: u64 = 1 << 20;
/// Characters of a text file: what is longer is a text of its own and no caption.
const CAPTION: usize = 4_000;
/// Endings of pictures: `photo.txt` beside both `photo.jpg` and `photo.png` is of both.
const ENDINGS: [&str; 2] = ["xmp", "txt"];

/// Reads what lies beside the picture; nothing if there is nothing.
pub(super) fn read(picture: &Path) -> Words {
    let mut words = Words::default();
    for (ending, path) in places(picture) {
        let Some(text) = text(&path) else { continue };
        if ending == "xmp" {
            words.add(xmp::read(&text));
        } else if text.chars().count() <= CAPTION {
            text.lines().for_each(|line| words.text(line));
        }
    }
    words
}

/// Where a picture's sidecars would lie.
fn places(picture: &Path) -> impl Iterator<Item = (&'static str, PathBuf)> {
    let of = |ending| [(ending, with(picture, ending)), (ending, picture.with_extension(ending))];
    ENDINGS.into_iter().flat_map(of).filter(move |(_, path)| path != picture)
}

/// Which sidecars a picture has, how long they are and when they were written, in one
/// number; `None` if it has none. `there` says of a name whether it is worth a look.
pub(crate) fn stamp(picture: &Path, there: impl Fn(&OsStr) -> bool) -> Option<u64> {
    let mut hasher = None;
    for (_, path) in places(picture) {
        let Some(name) = path.file_name().filter(|name| there(name)) else { continue };
        let Some(plain) = fs_err::metadata(&path).ok().filter(|m| m.is_file()) else { continue };
        let hasher = hasher.get_or_insert_with(blake3::Hasher::new);
        hasher.update(name.as_encoded_bytes()).update(b"/");
        let since = plain.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        hasher.update(&plain.len().to_le_bytes());
        hasher.update(&since.unwrap_or_default().as_nanos().to_le_bytes());
    }
    let hash = hasher?.finalize();
    Some(u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("32 bytes")))
}

/// The names of what may be sidecars, in the folder that was asked last: a picture after the other
/// lies in the same one.
#[derive(Default)]
pub(crate) struct Beside {
    folder: Option<PathBuf>,
    names: Vec<OsString>,
}

impl Beside {
    /// The [`stamp`] of a picture.
    pub(crate) fn stamp(&mut self, picture: &Path) -> Option<u64> {
        let folder = picture.parent()?;
        if self.folder.as_deref() != Some(folder) {
            self.names.clear();
            // If it cannot be listed, nothing is known to lie in it.
            let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name());
            self.names.extend(names.filter(|name| {
                let ending = Path::new(name).extension().and_then(OsStr::to_str);
                ending.is_some_and(|ending| ENDINGS.contains(&ending))
            }));
            self.names.sort_unstable();
            self.folder = Some(folder.to_path_buf());
        }
        if self.names.is_empty() {
            return None;
        }
        stamp(picture, |name| self.names.binary_search_by(|n| n.as_os_str().cmp(name)).is_ok())
    }
}

/// `photo.jpg.xmp` of `photo.jpg`.
fn with(picture: &Path, ending: &str) -> PathBuf {
    let mut name = picture.file_name().unwrap_or(OsStr::new("")).to_owned();
    name.push(".");
    name.push(ending);
    picture.with_file_name(name)
}

/// The text of a small plain file, in UTF-8.
fn text(path: &Path) -> Option<String> {
    // A pipe would wait for ever.
    let plain = fs_err::metadata(path).ok()?;
    if !plain.is_file() || plain.len() > MOST {
        return None;
    }
    let mut text = String::new();
    fs_err::File::open(path).ok()?.take(MOST).read_to_string(&mut text).ok()?;
    Some(text.trim_start_matches('\u{FEFF}').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_has_a_stamp() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| dir.path().join(name);
        let all = |name: &str| stamp(&at(name), |_| true);
        let listed = |name: &str| Beside::default().stamp(&at(name));
        fs_err::write(at("other.txt"), "of another").expect("written");
        assert_eq!((all("a.jpg"), listed("a.jpg")), (None, None));
        let mut met = vec![None];
        let steps: [(&str, Option<&str>); 6] = [
            ("a.txt", Some("one")),
            ("a.txt", Some("longer")),
            ("a.jpg.xmp", Some("<x/>")),
            ("a.txt", None),
            // The same bytes at another place are another sidecar.
            ("a.xmp", Some("<x/>")),
            ("a.jpg.xmp", None),
        ];
        for (name, text) in steps {
            match text {
                Some(text) => fs_err::write(at(name), text).expect("written"),
                None => fs_err::remove_file(at(name)).expect("removed"),
            }
            let now = all("a.jpg");
            assert_eq!(listed("a.jpg"), now);
            assert!(!met.contains(&now), "{name} {text:?}");
            met.push(now);
        }
        // Text that is a picture by its name is no sidecar of itself.
        assert_eq!(all("other.txt"), None);
    }

    #[test]
    fn both_ways_of_naming_are_known() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let picture = dir.path().join("photo.jpg");
        assert_eq!(read(&picture), Words::default());
        let write =
            |name: &str, text: &[u8]| fs_err::write(dir.path().join(name), text).expect("written");
        write("photo.txt", "\u{FEFF}A red boat\r\n\r\nat the quay\n".as_bytes());
        write("photo.jpg.txt", b"One more");
        let packet = "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\" \
            xmlns:dc=\"http://purl.org/dc/elements/1.1/\"><rdf:Description><dc:subject><rdf:Bag>\
            <rdf:li>boat</rdf:li></rdf:Bag></dc:subject></rdf:Description></rdf:RDF>";
        write("photo.xmp", packet.as_bytes());
        let words = read(&picture);
        assert_eq!(words.texts, ["One more", "A red boat", "at the quay"]);
        assert_eq!(words.keywords, ["boat"]);
        // Neither a book, nor another alphabet, nor itself.
        write("photo.txt", "word ".repeat(1_000).as_bytes());
        write("photo.jpg.txt", b"\xFF\xFE\x00");
        assert_eq!(read(&picture).texts, Vec::<String>::new());
        assert_eq!(read(&dir.path().join("photo.txt")).texts, Vec::<String>::new());
    }
}
