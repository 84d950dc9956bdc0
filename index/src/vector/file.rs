//! How do vectors lie on disk, so that every row proves itself?
//!
//! `vectors-0001.ekv` is a 256-byte header and then rows of one length:
//! `dim` × f32, the item's 16-byte id, a CRC-32 over both and the row's number.
//! Everything is little-endian. The file only grows: how many rows count is
//! said by the catalogue, and what lies behind them is left from a crash and
//! overwritten by the next append. Rows that died go when the living ones are
//! copied to the file of the next generation.
//!
//! Header: magic `EKVECTOR`, format version u32, `dim` u32, generation u32,
//! length of the space id u32, the id in 64 bytes, zeros, CRC-32 of the rest.
//!
//! Lengths are checked before mapping: a file that was shortened while no process
//! had it open has missing rows, which are reported. One that someone shortens
//! *while* it is mapped ends the process that reads behind the new end, by
//! SIGBUS. There is no portable way to survive that, and this crate never does
//! it: nobody else may touch the file of an open store. Nothing is lost by it,
//! commits being durable; opened again, the store says which rows are missing.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use ekphrasis_embed::Space;
use memmap2::Mmap;

use crate::disk::{Disk, DiskFile, How};
use crate::{ItemId, StoreError};

const MAGIC: &[u8; 8] = b"EKVECTOR";
const VERSION: u32 = 1;
const HEADER: usize = 256;
const KEY: usize = 16;
const CRC: usize = 4;

/// Whether rows are kept as they lie in memory: f32 of a little-endian machine.
const _: () = assert!(cfg!(target_endian = "little"), "the vector file is read in place");

/// An open vector file. Appending needs the store's write lock.
#[derive(Debug)]
pub(crate) struct VectorFile {
    file: Arc<dyn DiskFile>,
    dim: usize,
}

impl VectorFile {
    /// Length of a file without rows.
    pub(crate) const EMPTY: u64 = HEADER as u64;

    pub(crate) fn name(generation: u32) -> String {
        format!("vectors-{generation:04}.ekv")
    }

    /// Whether the file at `path` starts like one of ours and has more than a header.
    pub(crate) fn has_rows(path: &Path) -> Result<bool, StoreError> {
        let file = match fs_err::File::open(path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
            file => file?,
        };
        if !file.metadata()?.is_file() {
            return Ok(false);
        }
        let mut start = vec![];
        file.take(Self::EMPTY + 1).read_to_end(&mut start)?;
        Ok(start.len() > HEADER && start.starts_with(MAGIC))
    }

