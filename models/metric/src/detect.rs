//! Is training going wrong, and what helps?

use std::collections::BTreeMap;
use std::fmt;

use crate::bytes::{Reader, Writer};
use crate::{LossError, ObjectiveOptions, Stats};

/// Something that a person should know about a training.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Finding {
    /// All similarities are (nearly) equal: the model gives everything one embedding.
    Collapse {
        /// Largest less smallest similarity of the batch.
        spread: f64,
        /// The loss.
        loss: f64,
        /// What the loss is when all similarities are equal, where known; see
        /// [`Stats::collapsed`].
        expected: Option<f64>,
    },
    /// Hardly any anchor of a hinge has a term above zero: nothing is learned any more.
    DeadHinges {
        /// Share of anchors with a term above zero, the mean of the steps looked at.
        active: f64,
    },
    /// The same two groups are taken for each other again and again.
    FalseNegatives {
        /// The anchor's group.
        group: u32,
        /// The group whose row scores above the anchor's positive.
        other: u32,
        /// How often.
        times: u32,
        /// By how much at most, in cosine.
        excess: f64,
    },
    /// Images and texts lie in two separate regions.
    ModalityGap {
        /// ‖mean(images) − mean(texts)‖, of at most 2.
        gap: f64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collapse { spread, loss, expected } => {
                write!(
                    f,
                    "the model has collapsed: all similarities of a batch lie within {spread:.1e}"
                )?;
                if let Some(expected) = expected {
                    write!(
                        f,
                        ", and the loss is {loss:.4} where equal similarities give {expected:.4}"
                    )?;
                }
                f.write_str(
                    "; train on all negatives first (a curriculum with a longer warm-up), lower the learning \
                     rate, or take a larger batch",
                )
            }
            Self::DeadHinges { active } => write!(
                f,
                "only {:.2} % of the anchors have a term of the loss above zero, so hardly anything is learned; \
                 take harder negatives, a larger margin or a larger batch, or stop here: the pairs may be learned",
                active * 100.0
            ),
            Self::FalseNegatives { group, other, times, excess } => write!(
                f,
                "group {other} scored above the right answer for group {group} {times} times (by up to \
                 {excess:.2}); if both show the same thing, give their pairs one group"
            ),
            Self::ModalityGap { gap } => write!(
                f,
                "pictures and texts lie apart (their means differ by {gap:.2}); a higher temperature or a \
                 smaller margin closes the gap, and recall is what tells whether it matters"
            ),
        }
    }
}

/// Steps that dead hinges are averaged over.
const STEPS: u32 = 50;
/// Share of anchors with an active term below which hinges are dead.
const DEAD: f64 = 0.01;
/// Times that two groups have to be confused, and by how much.
const CONFUSED: (u32, f64) = (10, 0.1);
/// Means further apart than this are a gap.
const GAP: f64 = 1.0;

/// Version of the state's layout.
const VERSION: u32 = 1;

/// Watches the figures of steps. Each finding is told once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detectors {
    steps: u32,
    active: f64,
    flat: u32,
    confused: BTreeMap<(u32, u32), (u32, f64)>,
    told: [bool; 3],
}

impl Detectors {
    /// Looks at a step of `options`' loss over rows of `groups`; gives what is new.
    pub fn observe(
        &mut self,
        options: &ObjectiveOptions,
        loss: f64,
        stats: &Stats,
        groups: &[u32],
    ) -> Vec<Finding> {
        let mut found = Vec::new();
        // One flat batch may be chance where it is small; three are not.
        self.flat = if stats.anchors > 1 && stats.spread < Stats::FLAT { self.flat + 1 } else { 0 };
        if self.flat >= 3 && !self.told[0] {
            self.told[0] = true;
            let (spread, expected) = (stats.spread, stats.collapsed);
            found.push(Finding::Collapse { spread, loss, expected });
        }
        self.steps += 1;
        self.active += stats.active_anchor_fraction();
        if self.steps == STEPS {
            let active = self.active / f64::from(STEPS);
            if options.hinges() && active < DEAD && !self.told[1] {
                self.told[1] = true;
                found.push(Finding::DeadHinges { active });
            }
            (self.steps, self.active) = (0, 0.0);
        }
        for suspect in &stats.suspects {
            let at = (groups.get(suspect.anchor), groups.get(suspect.candidate));
            let (Some(&group), Some(&other)) = at else { continue };
            if suspect.excess < CONFUSED.1 {
                continue;
            }
            let entry = self.confused.entry((group, other)).or_insert((0, 0.0));
            entry.0 += 1;
            entry.1 = entry.1.max(suspect.excess);
            if entry.0 == CONFUSED.0 {
                let (times, excess) = *entry;
                found.push(Finding::FalseNegatives { group, other, times, excess });
            }
        }
        if let Some(gap) = stats.modality_gap.filter(|gap| *gap > GAP)
            && !self.told[2]
        {
            self.told[2] = true;
            found.push(Finding::ModalityGap { gap });
        }
        found
    }

