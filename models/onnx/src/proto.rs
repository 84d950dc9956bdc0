//! Given the protobuf schema of ONNX, what are its messages in Rust? Those that
//! models of plain tensors use, with the field numbers of `onnx.proto`.
//!
//! Every scalar is optional, as in proto2, so that a field that was written as
//! zero is written again. Messages that nothing here looks into (functions,
//! sparse tensors, sequences) are kept as the bytes they were; a file with any
//! other field is refused by [`read`], so that nothing is ever dropped.

use prost::Message;

/// The element types used here, by their number in `TensorProto.DataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorType {
    /// 32-bit float.
    F32 = 1,
    /// 8-bit unsigned.
    U8 = 2,
    /// 8-bit signed.
    I8 = 3,
    /// 64-bit signed.
    I64 = 7,
    /// 16-bit float.
    F16 = 10,
}

/// Why bytes are no model that could be written again.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not the wire format, or a field of another type.
    #[error("this is no ONNX model")]
    Wire(#[from] prost::DecodeError),
    /// Decoding and encoding does not give the same bytes.
    #[error(
        "the model has fields this program does not know ({got} of {expected} bytes understood); they would be lost"
    )]
    Unknown {
        /// Bytes of the file.
        expected: usize,
        /// Bytes after decoding and encoding.
        got: usize,
    },
}

/// Reads a model that [`write()`] gives back byte for byte.
///
/// # Errors
/// `Wire` for other bytes; `Unknown` if anything in it would be lost.
pub fn read(bytes: &[u8]) -> Result<Model, ReadError> {
    let model = Model::decode(bytes)?;
    let again = model.encode_to_vec();
    if again != bytes {
        return Err(ReadError::Unknown { expected: bytes.len(), got: again.len() });
    }
    Ok(model)
}

/// The file's bytes: the same for the same model.
pub fn write(model: &Model) -> Vec<u8> {
    model.encode_to_vec()
}

/// A model (`ModelProto`): what [`read`] gives and [`write()`] takes.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    #[prost(int64, optional, tag = "1")]
    pub(crate) ir_version: Option<i64>,
    #[prost(string, optional, tag = "2")]
    pub(crate) producer_name: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) producer_version: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(crate) domain: Option<String>,
    #[prost(int64, optional, tag = "5")]
    pub(crate) model_version: Option<i64>,
    #[prost(string, optional, tag = "6")]
    pub(crate) doc_string: Option<String>,
    #[prost(message, optional, tag = "7")]
    pub(crate) graph: Option<GraphProto>,
    #[prost(message, repeated, tag = "8")]
    pub(crate) opset_import: Vec<OperatorSet>,
    #[prost(message, repeated, tag = "14")]
    pub(crate) metadata: Vec<Entry>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "20")]
    pub(crate) training: Vec<Vec<u8>>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "25")]
    pub(crate) functions: Vec<Vec<u8>>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "26")]
    pub(crate) configuration: Vec<Vec<u8>>,
}

impl Model {
    /// What the metadata has under `key`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        let entry = self.metadata.iter().rev().find(|e| e.key.as_deref() == Some(key))?;
        Some(entry.value.as_deref().unwrap_or(""))
    }

    /// Writes `value` under `key` into the metadata, in place of what was there.
    pub fn set_metadata(&mut self, key: &str, value: &str) {
        self.metadata.retain(|e| e.key.as_deref() != Some(key));
        self.metadata.push(Entry { key: Some(key.into()), value: Some(value.into()) });
    }

    /// The names of its inputs, in order; weights that an old file lists among them left out.
    pub fn inputs(&self) -> Vec<&str> {
        let Some(graph) = &self.graph else { return Vec::new() };
        let fed =
            graph.input.iter().filter(|v| !graph.initializer.iter().any(|t| t.name == v.name));
        fed.filter_map(|v| v.name.as_deref()).collect()
    }

    /// The names of its outputs, in order.
    pub fn outputs(&self) -> Vec<&str> {
        let outputs = self.graph.iter().flat_map(|g| &g.output);
        outputs.filter_map(|v| v.name.as_deref()).collect()
    }

    /// The declared sizes of an input or output, none where a size varies with
    /// the input; nothing if there is none of this name or its shape is not declared.
    pub fn shape(&self, name: &str) -> Option<Vec<Option<i64>>> {
        let graph = self.graph.as_ref()?;
        let value =
            graph.input.iter().chain(&graph.output).find(|v| v.name.as_deref() == Some(name))?;
        let shape = value.kind.as_ref()?.tensor.as_ref()?.shape.as_ref()?;
        let size = |dim: &Dim| match dim.value {
            Some(DimValue::Fixed(n)) => Some(n),
            Some(DimValue::Named(_)) | None => None,
        };
        Some(shape.dim.iter().map(size).collect())
    }
}

