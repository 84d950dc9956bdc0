//! How is a store of many items opened without reading all of them?
//!
//! `heads-0001.ekh` says of every row whose it is, as of one commit. It is a
//! projection: what was committed since is read from the catalogue, and the sum is
//! compared with what the catalogue says of itself (how many items, and the XOR of
//! their hashes), so a file of another past, a lagging one and a damaged one are
//! either brought up to date or passed over. Then all items are read.
//!
//! A 64-byte header (magic `EKHEADS\0`, version, generation, CRC-32 of the space
//! id, CRC-32 of the body, commit u64, rows u64, items u64, their XOR, zeros,
//! CRC-32 of the header) and for each row its kind (a byte: 0 picture, 1 text, 2
//! dead), then for each its id (16 bytes), then for each its hash (8). All
//! little-endian.
//!
//! What opening does not read it does not check. So before a question whose
//! answer a vanished item would shorten unseen (walking through all, an id that is
//! not found), all items are read once: see [`Inner::check_once`].

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use ekphrasis_embed::Space;
use memmap2::{Mmap, MmapOptions};

use super::{Generation, Inner, lock};
use crate::catalogue::{Catalogue, State};
use crate::disk::{self, Disk};
use crate::filter::Pass;
use crate::vector::{Rows, VectorFile};
use crate::{Kind, Seq, StoreError};

const MAGIC: &[u8; 8] = b"EKHEADS\0";
const VERSION: u32 = 1;
const HEADER: usize = 64;
/// Bytes of a row: kind, id, hash.
const ROW: usize = 1 + 16 + 8;
const DEAD: u8 = 2;

/// Which state was last written, and how much it had.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Saved {
    generation: u32,
    seq: Seq,
    rows: u64,
    live: u64,
}

/// The file's content, checked, where the system has it.
struct Heads {
    map: Mmap,
    seq: Seq,
    rows: usize,
    items: u64,
    digest: i64,
}

pub(super) fn path(dir: &Path, generation: u32) -> PathBuf {
    dir.join(format!("heads-{generation:04}.ekh"))
}

fn start(space: &Space, generation: u32) -> [u8; 20] {
    let mut start = [0; 20];
    start[..8].copy_from_slice(MAGIC);
    let numbers = [VERSION, generation, crc32fast::hash(space.id().as_bytes())];
    for (place, number) in start[8..].chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    start
}

/// Writes the heads of a state, every one of them checked.
fn save(
    disk: &dyn Disk,
    dir: &Path,
    space: &Space,
    catalogue: &Catalogue,
    state: &State,
) -> Result<(), StoreError> {
    let rows = state.rows as usize;
    let mut body = vec![0; rows * ROW];
    let (kinds, rest) = body.split_at_mut(rows);
    let (ids, hashes) = rest.split_at_mut(rows * 16);
    kinds.fill(DEAD);
    catalogue.heads(state, None, |head| {
        // The catalogue has compared the row with the number of rows.
        let row = head.row as usize;
        kinds[row] = match head.kind {
            Kind::Image => 0,
            Kind::Text => 1,
        };
        ids[row * 16..][..16].copy_from_slice(&head.id.to_bytes());
        hashes[row * 8..][..8].copy_from_slice(&head.head.to_le_bytes());
    })?;
    let mut header = [0; HEADER];
    header[..20].copy_from_slice(&start(space, state.generation));
    header[20..24].copy_from_slice(&crc32fast::hash(&body).to_le_bytes());
    let numbers = [state.seq, state.rows, state.items, state.digest as u64];
    for (place, number) in header[24..56].chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    let crc = crc32fast::hash(&header[..HEADER - 4]);
    header[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
    disk::publish(disk, &path(dir, state.generation), &[&header, &body])?;
    Ok(disk.sync_dir(dir)?)
}

/// The numbers of a header: commit, rows, items, XOR; and the body's checksum.
fn read_header(header: &[u8], space: &Space, generation: u32) -> Result<([u64; 4], u32), String> {
    let Some((header, _)) = header.split_first_chunk::<HEADER>() else {
        return Err("it is shorter than its header".into());
    };
    if header[HEADER - 4..] != crc32fast::hash(&header[..HEADER - 4]).to_le_bytes() {
        return Err("the checksum of its header is wrong".into());
    }
    if header[..20] != start(space, generation) {
        return Err("it is of another version, space or generation".into());
    }
    let mut numbers = [0; 4];
    for (number, bytes) in numbers.iter_mut().zip(header[24..56].as_chunks::<8>().0) {
        *number = u64::from_le_bytes(*bytes);
    }
    Ok((numbers, u32::from_le_bytes([header[20], header[21], header[22], header[23]])))
}

/// Up to which commit the file in `dir` says it goes; 0 if there is none of use.
pub(super) fn claims(dir: &Path, space: &Space, generation: u32) -> Seq {
    let mut header = [0; HEADER];
    let read = fs_err::File::open(path(dir, generation))
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut header));
    let numbers = read.ok().and_then(|()| read_header(&header, space, generation).ok());
    numbers.map_or(0, |(numbers, _)| numbers[0])
}

