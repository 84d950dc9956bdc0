//! Given the segments of a JPEG, which picture do they announce? Only what is
//! decoded here is understood: eight bits, Huffman codes, one scan of everything.

use super::huffman::{Codes, Table};

const SOF0: u8 = 0xC0;
const SOF1: u8 = 0xC1;
const SOF2: u8 = 0xC2;
const DHT: u8 = 0xC4;
const SOF15: u8 = 0xCF;
const RST0: u8 = 0xD0;
const RST7: u8 = 0xD7;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const DQT: u8 = 0xDB;
const DRI: u8 = 0xDD;
const APP1: u8 = 0xE1;
const APP14: u8 = 0xEE;

/// The coefficients' places in a block, in the order in which they are coded. What
/// is named behind the last, by what ends a block or by a damaged file, goes to a place
/// of its own.
pub(super) const ZIGZAG: [u8; 256] = {
    let mut order = [64u8; 256];
    let (mut row, mut column, mut up) = (0u8, 0u8, true);
    let mut k = 0;
    while k < 64 {
        order[k] = row * 8 + column;
        (row, column, up) = match (up, row, column) {
            (true, _, 7) => (row + 1, column, false),
            (true, 0, _) => (row, column + 1, false),
            (true, _, _) => (row - 1, column + 1, true),
            (false, 7, _) => (row, column + 1, true),
            (false, _, 0) => (row + 1, column, true),
            (false, _, _) => (row + 1, column - 1, false),
        };
        k += 1;
    }
    order
};

/// What a file says of its picture before the data begin.
pub(super) struct Header<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    /// One (grey) or three (YCbCr).
    pub(super) components: Vec<Component>,
    /// Units between restart markers; 0: there are none.
    pub(super) restart: usize,
    /// Of the tables, those that the scan names.
    pub(super) dc: [Option<Table>; 4],
    pub(super) ac: [Option<Table>; 4],
    /// The body of the EXIF segment.
    pub(super) exif: Option<&'a [u8]>,
    /// From here on there are data.
    pub(super) data: &'a [u8],
}

pub(super) struct Component {
    id: u8,
    /// Blocks in a unit, across and down.
    pub(super) blocks: (usize, usize),
    table: usize,
    /// What its coefficients are multiplied by, row by row, as blocks have them.
    pub(super) quantisers: [f32; 65],
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// The width and height that a file announces, for those who may not need the rest: tables are
/// longer to make than a small picture is to decode.
pub(super) fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(b"\xFF\xD8")?;
    loop {
        match segment(&mut rest)? {
            (SOF0 | SOF1, &[_, h1, h2, w1, w2, ..]) => {
                let side = |bytes| u32::from(u16::from_be_bytes(bytes));
                return Some((side([w1, w2]), side([h1, h2])));
            }
            (SOS | EOI, _) => return None,
            _ => {}
        }
    }
}

/// The next segment, its marker and its body.
fn segment<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    loop {
        let (&[first, marker], after) = rest.split_first_chunk()?;
        if first != 0xFF {
            return None;
        }
        if marker == 0xFF {
            *rest = &rest[1..];
            continue;
        }
        let (length, after) = after.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length)).checked_sub(2)?;
        let (body, after) = after.split_at_checked(length)?;
        *rest = after;
        return Some((marker, body));
    }
}

/// Reads the segments; `None` for anything that is not decoded here.
pub(super) fn read(bytes: &[u8]) -> Option<Header<'_>> {
    let mut header = Header {
        width: 0,
        height: 0,
        components: Vec::new(),
        restart: 0,
        dc: [None, None, None, None],
        ac: [None, None, None, None],
        exif: None,
        data: &[],
    };
    let (mut quantisers, mut codes) = ([None; 4], [[None; 4]; 2]);
    let mut adobe = None;
    let mut rest = bytes.strip_prefix(b"\xFF\xD8")?;
    loop {
        let (marker, body) = segment(&mut rest)?;
        match marker {
            SOF0 | SOF1 => header.frame(body)?,
            DHT => read_codes(body, &mut codes)?,
            SOF2..=SOF15 => return None,
            DQT => read_quantisers(body, &mut quantisers)?,
            DRI => header.restart = usize::from(u16::from_be_bytes(body.try_into().ok()?)),
            APP1 if header.exif.is_none() => header.exif = body.strip_prefix(b"Exif\0\0"),
            APP14 => adobe = body.strip_prefix(b"Adobe").and_then(|b| b.get(6)).copied(),
            SOS => {
                header.scan(body, &codes)?;
                header.data = rest;
                break;
            }
            RST0..=RST7 | EOI => return None,
            _ => {}
        }
    }
    let ids: Vec<u8> = header.components.iter().map(|c| c.id).collect();
    // What three components mean if nobody says so is known for YCbCr only.
    if header.components.len() == 3 && (adobe.is_some_and(|a| a != 1) || ids == *b"RGB") {
        return None;
    }
    for component in &mut header.components {
        component.quantisers = quantisers[component.table]?;
    }
    Some(header)
}

