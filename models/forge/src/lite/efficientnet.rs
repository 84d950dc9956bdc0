//! Given the weights of EfficientNet-lite0 and an embedding for each of its
//! classes, what is the image tower? The network as an ONNX graph, followed by
//! ConSE: the mean of the classes' embeddings, weighted by their probability.
//!
//! # Source
//! Norouzi et al., "Zero-Shot Learning by Convex Combination of Semantic
//! Embeddings", 2014, with all classes instead of the best T.

use ekphrasis_onnx::{Attr, Channels, Graph, Model, TensorType, Value, packed};

use super::pth::{StateDict, Tensor};
use super::{CLASSES, DIM};
use crate::Result;

/// Side of the input picture.
pub(super) const SIZE: u32 = 224;
/// Width of the features before the classifier.
pub(super) const FEATURES: usize = 1280;
/// Channels of the depthwise convolutions of the last two blocks, together.
const DEEP: usize = 2 * 1152;
/// The batch norms' epsilon.
const EPSILON: f64 = 1e-3;
/// Channels after the first convolution.
const STEM: usize = 32;

/// Says the file of itself.
const DOC: &str =
    "EfficientNet-lite0 (ImageNet-1k) with a ConSE head into the space of all-MiniLM-L6-v2";

/// A row of the network's plan.
struct Stage {
    repeat: usize,
    kernel: u32,
    stride: u32,
    expand: usize,
    out: usize,
}

const fn stage(repeat: usize, kernel: u32, stride: u32, expand: usize, out: usize) -> Stage {
    Stage { repeat, kernel, stride, expand, out }
}

const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, 320),
];

/// Builds the tower: `pixels` [batch, 3, 224, 224] → `embedding` [batch, 384]
/// of unit length, `pooled` [batch, 1280], `logits` [batch, 1000].
///
/// `classes` has one embedding after the other, in the order of the classes.
/// Beside these it gives what a trained head stands on: `base`
/// [batch, 384], the embedding before it was scaled to unit length (its length
/// tells how sure the network is), and `deep` [batch, 2304], the means over the
/// area of what the depthwise convolutions of the last two blocks give.
///
/// # Errors
/// If a weight is absent or has another shape.
pub(super) fn build(weights: &StateDict, classes: &[f32]) -> Result<Model> {
    let mut graph = Graph::new("lite-image", super::PRODUCER, DOC);
    let side = i64::from(SIZE);
    let pixels = graph.input(
        "pixels",
        TensorType::F32,
        &[("batch", -1), ("channel", 3), ("height", side), ("width", side)],
    );
    let zero = graph.scalar("zero", 0.0);
    let six = graph.scalar("six", 6.0);
    let mut net = Network { graph, weights, zero, six, filtered: Vec::new() };

    let stem = Conv { weight: "_conv_stem", norm: "_bn0", kernel: 3, stride: 2, kind: Kind::Full };
    let (mut x, mut size) = net.conv(&pixels, SIZE, [STEM, 3], &stem)?;
    x = net.relu6("_conv_stem", &x);
    let mut channels = STEM;
    let mut number = 0;
    for stage in &STAGES {
        for repeat in 0..stage.repeat {
            let stride = if repeat == 0 { stage.stride } else { 1 };
            let block = format!("_blocks.{number}");
            (x, size) = net.block(&block, &x, size, channels, stage, stride)?;
            channels = stage.out;
            number += 1;
        }
    }
    let head = Conv { weight: "_conv_head", norm: "_bn1", kernel: 1, stride: 1, kind: Kind::Point };
    let (x, _) = net.conv(&x, size, [FEATURES, channels], &head)?;
    let x = net.relu6("_conv_head", &x);

    let over_area: &[_] = &[("axes", Attr::Ints(&[2, 3])), ("keepdims", Attr::Int(0))];
    let pooled = net.graph.op("mean", "ReduceMean", &[&x], over_area);
    let logits = net.classifier(&pooled)?;
    let deep: Vec<Value> = match net.filtered.as_slice() {
        [.., a, b] => [a.clone(), b.clone()]
            .iter()
            .map(|f| net.graph.reduce("filtered", "ReduceMean", f, &[2, 3], false))
            .collect(),
        _ => Vec::new(),
    };
    let mut graph = net.graph;

    let by_class: &[_] = &[("axis", Attr::Int(-1))];
    let probabilities = graph.op("probabilities", "Softmax", &[&logits], by_class);
    let shape = [CLASSES as i64, DIM as i64];
    let classes = packed(&mut graph, "classes", &shape, classes, Channels::First);
    let mixed = graph.op("conse", "MatMul", &[&probabilities, &classes], &[]);
    let embedding = graph.unit_length("unit", &mixed);
    let float = TensorType::F32;
    graph.output("embedding", &embedding, float, &[("batch", -1), ("dim", DIM as i64)]);
    graph.output("pooled", &pooled, float, &[("batch", -1), ("feature", FEATURES as i64)]);
    graph.output("logits", &logits, float, &[("batch", -1), ("class", CLASSES as i64)]);
    graph.output("base", &mixed, float, &[("batch", -1), ("dim", DIM as i64)]);
    let deep: Vec<&Value> = deep.iter().collect();
    let joined = graph.op("deep.joined", "Concat", &deep, &[("axis", Attr::Int(1))]);
    graph.output("deep", &joined, float, &[("batch", -1), ("feature", DEEP as i64)]);
    Ok(graph.finish())
}

