//! Lists of labels that the store keeps, as JSON?

use ekphrasis_engine as engine;
use serde::Serialize;

use super::{KnownExample, NotTaken};
use crate::date::rfc3339;

/// All lists of labels.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LabelSetList {
    /// In the order of names.
    pub label_sets: Vec<LabelSet>,
}

/// A list of labels.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LabelSet {
    /// What it is called.
    pub name: String,
    /// In the order in which they came.
    pub labels: Vec<SetLabel>,
    /// Id of the space that all was embedded in.
    pub space: String,
    /// Whether that is the store's, and all is as it was written. If not, it has to be made
    /// again.
    pub comparable: bool,
    /// When it was last changed, RFC 3339 in UTC.
    pub at: String,
}

/// A label of a set.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct SetLabel {
    /// What is answered.
    pub label: String,
    /// What is compared with; null if it is known by pictures only.
    pub words: Option<String>,
    /// Its pictures.
    pub examples: Vec<KnownExample>,
}

/// What changing a list of labels came to.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct ChangedLabelSet {
    /// As it is now.
    #[serde(flatten)]
    pub set: LabelSet,
    /// Whether the name was not known before.
    pub new: bool,
    /// Pictures that could not be read.
    pub not_taken: Vec<NotTaken>,
}

impl LabelSetList {
    /// Of these.
    pub fn new(all: &[engine::LabelSet]) -> Self {
        Self { label_sets: all.iter().map(LabelSet::from).collect() }
    }
}

impl From<&engine::LabelSet> for LabelSet {
    fn from(set: &engine::LabelSet) -> Self {
        let labels = set.labels.iter().map(|label| SetLabel {
            label: label.label.clone(),
            words: label.words.clone(),
            examples: label.examples.iter().map(KnownExample::from).collect(),
        });
        Self {
            name: set.name.clone(),
            labels: labels.collect(),
            space: set.space.clone(),
            comparable: set.comparable,
            at: rfc3339(set.at),
        }
    }
}

impl From<&engine::ChangedLabelSet> for ChangedLabelSet {
    fn from(changed: &engine::ChangedLabelSet) -> Self {
        Self {
            set: (&changed.set).into(),
            new: changed.new,
            not_taken: changed.not_taken.iter().map(NotTaken::from).collect(),
        }
    }
}
