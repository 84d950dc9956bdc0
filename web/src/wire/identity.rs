//! Who is known, and who a picture shows, as JSON?

use std::path::Path;

use ekphrasis_engine as engine;
use serde::Serialize;

use super::shown;
use crate::date::rfc3339;

/// All that is known by examples.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct IdentityList {
    /// In the order of names.
    pub identities: Vec<Identity>,
}

/// Something that is known by examples.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Identity {
    /// What it is called.
    pub name: String,
    /// In the order in which they came.
    pub examples: Vec<KnownExample>,
    /// Id of the space that the examples were embedded in.
    pub space: String,
    /// Whether that is the store's, and all is as it was written. If not, it has to be
    /// enrolled again.
    pub comparable: bool,
    /// When it was last changed, RFC 3339 in UTC.
    pub at: String,
}

/// An example. Its file is not needed any more.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct KnownExample {
    /// BLAKE3 of its file, in hexadecimal.
    pub content: String,
    /// The path it had, or `upload`.
    pub source: String,
}

/// What enrolling came to.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Enrolment {
    /// As it is known now.
    #[serde(flatten)]
    pub identity: Identity,
    /// Whether the name was not known before.
    pub new: bool,
    /// Examples that were not known before.
    pub added: usize,
    /// Pictures that could not be read.
    pub not_taken: Vec<NotTaken>,
}

/// A picture that could not be read.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct NotTaken {
    /// Its path, its id, or `upload`.
    pub source: String,
    /// In a sentence.
    pub reason: String,
}

/// That a name was forgotten.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Forgotten {
    /// The name.
    pub forgotten: String,
}

/// Whether a picture shows what a name stands for.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct VerifyReply {
    /// The picture's path; null for an upload.
    pub path: Option<String>,
    /// The name.
    pub name: String,
    /// It does, as far as the threshold tells.
    pub same: bool,
    /// How much it resembles the examples: the mean of the cosines to each.
    pub score: f32,
    /// Examples that it was compared with.
    pub examples: usize,
    /// By what that was decided.
    #[serde(flatten)]
    pub operating: Operating,
}

/// From which score on it is the same, and what is known of that.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Operating {
    /// The least score.
    pub threshold: f64,
    /// The share of comparisons with something else in which that is reached, at most;
    /// null for a threshold that was given.
    pub false_accept_rate: Option<f64>,
    /// Where that lies on other things of the kind measured, with 95 %.
    pub false_accept_interval: Option<[f64; 2]>,
    /// The share of comparisons with the same thing in which it is reached.
    pub true_accept_rate: Option<f64>,
    /// On which pictures that was measured; other kinds may differ.
    pub measured_on: Option<String>,
}

/// Who pictures show.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct IdentifyReply {
    /// In the order they were given.
    pub images: Vec<IdentifiedImage>,
}

/// Who a picture shows.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct IdentifiedImage {
    /// Its path; null for an upload.
    pub path: Option<String>,
    /// The best, if it resembles enough; null: nobody who is known.
    pub name: Option<String>,
    /// The best first.
    pub candidates: Vec<Candidate>,
    /// With how many it was compared.
    pub enrolled: usize,
    /// By what that was decided; null if it is one of them for sure (`closed`).
    pub operating: Option<Operating>,
    /// Of pictures of strangers, at most this share gets some name; null where that is not
    /// known.
    pub strangers_named: Option<f64>,
    /// The share of strangers that was aimed at, where so many are enrolled that it cannot be
    /// held. Left out where it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aim_missed: Option<f64>,
    /// Names that could not be compared: enrolled with another model, or damaged. Left out
    /// if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_comparable: Vec<String>,
}

/// One of those that are known.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Candidate {
    /// The name.
    pub name: String,
    /// How much the picture resembles it.
    pub score: f32,
    /// Whether that is enough.
    pub accepted: bool,
}

impl IdentityList {
    /// Of these.
    pub fn new(all: &[engine::Identity]) -> Self {
        Self { identities: all.iter().map(Identity::from).collect() }
    }
}

impl From<&engine::Identity> for Identity {
    fn from(identity: &engine::Identity) -> Self {
        Self {
            name: identity.name.clone(),
            examples: identity.examples.iter().map(KnownExample::from).collect(),
            space: identity.space.clone(),
            comparable: identity.comparable,
            at: rfc3339(identity.at),
        }
    }
}

impl From<&engine::KnownExample> for KnownExample {
    fn from(example: &engine::KnownExample) -> Self {
        let content = example.content.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { content, source: example.source.clone() }
    }
}

impl From<&engine::Enrolment> for Enrolment {
    fn from(enrolment: &engine::Enrolment) -> Self {
        Self {
            identity: (&enrolment.identity).into(),
            new: enrolment.new,
            added: enrolment.added,
            not_taken: enrolment.not_taken.iter().map(NotTaken::from).collect(),
        }
    }
}

impl From<&engine::NotTaken> for NotTaken {
    fn from(not_taken: &engine::NotTaken) -> Self {
        Self { source: not_taken.source.clone(), reason: not_taken.error.to_string() }
    }
}

impl VerifyReply {
    /// Of the picture at `path` (`None`: an upload).
    pub fn new(path: Option<&Path>, verified: &engine::Verified) -> Self {
        Self {
            path: path.map(shown),
            name: verified.name.clone(),
            same: verified.same,
            score: verified.score,
            examples: verified.examples,
            operating: (&verified.operating).into(),
        }
    }
}

impl From<&engine::Operating> for Operating {
    fn from(operating: &engine::Operating) -> Self {
        let rate = operating.rate;
        Self {
            threshold: operating.threshold,
            false_accept_rate: rate.map(|r| r.false_accept),
            false_accept_interval: rate.map(|r| [r.low, r.high]),
            true_accept_rate: rate.map(|r| r.true_accept),
            measured_on: operating.about.clone(),
        }
    }
}

impl IdentifiedImage {
    /// Of the picture at `path` (`None`: an upload).
    pub fn new(path: Option<&Path>, found: &engine::Identified) -> Self {
        let candidates = found.candidates.iter().map(|candidate| Candidate {
            name: candidate.name.clone(),
            score: candidate.score,
            accepted: candidate.accepted,
        });
        Self {
            path: path.map(shown),
            name: found.name.clone(),
            candidates: candidates.collect(),
            enrolled: found.enrolled,
            operating: found.operating.as_ref().map(Operating::from),
            strangers_named: found.strangers_named,
            aim_missed: found.aim_missed,
            not_comparable: found.not_comparable.clone(),
        }
    }
}
