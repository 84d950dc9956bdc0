//! What lies where in a segment's file?
//!
//! `graph-0001.ekg`, by generation, and `graph-0001-0000012345.ekg` of one that does not
//! begin with row 0. Blocks of 4096 bytes,
//! little-endian:
//!
//! - The header, with a CRC-32 in its last four bytes. From 0 on: magic `EKGRAPH\0`,
//!   then u32: version, `dim`, generation, CRC-32 of the space's id; u64: first row,
//!   row behind the last, commit; u32: checksum of the last row, CRC-32 of the table,
//!   parts. From 128 on each part in 128 bytes: u32: kind, nodes, twins, layers above
//!   the lowest, entry; f32: spread of twins, error and radius of the codes; u32: nodes
//!   of each layer above the lowest.
//! - The table: a CRC-32 of every block of the body, filled up to whole blocks.
//! - The body: for each part its sections, each from a new block on (see [`Sections`]).

use std::ops::Range;

use ekphrasis_embed::Space;

use super::super::quantised::{Bound, CodeBlock, CodeRows, Codes, stride_of};
use super::trust::BLOCK;
use super::walk::{DEGREE, Layer, MAX_NODES, UPPER_DEGREE, UPPER_LAYERS, View};
use crate::{Kind, Seq};

const MAGIC: &[u8; 8] = b"EKGRAPH\0";
const VERSION: u32 = 2;
/// Length of the header of version 1, with its CRC-32 at the end. Such a graph is made anew.
const HEADER_1: usize = 64;
const PARTS_AT: usize = 128;
const PART: usize = 128;
/// One of each kind of item.
const MAX_PARTS: usize = 2;

/// What the header says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Head {
    /// Rows `first..end` are covered.
    pub(super) first: u64,
    pub(super) end: u64,
    /// The commit it was built of.
    pub(super) seq: Seq,
    /// The checksum of the last covered row, by which the rows are known again.
    pub(super) last: u32,
    pub(super) parts: Vec<Part>,
}

/// The graph over the rows of one kind.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) kind: Kind,
    pub(super) nodes: usize,
    pub(super) twins: usize,
    pub(super) entry: u32,
    /// How far twins are from their node's vector, at most.
    pub(super) spread: f32,
    pub(super) bound: Bound,
    /// Nodes of each layer above the lowest, the lowest first.
    pub(super) upper: Vec<usize>,
}

/// Where a part's sections lie in the body, in bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sections {
    /// f32: the centre of the codes.
    pub(super) centre: Range<usize>,
    /// The codes, a row a node.
    pub(super) codes: Range<usize>,
    /// f32 a node: the scale of its code.
    pub(super) scales: Range<usize>,
    /// u32, [`DEGREE`] a node: its links on the lowest layer.
    pub(super) ground: Range<usize>,
    /// u32 a node: its row, counted from the first covered.
    pub(super) rows: Range<usize>,
    /// u32 a twin: the nodes that have twins, ascending, as often as they have.
    pub(super) twin_nodes: Range<usize>,
    /// u32 a twin: its row, counted from the first covered.
    pub(super) twin_rows: Range<usize>,
    /// For each layer: nodes, places below, links.
    pub(super) upper: Range<usize>,
}

impl Sections {
    /// All, in the order in which they lie.
    fn all(&mut self) -> [&mut Range<usize>; 8] {
        [
            &mut self.centre,
            &mut self.codes,
            &mut self.scales,
            &mut self.ground,
            &mut self.rows,
            &mut self.twin_nodes,
            &mut self.twin_rows,
            &mut self.upper,
        ]
    }
}

/// Words that `count` nodes of an upper layer take.
fn upper_words(count: usize) -> usize {
    count * (2 + UPPER_DEGREE)
}

/// Where everything lies in a segment's file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) table: Range<usize>,
    pub(super) body: Range<usize>,
    /// Of each part, counted from the start of the body.
    pub(super) sections: Vec<Sections>,
}

impl Layout {
    pub(super) fn of(parts: &[Part], dim: usize) -> Self {
        let mut end = 0;
        let mut sections = vec![];
        for part in parts {
            let mut here = Sections::default();
            let upper: usize = part.upper.iter().map(|&count| upper_words(count)).sum();
            let lengths = [
                dim * 4,
                part.nodes * stride_of(dim),
                part.nodes * 4,
                part.nodes * DEGREE * 4,
                part.nodes * 4,
                part.twins * 4,
                part.twins * 4,
                upper * 4,
            ];
            for (range, length) in here.all().into_iter().zip(lengths) {
                *range = end..end + length;
                end = range.end.next_multiple_of(BLOCK);
            }
            sections.push(here);
        }
        let table = BLOCK..BLOCK + (end / BLOCK * 4).next_multiple_of(BLOCK);
        let body = table.end..table.end + end;
        Self { table, body, sections }
    }
}

