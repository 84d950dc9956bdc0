//! Given captioned pictures, how good is a model? Finding one by the other,
//! naming classes it never saw, telling same from other, learning from few.
//!
//! Pictures are queries against the distinct captions and captions against the
//! pictures. Recall is never measured through an approximate index here. What the
//! figures mean is said in `ekphrasis_metric::measure`.

mod feedback;
mod identity;
mod pictures;
mod recognition;
mod retrieval;
mod zero_shot;

use std::path::{Path, PathBuf};

pub use ekphrasis_metric::measure::{
    AtGamma, ClassScore, Confusion, EpisodeError, EpisodeScore, FoldedAccuracy, Generalised,
    Interval, PerClass, ReliabilityBin, RetrievalScore, RocPoint, TooFewNegatives,
    VerificationError, ZeroShotScore, calibration_error, rank,
};
pub use feedback::{FeedbackReport, Measured, Residual, SeenSoFar, Steered, TriedWeights};
pub use identity::{PairScores, SameBy, ShotsScore, VerificationReport, WithWords};
pub use recognition::{
    AtRule, AtStated, Compared, Enrolled, MeanAndSpread, RecognitionReport, StatedRates,
};
pub use retrieval::{Directions, Scored};

pub(crate) use pictures::{Facts, Seen, embed_all, embed_texts, of_split, rows};

use crate::{EngineError, Towers, pairs};

/// What to evaluate.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// Only lines of this split; `None`: all.
    pub split: Option<String>,
    /// Templates for zero-shot labels; empty: the model's own.
    pub templates: Vec<String>,
    /// Of every draw: bootstrap, folds, episodes, samples.
    pub seed: u64,
    /// Generalised zero-shot: classes of this split were seen in training.
    pub seen_split: Option<String>,
    /// At most so many pictures of the seen split are used.
    pub seen_pictures: usize,
    /// What is subtracted from the scores of seen classes, beside the plain ones.
    pub gamma: Option<f64>,
    /// Whether pairs of pictures are verified as the same thing or not.
    pub verify: bool,
    /// What makes two pictures the same thing, for verification, episodes and feedback;
    /// `None`: the class if the file has classes, else the group, else the caption.
    pub same_by: Option<SameBy>,
    /// Whether judging the first hits is tried.
    pub feedback: bool,
    /// Whether that is tried with other weights, too, to choose by.
    pub feedback_grid: bool,
    /// Whether things are enrolled and others are to be told from them.
    pub identify: bool,
    /// Few-shot episodes with so many examples of each class.
    pub shots: Vec<usize>,
    /// Whether the episodes are tried with the words of classes, too.
    pub with_words: bool,
    /// Classes in an episode.
    pub ways: usize,
    /// Episodes for each number of shots.
    pub episodes: usize,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self {
            split: None,
            templates: Vec::new(),
            seed: 0,
            seen_split: None,
            seen_pictures: 1000,
            gamma: None,
            verify: false,
            same_by: None,
            feedback: false,
            feedback_grid: false,
            identify: false,
            shots: Vec::new(),
            with_words: false,
            ways: 5,
            episodes: 600,
        }
    }
}

/// How good a model is on a pairs file.
#[derive(Clone, Debug)]
pub struct EvalReport {
    /// Pictures that were used.
    pub pictures: usize,
    /// Pictures that could not be read, with the reason.
    pub failed: Vec<(PathBuf, String)>,
    /// Caption → picture.
    pub text_to_image: RetrievalScore,
    /// Picture → caption.
    pub image_to_text: RetrievalScore,
    /// 95 % bootstrap intervals over the queries: R@1 and R@10 of caption →
    /// picture, then of picture → caption.
    pub intervals: [[Interval; 2]; 2],
    /// The queries of each `subset`, over all candidates; by name.
    pub subsets: Vec<(String, Directions)>,
    /// Zero-shot classification into the distinct classes (the `class` column,
    /// or else the first caption).
    pub zero_shot: ZeroShotScore,
    /// How many templates a class was put into; its vector is the mean of theirs.
    pub templates: usize,
    /// Zero-shot classification by the first of them alone, if there are several.
    pub first_template: Option<ZeroShotScore>,
    /// The same for each of these classes.
    pub per_class: NamedClasses,
    /// With seen classes among the labels, if a split of them was named.
    pub generalised: Option<Generalised>,
    /// Same thing or not, if asked for.
    pub verification: Option<VerificationReport>,
    /// What judging the first hits does for the next, if asked for.
    pub feedback: Option<FeedbackReport>,
    /// Enrolled by examples and found again, if asked for.
    pub recognition: Option<RecognitionReport>,
    /// For each number of shots that was asked for.
    pub few_shot: Vec<ShotsScore>,
    /// The same episodes with words, if that was asked for.
    pub with_words: Option<WithWords>,
}

