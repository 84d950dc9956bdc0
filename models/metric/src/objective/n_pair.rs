//! The N-pair loss of a batch: on unit vectors times the lengths they had.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::step::{add, alike, needs_texts};
use super::{Batch, Objective, Step};
use crate::loss::{NPair, length_penalty, n_pair};
use crate::real::{add_transposed, pull_back, transposed};
use crate::{LossError, Real, Relations};

/// Unit vectors and the lengths they had.
#[derive(Clone, Copy)]
struct Long<'a, T> {
    rows: ArrayView2<'a, T>,
    lengths: &'a [T],
}

impl Objective {
    /// # Errors
    /// `Missing` without lengths, and what [`n_pair`] says.
    pub(super) fn n_pair<T: Real>(
        &self,
        batch: &Batch<'_, T>,
        options: &NPair,
        out: &mut Step<T>,
    ) -> Result<(), LossError> {
        let sides = self.options.sides;
        let lengths = |lengths: Option<_>| {
            lengths.ok_or(LossError::Missing {
                what: "the N-pair loss".into(),
                needs: "lengths of the vectors before they were scaled to 1",
                advice: "give them, or take the loss info-nce, which looks at cosines",
            })
        };
        let images = Long { rows: batch.images, lengths: lengths(batch.image_lengths)? };
        let texts = || -> Result<Long<'_, T>, LossError> {
            Ok(Long { rows: needs_texts(batch)?, lengths: lengths(batch.text_lengths)? })
        };
        let near = alike(batch);
        let crosses = sides.image_to_text > 0.0 || sides.text_to_image > 0.0;
        let mut of_images = vec![T::zero(); batch.images.nrows()];
        let mut of_texts = of_images.clone();
        if crosses {
            let texts = texts()?;
            let relations = Relations::paired(batch.groups, near.as_ref())?;
            let cosines = images.rows.dot(&texts.rows.t());
            out.stats.look(cosines.view(), &relations);
            out.stats.masked = relations.masked();
            let products = scaled(&cosines, images.lengths, texts.lengths);
            let mut g = Array2::<T>::zeros(products.dim());
            if sides.image_to_text > 0.0 {
                let found = n_pair(products.view(), &relations)?;
                add(out, sides.image_to_text, &found);
                g.scaled_add(T::of(sides.image_to_text), &found.gradient);
            }
            if sides.text_to_image > 0.0 {
                let mut found = n_pair(transposed(&products).view(), &relations)?;
                add(out, sides.text_to_image, &found);
                found.gradient.mapv_inplace(|v| v * T::of(sides.text_to_image));
                add_transposed(&mut g, &found.gradient);
            }
            let [rows, columns] = by_length(&g, &cosines, images.lengths, texts.lengths);
            add_to(&mut of_images, &rows);
            add_to(&mut of_texts, &columns);
            let g = scaled(&g, images.lengths, texts.lengths);
            let to = out.texts.as_mut();
            pull_back(&g, T::one(), images.rows, texts.rows, &mut out.images, to);
        }
        for (weight, pictures) in [(sides.image_to_image, true), (sides.text_to_text, false)] {
            if weight <= 0.0 {
                continue;
            }
            let x = if pictures { images } else { texts()? };
            let relations = Relations::within(batch.groups, near.as_ref())?;
            let cosines = x.rows.dot(&x.rows.t());
            let products = scaled(&cosines, x.lengths, x.lengths);
            let found = match n_pair(products.view(), &relations) {
                // Chance may draw a batch without two of a group; another side may do.
                Err(LossError::NoPositives { .. }) if crosses => {
                    let side =
                        if pictures { crate::Side::ImageToImage } else { crate::Side::TextToText };
                    out.stats.skipped.push(side);
                    continue;
                }
                found => found?,
            };
            if !crosses {
                out.stats.look(cosines.view(), &relations);
                out.stats.masked = relations.masked();
            }
            add(out, weight, &found);
            let g = found.gradient * T::of(weight);
            let [rows, columns] = by_length(&g, &cosines, x.lengths, x.lengths);
            let to = if pictures { &mut of_images } else { &mut of_texts };
            add_to(to, &rows);
            add_to(to, &columns);
            // x stands on both sides of S.
            let g = scaled(&g, x.lengths, x.lengths);
            let both = (&g + &g.t()).as_standard_layout().into_owned();
            let to = if pictures { Some(&mut out.images) } else { out.texts.as_mut() };
            if let Some(to) = to {
                pull_back(&both, T::one(), x.rows, x.rows, to, None);
            }
        }
        if crosses || sides.image_to_image > 0.0 {
            let (cost, slopes) = length_penalty(images.lengths, options.penalty);
            out.loss += cost;
            add_to(&mut of_images, &slopes);
        }
        if crosses || sides.text_to_text > 0.0 {
            let (cost, slopes) = length_penalty(texts()?.lengths, options.penalty);
            out.loss += cost;
            add_to(&mut of_texts, &slopes);
        }
        out.image_lengths = Some(of_images);
        out.text_lengths = batch.texts.map(|_| of_texts);
        Ok(())
    }
}

/// `a[i, j] · rows[i] · columns[j]`.
fn scaled<T: Real>(a: &Array2<T>, rows: &[T], columns: &[T]) -> Array2<T> {
    let columns = Array1::from(columns.to_vec());
    let mut out = a * &columns;
    for (mut row, &length) in out.axis_iter_mut(Axis(0)).zip(rows) {
        row.mapv_inplace(|v| v * length);
    }
    out
}

/// ∂L/∂lengths of rows and columns, from the gradient `g` by the products
/// `cosines[i, j] · rows[i] · columns[j]`.
fn by_length<T: Real>(
    g: &Array2<T>,
    cosines: &Array2<T>,
    rows: &[T],
    columns: &[T],
) -> [Vec<T>; 2] {
    let each = g * cosines;
    let (rows, columns) = (Array1::from(rows.to_vec()), Array1::from(columns.to_vec()));
    [each.dot(&columns).to_vec(), each.t().dot(&rows).to_vec()]
}

fn add_to<T: Real>(to: &mut [T], from: &[T]) {
    to.iter_mut().zip(from).for_each(|(to, &from)| *to += from);
}
