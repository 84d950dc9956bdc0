//! Given a picture's file, what does it tell of how the picture came about?
//!
//! EXIF of JPEG, TIFF, PNG, WebP and HEIF. What is not understood is left out:
//! nothing here is a reason to refuse a picture, or to guess.

use std::io::{BufRead, Cursor, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use ekphrasis_index::{Date, Exposure, Facts, Place, Taken};
use exif::{Context, Exif, Field, In, Rational, Reader, Tag, Value};

/// Characters of a name that a camera gives; what is longer is no name.
const LONGEST: usize = 120;

/// What the file with these bytes tells.
pub(super) fn of_bytes(bytes: &[u8]) -> Facts {
    read(&mut Cursor::new(bytes))
}

/// Adds what a block within a file tells, as far as it is not known: EXIF as it
/// lies there, or another file with EXIF of its own.
pub(super) fn add(facts: &mut Facts, block: &[u8]) {
    let read = AssertUnwindSafe(|| {
        let mut reader = Reader::new();
        let exif = reader.continue_on_error(true).read_raw(block.to_vec());
        exif.or_else(|e| e.distill_partial_result(|_| {})).map(|exif| self::facts(&exif))
    });
    let raw = block.starts_with(b"II\x2A\0") || block.starts_with(b"MM\0\x2A");
    let found = match raw {
        true => catch_unwind(read).map_or_else(|_| Facts::default(), Result::unwrap_or_default),
        false => of_bytes(block),
    };
    facts.taken = facts.taken.or(found.taken);
    facts.place = facts.place.or(found.place);
    for (known, found) in [
        (&mut facts.make, found.make),
        (&mut facts.model, found.model),
        (&mut facts.lens, found.lens),
    ] {
        *known = known.take().or(found);
    }
    let (known, found) = (&mut facts.exposure, found.exposure);
    known.time_us = known.time_us.or(found.time_us);
    known.aperture_hundredths = known.aperture_hundredths.or(found.aperture_hundredths);
    known.iso = known.iso.or(found.iso);
    known.focal_hundredths = known.focal_hundredths.or(found.focal_hundredths);
}

fn read(file: &mut (impl BufRead + Seek)) -> Facts {
    // Other people's code on other people's bytes, as with codecs.
    let read = AssertUnwindSafe(|| {
        let mut reader = Reader::new();
        let exif = reader.continue_on_error(true).read_from_container(file);
        // Half of it may well be sound.
        exif.or_else(|e| e.distill_partial_result(|_| {})).map(|exif| facts(&exif))
    });
    catch_unwind(read).map_or_else(|_| Facts::default(), Result::unwrap_or_default)
}

fn facts(exif: &Exif) -> Facts {
    let taken = [
        (Tag::DateTimeOriginal, Tag::OffsetTimeOriginal),
        (Tag::DateTimeDigitized, Tag::OffsetTimeDigitized),
    ];
    let taken = taken.into_iter().find_map(|(time, offset)| {
        let date = date(&text(exif, time)?)?;
        Some(Taken { date, offset_minutes: text(exif, offset).and_then(|o| minutes(&o)) })
    });
    Facts {
        taken,
        make: name(exif, Tag::Make),
        model: name(exif, Tag::Model),
        lens: name(exif, Tag::LensModel),
        place: place(exif),
        exposure: Exposure {
            time_us: scaled(exif, Tag::ExposureTime, 1e6),
            aperture_hundredths: scaled(exif, Tag::FNumber, 100.0).and_then(|n| n.try_into().ok()),
            iso: number(exif, Tag::PhotographicSensitivity),
            focal_hundredths: scaled(exif, Tag::FocalLength, 100.0).and_then(|n| n.try_into().ok()),
        },
        ..Facts::default()
    }
}

fn field(exif: &Exif, tag: Tag) -> Option<&Field> {
    // Some raw files have the directories that belong within the first one apart.
    let apart = Tag(Context::Tiff, tag.number());
    exif.get_field(tag, In::PRIMARY).or_else(|| exif.get_field(apart, In::PRIMARY))
}

fn text(exif: &Exif, tag: Tag) -> Option<String> {
    let Value::Ascii(lines) = &field(exif, tag)?.value else { return None };
    // Cameras pad with NULs and blanks.
    let text = String::from_utf8_lossy(lines.first()?);
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn name(exif: &Exif, tag: Tag) -> Option<String> {
    let text = text(exif, tag)?;
    (text.chars().count() <= LONGEST).then_some(text)
}

fn number(exif: &Exif, tag: Tag) -> Option<u32> {
    field(exif, tag)?.value.get_uint(0).filter(|&n| n > 0)
}

fn rationals(exif: &Exif, tag: Tag) -> Option<&[Rational]> {
    match &field(exif, tag)?.value {
        Value::Rational(list) => Some(list),
        _ => None,
    }
}

/// A positive number times `scale`.
fn scaled(exif: &Exif, tag: Tag, scale: f64) -> Option<u64> {
    let number = (rationals(exif, tag)?.first()?.to_f64() * scale).round();
    (1.0..1e15).contains(&number).then_some(number as u64)
}

/// `2019:05:01 12:30:05`; what is blank, zero or impossible from some part on is unknown.
pub(super) fn date(text: &str) -> Option<Date> {
    let mut known = None;
    let mut parts = vec![];
    for part in text.split([':', ' ', '-', '/', 'T', '.']).take(6) {
        match part.parse() {
            Ok(number) if part.len() <= 4 => parts.push(number),
            _ => break,
        }
        match Date::new(&parts) {
            Some(date) => known = Some(date),
            None => break,
        }
    }
    known
}

/// `+02:00` in minutes.
fn minutes(text: &str) -> Option<i16> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |text: &str| text.parse().ok().filter(|n: &i16| (0..60).contains(n));
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 15).then_some(sign * (60 * hours + minutes))
}

