//! Given a query, which rows are probably nearest, without looking at all?
//!
//! A [`Graph`] covers the rows that lived when it was built; newer rows are
//! scanned beside it. It is a projection: its file may be lost or damaged at
//! no other cost than building it again, so anything odd in it is an error here
//! and a rebuild for the caller.
//!
//! `graph-0001.ekg`: a 64-byte header (magic `EKGRAPH\0`, version, `dim`,
//! generation, CRC-32 of the space id, covered rows u64, commit u64, length of
//! the body u64, CRC-32 of the body, checksum of the last covered row, zeros,
//! CRC-32 of the header) and a body of
//! u32s: entry node, nodes, duplicates, layers; each node's row; pairs of node
//! and row for vectors that occur more than once; each layer's links as offsets
//! and targets. All little-endian.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use ekphrasis_embed::Space;

use super::{Rows, cosine, hnsw};
use crate::disk::{self, Disk};
use crate::filter::Pass;
use crate::topk::{Scored, TopK};
use crate::{ItemId, Seq};

const MAGIC: &[u8; 8] = b"EKGRAPH\0";
const VERSION: u32 = 1;
const HEADER: usize = 64;

/// Links as they come out of building: `links[layer][node]`.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub(crate) entry: u32,
    pub(crate) links: Vec<Vec<Vec<u32>>>,
}

/// Links of one layer, contiguous: those of `n` are `targets[offsets[n]..offsets[n + 1]]`.
#[derive(Debug, PartialEq)]
struct Links {
    offsets: Vec<u32>,
    targets: Vec<u32>,
}

impl Links {
    fn freeze(lists: &[Vec<u32>]) -> Self {
        let mut links = Self { offsets: vec![0], targets: vec![] };
        for list in lists {
            links.targets.extend(list);
            links.offsets.push(links.targets.len() as u32);
        }
        links
    }

    fn of(&self, node: u32) -> &[u32] {
        let n = node as usize;
        &self.targets[self.offsets[n] as usize..self.offsets[n + 1] as usize]
    }
}

/// A frozen graph over the rows before [`Graph::covered`].
#[derive(Debug, PartialEq)]
pub(crate) struct Graph {
    covered: u64,
    /// The checksum of the last covered row, by which the rows are known again.
    last: u32,
    seq: Seq,
    entry: u32,
    rows: Vec<u32>,
    /// Further rows with a node's very vector, ascending by node.
    duplicates: Vec<(u32, u32)>,
    layers: Vec<Links>,
}

impl Graph {
    pub(crate) fn name(generation: u32) -> String {
        format!("graph-{generation:04}.ekg")
    }

    /// Builds the graph of the living rows. Rows with one and the same vector
    /// become one node: thousands of them would wall off the rest.
    /// `None` if cancelled.
    pub(crate) fn of(rows: &Rows, seq: Seq, threads: usize, cancel: &AtomicBool) -> Option<Self> {
        let mut nodes: HashMap<&[u8], u32> = HashMap::new();
        let (mut vectors, mut node_rows, mut duplicates) = (vec![], vec![], vec![]);
        // Row numbers are kept in 32 bits; rows beyond are simply not covered.
        let covered = rows.len().min(u64::from(u32::MAX));
        for row in 0..covered {
            let Some(vector) = rows.live(row).and_then(|_| rows.vector(row)) else { continue };
            let node = nodes.entry(bytemuck::cast_slice(vector)).or_insert_with(|| {
                vectors.push(vector);
                node_rows.push(row as u32);
                vectors.len() as u32 - 1
            });
            if node_rows[*node as usize] != row as u32 {
                duplicates.push((*node, row as u32));
            }
        }
        duplicates.sort_unstable();
        let mut layers = hnsw::build(&vectors, threads, cancel)?;
        if let Some(ground) = layers.links.first_mut() {
            connect(ground, layers.entry);
        }
        let frozen = layers.links.iter().map(|l| Links::freeze(l)).collect();
        Some(Self {
            covered,
            last: last_crc(rows, covered),
            seq,
            entry: layers.entry,
            rows: node_rows,
            duplicates,
            layers: frozen,
        })
    }

    /// Rows from here on are not in the graph.
    pub(crate) fn covered(&self) -> u64 {
        self.covered
    }

    /// The commit it was built of.
    pub(crate) fn seq(&self) -> Seq {
        self.seq
    }

    /// Whether it was built of these very rows, at commit `seq` or before: not
    /// of commits that were lost since and whose rows were written anew.
    pub(crate) fn fits(&self, rows: &Rows, seq: Seq) -> bool {
        self.covered <= rows.len() && self.seq <= seq && self.last == last_crc(rows, self.covered)
    }

