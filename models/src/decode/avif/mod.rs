//! Given an AVIF file, which pixels is it? Its container is read here, its AV1
//! by `rav1d`, the Rust form of dav1d, which needs no assembler to be built.

mod colour;
pub(super) mod container;

use ekphrasis_embed::{Pixels, PixelsError};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use re_rav1d::dav1d::{Decoder, Error, Picture, Settings};

use self::colour::Colours;
use self::container::{Grid, Meta, Property, Wrong};
use super::{DecodeError, Decoded, memory_for};

const FORMAT: &str = "AVIF";
/// Tiles of one picture.
const MOST_TILES: usize = 1024;
/// How often the decoder may want to be asked once more.
const MOST_TURNS: usize = 10_000;
/// Bytes a pixel: planes of up to 16 bits and what the decoder keeps beside them,
/// transparency, the result, and a copy that is turned.
const BYTES: u64 = 2 * 3 * 2 + 4 + 3 + 3;

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let meta = Meta::read(bytes).map_err(wrong)?;
    let main = meta.items.get(&meta.primary).ok_or(broken("its main picture is not there"))?;
    let size = main.properties.iter().find_map(|property| match *property {
        Property::Size(width, height) => Some((width, height)),
        _ => None,
    });
    let (width, height) = size.ok_or(broken("it does not say its size"))?;
    Pixels::check_size(width, height)?;
    let pixels = u64::from(width) * u64::from(height);
    let needed = pixels * BYTES + bytes.len() as u64;
    let mut memory = memory_for(width, height, needed)?;
    let mut canvas = Canvas { width, height, rgb: vec![255; 3 * pixels as usize] };
    paint(&meta, meta.primary, &mut canvas, Canvas::draw)?;
    let alpha = meta.references.iter().find_map(|(kind, from, to)| {
        let item = meta.items.get(from)?;
        let own = kind == b"auxl" && to.contains(&meta.primary);
        (own && item.properties.contains(&Property::Alpha)).then_some(*from)
    });
    if let Some(alpha) = alpha {
        paint(&meta, alpha, &mut canvas, Canvas::lay_on_white)?;
    }
    let (expected, got) = (3 * pixels, canvas.rgb.len() as u64);
    let image = RgbImage::from_raw(width, height, canvas.rgb);
    let mut image =
        DynamicImage::from(image.ok_or(PixelsError::Length { width, height, expected, got })?);
    // In the order in which they are written, as the standard has it.
    for property in once_each(&main.properties) {
        image.apply_orientation(match property {
            Property::Turn(1) => Orientation::Rotate270,
            Property::Turn(2) => Orientation::Rotate180,
            Property::Turn(3) => Orientation::Rotate90,
            Property::Mirror(0) => Orientation::FlipVertical,
            Property::Mirror(_) => Orientation::FlipHorizontal,
            _ => Orientation::NoTransforms,
        });
    }
    let image = image.into_rgb8();
    memory.shrink(expected);
    let pixels = Pixels::new(image.width(), image.height(), image.into_raw())?;
    Ok(Decoded { pixels, format: FORMAT, _memory: memory })
}

fn broken(detail: &str) -> DecodeError {
    DecodeError::Broken { format: FORMAT, detail: detail.into() }
}

fn wrong(wrong: Wrong) -> DecodeError {
    match wrong {
        Wrong::Cut(detail) => DecodeError::Truncated { format: FORMAT, detail: detail.into() },
        Wrong::Broken(detail) => broken(detail),
    }
}

