//! How is one stretch of rows searched by its graph, straight from its file?

use std::io::ErrorKind;
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use ekphrasis_embed::Space;
use memmap2::{Mmap, MmapMut, MmapOptions};

use super::super::quantised::{QueryCodes, Scope};
use super::super::{Rows, cosine};
use super::layout::{Head, Layout, Part, words};
use super::noted::Noted;
use super::sketched::Sketched;
use super::trust::{BLOCK, Blocks, Checks, Damaged, Proven, Trust};
use super::walk::{Scratch, View, walk};
use crate::Seq;
use crate::disk::{self, Disk};
use crate::filter::Pass;
use crate::topk::{Scored, Sieve, TopK};

/// Blocks that each search checks in passing until all are: some megabytes a second at least.
const SCRUB: usize = 16;
/// Searches that do not wait for each other's memory.
const POOLED: usize = 64;

/// The graph of rows that follow each other, immutable.
#[derive(Debug)]
pub(crate) struct Segment {
    head: Head,
    layout: Layout,
    dim: usize,
    bytes: Bytes,
    checks: Checks,
    scratch: Mutex<Vec<Scratch>>,
    /// Which nodes are named by filters.
    pub(super) noted: Noted,
    /// Of each part.
    sketched: Vec<Sketched>,
    /// Where each row's code is, once someone asks for rows by name.
    pub(super) nodes_of: OnceLock<Vec<u32>>,
}

/// A segment's file, or what will be it.
#[derive(Debug)]
enum Bytes {
    File(Mmap),
    Memory(MmapMut),
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Self::File(map) => map,
            Self::Memory(map) => map,
        }
    }
}

/// What is asked of a graph.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) rows: &'a Rows,
    pub(crate) query: &'a [f32],
    pub(crate) codes: &'a QueryCodes,
    pub(crate) pass: &'a Pass,
}

impl Ask<'_> {
    /// A row with its score, if it may be found. `buffer` is for its vector.
    pub(crate) fn score(&self, row: u64, buffer: &mut Vec<f32>) -> Option<Scored> {
        let (id, kind) = self.rows.live(row)?;
        if !self.pass.lets(row, kind) {
            return None;
        }
        let score = cosine(self.query, self.rows.read(row, buffer)?);
        Some(Scored { score, id, row })
    }
}

impl Segment {
    /// The name of the file of a segment from row `first` on.
    pub(super) fn name(generation: u32, first: u64) -> String {
        match first {
            0 => format!("graph-{generation:04}.ekg"),
            _ => format!("graph-{generation:04}-{first:010}.ekg"),
        }
    }

    /// A segment that was made in memory. Its header and table are still to be written.
    pub(super) fn of(head: Head, layout: Layout, dim: usize, image: MmapMut) -> Self {
        let (bytes, checks) = (Bytes::Memory(image), Checks::proven());
        Self::with(head, layout, dim, bytes, checks)
    }

    fn with(head: Head, layout: Layout, dim: usize, bytes: Bytes, checks: Checks) -> Self {
        let sketched = head.parts.iter().map(|_| Sketched::default()).collect();
        let (scratch, noted, nodes_of) = (Mutex::default(), Noted::default(), OnceLock::new());
        Self { head, layout, dim, bytes, checks, scratch, noted, sketched, nodes_of }
    }

    /// Opens the file at `path`; reads its header and the table of checksums.
    ///
    /// # Errors
    /// A sentence on what is wrong with the file.
    pub(super) fn open(path: &Path, space: &Space, generation: u32) -> Result<Self, String> {
        let file = fs_err::File::open(path).map_err(|e| e.to_string())?;
        let metadata = file.metadata().map_err(|e| e.to_string())?;
        if !metadata.is_file() || metadata.len() < BLOCK as u64 {
            return Err("shorter than its header".into());
        }
        // SAFETY: the file is never written after it was moved to its name, and nobody
        // else may touch the files of a store. (See `file.rs` on what happens if it is cut.)
        let map = unsafe { MmapOptions::new().map(file.file()) }.map_err(|e| e.to_string())?;
        let (head, table) = Head::decode(&map[..BLOCK], space, generation)?;
        let layout = Layout::of(&head.parts, space.dim());
        if map.len() != layout.body.end {
            return Err(format!("{} bytes long instead of {}", map.len(), layout.body.end));
        }
        if crc32fast::hash(&map[layout.table.clone()]) != table {
            return Err("the checksum of its table is wrong".into());
        }
        let checks = Checks::new(layout.body.len() / BLOCK);
        let (dim, bytes) = (space.dim(), Bytes::File(map));
        Ok(Self::with(head, layout, dim, bytes, checks))
    }