fn place(exif: &Exif) -> Option<Place> {
    let degrees = |tag, reference, negative: char| {
        let parts = rationals(exif, tag)?;
        let mut degrees = 0.0;
        for (part, unit) in parts.iter().zip([1.0, 60.0, 3600.0]) {
            // Without minutes or seconds some write 0/0.
            let number = if part.num == 0 { 0.0 } else { part.to_f64() };
            degrees += number / unit;
        }
        let side = text(exif, reference)?.chars().next()?.to_ascii_uppercase();
        (!parts.is_empty()).then_some(if side == negative { -degrees } else { degrees })
    };
    let latitude = degrees(Tag::GPSLatitude, Tag::GPSLatitudeRef, 'S')?;
    let longitude = degrees(Tag::GPSLongitude, Tag::GPSLongitudeRef, 'W')?;
    // A receiver that knows nothing says so; nobody takes pictures there.
    let known = (latitude, longitude) != (0.0, 0.0);
    Place::new(latitude, longitude).filter(|_| known)
}

#[cfg(test)]
mod tests {
    use exif::experimental::Writer;

    use std::path::Path;

    use super::*;

    fn of_file(path: &Path) -> Facts {
        of_bytes(&fs_err::read(path).expect("read"))
    }

    const MODEL: &[u8] = b"Pixel 7\0\0 ";

    fn ascii(text: &[u8]) -> Value {
        Value::Ascii(vec![text.to_vec()])
    }

    fn rational(list: &[(u32, u32)]) -> Value {
        Value::Rational(list.iter().map(|&(num, denom)| Rational { num, denom }).collect())
    }

    /// A TIFF block with these fields, as it lies in a JPEG.
    fn block(fields: Vec<(Tag, Value)>) -> Vec<u8> {
        let fields: Vec<Field> = fields
            .into_iter()
            .map(|(tag, value)| Field { tag, ifd_num: In::PRIMARY, value })
            .collect();
        let mut writer = Writer::new();
        fields.iter().for_each(|field| writer.push_field(field));
        let mut block = Cursor::new(vec![]);
        writer.write(&mut block, false).expect("in memory");
        block.into_inner()
    }

    /// A JPEG with such a block, as cameras write it: right behind the start marker.
    fn jpeg(fields: Vec<(Tag, Value)>) -> Vec<u8> {
        let mut plain = vec![];
        let picture = image::RgbImage::from_pixel(8, 8, image::Rgb([200, 30, 30]));
        let encoder = image::codecs::jpeg::JpegEncoder::new(&mut plain);
        picture.write_with_encoder(encoder).expect("in memory");
        let block = [b"Exif\0\0", &block(fields)[..]].concat();
        let length = u16::try_from(block.len() + 2).expect("short").to_be_bytes();
        [&plain[..2], &[0xff, 0xe1], &length, &block, &plain[2..]].concat()
    }

    fn full() -> Vec<(Tag, Value)> {
        vec![
            (Tag::DateTimeOriginal, ascii(b"2019:05:01 12:30:05")),
            (Tag::OffsetTimeOriginal, ascii(b"-03:30")),
            (Tag::Make, ascii(b"Google")),
            (Tag::Model, ascii(MODEL)),
            (Tag::LensModel, ascii(b"Pixel 7 back camera 6.81mm f/1.85")),
            (Tag::GPSLatitudeRef, ascii(b"S")),
            (Tag::GPSLatitude, rational(&[(33, 1), (51, 1), (2448, 100)])),
            (Tag::GPSLongitudeRef, ascii(b"E")),
            (Tag::GPSLongitude, rational(&[(151, 1), (12, 1), (5508, 100)])),
            (Tag::ExposureTime, rational(&[(1, 250)])),
            (Tag::FNumber, rational(&[(185, 100)])),
            (Tag::PhotographicSensitivity, Value::Short(vec![100])),
            (Tag::FocalLength, rational(&[(6810, 1000)])),
        ]
    }

