//! A NumPy array and, beside it, a line of JSON an item.
//!
//! `NAME.npy` has NumPy's own format 1.0, with a header of 128 bytes. What
//! BLAKE3 says of the numbers and of `NAME.jsonl` is in `NAME.json`; without
//! these two fields (for files that were changed on purpose) nothing is compared.

use std::io::{BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ekphrasis_embed::Space;
use serde::{Deserialize, Serialize};

use super::{BATCH, ExchangeError, FORMAT, Line, Sink, Source, Wanted, partial, vacant};

/// The three files of an export, by the name of the first.
#[derive(Clone)]
struct Files {
    vectors: PathBuf,
    items: PathBuf,
    store: PathBuf,
}

impl Files {
    fn of(vectors: &Path) -> Self {
        Self {
            vectors: vectors.into(),
            items: vectors.with_extension("jsonl"),
            store: vectors.with_extension("json"),
        }
    }
}

const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\x00";
/// Length of the header we write.
const HEADER: usize = 128;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    format: u32,
    space: String,
    dim: usize,
    items: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vectors_blake3: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items_blake3: Option<String>,
}

/// Writes an export; what is not finished is removed.
pub(super) struct Writer {
    store: Part,
    dim: usize,
    count: u64,
    vectors: Part,
    items: Part,
    done: bool,
}

/// A file that is hashed as it is written.
struct Part {
    path: PathBuf,
    file: BufWriter<fs_err::File>,
    hasher: blake3::Hasher,
}

impl Part {
    fn create(path: PathBuf) -> Result<Self, ExchangeError> {
        let file = BufWriter::with_capacity(1 << 20, fs_err::File::create(partial(&path))?);
        Ok(Self { path, file, hasher: blake3::Hasher::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ExchangeError> {
        self.hasher.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    fn publish(&mut self) -> Result<String, ExchangeError> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs_err::rename(partial(&self.path), &self.path)?;
        Ok(self.hasher.finalize().to_string())
    }
}

impl Writer {
    pub(super) fn create(vectors: &Path, dim: usize) -> Result<Self, ExchangeError> {
        let Files { vectors, items, store } = Files::of(vectors);
        for path in [&vectors, &items, &store] {
            vacant(path)?;
        }
        let [vectors, items, store] = [vectors, items, store].map(Part::create);
        let (vectors, items, store) = (vectors?, items?, store?);
        let mut this = Self { store, dim, count: 0, vectors, items, done: false };
        // The count is not known yet, the length is.
        this.vectors.file.write_all(&header(0, dim))?;
        Ok(this)
    }

    pub(super) fn finish(mut self, space: &Space) -> Result<(), ExchangeError> {
        self.vectors.file.seek(SeekFrom::Start(0))?;
        self.vectors.file.write_all(&header(self.count, self.dim))?;
        let store = Store {
            format: FORMAT,
            space: space.id().into(),
            dim: space.dim(),
            items: self.count,
            vectors_blake3: Some(self.vectors.publish()?),
            items_blake3: Some(self.items.publish()?),
        };
        let json = serde_json::to_string_pretty(&store).map_err(std::io::Error::from)?;
        self.store.write((json + "\n").as_bytes())?;
        self.store.publish()?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.done {
            for part in [&self.vectors, &self.items, &self.store] {
                // Half an export is of no use; that it stays is not worse than why.
                let _ = fs_err::remove_file(partial(&part.path));
                let _ = fs_err::remove_file(&part.path);
            }
        }
    }
}

impl Sink for Writer {
    fn put(&mut self, line: Line, vector: &[f32]) -> Result<(), ExchangeError> {
        self.vectors.write(bytemuck::cast_slice(vector))?;
        let json = serde_json::to_string(&line).map_err(std::io::Error::from)?;
        self.items.write((json + "\n").as_bytes())?;
        self.count += 1;
        Ok(())
    }
}

fn header(count: u64, dim: usize) -> Vec<u8> {
    let mut text =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {dim}), }}");
    while MAGIC.len() + 2 + text.len() < HEADER - 1 {
        text.push(' ');
    }
    text.push('\n');
    [MAGIC, &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat()
}

/// Reads an export, from its first item to its last.
pub(super) struct Reader {
    vectors: BufReader<fs_err::File>,
    items: BufReader<fs_err::File>,
    path: PathBuf,
    dim: usize,
    read: u64,
}

fn format(path: &Path, what: impl Into<String>) -> ExchangeError {
    ExchangeError::Format { path: path.into(), what: what.into() }
}

/// Checks space, counts and checksums before anything is imported.
pub(super) fn check(vectors: &Path, space: &Space) -> Result<(), ExchangeError> {
    let Files { vectors, items, store: path } = Files::of(vectors);
    for beside in [&items, &path] {
        if !fs_err::exists(beside)? {
            let what =
                "it is not there; an export has three files, and this one lies beside the vectors";
            return Err(format(beside, what));
        }
    }
    let store: Store = serde_json::from_slice(&fs_err::read(&path)?)
        .map_err(|e| format(&path, format!("{e}; it has to be as `export` writes it")))?;
    if store.format != FORMAT {
        let what = format!("it has format {}, this program reads {FORMAT}", store.format);
        return Err(format(&path, what));
    }
    if (store.space.as_str(), store.dim) != (space.id(), space.dim()) {
        let found = format!("{} ({}-d)", store.space, store.dim);
        return Err(ExchangeError::Space { path, found, expected: space.clone() });
    }
    let mut file = BufReader::new(fs_err::File::open(&vectors)?);
    let shape = read_header(&mut file, &vectors)?;
    if shape != (store.items, store.dim) {
        let what = format!("its shape is {shape:?}, not ({}, {})", store.items, store.dim);
        return Err(format(&vectors, what));
    }
    let length = store.items.checked_mul(store.dim as u64 * 4);
    let length = length.ok_or_else(|| format(&path, "it tells of more items than can be"))?;
    let (there, hash) = hash(file)?;
    if there != length {
        return Err(format(&vectors, format!("it has {there} bytes of numbers, not {length}")));
    }
    let (_, lines) = self::hash(BufReader::new(fs_err::File::open(&items)?))?;
    let place = path;
    for (path, expected, found) in
        [(vectors, store.vectors_blake3, hash), (items, store.items_blake3, lines)]
    {
        if expected.is_some_and(|expected| expected != found) {
            let what = format!(
                "it is not as it was exported (remove its blake3 from {} if it was changed on purpose)",
                place.display()
            );
            return Err(format(&path, what));
        }
    }
    Ok(())
}

/// Length and BLAKE3 of the rest of a file.
fn hash(mut file: impl Read) -> Result<(u64, String), ExchangeError> {
    let mut hasher = blake3::Hasher::new();
    let length = std::io::copy(&mut file, &mut hasher)?;
    Ok((length, hasher.finalize().to_string()))
}

/// Items and dimensions, by the header of an array.
fn read_header(file: &mut impl Read, path: &Path) -> Result<(u64, usize), ExchangeError> {
    let short = |_| format(path, "it is shorter than its header");
    let mut start = [0; 10];
    file.read_exact(&mut start).map_err(short)?;
    if &start[..8] != MAGIC {
        return Err(format(path, "it is no NumPy array of format 1.0"));
    }
    let mut text = vec![0; usize::from(u16::from_le_bytes([start[8], start[9]]))];
    file.read_exact(&mut text).map_err(short)?;
    let text: String =
        String::from_utf8_lossy(&text).chars().filter(|c| !c.is_whitespace()).collect();
    let shape = || {
        let (_, rest) = text.split_once("'shape':(")?;
        let (count, rest) = rest.split_once(',')?;
        let (dim, _) = rest.split_once(')')?;
        Some((count.parse().ok()?, dim.trim_end_matches(',').parse().ok()?))
    };
    let plain = text.contains("'descr':'<f4'") && text.contains("'fortran_order':False");
    shape().filter(|_| plain).ok_or_else(|| {
        let expected = "32-bit little-endian floats, two dimensions, in C order";
        format(path, format!("its header is {text}; expected are {expected}"))
    })
}

impl Reader {
    pub(super) fn open(vectors: &Path, dim: usize) -> Result<Self, ExchangeError> {
        let Files { vectors, items: path, .. } = Files::of(vectors);
        let open = |path: &Path| {
            Ok::<_, ExchangeError>(BufReader::with_capacity(1 << 20, fs_err::File::open(path)?))
        };
        let (mut array, items) = (open(&vectors)?, open(&path)?);
        read_header(&mut array, &vectors)?;
        Ok(Self { vectors: array, items, path, dim, read: 0 })
    }

