//! Given the bytes of an AVIF file, where does what lie? A bounded walk through
//! the boxes of the ISO media container, as far as still pictures use them.

use std::collections::HashMap;

/// Boxes in one another, items, extents: more than any picture has.
const DEPTH: usize = 8;
const MOST: usize = 4096;
/// Extents of all items of a file together.
const MOST_EXTENTS: usize = 65_536;

/// Reads big-endian numbers; `None` where the bytes end.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of `count` bytes, at most eight.
    pub(crate) fn number(&mut self, count: usize) -> Option<u64> {
        Some(self.take(count)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    fn u8(&mut self) -> Option<u8> {
        self.number(1).map(|n| n as u8)
    }

    fn u16(&mut self) -> Option<u16> {
        self.number(2).map(|n| n as u16)
    }

    fn u32(&mut self) -> Option<u32> {
        self.number(4).map(|n| n as u32)
    }

    /// Version and flags of a full box.
    fn version(&mut self) -> Option<(u8, u32)> {
        let word = self.u32()?;
        Some(((word >> 24) as u8, word & 0xFF_FFFF))
    }
}

/// The boxes in `bytes`: type and contents. One that says it is longer than what
/// is there ends the list.
pub(crate) fn boxes(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = Bytes(bytes);
    std::iter::from_fn(move || {
        let whole = rest.0.len() as u64;
        let mut header = rest;
        let (short, kind) = (header.number(4)?, header.take(4)?.try_into().ok()?);
        let length = match short {
            0 => whole,
            1 => header.number(8)?,
            length => length,
        };
        let used = whole - header.0.len() as u64;
        let body = header.take(usize::try_from(length.checked_sub(used)?).ok()?)?;
        rest = header;
        Some((kind, body))
    })
    .take(MOST)
}

/// The contents of the first box of a kind.
pub(crate) fn find<'a>(bytes: &'a [u8], kind: &[u8; 4]) -> Option<&'a [u8]> {
    boxes(bytes).find(|(found, _)| found == kind).map(|(_, body)| body)
}

/// A property of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::decode) enum Property {
    /// Width and height.
    Size(u32, u32),
    /// Quarter turns against the clock.
    Turn(u8),
    /// 0: top and bottom change places; 1: left and right.
    Mirror(u8),
    /// Primaries, transfer, matrix, whether the full range is used.
    Colour { matrix: u16, full_range: bool },
    /// It is the transparency of another item.
    Alpha,
    /// One that does not matter here.
    Other,
}

/// One item.
#[derive(Clone, Debug, Default)]
pub(in crate::decode) struct Item {
    pub(in crate::decode) kind: [u8; 4],
    /// Whether its parts lie in `idat` and not in the file.
    within: bool,
    extents: Vec<(u64, u64)>,
    pub(in crate::decode) properties: Vec<Property>,
}

/// What the box `meta` says.
#[derive(Debug, Default)]
pub(in crate::decode) struct Meta<'a> {
    pub(in crate::decode) primary: u32,
    pub(in crate::decode) items: HashMap<u32, Item>,
    /// Kind of reference, who refers, to whom.
    pub(in crate::decode) references: Vec<([u8; 4], u32, Vec<u32>)>,
    /// Entries of places read so far, and their extents.
    placed: (usize, usize),
    file: &'a [u8],
    idat: &'a [u8],
}

