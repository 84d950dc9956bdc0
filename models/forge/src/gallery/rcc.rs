//! Given a compiled Qt resource file, what are the bytes of one file in it?
//! (Some packages keep their pictures in such archives, uncompressed.)

use crate::Result;

/// Flags of a node: compressed by zlib, a folder, compressed by zstd.
const ZLIB: u16 = 1;
const FOLDER: u16 = 2;
const ZSTD: u16 = 4;

/// The bytes of the file with this path.
pub(super) fn file<'a>(archive: &'a [u8], path: &str) -> Result<&'a [u8]> {
    if archive.get(..4) != Some(b"qres") {
        return Err("not a compiled Qt resource file".into());
    }
    let version = number(archive, 4)?;
    let archive = Archive {
        bytes: archive,
        tree: number(archive, 8)?,
        data: number(archive, 12)?,
        names: number(archive, 16)?,
        // Nodes have carried a time of change since version 2.
        node: if version < 2 { 14 } else { 22 },
    };
    let mut at = 0;
    for part in path.split('/') {
        at = archive.child(at, part)?.ok_or_else(|| format!("no {part} on the way to {path}"))?;
    }
    archive.content(at)
}

struct Archive<'a> {
    bytes: &'a [u8],
    tree: usize,
    data: usize,
    names: usize,
    node: usize,
}

impl<'a> Archive<'a> {
    /// Where the fields of a node begin: name (4), flags (2), then by its flags
    /// children's count and first (4, 4), or language (4) and data (4).
    fn node(&self, at: usize) -> Result<usize> {
        let offset = at.checked_mul(self.node).and_then(|o| o.checked_add(self.tree));
        offset.ok_or_else(|| "a node beyond the end".into())
    }

    fn flags(&self, at: usize) -> Result<u16> {
        let bytes = slice(self.bytes, self.node(at)? + 4, 2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn name(&self, at: usize) -> Result<String> {
        let start = self.names + number(self.bytes, self.node(at)?)?;
        let length = slice(self.bytes, start, 2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        // A hash of four bytes stands between the length and the name.
        let units = slice(self.bytes, start + 6, 2 * length)?;
        let units: Vec<u16> =
            units.chunks_exact(2).map(|u| u16::from_be_bytes([u[0], u[1]])).collect();
        Ok(String::from_utf16(&units)?)
    }

    fn child(&self, at: usize, name: &str) -> Result<Option<usize>> {
        if self.flags(at)? & FOLDER == 0 {
            return Ok(None);
        }
        let fields = self.node(at)?;
        let count = number(self.bytes, fields + 6)?;
        let first = number(self.bytes, fields + 10)?;
        for child in first..first + count {
            if self.name(child)? == name {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    fn content(&self, at: usize) -> Result<&'a [u8]> {
        if self.flags(at)? & (FOLDER | ZLIB | ZSTD) != 0 {
            return Err("a folder or a compressed file; only plain files are read".into());
        }
        let start = self.data + number(self.bytes, self.node(at)? + 10)?;
        slice(self.bytes, start + 4, number(self.bytes, start)?)
    }
}

fn slice(bytes: &[u8], start: usize, length: usize) -> Result<&[u8]> {
    let end = start.checked_add(length);
    end.and_then(|end| bytes.get(start..end)).ok_or_else(|| "the archive is cut short".into())
}

fn number(bytes: &[u8], at: usize) -> Result<usize> {
    let bytes: [u8; 4] = slice(bytes, at, 4)?.try_into()?;
    Ok(u32::from_be_bytes(bytes) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An archive with `dir/a.txt` = "first" and `dir/b.txt` = "second!".
    fn archive() -> Vec<u8> {
        let names = ["dir", "a.txt", "b.txt"];
        let mut name_bytes = Vec::new();
        let mut name_at = Vec::new();
        for name in names {
            name_at.push(name_bytes.len() as u32);
            name_bytes.extend((name.len() as u16).to_be_bytes());
            name_bytes.extend([0; 4]);
            name.encode_utf16().for_each(|u| name_bytes.extend(u.to_be_bytes()));
        }
        let mut data = Vec::new();
        let mut data_at = Vec::new();
        for content in ["first", "second!"] {
            data_at.push(data.len() as u32);
            data.extend((content.len() as u32).to_be_bytes());
            data.extend(content.as_bytes());
        }
        let mut tree = Vec::new();
        let mut node = |name: u32, flags: u16, one: u32, two: u32| {
            tree.extend(name.to_be_bytes());
            tree.extend(flags.to_be_bytes());
            tree.extend(one.to_be_bytes());
            tree.extend(two.to_be_bytes());
            tree.extend([0; 8]);
        };
        node(0, FOLDER, 1, 1);
        node(name_at[0], FOLDER, 2, 2);
        node(name_at[1], 0, 0, data_at[0]);
        node(name_at[2], 0, 0, data_at[1]);

        let data_start = 20 + tree.len() as u32;
        let names_start = data_start + data.len() as u32;
        let mut bytes = b"qres".to_vec();
        for field in [3, 20, data_start, names_start] {
            bytes.extend(u32::to_be_bytes(field));
        }
        bytes.extend(tree);
        bytes.extend(data);
        bytes.extend(name_bytes);
        bytes
    }

    #[test]
    fn files_are_found_by_their_paths() -> Result<()> {
        let archive = archive();
        assert_eq!(file(&archive, "dir/a.txt")?, b"first");
        assert_eq!(file(&archive, "dir/b.txt")?, b"second!");
        assert!(file(&archive, "dir/c.txt").is_err());
        assert!(file(&archive, "dir").is_err());
        assert!(file(&archive, "dir/a.txt/x").is_err());
        Ok(())
    }

    #[test]
    fn a_cut_archive_is_an_error_and_no_panic() {
        let archive = archive();
        for length in 0..archive.len() {
            assert!(file(&archive[..length], "dir/b.txt").is_err(), "{length} bytes");
        }
    }
}