/// Classes with their names.
#[derive(Clone, Debug)]
pub struct NamedClasses {
    /// By number.
    pub names: Vec<String>,
    /// How good each one is, and which were taken for one another.
    pub scores: PerClass,
}

impl EvalReport {
    /// The sum of the six recalls, in percent (0..=600).
    pub fn rsum(&self) -> f64 {
        self.text_to_image.recall_sum() + self.image_to_text.recall_sum()
    }
}

/// Evaluates the model on a pairs file; needs no store.
///
/// # Errors
/// `Invalid` if the file is wrong, has no captioned picture in the split, none
/// could be read, or the data do not allow what was asked for; otherwise as the
/// model fails.
pub fn evaluate(
    towers: &dyn Towers,
    file: &Path,
    options: &EvalOptions,
    on_progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<EvalReport, EngineError> {
    let invalid = |e: &dyn std::fmt::Display| EngineError::Invalid(e.to_string());
    let lines = pairs::read(file).map_err(|e| invalid(&e))?;
    let wanted = of_split(&lines, options.split.as_deref());
    if wanted.is_empty() {
        return Err(EngineError::Invalid(no_pictures(file, &lines, options.split.as_deref())));
    }
    let (seen, mut failed) = embed_all(towers, wanted, on_progress)?;
    if seen.is_empty() {
        let (path, reason) = &failed[0];
        return Err(EngineError::Invalid(format!(
            "none of the {} pictures could be read; the first: {}: {reason}",
            failed.len(),
            path.display()
        )));
    }
    // What the data do not allow is said before the text tower is at work.
    let verification = if options.verify { Some(identity::verify(&seen, options)?) } else { None };
    let recognition = if options.identify {
        Some(recognition::measure(towers, &seen, options.seed)?)
    } else {
        None
    };
    let feedback =
        if options.feedback { Some(feedback::measure(towers, &seen, options)?) } else { None };
    let (few_shot, with_words) = identity::episodes(towers, &seen, options)?;
    let found = retrieval::measure(towers, &seen, options.seed)?;
    let (zero_shot, per_class) = zero_shot::plain(towers, &seen, &options.templates)?;
    let templates = match &options.templates[..] {
        [] => &towers.labels().templates[..],
        given => given,
    };
    let first_template = match templates {
        [first, _, ..] => Some(zero_shot::plain(towers, &seen, std::slice::from_ref(first))?.0),
        _ => None,
    };
    let generalised = match options.seen_split.as_deref() {
        None => None,
        Some(split) => {
            let (score, more) =
                zero_shot::generalised(towers, &lines, &seen, split, options, on_progress)?;
            failed.extend(more);
            Some(score)
        }
    };
    let [t2i, i2t] = [found.all.text_to_image, found.all.image_to_text];
    Ok(EvalReport {
        pictures: seen.len(),
        failed,
        text_to_image: t2i.score,
        image_to_text: i2t.score,
        intervals: [t2i.intervals, i2t.intervals],
        subsets: found.subsets,
        zero_shot,
        templates: templates.len(),
        first_template,
        per_class,
        generalised,
        verification,
        feedback,
        recognition,
        few_shot,
        with_words,
    })
}

/// Why there is nothing to evaluate, with the splits that there are.
fn no_pictures(file: &Path, lines: &[pairs::Pair], split: Option<&str>) -> String {
    let named = split.map_or(String::new(), |s| format!(" of split {s:?}"));
    let splits: std::collections::BTreeSet<&str> =
        lines.iter().filter_map(|l| l.split.as_deref()).collect();
    let known: Vec<&str> = splits.into_iter().collect();
    let known = match (split, known.len()) {
        (None, _) => String::new(),
        (Some(_), 0) => "; its lines name no split".into(),
        (Some(_), _) => format!("; its splits are {}", known.join(", ")),
    };
    format!("{}: there is no picture with a caption{named} in it{known}", file.display())
}