    /// Writes the segment beside its final name, makes it durable and moves it there,
    /// over what was there.
    pub(super) fn save(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        space: &Space,
        generation: u32,
    ) -> std::io::Result<()> {
        let body = &self.bytes.all()[self.layout.body.clone()];
        let mut table: Vec<u8> =
            body.chunks(BLOCK).flat_map(|b| super::trust::checksum(b).to_le_bytes()).collect();
        table.resize(self.layout.table.len(), 0);
        let header = self.head.encode(space, generation, crc32fast::hash(&table));
        let path = dir.join(Self::name(generation, self.head.first));
        disk::publish(disk, &path, &[&header, &table, body])?;
        disk.sync_dir(dir)
    }

    /// Rows from here on, and before [`Segment::end`], are covered.
    pub(crate) fn first(&self) -> u64 {
        self.head.first
    }

    /// Rows from here on are not covered.
    pub(crate) fn end(&self) -> u64 {
        self.head.end
    }

    /// The commit it was built of.
    pub(crate) fn seq(&self) -> Seq {
        self.head.seq
    }

    /// How many rows lived when it was built.
    pub(crate) fn size(&self) -> usize {
        self.head.parts.iter().map(|part| part.nodes + part.twins).sum()
    }

    /// Whether it was built of these very rows, at commit `seq` or before: not of
    /// commits that were lost since and whose rows were written anew.
    pub(super) fn fits(&self, rows: &Rows, seq: Seq) -> bool {
        let head = &self.head;
        head.end <= rows.len() && head.seq <= seq && head.last == last_crc(rows, head.end)
    }

    /// Whether everything in it is known to be right.
    pub(super) fn is_trusted(&self) -> bool {
        self.checks.is_proven()
    }

    /// Whether it is read from a file.
    pub(super) fn has_file(&self) -> bool {
        matches!(self.bytes, Bytes::File(_))
    }

    /// Whether all of it was found right.
    #[cfg(test)]
    pub(super) fn is_proven(&self) -> bool {
        self.checks.is_proven()
    }

