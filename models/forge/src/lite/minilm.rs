//! Given the weights of all-MiniLM-L6-v2, what is the text tower? The BERT
//! encoder as an ONNX graph, followed by mean pooling over the attention mask
//! and scaling to unit length.
//!
//! Stored small: the word table as 8-bit numbers in blocks of 64 with one scale
//! a block (looked up first and turned into floats after, so it never lies in
//! memory as floats), the linear layers as 12-bit numbers.

use ekphrasis_onnx::{Attr, Channels, Graph, Model, TensorType, Value, packed};
use half::f16;

use super::DIM;
use super::efficientnet::expect;
use super::pth::{StateDict, Tensor};
use crate::Result;

/// Says the file of itself.
const DOC: &str = "all-MiniLM-L6-v2 with mean pooling and unit length";
const LAYERS: usize = 6;
const HEADS: usize = 12;
/// Width of one attention head.
const HEAD: usize = DIM / HEADS;
/// Width of the feed-forward layer.
const INNER: usize = 4 * DIM;
const WORDS: usize = 30_522;
const POSITIONS: usize = 512;
/// The layer norms' epsilon.
const EPSILON: f32 = 1e-12;
/// Elements that share one scale in the word table.
const BLOCK: usize = 64;

/// Builds the tower: `input_ids`, `attention_mask`, `token_type_ids`
/// [batch, sequence] → `embedding` [batch, 384] of unit length.
///
/// # Errors
/// If a weight is absent or has another shape.
pub(super) fn build(weights: &StateDict) -> Result<Model> {
    let mut graph = Graph::new("lite-text", super::PRODUCER, DOC);
    let axes: &[_] = &[("batch", -1), ("sequence", -1)];
    let [ids, mask, types] = ["input_ids", "attention_mask", "token_type_ids"]
        .map(|name| graph.input(name, TensorType::I64, axes));
    let shapes = Shapes {
        split: graph.i64s("shape.split", &[0, 0, HEADS as i64, HEAD as i64]),
        joined: graph.i64s("shape.joined", &[0, 0, DIM as i64]),
        thirds: graph.i64s("shape.thirds", &[DIM as i64; 3]),
    };
    let gelu = Gelu {
        root: graph.scalar("gelu.root", std::f32::consts::SQRT_2),
        one: graph.scalar("gelu.one", 1.0),
        half: graph.scalar("gelu.half", 0.5),
    };
    let mask = graph.cast("mask", &mask, TensorType::F32);
    let hidden = penalty(&mut graph, &mask);
    let mut tower = Tower { graph, weights, shapes, gelu };
    let mut x = tower.embeddings(&ids, &types)?;
    for layer in 0..LAYERS {
        x = tower.layer(&format!("encoder.layer.{layer}"), &x, &hidden)?;
    }
    let mut graph = tower.graph;
    let mean = mean_pooling(&mut graph, &x, &mask);
    let embedding = graph.unit_length("unit", &mean);
    graph.output("embedding", &embedding, TensorType::F32, &[("batch", -1), ("dim", DIM as i64)]);
    Ok(graph.finish())
}

/// What is added to attention scores: 0 for a token, very negative for padding.
fn penalty(graph: &mut Graph, mask: &Value) -> Value {
    let one = graph.scalar("mask.one", 1.0);
    let padding = graph.op("mask.padding", "Sub", &[&one, mask], &[]);
    let much = graph.scalar("mask.much", -1e9);
    let penalty = graph.op("mask.penalty", "Mul", &[&padding, &much], &[]);
    let axes = graph.i64s("mask.axes", &[1, 2]);
    graph.op("mask.scores", "Unsqueeze", &[&penalty, &axes], &[])
}

/// The mean over the tokens that are no padding; zero if there are none.
fn mean_pooling(graph: &mut Graph, x: &Value, mask: &Value) -> Value {
    let last = graph.i64s("pool.last", &[-1]);
    let tokens = graph.i64s("pool.tokens", &[1]);
    let mask = graph.op("pool.mask", "Unsqueeze", &[mask, &last], &[]);
    let masked = graph.op("pool.masked", "Mul", &[x, &mask], &[]);
    let flat: &[_] = &[("keepdims", Attr::Int(0))];
    let sum = graph.op("pool.sum", "ReduceSum", &[&masked, &tokens], flat);
    let count = graph.op("pool.count", "ReduceSum", &[&mask, &tokens], flat);
    let least = graph.scalar("pool.least", 1.0);
    let count = graph.op("pool.safe", "Max", &[&count, &least], &[]);
    graph.op("pool", "Div", &[&sum, &count], &[])
}

/// Shapes that every layer needs; 0 keeps an axis as it is.
struct Shapes {
    split: Value,
    joined: Value,
    thirds: Value,
}

struct Gelu {
    root: Value,
    one: Value,
    half: Value,
}

struct Tower<'a> {
    graph: Graph,
    weights: &'a StateDict,
    shapes: Shapes,
    gelu: Gelu,
}

