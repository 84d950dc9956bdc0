//! Easy first, then harder: which selection at which point of the training?

use super::Selection;

/// How the selection changes as training goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ramp {
    /// All negatives until the end of the warm-up, the target selection afterwards.
    Switch,
    /// All negatives until the end of the warm-up; from there to `until`, the number
    /// of hardest negatives falls from all to the target's by equal factors;
    /// the target selection afterwards.
    Shrink {
        /// Progress at which the target is reached, in 0..=1, after the warm-up.
        until: f64,
    },
}

/// All negatives first, then harder: hard negatives of an untrained model are noise,
/// and the hardest-negative loss then tends to collapse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curriculum {
    /// Progress of training at which the warm-up ends, in 0..=1. vse_infty trains one
    /// epoch of 25 this way: 0.04.
    pub warm_up: f64,
    /// What follows.
    pub ramp: Ramp,
}

impl Curriculum {
    /// What to select at `progress` (0 at the start, 1 at the end of training), for
    /// `negatives` candidates an anchor, if `target` is what training ends with.
    pub fn at(&self, progress: f64, target: Selection, negatives: usize) -> Selection {
        if progress < self.warm_up {
            return Selection::All;
        }
        let Ramp::Shrink { until } = self.ramp else { return target };
        let end = match target {
            Selection::KHardest(k) => k.max(1),
            _ => 1,
        };
        if progress >= until || negatives <= end {
            return target;
        }
        let part = (progress - self.warm_up) / (until - self.warm_up);
        let ratio = end as f64 / negatives as f64;
        Selection::KHardest((negatives as f64 * ratio.powf(part)).ceil() as usize)
    }
}
