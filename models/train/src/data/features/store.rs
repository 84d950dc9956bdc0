//! Given a key, is its feature row on disk? A file that is only appended to, in
//! which every entry proves itself, so that a run that was killed goes on and a
//! damaged entry is made anew.
//!
//! Layout, little-endian: a head of 64 bytes (`EKFEAT01`, what the entries are
//! features of: 32 bytes, numbers an entry: u32, bytes a number: u32, 8 zeros,
//! checksum of the 56 bytes before: u64), then entries of one length: key (32
//! bytes), numbers, checksum of both under the head's 32 bytes (u64). A checksum
//! is the start of a BLAKE3 hash. Half an entry at the end is cut off when the
//! file is opened; entries that do not agree with their checksum are passed
//! over; a file with a damaged head is begun anew.

use std::collections::{HashMap, HashSet};
use std::fs::TryLockError;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err::{File, OpenOptions};
use half::f16;

use super::error::FeatureError;
use super::table::Precision;

const MAGIC: &[u8; 8] = b"EKFEAT01";
const HEAD: usize = 64;
const CHECK: usize = 8;

/// What an entry's row was computed from: 32 bytes of a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of something described by these parts, in this order.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// For a file's name.
    pub(super) fn short(&self, precision: Precision) -> String {
        let hex: String = self.0[..8].iter().map(|b| format!("{b:02x}")).collect();
        format!("{hex}-{}", 8 * precision.bytes())
    }
}

/// Feature rows on disk, by key. One process at a time has a file open.
#[derive(Debug)]
pub struct FeatureStore {
    file: File,
    path: PathBuf,
    subject: [u8; 32],
    width: usize,
    precision: Precision,
    /// Where each whole entry begins.
    places: HashMap<Key, u64>,
    end: u64,
    damaged: usize,
}

