//! Given a tower and a batch, what are the embeddings, and given the gradient
//! with respect to those, what are the gradients of the parameters?

use burn::tensor::module::{batch_norm, batch_norm_train, conv2d, embedding, layer_norm, linear};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use ndarray::{Array2, Array4};
use rand::Rng;
use rand_pcg::Pcg64;

use super::layer::{FOLLOW, NORM_EPSILON, Op, UNIT_EPSILON};
use super::params::{Params, Slot};
use super::rows;
use super::tower::{Base, Tower};

/// Texts as token ids, all padded to one length.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenBatch {
    /// texts × tokens.
    pub ids: Array2<i64>,
    /// texts × tokens; 1 for a token, 0 for padding.
    pub mask: Array2<f32>,
}

/// What a tower is fed.
#[derive(Clone, Debug)]
pub enum Fed {
    /// Values of a frozen tower.
    Rows {
        /// rows × base width; needed where the tower has a base.
        base: Option<Array2<f32>>,
        /// rows × features; needed where the tower has layers.
        features: Option<Array2<f32>>,
    },
    /// pictures × channels × height × width.
    Pictures(Array4<f32>),
    /// Texts.
    Tokens(TokenBatch),
}

/// A forward pass that waits for its gradient.
#[derive(Debug)]
pub struct Forward(Way);

#[derive(Debug)]
enum Way {
    /// A head, without a record.
    Rows(Box<rows::Pass>),
    /// Anything, recorded by burn.
    Tape(Box<Tape>),
}

#[derive(Debug)]
struct Tape {
    embedding: Tensor<2>,
    /// rows × 1.
    length: Tensor<2>,
    leaves: Vec<Option<Tensor<1>>>,
    follow: Vec<(Slot, Vec<f32>)>,
}

impl Forward {
    /// The embeddings, rows × dim, each of unit length.
    pub fn embeddings(&self) -> Array2<f32> {
        match &self.0 {
            Way::Rows(pass) => pass.embedding().clone(),
            Way::Tape(tape) => out(tape.embedding.clone()),
        }
    }

    /// How long each row was before it was scaled to 1.
    pub fn lengths(&self) -> Vec<f32> {
        match &self.0 {
            Way::Rows(pass) => pass.lengths().to_vec(),
            Way::Tape(tape) => out(tape.length.clone()).into_iter().collect(),
        }
    }
}

/// What a loss wants of a tower's rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradient {
    /// ∂loss/∂embeddings, rows × dim, with lengths held.
    pub embeddings: Array2<f32>,
    /// ∂loss/∂lengths, one a row; none for a loss that does not look at them.
    pub lengths: Option<Vec<f32>>,
}

impl From<Array2<f32>> for Gradient {
    fn from(embeddings: Array2<f32>) -> Self {
        Self { embeddings, lengths: None }
    }
}

enum Value {
    Rows(Tensor<2>),
    Pictures(Tensor<4>),
    Ids(Tensor<2, Int>, Tensor<2>),
    Tokens(Tensor<3>, Option<Tensor<2>>),
}

struct Pass<'a> {
    params: &'a Params,
    leaves: Vec<Option<Tensor<1>>>,
    device: Device,
    /// None at inference.
    rng: Option<Pcg64>,
    follow: Vec<(Slot, Vec<f32>)>,
}

/// Runs the tower in training: with dropout drawn from `rng`, batch statistics,
/// and a record of what was done for [`backward`].
///
/// # Panics
/// If `fed` is not what the tower's layers take; who builds both sees to it.
pub fn forward(tower: &Tower, params: &Params, fed: Fed, rng: Pcg64) -> Forward {
    match fed {
        Fed::Rows { base, features } if rows::takes(tower) => {
            Forward(Way::Rows(Box::new(rows::forward(tower, params, base, features, Some(rng)))))
        }
        fed => recorded(tower, params, fed, rng),
    }
}

/// [`forward()`] by burn's record, whatever the layers are.
pub(super) fn recorded(tower: &Tower, params: &Params, fed: Fed, rng: Pcg64) -> Forward {
    let mut pass = Pass::new(tower, params, Some(rng));
    let (embedding, length) = pass.tower(tower, fed);
    Forward(Way::Tape(Box::new(Tape {
        embedding,
        length,
        leaves: pass.leaves,
        follow: pass.follow,
    })))
}

