//! Given a model that somebody else made, how is something added to it? Its
//! nodes and weights stay as they are; operations are appended that read any of
//! its values, and outputs that give theirs.

use std::collections::HashSet;

use crate::proto::{GraphProto, Node, Tensor, TensorInfo, TypeProto, ValueInfo};
use crate::{Graph, Model, TensorType, Value};

/// The operator sets that can be added to: below, Gemm, Clip and axes follow other
/// rules; above, nobody has looked yet.
const OPSETS: std::ops::RangeInclusive<i64> = 11..=25;

/// Why nothing can be added to a model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinError {
    /// The file holds no graph.
    #[error("the model has no graph")]
    NoGraph,
    /// Written for an operator set too old or too new.
    #[error(
        "expected operators of ONNX opset {} to {}, got {got}; export the model again with an opset in between, such as 17",
        OPSETS.start(), OPSETS.end()
    )]
    Opset {
        /// The version, or `none`.
        got: String,
    },
    /// Weights outside the file, which would be left behind.
    #[error(
        "the weight {tensor:?} lies in another file ({file:?}); expected all of them inside: save the model as one file first (in Python: onnx.save(onnx.load(path), path))"
    )]
    External {
        /// The weight.
        tensor: String,
        /// As named in the model.
        file: String,
    },
    /// No value of the name.
    #[error("expected a value {name:?} in the graph, got none{near}; its outputs are {outputs}")]
    NoValue {
        /// The name asked for.
        name: String,
        /// Similar names, after a semicolon.
        near: String,
        /// What the graph gives.
        outputs: String,
    },
}

impl Graph {
    /// `model` with its graph open for more. What is added inside gets names that
    /// start with `prefix` and are new.
    ///
    /// # Errors
    /// `NoGraph`; `Opset` outside 11 to 25; `External` if weights lie in other files.
    pub fn extend(mut model: Model, prefix: &str) -> Result<Self, JoinError> {
        let proto = model.graph.take().ok_or(JoinError::NoGraph)?;
        let is_default = |domain: &Option<String>| {
            domain.as_deref().is_none_or(|d| d.is_empty() || d == "ai.onnx")
        };
        let opset = model.opset_import.iter().find(|o| is_default(&o.domain));
        let opset = opset.and_then(|o| o.version);
        let Some(opset) = opset.filter(|o| OPSETS.contains(o)) else {
            let got = opset.map_or_else(|| "none".into(), |o| o.to_string());
            return Err(JoinError::Opset { got });
        };
        let mut taken = HashSet::new();
        survey(&proto, &mut taken)?;
        Ok(Self { proto, taken, around: model, opset, prefix: prefix.into() })
    }

    /// Any value of the graph: an input, an output, or one inside (not in the
    /// branches of a condition or the body of a loop).
    ///
    /// # Errors
    /// `NoValue` if there is none of this name.
    pub fn value(&self, name: &str) -> Result<Value, JoinError> {
        if self.made().any(|made| made == name) && !name.is_empty() {
            return Ok(Value(name.into()));
        }
        let mut near: Vec<&str> =
            self.made().filter(|made| !name.is_empty() && made.contains(name)).take(5).collect();
        near.sort_unstable();
        let outputs: Vec<_> = self.proto.output.iter().filter_map(|v| v.name.as_deref()).collect();
        Err(JoinError::NoValue {
            name: name.into(),
            near: match near.is_empty() {
                true => String::new(),
                false => format!("; there are {}", near.join(", ")),
            },
            outputs: outputs.join(", "),
        })
    }