    /// Whether something in it was found damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.checks.is_damaged()
    }

    fn body(&self) -> &[u8] {
        &self.bytes.all()[self.layout.body.clone()]
    }

    pub(super) fn blocks(&self) -> Blocks<'_> {
        let checksums = words(&self.bytes.all()[self.layout.table.clone()]);
        let body = self.body();
        Blocks { body, checksums: &checksums[..body.len() / BLOCK], checks: &self.checks }
    }

    /// Checks everything, as it lies in the file now.
    ///
    /// # Errors
    /// `Damaged` if anything is.
    pub(super) fn verify(&self) -> Result<(), Damaged> {
        match self.bytes {
            Bytes::File(_) => self.blocks().verify(),
            Bytes::Memory(_) => Ok(()),
        }
    }

    /// The parts that `pass` may let something through of, ready to be read.
    pub(super) fn pieces<'a>(&'a self, pass: &'a Pass) -> impl Iterator<Item = Piece<'a>> {
        let parts = self.head.parts.iter().zip(&self.layout.sections).zip(&self.sketched);
        parts.filter(|((part, _), _)| pass.kind().is_none_or(|kind| kind == part.kind)).map(
            |((part, sections), sketched)| {
                let body = self.body();
                let section = |range: &Range<usize>| words(&body[range.clone()]);
                Piece {
                    part,
                    view: part.view(sections, self.dim, body),
                    rows: section(&sections.rows),
                    twin_nodes: section(&sections.twin_nodes),
                    twin_rows: section(&sections.twin_rows),
                    sketched,
                }
            },
        )
    }

    /// Whether any of it has sketches.
    pub(super) fn has_sketches(&self) -> bool {
        self.sketched.iter().any(Sketched::is_made)
    }

    /// Whether rows that a filter names are found by sketches here, or are to be scanned. `others`:
    /// whether some of the graph are found by sketches already.
    ///
    /// # Errors
    /// `Damaged` if something that was read is.
    pub(super) fn is_sketched(&self, others: bool, pass: &Pass) -> Result<bool, Damaged> {
        let blocks = self.blocks();
        let mut all = true;
        for piece in self.pieces(pass) {
            all &= piece.sketched.is_ready(others, &piece, &blocks)?;
        }
        Ok(all)
    }

    /// Adds to `top` the best of `keep` rows of each kind near the query, or the best of those
    /// that a filter names; `false` if these are to be scanned.
    ///
    /// # Errors
    /// `Damaged` if something that was read is; `top` may have got something by then.
    pub(crate) fn search(
        &self,
        ask: &Ask<'_>,
        keep: usize,
        top: &mut TopK,
    ) -> Result<bool, Damaged> {
        if self.checks.is_proven() {
            return self.search_trusting(ask, keep, top, &Proven);
        }
        let blocks = self.blocks();
        blocks.scrub(SCRUB)?;
        self.search_trusting(ask, keep, top, &blocks)
    }

    fn search_trusting(
        &self,
        ask: &Ask<'_>,
        keep: usize,
        top: &mut TopK,
        trust: &impl Trust,
    ) -> Result<bool, Damaged> {
        let pooled = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = pooled.unwrap_or_default();
        let mut enough = true;
        for piece in self.pieces(ask.pass) {
            enough = self.search_piece(ask, &piece, keep, &mut scratch, top, trust)?;
            if !enough {
                break;
            }
        }
        let mut pool = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < POOLED {
            pool.push(scratch);
        }
        Ok(enough)
    }

    /// Adds to `top` the best rows of a piece; `false` if those that a filter names are to be
    /// scanned.
    fn search_piece(
        &self,
        ask: &Ask<'_>,
        piece: &Piece<'_>,
        keep: usize,
        scratch: &mut Scratch,
        top: &mut TopK,
        trust: &impl Trust,
    ) -> Result<bool, Damaged> {
        let Some(named) = ask.pass.named() else {
            walk(&piece.view, ask.codes, keep, scratch, trust)?;
            self.rescore(ask, piece, scratch, top, trust)?;
            return Ok(true);
        };
        let nodes = self.nodes_named(piece, named, trust)?;
        if nodes.count() == 0 {
            return Ok(true);
        }
        self.search_sketched(ask, piece, &nodes, &mut scratch.vector, top, trust)
    }

    /// Compares what a walk found with the vectors themselves, the likeliest first, as
    /// long as that may change the best.
    fn rescore(
        &self,
        ask: &Ask<'_>,
        piece: &Piece<'_>,
        scratch: &mut Scratch,
        top: &mut TopK,
        trust: &impl Trust,
    ) -> Result<(), Damaged> {
        trust.in_numbers(piece.view.block.centre)?;
        let against = ask.codes.against(piece.view.block, 0.0);
        let mut buffer = std::mem::take(&mut scratch.vector);
        for (node, likeness) in scratch.found() {
            let hopeless = against.hardly_above(node as usize, likeness) + piece.part.spread;
            if top.worst().is_some_and(|worst| hopeless < worst.score) {
                break;
            }
            let row = &piece.rows[node as usize..][..1];
            trust.in_words(row)?;
            for row in row.iter().chain(piece.twins_of(node, trust)?) {
                if let Some(scored) = ask.score(self.head.first + u64::from(*row), &mut buffer) {
                    top.push(scored);
                }
            }
        }
        scratch.vector = buffer;
        Ok(())
    }

    /// How many nodes there are to [`Segment::sift`].
    pub(crate) fn nodes(&self) -> usize {
        self.head.parts.iter().map(|part| part.nodes).sum()
    }

    /// Offers `sieve` the rows of nodes `from..to` that may be of interest, but for those in
    /// `without`. Nodes of all parts are counted through.
    ///
    /// # Errors
    /// `Damaged` if something that was read is.
    pub(crate) fn sift(
        &self,
        ask: &Ask<'_>,
        (from, to): (usize, usize),
        without: &[u64],
        sieve: &mut Sieve,
    ) -> Result<(), Damaged> {
        let blocks = self.blocks();
        let offer = |sieve: &mut Sieve, row: u32, scope: Scope| {
            let row = self.head.first + u64::from(row);
            if let Some((_, kind)) = ask.rows.live(row)
                && ask.pass.lets(row, kind)
                && !without.contains(&row)
            {
                sieve.offer(row, scope.lower, scope.upper);
            }
            sieve.floor()
        };
        let all = Pass::default();
        let mut before = 0;
        for piece in self.pieces(&all) {
            let nodes = piece.part.nodes;
            let range =
                from.saturating_sub(before).min(nodes)..to.saturating_sub(before).min(nodes);
            before += nodes;
            if range.is_empty() || ask.pass.kind().is_some_and(|kind| kind != piece.part.kind) {
                continue;
            }
            let block = piece.view.block;
            blocks.in_numbers(block.centre)?;
            blocks.in_bytes(block.rows.of(range.clone()))?;
            blocks.in_numbers(&block.scales[range.clone()])?;
            blocks.in_words(&piece.rows[range.clone()])?;
            blocks.in_words(piece.twin_nodes)?;
            blocks.in_words(piece.twin_rows)?;
            let against = ask.codes.against(block, 0.0);
            let least = sieve.floor();
            against.each_reaching(range.start, range.end, least, |node, scope| {
                offer(sieve, piece.rows[node], scope)
            });
            // Twins are near their node's vector, not at it.
            let against = ask.codes.against(block, piece.part.spread);
            let place = |node: usize| piece.twin_nodes.partition_point(|n| (*n as usize) < node);
            let (mut i, end) = (place(range.start), place(range.end));
            while i < end {
                let node = piece.twin_nodes[i] as usize;
                let next = i + piece.twin_nodes[i..end].partition_point(|n| *n as usize <= node);
                let least = sieve.floor();
                against.each_reaching(node, node + 1, least, |_, scope| {
                    for &row in &piece.twin_rows[i..next] {
                        offer(sieve, row, scope);
                    }
                    least
                });
                i = next;
            }
        }
        Ok(())
    }
}