    fn line(&mut self) -> Result<Option<Line>, ExchangeError> {
        let mut text = String::new();
        let at = self.read + 1;
        let wrong = |what: String| format(&self.path, format!("line {at}: {what}"));
        if self.items.read_line(&mut text).map_err(|e| wrong(e.to_string()))? == 0 {
            return Ok(None);
        }
        let line = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        self.read += 1;
        Ok(Some(line))
    }
}

impl Source for Reader {
    fn next(&mut self, wanted: Wanted) -> Result<Vec<(Line, Vec<f32>)>, ExchangeError> {
        let mut batch = vec![];
        while batch.len() < BATCH {
            let Some(line) = self.line()? else {
                let more = wanted == Wanted::All && !self.vectors.fill_buf()?.is_empty();
                if more {
                    let what = format!("it ends after {} items, before the vectors do", self.read);
                    return Err(format(&self.path, what));
                }
                break;
            };
            let mut vector = vec![];
            if wanted == Wanted::All {
                vector.resize(self.dim, 0.0);
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut vector);
                self.vectors
                    .read_exact(bytes)
                    .map_err(|_| format(&self.path, "it has more lines than there are vectors"))?;
            }
            batch.push((line, vector));
        }
        Ok(batch)
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_numpys() {
        let bytes = header(1_000_000, 384);
        assert_eq!(bytes.len(), HEADER);
        assert_eq!(
            &bytes[..70],
            b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, "
        );
        assert_eq!(bytes.last(), Some(&b'\n'));
        let path = Path::new("x.npy");
        assert_eq!(read_header(&mut &bytes[..], path).expect("read"), (1_000_000, 384));
        let other = |from: &str, to: &str| {
            let text = String::from_utf8_lossy(&bytes[10..]).replace(from, to);
            let all = [&bytes[..8], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat();
            read_header(&mut &all[..], path)
        };
        assert!(other("<f4", "<f4").is_ok());
        for (from, to) in [("<f4", "<f8"), ("False", "True"), (", 384)", ",)"), ("384)", "384, 2)")]
        {
            let error = other(from, to).expect_err("another array").to_string();
            assert!(error.contains("expected are 32-bit"), "{error}");
        }
        assert!(read_header(&mut &bytes[..50], path).is_err());
    }
}
