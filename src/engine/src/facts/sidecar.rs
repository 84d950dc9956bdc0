//! Given a picture's path, what do files beside it say? `photo.jpg.xmp` or
//! `photo.xmp` as photo programs write them, `photo.jpg.txt` or `photo.txt` with
//! a caption a line, as sets of captioned pictures have it.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};

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
    for ending in ENDINGS {
        for path in [with(picture, ending), picture.with_extension(ending)] {
            if path == picture {
                continue;
            }
            let Some(text) = text(&path) else { continue };
            if ending == "xmp" {
                words.add(xmp::read(&text));
            } else if text.chars().count() <= CAPTION {
                text.lines().for_each(|line| words.text(line));
            }
        }
    }
    words
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
