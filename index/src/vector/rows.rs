//! Which rows of the vector file count in one committed state?
//!
//! [`Rows`] is immutable: a commit makes the next one, which shares every
//! chunk that did not change. A row's checksum is verified when it is first
//! looked at; what fails is left out. Who is left out is found by reading all
//! rows: [`Rows::damaged`].

use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use super::file::RowMap;
use super::graph::Ask;
use super::quantised::Codes;
use super::{VectorFile, cosine};
use crate::filter::Pass;
use crate::topk::Sieve;
use crate::{ItemId, Kind, StoreError};

/// Rows per chunk.
pub(super) const CHUNK: usize = 4096;

const UNKNOWN: u8 = 0;
const GOOD: u8 = 1;
const BAD: u8 = 2;

/// A row that came with a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Added {
    pub(crate) row: u64,
    pub(crate) id: ItemId,
    pub(crate) kind: Kind,
}

/// Of the rows of a chunk, none was checked yet.
fn unchecked() -> Arc<[AtomicU8]> {
    (0..CHUNK).map(|_| AtomicU8::new(UNKNOWN)).collect()
}

/// The rows of one committed state.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    chunks: Vec<Arc<Chunk>>,
    len: u64,
    images: u64,
    texts: u64,
}

#[derive(Clone, Debug)]
struct Chunk {
    map: RowMap,
    /// Whether rows were checked; outlives this state, since rows never change.
    checks: Arc<[AtomicU8]>,
    ids: Vec<ItemId>,
    kinds: Vec<Option<Kind>>,
    living: u64,
    quantised: Arc<Quantised>,
}

/// The rows of a chunk as codes, once it is looked at a second time: a program that
/// asks a single question spends nothing on making them.
#[derive(Debug, Default)]
struct Quantised {
    looked_at: AtomicBool,
    /// Of all rows the chunk had when this was made.
    codes: OnceLock<Codes>,
}

impl Rows {
    pub(crate) fn empty() -> Self {
        Self { chunks: vec![], len: 0, images: 0, texts: 0 }
    }

    /// Lets go of the memory that reading the vectors of `rows` took.
    pub(crate) fn release(&self, rows: Range<u64>) {
        let first = rows.start as usize / CHUNK;
        let chunks = (rows.end as usize).div_ceil(CHUNK).saturating_sub(first);
        self.chunks.iter().skip(first).take(chunks).for_each(|chunk| chunk.map.release());
    }

    /// A state told as a whole: of each row its kind, `None` if it is dead, and its id.
    pub(crate) fn of(
        file: &VectorFile,
        kinds: &[Option<Kind>],
        ids: &[[u8; 16]],
    ) -> Result<Self, StoreError> {
        let mut this = Self { chunks: vec![], len: kinds.len() as u64, images: 0, texts: 0 };
        for (c, (kinds, ids)) in kinds.chunks(CHUNK).zip(ids.chunks(CHUNK)).enumerate() {
            let of_kind = |kind: Kind| kinds.iter().filter(|k| **k == Some(kind)).count() as u64;
            let (images, texts) = (of_kind(Kind::Image), of_kind(Kind::Text));
            this.images += images;
            this.texts += texts;
            this.chunks.push(Arc::new(Chunk {
                map: file.map((c * CHUNK) as u64, kinds.len())?,
                checks: unchecked(),
                ids: ids.iter().map(|id| ItemId::from_bytes(*id)).collect(),
                kinds: kinds.to_vec(),
                living: images + texts,
                quantised: Arc::default(),
            }));
        }
        Ok(this)
    }

    /// The state after a commit: `len` rows in all, `added` alive, `dead` not any more.
    pub(crate) fn next(
        &self,
        file: &VectorFile,
        len: u64,
        added: &[Added],
        dead: &[u64],
    ) -> Result<Self, StoreError> {
        let mut next = self.clone();
        let count = usize::try_from(len).unwrap_or(usize::MAX).div_ceil(CHUNK);
        for c in (self.len as usize / CHUNK)..count {
            let first = (c * CHUNK) as u64;
            let rows = CHUNK.min((len - first) as usize);
            let map = file.map(first, rows)?;
            if let Some(chunk) = next.chunks.get_mut(c) {
                let chunk = Arc::make_mut(chunk);
                chunk.map = map;
                chunk.ids.resize(rows, ItemId::from_bytes([0; 16]));
                chunk.kinds.resize(rows, None);
            } else {
                next.chunks.push(Arc::new(Chunk {
                    map,
                    checks: unchecked(),
                    ids: vec![ItemId::from_bytes([0; 16]); rows],
                    kinds: vec![None; rows],
                    living: 0,
                    quantised: Arc::default(),
                }));
            }
        }
        next.len = len;
        for &row in dead {
            next.set(row, None);
        }
        for a in added {
            next.set(a.row, Some((a.id, a.kind)));
        }
        for chunk in next.chunks.iter_mut().skip(self.len as usize / CHUNK) {
            Arc::make_mut(chunk).quantise_more();
        }
        Ok(next)
    }