/// What is drawn on.
struct Canvas {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

/// What is done with a decoded picture whose upper left corner lies at x and y;
/// what the container says of its colours comes along.
type Draw = fn(&mut Canvas, &Picture, (u32, u32), Option<Colours>) -> Result<(), &'static str>;

/// The first turn and the first mirror in their order: each may be there once.
fn once_each(properties: &[Property]) -> impl Iterator<Item = &Property> {
    let (mut turned, mut mirrored) = (false, false);
    properties.iter().filter(move |property| match property {
        Property::Turn(_) => !std::mem::replace(&mut turned, true),
        Property::Mirror(_) => !std::mem::replace(&mut mirrored, true),
        _ => false,
    })
}

/// Decodes an item, which may be a grid of others, onto the canvas.
fn paint(meta: &Meta<'_>, id: u32, canvas: &mut Canvas, draw: Draw) -> Result<(), DecodeError> {
    let item = meta.items.get(&id).ok_or(broken("a part of it is not there"))?;
    let colours = item.properties.iter().find_map(|property| match *property {
        Property::Colour { matrix, full_range } => Some(Colours { matrix, full_range }),
        _ => None,
    });
    match &item.kind {
        b"av01" => {
            let picture = frame(meta, id, canvas)?;
            if (picture.width(), picture.height()) != (canvas.width, canvas.height) {
                return Err(broken("its picture has another size than it says"));
            }
            draw(canvas, &picture, (0, 0), colours).map_err(broken)
        }
        b"grid" => {
            let data = meta.data(item).map_err(wrong)?;
            let grid = Grid::read(&data).ok_or(broken("its grid makes no sense"))?;
            let tiles =
                meta.references.iter().find(|(kind, from, _)| kind == b"dimg" && *from == id);
            let tiles = tiles.map_or(&[][..], |(_, _, to)| to);
            let fits = (grid.width, grid.height) == (canvas.width, canvas.height)
                && tiles.len() as u64 == u64::from(grid.rows) * u64::from(grid.columns)
                && tiles.len() <= MOST_TILES;
            if !fits {
                return Err(broken("its grid does not fit its tiles"));
            }
            let mut first = None;
            for (place, tile) in (0..).zip(tiles) {
                let picture = frame(meta, *tile, canvas)?;
                let (row, column) = (place / grid.columns, place % grid.columns);
                let size = (picture.width(), picture.height());
                if *first.get_or_insert(size) != size {
                    return Err(broken("its tiles are not all of one size"));
                }
                if !grid.fits(size) {
                    return Err(broken("its tiles do not fit the picture"));
                }
                let corner =
                    (column.saturating_mul(picture.width()), row.saturating_mul(picture.height()));
                draw(canvas, &picture, corner, colours).map_err(broken)?;
            }
            Ok(())
        }
        kind => {
            let kind = String::from_utf8_lossy(kind);
            Err(broken(&format!("its main picture is of the kind {:?}", kind.trim())))
        }
    }
}

/// The first frame of an item's AV1, no larger than the canvas.
fn frame(meta: &Meta<'_>, id: u32, canvas: &Canvas) -> Result<Picture, DecodeError> {
    let item = meta.items.get(&id).filter(|item| &item.kind == b"av01");
    let data = meta.data(item.ok_or(broken("a part of it is not AV1"))?).map_err(wrong)?;
    let mut settings = Settings::new();
    settings.set_n_threads(1);
    settings.set_max_frame_delay(1);
    // Frames may be padded to whole blocks.
    let most = u64::from(canvas.width.max(16) + 128) * u64::from(canvas.height.max(16) + 128);
    settings.set_frame_size_limit(u32::try_from(most).unwrap_or(u32::MAX));
    let fail = |e: Error| broken(&format!("AV1: {e}"));
    let mut decoder = Decoder::with_settings(&settings).map_err(fail)?;
    // A picture may be ready before all data is taken; it is the one that is wanted.
    let mut sent = decoder.send_data(data, None, None, None);
    for _ in 0..MOST_TURNS {
        match decoder.get_picture() {
            Ok(picture) => return Ok(picture),
            Err(e) if !e.is_again() => return Err(fail(e)),
            Err(_) => {}
        }
        match sent {
            Err(e) if e.is_again() => sent = decoder.send_pending_data(),
            Err(e) => return Err(fail(e)),
            // Asked once more, it gives what it has.
            Ok(()) => break,
        }
    }
    decoder.get_picture().map_err(|_| broken("there is no picture in its AV1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_and_one_mirror_count() {
        let size = Property::Size(1, 1);
        let (turn, mirror) = (Property::Turn(1), Property::Mirror(0));
        let all = [mirror, size, turn, Property::Turn(2), Property::Mirror(1), turn];
        assert_eq!(once_each(&all).copied().collect::<Vec<_>>(), [mirror, turn]);
    }
}