impl Tower<'_> {
    fn embeddings(&mut self, ids: &Value, types: &Value) -> Result<Value> {
        let words = expect(self.weights, "embeddings.word_embeddings.weight", &[WORDS, DIM])?;
        let positions =
            expect(self.weights, "embeddings.position_embeddings.weight", &[POSITIONS, DIM])?;
        let kinds = expect(self.weights, "embeddings.token_type_embeddings.weight", &[2, DIM])?;
        let graph = &mut self.graph;

        let (numbers, scales) = blocks(&words.data);
        let shape = [WORDS as i64, (DIM / BLOCK) as i64, BLOCK as i64];
        let numbers = graph.i8s("words", &shape, &numbers);
        let scales = graph.f16s("words.scale", &[shape[0], shape[1], 1], &scales);
        let rows: &[_] = &[("axis", Attr::Int(0))];
        let numbers = graph.op("word.numbers", "Gather", &[&numbers, ids], rows);
        let scales = graph.op("word.scales", "Gather", &[&scales, ids], rows);
        let numbers = graph.cast("word.floats", &numbers, TensorType::F32);
        let scales = graph.cast("word.scale_floats", &scales, TensorType::F32);
        let words = graph.op("word.blocks", "Mul", &[&numbers, &scales], &[]);
        let words = graph.op("word", "Reshape", &[&words, &self.shapes.joined], &[]);

        let table: Vec<f16> = positions.data.iter().map(|&v| f16::from_f32(v)).collect();
        let table = graph.f16s("positions", &[POSITIONS as i64, DIM as i64], &table);
        let table = graph.cast("position.floats", &table, TensorType::F32);
        let length: &[_] = &[("start", Attr::Int(1)), ("end", Attr::Int(2))];
        let length = graph.op("position.length", "Shape", &[ids], length);
        let zero = graph.i64s("position.zero", &[0]);
        let positions = graph.op("position", "Slice", &[&table, &zero, &length, &zero], &[]);

        let kinds = graph.f32s("kinds", &[2, DIM as i64], &kinds.data);
        let kinds = graph.op("kind", "Gather", &[&kinds, types], rows);
        let sum = graph.op("embeddings.words", "Add", &[&words, &kinds], &[]);
        let sum = graph.op("embeddings.sum", "Add", &[&sum, &positions], &[]);
        self.norm("embeddings.LayerNorm", &sum)
    }

    /// Attention and feed-forward, each added to its input and normalised.
    fn layer(&mut self, name: &str, x: &Value, penalty: &Value) -> Result<Value> {
        let part = |suffix: &str| format!("{name}.{suffix}");
        let attended = self.attention(name, x, penalty)?;
        let attended = self.linear(&part("attention.output.dense"), &attended, [DIM, DIM])?;
        let sum = self.graph.op(&part("attention.skip"), "Add", &[&attended, x], &[]);
        let x = self.norm(&part("attention.output.LayerNorm"), &sum)?;
        let inner = self.linear(&part("intermediate.dense"), &x, [DIM, INNER])?;
        let inner = self.gelu(&part("gelu"), &inner);
        let inner = self.linear(&part("output.dense"), &inner, [INNER, DIM])?;
        let sum = self.graph.op(&part("output.skip"), "Add", &[&inner, &x], &[]);
        self.norm(&part("output.LayerNorm"), &sum)
    }

    /// Query, key and value are one product, since they read the same input.
    fn attention(&mut self, name: &str, x: &Value, penalty: &Value) -> Result<Value> {
        let part = |suffix: &str| format!("{name}.attention.{suffix}");
        let mut columns = Vec::with_capacity(3 * DIM * DIM);
        let mut bias = Vec::with_capacity(3 * DIM);
        for which in ["query", "key", "value"] {
            let own = part(&format!("self.{which}"));
            // The scores' divisor goes into the queries' weights.
            let scale = if which == "query" { (HEAD as f32).sqrt().recip() } else { 1.0 };
            let weight = expect(self.weights, &format!("{own}.weight"), &[DIM, DIM])?;
            columns.extend(weight.data.iter().map(|w| w * scale));
            let shift = expect(self.weights, &format!("{own}.bias"), &[DIM])?;
            bias.extend(shift.data.iter().map(|b| b * scale));
        }
        let all = Tensor { shape: vec![3 * DIM, DIM], data: columns };
        let graph = &mut self.graph;
        let joined = affine(graph, &part("qkv"), x, &all, &bias);
        let last: &[_] = &[("axis", Attr::Int(-1))];
        let thirds = [&joined, &self.shapes.thirds];
        let [query, key, value] = graph.ops(&part("split"), "Split", &thirds, last);
        let mut heads = |which: &str, x: &Value, order: &[i64]| {
            let x = graph.op(
                &part(&format!("{which}.heads")),
                "Reshape",
                &[x, &self.shapes.split],
                &[],
            );
            graph.op(&part(which), "Transpose", &[&x], &[("perm", Attr::Ints(order))])
        };
        let query = heads("query", &query, &[0, 2, 1, 3]);
        let key = heads("key", &key, &[0, 2, 3, 1]);
        let value = heads("value", &value, &[0, 2, 1, 3]);
        let scores = graph.op(&part("scores"), "MatMul", &[&query, &key], &[]);
        let scores = graph.op(&part("masked"), "Add", &[&scores, penalty], &[]);
        let weights = graph.op(&part("weights"), "Softmax", &[&scores], last);
        let mixed = graph.op(&part("mixed"), "MatMul", &[&weights, &value], &[]);
        let order: &[_] = &[("perm", Attr::Ints(&[0, 2, 1, 3]))];
        let mixed = graph.op(&part("rows"), "Transpose", &[&mixed], order);
        Ok(graph.op(&part("joined"), "Reshape", &[&mixed, &self.shapes.joined], &[]))
    }

    fn linear(&mut self, name: &str, x: &Value, [from, to]: [usize; 2]) -> Result<Value> {
        let weight = expect(self.weights, &format!("{name}.weight"), &[to, from])?;
        let bias = expect(self.weights, &format!("{name}.bias"), &[to])?;
        Ok(affine(&mut self.graph, name, x, weight, &bias.data))
    }

    /// x · ½ · (1 + erf(x / √2)).
    fn gelu(&mut self, name: &str, x: &Value) -> Value {
        let part = |suffix: &str| format!("{name}.{suffix}");
        let Gelu { root, one, half } = &self.gelu;
        let graph = &mut self.graph;
        let inner = graph.op(&part("scaled"), "Div", &[x, root], &[]);
        let inner = graph.op(&part("erf"), "Erf", &[&inner], &[]);
        let inner = graph.op(&part("shifted"), "Add", &[&inner, one], &[]);
        let product = graph.op(&part("product"), "Mul", &[x, &inner], &[]);
        graph.op(name, "Mul", &[&product, half], &[])
    }

    fn norm(&mut self, name: &str, x: &Value) -> Result<Value> {
        let [scale, shift] = ["weight", "bias"].map(|part| {
            let own = format!("{name}.{part}");
            expect(self.weights, &own, &[DIM]).map(|t| (own, t))
        });
        let ((scale_name, scale), (shift_name, shift)) = (scale?, shift?);
        let scale = self.graph.f32s(&scale_name, &[DIM as i64], &scale.data);
        let shift = self.graph.f32s(&shift_name, &[DIM as i64], &shift.data);
        let attributes: &[_] = &[("axis", Attr::Int(-1)), ("epsilon", Attr::Float(EPSILON))];
        Ok(self.graph.op(name, "LayerNormalization", &[x, &scale, &shift], attributes))
    }
}