    fn set(&mut self, row: u64, state: Option<(ItemId, Kind)>) {
        let (c, i) = (row as usize / CHUNK, row as usize % CHUNK);
        let Some(chunk) = self.chunks.get_mut(c).map(Arc::make_mut) else { return };
        let Some(kind) = chunk.kinds.get_mut(i) else { return };
        let old = std::mem::replace(kind, state.map(|s| s.1));
        if let Some((id, _)) = state {
            chunk.ids[i] = id;
        }
        for (kind, by) in [(old, -1), (state.map(|s| s.1), 1)] {
            let counter = match kind {
                Some(Kind::Image) => &mut self.images,
                Some(Kind::Text) => &mut self.texts,
                None => continue,
            };
            *counter = counter.saturating_add_signed(by);
            chunk.living = chunk.living.saturating_add_signed(by);
        }
    }

    /// Rows, dead ones included.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Living rows that `pass` lets through.
    pub(crate) fn count(&self, pass: &Pass) -> u64 {
        match (pass.rows(), pass.kind()) {
            (None, None) => self.images + self.texts,
            (None, Some(Kind::Image)) => self.images,
            (None, Some(Kind::Text)) => self.texts,
            (Some(rows), _) => {
                let lives = |&row: &u64| self.live(row).is_some_and(|(_, k)| pass.lets(row, k));
                rows.iter(0).take_while(|row| *row < self.len).filter(lives).count() as u64
            }
        }
    }

    /// Living rows among `from..to`.
    pub(crate) fn living(&self, from: u64, to: u64) -> u64 {
        let of_chunk = |c: usize| {
            let (first, chunk) = ((c * CHUNK) as u64, &self.chunks[c]);
            let inside =
                |row: u64| row.saturating_sub(first).min(chunk.kinds.len() as u64) as usize;
            match (inside(from), inside(to)) {
                (0, end) if end == chunk.kinds.len() => chunk.living,
                (start, end) if start >= end => 0,
                (start, end) => chunk.kinds[start..end].iter().flatten().count() as u64,
            }
        };
        let last = to.min(self.len).div_ceil(CHUNK as u64) as usize;
        ((from / CHUNK as u64) as usize..last).map(of_chunk).sum()
    }

    /// Numbers in a vector; unknown as long as there are no rows.
    pub(crate) fn dim(&self) -> Option<usize> {
        self.chunks.first().map(|chunk| chunk.map.dim())
    }

    /// About how many living rows `pass` lets through, without looking at each: as if
    /// death and kind had nothing to do with the rows it names.
    pub(crate) fn estimate(&self, pass: &Pass) -> u64 {
        let Some(rows) = pass.rows() else { return self.count(pass) };
        let living = self.count(&Pass::new(pass.kind(), None)) as f64;
        (rows.count() as f64 * living / (self.len.max(1) as f64)).ceil() as u64
    }

    /// The first `limit` ids after `after` of living rows that `pass`, which names
    /// its rows, lets through; ascending.
    pub(crate) fn first_ids(
        &self,
        pass: &Pass,
        after: Option<ItemId>,
        limit: usize,
    ) -> Vec<ItemId> {
        let rows = pass.rows().into_iter().flat_map(|rows| rows.iter(0));
        let id_of = |row| self.live(row).filter(|(_, kind)| pass.lets(row, *kind)).map(|l| l.0);
        let wanted = rows.take_while(|row| *row < self.len).filter_map(id_of);
        let mut ids: Vec<ItemId> = wanted.filter(|id| Some(*id) > after).collect();
        if limit < ids.len() {
            ids.select_nth_unstable(limit);
            ids.truncate(limit);
        }
        ids.sort_unstable();
        ids
    }