    /// All that [`observe`](Self::observe) depends on beside its arguments.
    pub fn export(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(VERSION);
        out.number(self.steps);
        out.wide(self.active);
        out.number(self.flat);
        out.ids(&self.told.map(u32::from));
        out.number(self.confused.len() as u32);
        for (&(group, other), &(times, excess)) in &self.confused {
            out.ids(&[group, other, times]);
            out.wide(excess);
        }
        out.0
    }

    /// Takes up what [`export`](Self::export) gave.
    ///
    /// # Errors
    /// `State` for bytes that are not whole; then nothing is changed.
    pub fn import(&mut self, bytes: &[u8]) -> Result<(), LossError> {
        let mut from = Reader(bytes);
        match Self::read(&mut from) {
            Some(read) if from.0.is_empty() => {
                *self = read;
                Ok(())
            }
            _ => Err(LossError::State {
                what: "what the detectors saw",
                expected: format!("the whole of version {VERSION}"),
                got: format!("{} bytes", bytes.len()),
            }),
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        if from.number()? != VERSION {
            return None;
        }
        let (steps, active, flat) = (from.number()?, from.wide()?, from.number()?);
        let &[a, b, c] = from.ids()?.as_slice() else { return None };
        let mut confused = BTreeMap::new();
        for _ in 0..from.number()? {
            let &[group, other, times] = from.ids()?.as_slice() else { return None };
            confused.insert((group, other), (times, from.wide()?));
        }
        Some(Self { steps, active, flat, confused, told: [a, b, c].map(|v| v != 0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loss;
    use crate::loss::Triplet;
    use crate::stats::Suspect;

    /// Steps in which everything happens at some point: all embeddings equal, no term
    /// active, two groups confused again and again, the means far apart.
    fn steps() -> Vec<Stats> {
        (0..130u32)
            .map(|i| Stats {
                anchors: 4,
                terms: 1000,
                active: if i < 40 { 300 } else { 0 },
                active_anchors: if i < 40 { 3 } else { 0 },
                spread: if (20..26).contains(&i) { 0.0 } else { 0.7 },
                modality_gap: (i > 70).then_some(1.3),
                suspects: match i % 3 {
                    0 => vec![
                        Suspect { anchor: 0, candidate: 2, excess: 0.15 + f64::from(i) * 1e-3 },
                        Suspect { anchor: 3, candidate: 1, excess: 0.05 },
                    ],
                    _ => Vec::new(),
                },
                ..Stats::default()
            })
            .collect()
    }

    #[test]
    fn told_on_and_after_a_pause_the_findings_are_the_same() {
        let options = ObjectiveOptions::both_ways(Loss::Triplet(Triplet::hinge(0.2)));
        let groups = [3, 4, 5, 6];
        let steps = steps();
        let told = |detectors: &mut Detectors, from: usize, to: usize| -> Vec<(usize, Finding)> {
            let of = |i: usize| {
                let found = detectors.observe(&options, 0.5, &steps[i], &groups);
                found.into_iter().map(move |f| (i, f)).collect::<Vec<_>>()
            };
            (from..to).flat_map(of).collect()
        };
        let whole = told(&mut Detectors::default(), 0, steps.len());
        assert_eq!(whole.len(), 4, "each kind once: {whole:?}");
        for stop in 0..=steps.len() {
            let mut first = Detectors::default();
            let mut all = told(&mut first, 0, stop);
            let mut second = Detectors::default();
            let bytes = first.export();
            second.import(&bytes).expect("what was written");
            assert_eq!(second, first);
            all.extend(told(&mut second, stop, steps.len()));
            assert_eq!(all, whole, "stopped before step {stop}");
            if stop == 60 {
                for cut in 0..bytes.len() {
                    assert!(second.import(&bytes[..cut]).is_err(), "cut to {cut}");
                }
            }
        }
    }
}