/// `OperatorSetIdProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OperatorSet {
    #[prost(string, optional, tag = "1")]
    pub(crate) domain: Option<String>,
    #[prost(int64, optional, tag = "2")]
    pub(crate) version: Option<i64>,
}

/// `StringStringEntryProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    #[prost(string, optional, tag = "1")]
    pub(crate) key: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) value: Option<String>,
}

/// `GraphProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphProto {
    #[prost(message, repeated, tag = "1")]
    pub(crate) node: Vec<Node>,
    #[prost(string, optional, tag = "2")]
    pub(crate) name: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) initializer: Vec<Tensor>,
    #[prost(string, optional, tag = "10")]
    pub(crate) doc_string: Option<String>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) output: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "13")]
    pub(crate) value_info: Vec<ValueInfo>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "14")]
    pub(crate) quantization: Vec<Vec<u8>>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "15")]
    pub(crate) sparse: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "16")]
    pub(crate) metadata: Vec<Entry>,
}

/// `NodeProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Node {
    #[prost(string, repeated, tag = "1")]
    pub(crate) input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) output: Vec<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) name: Option<String>,
    #[prost(string, optional, tag = "4")]
    pub(crate) op_type: Option<String>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) attribute: Vec<Attribute>,
    #[prost(string, optional, tag = "6")]
    pub(crate) doc_string: Option<String>,
    #[prost(string, optional, tag = "7")]
    pub(crate) domain: Option<String>,
    #[prost(string, optional, tag = "8")]
    pub(crate) overload: Option<String>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) metadata: Vec<Entry>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "10")]
    pub(crate) devices: Vec<Vec<u8>>,
}

/// `AttributeProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attribute {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub(crate) f: Option<f32>,
    #[prost(int64, optional, tag = "3")]
    pub(crate) i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    pub(crate) s: Option<Vec<u8>>,
    #[prost(message, optional, tag = "5")]
    pub(crate) t: Option<Tensor>,
    #[prost(message, optional, tag = "6")]
    pub(crate) g: Option<GraphProto>,
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub(crate) floats: Vec<f32>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub(crate) ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(crate) strings: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "10")]
    pub(crate) tensors: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    pub(crate) graphs: Vec<GraphProto>,
    #[prost(string, optional, tag = "13")]
    pub(crate) doc_string: Option<String>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "14")]
    pub(crate) type_proto: Vec<Vec<u8>>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "15")]
    pub(crate) type_protos: Vec<Vec<u8>>,
    /// `AttributeType`: 1 float, 2 int, 3 string, 4 tensor, 5 graph, 6 floats, 7 ints, 8 strings.
    #[prost(int32, optional, tag = "20")]
    pub(crate) kind: Option<i32>,
    #[prost(string, optional, tag = "21")]
    pub(crate) ref_attr_name: Option<String>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "22")]
    pub(crate) sparse: Vec<Vec<u8>>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "23")]
    pub(crate) sparses: Vec<Vec<u8>>,
}

/// `TensorProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tensor {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub(crate) dims: Vec<i64>,
    #[prost(int32, optional, tag = "2")]
    pub(crate) data_type: Option<i32>,
    #[prost(float, repeated, tag = "4")]
    pub(crate) float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    pub(crate) int32_data: Vec<i32>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(crate) string_data: Vec<Vec<u8>>,
    #[prost(int64, repeated, tag = "7")]
    pub(crate) int64_data: Vec<i64>,
    #[prost(string, optional, tag = "8")]
    pub(crate) name: Option<String>,
    /// Little-endian elements.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub(crate) raw_data: Option<Vec<u8>>,
    #[prost(double, repeated, tag = "10")]
    pub(crate) double_data: Vec<f64>,
    #[prost(uint64, repeated, tag = "11")]
    pub(crate) uint64_data: Vec<u64>,
    #[prost(string, optional, tag = "12")]
    pub(crate) doc_string: Option<String>,
    #[prost(message, repeated, tag = "13")]
    pub(crate) external_data: Vec<Entry>,
    #[prost(int32, optional, tag = "14")]
    pub(crate) data_location: Option<i32>,
    #[prost(message, repeated, tag = "16")]
    pub(crate) metadata: Vec<Entry>,
}

