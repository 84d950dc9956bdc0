//! Why is there no loss?

/// Which similarities a loss was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Image anchors, text candidates.
    ImageToText,
    /// Text anchors, image candidates.
    TextToImage,
    /// Image anchors, image candidates.
    ImageToImage,
    /// Text anchors, text candidates.
    TextToText,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ImageToText => "image → text",
            Self::TextToImage => "text → image",
            Self::ImageToImage => "image → image",
            Self::TextToText => "text → text",
        })
    }
}

/// Why a loss was refused, with what to do next.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LossError {
    /// Every pair of the batch is a positive or left out.
    #[error(
        "{what}: no anchor has a negative among {candidates} candidates (all share its group, \
         or are near-duplicates); a loss needs at least two groups in a batch: add pairs of \
         other things, enlarge the batch, or give captions of different things different groups"
    )]
    NoNegatives {
        /// The side or loss.
        what: String,
        /// Candidates there were.
        candidates: usize,
    },
    /// No anchor has another of its group.
    #[error(
        "{what}: no anchor has a positive among {candidates} candidates; draw at least two \
         rows of a group into each batch, or leave this side out (weight 0)"
    )]
    NoPositives {
        /// The side or loss.
        what: String,
        /// Candidates there were.
        candidates: usize,
    },
    /// Shapes or lengths that do not fit together.
    #[error("{what}: expected {expected}, got {got}; give one row a pair, all equally wide")]
    Shape {
        /// What was looked at.
        what: &'static str,
        /// What would fit.
        expected: String,
        /// What there is.
        got: String,
    },
    /// A part of the batch that the options ask for is not there.
    #[error("{what} needs {needs}, and the batch has none; {advice}")]
    Missing {
        /// Who asks.
        what: String,
        /// For what.
        needs: &'static str,
        /// What to do next.
        advice: &'static str,
    },
    /// A class id beyond the classifier.
    #[error(
        "row {row} has class {class}, but the classifier was made for {classes} classes \
         (0 to {classes} − 1); count the classes of the whole training set"
    )]
    Class {
        /// The row.
        row: usize,
        /// Its class.
        class: u32,
        /// Classes there are.
        classes: usize,
    },
    /// An option out of its range, or two that exclude each other.
    #[error("option {name}: expected {expected}, got {got}; change it in the objective's options")]
    Option {
        /// Its name.
        name: &'static str,
        /// The range.
        expected: String,
        /// The value.
        got: String,
    },
    /// NaN or infinite.
    #[error(
        "a number of {what} row {row} (counted from 0) is not finite; lower the learning rate, \
         clip gradients, or look at that row's input"
    )]
    NotFinite {
        /// Whose.
        what: &'static str,
        /// Which.
        row: usize,
    },
    /// State of another objective.
    #[error(
        "the saved state does not fit: {what}: expected {expected}, got {got}; resume with the options it was saved under"
    )]
    State {
        /// What was looked at.
        what: &'static str,
        /// What would fit.
        expected: String,
        /// What there is.
        got: String,
    },
}
