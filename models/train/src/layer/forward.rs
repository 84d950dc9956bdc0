//! Given a batch, what does a network make of it? Plain loops in 64 bits: an
//! oracle for what is trained and for what is exported, not a way to serve.

use super::{Affine, Array, Flow, Layer, LayerError, Network};

/// What goes into a network.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Rows or pictures, one after another.
    Numbers(&'a [f32]),
    /// Token ids with a mask (1 for a token, 0 for padding), `rows × sequence` each.
    Ids {
        /// Row by row.
        ids: &'a [i64],
        /// As many.
        mask: &'a [i64],
        /// Tokens a row, padding included.
        sequence: usize,
    },
}

/// A batch between two layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    flow: Flow,
    /// How many rows, pictures or texts.
    size: usize,
    /// Tokens of each, for tokens and ids.
    sequence: usize,
    data: Vec<f64>,
    /// `size × sequence`, for tokens of texts.
    mask: Vec<bool>,
}

impl Batch {
    pub(super) fn rows(width: usize, data: Vec<f64>) -> Self {
        let size = data.len() / width.max(1);
        Self { flow: Flow::Row { width }, size, sequence: 0, data, mask: Vec::new() }
    }

    /// What it is a batch of.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Its numbers, row-major.
    pub fn data(&self) -> &[f64] {
        &self.data
    }

    /// Gives the numbers up.
    pub fn into_data(self) -> Vec<f64> {
        self.data
    }
}

impl Network {
    /// The network's output for a batch.
    ///
    /// # Errors
    /// If the input is of another kind or size, an id is not in the table, or a
    /// text is longer than [`Network::longest`].
    pub fn forward(&self, input: Input<'_>) -> Result<Batch, LayerError> {
        Ok(run(self.layers(), self.batch(input)?))
    }

    fn batch(&self, input: Input<'_>) -> Result<Batch, LayerError> {
        let each = match *self.input() {
            Flow::Row { width } => width,
            Flow::Picture { channels, height, width } => channels * height * width,
            Flow::Tokens { width, length } => width * length.unwrap_or(0),
            Flow::Ids => 0,
        };
        match input {
            Input::Numbers(data) if each > 0 && data.len().is_multiple_of(each) => {
                let size = data.len() / each;
                let sequence = match self.input() {
                    Flow::Tokens { length, .. } => length.unwrap_or(0),
                    _ => 0,
                };
                let data = data.iter().map(|&v| f64::from(v)).collect();
                Ok(Batch { flow: self.input().clone(), size, sequence, data, mask: Vec::new() })
            }
            Input::Ids { ids, mask, sequence } if *self.input() == Flow::Ids => {
                self.check_ids(ids, mask, sequence)?;
                Ok(Batch {
                    flow: Flow::Ids,
                    size: ids.len() / sequence,
                    sequence,
                    data: ids.iter().map(|&id| id as f64).collect(),
                    mask: mask.iter().map(|&m| m != 0).collect(),
                })
            }
            Input::Numbers(data) => {
                let got = format!("{} numbers", data.len());
                Err(LayerError::new("input", self.input(), got))
            }
            Input::Ids { .. } => Err(LayerError::new("input", self.input(), "token ids")),
        }
    }

    fn check_ids(&self, ids: &[i64], mask: &[i64], sequence: usize) -> Result<(), LayerError> {
        if sequence == 0 || !ids.len().is_multiple_of(sequence) || mask.len() != ids.len() {
            let expected = format!("as many ids as marks, in rows of {sequence} (over 0)");
            let got = format!("{} ids, {} marks", ids.len(), mask.len());
            return Err(LayerError::new("input", expected, got));
        }
        let words = self.layers().iter().find_map(|layer| match layer {
            Layer::TokenEmbedding { table, .. } => Some(table.shape()[0]),
            _ => None,
        });
        let (Some(words), Some(longest)) = (words, self.longest()) else { return Ok(()) };
        if sequence > longest {
            let expected = format!("texts of at most {longest} tokens");
            return Err(LayerError::new("input", expected, sequence));
        }
        match ids.iter().find(|&&id| usize::try_from(id).map_or(true, |id| id >= words)) {
            Some(id) => Err(LayerError::new("input", format!("ids below {words}"), id)),
            None => Ok(()),
        }
    }
}

/// Layers that were checked, on a batch that was checked.
pub(super) fn run(layers: &[Layer], batch: Batch) -> Batch {
    layers.iter().fold(batch, step)
}