    /// The `count` living rows of a kind with the smallest ids; ascending by id.
    pub(crate) fn first_of(&self, kind: Kind, count: usize) -> Vec<u64> {
        let mut smallest = BinaryHeap::with_capacity(count + 1);
        for row in 0..self.len {
            let Some((id, _)) = self.live(row).filter(|live| live.1 == kind) else { continue };
            if smallest.len() < count || smallest.peek().is_some_and(|(last, _)| id < *last) {
                smallest.push((id, row));
            }
            if smallest.len() > count {
                smallest.pop();
            }
        }
        smallest.into_sorted_vec().into_iter().map(|(_, row)| row).collect()
    }

    /// Whose row this is, if it lives.
    pub(crate) fn live(&self, row: u64) -> Option<(ItemId, Kind)> {
        let (c, i) = (usize::try_from(row).ok()? / CHUNK, row as usize % CHUNK);
        let chunk = self.chunks.get(c)?;
        Some((*chunk.ids.get(i)?, (*chunk.kinds.get(i)?)?))
    }

    /// A row's vector, dead or alive, unless it is damaged. For reading many.
    pub(crate) fn vector(&self, row: u64) -> Option<&[f32]> {
        let (c, i) = (usize::try_from(row).ok()? / CHUNK, row as usize % CHUNK);
        self.chunks.get(c)?.vector(i)
    }

    /// As [`Rows::vector`], for reading a few here and there; into `buffer`, where that
    /// takes less memory.
    pub(crate) fn read<'a>(&'a self, row: u64, buffer: &'a mut Vec<f32>) -> Option<&'a [f32]> {
        let (c, i) = (usize::try_from(row).ok()? / CHUNK, row as usize % CHUNK);
        self.chunks.get(c)?.read(i, buffer)
    }

    /// The checksum of a row as it lies in the file, right or not.
    pub(crate) fn stored_crc(&self, row: u64) -> Option<u32> {
        let (c, i) = (usize::try_from(row).ok()? / CHUNK, row as usize % CHUNK);
        self.chunks.get(c)?.map.stored_crc(i)
    }

    /// Whose living rows are damaged or missing. Reads every one from the file anew.
    pub(crate) fn damaged(&self, file: &VectorFile) -> Result<Vec<ItemId>, StoreError> {
        let mut damaged = vec![];
        for (c, chunk) in self.chunks.iter().enumerate() {
            // Mapped now, so that a file shortened since it was opened is seen for what it is.
            let map = file.map((c * CHUNK) as u64, chunk.ids.len())?;
            let living = chunk.kinds.iter().zip(&chunk.ids).enumerate();
            damaged.extend(
                living
                    .filter(|&(i, (kind, id))| kind.is_some() && !map.check(i, Some(*id)))
                    .map(|(_, (_, id))| *id),
            );
        }
        Ok(damaged)
    }

    /// Calls `found` with id, row and vector of every undamaged living row of
    /// chunk `c` from row `from` on that `pass` lets through.
    pub(crate) fn each_in_chunk(
        &self,
        c: usize,
        from: u64,
        pass: &Pass,
        mut found: impl FnMut(ItemId, u64, &[f32]),
    ) {
        let Some(chunk) = self.chunks.get(c) else { return };
        let first = (c * CHUNK) as u64;
        let skip = from.saturating_sub(first) as usize;
        let mut look = |i: usize| {
            if let Some(Some(kind)) = chunk.kinds.get(i)
                && pass.lets(first + i as u64, *kind)
                && let Some(vector) = chunk.vector(i)
            {
                found(chunk.ids[i], first + i as u64, vector);
            }
        };
        match pass.rows() {
            None => (skip..chunk.kinds.len()).for_each(look),
            // Only those that may be found are looked at.
            Some(rows) => rows
                .iter(first + skip as u64)
                .take_while(|row| *row < first + CHUNK as u64)
                .for_each(|row| look((row - first) as usize)),
        }
    }

