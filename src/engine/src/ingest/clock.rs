//! Given a run, where did its time go? Each stage adds up what it took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;

/// Seconds that each stage of a run took, all threads together: of waiting and
/// working where disks are waited for, of the processor elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stages {
    /// Looking through folders.
    pub walk: f64,
    /// Reading files.
    pub read: f64,
    /// Hashing what was read (processor).
    pub hash: f64,
    /// Decoding pictures (processor).
    pub decode: f64,
    /// Bringing them to the model's input (processor).
    pub resize: f64,
    /// The model (processor).
    pub encode: f64,
    /// Writing to the store, and embedding captions.
    pub commit: f64,
}

impl Stages {
    /// Each stage with its name, in the order of the work.
    pub fn each(&self) -> [(&'static str, f64); 7] {
        [
            ("walk", self.walk),
            ("read", self.read),
            ("hash", self.hash),
            ("decode", self.decode),
            ("resize", self.resize),
            ("encode", self.encode),
            ("commit", self.commit),
        ]
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.walk += other.walk;
        self.read += other.read;
        self.hash += other.hash;
        self.decode += other.decode;
        self.resize += other.resize;
        self.encode += other.encode;
        self.commit += other.commit;
    }
}

/// One stage's sum.
#[derive(Default)]
pub(super) struct Sum(AtomicU64);

impl Sum {
    /// Adds how long `work` takes, waiting included.
    pub(super) fn elapsed<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = work();
        self.add(start.elapsed());
        result
    }

    /// Adds what `work` takes of the processor in this thread.
    pub(super) fn busy<T>(&self, work: impl FnOnce() -> T) -> T {
        let start = ThreadTime::now();
        let result = work();
        self.add(start.elapsed());
        result
    }

    pub(super) fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn seconds(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / 1e9
    }
}

/// The sums of a run.
#[derive(Default)]
pub(super) struct Clock {
    pub(super) walk: Sum,
    pub(super) read: Sum,
    pub(super) hash: Sum,
    pub(super) decode: Sum,
    pub(super) resize: Sum,
    pub(super) encode: Sum,
    pub(super) commit: Sum,
}

impl Clock {
    pub(super) fn stages(&self) -> Stages {
        Stages {
            walk: self.walk.seconds(),
            read: self.read.seconds(),
            hash: self.hash.seconds(),
            decode: self.decode.seconds(),
            resize: self.resize.seconds(),
            encode: self.encode.seconds(),
            commit: self.commit.seconds(),
        }
    }
}