/// Runs the tower as it will be used: nothing dropped, running statistics.
///
/// # Panics
/// As [`forward`].
pub fn infer(tower: &Tower, params: &Params, fed: Fed) -> Array2<f32> {
    match fed {
        Fed::Rows { base, features } if rows::takes(tower) => {
            rows::forward(tower, params, base, features, None).into_embedding()
        }
        fed => out(Pass::new(tower, params, None).tower(tower, fed).0),
    }
}

/// Given the loss's gradient by the rows of a pass, the gradient of each parameter, by
/// place; none where the tower has no part in it. Moves running statistics in `params`,
/// which are otherwise those of the forward pass.
pub fn backward(
    pass: Forward,
    gradient: impl Into<Gradient>,
    params: &mut Params,
) -> Vec<Option<Vec<f32>>> {
    let tape = match pass.0 {
        Way::Rows(pass) => return rows::backward(*pass, gradient.into(), params),
        Way::Tape(tape) => *tape,
    };
    for (slot, seen) in tape.follow {
        for (value, new) in params.values_mut(slot).iter_mut().zip(seen) {
            *value += FOLLOW * (new - *value);
        }
    }
    if !tape.embedding.is_tracked() {
        return vec![None; tape.leaves.len()];
    }
    let Gradient { embeddings, lengths } = gradient.into();
    let device = tape.embedding.device();
    // d(Σ e·c)/de = c: the loss's gradient enters the graph as a constant.
    let mut sum = (tape.embedding * tensor2(embeddings, &device)).sum();
    if let Some(lengths) = lengths {
        let constant = TensorData::new(lengths, tape.length.dims());
        sum = sum + (tape.length * Tensor::<2>::from_data(constant, &device)).sum();
    }
    let mut gradients = sum.backward();
    let take = |leaf: Option<Tensor<1>>| leaf?.grad_remove(&mut gradients).map(numbers);
    tape.leaves.into_iter().map(take).collect()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let numbers = tensor.try_into_vec_as::<f32>();
    numbers.expect("the CPU backend gives 32-bit numbers at once")
}

fn out(tensor: Tensor<2>) -> Array2<f32> {
    let dims = tensor.dims();
    let tensor = if tensor.is_autodiff() { tensor.inner() } else { tensor };
    Array2::from_shape_vec(dims, numbers(tensor)).expect("as many numbers as the shape says")
}

fn tensor2(array: Array2<f32>, device: &Device) -> Tensor<2> {
    let shape = [array.nrows(), array.ncols()];
    Tensor::from_data(TensorData::new(contiguous(array), shape), device)
}

fn contiguous<D: ndarray::Dimension>(array: ndarray::Array<f32, D>) -> Vec<f32> {
    if array.is_standard_layout() {
        let (numbers, offset) = array.into_raw_vec_and_offset();
        assert_eq!(offset.unwrap_or(0), 0, "an owned array made in one piece starts at its start");
        numbers
    } else {
        array.iter().copied().collect()
    }
}

impl<'a> Pass<'a> {
    fn new(tower: &Tower, params: &'a Params, rng: Option<Pcg64>) -> Self {
        let training = rng.is_some();
        let device = if training { Device::flex().autodiff() } else { Device::flex() };
        let leaves = params.list().iter().map(|param| {
            (param.group == tower.group).then(|| {
                let data = TensorData::new(param.values.clone(), [param.values.len()]);
                let leaf = Tensor::<1>::from_data(data, &device);
                if training && param.trained { leaf.require_grad() } else { leaf }
            })
        });
        Self { params, leaves: leaves.collect(), device, rng, follow: Vec::new() }
    }

    fn one(&self, slot: Slot) -> Tensor<1> {
        self.leaves[slot.0].clone().expect("a tower uses its own parameters")
    }

    fn two(&self, slot: Slot) -> Tensor<2> {
        let shape = &self.params.get(slot).shape;
        self.one(slot).reshape([shape[0], shape[1]])
    }

    fn four(&self, slot: Slot) -> Tensor<4> {
        let shape = &self.params.get(slot).shape;
        self.one(slot).reshape([shape[0], shape[1], shape[2], shape[3]])
    }

