//! Given operations in order, how do they become an ONNX model? Each call on
//! [`Graph`] adds one and gives the [`Value`] it makes.

use std::collections::HashSet;

use half::f16;

use crate::TensorType;
use crate::proto::{
    Attribute, Dim, DimValue, GraphProto, Model, Node, OperatorSet, Shape, Tensor, TensorInfo,
    TypeProto, ValueInfo,
};

/// The operator set that new graphs are written for.
const OPSET: i64 = 17;
/// The IR version that goes with it.
const IR_VERSION: i64 = 8;

/// A tensor in the graph, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(pub(crate) String);

impl Value {
    /// Its name in the graph.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// An attribute's value.
#[derive(Clone, Debug)]
pub enum Attr<'a> {
    /// One number.
    Int(i64),
    /// One real number.
    Float(f32),
    /// A list of numbers.
    Ints(&'a [i64]),
    /// A word.
    Text(&'a str),
}

/// A graph in the making: a new one, or one that is added to
/// ([`Graph::extend`]). Names are made unique, so the same calls give the same model.
#[derive(Debug)]
pub struct Graph {
    pub(crate) proto: GraphProto,
    pub(crate) taken: HashSet<String>,
    /// The model around the graph, which is taken out of it meanwhile.
    pub(crate) around: Model,
    /// Which operator set the operations are taken from.
    pub(crate) opset: i64,
    /// Goes before the name of everything inside that is added.
    pub(crate) prefix: String,
}

impl Graph {
    /// An empty graph. `producer` and `doc` are told to whoever reads the file.
    pub fn new(name: &str, producer: &str, doc: &str) -> Self {
        let around = Model {
            ir_version: Some(IR_VERSION),
            producer_name: Some(producer.into()),
            doc_string: Some(doc.into()),
            opset_import: vec![OperatorSet { domain: Some(String::new()), version: Some(OPSET) }],
            ..Model::default()
        };
        let proto = GraphProto { name: Some(name.into()), ..GraphProto::default() };
        Self { proto, taken: HashSet::new(), around, opset: OPSET, prefix: String::new() }
    }

    /// The same graph, still empty, for another operator set than 17.
    #[must_use]
    pub fn for_opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self.around.opset_import[0].version = Some(opset);
        self
    }

    /// An input; a size of −1 is the axis name given for it.
    pub fn input(&mut self, name: &str, kind: TensorType, dims: &[(&str, i64)]) -> Value {
        let value = self.name(name);
        self.proto.input.push(value_info(&value, kind, dims));
        value
    }

    /// Gives `value` out under `name`, or under `name.2` and so on if there is
    /// such a name; tells which. A size of −1 is the axis name given for it.
    pub fn output(
        &mut self,
        name: &str,
        value: &Value,
        kind: TensorType,
        dims: &[(&str, i64)],
    ) -> Value {
        let named = self.name(name);
        let label = if self.prefix.is_empty() { name } else { named.name() };
        self.proto.node.push(node(label, "Identity", &[value], std::slice::from_ref(&named), &[]));
        self.proto.output.push(value_info(&named, kind, dims));
        named
    }

    /// A constant tensor of raw little-endian elements.
    fn constant(&mut self, name: &str, kind: TensorType, dims: &[i64], raw: Vec<u8>) -> Value {
        let value = self.inner(name);
        self.proto.initializer.push(Tensor {
            dims: dims.to_vec(),
            data_type: Some(kind as i32),
            name: Some(value.0.clone()),
            raw_data: Some(raw),
            ..Tensor::default()
        });
        value
    }

    /// A constant of floats, row-major.
    pub fn f32s(&mut self, name: &str, dims: &[i64], data: &[f32]) -> Value {
        let raw = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, TensorType::F32, dims, raw)
    }

