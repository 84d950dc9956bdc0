//! By what can items be narrowed, as JSON?

use ekphrasis_engine as engine;
use serde::Serialize;

/// How many items have which property.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Facets {
    /// Items that pass the filter.
    pub total: u64,
    /// One for each property.
    pub facets: Vec<Facet>,
}

/// The values of one property.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Facet {
    /// `kind`, `folder`, `year`, `camera`, `format`, `tag`, `label` or `color`.
    pub name: &'static str,
    /// How many different values there are in all.
    pub distinct: usize,
    /// The most frequent first; years: the newest first.
    pub values: Vec<FacetValue>,
}

/// One value of a property.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct FacetValue {
    /// As it is shown.
    pub value: String,
    /// How many items have it.
    pub count: u64,
    /// What to add to the filter to see only those; null if it cannot be written.
    pub filter: Option<String>,
}

impl From<engine::Facets> for Facets {
    fn from(facets: engine::Facets) -> Self {
        let value =
            |v: engine::FacetValue| FacetValue { value: v.value, count: v.count, filter: v.filter };
        let group = |group: engine::FacetGroup| Facet {
            name: group.name,
            distinct: group.distinct,
            values: group.values.into_iter().map(value).collect(),
        };
        Self { total: facets.total, facets: facets.groups.into_iter().map(group).collect() }
    }
}
