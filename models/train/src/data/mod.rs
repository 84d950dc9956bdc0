//! Given pairs as a user wrote them, how do they become batches of numbers?
//!
//! [`look`] reads every picture once; [`check`] tells what is wrong before an
//! hour is lost; [`Groups`] says which pictures are never each other's
//! negatives; [`split`] holds groups out; [`image_features`] and
//! [`text_features`] run the frozen towers once and keep the results on disk;
//! [`TextTable`] and [`NearTexts`] choose and mask words; [`shuffled`] and
//! [`by_group`] make batches; `lines` writes down what each was for. Everything
//! random is a function of a seed.

mod augment;
mod check;
mod content;
mod example;
mod features;
mod groups;
mod lines;
mod near;
mod sample;
mod seeded;
mod split;
mod texts;

pub use augment::{AUGMENTATION_VERSION, Augment, may_mirror};
pub use check::{Finding, FindingKind, Purpose, Report, Severity, check};
pub use content::{ContentHash, Seen, look};
pub use example::Example;
pub use features::{
    FeatureError, FeatureStore, FeatureTable, ImageFeatures, ImageJob, Key, Picture, Precision,
    Progress, Skipped, TextJob, cached_pictures, image_features, text_features,
};
pub use groups::Groups;
pub(crate) use groups::normal;
pub(crate) use lines::lines;
pub use near::NearTexts;
pub use sample::{SampleError, by_group, shuffled};
pub use split::{Part, Shares, SplitError, split};
pub use texts::{Shares as TextShares, TextTable, pseudo_captions};