    /// A constant of half floats, row-major.
    pub fn f16s(&mut self, name: &str, dims: &[i64], data: &[f16]) -> Value {
        let raw = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, TensorType::F16, dims, raw)
    }

    /// A constant list of numbers, as shapes and axes are given.
    pub fn i64s(&mut self, name: &str, data: &[i64]) -> Value {
        let raw = data.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, TensorType::I64, &[data.len() as i64], raw)
    }

    /// A constant of signed bytes, row-major.
    pub fn i8s(&mut self, name: &str, dims: &[i64], data: &[i8]) -> Value {
        self.constant(name, TensorType::I8, dims, bytemuck::cast_slice(data).to_vec())
    }

    /// A constant of bytes, row-major.
    pub fn u8s(&mut self, name: &str, dims: &[i64], data: Vec<u8>) -> Value {
        self.constant(name, TensorType::U8, dims, data)
    }

    /// A single number without axes.
    pub fn scalar(&mut self, name: &str, value: f32) -> Value {
        self.f32s(name, &[], &[value])
    }

    /// An operation with one result.
    pub fn op(
        &mut self,
        name: &str,
        op_type: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attr)],
    ) -> Value {
        let value = self.inner(name);
        self.proto.node.push(node(
            &value.0,
            op_type,
            inputs,
            std::slice::from_ref(&value),
            attributes,
        ));
        value
    }

    /// An operation with `N` results.
    pub fn ops<const N: usize>(
        &mut self,
        name: &str,
        op_type: &str,
        inputs: &[&Value],
        attributes: &[(&str, Attr)],
    ) -> [Value; N] {
        let values = std::array::from_fn(|i| self.inner(&format!("{name}.{i}")));
        let label = format!("{}{name}", self.prefix);
        self.proto.node.push(node(&label, op_type, inputs, &values, attributes));
        values
    }

    /// `value` in another element type.
    pub fn cast(&mut self, name: &str, value: &Value, to: TensorType) -> Value {
        self.op(name, "Cast", &[value], &[("to", Attr::Int(to as i64))])
    }

    /// Rows scaled to unit length along the last axis. A row of zeros stays zeros.
    pub fn unit_length(&mut self, name: &str, value: &Value) -> Value {
        let along: &[_] = &[("axes", Attr::Ints(&[-1])), ("keepdims", Attr::Int(1))];
        let norm = self.op(&format!("{name}.norm"), "ReduceL2", &[value], along);
        let least = self.scalar(&format!("{name}.least"), 1e-12);
        let norm = self.op(&format!("{name}.safe"), "Max", &[&norm, &least], &[]);
        self.op(name, "Div", &[value, &norm], &[])
    }

    /// Writes `value` under `key` into the model's metadata, in place of what was there.
    pub fn metadata(&mut self, key: &str, value: &str) {
        self.around.set_metadata(key, value);
    }

    /// The finished model.
    pub fn finish(self) -> Model {
        Model { graph: Some(self.proto), ..self.around }
    }

    fn inner(&mut self, wanted: &str) -> Value {
        let wanted = format!("{}{wanted}", self.prefix);
        self.name(&wanted)
    }

    fn name(&mut self, wanted: &str) -> Value {
        let mut name = wanted.to_string();
        let mut count = 1;
        while !self.taken.insert(name.clone()) {
            count += 1;
            name = format!("{wanted}.{count}");
        }
        Value(name)
    }
}

fn node(
    name: &str,
    op_type: &str,
    inputs: &[&Value],
    outputs: &[Value],
    attributes: &[(&str, Attr)],
) -> Node {
    Node {
        input: inputs.iter().map(|v| v.0.clone()).collect(),
        output: outputs.iter().map(|v| v.0.clone()).collect(),
        name: Some(name.into()),
        op_type: Some(op_type.into()),
        attribute: attributes.iter().map(|(name, value)| attribute(name, value)).collect(),
        ..Node::default()
    }
}

fn attribute(name: &str, value: &Attr) -> Attribute {
    let mut out = Attribute { name: Some(name.into()), ..Attribute::default() };
    // The numbers of AttributeProto.AttributeType.
    out.kind = Some(match value {
        Attr::Float(f) => {
            out.f = Some(*f);
            1
        }
        Attr::Int(i) => {
            out.i = Some(*i);
            2
        }
        Attr::Text(s) => {
            out.s = Some(s.as_bytes().to_vec());
            3
        }
        Attr::Ints(list) => {
            out.ints = list.to_vec();
            7
        }
    });
    out
}

fn value_info(value: &Value, kind: TensorType, dims: &[(&str, i64)]) -> ValueInfo {
    let dim = dims.iter().map(|&(name, size)| {
        let value = if size < 0 { DimValue::Named(name.into()) } else { DimValue::Fixed(size) };
        Dim { value: Some(value), denotation: None }
    });
    let tensor =
        TensorInfo { elem_type: Some(kind as i32), shape: Some(Shape { dim: dim.collect() }) };
    ValueInfo {
        name: Some(value.0.clone()),
        kind: Some(TypeProto { tensor: Some(tensor), ..TypeProto::default() }),
        doc_string: None,
        metadata: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{read, write};

    #[test]
    fn a_built_model_is_read_back_and_names_are_unique() {
        let mut g = Graph::new("toy", "a test", "a toy");
        let x = g.input("x", TensorType::F32, &[("batch", -1), ("", 2)]);
        let a = g.scalar("two", 2.0);
        let b = g.scalar("two", 3.0);
        assert_ne!(a, b);
        let y = g.op("y", "Mul", &[&x, &a], &[]);
        let y = g.op("y", "Add", &[&y, &b], &[]);
        let y = g.unit_length("unit", &y);
        g.output("out", &y, TensorType::F32, &[("batch", -1), ("", 2)]);
        let model = g.finish();
        let again = read(&write(&model)).expect("what was just written");
        assert_eq!(again, model);
        let graph = again.graph.expect("a graph");
        let mut known: HashSet<&str> =
            graph.input.iter().filter_map(|v| v.name.as_deref()).collect();
        known.extend(graph.initializer.iter().filter_map(|t| t.name.as_deref()));
        for node in &graph.node {
            for input in &node.input {
                assert!(known.contains(input.as_str()), "{input} is used before it is made");
            }
            for output in &node.output {
                assert!(known.insert(output), "{output} is made twice");
            }
        }
        assert!(known.contains("out"));
    }
}