    fn expected() -> Facts {
        Facts {
            taken: Some(Taken {
                date: "2019-05-01T12:30:05".parse().expect("a date"),
                offset_minutes: Some(-210),
            }),
            make: Some("Google".into()),
            model: Some("Pixel 7".into()),
            lens: Some("Pixel 7 back camera 6.81mm f/1.85".into()),
            place: Place::new(-33.8568, 151.2153),
            exposure: Exposure {
                time_us: Some(4_000),
                aperture_hundredths: Some(185),
                iso: Some(100),
                focal_hundredths: Some(681),
            },
            ..Facts::default()
        }
    }

    #[test]
    fn what_a_camera_writes_is_read() {
        let picture = jpeg(full());
        assert_eq!(of_bytes(&picture), expected());
        // The block alone is a TIFF file.
        assert_eq!(of_bytes(&block(full())), expected());
        let mut added = Facts { make: Some("Own".into()), ..Facts::default() };
        add(&mut added, &block(full()));
        add(&mut added, b"no block");
        assert_eq!(added, Facts { make: Some("Own".into()), ..expected() });
        assert_eq!(of_bytes(&jpeg(vec![(Tag::Model, ascii(b"\0"))])), Facts::default());
        let plain = [&picture[..2], &picture[picture.len() - 2..]].concat();
        assert_eq!(of_bytes(&plain), Facts::default());
    }

    /// Pictures with EXIF by another's code (Pillow): JPEG, PNG and WebP.
    #[test]
    fn what_others_write_is_read() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/exif");
        let of = |name: &str| of_file(&fixtures.join(name));
        let sydney = of("sydney_pixel.jpg");
        let taken = Taken {
            date: "2019-05-01T12:30:05".parse().expect("a date"),
            offset_minutes: Some(600),
        };
        assert_eq!(sydney, Facts { taken: Some(taken), ..expected() });
        let berlin = of("berlin_canon.png");
        assert_eq!(berlin.camera().as_deref(), Some("Canon EOS 5D"));
        assert_eq!(berlin.lens.as_deref(), Some("EF50mm f/1.8 STM"));
        assert_eq!(berlin.place, Place::new(52.5, 13.4));
        let scan = of("scan_of_1987.webp");
        assert_eq!(scan.taken.map(|t| t.date.to_string()).as_deref(), Some("1987-08"));
        assert_eq!((scan.camera(), scan.place), (None, None));
    }

    #[test]
    fn times_are_known_as_far_as_they_are_written() {
        for (text, known) in [
            ("2019:05:01 12:30:05", Some("2019-05-01T12:30:05")),
            ("2019:05:01 12:30", Some("2019-05-01T12:30")),
            ("2019-05-01T12:30:05.123", Some("2019-05-01T12:30:05")),
            ("2019:05:  :  :  ", Some("2019-05")),
            ("2019:00:00 00:00:00", Some("2019")),
            ("2019:02:30 12:30:05", Some("2019-02")),
            ("0000:00:00 00:00:00", None),
            ("    :  :     :  :  ", None),
            ("yesterday", None),
            ("99999:01:01", None),
            ("", None),
        ] {
            assert_eq!(date(text).map(|d| d.to_string()).as_deref(), known, "{text:?}");
        }
        for (text, known) in [
            ("+02:00", Some(120)),
            ("-03:30", Some(-210)),
            ("Z", None),
            ("+2", None),
            ("+99:00", None),
        ] {
            assert_eq!(minutes(text), known, "{text:?}");
        }
    }

    #[test]
    fn places_that_are_none() {
        let at = |latitude: &[(u32, u32)], longitude: &[(u32, u32)], side: &[u8]| {
            of_bytes(&jpeg(vec![
                (Tag::GPSLatitudeRef, ascii(b"N")),
                (Tag::GPSLatitude, rational(latitude)),
                (Tag::GPSLongitudeRef, ascii(side)),
                (Tag::GPSLongitude, rational(longitude)),
            ]))
            .place
        };
        let west = at(&[(52, 1), (30, 1), (0, 0)], &[(13, 1), (0, 1), (0, 1)], b"W");
        assert_eq!(west, Place::new(52.5, -13.0));
        assert_eq!(at(&[(0, 1); 3], &[(0, 1); 3], b"E"), None);
        assert_eq!(at(&[(91, 1); 3], &[(13, 1); 3], b"E"), None);
        assert_eq!(at(&[(52, 0); 3], &[(13, 1); 3], b"E"), None);
        assert_eq!(at(&[(52, 1); 3], &[(13, 1); 3], b"\0"), None);
    }

    /// Cut short or changed anywhere: something or nothing is read, never a panic.
    #[test]
    fn damage_is_survived() {
        let picture = jpeg(full());
        let header = picture.len().min(700);
        for at in 0..header {
            of_bytes(&picture[..at]);
            for bit in 0..8 {
                let mut flipped = picture.clone();
                flipped[at] ^= 1 << bit;
                of_bytes(&flipped);
            }
        }
    }
}