/// `x · weightᵀ + bias`, with the weight as PyTorch keeps it (outputs × inputs).
fn affine(graph: &mut Graph, name: &str, x: &Value, weight: &Tensor, bias: &[f32]) -> Value {
    let (to, from) = (weight.shape[0], weight.shape[1]);
    let transposed: Vec<f32> =
        (0..from * to).map(|i| weight.data[(i % to) * from + i / to]).collect();
    let shape = [from as i64, to as i64];
    let weight = packed(graph, &format!("{name}.weight"), &shape, &transposed, Channels::Last);
    let bias = graph.f32s(&format!("{name}.bias"), &shape[1..], bias);
    let product = graph.op(&format!("{name}.product"), "MatMul", &[x, &weight], &[]);
    graph.op(name, "Add", &[&product, &bias], &[])
}

/// 8-bit numbers and one scale a block of [`BLOCK`].
fn blocks(data: &[f32]) -> (Vec<i8>, Vec<f16>) {
    let mut numbers = Vec::with_capacity(data.len());
    let mut scales = Vec::with_capacity(data.len() / BLOCK);
    for block in data.chunks(BLOCK) {
        let largest = block.iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = f16::from_f32(largest / 127.0);
        // A block of zeros, or one that is zero in half precision.
        let scale = if scale > f16::ZERO { scale } else { f16::MIN_POSITIVE };
        scales.push(scale);
        let by = scale.to_f32();
        numbers.extend(block.iter().map(|v| (v / by).round().clamp(-127.0, 127.0) as i8));
    }
    (numbers, scales)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_each_number_within_a_step() {
        let data: Vec<f32> = (0..4 * BLOCK)
            .map(|i| ((i * 31 % 101) as f32 - 50.0) * [1e-3, 1.0, 0.0, 20.0][i / BLOCK])
            .collect();
        let (numbers, scales) = blocks(&data);
        assert_eq!((numbers.len(), scales.len()), (4 * BLOCK, 4));
        for (i, value) in data.iter().enumerate() {
            let scale = scales[i / BLOCK].to_f32();
            let got = f32::from(numbers[i]) * scale;
            // The largest may lose a little more, where f16 rounds the scale down.
            assert!((got - value).abs() <= scale * 0.57, "{i}: {got} for {value}");
        }
    }

    #[test]
    fn absent_weights_are_named() {
        let error = build(&StateDict::new()).expect_err("no weights").to_string();
        assert!(error.contains("word_embeddings"), "{error}");
    }
}
