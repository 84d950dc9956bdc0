//! What is wrong with a filter, and where?

/// A filter expression that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the filter is wrong at character {}: {what}", .at + 1)]
pub struct FilterError {
    pub(super) at: usize,
    pub(super) what: String,
    pub(super) expected: String,
}

impl FilterError {
    /// Where it goes wrong: characters before that.
    pub fn position(&self) -> usize {
        self.at
    }

    /// What should stand there.
    pub fn expected(&self) -> &str {
        &self.expected
    }
}
