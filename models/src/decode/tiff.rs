//! Given bytes laid out as TIFF lays them out (raw formats, EXIF), which entries are
//! there? A bounded walk through the directories, each looked at once.

use std::collections::HashSet;

/// Directories of one file, and entries of one directory.
const MOST_DIRECTORIES: usize = 64;
const MOST_ENTRIES: usize = 1024;
/// Values of one entry that are looked at, where an entry has several.
const MOST_VALUES: usize = 64;

pub(crate) const COMPRESSION: u16 = 0x103;
pub(crate) const PHOTOMETRIC: u16 = 0x106;
pub(crate) const MAKE: u16 = 0x10F;
pub(crate) const STRIP_OFFSETS: u16 = 0x111;
pub(crate) const ORIENTATION: u16 = 0x112;
pub(crate) const STRIP_LENGTHS: u16 = 0x117;
pub(crate) const SUB_DIRECTORIES: u16 = 0x14A;
pub(crate) const JPEG_OFFSET: u16 = 0x201;
pub(crate) const JPEG_LENGTH: u16 = 0x202;
pub(crate) const XMP: u16 = 700;
pub(crate) const IPTC: u16 = 33723;
pub(crate) const PHOTOSHOP: u16 = 34377;
pub(crate) const DNG_VERSION: u16 = 0xC612;
const EXIF_DIRECTORY: u16 = 0x8769;

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) tag: u16,
    kind: u16,
    count: u32,
    /// Where the values lie, in the file.
    at: usize,
}

/// A directory: a list of entries.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    pub(crate) entries: Vec<Entry>,
}

impl Directory {
    pub(crate) fn entry(&self, tag: u16) -> Option<Entry> {
        self.entries.iter().find(|entry| entry.tag == tag).copied()
    }
}

/// A file laid out so.
#[derive(Clone, Debug)]
pub(crate) struct Tiff<'a> {
    bytes: &'a [u8],
    little: bool,
    /// In the order in which they were met: the first is the main one.
    pub(crate) directories: Vec<Directory>,
}

impl<'a> Tiff<'a> {
    /// Reads all directories that can be found; `None` if the header is none.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let little = match bytes.get(..2)? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let mut this = Self { bytes, little, directories: vec![] };
        let mut seen = HashSet::new();
        let mut next = vec![this.u32(4)? as usize];
        while let Some(at) = next.pop() {
            if this.directories.len() >= MOST_DIRECTORIES || !seen.insert(at) {
                continue;
            }
            let Some((directory, following)) = this.directory(at) else { continue };
            let inner = [SUB_DIRECTORIES, EXIF_DIRECTORY]
                .into_iter()
                .filter_map(|tag| directory.entry(tag))
                .flat_map(|entry| this.numbers(entry));
            // Those that follow come after those within.
            next.extend((following > 0).then_some(following));
            let inner: Vec<usize> = inner.map(|n| n as usize).collect();
            next.extend(inner.into_iter().rev());
            this.directories.push(directory);
        }
        (!this.directories.is_empty()).then_some(this)
    }

    fn directory(&self, at: usize) -> Option<(Directory, usize)> {
        let count = usize::from(self.u16(at)?);
        let entries = (0..count.min(MOST_ENTRIES))
            .map_while(|i| self.entry(at.checked_add(2 + 12 * i)?))
            .filter(|entry| entry.length() <= self.bytes.len())
            .collect();
        let following = at.checked_add(2 + 12 * count).and_then(|at| self.u32(at));
        Some((Directory { entries }, following.unwrap_or(0) as usize))
    }

    fn entry(&self, at: usize) -> Option<Entry> {
        let (tag, kind, count) = (self.u16(at)?, self.u16(at + 2)?, self.u32(at + 4)?);
        let mut entry = Entry { tag, kind, count, at: at + 8 };
        self.u32(at + 8)?;
        // What has no room in the entry lies elsewhere.
        if entry.length() > 4 {
            entry.at = self.u32(at + 8)? as usize;
        }
        Some(entry)
    }

    /// The values of an entry as numbers, if they are whole ones.
    pub(crate) fn numbers(&self, entry: Entry) -> Vec<u64> {
        let number = |i: usize| {
            let at = |size: usize| entry.at.checked_add(i * size);
            match entry.kind {
                1 | 7 => self.bytes.get(at(1)?).map(|&n| n.into()),
                3 => self.u16(at(2)?).map(u64::from),
                4 | 13 => self.u32(at(4)?).map(u64::from),
                _ => None,
            }
        };
        (0..(entry.count as usize).min(MOST_VALUES)).map_while(number).collect()
    }

    pub(crate) fn number(&self, directory: &Directory, tag: u16) -> Option<u64> {
        self.numbers(directory.entry(tag)?).first().copied()
    }

    /// The values of an entry as they lie there.
    pub(crate) fn raw(&self, entry: Entry) -> Option<&'a [u8]> {
        self.bytes.get(entry.at..entry.at.checked_add(entry.length())?)
    }

    /// A text, up to its first zero.
    pub(crate) fn text(&self, directory: &Directory, tag: u16) -> Option<String> {
        let raw = self.raw(directory.entry(tag)?)?;
        let raw = raw.split(|&b| b == 0).next().unwrap_or(raw);
        Some(String::from_utf8_lossy(&raw[..raw.len().min(256)]).trim().to_owned())
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let bytes = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}

impl Entry {
    /// Bytes of all values.
    fn length(&self) -> usize {
        let one = match self.kind {
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 => 8,
            _ => 1,
        };
        (self.count as usize).saturating_mul(one)
    }
}

/// A TIFF block of one directory, for tests: tag, kind, count, value or offset.
#[cfg(test)]
pub(crate) fn block(magic: &[u8; 4], entries: &[(u16, u16, u32, u32)], rest: &[u8]) -> Vec<u8> {
    let mut bytes =
        [&magic[..], &8u32.to_le_bytes(), &(entries.len() as u16).to_le_bytes()].concat();
    for &(tag, kind, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes.extend(rest);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_directories_ends() {
        let mut bytes =
            block(b"II\x2A\0", &[(SUB_DIRECTORIES, 4, 1, 8), (MAKE, 2, 4, 0x00_41_42_43)], b"");
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&8u32.to_le_bytes());
        let tiff = Tiff::read(&bytes).expect("a directory");
        assert_eq!(tiff.directories.len(), 1);
        assert_eq!(tiff.text(&tiff.directories[0], MAKE).as_deref(), Some("CBA"));
        assert_eq!(tiff.number(&tiff.directories[0], SUB_DIRECTORIES), Some(8));
    }

    #[test]
    fn what_lies_outside_is_not_there() {
        let bytes = block(
            b"II\x2A\0",
            &[(XMP, 1, u32::MAX, 4), (IPTC, 4, 1 << 31, 4), (MAKE, 2, 9, u32::MAX)],
            b"",
        );
        let tiff = Tiff::read(&bytes).expect("a directory");
        assert_eq!(tiff.text(&tiff.directories[0], MAKE), None);
        assert_eq!(tiff.directories[0].entry(XMP), None);
        for end in 0..bytes.len() {
            let _ = Tiff::read(&bytes[..end]);
        }
    }
}