    /// Makes an empty file. What a crash while doing so left is overwritten;
    /// a file with rows is not.
    pub(crate) fn create(
        disk: &dyn Disk,
        dir: &Path,
        space: &Space,
        generation: u32,
    ) -> Result<(), StoreError> {
        let path = dir.join(Self::name(generation));
        let left = match fs_err::File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => vec![],
            file => {
                let mut left = vec![];
                file?.take(Self::EMPTY + 1).read_to_end(&mut left)?;
                left
            }
        };
        if left.len() > HEADER {
            return Err(StoreError::corrupt(&path, "it holds vectors, but its catalogue is gone"));
        }
        // A write that power loss cut short leaves a part of the header, or zeros.
        let ours = left.iter().zip(MAGIC).all(|(l, m)| l == m) || left.iter().all(|&b| b == 0);
        if !ours {
            return Err(StoreError::corrupt(&path, "it does not start like a vector file"));
        }
        let file = disk.open(&path, How::Create)?;
        file.write_all_at(&encode_header(space, generation), 0)?;
        file.sync()?;
        Ok(())
    }

    /// Opens a file and checks that it is the one the catalogue speaks of.
    pub(crate) fn open(
        disk: &dyn Disk,
        dir: &Path,
        space: &Space,
        generation: u32,
        write: bool,
    ) -> Result<Self, StoreError> {
        let path = dir.join(Self::name(generation));
        let mut header = [0; HEADER];
        match fs_err::File::open(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(StoreError::corrupt(&path, "the file is gone"));
            }
            file => file?
                .read_exact(&mut header)
                .map_err(|_| StoreError::corrupt(&path, "it is shorter than its header"))?,
        }
        if &header[..8] != MAGIC {
            return Err(StoreError::corrupt(&path, "it does not start like a vector file"));
        }
        let crc = crc32fast::hash(&header[..HEADER - CRC]).to_le_bytes();
        if header[HEADER - CRC..] != crc {
            return Err(StoreError::corrupt(&path, "the checksum of its header is wrong"));
        }
        let version = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
        if version != VERSION {
            return Err(StoreError::Version {
                path,
                found: version.into(),
                supported: VERSION.into(),
            });
        }
        if header != encode_header(space, generation) {
            return Err(StoreError::corrupt(
                &path,
                format!("it is not the file of {space}, generation {generation}"),
            ));
        }
        let file = disk.open(&path, if write { How::Write } else { How::Read })?;
        Ok(Self { file: file.into(), dim: space.dim() })
    }

    fn stride(&self) -> usize {
        stride(self.dim)
    }

    /// Writes rows from number `first` on and makes them durable.
    pub(crate) fn append<'a>(
        &self,
        first: u64,
        rows: impl Iterator<Item = (ItemId, &'a [f32])>,
    ) -> Result<(), StoreError> {
        self.write(first, rows.map(|(id, values)| (id, Some(values))))?;
        self.sync()
    }

    /// Writes rows from number `first` on, which are durable after [`VectorFile::sync`].
    /// A row without values is one that is known to be damaged, and stays that.
    pub(crate) fn write<'a>(
        &self,
        first: u64,
        rows: impl Iterator<Item = (ItemId, Option<&'a [f32]>)>,
    ) -> Result<(), StoreError> {
        const BUFFER: usize = 4 << 20;
        let mut at = offset(self.dim, first);
        let mut buffer = Vec::new();
        for (row, (id, values)) in (first..).zip(rows) {
            let start = buffer.len();
            match values {
                Some(values) => buffer.extend_from_slice(bytemuck::cast_slice(values)),
                None => buffer.resize(start + self.dim * 4, 0),
            }
            buffer.extend_from_slice(&id.to_bytes());
            let right = row_crc(row, &buffer[start..]);
            let crc = if values.is_some() { right } else { !right };
            buffer.extend_from_slice(&crc.to_le_bytes());
            if buffer.len() >= BUFFER {
                self.file.write_all_at(&buffer, at)?;
                at += buffer.len() as u64;
                buffer.clear();
            }
        }
        self.file.write_all_at(&buffer, at)?;
        Ok(())
    }

    /// Whether `path` names this very file.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        self.file.is_at(path)
    }

    /// Makes all rows durable.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        Ok(self.file.sync()?)
    }

    /// Maps `count` rows from `first` on, or fewer if the file is too short.
    pub(crate) fn map(&self, first: u64, count: usize) -> Result<RowMap, StoreError> {
        let (start, stride) = (offset(self.dim, first), self.stride());
        let there = self.file.len()?.saturating_sub(start) / stride as u64;
        let rows = count.min(usize::try_from(there).unwrap_or(usize::MAX));
        let map = if rows == 0 {
            None
        } else {
            // SAFETY: rows that the catalogue counts are never written again, the file is
            // never shortened by this crate, and its length was checked just now.
            let map = unsafe { self.file.map(start, rows * stride) };
            Some(Arc::new(map?))
        };
        Ok(RowMap { file: Arc::clone(&self.file), map, first, rows, dim: self.dim })
    }

    /// One row, if it is in the file, undamaged and of this item.
    pub(crate) fn read(&self, row: u64, id: ItemId) -> Result<Option<Vec<f32>>, StoreError> {
        let map = self.map(row, 1)?;
        Ok(map.check(0, Some(id)).then(|| map.values(0).to_vec()))
    }
}

