//! The prototypical loss of a batch: across modalities, and within one by halves.

use ndarray::Array2;
use rand_pcg::Pcg64;

use super::step::{alike, needs_texts};
use super::{Batch, Objective, Step};
use crate::loss::{Prototypes, episode, prototypes};
use crate::{LossError, Real, Relations};

impl Objective {
    pub(super) fn prototypes<T: Real>(
        &self,
        batch: &Batch<'_, T>,
        options: &Prototypes,
        out: &mut Step<T>,
        rng: &mut Pcg64,
    ) -> Result<(), LossError> {
        let sides = self.options.sides;
        let groups = batch.groups;
        let near = alike(batch);
        for (weight, images_ask) in [(sides.image_to_text, true), (sides.text_to_image, false)] {
            if weight <= 0.0 {
                continue;
            }
            let texts = needs_texts(batch)?;
            let (q, s) = if images_ask { (batch.images, texts) } else { (texts, batch.images) };
            let found = prototypes(q, groups, s, groups, near.as_ref(), options)?;
            out.loss += weight * found.loss;
            out.stats.count(&found.tally);
            let (of_images, of_texts) = if images_ask {
                (&found.queries, &found.support)
            } else {
                (&found.support, &found.queries)
            };
            out.images.scaled_add(T::of(weight), of_images);
            if let Some(texts) = out.texts.as_mut() {
                texts.scaled_add(T::of(weight), of_texts);
            }
        }
        for (weight, of_images) in [(sides.image_to_image, true), (sides.text_to_text, false)] {
            if weight <= 0.0 {
                continue;
            }
            let x = if of_images { batch.images } else { needs_texts(batch)? };
            let parts = episode(groups, rng);
            let pick = |rows: &[usize]| -> (Array2<T>, Vec<u32>) {
                (x.select(ndarray::Axis(0), rows), rows.iter().map(|&r| groups[r]).collect())
            };
            let ((q, qg), (s, sg)) = (pick(&parts.queries), pick(&parts.support));
            let near = near.as_ref().map(|near| {
                let of_queries = near.select(ndarray::Axis(0), &parts.queries);
                of_queries.select(ndarray::Axis(1), &parts.support)
            });
            let found = prototypes(q.view(), &qg, s.view(), &sg, near.as_ref(), options)?;
            out.loss += weight * found.loss;
            out.stats.count(&found.tally);
            let to = if of_images { Some(&mut out.images) } else { out.texts.as_mut() };
            if let Some(to) = to {
                for (rows, part) in
                    [(&parts.queries, &found.queries), (&parts.support, &found.support)]
                {
                    for (&row, g) in rows.iter().zip(part.outer_iter()) {
                        to.row_mut(row).scaled_add(T::of(weight), &g);
                    }
                }
            }
        }
        match batch.texts {
            Some(texts) => {
                let relations = Relations::paired(groups, near.as_ref())?;
                out.stats.look(batch.images.dot(&texts.t()).view(), &relations);
            }
            None => {
                let relations = Relations::within(groups, near.as_ref())?;
                out.stats.look(batch.images.dot(&batch.images.t()).view(), &relations);
            }
        }
        Ok(())
    }
}
