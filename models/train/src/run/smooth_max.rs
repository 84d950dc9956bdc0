//! The bidirectional smooth-max triplet, the plainest loss that trains both sides.

use ndarray::Array2;
use rand_pcg::Pcg64;

use super::criterion::{Criterion, Judged, Judgement, Note};

/// ½ · mean over anchors of both directions of
/// τ · log(1 + Σ_j exp((s_ij − s_ii + m) / τ)), j over the anchor's negatives:
/// rows of another group that are not near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SmoothMax {
    /// τ, in cosine; over 0.
    pub temperature: f32,
    /// m, in cosine; at least 0. With 0 it is InfoNCE with its logarithm of a
    /// sum over negatives and the positive.
    pub margin: f32,
}

impl Criterion for SmoothMax {
    fn judge(&mut self, batch: &Judged<'_>, _: f64, _: &mut Pcg64) -> Result<Judgement, String> {
        let texts = batch.texts.ok_or("the smooth-max loss needs texts, and the batch has none")?;
        let n = batch.images.nrows();
        let negative = |i: usize, j: usize| {
            batch.groups[i] != batch.groups[j]
                && batch.near.is_none_or(|near| !near[[i, j]] && !near[[j, i]])
        };
        let cosines = batch.images.dot(&texts.t());
        let mut gradient = Array2::<f32>::zeros((n, n));
        let (mut loss, mut active, mut negatives) = (0.0f64, 0u32, 0u64);
        let weight = 0.5 / n as f32;
        for i in 0..n {
            for columns in [true, false] {
                let at = |j: usize| if columns { [i, j] } else { [j, i] };
                let own = cosines[[i, i]];
                let excess = |j: usize| (cosines[at(j)] - own + self.margin) / self.temperature;
                let mine = || (0..n).filter(|&j| negative(i, j));
                // The 1 in the logarithm is exp(0), so the maximum is at least 0.
                let most = mine().map(excess).fold(0.0, f32::max);
                let sum: f32 = mine().map(|j| (excess(j) - most).exp()).sum();
                let total = sum + (-most).exp();
                loss += f64::from(weight * self.temperature * (most + total.ln()));
                active += u32::from(most > 0.0);
                for j in mine() {
                    let share = weight * (excess(j) - most).exp() / total;
                    gradient[at(j)] += share;
                    gradient[[i, i]] -= share;
                    negatives += 1;
                }
            }
        }
        if negatives == 0 {
            return Err("a batch left no negatives: all its pictures are of one group, or say nearly the same; add pictures of other things, or raise data.batch".into());
        }
        let note = |name: &str, value: f64| Note { name: name.to_owned(), value };
        let positive = cosines.diag().mean().map_or(0.0, f64::from);
        let all = f64::from(cosines.sum());
        let others = (all - positive * n as f64) / ((n * n - n).max(1)) as f64;
        Ok(Judgement {
            loss,
            images: gradient.dot(texts),
            texts: Some(gradient.t().dot(batch.images)),
            parameters: Vec::new(),
            notes: vec![
                note("active", f64::from(active) / (2 * n) as f64),
                note("positive", positive),
                note("negative", others),
            ],
            findings: Vec::new(),
        })
    }

    fn parameters(&mut self) -> Vec<&mut [f32]> {
        Vec::new()
    }

    fn export(&self) -> Vec<u8> {
        Vec::new()
    }

    fn import(&mut self, state: &[u8]) -> Result<(), String> {
        if state.is_empty() { Ok(()) } else { Err("expected no state of the loss, got some".into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::{Purpose, rng_for};
    use rand::RngExt;

    #[test]
    fn the_gradient_is_the_slope() {
        let mut rng = rng_for(2, Purpose::Sample, 0);
        let mut draw = || Array2::from_shape_fn((6, 4), |_| rng.random::<f32>() - 0.5);
        let (images, texts) = (draw(), draw());
        let groups = [0, 1, 2, 2, 3, 4];
        let mut near = Array2::from_elem((6, 6), false);
        near[[0, 5]] = true;
        let mut loss = SmoothMax { temperature: 0.2, margin: 0.1 };
        let mut judge = |images: &Array2<f32>, texts: &Array2<f32>| {
            let batch = Judged { images, texts: Some(texts), groups: &groups, classes: None, near: Some(&near) };
            loss.judge(&batch, 0.0, &mut rng_for(0, Purpose::Objective, 0)).expect("negatives")
        };
        let got = judge(&images, &texts);
        for (i, j) in (0..6).flat_map(|i| (0..4).map(move |j| (i, j))) {
            let mut slope = |which: bool| {
                let mut side = |by: f32| {
                    let (mut a, mut b) = (images.clone(), texts.clone());
                    *(if which { &mut a[[i, j]] } else { &mut b[[i, j]] }) += by;
                    judge(&a, &b).loss
                };
                (side(1e-2) - side(-1e-2)) / 2e-2
            };
            let (a, b) = (slope(true), slope(false));
            let of_texts = got.texts.as_ref().expect("texts")[[i, j]];
            assert!((f64::from(got.images[[i, j]]) - a).abs() < 1e-3, "{a}");
            assert!((f64::from(of_texts) - b).abs() < 1e-3, "{b}");
        }
        // What is of one group or near pushes nothing away.
        let all_one = [0; 6];
        let batch = Judged { images: &images, texts: Some(&texts), groups: &all_one, classes: None, near: None };
        let error = SmoothMax { temperature: 0.2, margin: 0.1 }
            .judge(&batch, 0.0, &mut rng_for(0, Purpose::Objective, 0))
            .expect_err("no negatives");
        assert!(error.contains("no negatives"), "{error}");
    }
}