    /// Rows of unit length, and how long they were.
    fn tower(&mut self, tower: &Tower, fed: Fed) -> (Tensor<2>, Tensor<2>) {
        let (base, input) = match fed {
            Fed::Rows { base, features } => (
                base.map(|b| tensor2(b, &self.device)),
                features.map(|f| Value::Rows(tensor2(f, &self.device))),
            ),
            Fed::Pictures(pictures) => {
                let (n, c, h, w) = pictures.dim();
                let data = TensorData::new(contiguous(pictures), [n, c, h, w]);
                (None, Some(Value::Pictures(Tensor::from_data(data, &self.device))))
            }
            Fed::Tokens(tokens) => {
                let shape = [tokens.ids.nrows(), tokens.ids.ncols()];
                let ids = TensorData::new(tokens.ids.iter().copied().collect::<Vec<i64>>(), shape);
                let mask = tensor2(tokens.mask, &self.device);
                (None, Some(Value::Ids(Tensor::from_data(ids, &self.device), mask)))
            }
        };
        let base = match tower.base {
            Base::None => None,
            Base::Plain => Some(base.expect("a head on a base is fed the base")),
            Base::Mapped(slot) => {
                let base = base.expect("a head on a base is fed the base");
                Some(linear(base, self.two(slot), None))
            }
        };
        let through = (!tower.body.is_empty()).then(|| {
            let input = input.expect("layers are fed something");
            match self.run(&tower.body, input) {
                Value::Rows(rows) => rows,
                _ => panic!("a tower ends in rows"),
            }
        });
        let sum = match (base, through) {
            (Some(base), Some(through)) => base + through,
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => panic!("a tower has a base or layers"),
        };
        let length = (sum.clone().square().sum_dim(1) + UNIT_EPSILON).sqrt();
        (sum / length.clone(), length)
    }

    fn run(&mut self, ops: &[Op], mut value: Value) -> Value {
        for op in ops {
            value = self.step(op, value);
        }
        value
    }

    fn step(&mut self, op: &Op, value: Value) -> Value {
        match (op, value) {
            (Op::Residual(inner), value) => {
                let (first, kept) = match value {
                    Value::Rows(x) => (Value::Rows(x.clone()), Value::Rows(x)),
                    Value::Pictures(x) => (Value::Pictures(x.clone()), Value::Pictures(x)),
                    Value::Tokens(x, m) => {
                        (Value::Tokens(x.clone(), m.clone()), Value::Tokens(x, m))
                    }
                    Value::Ids(..) => panic!("no residual over ids"),
                };
                match (self.run(inner, first), kept) {
                    (Value::Rows(a), Value::Rows(b)) => Value::Rows(a + b),
                    (Value::Pictures(a), Value::Pictures(b)) => Value::Pictures(a + b),
                    (Value::Tokens(a, m), Value::Tokens(b, _)) => Value::Tokens(a + b, m),
                    _ => panic!("a residual keeps the shape"),
                }
            }
            (Op::Conv2d { weight, stride, padding, groups }, Value::Pictures(x)) => {
                let both = |n: usize| [n, n];
                let options = ConvOptions::new(both(*stride), both(*padding), [1, 1], *groups);
                Value::Pictures(conv2d(x, self.four(*weight), None, options))
            }
            (Op::BatchNorm { scale, shift, mean, variance }, Value::Pictures(x)) => {
                Value::Pictures(self.batch_norm(x, [*scale, *shift, *mean, *variance]))
            }
            (Op::GlobalMean, Value::Pictures(x)) => {
                let [n, c, h, w] = x.dims();
                Value::Rows(x.reshape([n, c, h * w]).mean_dim(2).squeeze_dim::<2>(2))
            }
            (Op::Patches { positions }, Value::Pictures(x)) => {
                let [n, c, h, w] = x.dims();
                let tokens = x.reshape([n, c, h * w]).swap_dims(1, 2);
                Value::Tokens(tokens + self.two(*positions).unsqueeze_dim::<3>(0), None)
            }
            (Op::TokenEmbedding { table, positions }, Value::Ids(ids, mask)) => {
                let length = ids.dims()[1];
                let places = self.two(*positions).narrow(0, 0, length).unsqueeze_dim::<3>(0);
                Value::Tokens(embedding(self.two(*table), ids) + places, Some(mask))
            }
            (Op::Attention { heads, maps }, Value::Tokens(x, mask)) => {
                let y = self.attend(x, mask.clone(), *heads, maps);
                Value::Tokens(y, mask)
            }
            (Op::MaskedMean, Value::Tokens(x, None)) => {
                Value::Rows(x.mean_dim(1).squeeze_dim::<2>(1))
            }
            (Op::MaskedMean, Value::Tokens(x, Some(mask))) => {
                let count = mask.clone().sum_dim(1).clamp_min(1.0);
                let sum = (x * mask.unsqueeze_dim::<3>(2)).sum_dim(1).squeeze_dim::<2>(1);
                Value::Rows(sum / count)
            }
            (op, Value::Rows(x)) => Value::Rows(self.along(op, x)),
            (op, Value::Tokens(x, mask)) => Value::Tokens(self.along(op, x), mask),
            (op, Value::Pictures(x)) => Value::Pictures(self.along(op, x)),
            (op, Value::Ids(..)) => panic!("{op:?} does not take ids"),
        }
    }