impl Header<'_> {
    fn frame(&mut self, body: &[u8]) -> Option<()> {
        let (&[8, h1, h2, w1, w2, count], rest) = body.split_first_chunk()? else { return None };
        self.height = u16::from_be_bytes([h1, h2]).into();
        self.width = u16::from_be_bytes([w1, w2]).into();
        let count = usize::from(count);
        if !self.components.is_empty() || !matches!(count, 1 | 3) || rest.len() != 3 * count {
            return None;
        }
        for &[id, sampling, table] in rest.as_chunks().0 {
            let mut blocks = (usize::from(sampling >> 4), usize::from(sampling & 15));
            if count == 1 {
                // A component alone comes block by block, whatever it says.
                blocks = (1, 1);
            }
            if !matches!(blocks, (1 | 2 | 4, 1 | 2 | 4)) || table > 3 {
                return None;
            }
            let (table, quantisers) = (usize::from(table), [0.0; 65]);
            self.components.push(Component { id, blocks, table, quantisers, dc: 0, ac: 0 });
        }
        Some(())
    }

    /// The scan has to hold everything. `codes` are those before it, first the `dc`.
    fn scan(&mut self, body: &[u8], codes: &[[Option<Codes<'_>>; 4]; 2]) -> Option<()> {
        let (&count, rest) = body.split_first()?;
        let count = usize::from(count);
        if count != self.components.len() || rest.len() != 2 * count + 3 {
            return None;
        }
        for (component, &[id, tables]) in self.components.iter_mut().zip(rest.as_chunks().0) {
            (component.dc, component.ac) = ((tables >> 4).into(), (tables & 15).into());
            if component.id != id || component.dc > 3 || component.ac > 3 {
                return None;
            }
            for (table, codes) in [
                (&mut self.dc[component.dc], codes[0][component.dc]?),
                (&mut self.ac[component.ac], codes[1][component.ac]?),
            ] {
                table.get_or_insert_with(|| Table::new(codes));
            }
        }
        Some(())
    }
}

fn read_codes<'a>(mut body: &'a [u8], tables: &mut [[Option<Codes<'a>>; 4]; 2]) -> Option<()> {
    while let Some((&[kind], rest)) = body.split_first_chunk() {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let total = counts.iter().map(|&c| usize::from(c)).sum();
        let (symbols, rest) = rest.split_at_checked(total)?;
        // Differences of brightness have so many bits at most.
        if kind >> 4 == 0 && symbols.iter().any(|&symbol| symbol > 15) {
            return None;
        }
        let tables = tables.get_mut(usize::from(kind >> 4))?;
        *tables.get_mut(usize::from(kind & 15))? = Some(Codes::new(counts, symbols)?);
        body = rest;
    }
    Some(())
}

fn read_quantisers(mut body: &[u8], tables: &mut [Option<[f32; 65]>; 4]) -> Option<()> {
    while let Some((&kind, rest)) = body.split_first() {
        let wide = match kind >> 4 {
            0 => 1,
            1 => 2,
            _ => return None,
        };
        let (values, rest) = rest.split_at_checked(64 * wide)?;
        let mut table = [0.0; 65];
        for (value, &place) in values.chunks_exact(wide).zip(&ZIGZAG) {
            let value = value.iter().fold(0u16, |sum, &byte| (sum << 8) | u16::from(byte));
            table[usize::from(place)] = value.into();
        }
        *tables.get_mut(usize::from(kind & 15))? = Some(table);
        body = rest;
    }
    Some(())
}

/// The data without what is stuffed into them, cut at restart markers. One segment at a
/// time: there may be as many as there are bytes.
pub(super) struct Segments<'a> {
    rest: &'a [u8],
    segment: Vec<u8>,
}

impl<'a> Segments<'a> {
    pub(super) fn of(data: &'a [u8]) -> Self {
        Self { rest: data, segment: Vec::with_capacity(data.len() + PAD) }
    }

    /// The next segment, [`PAD`] behind it, and whether it is the last. `None` if
    /// something else than a restart or the end follows it.
    pub(super) fn cut(&mut self) -> Option<(&[u8], bool)> {
        self.segment.clear();
        loop {
            let plain = memchr::memchr(0xFF, self.rest)?;
            self.segment.extend_from_slice(&self.rest[..plain]);
            match *self.rest.get(plain + 1)? {
                0 => {
                    self.segment.push(0xFF);
                    self.rest = &self.rest[plain + 2..];
                }
                // A fill byte.
                0xFF => self.rest = &self.rest[plain + 1..],
                marker @ (RST0..=RST7 | EOI) => {
                    self.segment.extend_from_slice(&[0; PAD]);
                    self.rest = &self.rest[plain + 2..];
                    return Some((self.segment.as_slice(), marker == EOI));
                }
                _ => return None,
            }
        }
    }
}

/// Bytes behind each segment that may be read and mean nothing.
pub(super) const PAD: usize = 16;