    /// Makes a value inside an output of the same name (floats of any shape). One
    /// that is an output stays as it is.
    ///
    /// # Errors
    /// `NoValue` if there is none of this name.
    pub fn expose(&mut self, name: &str) -> Result<(), JoinError> {
        let value = self.value(name)?;
        if self.proto.output.iter().any(|v| v.name.as_deref() == Some(name)) {
            return Ok(());
        }
        let known = self.proto.value_info.iter().find(|v| v.name.as_deref() == Some(name));
        let info = known.cloned().unwrap_or_else(|| {
            let tensor = TensorInfo { elem_type: Some(TensorType::F32 as i32), shape: None };
            ValueInfo {
                name: Some(value.0),
                kind: Some(TypeProto { tensor: Some(tensor), ..TypeProto::default() }),
                ..ValueInfo::default()
            }
        });
        self.proto.value_info.retain(|v| v.name.as_deref() != Some(name));
        self.proto.output.push(info);
        Ok(())
    }

    /// How the first axis of the first input is declared: its name and −1 where
    /// it varies, as [`Graph::output`] takes it.
    pub fn batch_axis(&self) -> (String, i64) {
        use crate::proto::DimValue;
        let first = self.proto.input.iter().find(|v| {
            // Old files list weights among the inputs.
            !self.proto.initializer.iter().any(|t| t.name == v.name)
        });
        let shape = first.and_then(|v| v.kind.as_ref()?.tensor.as_ref()?.shape.as_ref());
        match shape.and_then(|s| s.dim.first()?.value.as_ref()) {
            Some(DimValue::Fixed(n)) if *n > 0 => (String::new(), *n),
            Some(DimValue::Named(name)) if !name.is_empty() => (name.clone(), -1),
            _ => ("batch".into(), -1),
        }
    }

    /// Every value's name, in no particular order.
    fn made(&self) -> impl Iterator<Item = &str> {
        let nodes = self.proto.node.iter().flat_map(|n| n.output.iter().map(String::as_str));
        let inputs = self.proto.input.iter().filter_map(|v| v.name.as_deref());
        nodes.chain(inputs).chain(self.proto.initializer.iter().filter_map(|t| t.name.as_deref()))
    }
}

/// Collects every name in the graph and its subgraphs; refuses outside weights.
fn survey(graph: &GraphProto, taken: &mut HashSet<String>) -> Result<(), JoinError> {
    let infos = graph.input.iter().chain(&graph.output).chain(&graph.value_info);
    taken.extend(infos.filter_map(|v| v.name.clone()));
    for tensor in &graph.initializer {
        inside(tensor)?;
        taken.extend(tensor.name.clone());
    }
    for node in &graph.node {
        taken.extend(node.name.clone());
        taken.extend(node.input.iter().chain(&node.output).cloned());
        survey_attributes(node, taken)?;
    }
    Ok(())
}

fn survey_attributes(node: &Node, taken: &mut HashSet<String>) -> Result<(), JoinError> {
    for attribute in &node.attribute {
        for tensor in attribute.t.iter().chain(&attribute.tensors) {
            inside(tensor)?;
        }
        for graph in attribute.g.iter().chain(&attribute.graphs) {
            survey(graph, taken)?;
        }
    }
    Ok(())
}

