//! Given the copies in a store, how do they look as JSON?

use ekphrasis_engine as engine;
use serde::Serialize;

use super::{Meta, item, shown};

/// Groups of copies.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DuplicateReport {
    /// Those first whose copies beside the best take the most bytes.
    pub groups: Vec<DuplicateGroup>,
    /// How many groups there are in all.
    pub total_groups: usize,
    /// Pictures that were compared.
    pub pictures: u64,
    /// Copies beside the best of each group.
    pub copies: u64,
    /// Bytes of those.
    pub bytes: u64,
}

/// Pictures that are copies of one another.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct DuplicateGroup {
    /// `exact` if all files are identical, else `near`.
    pub kind: &'static str,
    /// The id of the best copy.
    pub best: String,
    /// Why it is the best: `most pixels`, `least compressed`…
    pub why: &'static str,
    /// The best first.
    pub items: Vec<Duplicate>,
}

/// One of several copies.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Duplicate {
    /// Stable id.
    pub id: String,
    /// Absolute path.
    pub path: Option<String>,
    /// Cosine to the best; 1 for an identical file.
    pub similarity: f32,
    /// Facts about the file, and tags.
    pub meta: Meta,
}

impl DuplicateReport {
    /// `limit` groups after the first `offset`.
    pub fn new(report: &engine::DuplicateReport, offset: usize, limit: usize) -> Self {
        Self {
            groups: report.groups.iter().skip(offset).take(limit).map(group).collect(),
            total_groups: report.groups.len(),
            pictures: report.pictures,
            copies: report.copies,
            bytes: report.bytes,
        }
    }
}

fn group(group: &engine::DuplicateGroup) -> DuplicateGroup {
    let copy = |copy: &engine::Duplicate| Duplicate {
        id: copy.item.id.to_string(),
        path: copy.item.path.as_deref().map(shown),
        similarity: copy.similarity,
        meta: item::Item::from(&copy.item).meta,
    };
    DuplicateGroup {
        kind: if group.identical { "exact" } else { "near" },
        best: group.copies[0].item.id.to_string(),
        why: group.why,
        items: group.copies.iter().map(copy).collect(),
    }
}
