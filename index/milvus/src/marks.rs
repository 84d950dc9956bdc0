//! What of an item can a server compare by itself? Numbers, and marks: short texts
//! like `tag:beach`, of which an item has any number.

use ekphrasis_index::elsewhere::{folded, folders};
use ekphrasis_index::{Exposure, Item, Kind};

/// Stands for a number that an item does not have; less than any it may have.
pub(crate) const ABSENT: i64 = -(1 << 62);
/// The most marks of an item that a server keeps.
pub(crate) const MOST_MARKS: usize = 4096;
/// The longest mark, in bytes.
pub(crate) const LONGEST_MARK: usize = 512;

/// A number of an item, a column of the collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Kind,
    Size,
    Modified,
    Width,
    Height,
    TakenFrom,
    TakenTo,
    Iso,
    Aperture,
    Exposure,
    Focal,
    Latitude,
    Longitude,
}

impl Number {
    pub(crate) const ALL: [Self; 13] = [
        Self::Kind,
        Self::Size,
        Self::Modified,
        Self::Width,
        Self::Height,
        Self::TakenFrom,
        Self::TakenTo,
        Self::Iso,
        Self::Aperture,
        Self::Exposure,
        Self::Focal,
        Self::Latitude,
        Self::Longitude,
    ];

    /// The column's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Size => "size",
            Self::Modified => "modified",
            Self::Width => "width",
            Self::Height => "height",
            Self::TakenFrom => "taken_from",
            Self::TakenTo => "taken_to",
            Self::Iso => "iso_speed",
            Self::Aperture => "aperture",
            Self::Exposure => "exposure",
            Self::Focal => "focal",
            Self::Latitude => "latitude",
            Self::Longitude => "longitude",
        }
    }

    /// An item's number, or [`ABSENT`].
    pub(crate) fn of(self, item: &Item) -> i64 {
        let file = item.file.as_ref();
        let facts = item.facts.as_ref();
        let taken = facts.and_then(|f| f.taken).map(|t| t.date);
        let place = facts.and_then(|f| f.place);
        let exposure = facts.map_or_else(Exposure::default, |f| f.exposure);
        let number = match self {
            Self::Kind => Some(kind_code(item.kind)),
            Self::Size => file.map(|f| clamped(f.size)),
            Self::Modified => file.map(|f| f.mtime_ns.div_euclid(1_000_000_000)),
            Self::Width => file.map(|f| f.width.into()),
            Self::Height => file.map(|f| f.height.into()),
            Self::TakenFrom => taken.map(|d| d.first()),
            Self::TakenTo => taken.map(|d| d.last()),
            Self::Iso => exposure.iso.map(i64::from),
            Self::Aperture => exposure.aperture_hundredths.map(i64::from),
            Self::Exposure => exposure.time_us.map(clamped),
            Self::Focal => exposure.focal_hundredths.map(i64::from),
            Self::Latitude => place.map(|p| (p.latitude() * 1e7).round() as i64),
            Self::Longitude => place.map(|p| (p.longitude() * 1e7).round() as i64),
        };
        number.unwrap_or(ABSENT)
    }
}

pub(crate) fn kind_code(kind: Kind) -> i64 {
    match kind {
        Kind::Image => 0,
        Kind::Text => 1,
    }
}

/// Sizes beyond what the column holds are all the same.
pub(crate) fn clamped(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A mark: of what kind, and its text as filters compare it. `None` if a server could not
/// compare it: too long, or with characters that its language of filters has no way to write.
pub(crate) fn mark(field: &str, text: &str) -> Option<String> {
    let mark = format!("{field}:{}", folded(text));
    (mark.len() <= LONGEST_MARK && !mark.chars().any(char::is_control)).then_some(mark)
}

/// All marks of an item, each once.
pub(crate) fn marks(item: &Item) -> Vec<String> {
    let facts = item.facts.iter();
    let tags = item.tags.iter().chain(facts.clone().flat_map(|f| &f.keywords));
    let mut all: Vec<_> = tags.filter_map(|tag| mark("tag", tag)).collect();
    all.extend(item.labels.iter().filter_map(|label| mark("label", label)));
    all.extend(item.file.iter().filter_map(|file| mark("format", &file.format)));
    let colours = facts.flat_map(|f| &f.colours);
    all.extend(colours.filter_map(|colour| mark("color", colour.as_str())));
    let above = item.path.iter().flat_map(|path| folders(path));
    all.extend(above.filter_map(|name| mark("folder", &name)));
    all.sort();
    all.dedup();
    all
}
