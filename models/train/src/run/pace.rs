//! How many steps a second?

use std::time::Instant;

/// Steps a second, smoothed.
pub(super) struct Pace {
    last: Instant,
    rate: f64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { last: Instant::now(), rate: 0.0 }
    }

    pub(super) fn step(&mut self) -> f64 {
        let now = 1.0 / self.last.elapsed().as_secs_f64().max(1e-9);
        self.last = Instant::now();
        self.rate = if self.rate > 0.0 { 0.9 * self.rate + 0.1 * now } else { now };
        self.rate
    }
}
