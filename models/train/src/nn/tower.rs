//! Which networks are there? Heads on a frozen tower, and small towers of their own.

use rand_pcg::Pcg64;

use super::layer::Op;
use super::params::{Group, Params, Slot, glorot, he, uniform};

/// What a tower adds its layers to.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// Nothing: the layers alone.
    None,
    /// The frozen tower's own embedding.
    Plain,
    /// The same through a trained map (base width × dim).
    Mapped(Slot),
}

/// One side of a model: `normalise(base + layers(input))`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tower {
    /// Whose parameters these are.
    pub group: Group,
    /// What is added to.
    pub base: Base,
    /// May be empty when there is a base.
    pub body: Vec<Op>,
    /// The width of the embedding.
    pub dim: usize,
}

/// Builds towers: adds parameters with their first values.
#[derive(Debug)]
pub struct TowerBuilder<'a> {
    params: &'a mut Params,
    rng: &'a mut Pcg64,
    group: Group,
}

impl<'a> TowerBuilder<'a> {
    /// Builds into `params`, drawing first values from `rng`.
    pub fn new(params: &'a mut Params, rng: &'a mut Pcg64, group: Group) -> Self {
        Self { params, rng, group }
    }

    fn add(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Slot {
        let side = match self.group {
            Group::Image => "image",
            Group::Text => "text",
        };
        self.params.add(self.group, format!("{side}.{name}"), shape, true, values)
    }

    fn weight(&mut self, name: &str, shape: [usize; 2], bound: f32) -> Slot {
        let values = uniform(self.rng, shape[0] * shape[1], bound);
        self.add(name, &shape, values)
    }

    fn linear(&mut self, name: &str, from: usize, to: usize, bound: f32) -> Op {
        let weight = self.weight(&format!("{name}.weight"), [from, to], bound);
        let bias = self.add(&format!("{name}.bias"), &[to], vec![0.0; to]);
        Op::Linear { weight, bias: Some(bias) }
    }

    fn layer_norm(&mut self, name: &str, width: usize) -> Op {
        let scale = self.add(&format!("{name}.scale"), &[width], vec![1.0; width]);
        let shift = self.add(&format!("{name}.shift"), &[width], vec![0.0; width]);
        Op::LayerNorm { affine: Some((scale, shift)), width }
    }

    /// A map from a base to `dim`, at first the identity (cut or filled up with
    /// zeros where the widths differ).
    pub fn map(&mut self, base: usize, dim: usize) -> Base {
        let mut values = vec![0.0; base * dim];
        (0..base.min(dim)).for_each(|i| values[i * dim + i] = 1.0);
        Base::Mapped(self.add("map.weight", &[base, dim], values))
    }

    /// A linear layer whose first values are `start` times the usual ones: zero
    /// leaves the base as it is.
    pub fn linear_head(&mut self, from: usize, dim: usize, bias: bool, start: f32) -> Vec<Op> {
        let weight = self.weight("out.weight", [from, dim], glorot(from, dim) * start);
        let bias = bias.then(|| self.add("out.bias", &[dim], vec![0.0; dim]));
        vec![Op::Linear { weight, bias }]
    }

    /// LayerNorm, then `depth` times a linear layer with GELU and dropout, then a
    /// linear layer whose first values are `start` times the usual ones.
    pub fn mlp_head(
        &mut self,
        [from, hidden, dim]: [usize; 3],
        depth: usize,
        [input_dropout, dropout]: [f32; 2],
        start: f32,
    ) -> Vec<Op> {
        // No scale and shift: the linear layer after it contains them, and a
        // constant input needs no gradient.
        let mut ops = vec![Op::LayerNorm { affine: None, width: from }];
        if input_dropout > 0.0 {
            ops.push(Op::Dropout(input_dropout));
        }
        let mut width = from;
        for i in 0..depth {
            ops.push(self.linear(&format!("hidden{i}"), width, hidden, glorot(width, hidden)));
            ops.push(Op::Gelu);
            if dropout > 0.0 {
                ops.push(Op::Dropout(dropout));
            }
            width = hidden;
        }
        ops.push(self.linear("out", width, dim, glorot(width, dim) * start));
        ops
    }

    fn conv(
        &mut self,
        name: &str,
        [from, to, kernel]: [usize; 3],
        stride: usize,
        groups: usize,
    ) -> Op {
        let inputs = from / groups * kernel * kernel;
        let values = uniform(self.rng, to * inputs, he(inputs));
        let shape = [to, from / groups, kernel, kernel];
        let weight = self.add(&format!("{name}.weight"), &shape, values);
        Op::Conv2d { weight, stride, padding: kernel / 2, groups }
    }

    fn batch_norm(&mut self, name: &str, channels: usize) -> Op {
        let scale = self.add(&format!("{name}.scale"), &[channels], vec![1.0; channels]);
        let shift = self.add(&format!("{name}.shift"), &[channels], vec![0.0; channels]);
        let mut follow = |what: &str, first: f32| {
            let slot = self.add(&format!("{name}.{what}"), &[channels], vec![first; channels]);
            self.params.list_mut()[slot.0].trained = false;
            slot
        };
        let (mean, variance) = (follow("mean", 0.0), follow("variance", 1.0));
        Op::BatchNorm { scale, shift, mean, variance }
    }

    /// A small convolutional network: a strided 3 × 3 convolution, then blocks of
    /// a depthwise 3 × 3 (stride 2 but for the first) and a 1 × 1 convolution,
    /// each with batch norm and ReLU, then the mean over pixels and a linear layer.
    pub fn cnn(&mut self, widths: &[usize], dim: usize, dropout: f32) -> Vec<Op> {
        let first = widths[0];
        let mut ops = vec![
            self.conv("stem", [3, first, 3], 2, 1),
            self.batch_norm("stem.norm", first),
            Op::Relu,
        ];
        let mut from = first;
        for (i, &to) in widths.iter().enumerate() {
            let stride = if i == 0 { 1 } else { 2 };
            ops.push(self.conv(&format!("block{i}.depth"), [from, from, 3], stride, from));
            ops.push(self.batch_norm(&format!("block{i}.depth.norm"), from));
            ops.push(Op::Relu);
            ops.push(self.conv(&format!("block{i}.point"), [from, to, 1], 1, 1));
            ops.push(self.batch_norm(&format!("block{i}.point.norm"), to));
            ops.push(Op::Relu);
            from = to;
        }
        ops.push(Op::GlobalMean);
        if dropout > 0.0 {
            ops.push(Op::Dropout(dropout));
        }
        ops.push(self.linear("out", from, dim, glorot(from, dim)));
        ops
    }

    fn blocks(&mut self, depth: usize, width: usize, heads: usize, dropout: f32) -> Vec<Op> {
        let mut ops = Vec::new();
        for i in 0..depth {
            let name = format!("block{i}");
            let mut map = |what: &str| {
                let bound = glorot(width, width);
                match self.linear(&format!("{name}.{what}"), width, width, bound) {
                    Op::Linear { weight, bias: Some(bias) } => (weight, bias),
                    _ => unreachable!("linear() gives both"),
                }
            };
            let maps = [map("query"), map("key"), map("value"), map("output")];
            let norm = self.layer_norm(&format!("{name}.norm1"), width);
            ops.push(Op::Residual(vec![norm, Op::Attention { heads, maps }, Op::Dropout(dropout)]));
            let norm = self.layer_norm(&format!("{name}.norm2"), width);
            let wide = 2 * width;
            let up = self.linear(&format!("{name}.up"), width, wide, glorot(width, wide));
            let down = self.linear(&format!("{name}.down"), wide, width, glorot(wide, width));
            ops.push(Op::Residual(vec![norm, up, Op::Gelu, down, Op::Dropout(dropout)]));
        }
        ops.push(self.layer_norm("norm", width));
        ops.push(Op::MaskedMean);
        ops
    }

    /// A small vision transformer over square patches of a square picture.
    pub fn vit(
        &mut self,
        [side, patch]: [usize; 2],
        [width, depth, heads]: [usize; 3],
        dim: usize,
        dropout: f32,
    ) -> Vec<Op> {
        let inputs = 3 * patch * patch;
        let values = uniform(self.rng, width * inputs, he(inputs));
        let weight = self.add("patch.weight", &[width, 3, patch, patch], values);
        let tokens = (side / patch) * (side / patch);
        let positions = self.weight("positions", [tokens, width], 0.04);
        let mut ops = vec![
            Op::Conv2d { weight, stride: patch, padding: 0, groups: 1 },
            Op::Patches { positions },
        ];
        ops.extend(self.blocks(depth, width, heads, dropout));
        ops.push(self.linear("out", width, dim, glorot(width, dim)));
        ops
    }

    /// A small transformer over token ids.
    pub fn text_transformer(
        &mut self,
        [words, longest]: [usize; 2],
        [width, depth, heads]: [usize; 3],
        dim: usize,
        dropout: f32,
    ) -> Vec<Op> {
        let table = self.weight("words", [words, width], 0.1);
        let positions = self.weight("positions", [longest, width], 0.04);
        let mut ops = vec![Op::TokenEmbedding { table, positions }];
        ops.extend(self.blocks(depth, width, heads, dropout));
        ops.push(self.linear("out", width, dim, glorot(width, dim)));
        ops
    }
}