/// A part with everything that is read of it.
pub(super) struct Piece<'a> {
    pub(super) part: &'a Part,
    pub(super) view: View<'a>,
    /// Rows are counted from the segment's first.
    pub(super) rows: &'a [u32],
    pub(super) twin_nodes: &'a [u32],
    pub(super) twin_rows: &'a [u32],
    pub(super) sketched: &'a Sketched,
}

impl Piece<'_> {
    /// The rows of the twins of `node`.
    fn twins_of(&self, node: u32, trust: &impl Trust) -> Result<&[u32], Damaged> {
        let (mut from, mut to) = (0, self.twin_nodes.len());
        while from < to {
            let middle = from + (to - from) / 2;
            trust.in_words(&self.twin_nodes[middle..=middle])?;
            if self.twin_nodes[middle] < node { from = middle + 1 } else { to = middle }
        }
        let mut end = from;
        while end < self.twin_nodes.len() {
            trust.in_words(&self.twin_nodes[end..=end])?;
            if self.twin_nodes[end] != node {
                break;
            }
            end += 1;
        }
        trust.in_words(&self.twin_rows[from..end])?;
        Ok(&self.twin_rows[from..end])
    }
}

/// The checksum of the last row before `end`, as it lies there.
pub(super) fn last_crc(rows: &Rows, end: u64) -> u32 {
    end.checked_sub(1).and_then(|row| rows.stored_crc(row)).unwrap_or(0)
}

/// Removes a file, which may be gone already.
pub(super) fn remove(disk: &dyn Disk, path: &Path) -> std::io::Result<()> {
    match disk.remove(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