/// Consecutive rows in memory.
#[derive(Clone, Debug)]
pub(crate) struct RowMap {
    file: Arc<dyn DiskFile>,
    map: Option<Arc<Mmap>>,
    first: u64,
    rows: usize,
    dim: usize,
}

impl RowMap {
    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a vector.
    pub(crate) fn dim(&self) -> usize {
        self.dim
    }

    fn bytes(&self, i: usize) -> &[u8] {
        let stride = stride(self.dim);
        match &self.map {
            Some(map) if i < self.rows => &map[i * stride..(i + 1) * stride],
            _ => &[],
        }
    }

    /// The vector of the `i`-th row, checked or not; empty if it is not there.
    pub(crate) fn values(&self, i: usize) -> &[f32] {
        // The header and the rows are whole numbers of f32 long, so this never misaligns.
        self.bytes(i).get(..self.dim * 4).map_or(&[], bytemuck::cast_slice)
    }

    /// The checksum of the `i`-th row as it lies there, right or not.
    pub(crate) fn stored_crc(&self, i: usize) -> Option<u32> {
        self.bytes(i).last_chunk::<CRC>().map(|crc| u32::from_le_bytes(*crc))
    }

    /// Lets go of the memory that reading took: what is read again comes from the file, or from
    /// what the system remembers of it.
    pub(crate) fn release(&self) {
        if let Some(map) = &self.map {
            // SAFETY: the map is shared and only read, so its pages are the file's: whoever
            // reads one meanwhile or later gets the same bytes.
            // An advice that is not taken costs memory, nothing else.
            #[cfg(unix)]
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            #[cfg(not(unix))]
            let _ = map;
        }
    }

    /// Whether the `i`-th row is as it was written, and of `id` if that is known.
    pub(crate) fn check(&self, i: usize, id: Option<ItemId>) -> bool {
        is_right(self.bytes(i), self.dim, self.first + i as u64, id)
    }

    /// The vector of the `i`-th row and, where `check` asks for it, whether
    /// [`RowMap::check`] of `id` holds. `None` if it cannot be read.
    ///
    /// Where a file can be read by place, it is read into `buffer`: a few rows here and
    /// there do not make all that lies around them part of the process.
    pub(crate) fn read<'a>(
        &'a self,
        i: usize,
        check: bool,
        id: Option<ItemId>,
        buffer: &'a mut Vec<f32>,
    ) -> Option<(&'a [f32], bool)> {
        if i >= self.rows {
            return None;
        }
        let row = self.first + i as u64;
        #[cfg(unix)]
        {
            let bytes = if check { stride(self.dim) } else { self.dim * 4 };
            // Rows are whole numbers of f32 long.
            buffer.resize(stride(self.dim) / 4, 0.0);
            let bytes = &mut bytemuck::cast_slice_mut(buffer)[..bytes];
            self.file.read_exact_at(bytes, offset(self.dim, row)).ok()?;
            let right = !check || is_right(bytes, self.dim, row, id);
            Some((&buffer[..self.dim], right))
        }
        #[cfg(not(unix))]
        {
            let _ = (&self.file, buffer);
            Some((self.values(i), !check || is_right(self.bytes(i), self.dim, row, id)))
        }
    }
}

/// Whether `bytes` are row number `row` as it was written, and of `id` if that is known.
fn is_right(bytes: &[u8], dim: usize, row: u64, id: Option<ItemId>) -> bool {
    let Some((content, crc)) = bytes.split_last_chunk::<CRC>() else { return false };
    row_crc(row, content).to_le_bytes() == *crc
        && id.is_none_or(|id| content[dim * 4..] == id.to_bytes())
}

fn stride(dim: usize) -> usize {
    dim * 4 + KEY + CRC
}

fn offset(dim: usize, row: u64) -> u64 {
    HEADER as u64 + row * stride(dim) as u64
}

