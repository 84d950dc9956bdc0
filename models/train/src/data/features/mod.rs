//! Given frozen towers, what do they say of each picture and text? Asked once,
//! kept on disk by content, so that training heads takes minutes.

mod error;
mod images;
mod progress;
mod store;
mod table;
mod texts;

pub use error::FeatureError;
pub use images::{ImageFeatures, ImageJob, Picture, Skipped, cached_pictures, image_features};
pub use progress::Progress;
pub use store::{FeatureStore, Key};
pub use table::{FeatureTable, Precision};
pub use texts::{TextJob, text_features};