impl Heads {
    /// Maps the file and checks every number in it.
    fn read(dir: &Path, space: &Space, generation: u32) -> Result<Self, String> {
        let file = fs_err::File::open(path(dir, generation)).map_err(|e| e.to_string())?;
        // SAFETY: the file is never written after it was moved to its name, and nobody
        // else may touch the files of a store. (See `file.rs` on what happens if it is cut.)
        let map = unsafe { MmapOptions::new().populate().map(file.file()) };
        let map = map.map_err(|e| e.to_string())?;
        let ([seq, rows, items, digest], crc) = read_header(&map, space, generation)?;
        let body = &map[HEADER..];
        let rows =
            usize::try_from(rows).ok().filter(|rows| rows.checked_mul(ROW) == Some(body.len()));
        let Some(rows) = rows.filter(|_| crc32fast::hash(body) == crc) else {
            return Err("the length or the checksum of its body is wrong".into());
        };
        Ok(Self { map, seq, rows, items, digest: digest as i64 })
    }

    /// Of each row, `None` for a dead one; nothing if one is of no known kind.
    fn kinds(&self) -> Option<Vec<Option<Kind>>> {
        let kind = |&byte: &u8| match byte {
            0 => Some(Some(Kind::Image)),
            1 => Some(Some(Kind::Text)),
            DEAD => Some(None),
            _ => None,
        };
        self.map[HEADER..][..self.rows].iter().map(kind).collect()
    }

    fn ids(&self) -> &[[u8; 16]] {
        self.map[HEADER + self.rows..][..self.rows * 16].as_chunks().0
    }

    fn hash_of(&self, row: usize) -> i64 {
        let hashes = &self.map[HEADER + self.rows * 17..];
        i64::from_le_bytes(hashes.as_chunks().0[row])
    }
}

/// Whether the file in `dir` is damaged, and how.
pub(super) fn damage(dir: &Path, space: &Space, generation: u32) -> Option<String> {
    if path(dir, generation).exists() { Heads::read(dir, space, generation).err() } else { None }
}

/// The rows of `state`, if the file helps to know them.
pub(super) fn rows_of(
    dir: &Path,
    space: &Space,
    vectors: &VectorFile,
    catalogue: &Catalogue,
    state: &State,
) -> Result<Option<Rows>, StoreError> {
    let Ok(heads) = Heads::read(dir, space, state.generation) else { return Ok(None) };
    if heads.seq > state.seq || heads.rows as u64 > state.rows {
        return Ok(None);
    }
    let Some(mut kinds) = heads.kinds() else { return Ok(None) };
    let (mut items, mut digest, mut added) = (heads.items, heads.digest, vec![]);
    if heads.seq < state.seq {
        for row in catalogue.dead_after(heads.seq)? {
            let row = row as usize;
            if kinds.get_mut(row).is_some_and(|kind| kind.take().is_some()) {
                digest ^= heads.hash_of(row);
                items = items.wrapping_sub(1);
            }
        }
        catalogue.heads(state, Some(heads.seq), |head| {
            digest ^= head.head;
            items = items.wrapping_add(1);
            added.push(head.added());
        })?;
    }
    let rows = Rows::of(vectors, &kinds, heads.ids())?.next(vectors, state.rows, &added, &[])?;
    let same = (items, digest) == (state.items, state.digest)
        && rows.count(&Pass::default()) == state.items;
    Ok(same.then_some(rows))
}

impl Inner {
    /// Reads all items once, if opening did not, so that one that vanished from the
    /// catalogue is an error and no shorter answer.
    pub(super) fn check_once(&self) -> Result<(), StoreError> {
        if !self.checked.load(Ordering::Acquire) {
            self.read(|c| c.heads(&c.state()?, None, |_| ()))?;
            self.checked.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Whether so much changed that opening would read long what is not in the file.
    pub(super) fn heads_due(&self) -> bool {
        let snapshot = self.snapshot();
        let saved = *lock(&self.saved);
        let (rows, live) = (snapshot.rows.len(), snapshot.rows.count(&Pass::default()));
        let dead = (rows - live).saturating_sub(saved.rows - saved.live);
        let changed = if saved.generation == snapshot.generation.number {
            rows.saturating_sub(saved.rows) + dead
        } else {
            rows
        };
        live >= self.options.heads_from as u64
            && changed > (rows / 4).max(self.options.heads_from as u64)
    }

    /// Writes the file for the newest state. What fails costs the next opening some time.
    pub(super) fn save_heads(&self) {
        let snapshot = self.snapshot();
        let mut saved = lock(&self.saved);
        let live = snapshot.rows.count(&Pass::default());
        let same = (saved.generation, saved.seq) == (snapshot.generation.number, snapshot.seq);
        if same || live < self.options.heads_from as u64 {
            return;
        }
        let written = self.read(|c| {
            let state = c.state()?;
            save(&*self.disk, &self.dir, &self.space, c, &state)?;
            Ok(Saved {
                generation: state.generation,
                seq: state.seq,
                rows: state.rows,
                live: state.items,
            })
        });
        if let Ok(written) = written {
            *saved = written;
        }
    }
}

impl Generation {
    /// What the file in `dir` has of a state, to know how soon it is written again.
    pub(super) fn saved(dir: &Path, space: &Space, state: &State) -> Saved {
        let seq = claims(dir, space, state.generation);
        if seq != state.seq || seq == 0 {
            return Saved::default();
        }
        Saved { generation: state.generation, seq, rows: state.rows, live: state.items }
    }
}
