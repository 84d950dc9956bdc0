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

/// What applying a list of labels to all pictures came to.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AppliedLabels {
    /// The label set.
    pub set: String,
    /// Only labels with at least this probability count.
    pub min_probability: f64,
    /// Whether each label was judged by itself.
    pub multi: bool,
    /// Pictures that were looked at.
    pub pictures: u64,
    /// Those that have a label of the set.
    pub labelled: u64,
    /// Each label, in the set's order.
    pub labels: Vec<LabelCount>,
    /// What is doubtful about that: that the model cannot tell when none of the labels fits.
    pub warnings: Vec<String>,
}

/// How many pictures have a label.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct LabelCount {
    /// The label.
    pub label: String,
    /// How many.
    pub pictures: u64,
}

/// A list of labels that was applied to the pictures of the store.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct AppliedSet {
    /// The label set.
    pub set: String,
    /// Only labels with at least this probability count.
    pub min_probability: f64,
    /// Whether each label was judged by itself.
    pub multi: bool,
    /// Pictures that it was asked of.
    pub pictures: u64,
    /// Pictures that it was not asked of.
    pub waiting: u64,
    /// Whether the set was changed since: what it says of pictures is of the former one.
    pub changed: bool,
    /// When it was applied, or went on with newer pictures; RFC 3339 in UTC.
    pub at: String,
}

/// A label that a set gave to a picture.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct GivenLabel {
    /// The label.
    pub label: String,
    /// The label set.
    pub set: String,
    /// In 0..=1.
    pub probability: f32,
}

impl From<&engine::AppliedLabels> for AppliedLabels {
    fn from(applied: &engine::AppliedLabels) -> Self {
        let count = |(label, pictures): &(String, u64)| LabelCount {
            label: label.clone(),
            pictures: *pictures,
        };
        Self {
            set: applied.set.clone(),
            min_probability: applied.rule.minimum,
            multi: applied.rule.multi,
            pictures: applied.pictures,
            labelled: applied.labelled,
            labels: applied.labels.iter().map(count).collect(),
            warnings: applied.warnings.clone(),
        }
    }
}

impl From<&engine::Applied> for AppliedSet {
    fn from(applied: &engine::Applied) -> Self {
        Self {
            set: applied.set.clone(),
            min_probability: applied.rule.minimum,
            multi: applied.rule.multi,
            pictures: applied.pictures,
            waiting: applied.waiting,
            changed: applied.changed,
            at: rfc3339(applied.at),
        }
    }
}

impl From<&engine::GivenLabel> for GivenLabel {
    fn from(given: &engine::GivenLabel) -> Self {
        Self { label: given.label.clone(), set: given.set.clone(), probability: given.probability }
    }
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
