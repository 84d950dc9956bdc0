//! [`Criterion`] over the objectives of `ekphrasis-metric`, with its detectors.

use ekphrasis_metric::{Batch, Detectors, Finding, Loss, LossError, Objective, ObjectiveOptions};
use ndarray::Array2;
use rand_pcg::Pcg64;

use super::criterion::{Criterion, Judged, Judgement, Note, Refused};
use super::supply::Learnt;
use crate::nn::Gradient;

/// An objective that is watched.
#[derive(Debug)]
pub struct Judge {
    objective: Objective,
    detectors: Detectors,
    /// What to call each group in a finding.
    names: Vec<String>,
}

impl Judge {
    /// Puts the objective together. `dim` is the width of the embeddings, `names`
    /// say what each group shows.
    ///
    /// # Errors
    /// If the options exclude each other or do not fit the data's classes.
    pub fn new(
        options: ObjectiveOptions,
        dim: usize,
        seed: u64,
        names: Vec<String>,
    ) -> Result<Self, LossError> {
        let objective = Objective::new(options, dim, seed)?;
        Ok(Self { objective, detectors: Detectors::default(), names })
    }

    fn tell(&self, finding: &Finding) -> String {
        let Finding::FalseNegatives { group, other, times, excess } = finding else {
            return finding.to_string();
        };
        let name = |group: u32| self.names.get(group as usize).map_or("", String::as_str);
        format!(
            "{:?} scored above the right answer for {:?} {times} times (by up to {excess:.2}); if both show the same thing, give their lines one group",
            name(*other),
            name(*group)
        )
    }
}

impl Criterion for Judge {
    fn judge(
        &mut self,
        batch: &Judged<'_>,
        progress: f64,
        rng: &mut Pcg64,
    ) -> Result<Judgement, Refused> {
        let given = Batch {
            images: batch.images.view(),
            texts: batch.texts.map(|t| t.view()),
            groups: batch.groups,
            classes: batch.classes,
            near: batch.near,
            rows: Some(batch.rows),
            image_lengths: Some(batch.image_lengths),
            text_lengths: batch.text_lengths,
        };
        let step = self.objective.step(&given, progress, rng).map_err(refused)?;
        let stats = &step.stats;
        let options = self.objective.options();
        let found = self.detectors.observe(options, step.loss, stats, batch.groups);
        let findings = found.iter().map(|f| self.tell(f)).collect();
        let note = |name: &str, value: f64| Note { name: name.to_owned(), value };
        let notes = vec![
            note("active", stats.active_fraction()),
            note("violation", stats.mean_violation()),
            note("worst", stats.worst),
            note("positive", stats.positive),
            note("negative", stats.negative),
            note("spread", stats.spread),
            note("beaten", stats.beaten),
            note("masked", stats.masked as f64),
        ];
        Ok(Judgement {
            loss: step.loss,
            images: Gradient { embeddings: step.images, lengths: step.image_lengths },
            texts: step.texts.map(|embeddings| Gradient { embeddings, lengths: step.text_lengths }),
            parameters: step.parameters,
            notes,
            findings,
        })
    }

    fn refresh_due(&self) -> bool {
        self.objective.refresh_due()
    }

    fn refresh(&mut self, learnt: &Learnt, images: &Array2<f32>) -> Result<(), String> {
        let rows: Vec<u32> = learnt.pictures.iter().map(|&i| i as u32).collect();
        let classes = learnt.classes.as_ref().unwrap_or(&learnt.groups);
        self.objective.refresh(&rows, classes, images.view()).map_err(|e| e.to_string())
    }

    fn choose(&self, batch: usize, rng: &mut Pcg64) -> Option<Vec<usize>> {
        let Loss::Magnet(_) = self.objective.options().loss else { return None };
        // Twelve clusters, as many rows of each as fill the batch.
        let clusters = 12.min(batch / 2).max(2);
        let rows = self.objective.index().plan(clusters, (batch / clusters).max(1), rng)?;
        Some(rows.into_iter().map(|r| r as usize).collect())
    }

    fn parameters(&mut self) -> Vec<&mut [f32]> {
        self.objective.parameters()
    }

    fn constrain(&mut self) {
        self.objective.constrain();
    }

    /// The length of the objective's state (u64, little-endian), that state, and that
    /// of the detectors: what was told before a pause is not told again after it.
    fn export(&self) -> Vec<u8> {
        let objective = self.objective.export();
        let mut state = (objective.len() as u64).to_le_bytes().to_vec();
        state.extend(objective);
        state.extend(self.detectors.export());
        state
    }

    fn import(&mut self, state: &[u8]) -> Result<(), String> {
        let short = || format!("expected the state of a loss, got {} bytes", state.len());
        let (length, rest) = state.split_first_chunk::<8>().ok_or_else(short)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
        let (objective, detectors) = rest.split_at_checked(length).ok_or_else(short)?;
        let mut seen = Detectors::default();
        seen.import(detectors).map_err(|e| e.to_string())?;
        self.objective.import(objective).map_err(|e| e.to_string())?;
        self.detectors = seen;
        Ok(())
    }
}

fn refused(error: LossError) -> Refused {
    let why = error.to_string();
    match error {
        LossError::NoNegatives { .. } | LossError::NoPositives { .. } => Refused::Batch(why),
        _ => Refused::All(why),
    }
}
