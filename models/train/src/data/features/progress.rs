//! Given work that takes minutes, how far is it?

use std::time::{Duration, Instant};

/// A moment of a long extraction.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Progress {
    /// Pictures or texts done by this run.
    pub done: usize,
    /// To be done by this run.
    pub total: usize,
    /// Found in the cache, beside these.
    pub cached: usize,
    /// A second, over the run so far; 0 at its start.
    pub rate: f64,
    /// How long the rest will take at this rate; `None` at the start.
    pub left: Option<Duration>,
}

/// Counts, and tells at most four times a second, at the first and at the last.
pub(super) struct Teller<'a> {
    tell: &'a mut dyn FnMut(Progress),
    started: Instant,
    told: Instant,
    progress: Progress,
}

impl<'a> Teller<'a> {
    pub(super) fn new(total: usize, cached: usize, tell: &'a mut dyn FnMut(Progress)) -> Self {
        let progress = Progress { done: 0, total, cached, rate: 0.0, left: None };
        tell(progress);
        let now = Instant::now();
        Self { tell, started: now, told: now, progress }
    }

    pub(super) fn step(&mut self, count: usize) {
        let p = &mut self.progress;
        p.done += count;
        let seconds = self.started.elapsed().as_secs_f64();
        if seconds > 0.0 && p.done > 0 {
            p.rate = p.done as f64 / seconds;
            let rest = p.total.saturating_sub(p.done) as f64;
            p.left = Duration::try_from_secs_f64(rest / p.rate).ok();
        }
        if p.done >= p.total || self.told.elapsed() > Duration::from_millis(250) {
            (self.tell)(*p);
            self.told = Instant::now();
        }
    }
}