    /// What works along the last axis, whatever the others are.
    fn along<const D: usize>(&mut self, op: &Op, x: Tensor<D>) -> Tensor<D> {
        match op {
            Op::Linear { weight, bias } => {
                linear(x, self.two(*weight), bias.map(|bias| self.one(bias)))
            }
            Op::LayerNorm { affine, width } => {
                let epsilon = f64::from(NORM_EPSILON);
                if let Some((scale, shift)) = affine {
                    return layer_norm(x, self.one(*scale), Some(self.one(*shift)), epsilon);
                }
                if x.is_autodiff() && !x.is_tracked() {
                    // A constant: no record is needed, and one pass does.
                    let x = x.inner();
                    let one = Tensor::ones([*width], &x.device());
                    return Tensor::from_inner(layer_norm(x, one, None, epsilon));
                }
                let one = Tensor::ones([*width], &x.device());
                layer_norm(x, one, None, epsilon)
            }
            Op::Gelu => activation::gelu(x),
            Op::Relu => activation::relu(x),
            Op::Dropout(share) => {
                let dims = x.dims();
                let Some(rng) = self.rng.as_mut().filter(|_| *share > 0.0) else { return x };
                let kept = kept(rng, dims.iter().product(), *share);
                x * Tensor::from_data(TensorData::new(kept, dims), &self.device)
            }
            other => panic!("{other:?} does not work along the last axis"),
        }
    }

    fn batch_norm(&mut self, x: Tensor<4>, [scale, shift, mean, variance]: [Slot; 4]) -> Tensor<4> {
        let epsilon = f64::from(NORM_EPSILON);
        if self.rng.is_none() {
            let [gamma, beta, mean, variance] = [scale, shift, mean, variance].map(|s| self.one(s));
            return batch_norm(x, gamma, beta, mean, variance, epsilon);
        }
        let [n, _, h, w] = x.dims();
        let count = (n * h * w) as f32;
        let done = batch_norm_train(x, self.one(scale), self.one(shift), epsilon);
        self.follow.push((mean, numbers(done.mean.inner())));
        // The variance of the population, as seen from this sample.
        let unbiased = count / (count - 1.0).max(1.0);
        let seen = numbers(done.variance.inner()).into_iter().map(|v| v * unbiased).collect();
        self.follow.push((variance, seen));
        done.output
    }

    fn attend(
        &self,
        x: Tensor<3>,
        mask: Option<Tensor<2>>,
        heads: usize,
        maps: &[(Slot, Slot); 4],
    ) -> Tensor<3> {
        let [n, length, width] = x.dims();
        let head = width / heads;
        let map = |x: Tensor<3>, (weight, bias): (Slot, Slot)| {
            linear(x, self.two(weight), Some(self.one(bias)))
        };
        let split = |x: Tensor<3>| x.reshape([n, length, heads, head]).swap_dims(1, 2);
        let [query, key, value] =
            [maps[0], maps[1], maps[2]].map(|slots| split(map(x.clone(), slots)));
        let mut scores = query.matmul(key.swap_dims(2, 3)) / (head as f32).sqrt();
        if let Some(mask) = mask {
            // As in crate::layer: a finite penalty for padding.
            let penalty = (mask - 1.0) * (-crate::layer::PADDING as f32);
            scores = scores + penalty.reshape([n, 1, 1, length]);
        }
        let mixed = activation::softmax(scores, 3).matmul(value);
        map(mixed.swap_dims(1, 2).reshape([n, length, width]), maps[3])
    }
}

/// Zero for this share of the numbers, and for the others what keeps the mean.
/// The share is rounded to 1/65,536.
pub(super) fn kept(rng: &mut Pcg64, count: usize, share: f32) -> Vec<f32> {
    let limit = (share * 65_536.0).round().clamp(0.0, 65_535.0) as u16;
    let scale = 65_536.0 / (65_536.0 - f32::from(limit));
    let mut kept = Vec::with_capacity(count + 4);
    while kept.len() < count {
        let four = rng.next_u64().to_le_bytes();
        for pair in four.chunks_exact(2) {
            let drawn = u16::from_le_bytes([pair[0], pair[1]]);
            kept.push(if drawn < limit { 0.0 } else { scale });
        }
    }
    kept.truncate(count);
    kept
}