fn step(batch: Batch, layer: &Layer) -> Batch {
    let flow = layer.output(&batch.flow, "").expect("checked when the network was made");
    let width = batch.flow.last().unwrap_or(1).max(1);
    let map = |f: &dyn Fn(f64) -> f64| batch.data.iter().map(|&x| f(x)).collect::<Vec<_>>();
    let by_row = |f: &dyn Fn(&[f64]) -> Vec<f64>| -> Vec<f64> {
        batch.data.chunks(width).flat_map(f).collect()
    };
    let data = match layer {
        Layer::Linear { weight, bias } => by_row(&|row| linear(row, weight, bias.as_ref())),
        Layer::Scale { scale, shift } => by_row(&|row| scaled(row, scale, shift)),
        Layer::LayerNorm { scale, shift, epsilon } => by_row(&|row| {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
            let by = (variance + f64::from(*epsilon)).sqrt();
            let unit: Vec<f64> = row.iter().map(|x| (x - mean) / by).collect();
            scaled(&unit, scale, shift)
        }),
        Layer::Gelu => map(&|x| x * normal_cdf(x)),
        Layer::Relu => map(&|x| x.max(0.0)),
        Layer::Clip { low, high } => map(&|x| x.max(f64::from(*low)).min(f64::from(*high))),
        Layer::Softmax => by_row(&softmax),
        Layer::Normalise { epsilon } => by_row(&|row| {
            let length = (row.iter().map(|x| x * x).sum::<f64>() + f64::from(*epsilon)).sqrt();
            row.iter().map(|x| x / length).collect()
        }),
        Layer::Conv2d { weight, bias, stride, padding, groups } => {
            convolve(&batch, &flow, weight, bias.as_ref(), [*stride, *padding, *groups])
        }
        Layer::GlobalMean => {
            let area = batch.data.len() / (batch.size * flow.last().unwrap_or(1)).max(1);
            let mean = |pixels: &[f64]| pixels.iter().sum::<f64>() / area as f64;
            batch.data.chunks(area.max(1)).map(mean).collect()
        }
        Layer::Patches { positions } => {
            let (tokens, channels) = (positions.shape()[0], positions.shape()[1]);
            let at = |i: usize| {
                let (row, token, channel) =
                    (i / (tokens * channels), i / channels % tokens, i % channels);
                batch.data[(row * channels + channel) * tokens + token]
                    + f64::from(positions.data()[token * channels + channel])
            };
            let data = (0..batch.data.len()).map(at).collect();
            return Batch { flow, sequence: tokens, data, ..batch };
        }
        Layer::TokenEmbedding { table, positions } => {
            let wide = table.shape()[1];
            let ids = batch.data.iter().enumerate();
            ids.flat_map(|(i, &id)| {
                let word = &table.data()[id as usize * wide..][..wide];
                let place = &positions.data()[i % batch.sequence * wide..][..wide];
                word.iter().zip(place).map(|(w, p)| f64::from(*w) + f64::from(*p))
            })
            .collect()
        }
        Layer::Attention { heads, query, key, value, output } => {
            attend(&batch, width, *heads, [query, key, value, output])
        }
        Layer::MaskedMean => masked_mean(&batch, width),
        Layer::Residual(inner) => {
            let through = run(inner, batch.clone());
            batch.data.iter().zip(through.data).map(|(x, y)| x + y).collect()
        }
    };
    Batch { flow, data, ..batch }
}

fn linear(row: &[f64], weight: &Array, bias: Option<&Array>) -> Vec<f64> {
    let to = weight.shape()[1];
    let mut out: Vec<f64> = match bias {
        Some(bias) => bias.data().iter().map(|&b| f64::from(b)).collect(),
        None => vec![0.0; to],
    };
    for (x, weights) in row.iter().zip(weight.data().chunks(to.max(1))) {
        out.iter_mut().zip(weights).for_each(|(y, w)| *y += x * f64::from(*w));
    }
    out
}

fn scaled(row: &[f64], scale: &Array, shift: &Array) -> Vec<f64> {
    let by = scale.data().iter().zip(shift.data());
    row.iter().zip(by).map(|(x, (a, b))| x * f64::from(*a) + f64::from(*b)).collect()
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = row.iter().map(|x| (x - most).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|p| p / total).collect()
}

/// The standard normal distribution function, ½ · (1 + erf(x / √2)).
fn normal_cdf(x: f64) -> f64 {
    0.5 * (1.0 + erf(x / std::f64::consts::SQRT_2))
}

/// The error function: its power series near zero, the continued fraction of
/// erfc beyond, both to about 1e-15 (Abramowitz and Stegun 7.1.6 and 7.1.14).
fn erf(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < 2.5 {
        let mut term = a;
        let mut sum = a;
        for n in 1..120 {
            term *= 2.0 * a * a / f64::from(2 * n + 1);
            sum += term;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-a * a).exp() * sum
    } else {
        let mut fraction = a;
        for k in (1..=120).rev() {
            fraction = a + 0.5 * f64::from(k) / fraction;
        }
        1.0 - (-a * a).exp() / (std::f64::consts::PI.sqrt() * fraction)
    };
    value.copysign(x)
}

