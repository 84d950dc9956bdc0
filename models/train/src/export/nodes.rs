//! Given layers, which ONNX operations do the same?

use ekphrasis_onnx::{Attr, Channels, Graph, Storage, TensorType, Value};

use super::rounded::{of_kernel, of_linear};
use crate::layer::{Affine, Array, Layer, PADDING};

/// Writes layers into a graph.
pub(super) struct Writer<'g> {
    pub(super) graph: &'g mut Graph,
    pub(super) storage: Storage,
    /// 1 for a token, 0 for padding, f32 `[batch, sequence]`; none without texts.
    mask: Option<Value>,
    /// What attention scores get added, `[batch, 1, 1, sequence]`.
    penalty: Option<Value>,
}

impl<'g> Writer<'g> {
    pub(super) fn new(graph: &'g mut Graph, storage: Storage) -> Self {
        Self { graph, storage, mask: None, penalty: None }
    }

    /// The same for texts, with their i64 mask.
    pub(super) fn masked(graph: &'g mut Graph, storage: Storage, mask: &Value) -> Self {
        let mask = graph.cast("mask", mask, TensorType::F32);
        let one = graph.scalar("mask.one", 1.0);
        let padding = graph.op("mask.padding", "Sub", &[&one, &mask], &[]);
        let much = graph.scalar("mask.much", PADDING as f32);
        let penalty = graph.op("mask.penalty", "Mul", &[&padding, &much], &[]);
        let penalty = graph.unsqueeze("mask.scores", &penalty, &[1, 2]);
        Self { graph, storage, mask: Some(mask), penalty: Some(penalty) }
    }

    /// The value of `layers` for `x`.
    pub(super) fn layers(&mut self, name: &str, x: &Value, layers: &[Layer]) -> Value {
        let mut x = x.clone();
        for (i, layer) in layers.iter().enumerate() {
            x = self.layer(&format!("{name}.{i}"), &x, layer);
        }
        x
    }

    fn layer(&mut self, name: &str, x: &Value, layer: &Layer) -> Value {
        let part = |suffix: &str| format!("{name}.{suffix}");
        match layer {
            Layer::Linear { weight, bias } => {
                let bias = bias.as_ref().map(|bias| self.plain(&part("bias"), bias));
                self.linear(name, x, weight, bias.as_ref())
            }
            Layer::Scale { scale, shift } => {
                let scale = self.plain(&part("scale"), scale);
                let shift = self.plain(&part("shift"), shift);
                let scaled = self.graph.op(&part("scaled"), "Mul", &[x, &scale], &[]);
                self.graph.op(name, "Add", &[&scaled, &shift], &[])
            }
            Layer::LayerNorm { scale, shift, epsilon } => {
                let scale = self.plain(&part("scale"), scale);
                let shift = self.plain(&part("shift"), shift);
                self.graph.layer_norm(name, x, &scale, &shift, *epsilon)
            }
            Layer::Gelu => self.graph.gelu(name, x),
            Layer::Relu => self.graph.op(name, "Relu", &[x], &[]),
            Layer::Clip { low, high } => {
                let low = self.graph.scalar(&part("low"), *low);
                let high = self.graph.scalar(&part("high"), *high);
                self.graph.op(name, "Clip", &[x, &low, &high], &[])
            }
            Layer::Softmax => self.graph.op(name, "Softmax", &[x], &[("axis", Attr::Int(-1))]),
            Layer::Normalise { epsilon } => self.graph.normalise(name, x, *epsilon),
            Layer::Conv2d { weight, bias, stride, padding, groups } => {
                self.conv(name, x, weight, bias.as_ref(), [*stride, *padding, *groups])
            }
            Layer::GlobalMean => self.graph.reduce(name, "ReduceMean", x, &[2, 3], false),
            Layer::Patches { positions } => {
                let &[length, channels] = positions.shape() else {
                    unreachable!("checked when the network was made")
                };
                let shape = self.graph.i64s(&part("shape"), &[0, channels as i64, length as i64]);
                let flat = self.graph.op(&part("flat"), "Reshape", &[x, &shape], &[]);
                let order: &[_] = &[("perm", Attr::Ints(&[0, 2, 1]))];
                let tokens = self.graph.op(&part("tokens"), "Transpose", &[&flat], order);
                let positions = self.plain(&part("positions"), positions);
                self.graph.op(name, "Add", &[&tokens, &positions], &[])
            }
            Layer::TokenEmbedding { table, positions } => self.tokens(name, x, table, positions),
            Layer::Attention { heads, query, key, value, output } => {
                self.attention(name, x, *heads, [query, key, value, output])
            }
            Layer::MaskedMean => self.mean(name, x),
            Layer::Residual(inner) => {
                let inner = self.layers(&part("inner"), x, inner);
                self.graph.op(name, "Add", &[x, &inner], &[])
            }
        }
    }

    pub(super) fn linear(
        &mut self,
        name: &str,
        x: &Value,
        weight: &Array,
        bias: Option<&Value>,
    ) -> Value {
        let shape = dims(weight);
        let storage = of_linear(self.storage, weight);
        let name_of_weight = format!("{name}.weight");
        let weight =
            self.graph.weight(&name_of_weight, &shape, weight.data(), Channels::Last, storage);
        self.graph.linear(name, x, &weight, bias)
    }