impl FeatureStore {
    /// Opens or begins the file. `subject` is what all entries are features of
    /// (which model, output and preparation); a file of another subject is
    /// begun anew, for its entries can never be asked for again.
    ///
    /// Reads the whole file once, to check it.
    ///
    /// # Errors
    /// `Io`, or `Busy` while another process has it open.
    pub fn open(
        path: &Path,
        subject: Key,
        width: usize,
        precision: Precision,
    ) -> Result<Self, FeatureError> {
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        match file.file().try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FeatureError::Busy(path.into())),
            // A file system without locks: as safe as it can be.
            Err(TryLockError::Error(_)) => {}
        }
        let mut store = Self {
            file,
            path: path.into(),
            subject: subject.0,
            width,
            precision,
            places: HashMap::new(),
            end: HEAD as u64,
            damaged: 0,
        };
        store.recover()?;
        Ok(store)
    }

    /// Numbers a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How many entries were damaged when the file was opened.
    pub fn damaged(&self) -> usize {
        self.damaged
    }

    /// How many rows can be read.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none can.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The keys of all rows.
    pub(super) fn keys(&self) -> HashSet<Key> {
        self.places.keys().copied().collect()
    }

    /// Whether a row is there.
    pub fn contains(&self, key: &Key) -> bool {
        self.places.contains_key(key)
    }

    /// Reads a row into `out`; whether it was there. A row that was damaged
    /// after the file was opened is forgotten and counts as not there.
    ///
    /// # Errors
    /// `Io`; `Width` if `out` has another width than the rows.
    pub fn read(&mut self, key: &Key, out: &mut [f32]) -> Result<bool, FeatureError> {
        self.check_width(out.len())?;
        let Some(&place) = self.places.get(key) else { return Ok(false) };
        self.file.seek(SeekFrom::Start(place))?;
        let mut entry = vec![0; self.entry()];
        self.file.read_exact(&mut entry)?;
        if self.proven(&entry) != Some(*key) {
            self.places.remove(key);
            return Ok(false);
        }
        let numbers = &entry[32..entry.len() - CHECK];
        match self.precision {
            Precision::Half => {
                for (o, b) in out.iter_mut().zip(numbers.chunks_exact(2)) {
                    *o = f16::from_le_bytes([b[0], b[1]]).to_f32();
                }
            }
            Precision::Single => {
                for (o, b) in out.iter_mut().zip(numbers.chunks_exact(4)) {
                    *o = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                }
            }
        }
        Ok(true)
    }

    /// Appends a row. It is with the operating system when this returns, so it
    /// outlives a `kill -9`; it is on the disk after [`FeatureStore::sync`].
    ///
    /// # Errors
    /// `Io`; `Width` if the row has another width.
    pub fn append(&mut self, key: &Key, row: &[f32]) -> Result<(), FeatureError> {
        self.check_width(row.len())?;
        let mut entry = Vec::with_capacity(self.entry());
        entry.extend(key.0);
        match self.precision {
            Precision::Half => {
                entry.extend(row.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()));
            }
            Precision::Single => entry.extend(row.iter().flat_map(|v| v.to_le_bytes())),
        }
        entry.extend(checksum(&self.subject, &entry));
        self.file.seek(SeekFrom::Start(self.end))?;
        // In one call; what a full disk cuts off is overwritten or cut later.
        self.file.write_all(&entry)?;
        self.places.insert(*key, self.end);
        self.end += entry.len() as u64;
        Ok(())
    }

    /// Waits until all rows are on the disk.
    ///
    /// # Errors
    /// `Io`.
    pub fn sync(&self) -> Result<(), FeatureError> {
        Ok(self.file.sync_data()?)
    }

    fn entry(&self) -> usize {
        32 + self.width * self.precision.bytes() + CHECK
    }

    fn check_width(&self, got: usize) -> Result<(), FeatureError> {
        if got == self.width {
            return Ok(());
        }
        Err(FeatureError::Width { path: self.path.clone(), expected: self.width, got })
    }

    fn head(&self) -> Vec<u8> {
        let mut head = MAGIC.to_vec();
        head.extend(self.subject);
        head.extend((self.width as u32).to_le_bytes());
        head.extend((self.precision.bytes() as u32).to_le_bytes());
        head.extend([0; 8]);
        head.extend(checksum(&self.subject, &head));
        head
    }

    /// The key of an entry that agrees with its checksum.
    fn proven(&self, entry: &[u8]) -> Option<Key> {
        let (content, check) = entry.split_at(entry.len() - CHECK);
        (checksum(&self.subject, content) == check)
            .then(|| Key(content[..32].try_into().expect("an entry begins with 32 bytes")))
    }

    fn recover(&mut self) -> Result<(), FeatureError> {
        let wanted = self.head();
        let length = self.file.metadata()?.len();
        let mut head = vec![0; HEAD];
        let whole = length >= HEAD as u64 && self.file.read_exact(&mut head).is_ok();
        if !whole || head != wanted {
            self.damaged = usize::from(length > 0);
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&wanted)?;
            return Ok(());
        }
        let size = self.entry();
        let count = (length as usize - HEAD) / size;
        let mut entry = vec![0; size];
        let mut places = HashMap::with_capacity(count);
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        for i in 0..count {
            reader.read_exact(&mut entry)?;
            match self.proven(&entry) {
                Some(key) => {
                    places.insert(key, (HEAD + i * size) as u64);
                }
                None => self.damaged += 1,
            }
        }
        self.places = places;
        self.end = (HEAD + count * size) as u64;
        if length > self.end {
            self.damaged += 1;
            self.file.set_len(self.end)?;
        }
        Ok(())
    }
}