fn convolve(
    batch: &Batch,
    to: &Flow,
    weight: &Array,
    bias: Option<&Array>,
    [stride, padding, groups]: [usize; 3],
) -> Vec<f64> {
    let (
        &Flow::Picture { channels, height, width },
        &Flow::Picture { channels: out, height: high, width: wide },
    ) = (&batch.flow, to)
    else {
        unreachable!("checked when the network was made")
    };
    let (kernel_high, kernel_wide) = (weight.shape()[2], weight.shape()[3]);
    let (own, outs) = (channels / groups, out / groups);
    let mut data = Vec::with_capacity(batch.size * out * high * wide);
    for image in batch.data.chunks(channels * height * width) {
        for o in 0..out {
            for (y, x) in (0..high).flat_map(|y| (0..wide).map(move |x| (y, x))) {
                let mut sum = bias.map_or(0.0, |b| f64::from(b.data()[o]));
                for (c, i, j) in (0..own).flat_map(|c| {
                    (0..kernel_high).flat_map(move |i| (0..kernel_wide).map(move |j| (c, i, j)))
                }) {
                    let row = (y * stride + i).checked_sub(padding).filter(|&r| r < height);
                    let column = (x * stride + j).checked_sub(padding).filter(|&r| r < width);
                    if let (Some(row), Some(column)) = (row, column) {
                        let channel = o / outs * own + c;
                        let w = weight.data()[((o * own + c) * kernel_high + i) * kernel_wide + j];
                        sum += f64::from(w) * image[(channel * height + row) * width + column];
                    }
                }
                data.push(sum);
            }
        }
    }
    data
}

fn attend(
    batch: &Batch,
    width: usize,
    heads: usize,
    [query, key, value, output]: [&Affine; 4],
) -> Vec<f64> {
    let length = batch.sequence;
    let head = width / heads;
    let mut data = Vec::with_capacity(batch.data.len());
    for (text, tokens) in batch.data.chunks(length * width).enumerate() {
        let project = |affine: &Affine| -> Vec<Vec<f64>> {
            tokens.chunks(width).map(|t| linear(t, &affine.weight, Some(&affine.bias))).collect()
        };
        let (q, k, v) = (project(query), project(key), project(value));
        for own in &q {
            let mut mixed = vec![0.0; width];
            for h in 0..heads {
                let part = h * head..(h + 1) * head;
                let scores: Vec<f64> = (0..length)
                    .map(|j| {
                        let dot: f64 = own[part.clone()]
                            .iter()
                            .zip(&k[j][part.clone()])
                            .map(|(a, b)| a * b)
                            .sum();
                        let seen = batch.mask.get(text * length + j).is_none_or(|m| *m);
                        // A finite penalty, as the exported graph has it, so that
                        // a text of padding alone gives numbers and not NaN.
                        dot / (head as f64).sqrt() + if seen { 0.0 } else { super::PADDING }
                    })
                    .collect();
                for (j, weight) in softmax(&scores).into_iter().enumerate() {
                    let values = &v[j][part.clone()];
                    mixed[part.clone()].iter_mut().zip(values).for_each(|(m, x)| *m += weight * x);
                }
            }
            data.extend(linear(&mixed, &output.weight, Some(&output.bias)));
        }
    }
    data
}

fn masked_mean(batch: &Batch, width: usize) -> Vec<f64> {
    let mut data = Vec::with_capacity(batch.size * width);
    for (text, tokens) in batch.data.chunks(batch.sequence * width).enumerate() {
        let mut sum = vec![0.0; width];
        let mut count = 0.0;
        for (i, token) in tokens.chunks(width).enumerate() {
            if batch.mask.get(text * batch.sequence + i).is_none_or(|m| *m) {
                sum.iter_mut().zip(token).for_each(|(s, x)| *s += x);
                count += 1.0;
            }
        }
        data.extend(sum.into_iter().map(|s| s / f64::max(count, 1.0)));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_has_its_tabled_values() {
        // Python: [math.erf(x) for x in (0, 0.1, 0.5, 1, 2, 3, 5)]
        let table = [
            (0.0, 0.0),
            (0.1, 0.112_462_916_018_284_9),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (5.0, 0.999_999_999_998_462_5),
        ];
        for (x, want) in table {
            assert!((erf(x) - want).abs() < 1e-14, "{x}: {} for {want}", erf(x));
            assert!((erf(-x) + want).abs() < 1e-14);
        }
        // The two ways meet.
        assert!((erf(2.5 - 1e-12) - erf(2.5)).abs() < 1e-13);
    }
}
