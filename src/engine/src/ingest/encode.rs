//! Given pictures as the model takes them, how are they embedded? Each thread
//! takes what is there, up to a few at once.

use ekphrasis_embed::ImageEncoder;

use super::Stop;
use super::clock::Clock;
use super::commit::Outcome;
use super::prepare::Prepared;
use super::queue::{Giver, Taker};
use crate::Towers;

/// Pictures given to the encoder at once, for devices that gain by it. A processor does not
/// (`cargo bench -p ekphrasis-engine --bench pipeline -- --batches`), and its encoder takes them
/// one after the other.
pub(super) const BATCH: usize = 4;

/// Takes pictures until there are no more.
pub(super) fn work(
    prepared: &Taker<'_, Prepared>,
    done: &Giver<'_, Outcome>,
    towers: &dyn Towers,
    clock: &Clock,
    stop: &Stop<'_>,
) {
    loop {
        let batch = prepared.take_some(BATCH);
        if batch.is_empty() {
            return;
        }
        if stop.is_raised() {
            continue;
        }
        let outcomes = match towers.image() {
            Ok(encoder) => clock.encode.busy(|| embed(batch, &*encoder)),
            Err(error) => vec![Outcome::Hopeless(error)],
        };
        for outcome in outcomes {
            if !done.give(outcome, 0) {
                return;
            }
        }
    }
}

pub(super) fn embed(batch: Vec<Prepared>, encoder: &dyn ImageEncoder) -> Vec<Outcome> {
    let (mut pictures, mut tensors) = (Vec::new(), Vec::new());
    for Prepared { path, file, facts, tensor } in batch {
        pictures.push((path, file, facts));
        tensors.push(tensor);
    }
    let all = encoder.embed_images(&tensors);
    let mut together = all.ok().map(Vec::into_iter);
    let mut outcomes = Vec::with_capacity(tensors.len());
    for ((path, file, facts), tensor) in pictures.into_iter().zip(&tensors) {
        // If they fail together, one may be to blame and the others are not.
        let one = match &mut together {
            Some(all) => Ok(all.next()),
            None => encoder.embed_images(std::slice::from_ref(tensor)).map(|mut one| one.pop()),
        };
        outcomes.push(match one {
            Ok(Some(embedding)) => Outcome::Ready { path, file, facts, embedding },
            Ok(None) => {
                let reason = "the model gave no vector for it".into();
                Outcome::Failed { path, reason, content: Some(file.content), judged: None }
            }
            Err(error) => Outcome::Failed {
                path,
                reason: error.to_string(),
                content: Some(file.content),
                judged: None,
            },
        });
    }
    outcomes
}
