//! Given a job, how does it look as JSON?

use serde::Serialize;

use super::{Failure, Indexed, Progress, Used};

/// Something that goes on in the background.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct Job {
    /// Its name, as long as the server runs.
    pub id: String,
    /// `index`, `retry`, `remove` or `use`.
    pub action: &'static str,
    /// Of `use`: the model.
    pub model: Option<String>,
    /// What it is about; of `retry`, nothing means everything.
    pub paths: Vec<String>,
    /// `waiting`, `running`, `done`, `stopped` (by DELETE, or since the server ends) or `failed`.
    pub state: &'static str,
    /// When it was asked for, RFC 3339 in UTC.
    pub created: String,
    /// When it began.
    pub started: Option<String>,
    /// When it ended.
    pub ended: Option<String>,
    /// How far it is; null before it begins and for `remove`.
    pub progress: Option<Progress>,
    /// The file that was looked at last.
    pub file: Option<String>,
    /// What it did, once it has ended.
    pub result: Option<JobResult>,
    /// Why it failed, in a sentence.
    pub error: Option<String>,
    /// Whose fault that is: `user`, `busy`, `environment` or `bug`.
    pub fault: Option<&'static str>,
}

/// What a job did.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct JobResult {
    /// Of `index` and `retry`: the counts.
    pub report: Option<Indexed>,
    /// Files of this run that are not in the store, and why; the first thousand. Empty in the
    /// list of jobs; the job itself has them.
    pub failures: Vec<Failure>,
    /// Files that the captions name and the store does not have; the first thousand. Empty in
    /// the list of jobs, too.
    pub unmatched: Vec<String>,
    /// How many of those there are in all.
    pub unmatched_count: usize,
    /// Of `remove`: items that were forgotten.
    pub removed: Option<u64>,
    /// Of `remove`: folders around what was forgotten, whose next run takes up what is still there.
    pub within: Vec<String>,
    /// Of `use`: what became of the move to another model.
    pub used: Option<Used>,
}

/// All jobs that are remembered.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(feature = "server", derive(utoipa::ToSchema))]
pub struct JobList {
    /// The newest first.
    pub jobs: Vec<Job>,
}