/// `ValueInfoProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueInfo {
    #[prost(string, optional, tag = "1")]
    pub(crate) name: Option<String>,
    #[prost(message, optional, tag = "2")]
    pub(crate) kind: Option<TypeProto>,
    #[prost(string, optional, tag = "3")]
    pub(crate) doc_string: Option<String>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) metadata: Vec<Entry>,
}

/// `TypeProto`; what is no tensor is kept as it is.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TypeProto {
    #[prost(message, optional, tag = "1")]
    pub(crate) tensor: Option<TensorInfo>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub(crate) sequence: Vec<Vec<u8>>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "5")]
    pub(crate) map: Vec<Vec<u8>>,
    #[prost(string, optional, tag = "6")]
    pub(crate) denotation: Option<String>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub(crate) opaque: Vec<Vec<u8>>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(crate) sparse: Vec<Vec<u8>>,
    /// Kept as it is.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub(crate) optional: Vec<Vec<u8>>,
}

/// `TypeProto.Tensor`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TensorInfo {
    #[prost(int32, optional, tag = "1")]
    pub(crate) elem_type: Option<i32>,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<Shape>,
}

/// `TensorShapeProto`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Shape {
    #[prost(message, repeated, tag = "1")]
    pub(crate) dim: Vec<Dim>,
}

/// `TensorShapeProto.Dimension`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dim {
    #[prost(oneof = "DimValue", tags = "1, 2")]
    pub(crate) value: Option<DimValue>,
    #[prost(string, optional, tag = "3")]
    pub(crate) denotation: Option<String>,
}

/// A fixed size or a named one.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum DimValue {
    /// So many.
    #[prost(int64, tag = "1")]
    Fixed(i64),
    /// As many as the input has.
    #[prost(string, tag = "2")]
    Named(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exported by PyTorch, so written by another protobuf implementation.
    const FOREIGN: [&str; 2] = ["vision_model.onnx", "text_model.onnx"];

    fn foreign(name: &str) -> Vec<u8> {
        let folder =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference/tiny_clip/onnx/");
        fs_err::read(format!("{folder}{name}")).expect("a fixture")
    }

    #[test]
    fn foreign_models_survive_byte_for_byte() {
        for name in FOREIGN {
            let bytes = foreign(name);
            let model = read(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(write(&model) == bytes, "{name}");
            let graph = model.graph.expect("a graph");
            assert!(graph.node.len() > 20 && !graph.initializer.is_empty(), "{name}");
        }
    }

    #[test]
    fn an_unknown_field_is_refused_and_not_dropped() {
        let mut bytes = foreign(FOREIGN[0]);
        // Field 31, an empty message: key 31 << 3 | 2, length 0.
        bytes.extend([0xfa, 0x01, 0x00]);
        assert!(matches!(read(&bytes), Err(ReadError::Unknown { .. })));
    }

    #[test]
    fn messages_nothing_looks_into_survive() {
        let mut bytes = foreign(FOREIGN[0]);
        // Field 25 (functions): key 25 << 3 | 2, two bytes of it.
        bytes.extend([0xca, 0x01, 0x02, 0x0a, 0x00]);
        assert!(write(&read(&bytes).expect("kept")) == bytes);
    }

    #[test]
    fn cut_models_are_errors() {
        let bytes = foreign(FOREIGN[1]);
        for end in (1..bytes.len()).step_by(bytes.len() / 97) {
            // A cut between two fields leaves a shorter but readable message.
            if let Ok(model) = read(&bytes[..end]) {
                assert!(write(&model) == bytes[..end], "cut at {end}");
            }
        }
    }
}