    fn plain(&mut self, name: &str, array: &Array) -> Value {
        self.graph.f32s(name, &dims(array), array.data())
    }

    fn conv(
        &mut self,
        name: &str,
        x: &Value,
        weight: &Array,
        bias: Option<&Array>,
        geometry: [usize; 3],
    ) -> Value {
        let storage = of_kernel(self.storage, geometry[2]);
        let [stride, padding, groups] = geometry.map(|n| n as i64);
        let shape = dims(weight);
        let kernel = format!("{name}.weight");
        let weight = self.graph.weight(&kernel, &shape, weight.data(), Channels::First, storage);
        let mut inputs = vec![x.clone(), weight];
        if let Some(bias) = bias {
            inputs.push(self.plain(&format!("{name}.bias"), bias));
        }
        let attributes: &[_] = &[
            ("group", Attr::Int(groups)),
            ("kernel_shape", Attr::Ints(&shape[2..])),
            ("pads", Attr::Ints(&[padding; 4])),
            ("strides", Attr::Ints(&[stride; 2])),
        ];
        let inputs: Vec<&Value> = inputs.iter().collect();
        self.graph.op(name, "Conv", &inputs, attributes)
    }

    fn tokens(&mut self, name: &str, ids: &Value, table: &Array, positions: &Array) -> Value {
        let part = |suffix: &str| format!("{name}.{suffix}");
        let words = self.graph.weight(
            &part("words"),
            &dims(table),
            table.data(),
            Channels::First,
            self.storage,
        );
        let words =
            self.graph.op(&part("word"), "Gather", &[&words, ids], &[("axis", Attr::Int(0))]);
        let positions = self.plain(&part("positions"), positions);
        let second: &[_] = &[("start", Attr::Int(1)), ("end", Attr::Int(2))];
        let length = self.graph.op(&part("length"), "Shape", &[ids], second);
        let zero = self.graph.i64s(&part("zero"), &[0]);
        let positions =
            self.graph.op(&part("position"), "Slice", &[&positions, &zero, &length, &zero], &[]);
        self.graph.op(name, "Add", &[&words, &positions], &[])
    }

    fn attention(&mut self, name: &str, x: &Value, heads: usize, maps: [&Affine; 4]) -> Value {
        let part = |suffix: &str| format!("{name}.{suffix}");
        let width = maps[0].bias.shape()[0];
        let head = width / heads;
        let split = self.graph.i64s(&part("split"), &[0, 0, heads as i64, head as i64]);
        let [query, key, value, output] = maps;
        let mut project = |which: &str, map: &Affine, order: &[i64]| {
            let flat = self.affine(&part(&format!("{which}.flat")), x, map);
            let parted =
                self.graph.op(&part(&format!("{which}.heads")), "Reshape", &[&flat, &split], &[]);
            self.graph.op(&part(which), "Transpose", &[&parted], &[("perm", Attr::Ints(order))])
        };
        let query = project("query", query, &[0, 2, 1, 3]);
        let key = project("key", key, &[0, 2, 3, 1]);
        let value = project("value", value, &[0, 2, 1, 3]);
        let root = self.graph.scalar(&part("root"), (head as f32).sqrt());
        let query = self.graph.op(&part("query.scaled"), "Div", &[&query, &root], &[]);
        let mut scores = self.graph.op(&part("scores"), "MatMul", &[&query, &key], &[]);
        if let Some(penalty) = &self.penalty {
            scores = self.graph.op(&part("masked"), "Add", &[&scores, penalty], &[]);
        }
        let last: &[_] = &[("axis", Attr::Int(-1))];
        let weights = self.graph.op(&part("weights"), "Softmax", &[&scores], last);
        let mixed = self.graph.op(&part("mixed"), "MatMul", &[&weights, &value], &[]);
        let order: &[_] = &[("perm", Attr::Ints(&[0, 2, 1, 3]))];
        let mixed = self.graph.op(&part("tokens"), "Transpose", &[&mixed], order);
        let joined = self.graph.i64s(&part("join"), &[0, 0, width as i64]);
        let mixed = self.graph.op(&part("joined"), "Reshape", &[&mixed, &joined], &[]);
        self.affine(name, &mixed, output)
    }

    fn affine(&mut self, name: &str, x: &Value, map: &Affine) -> Value {
        let bias = self.plain(&format!("{name}.bias"), &map.bias);
        self.linear(name, x, &map.weight, Some(&bias))
    }

    fn mean(&mut self, name: &str, x: &Value) -> Value {
        let Some(mask) = self.mask.clone() else {
            return self.graph.reduce(name, "ReduceMean", x, &[1], false);
        };
        let part = |suffix: &str| format!("{name}.{suffix}");
        let mask = self.graph.unsqueeze(&part("mask"), &mask, &[2]);
        let masked = self.graph.op(&part("masked"), "Mul", &[x, &mask], &[]);
        let sum = self.graph.reduce(&part("sum"), "ReduceSum", &masked, &[1], false);
        let count = self.graph.reduce(&part("count"), "ReduceSum", &mask, &[1], false);
        let least = self.graph.scalar(&part("least"), 1.0);
        let count = self.graph.op(&part("safe"), "Max", &[&count, &least], &[]);
        self.graph.op(name, "Div", &[&sum, &count], &[])
    }
}

fn dims(array: &Array) -> Vec<i64> {
    array.shape().iter().map(|&n| n as i64).collect()
}