fn checksum(subject: &[u8; 32], bytes: &[u8]) -> [u8; CHECK] {
    let hash = blake3::keyed_hash(subject, bytes);
    hash.as_bytes()[..CHECK].try_into().expect("a hash is longer")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH: usize = 5;

    fn key(i: usize) -> Key {
        Key::of(&[&i.to_le_bytes()])
    }

    fn row(i: usize) -> Vec<f32> {
        (0..WIDTH).map(|k| (i * WIDTH + k) as f32 * 0.25).collect()
    }

    fn open(path: &Path) -> FeatureStore {
        FeatureStore::open(path, Key::of(&[b"a model"]), WIDTH, Precision::Single).expect("opens")
    }

    /// A file with `count` rows; its bytes.
    fn filled(path: &Path, count: usize) -> Vec<u8> {
        let mut store = open(path);
        (0..count).for_each(|i| store.append(&key(i), &row(i)).expect("appended"));
        store.sync().expect("synced");
        fs_err::read(path).expect("there")
    }

    /// Every row is right or absent; the absent ones can be put back. How many were there?
    fn check_and_refill(path: &Path, count: usize, what: &str) -> usize {
        let mut store = open(path);
        let mut there = 0;
        let mut out = [0.0; WIDTH];
        for i in 0..count {
            if store.read(&key(i), &mut out).expect("readable") {
                assert_eq!(out, row(i)[..], "{what}: row {i} is another's");
                there += 1;
            } else {
                store.append(&key(i), &row(i)).expect("appended");
            }
        }
        drop(store);
        let mut store = open(path);
        for i in 0..count {
            assert!(store.read(&key(i), &mut out).expect("readable"), "{what}: row {i} is lost");
            assert_eq!(out, row(i)[..], "{what}");
        }
        there
    }

    #[test]
    fn a_file_cut_at_any_byte_keeps_what_is_whole() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("deep/er.feat");
        let bytes = filled(&path, 6);
        let size = 32 + WIDTH * 4 + CHECK;
        assert_eq!(bytes.len(), HEAD + 6 * size);
        for length in 0..=bytes.len() {
            fs_err::write(&path, &bytes[..length]).expect("written");
            let there = check_and_refill(&path, 6, &format!("cut at {length}"));
            assert_eq!(there, length.saturating_sub(HEAD) / size, "cut at {length}");
        }
    }

    #[test]
    fn a_flipped_bit_costs_its_row_and_no_other() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.feat");
        let bytes = filled(&path, 4);
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs_err::write(&path, &flipped).expect("written");
            assert_eq!(open(&path).damaged(), 1, "flipped at {at}");
            // The opening before repaired a damaged head; flip again.
            fs_err::write(&path, &flipped).expect("written");
            let there = check_and_refill(&path, 4, &format!("flipped at {at}"));
            assert_eq!(there, if at < HEAD { 0 } else { 3 }, "flipped at {at}");
        }
    }

    #[test]
    fn another_subject_width_or_precision_is_another_file() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.feat");
        filled(&path, 3);
        assert_eq!(open(&path).len(), 3);
        for (subject, width, precision) in [
            (&b"another"[..], WIDTH, Precision::Single),
            (b"a model", WIDTH + 1, Precision::Single),
            (b"a model", WIDTH, Precision::Half),
        ] {
            filled(&path, 3);
            let store = FeatureStore::open(&path, Key::of(&[subject]), width, precision);
            assert!(store.expect("opens").is_empty());
        }
    }

    #[test]
    fn halves_are_near_and_widths_are_checked() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("x.feat");
        let subject = Key::of(&[b"m"]);
        let mut store = FeatureStore::open(&path, subject, 3, Precision::Half).expect("opens");
        let row = [0.123_456, -7.5, 1000.3];
        store.append(&key(0), &row).expect("appended");
        let mut out = [0.0; 3];
        assert!(store.read(&key(0), &mut out).expect("readable"));
        assert!(out.iter().zip(row).all(|(o, v)| (o - v).abs() <= 0.0005 * v.abs()), "{out:?}");
        assert!(!store.read(&key(1), &mut out).expect("readable"));
        let error = store.append(&key(1), &[1.0]).expect_err("too narrow");
        assert!(error.to_string().contains("expected 3 numbers an entry, got 1"), "{error}");
        let busy = FeatureStore::open(&path, subject, 3, Precision::Half).expect_err("locked");
        assert!(matches!(busy, FeatureError::Busy(_)), "{busy}");
    }
}
