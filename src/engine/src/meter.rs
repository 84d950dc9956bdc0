//! Given what an engine has done, how long did each stage take? Counters that many
//! threads add to at once and that anyone may read, for monitoring.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::IndexReport;

/// How often something took how long.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each of [`Histogram::BOUNDS`], and one for what took longer.
    counts: [AtomicU64; Histogram::BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Histogram {
    /// The upper ends of the intervals, in seconds.
    pub const BOUNDS: [f64; 14] =
        [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

    /// Notes that something took so long.
    pub fn note(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let at = Self::BOUNDS.iter().position(|bound| seconds <= *bound);
        self.counts[at.unwrap_or(Self::BOUNDS.len())].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Does `work` and notes how long that took.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.note(start.elapsed());
        result
    }

    /// How many took at most as long as each of [`Histogram::BOUNDS`], and how many
    /// there were in all.
    pub fn cumulative(&self) -> ([u64; Self::BOUNDS.len()], u64) {
        let mut sum = 0;
        let mut add = |count: &AtomicU64| {
            sum += count.load(Ordering::Relaxed);
            sum
        };
        let (within, over) = self.counts.split_at(Self::BOUNDS.len());
        let mut cumulative = [0; Self::BOUNDS.len()];
        for (total, count) in cumulative.iter_mut().zip(within) {
            *total = add(count);
        }
        (cumulative, add(&over[0]))
    }

    /// Seconds that all took together.
    pub fn seconds(&self) -> f64 {
        self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9
    }
}

/// What one engine has done since it was opened.
#[derive(Debug, Default)]
pub struct Meters {
    /// Runs of the text encoder, each over one or several texts of queries that were not kept.
    pub encode_text: Histogram,
    /// Reading, decoding and encoding one picture of a query.
    pub encode_image: Histogram,
    /// Ranking by vectors and words, and reading the items that were found.
    pub rank: Histogram,
    /// Thumbnails, made or found.
    pub thumbnail: Histogram,
    kept_texts: AtomicU64,
    encoded_texts: AtomicU64,
    runs: Mutex<Runs>,
}

/// What all indexing runs did together.
#[derive(Clone, Debug, Default)]
pub struct Runs {
    /// How many have ended.
    pub ended: u64,
    /// Items that were embedded and stored.
    pub indexed: u64,
    /// Files that could not be indexed, again and again those that still cannot.
    pub failed: u64,
    /// Seconds that each stage took, all threads together.
    pub stages: BTreeMap<&'static str, f64>,
}

impl Meters {
    /// Texts of queries whose vectors were known from a query before.
    pub fn kept_texts(&self) -> u64 {
        self.kept_texts.load(Ordering::Relaxed)
    }

    /// Texts of queries that were encoded, in fewer runs if many asked at once.
    pub fn encoded_texts(&self) -> u64 {
        self.encoded_texts.load(Ordering::Relaxed)
    }

    /// What all indexing runs did.
    pub fn runs(&self) -> Runs {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note_kept_text(&self) {
        self.kept_texts.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn note_encoded_texts(&self, count: usize) {
        self.encoded_texts.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn note_run(&self, report: &IndexReport) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.ended += 1;
        runs.indexed += report.progress.indexed;
        runs.failed += report.progress.failed;
        for (stage, seconds) in report.stages.each() {
            *runs.stages.entry(stage).or_default() += seconds;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_counts_up_to_its_bounds() {
        let histogram = Histogram::default();
        for ms in [0, 1, 3, 100, 70_000] {
            histogram.note(Duration::from_millis(ms));
        }
        let (within, all) = histogram.cumulative();
        assert_eq!(all, 5);
        assert_eq!(within, [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4]);
        assert!((histogram.seconds() - 70.104).abs() < 1e-9);
    }
}