    /// Offers `sieve` every undamaged living row of chunk `c` from row `from` on that
    /// may be found and that may be of interest, but for those in `without`.
    pub(super) fn sift_chunk(
        &self,
        c: usize,
        from: u64,
        ask: &Ask<'_>,
        without: &[u64],
        sieve: &mut Sieve,
    ) {
        let Some(chunk) = self.chunks.get(c) else { return };
        let first = (c * CHUNK) as u64;
        let skip = from.saturating_sub(first) as usize;
        match chunk.codes(ask.pass) {
            Some(codes) if skip < codes.len() => {
                let against = ask.codes.against(codes.block(), 0.0);
                let least = sieve.floor();
                against.each_reaching(skip, codes.len(), least, |i, scope| {
                    let row = first + i as u64;
                    if let Some(Some(kind)) = chunk.kinds.get(i)
                        && ask.pass.lets(row, *kind)
                        && !without.contains(&row)
                    {
                        sieve.offer(row, scope.lower, scope.upper);
                    }
                    sieve.floor()
                });
            }
            Some(_) => {}
            None => self.each_in_chunk(c, from, ask.pass, |_, row, vector| {
                if !without.contains(&row) {
                    let score = cosine(ask.query, vector);
                    sieve.offer(row, score, score);
                }
            }),
        }
    }

    /// How many chunks are known as codes, and how many there are.
    #[cfg(test)]
    pub(super) fn chunks_with_codes(&self) -> (usize, usize) {
        let made = |chunk: &&Arc<Chunk>| {
            chunk.quantised.codes.get().is_some_and(|codes| codes.len() == chunk.ids.len())
        };
        (self.chunks.iter().filter(made).count(), self.chunks.len())
    }

    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
}

impl Chunk {
    /// The codes of all rows, unless it is not yet worth making them, or few rows will be asked for.
    fn codes(&self, pass: &Pass) -> Option<&Codes> {
        let first_look = !self.quantised.looked_at.swap(true, Ordering::Relaxed);
        if pass.rows().is_some() {
            return None;
        }
        let known = self.quantised.codes.get();
        if known.is_some() || first_look || !Codes::can(self.map.dim()) {
            return known;
        }
        // Dead ones as well: they may live in an older state, which shares the codes.
        let all = || Codes::of(self.map.dim(), (0..self.kinds.len()).map(|i| self.vector(i)));
        Some(self.quantised.codes.get_or_init(all))
    }

    /// Adds rows that came in since to the codes, if those are in use.
    fn quantise_more(&mut self) {
        // Asked once: a reader of the former rows may make them any moment.
        let mut codes = match self.quantised.codes.get() {
            Some(codes) if codes.len() == self.kinds.len() => return,
            Some(codes) => codes.clone(),
            None => {
                let looked_at = AtomicBool::new(self.quantised.looked_at.load(Ordering::Relaxed));
                self.quantised = Arc::new(Quantised { looked_at, codes: OnceLock::new() });
                return;
            }
        };
        for i in codes.len()..self.kinds.len() {
            codes.push(self.vector(i));
        }
        let more = Quantised { looked_at: AtomicBool::new(true), codes: codes.into() };
        self.quantised = Arc::new(more);
    }

    fn vector(&self, i: usize) -> Option<&[f32]> {
        let id = self.kinds.get(i)?.is_some().then(|| self.ids[i]);
        let good = self.is_good(i, || i < self.map.rows() && self.map.check(i, id))?;
        good.then(|| self.map.values(i))
    }

    fn read<'a>(&'a self, i: usize, buffer: &'a mut Vec<f32>) -> Option<&'a [f32]> {
        let id = self.kinds.get(i)?.is_some().then(|| self.ids[i]);
        let unknown = self.checks.get(i)?.load(Ordering::Relaxed) == UNKNOWN;
        // What could not be read now may be another time; only what was read is damaged for good.
        let (values, right) = self.map.read(i, unknown, id, buffer)?;
        self.is_good(i, || right)?.then_some(values)
    }

    /// Whether row `i` is undamaged; `look` tells it of one that nobody has looked at.
    fn is_good(&self, i: usize, look: impl FnOnce() -> bool) -> Option<bool> {
        // Relaxed: the flag only spares work; two threads that check at once agree.
        let check = self.checks.get(i)?;
        Some(match check.load(Ordering::Relaxed) {
            UNKNOWN => {
                let good = look();
                check.store(if good { GOOD } else { BAD }, Ordering::Relaxed);
                good
            }
            known => known == GOOD,
        })
    }
}