/// How a convolution connects channels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Every input channel with every output channel.
    Full,
    /// The same, at one pixel: a matrix.
    Point,
    /// Each channel with itself.
    Depth,
}

struct Conv<'a> {
    /// The layer's name; its tensor ends in `.weight`.
    weight: &'a str,
    /// The name of the batch norm that follows.
    norm: &'a str,
    kernel: u32,
    stride: u32,
    kind: Kind,
}

struct Network<'a> {
    graph: Graph,
    weights: &'a StateDict,
    zero: Value,
    six: Value,
    /// What the depthwise convolution of each block gave.
    filtered: Vec<Value>,
}

impl Network<'_> {
    /// Expand, filter, project; and the input added where shapes allow.
    fn block(
        &mut self,
        name: &str,
        input: &Value,
        size: u32,
        channels: usize,
        stage: &Stage,
        stride: u32,
    ) -> Result<(Value, u32)> {
        let part = |suffix: &str| format!("{name}.{suffix}");
        let wide = channels * stage.expand;
        let mut x = input.clone();
        if stage.expand != 1 {
            let (weight, norm) = (part("_expand_conv"), part("_bn0"));
            let conv =
                Conv { weight: &weight, norm: &norm, kernel: 1, stride: 1, kind: Kind::Point };
            (x, _) = self.conv(&x, size, [wide, channels], &conv)?;
            x = self.relu6(&weight, &x);
        }
        let (weight, norm) = (part("_depthwise_conv"), part("_bn1"));
        let conv =
            Conv { weight: &weight, norm: &norm, kernel: stage.kernel, stride, kind: Kind::Depth };
        let (y, smaller) = self.conv(&x, size, [wide, 1], &conv)?;
        x = self.relu6(&weight, &y);
        self.filtered.push(x.clone());
        let (weight, norm) = (part("_project_conv"), part("_bn2"));
        let conv = Conv { weight: &weight, norm: &norm, kernel: 1, stride: 1, kind: Kind::Point };
        (x, _) = self.conv(&x, smaller, [stage.out, wide], &conv)?;
        if stride == 1 && channels == stage.out {
            x = self.graph.op(&part("skip"), "Add", &[&x, input], &[]);
        }
        Ok((x, smaller))
    }

    /// A convolution with its batch norm folded in; also gives the output's side.
    fn conv(
        &mut self,
        x: &Value,
        size: u32,
        [outputs, inputs]: [usize; 2],
        conv: &Conv,
    ) -> Result<(Value, u32)> {
        let kernel = conv.kernel as usize;
        let name = conv.weight;
        let weight = self.tensor(&format!("{name}.weight"), &[outputs, inputs, kernel, kernel])?;
        let norm = |part: &str| self.tensor(&format!("{}.{part}", conv.norm), &[outputs]);
        let folded = fold(
            weight,
            norm("weight")?,
            norm("bias")?,
            norm("running_mean")?,
            norm("running_var")?,
        );
        let shape = [outputs, inputs, kernel, kernel].map(|n| n as i64);
        let weight = format!("{name}.weight");
        // The few weights that are no matrices matter most for precision (a
        // channel has only 9 or 25 of them) and least for size.
        let weight = match conv.kind {
            Kind::Point => {
                packed(&mut self.graph, &weight, &shape, &folded.weight, Channels::First)
            }
            Kind::Full | Kind::Depth => self.graph.f32s(&weight, &shape, &folded.weight),
        };
        let bias = self.graph.f32s(&format!("{name}.bias"), &shape[..1], &folded.bias);
        let groups = if conv.kind == Kind::Depth { outputs } else { 1 };
        let (output, before, after) = same_padding(size, conv.kernel, conv.stride);
        let side = i64::from(conv.kernel);
        let stride = i64::from(conv.stride);
        let attributes: &[_] = &[
            ("group", Attr::Int(groups as i64)),
            ("kernel_shape", Attr::Ints(&[side, side])),
            ("pads", Attr::Ints(&[before, before, after, after].map(i64::from))),
            ("strides", Attr::Ints(&[stride, stride])),
        ];
        Ok((self.graph.op(name, "Conv", &[x, &weight, &bias], attributes), output))
    }

    /// ReLU6, which the network was trained with; any other activation ruins it.
    fn relu6(&mut self, name: &str, x: &Value) -> Value {
        let (zero, six) = (self.zero.clone(), self.six.clone());
        self.graph.op(&format!("{name}.relu6"), "Clip", &[x, &zero, &six], &[])
    }

    fn classifier(&mut self, pooled: &Value) -> Result<Value> {
        let weight = self.tensor("_fc.weight", &[CLASSES, FEATURES])?;
        let bias = self.tensor("_fc.bias", &[CLASSES])?;
        let shape = [CLASSES as i64, FEATURES as i64];
        let weight = packed(&mut self.graph, "_fc.weight", &shape, &weight.data, Channels::First);
        let bias = self.graph.f32s("_fc.bias", &shape[..1], &bias.data);
        let transposed: &[_] = &[("transB", Attr::Int(1))];
        Ok(self.graph.op("_fc", "Gemm", &[pooled, &weight, &bias], transposed))
    }

    fn tensor<'w>(&self, name: &str, shape: &[usize]) -> Result<&'w Tensor>
    where
        Self: 'w,
    {
        expect(self.weights, name, shape)
    }
}

