//! Given the stores of a data folder, and a move from one model to another, how do they look
//! as JSON?

use ekphrasis_engine as engine;
use serde::Serialize;

use super::{Failure, Progress};

/// A store of the data folder: each model that it was moved to has one.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Generation {
    /// Counted from 1.
    pub number: u32,
    /// `serving`, `former` (to go back to) or `unfinished` (it is being made, or that was
    /// stopped).
    pub role: &'static str,
    /// Id of its space; null if nothing is in it yet, or it cannot be read.
    pub space: Option<String>,
    /// Items in it. While it is being made: how many are done.
    pub items: u64,
    /// Bytes that it takes on disk.
    pub bytes: u64,
}

/// What became of a move to another model.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Used {
    /// `switched`, `already`, `variant` (it is of the store's space, and in use now without
    /// anything embedded), `stopped` (the next one goes on from there) or `held_back`: all is
    /// done but for the switch, which would lose something.
    pub outcome: &'static str,
    /// The new model's name.
    pub model: String,
    /// Id of its space.
    pub space: String,
    /// The generation that serves now.
    pub generation: u32,
    /// The counts: `indexed` were embedded, `unchanged` were there already.
    pub report: Progress,
    /// Pictures that have no vector of the new model, and why; the first thousand.
    pub missing: Vec<Failure>,
    /// How many of those there are in all.
    pub missing_count: usize,
    /// Pictures of identities and label sets that could not be embedded.
    pub unmade: Vec<Unmade>,
    /// Label sets that had been applied to the pictures and could not be by the new model.
    pub unapplied: Vec<Unapplied>,
}

/// A label set that could not be applied by the new model; no picture has labels of it now.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Unapplied {
    /// The set.
    pub set: String,
    /// Why not.
    pub reason: String,
}

/// A picture of an identity or a label set that could not be embedded by the new model.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Unmade {
    /// `identity` or `label set`.
    pub kind: &'static str,
    /// Whose it is.
    pub name: String,
    /// The label of the set.
    pub label: Option<String>,
    /// The picture's path, or `upload`; empty if what is known of the name is damaged.
    pub source: String,
    /// Whether the name can be used without it. If not, it has to be given again.
    pub others_do: bool,
}

impl From<&engine::Generation> for Generation {
    fn from(generation: &engine::Generation) -> Self {
        Self {
            number: generation.number,
            role: generation.role.as_str(),
            space: generation.space.as_ref().map(|space| space.id().to_owned()),
            items: generation.items,
            bytes: generation.bytes,
        }
    }
}

impl From<&engine::Unmade> for Unmade {
    fn from(unmade: &engine::Unmade) -> Self {
        Self {
            kind: unmade.kind,
            name: unmade.name.clone(),
            label: unmade.label.clone(),
            source: unmade.source.clone(),
            others_do: unmade.others_do,
        }
    }
}

impl From<&engine::Unapplied> for Unapplied {
    fn from(unapplied: &engine::Unapplied) -> Self {
        Self { set: unapplied.set.clone(), reason: unapplied.reason.clone() }
    }
}

impl Used {
    /// With at most `most` of the pictures that are missing.
    pub fn new(used: &engine::Used, most: usize) -> Self {
        let first = used.missing.len().min(most);
        Self {
            outcome: match used.outcome {
                engine::Outcome::Switched => "switched",
                engine::Outcome::Already => "already",
                engine::Outcome::Variant => "variant",
                engine::Outcome::Stopped => "stopped",
                engine::Outcome::HeldBack => "held_back",
            },
            model: used.model.clone(),
            space: used.space.id().to_owned(),
            generation: used.generation,
            report: Progress::from(&used.progress),
            missing: super::FailureList::new(&used.missing[..first]).failures,
            missing_count: used.missing.len(),
            unmade: used.unmade.iter().map(Unmade::from).collect(),
            unapplied: used.unapplied.iter().map(Unapplied::from).collect(),
        }
    }
}
