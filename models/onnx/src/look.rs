//! Given an ONNX file that somebody else made, what does it take and give, which
//! files does it need beside it, and how is one of two towers taken out of it?

use std::collections::{BTreeMap, HashSet};

use prost::Message;

use crate::proto::{DimValue, GraphProto, Node, Tensor, ValueInfo};
use crate::{Model, ReadError};

/// An input or output as the file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The number of its element type in `TensorProto.DataType`, if it is a tensor.
    pub element: Option<i32>,
    /// Its sizes, none where one varies; nothing if the file does not declare them.
    pub dims: Option<Vec<Option<i64>>>,
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let element = match self.element {
            Some(1) => "f32",
            Some(6) => "i32",
            Some(7) => "i64",
            Some(9) => "bool",
            Some(10) => "f16",
            Some(11) => "f64",
            Some(16) => "bf16",
            _ => "another type",
        };
        write!(f, "{} ({element}", self.name)?;
        if let Some(dims) = &self.dims {
            let dims: Vec<_> =
                dims.iter().map(|d| d.map_or_else(|| "?".into(), |d| d.to_string())).collect();
            write!(f, " [{}]", dims.join(", "))?;
        }
        write!(f, ")")
    }
}

/// Decodes a model to look at it. Unlike [`crate::read`], takes files with fields
/// that this program does not know; those would be lost if it were written again.
///
/// # Errors
/// `Wire` for bytes that are no model.
pub fn look(bytes: &[u8]) -> Result<Model, ReadError> {
    Ok(Model::decode(bytes)?)
}

impl Model {
    /// What has to be fed, in order; weights that an old file lists among the inputs left out.
    pub fn takes(&self) -> Vec<Port> {
        let Some(graph) = &self.graph else { return Vec::new() };
        let fed =
            graph.input.iter().filter(|v| !graph.initializer.iter().any(|t| t.name == v.name));
        fed.map(port).collect()
    }

    /// What it gives, in order.
    pub fn gives(&self) -> Vec<Port> {
        self.graph.iter().flat_map(|g| &g.output).map(port).collect()
    }

    /// The files beside it that hold weights, each as the file names it, sorted, with the
    /// bytes that it has at least.
    pub fn external_files(&self) -> Vec<(String, u64)> {
        let mut found = BTreeMap::new();
        if let Some(graph) = &self.graph {
            external(graph, &mut found);
        }
        found.into_iter().collect()
    }

    /// The same model with only what these outputs need: other outputs, and the
    /// operations, weights and inputs that only they use, are gone. An output of this
    /// name has to be there, or the result has no outputs.
    #[must_use]
    pub fn cut_to(mut self, outputs: &[&str]) -> Self {
        let Some(graph) = &mut self.graph else { return self };
        let mut needed: HashSet<String> = outputs.iter().map(|&o| o.to_owned()).collect();
        // Operations lie in the order in which they can be done, so one look from the
        // end on finds all that are needed.
        let mut kept = Vec::new();
        for node in std::mem::take(&mut graph.node).into_iter().rev() {
            if node.output.iter().any(|o| needed.contains(o)) {
                uses(&node, &mut needed);
                kept.push(node);
            }
        }
        kept.reverse();
        graph.node = kept;
        let made: HashSet<&String> = graph.node.iter().flat_map(|n| &n.output).collect();
        let named = |v: &ValueInfo| v.name.clone().unwrap_or_default();
        graph.value_info.retain(|v| made.contains(&named(v)));
        graph.input.retain(|v| needed.contains(&named(v)));
        graph.output.retain(|v| outputs.contains(&named(v).as_str()));
        graph.initializer.retain(|t| needed.contains(t.name.as_deref().unwrap_or_default()));
        self
    }
}

fn port(value: &ValueInfo) -> Port {
    let tensor = value.kind.as_ref().and_then(|kind| kind.tensor.as_ref());
    let dims = tensor.and_then(|t| t.shape.as_ref()).map(|shape| {
        let size = |value: &Option<DimValue>| match value {
            Some(DimValue::Fixed(n)) if *n >= 0 => Some(*n),
            _ => None,
        };
        shape.dim.iter().map(|dim| size(&dim.value)).collect()
    });
    Port {
        name: value.name.clone().unwrap_or_default(),
        element: tensor.and_then(|t| t.elem_type),
        dims,
    }
}

