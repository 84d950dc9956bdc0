//! Given similarities and the truth, how good is a model? Retrieval, zero-shot
//! labels, verification, few-shot episodes, clusters; all pure and seeded.
//!
//! One rule for all of them: **ties count against the model**, and so does NaN.
//! A model that says the same of everything scores nothing.

mod bootstrap;
mod calibration;
mod clustering;
mod episodes;
mod feedback;
mod first;
mod generalised;
mod identification;
mod operating;
mod per_class;
mod rank;
mod relevance;
mod retrieval;
mod verification;
mod zero_shot;

pub use bootstrap::{Interval, bootstrap_mean, bootstrap_mean_by};
pub use calibration::{ReliabilityBin, area_under_roc, calibration_error, reliability};
pub use clustering::{adjusted_rand_index, normalised_mutual_information};
pub use episodes::{
    ClassWords, EpisodeError, EpisodeOptions, EpisodeScore, few_shot, few_shot_with_words,
};
pub use feedback::{Judged, Steer, judge_rounds};
pub use first::FirstHits;
pub use generalised::{AtGamma, Generalised, GeneralisedError, generalised_zero_shot};
pub use identification::{Asked, AtThreshold, Identification, NobodyToIdentify, TooFewStrangers};
pub use operating::{OperatingPoint, Stated, UnknownRate, operating_points};
pub use per_class::{ClassScore, Confusion, PerClass, per_class};
pub use rank::{QueryScore, rank, score_query};
pub use relevance::{Relevance, RelevanceError};
pub use retrieval::{RetrievalScore, class_means, retrieve};
pub use verification::{
    FoldedAccuracy, RocPoint, TooFewNegatives, Verification, VerificationError,
};
pub use zero_shot::{ZeroShotScore, zero_shot};
