//! How do gradients change parameters? Adam with decoupled weight decay, over
//! plain slices, so that its state can be saved to the bit.

use rayon::prelude::*;

use super::params::Params;

/// Numbers a task.
const CHUNK: usize = 1 << 14;

/// The constants of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWOptions {
    /// How much of the first moment stays, in [0, 1).
    pub beta1: f32,
    /// How much of the second moment stays, in [0, 1).
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// The share of a weight that is lost a step, times the learning rate. Not
    /// for parameters with one axis.
    pub weight_decay: f32,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 1e-2 }
    }
}

/// The optimiser's memory.
///
/// # Source
/// Loshchilov and Hutter 2019, algorithm 2: with m and v corrected for their
/// start at zero, `w ← w − lr · (m̂ / (√v̂ + ε) + decay · w)`.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    options: AdamWOptions,
    steps: u64,
    moments: Vec<[Vec<f32>; 2]>,
}

impl AdamW {
    /// For arrays of these lengths.
    pub fn new(options: AdamWOptions, lengths: impl IntoIterator<Item = usize>) -> Self {
        let moments = lengths.into_iter().map(|n| [vec![0.0; n], vec![0.0; n]]).collect();
        Self { options, steps: 0, moments }
    }

    /// For these parameters; those that are not trained take no memory.
    pub fn for_params(options: AdamWOptions, params: &Params) -> Self {
        let lengths = params.list().iter().map(|p| if p.trained { p.values.len() } else { 0 });
        Self::new(options, lengths)
    }

    /// Steps taken.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// First and second moments, array by array.
    pub fn moments(&self) -> &[[Vec<f32>; 2]] {
        &self.moments
    }

    /// Takes up saved memory. The lengths must be those it was made for.
    ///
    /// # Errors
    /// What differs, in words.
    pub fn restore(&mut self, steps: u64, moments: Vec<[Vec<f32>; 2]>) -> Result<(), String> {
        let lengths = |all: &[[Vec<f32>; 2]]| -> Vec<[usize; 2]> {
            all.iter().map(|m| [m[0].len(), m[1].len()]).collect()
        };
        let (expected, got) = (lengths(&self.moments), lengths(&moments));
        if expected != got {
            return Err(format!("expected moments of lengths {expected:?}, got {got:?}"));
        }
        (self.steps, self.moments) = (steps, moments);
        Ok(())
    }

    /// One step. For each array: its values, its gradient (none: it stays), its
    /// own learning rate, and whether it decays.
    pub fn step<'a>(
        &mut self,
        arrays: impl IntoIterator<Item = (&'a mut [f32], Option<&'a [f32]>, f32, bool)>,
    ) {
        self.steps += 1;
        let AdamWOptions { beta1, beta2, epsilon, weight_decay } = self.options;
        // In 64 bits: 1 − 0.999ⁿ loses its digits otherwise.
        let power = |beta: f32| 1.0 - f64::from(beta).powf(self.steps as f64);
        let (first, second) = (power(beta1) as f32, power(beta2) as f32);
        for ((values, gradient, rate, decays), moments) in arrays.into_iter().zip(&mut self.moments)
        {
            let Some(gradient) = gradient else { continue };
            assert_eq!(values.len(), gradient.len(), "one gradient a value");
            let keep = 1.0 - rate * if decays { weight_decay } else { 0.0 };
            let [m, v] = moments;
            values
                .par_chunks_mut(CHUNK)
                .zip(gradient.par_chunks(CHUNK))
                .zip(m.par_chunks_mut(CHUNK).zip(v.par_chunks_mut(CHUNK)))
                .for_each(|((values, gradient), (m, v))| {
                    let moments = m.iter_mut().zip(v);
                    for ((w, &g), (m, v)) in values.iter_mut().zip(gradient).zip(moments) {
                        *m = beta1 * *m + (1.0 - beta1) * g;
                        *v = beta2 * *v + (1.0 - beta2) * g * g;
                        *w = *w * keep - rate * (*m / first) / ((*v / second).sqrt() + epsilon);
                    }
                });
        }
    }
}

fn squares(block: &[f32]) -> f64 {
    let mut lanes = [0.0; 8];
    let (eights, rest) = block.as_chunks::<8>();
    for eight in eights {
        for (lane, &x) in lanes.iter_mut().zip(eight) {
            *lane += f64::from(x) * f64::from(x);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}

/// Scales all gradients so that their common length is at most `most`; gives the
/// length before. Not finite means that nothing was scaled and the step has to be
/// left out.
pub fn clip<'a>(gradients: impl IntoIterator<Item = &'a mut [f32]>, most: f32) -> f32 {
    let mut all: Vec<&mut [f32]> = gradients.into_iter().collect();
    // In 64 bits and in blocks that do not depend on threads.
    let blocks: Vec<f64> = all.par_iter().flat_map(|g| g.par_chunks(CHUNK)).map(squares).collect();
    let length = blocks.iter().sum::<f64>().sqrt();
    if length.is_finite() && length > f64::from(most) {
        let by = (f64::from(most) / length) as f32;
        let blocks = all.par_iter_mut().flat_map(|g| g.par_chunks_mut(CHUNK));
        blocks.for_each(|block| block.iter_mut().for_each(|x| *x *= by));
    }
    length as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_are_those_of_torch() {
        // torch 2.15.0: w = torch.tensor([[1., -2.]], requires_grad=True)
        // o = torch.optim.AdamW([w], lr=.1, weight_decay=.01)
        // for g in ([.5, -1.], [.25, 3.]):
        //     w.grad = torch.tensor([g]); o.step(); print(w.detach())
        let options = AdamWOptions::default();
        let mut adam = AdamW::new(options, [2]);
        let mut w = [1.0f32, -2.0];
        for (gradient, want) in
            [([0.5f32, -1.0], [0.899_000_05, -1.898]), ([0.25, 3.0], [0.804_883_06, -1.945_521])]
        {
            adam.step([(&mut w[..], Some(&gradient[..]), 0.1, true)]);
            assert!(
                w.iter().zip(want).all(|(w, want): (&f32, f32)| (w - want).abs() < 1e-6),
                "{w:?}"
            );
        }
    }

    #[test]
    fn one_axis_does_not_decay_and_no_gradient_means_no_change() {
        let mut adam = AdamW::new(AdamWOptions::default(), [1, 1]);
        let (mut a, mut b) = ([2.0f32], [3.0f32]);
        adam.step([(&mut a[..], Some(&[0.0f32][..]), 0.5, false), (&mut b[..], None, 0.5, true)]);
        assert_eq!((a, b), ([2.0], [3.0]));
    }

    #[test]
    fn clipping_is_by_the_common_length() {
        let (mut a, mut b) = ([3.0f32], [4.0f32]);
        assert_eq!(clip([&mut a[..], &mut b[..]], 10.0), 5.0);
        assert_eq!((a, b), ([3.0], [4.0]));
        assert_eq!(clip([&mut a[..], &mut b[..]], 1.0), 5.0);
        assert!((a[0] - 0.6).abs() < 1e-6 && (b[0] - 0.8).abs() < 1e-6);
        let mut broken = [f32::NAN];
        assert!(clip([&mut broken[..]], 1.0).is_nan());
    }
}