/// The weight of this name, if it has this shape.
pub(super) fn expect<'w>(
    weights: &'w StateDict,
    name: &str,
    shape: &[usize],
) -> Result<&'w Tensor> {
    let tensor = weights.get(name).ok_or_else(|| format!("the weights have no {name}"))?;
    if tensor.shape == shape {
        Ok(tensor)
    } else {
        Err(format!("{name}: expected the shape {shape:?}, got {:?}", tensor.shape).into())
    }
}

/// A convolution that also does what the batch norm after it did.
struct Folded {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

fn fold(
    weight: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    variance: &Tensor,
) -> Folded {
    let channels = gamma.data.len();
    let per_channel = weight.data.len() / channels;
    let scale: Vec<f64> = (0..channels)
        .map(|c| f64::from(gamma.data[c]) / (f64::from(variance.data[c]) + EPSILON).sqrt())
        .collect();
    let scaled = weight.data.iter().enumerate();
    Folded {
        weight: scaled.map(|(i, &w)| (f64::from(w) * scale[i / per_channel]) as f32).collect(),
        bias: (0..channels)
            .map(|c| (f64::from(beta.data[c]) - f64::from(mean.data[c]) * scale[c]) as f32)
            .collect(),
    }
}

/// TensorFlow's SAME padding: output side, pixels before, pixels after. Of an
/// odd number the larger half comes after.
fn same_padding(size: u32, kernel: u32, stride: u32) -> (u32, u32, u32) {
    let output = size.div_ceil(stride);
    let total = ((output - 1) * stride + kernel).saturating_sub(size);
    (output, total / 2, total - total / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_tensorflows() {
        // Values of tf.nn.conv2d(padding="SAME"), as its documentation defines them.
        assert_eq!(same_padding(224, 3, 2), (112, 0, 1));
        assert_eq!(same_padding(56, 5, 2), (28, 1, 2));
        assert_eq!(same_padding(14, 5, 1), (14, 2, 2));
        assert_eq!(same_padding(7, 3, 2), (4, 1, 1));
        assert_eq!(same_padding(7, 1, 1), (7, 0, 0));
    }

    #[test]
    fn a_folded_convolution_equals_convolution_then_norm() {
        let tensor =
            |shape: &[usize], data: &[f32]| Tensor { shape: shape.to_vec(), data: data.to_vec() };
        let weight = tensor(&[2, 2, 1, 1], &[1.0, -2.0, 0.5, 3.0]);
        let (gamma, beta) = (tensor(&[2], &[2.0, -1.0]), tensor(&[2], &[0.25, 4.0]));
        let (mean, variance) = (tensor(&[2], &[0.5, -1.5]), tensor(&[2], &[0.25, 9.0]));
        let folded = fold(&weight, &gamma, &beta, &mean, &variance);
        let x = [0.7f32, -1.3];
        for c in 0..2 {
            let plain = weight.data[c * 2] * x[0] + weight.data[c * 2 + 1] * x[1];
            let want = (plain - mean.data[c]) / (variance.data[c] + 1e-3).sqrt() * gamma.data[c]
                + beta.data[c];
            let got =
                folded.weight[c * 2] * x[0] + folded.weight[c * 2 + 1] * x[1] + folded.bias[c];
            assert!((got - want).abs() < 1e-5, "{got} for {want}");
        }
    }

    #[test]
    fn absent_or_misshapen_weights_are_named() {
        let message = |w: &StateDict| build(w, &[]).expect_err("no weights").to_string();
        let mut weights = StateDict::new();
        assert!(message(&weights).contains("_conv_stem.weight"));
        weights.insert("_conv_stem.weight".into(), Tensor { shape: vec![1], data: vec![0.0] });
        assert!(message(&weights).contains("[32, 3, 3, 3]"));
    }
}