impl Head {
    /// The header's block. `table` is the CRC-32 of the table.
    pub(super) fn encode(&self, space: &Space, generation: u32, table: u32) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let space_crc = crc32fast::hash(space.id().as_bytes());
        let mut word = |n: u32| bytes.extend_from_slice(&n.to_le_bytes());
        for n in [VERSION, space.dim() as u32, generation, space_crc] {
            word(n);
        }
        for n in [self.first, self.end, self.seq] {
            word(n as u32);
            word((n >> 32) as u32);
        }
        for n in [self.last, table, self.parts.len() as u32] {
            word(n);
        }
        bytes.resize(PARTS_AT, 0);
        for (i, part) in self.parts.iter().enumerate() {
            let mut word = |n: u32| bytes.extend_from_slice(&n.to_le_bytes());
            for n in [kind_code(part.kind), part.nodes as u32, part.twins as u32] {
                word(n);
            }
            for n in [part.upper.len() as u32, part.entry, part.spread.to_bits()] {
                word(n);
            }
            for n in [part.bound.error.to_bits(), part.bound.radius.to_bits()] {
                word(n);
            }
            part.upper.iter().for_each(|&count| word(count as u32));
            bytes.resize(PARTS_AT + (i + 1) * PART, 0);
        }
        bytes.resize(BLOCK - 4, 0);
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// What a header says, and the CRC-32 of the table.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    pub(super) fn decode(
        block: &[u8],
        space: &Space,
        generation: u32,
    ) -> Result<(Self, u32), String> {
        let words: Vec<u32> =
            block.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w)).collect();
        if block.len() != BLOCK || words.last() != Some(&crc32fast::hash(&block[..BLOCK - 4])) {
            return Err("the header's checksum is wrong".into());
        }
        let wide = |at: usize| u64::from(words[at]) | u64::from(words[at + 1]) << 32;
        let mut head =
            Self { first: wide(6), end: wide(8), seq: wide(10), last: words[12], parts: vec![] };
        let (table, parts) = (words[13], words[14] as usize);
        if block[..24] != head.encode(space, generation, table)[..24] {
            return Err("of another version, space or generation".into());
        }
        if !Codes::can(space.dim()) || parts > MAX_PARTS {
            return Err("the numbers in the header do not fit together".into());
        }
        for i in 0..parts {
            let part = &words[(PARTS_AT + i * PART) / 4..][..PART / 4];
            head.parts.push(Part::decode(part).ok_or("a part that is none")?);
        }
        let rows = head.end.saturating_sub(head.first);
        let covered: usize = head.parts.iter().map(|p| p.nodes + p.twins).sum();
        let numbers = rows <= u64::from(u32::MAX) && covered as u64 <= rows;
        // Whatever else is in there would not be written again.
        if !numbers || head.encode(space, generation, table) != block {
            return Err("the numbers in the header do not fit together".into());
        }
        Ok((head, table))
    }
}

/// Whether a file that begins so is a whole graph of version 1, as far as its header tells.
pub(super) fn is_version_1(start: &[u8]) -> bool {
    let Some(header) = start.first_chunk::<HEADER_1>() else { return false };
    let (rest, crc) = header.split_at(HEADER_1 - 4);
    rest.starts_with(MAGIC)
        && rest[8..12] == 1u32.to_le_bytes()
        && crc == crc32fast::hash(rest).to_le_bytes()
}

impl Part {
    fn decode(words: &[u32]) -> Option<Self> {
        let layers = words[3] as usize;
        let part = Self {
            kind: [Kind::Image, Kind::Text].into_iter().find(|&k| kind_code(k) == words[0])?,
            nodes: words[1] as usize,
            twins: words[2] as usize,
            entry: words[4],
            spread: f32::from_bits(words[5]),
            bound: Bound { error: f32::from_bits(words[6]), radius: f32::from_bits(words[7]) },
            upper: words[8..].get(..layers)?.iter().map(|&count| count as usize).collect(),
        };
        let sound = part.nodes < MAX_NODES
            && layers <= UPPER_LAYERS
            && part.upper.iter().all(|&count| count <= part.nodes)
            && [part.spread, part.bound.error, part.bound.radius].iter().all(|n| *n >= 0.0);
        sound.then_some(part)
    }

    /// The part's graph in `body`.
    pub(super) fn view<'a>(&self, sections: &Sections, dim: usize, body: &'a [u8]) -> View<'a> {
        let words = |range: &Range<usize>| -> &'a [u32] { words(&body[range.clone()]) };
        let mut upper = [Layer::default(); UPPER_LAYERS];
        let mut rest = words(&sections.upper);
        for (layer, &count) in upper.iter_mut().zip(&self.upper) {
            let (here, behind) = rest.split_at(upper_words(count));
            let (nodes, here) = here.split_at(count);
            let (down, links) = here.split_at(count);
            (*layer, rest) = (Layer { nodes, down, links }, behind);
        }
        View {
            block: CodeBlock {
                rows: CodeRows::new(&body[sections.codes.clone()], stride_of(dim)),
                scales: bytemuck::cast_slice(&body[sections.scales.clone()]),
                centre: bytemuck::cast_slice(&body[sections.centre.clone()]),
                bound: self.bound,
            },
            ground: words(&sections.ground),
            upper,
            layers: self.upper.len(),
            entry: self.entry,
        }
    }
}

/// Bytes from a block's start on, as numbers.
pub(super) fn words(bytes: &[u8]) -> &[u32] {
    bytemuck::cast_slice(bytes)
}

fn kind_code(kind: Kind) -> u32 {
    match kind {
        Kind::Image => 0,
        Kind::Text => 1,
    }
}