    /// How many rows are in the graph.
    pub(crate) fn size(&self) -> usize {
        self.rows.len() + self.duplicates.len()
    }

    /// The best of about `ef` rows near the query that live and that `pass` lets through.
    pub(crate) fn search(
        &self,
        rows: &Rows,
        query: &[f32],
        ef: usize,
        pass: &Pass,
        mut top: TopK,
    ) -> TopK {
        for node in self.nearest(rows, query, ef) {
            let row = self.rows[node as usize];
            let Some(vector) = rows.vector(row.into()) else { continue };
            let score = cosine(query, vector);
            let from = self.duplicates.partition_point(|d| d.0 < node);
            let twins = self.duplicates[from..].iter().take_while(|d| d.0 == node).map(|d| d.1);
            for row in std::iter::once(row).chain(twins).map(u64::from) {
                if let Some((id, kind)) = rows.live(row)
                    && pass.lets(row, kind)
                {
                    top.push(Scored { score, id, row });
                }
            }
        }
        top
    }

    fn nearest(&self, rows: &Rows, query: &[f32], ef: usize) -> impl Iterator<Item = u32> + use<> {
        // Dead rows lead on like living ones; a damaged one is the end of no path but is no hit.
        let score = |node: u32| {
            rows.vector(self.rows[node as usize].into()).map_or(-1.0, |v| cosine(query, v))
        };
        // The order of candidates by score needs an id only to be total.
        let scored = |node: u32, score: f32| Scored {
            score,
            id: ItemId::from_bytes([0; 16]),
            row: node.into(),
        };
        let mut found = BinaryHeap::new();
        if !self.rows.is_empty() {
            let mut best = scored(self.entry, score(self.entry));
            for layer in self.layers.iter().skip(1).rev() {
                loop {
                    let next = layer.of(best.row as u32).iter().map(|&n| scored(n, score(n))).max();
                    match next {
                        Some(next) if next.score > best.score => best = next,
                        _ => break,
                    }
                }
            }
            let mut visited = vec![0u64; self.rows.len().div_ceil(64)];
            let mut visit = |node: u32| {
                let (word, bit) = (node as usize / 64, 1 << (node % 64));
                let new = visited[word] & bit == 0;
                visited[word] |= bit;
                new
            };
            visit(best.row as u32);
            let mut open = BinaryHeap::from([best]);
            found.push(Reverse(best));
            while let Some(next) = open.pop() {
                if found.len() >= ef && found.peek().is_some_and(|w| next.score < w.0.score) {
                    break;
                }
                for &n in self.layers[0].of(next.row as u32) {
                    if !visit(n) {
                        continue;
                    }
                    let candidate = scored(n, score(n));
                    if found.len() < ef {
                        found.push(Reverse(candidate));
                    } else if let Some(mut worst) = found.peek_mut()
                        && candidate > worst.0
                    {
                        worst.0 = candidate;
                    } else {
                        continue;
                    }
                    open.push(candidate);
                }
            }
        }
        found.into_iter().map(|f| f.0.row as u32)
    }

    /// Writes the graph beside its final name, makes it durable and moves it there.
    pub(crate) fn save(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        space: &Space,
        generation: u32,
    ) -> std::io::Result<()> {
        let mut words: Vec<u32> = vec![
            self.entry,
            self.rows.len() as u32,
            self.duplicates.len() as u32,
            self.layers.len() as u32,
        ];
        words.extend(&self.rows);
        words.extend(self.duplicates.iter().flat_map(|d| [d.0, d.1]));
        for layer in &self.layers {
            words.push(layer.targets.len() as u32);
            words.extend(&layer.offsets);
            words.extend(&layer.targets);
        }
        let body: &[u8] = bytemuck::cast_slice(&words);
        let mut header = self.header(space, generation, body.len() as u64);
        header[48..52].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
        let crc = crc32fast::hash(&header[..HEADER - 4]).to_le_bytes();
        header[HEADER - 4..].copy_from_slice(&crc);

        disk::publish(disk, &dir.join(Self::name(generation)), &[&header, body])?;
        disk.sync_dir(dir)
    }

