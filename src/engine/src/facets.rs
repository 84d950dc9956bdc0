//! Given a filter, by what can the items that pass be narrowed further? Each value
//! comes with its count and with the filter that asks for it.

use ekphrasis_index::{Expr, Facet, Filter, PathPattern, Pattern, Term};

use crate::{Engine, EngineError};

/// By what items can be narrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facets {
    /// Items that pass the filter.
    pub total: u64,
    /// One for each property.
    pub groups: Vec<FacetGroup>,
}

/// The values of one property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetGroup {
    /// The field's name in filters: `kind`, `folder`, `year`, `camera`, `format`, `tag`, `label`,
    /// `color`; a folder is asked for by `path`, a year by `taken`.
    pub name: &'static str,
    /// How many different values there are in all.
    pub distinct: usize,
    /// The most frequent first; years: the newest first.
    pub values: Vec<FacetValue>,
}

/// One value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FacetValue {
    /// As it is shown.
    pub value: String,
    /// How many items have it.
    pub count: u64,
    /// The filter that asks for it; `None` if there is no way to write it.
    pub filter: Option<String>,
}

impl Engine {
    /// Counts the items that pass the filter by kind, folder, year, camera, format, tag,
    /// label and colour, with at most `limit` values each.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn facets(&self, filter: &Filter, limit: usize) -> Result<Facets, EngineError> {
        let counts = self.fresh()?.facet_counts(filter, limit)?;
        let kinds = [("image", counts.images), ("text", counts.texts)];
        let kinds = kinds.into_iter().filter(|(_, count)| *count > 0);
        let kinds: Vec<(String, u64)> = kinds.map(|(kind, count)| (kind.into(), count)).collect();
        let kinds = Facet { distinct: kinds.len(), values: kinds };
        let plain =
            |field: &'static str| move |value: &str| format!("{field}:{value}").parse().ok();
        let term = |make: fn(Pattern) -> Term| move |value: &str| Pattern::new(value).map(make);
        let is = |make| move |value: &str| term(make)(value).map(Expr::from);
        // Only what lies in the folder itself is counted for it.
        let folder = |value: &str| {
            let inside = format!("{}/*", value.trim_end_matches('/'));
            PathPattern::new(&inside).map(|pattern| Expr::from(Term::Path(pattern)))
        };
        Ok(Facets {
            total: counts.images + counts.texts,
            groups: vec![
                group("kind", kinds, plain("kind")),
                group("folder", counts.folders, folder),
                group("year", counts.years, plain("taken")),
                group("camera", counts.cameras, is(Term::Camera)),
                group("format", counts.formats, is(Term::Format)),
                group("tag", counts.tags, is(Term::Tag)),
                group("label", counts.labels, is(Term::Label)),
                group("color", counts.colours, plain("color")),
            ],
        })
    }
}

fn group(name: &'static str, facet: Facet, asks: impl Fn(&str) -> Option<Expr>) -> FacetGroup {
    let value = |(value, count): (String, u64)| {
        // Only if it can be read again: no filter can hold some characters.
        let filter = asks(&value).map(|expr| expr.to_string());
        let filter = filter.filter(|text| text.parse::<Expr>().is_ok());
        FacetValue { value, count, filter }
    };
    let values = facet.values.into_iter().map(value).collect();
    FacetGroup { name, distinct: facet.distinct, values }
}