fn inside(tensor: &Tensor) -> Result<(), JoinError> {
    if tensor.data_location.unwrap_or(0) == 0 && tensor.external_data.is_empty() {
        return Ok(());
    }
    let location = tensor.external_data.iter().find(|e| e.key.as_deref() == Some("location"));
    Err(JoinError::External {
        tensor: tensor.name.clone().unwrap_or_default(),
        file: location.and_then(|e| e.value.clone()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::Entry;
    use crate::{read, write};

    fn fixture(name: &str) -> Vec<u8> {
        let folder =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/reference/tiny_clip/onnx/");
        fs_err::read(format!("{folder}{name}")).expect("a fixture")
    }

    fn tower() -> Model {
        read(&fixture("vision_model.onnx")).expect("a model")
    }

    /// Doubles an output.
    fn doubled(model: Model, name: &str) -> Result<Model, JoinError> {
        let mut g = Graph::extend(model, "more.")?;
        let x = g.value(name)?;
        let two = g.scalar("two", 2.0);
        let y = g.op("doubled", "Mul", &[&x, &two], &[]);
        let (batch, size) = g.batch_axis();
        g.output("twice", &y, TensorType::F32, &[(&batch, size), ("", 8)]);
        g.metadata("key", name);
        Ok(g.finish())
    }

    #[test]
    fn what_was_there_stays_and_names_are_new() {
        let before = tower();
        let name = before.outputs()[0].to_owned();
        let once = doubled(before.clone(), &name).expect("joined");
        let twice = doubled(once.clone(), "twice").expect("joined again");
        let (old, new) = (before.graph.expect("a graph"), twice.graph.clone().expect("a graph"));
        assert_eq!(new.node[..old.node.len()], old.node[..]);
        assert_eq!(new.initializer[..old.initializer.len()], old.initializer[..]);
        assert_eq!(new.input, old.input);
        assert_eq!(twice.outputs()[old.output.len()..], ["twice", "twice.2"]);
        assert_eq!(twice.metadata("key"), Some("twice"));
        assert_eq!(twice.metadata.iter().filter(|e| e.key.as_deref() == Some("key")).count(), 1);
        assert_eq!(twice.shape("twice.2"), Some(vec![None, Some(8)]));
        let mut made = HashSet::new();
        for name in new.node.iter().flat_map(|n| &n.output).filter(|n| !n.is_empty()) {
            assert!(made.insert(name.clone()), "{name} is made twice");
        }
        assert_eq!(read(&write(&twice)).expect("readable"), twice);
    }

    #[test]
    fn values_inside_can_be_given_out() {
        let before = tower();
        let inner = before.graph.as_ref().expect("a graph").node[5].output[0].clone();
        let mut g = Graph::extend(before.clone(), "").expect("a graph");
        g.expose(&inner).expect("there");
        g.expose(&inner).expect("there already");
        let count = before.outputs().len();
        let after = g.finish();
        assert_eq!(after.outputs()[count..], [inner.as_str()]);
        let error = doubled(before, "no such value").expect_err("absent").to_string();
        assert!(error.contains("no such value") && error.contains("outputs are"), "{error}");
    }

    #[test]
    fn old_new_and_scattered_models_are_refused_with_advice() {
        for version in [Some(10), Some(26), Some(-1), None] {
            let mut model = tower();
            model.opset_import[0].version = version;
            let error = Graph::extend(model, "").expect_err("refused").to_string();
            assert!(error.contains("opset 11 to 25") && error.contains("export"), "{error}");
        }
        let mut model = tower();
        let location = Entry { key: Some("location".into()), value: Some("w.bin".into()) };
        model.graph.as_mut().expect("a graph").initializer[0].external_data = vec![location];
        let error = Graph::extend(model, "").expect_err("refused").to_string();
        assert!(error.contains("w.bin") && error.contains("onnx.save"), "{error}");
        assert_eq!(
            Graph::extend(Model::default(), "").expect_err("nothing in it"),
            JoinError::NoGraph
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn damaged_files_never_panic(
            cut in 0usize..200_000,
            flips in prop::collection::vec((0usize..200_000, any::<u8>()), 0..6),
        ) {
            let mut bytes = fixture("vision_model.onnx");
            for (at, value) in flips {
                let len = bytes.len();
                bytes[at % len] = value;
            }
            bytes.truncate(bytes.len().saturating_sub(if cut % 3 == 0 { cut } else { 0 }));
            if let Ok(model) = read(&bytes) {
                let name = model.outputs().first().map_or("", |n| n).to_owned();
                let _ = model.shape(&name);
                let _ = Graph::extend(model.clone(), "x.").map(|mut g| g.expose(&name));
                if let Ok(joined) = doubled(model, &name) {
                    prop_assert_eq!(read(&write(&joined)).expect("ours"), joined);
                }
            }
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(model) = read(&bytes) {
                let _ = doubled(model, "x");
            }
        }
    }
}