/// Why a file is not understood.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::decode) enum Wrong {
    /// Something lies behind the end.
    Cut(&'static str),
    Broken(&'static str),
}

impl<'a> Meta<'a> {
    pub(in crate::decode) fn read(file: &'a [u8]) -> Result<Self, Wrong> {
        let Some(mut meta) = find(file, b"meta").map(Bytes) else {
            let whole: usize = boxes(file).map(|(_, body)| body.len() + 8).sum();
            return Err(match whole < file.len() {
                true => Wrong::Cut("its description breaks off"),
                false => Wrong::Broken("there is no still picture in it"),
            });
        };
        let missing = Wrong::Broken("its description makes no sense");
        meta.version().ok_or(missing)?;
        let mut this = Self { file, ..Self::default() };
        let mut properties = vec![];
        let mut uses = vec![];
        for (kind, body) in boxes(meta.0) {
            let mut body = Bytes(body);
            match &kind {
                b"pitm" => this.primary = read_primary(&mut body).ok_or(missing)?,
                b"iinf" => this.read_kinds(&mut body).ok_or(missing)?,
                b"iloc" => this.read_places(&mut body).ok_or(missing)?,
                b"iref" => this.read_references(&mut body).ok_or(missing)?,
                b"idat" => this.idat = body.0,
                b"iprp" => {
                    for (kind, body) in boxes(body.0) {
                        match &kind {
                            b"ipco" => properties = boxes(body).map(property).collect(),
                            b"ipma" => uses = read_uses(&mut Bytes(body)).ok_or(missing)?,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        for (item, index) in uses {
            let property = usize::from(index).checked_sub(1).and_then(|i| properties.get(i));
            if let (Some(item), Some(property)) = (this.items.get_mut(&item), property) {
                item.properties.push(*property);
            }
        }
        Ok(this)
    }

    fn read_kinds(&mut self, body: &mut Bytes<'_>) -> Option<()> {
        let (version, _) = body.version()?;
        body.number(if version == 0 { 2 } else { 4 })?;
        for (kind, entry) in boxes(body.0) {
            let mut entry = Bytes(entry);
            let (version, _) = entry.version()?;
            if &kind != b"infe" || version < 2 {
                continue;
            }
            let id = entry.number(if version == 2 { 2 } else { 4 })? as u32;
            entry.u16()?;
            let kind = entry.take(4)?.try_into().ok()?;
            self.items.entry(id).or_default().kind = kind;
        }
        Some(())
    }

    fn read_places(&mut self, body: &mut Bytes<'_>) -> Option<()> {
        let (version, _) = body.version()?;
        let sizes = body.u16()?;
        let [offset, length, base, index] =
            [12, 8, 4, 0].map(|shift| usize::from(sizes >> shift & 15));
        if version > 2 || [offset, length, base, index].iter().any(|&n| n > 8) {
            return None;
        }
        let wide = if version < 2 { 2 } else { 4 };
        let count = body.number(wide)?;
        for _ in 0..count {
            if self.placed.0 >= MOST {
                return Some(());
            }
            self.placed.0 += 1;
            let id = body.number(wide)? as u32;
            let method = if version > 0 { body.u16()? & 15 } else { 0 };
            let elsewhere = body.u16()? != 0 || method > 1;
            let base = body.number(base)?;
            let extents = body.u16()?;
            // Many that take no bytes would say the same again and again.
            if extents > 1 && offset == 0 && length == 0 {
                return None;
            }
            self.placed.1 += usize::from(extents);
            if self.placed.1 > MOST_EXTENTS {
                return None;
            }
            let item = self.items.entry(id).or_default();
            item.within = method == 1;
            for _ in 0..extents {
                if version > 0 {
                    body.number(index)?;
                }
                let start = base.checked_add(body.number(offset)?)?;
                let length = body.number(length)?;
                if !elsewhere && item.extents.len() < MOST {
                    item.extents.push((start, length));
                }
            }
        }
        Some(())
    }

    fn read_references(&mut self, body: &mut Bytes<'_>) -> Option<()> {
        let (version, _) = body.version()?;
        let wide = if version == 0 { 2 } else { 4 };
        for (kind, entry) in boxes(body.0) {
            let mut entry = Bytes(entry);
            let from = entry.number(wide)? as u32;
            let count = usize::from(entry.u16()?).min(MOST);
            let to: Option<Vec<u32>> =
                (0..count).map(|_| entry.number(wide).map(|n| n as u32)).collect();
            self.references.push((kind, from, to?));
        }
        Some(())
    }

    /// The bytes of an item: of the file if they lie in one piece.
    pub(in crate::decode) fn data(&self, item: &Item) -> Result<Vec<u8>, Wrong> {
        let within = if item.within { self.idat } else { self.file };
        let mut data = vec![];
        for &(start, length) in &item.extents {
            let start = usize::try_from(start).unwrap_or(usize::MAX);
            let rest = within.get(start..).unwrap_or(&[]);
            let length = match length {
                0 => rest.len(),
                length => usize::try_from(length).unwrap_or(usize::MAX),
            };
            let part = rest.get(..length).ok_or(Wrong::Cut("data is missing at its end"))?;
            // Extents may lie over one another; together they are no larger than the file.
            if data.len() + part.len() > self.file.len() {
                return Err(Wrong::Broken("its parts lie over one another"));
            }
            data.extend_from_slice(part);
        }
        match data.is_empty() {
            true => Err(Wrong::Broken("a part of it is empty")),
            false => Ok(data),
        }
    }
}

fn read_primary(body: &mut Bytes<'_>) -> Option<u32> {
    let (version, _) = body.version()?;
    body.number(if version == 0 { 2 } else { 4 }).map(|id| id as u32)
}

/// Which item has which property, by number.
fn read_uses(body: &mut Bytes<'_>) -> Option<Vec<(u32, u16)>> {
    let (version, flags) = body.version()?;
    let count = body.u32()?;
    let mut uses = vec![];
    for _ in 0..count.min(MOST as u32) {
        let item = body.number(if version == 0 { 2 } else { 4 })? as u32;
        for _ in 0..body.u8()? {
            let index = match flags & 1 {
                1 => body.u16()? & 0x7FFF,
                _ => u16::from(body.u8()? & 0x7F),
            };
            uses.push((item, index));
        }
    }
    Some(uses)
}

fn property((kind, body): ([u8; 4], &[u8])) -> Property {
    let mut body = Bytes(body);
    let mut read = || {
        Some(match &kind {
            b"ispe" => {
                body.version()?;
                Property::Size(body.u32()?, body.u32()?)
            }
            b"irot" => Property::Turn(body.u8()? & 3),
            b"imir" => Property::Mirror(body.u8()? & 1),
            b"colr" if body.take(4)? == b"nclx" => {
                body.u32()?;
                Property::Colour { matrix: body.u16()?, full_range: body.u8()? >> 7 == 1 }
            }
            b"auxC" => {
                body.version()?;
                let name = body.0.split(|&byte| byte == 0).next()?;
                match name.ends_with(b":alpha") || name.ends_with(b":auxid:1") {
                    true => Property::Alpha,
                    false => Property::Other,
                }
            }
            _ => Property::Other,
        })
    };
    read().unwrap_or(Property::Other)
}

/// A picture of equal tiles, row by row.
#[derive(Debug, PartialEq)]
pub(in crate::decode) struct Grid {
    pub(in crate::decode) rows: u32,
    pub(in crate::decode) columns: u32,
    pub(in crate::decode) width: u32,
    pub(in crate::decode) height: u32,
}

impl Grid {
    pub(in crate::decode) fn read(data: &[u8]) -> Option<Self> {
        let mut data = Bytes(data);
        data.u8()?;
        let wide = if data.u8()? & 1 == 1 { 4 } else { 2 };
        let (rows, columns) = (u32::from(data.u8()?) + 1, u32::from(data.u8()?) + 1);
        let (width, height) = (data.number(wide)? as u32, data.number(wide)? as u32);
        Some(Self { rows, columns, width, height })
    }

    /// Whether tiles of this size cover the picture, and none lies beside it.
    pub(in crate::decode) fn fits(&self, (across, down): (u32, u32)) -> bool {
        let fits = |tiles: u32, side: u32, whole: u32| {
            let (tiles, side, whole) = (u64::from(tiles), u64::from(side), u64::from(whole));
            tiles * side >= whole && tiles.saturating_sub(1) * side < whole
        };
        fits(self.columns, across, self.width) && fits(self.rows, down, self.height)
    }
}

/// How deep boxes are walked for what others look for.
pub(crate) fn descend<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().take(DEPTH).try_fold(bytes, |bytes, kind| find(bytes, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An `iloc` of version 0 with the sizes and entries given: id and extents.
    fn iloc(sizes: u16, entries: &[(u16, u16)]) -> Vec<u8> {
        let mut bytes = [&[0; 4][..], &sizes.to_be_bytes()].concat();
        bytes.extend((entries.len() as u16).to_be_bytes());
        let each = usize::from(sizes >> 12) + usize::from(sizes >> 8 & 15);
        for &(id, extents) in entries {
            for number in [id, 0, extents] {
                bytes.extend(number.to_be_bytes());
            }
            bytes.resize(bytes.len() + each * usize::from(extents), 0);
        }
        bytes
    }

    #[test]
    fn places_are_bounded_over_all_items_and_boxes() {
        let read = |boxes: &[Vec<u8>]| {
            let mut meta = Meta::default();
            let all = boxes.iter().try_for_each(|body| meta.read_places(&mut Bytes(body)));
            all.map(|()| {
                (meta.items.len(), meta.items.values().map(|i| i.extents.len()).sum::<usize>())
            })
        };
        assert_eq!(read(&[iloc(0x4400, &[(1, 2), (2, 1)])]), Some((2, 3)));
        assert_eq!(read(&[iloc(0, &[(1, 1)])]), Some((1, 1)), "the whole file");
        assert_eq!(read(&[iloc(0, &[(1, 2)])]), None, "twice the whole file");
        let many: Vec<_> = (0..32).map(|id| (id, 2048)).collect();
        assert_eq!(read(&[iloc(0x1100, &many)]), Some((32, 65_536)));
        let more: Vec<_> = (0..33).map(|id| (id, 2048)).collect();
        assert_eq!(read(&[iloc(0x1100, &more)]), None);
        assert_eq!(read(&[iloc(0x1100, &many), iloc(0x1100, &[(99, 1)])]), None);
        let half =
            |start: u16| iloc(0x1100, &(start..start + 3000).map(|i| (i, 1)).collect::<Vec<_>>());
        assert_eq!(read(&[half(0), half(3000)]), Some((MOST, MOST)));
    }

    #[test]
    fn tiles_cover_the_picture_and_none_lies_beside_it() {
        let grid = Grid { rows: 2, columns: 3, width: 250, height: 128 };
        assert!(grid.fits((100, 64)) && grid.fits((84, 127)));
        for size in [(83, 64), (100, 63), (125, 64), (100, 128), (0, 0), (u32::MAX, u32::MAX)] {
            assert!(!grid.fits(size), "{size:?}");
        }
        assert!(Grid { rows: 1, columns: 1, width: 5, height: 5 }.fits((u32::MAX, 5)));
    }
}