/// All names that an operation reads, those inside its branches and loops included.
fn uses(node: &Node, needed: &mut HashSet<String>) {
    needed.extend(node.input.iter().filter(|name| !name.is_empty()).cloned());
    for graph in node.attribute.iter().flat_map(|a| a.g.iter().chain(&a.graphs)) {
        needed.extend(graph.output.iter().filter_map(|v| v.name.clone()));
        graph.node.iter().for_each(|inner| uses(inner, needed));
    }
}

fn external(graph: &GraphProto, found: &mut BTreeMap<String, u64>) {
    let mut note = |tensor: &Tensor| {
        let entry = |key: &str| {
            let entry = tensor.external_data.iter().find(|e| e.key.as_deref() == Some(key));
            entry.and_then(|e| e.value.clone())
        };
        let location = entry("location");
        if tensor.data_location == Some(1) || location.is_some() {
            let number = |key| entry(key).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
            let end = number("offset").saturating_add(number("length"));
            let most = found.entry(location.unwrap_or_default()).or_default();
            *most = end.max(*most);
        }
    };
    graph.initializer.iter().for_each(&mut note);
    let attributes = || graph.node.iter().flat_map(|n| &n.attribute);
    attributes().flat_map(|a| a.t.iter().chain(&a.tensors)).for_each(&mut note);
    for inner in attributes().flat_map(|a| a.g.iter().chain(&a.graphs)) {
        external(inner, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Entry;
    use crate::{Graph, TensorType, read, write};

    /// Two towers in one file, and what compares them.
    fn pair() -> Model {
        let mut g = Graph::new("pair", "a test", "two towers");
        let x = g.input("pixel_values", TensorType::F32, &[("batch", -1), ("", 3)]);
        let t = g.input("input_ids", TensorType::I64, &[("batch", -1), ("length", -1)]);
        let two = g.scalar("two", 2.0);
        let three = g.scalar("three", 3.0);
        let image = g.op("image", "Mul", &[&x, &two], &[]);
        let text = g.cast("float", &t, TensorType::F32);
        let text = g.op("text", "Mul", &[&text, &three], &[]);
        let both = g.op("both", "Add", &[&image, &text], &[]);
        g.output("image_embeds", &image, TensorType::F32, &[("batch", -1), ("", 3)]);
        g.output("text_embeds", &text, TensorType::F32, &[("batch", -1), ("length", -1)]);
        g.output("logits", &both, TensorType::F32, &[("batch", -1), ("", 3)]);
        g.finish()
    }

    #[test]
    fn each_tower_can_be_taken_out() {
        let names = |ports: Vec<Port>| ports.into_iter().map(|p| p.name).collect::<Vec<_>>();
        let image = pair().cut_to(&["image_embeds"]);
        assert_eq!(names(image.takes()), ["pixel_values"]);
        assert_eq!(names(image.gives()), ["image_embeds"]);
        let graph = image.graph.as_ref().expect("a graph");
        assert_eq!((graph.node.len(), graph.initializer.len()), (2, 1));
        let text = pair().cut_to(&["text_embeds"]);
        assert_eq!(names(text.takes()), ["input_ids"]);
        assert_eq!(text.graph.as_ref().expect("a graph").node.len(), 3);
        let all = pair();
        let outputs = ["image_embeds", "text_embeds", "logits"];
        assert_eq!(all.clone().cut_to(&outputs), all, "nothing is cut that is needed");
        assert_eq!(read(&write(&text)).expect("readable"), text);
        assert!(pair().cut_to(&["other"]).gives().is_empty());
    }

    #[test]
    fn ports_are_told_as_declared() {
        let model = pair();
        let ports = model.takes();
        assert_eq!(ports[0].to_string(), "pixel_values (f32 [?, 3])");
        assert_eq!(ports[1].to_string(), "input_ids (i64 [?, ?])");
        assert!(look(&write(&model)).expect("a model") == model);
        assert!(look(b"no model at all").is_err());
    }

    #[test]
    fn files_beside_it_are_named_once() {
        let mut model = pair();
        assert!(model.external_files().is_empty());
        let entry =
            |key: &str, value: &str| Entry { key: Some(key.into()), value: Some(value.into()) };
        for tensor in &mut model.graph.as_mut().expect("a graph").initializer {
            tensor.external_data =
                vec![entry("location", "w.bin"), entry("offset", "16"), entry("length", "4")];
            tensor.data_location = Some(1);
        }
        assert_eq!(model.external_files(), [("w.bin".to_owned(), 20)]);
    }
}