/// The row's number is part of it: a row in the wrong place is a wrong row.
fn row_crc(row: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&row.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

fn encode_header(space: &Space, generation: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let id = space.id().as_bytes();
    header[..8].copy_from_slice(MAGIC);
    for (i, number) in
        [VERSION, space.dim() as u32, generation, id.len() as u32].into_iter().enumerate()
    {
        header[8 + i * 4..12 + i * 4].copy_from_slice(&number.to_le_bytes());
    }
    header[24..24 + id.len()].copy_from_slice(id);
    let crc = crc32fast::hash(&header[..HEADER - CRC]);
    header[HEADER - CRC..].copy_from_slice(&crc.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::OsDisk;

    fn id(i: u64) -> ItemId {
        ItemId::for_text(&i.to_string())
    }

    #[test]
    fn rows_come_back_and_flips_are_seen() {
        let dir = tempfile::tempdir().expect("tempdir");
        let space = Space::new("toy", 3).expect("valid");
        VectorFile::create(&OsDisk, dir.path(), &space, 1).expect("created");
        let file = VectorFile::open(&OsDisk, dir.path(), &space, 1, true).expect("opened");
        let rows: Vec<[f32; 3]> = (0..5u8).map(|i| [f32::from(i), 1.0, -2.0]).collect();
        let with_ids = |range: std::ops::Range<u64>| {
            range.map(|i| (id(i), &rows[i as usize][..])).collect::<Vec<_>>().into_iter()
        };
        file.append(0, with_ids(0..5)).expect("appended");
        // A second append at the same place is what happens after a crash.
        file.append(3, with_ids(3..5)).expect("appended");
        for i in 0..5 {
            let row = file.read(i, id(i)).expect("read");
            assert_eq!(row.as_deref(), Some(&rows[i as usize][..]));
        }
        assert_eq!(file.read(0, id(1)).expect("read"), None, "another item's row");
        file.write(5, std::iter::once((id(5), None))).expect("written");
        assert_eq!(file.read(5, id(5)).expect("read"), None, "damaged, and known to be");
        assert_eq!(file.read(6, id(6)).expect("read"), None, "behind the end");

        let path = dir.path().join(VectorFile::name(1));
        let bytes = fs_err::read(&path).expect("read");
        for position in HEADER..HEADER + file.stride() {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x10;
            fs_err::write(&path, &flipped).expect("written");
            let file = VectorFile::open(&OsDisk, dir.path(), &space, 1, false).expect("opened");
            assert_eq!(file.read(0, id(0)).expect("read"), None, "flip at {position}");
            assert!(file.read(1, id(1)).expect("read").is_some());
        }
        for position in 0..HEADER {
            let mut flipped = bytes.clone();
            flipped[position] ^= 0x10;
            fs_err::write(&path, &flipped).expect("written");
            assert!(
                VectorFile::open(&OsDisk, dir.path(), &space, 1, false).is_err(),
                "flip at {position}"
            );
        }
    }

    #[test]
    fn a_file_with_vectors_is_not_made_anew() {
        let dir = tempfile::tempdir().expect("tempdir");
        let space = Space::new("toy", 2).expect("valid");
        VectorFile::create(&OsDisk, dir.path(), &space, 1).expect("created");
        VectorFile::create(&OsDisk, dir.path(), &space, 1).expect("still empty");
        let file = VectorFile::open(&OsDisk, dir.path(), &space, 1, true).expect("opened");
        file.append(0, std::iter::once((id(0), &[1.0, 0.0][..]))).expect("appended");
        let error =
            VectorFile::create(&OsDisk, dir.path(), &space, 1).expect_err("it holds vectors");
        assert!(error.to_string().contains("its catalogue is gone"), "{error}");
        let other = Space::new("other", 2).expect("valid");
        assert!(VectorFile::open(&OsDisk, dir.path(), &other, 1, false).is_err());
    }
}
