//! Given an item of the store, how does it look as JSON?

use ekphrasis_engine as engine;
use serde::Serialize;

use super::{GivenLabel, shown};
use crate::date::rfc3339;

/// An item without a score.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Item {
    /// Stable id.
    pub id: String,
    /// `image` or `text`.
    pub kind: &'static str,
    /// Absolute path, for a file.
    pub path: Option<String>,
    /// The text itself, or a picture's captions.
    pub caption: Option<String>,
    /// Facts about the file, and tags.
    pub meta: Meta,
}

/// Facts about an item; those of files are there for files only.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Meta {
    /// Upright width in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Upright height in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Length in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Format by content, such as `jpeg`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// When the file was last changed, RFC 3339 in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modified: Option<String>,
    /// BLAKE3 of the file, hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// Tags.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Labels: the classes it was said to be of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// Labels that it has of label sets that were applied, the most probable first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given_labels: Vec<GivenLabel>,
    /// When it was taken by the camera's clock, as far as is known: `2019-05` or `2019-05-01T12:30:05`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken: Option<String>,
    /// Minutes that the camera's clock was ahead of UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_offset_minutes: Option<i16>,
    /// Make and model of the camera.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub camera: Option<String>,
    /// The lens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lens: Option<String>,
    /// Degrees north.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latitude: Option<f64>,
    /// Degrees east.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longitude: Option<f64>,
    /// How it was exposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exposure: Option<Exposure>,
    /// Titles and descriptions that are written in the file or beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<String>,
    /// Keywords that are written in the file or beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keywords: Vec<String>,
    /// The colours that most of the picture has, the most frequent first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub colors: Vec<&'static str>,
}

/// How a picture was exposed, as far as is known.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Exposure {
    /// Exposure time in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The f-number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aperture: Option<f64>,
    /// ISO speed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iso: Option<u32>,
    /// Focal length in millimetres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub focal_length: Option<f64>,
}

/// A stretch of the items, in the order of ids.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ItemList {
    /// The items.
    pub items: Vec<Item>,
    /// What to give as `after` for the next stretch; null at the end.
    pub next: Option<String>,
}

/// What was forgotten.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Removed {
    /// How many items.
    pub removed: u64,
    /// Indexed folders around them: a file stays out of the store until it changes or is tried
    /// again; the failures name it.
    pub within: Vec<String>,
}

impl Removed {
    /// So many items, which lay in these folders.
    pub fn new(removed: u64, within: &[std::path::PathBuf]) -> Self {
        Self { removed, within: within.iter().map(|root| shown(root)).collect() }
    }
}

impl Meta {
    fn add(&mut self, facts: &engine::Facts) {
        self.taken = facts.taken.map(|taken| taken.date.to_string());
        self.taken_offset_minutes = facts.taken.and_then(|taken| taken.offset_minutes);
        self.camera = facts.camera();
        self.lens.clone_from(&facts.lens);
        self.latitude = facts.place.map(engine::Place::latitude);
        self.longitude = facts.place.map(engine::Place::longitude);
        self.texts.clone_from(&facts.texts);
        self.keywords.clone_from(&facts.keywords);
        self.colors = facts.colours.iter().map(|colour| colour.as_str()).collect();
        let engine::Exposure { time_us, aperture_hundredths, iso, focal_hundredths } =
            facts.exposure;
        let hundredths = |n: u32| f64::from(n) / 100.0;
        if facts.exposure != engine::Exposure::default() {
            self.exposure = Some(Exposure {
                seconds: time_us.map(|us| us as f64 / 1e6),
                aperture: aperture_hundredths.map(hundredths),
                iso,
                focal_length: focal_hundredths.map(hundredths),
            });
        }
    }
}

impl Item {
    /// An item with the labels that sets gave to it.
    pub fn labelled(item: &engine::Item, given: &[engine::GivenLabel]) -> Self {
        let mut this = Self::from(item);
        this.meta.given_labels = given.iter().map(GivenLabel::from).collect();
        this
    }
}

impl From<&engine::Item> for Item {
    fn from(item: &engine::Item) -> Self {
        let mut meta =
            Meta { tags: item.tags.clone(), labels: item.labels.clone(), ..Meta::default() };
        if let Some(facts) = &item.facts {
            meta.add(facts);
        }
        if let Some(file) = &item.file {
            meta.width = Some(file.width);
            meta.height = Some(file.height);
            meta.size = Some(file.size);
            meta.format = Some(file.format.clone());
            meta.modified = Some(rfc3339(file.mtime_ns.div_euclid(1_000_000_000)));
            meta.blake3 = Some(file.content.iter().map(|byte| format!("{byte:02x}")).collect());
        }
        Self {
            id: item.id.to_string(),
            kind: item.kind.as_str(),
            path: item.path.as_deref().map(shown),
            caption: item.text.clone(),
            meta,
        }
    }
}

impl ItemList {
    /// A stretch of items that was asked for with this `limit`.
    pub fn new(items: &[(engine::Item, Vec<engine::GivenLabel>)], limit: usize) -> Self {
        // A short stretch is the last one; a full one may be, which the next call shows.
        let last = items.last().filter(|_| items.len() >= limit);
        Self {
            items: items.iter().map(|(item, given)| Item::labelled(item, given)).collect(),
            next: last.map(|(item, _)| item.id.to_string()),
        }
    }
}
