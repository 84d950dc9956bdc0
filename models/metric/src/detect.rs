//! Is training going wrong, and what helps?

use std::collections::BTreeMap;
use std::fmt;

use crate::{ObjectiveOptions, Stats};

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

/// Watches the figures of steps. Each finding is told once.
#[derive(Clone, Debug, Default)]
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
}