    fn header(&self, space: &Space, generation: u32, body: u64) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        let space_crc = crc32fast::hash(space.id().as_bytes());
        for (i, n) in [VERSION, space.dim() as u32, generation, space_crc].into_iter().enumerate() {
            header[8 + 4 * i..12 + 4 * i].copy_from_slice(&n.to_le_bytes());
        }
        for (i, n) in [self.covered, self.seq, body].into_iter().enumerate() {
            header[24 + 8 * i..32 + 8 * i].copy_from_slice(&n.to_le_bytes());
        }
        header[52..56].copy_from_slice(&self.last.to_le_bytes());
        header
    }

    /// How many rows the graph on disk covers, by its header alone.
    ///
    /// # Errors
    /// As [`Graph::load`].
    pub(crate) fn peek(dir: &Path, space: &Space, generation: u32) -> Result<u64, String> {
        let mut header = [0; HEADER];
        fs_err::File::open(dir.join(Self::name(generation)))
            .and_then(|mut file| file.read_exact(&mut header))
            .map_err(|e| e.to_string())?;
        Self::of_header(&header, space, generation).map(|(graph, ..)| graph.covered)
    }

    /// A graph without a body, the body's length and its checksum.
    fn of_header(
        header: &[u8; HEADER],
        space: &Space,
        generation: u32,
    ) -> Result<(Self, u64, u32), String> {
        let u32_at = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if u32_at(HEADER - 4) != crc32fast::hash(&header[..HEADER - 4]) {
            return Err("the header's checksum is wrong".into());
        }
        let (crc, length) = (u32_at(48), u64_at(40));
        let graph = Self {
            covered: u64_at(24),
            last: u32_at(52),
            seq: u64_at(32),
            entry: 0,
            rows: vec![],
            duplicates: vec![],
            layers: vec![],
        };
        if header[..48] != graph.header(space, generation, length)[..48] {
            return Err("of another version, space or generation".into());
        }
        Ok((graph, length, crc))
    }

    /// Reads a graph and checks every number in it.
    ///
    /// # Errors
    /// A sentence on what is wrong with the file.
    pub(crate) fn load(dir: &Path, space: &Space, generation: u32) -> Result<Self, String> {
        let bytes = fs_err::read(dir.join(Self::name(generation))).map_err(|e| e.to_string())?;
        let Some((header, body)) = bytes.split_first_chunk() else {
            return Err("shorter than its header".into());
        };
        let (mut graph, length, crc) = Self::of_header(header, space, generation)?;
        if length != body.len() as u64 || crc != crc32fast::hash(body) {
            return Err("the body's length or checksum is wrong".into());
        }
        let mut words = body.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w));
        graph.decode(&mut words).ok_or("the numbers do not fit together")?;
        Ok(graph)
    }

    fn decode(&mut self, words: &mut impl ExactSizeIterator<Item = u32>) -> Option<()> {
        fn take(words: &mut impl ExactSizeIterator<Item = u32>, n: usize) -> Option<Vec<u32>> {
            (n <= words.len()).then(|| words.by_ref().take(n).collect())
        }
        self.entry = words.next()?;
        let (nodes, duplicates) = (words.next()?, words.next()? as usize);
        let layers = words.next()?;
        self.rows = take(words, nodes as usize)?;
        let pairs = take(words, duplicates.checked_mul(2)?)?;
        self.duplicates = pairs.as_chunks::<2>().0.iter().map(|p| (p[0], p[1])).collect();
        for _ in 0..layers {
            let count = words.next()?;
            let offsets = take(words, nodes as usize + 1)?;
            let targets = take(words, count as usize)?;
            let sound = offsets.first() == Some(&0)
                && offsets.last() == Some(&count)
                && offsets.is_sorted()
                && targets.iter().all(|&t| t < nodes);
            sound.then(|| self.layers.push(Links { offsets, targets }))?;
        }
        let in_range = |row: u32| u64::from(row) < self.covered;
        let sound = words.len() == 0
            && (nodes == 0 || (self.entry < nodes && !self.layers.is_empty()))
            && self.rows.iter().all(|&r| in_range(r))
            && self.duplicates.iter().all(|d| d.0 < nodes && in_range(d.1))
            && self.duplicates.is_sorted();
        sound.then_some(())
    }
}

fn last_crc(rows: &Rows, covered: u64) -> u32 {
    covered.checked_sub(1).and_then(|row| rows.stored_crc(row)).unwrap_or(0)
}

/// Adds links to the lowest layer until every node can be reached from `entry`.
fn connect(links: &mut [Vec<u32>], entry: u32) {
    let mut reached = vec![false; links.len()];
    let mut queue = VecDeque::from([entry]);
    reached[entry as usize] = true;
    let mut next = 0;
    loop {
        while let Some(node) = queue.pop_front() {
            for &n in &links[node as usize] {
                if !std::mem::replace(&mut reached[n as usize], true) {
                    queue.push_back(n);
                }
            }
        }
        while next < links.len() && reached[next] {
            next += 1;
        }
        if next == links.len() {
            return;
        }
        // The nearest node it knows and that is reached, or else the entry, leads to it.
        let from = links[next].iter().copied().find(|&n| reached[n as usize]).unwrap_or(entry);
        links[from as usize].push(next as u32);
        reached[next] = true;
        queue.push_back(next as u32);
    }
}

#[cfg(test)]
mod tests;
