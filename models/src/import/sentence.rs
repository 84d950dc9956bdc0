//! Given a folder of sentence-transformers, how does its text tower become one graph?
//! Pooling and the dense layer, which lie beside its graph, are added to it.

use std::path::{Path, PathBuf};

use ekphrasis_onnx::{Attr, Graph, TensorType};
use serde::Deserialize;
use serde_json::Value as Json;

use super::config::Config;
use super::layout::graph;
use super::precision::Precision;
use super::refusal::{Refusal, bytes, json, json_if_there};
use super::texts::Texts;
use super::towers::{GraphFile, TextOutput};

/// A text tower in one graph.
pub(super) struct Sentence {
    pub(super) graph: GraphFile,
    pub(super) texts: Texts,
    pub(super) output: String,
    pub(super) width: Option<usize>,
    pub(super) context: Option<usize>,
    pub(super) masked: bool,
    pub(super) dim: Option<usize>,
    pub(super) pooling: String,
    /// Which files it was read from, besides the graph.
    pub(super) name: String,
}

/// An entry of `modules.json`.
#[derive(Deserialize)]
struct Module {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// `sentence_bert_config.json`.
#[derive(Default, Deserialize)]
struct Limits {
    max_seq_length: Option<usize>,
    do_lower_case: Option<bool>,
}

/// `config_sentence_transformers.json`.
#[derive(Default, Deserialize)]
struct Prompts {
    default_prompt_name: Option<String>,
    #[serde(default)]
    prompts: std::collections::BTreeMap<String, String>,
}

/// The configuration of a dense layer.
#[derive(Deserialize)]
struct Dense {
    in_features: usize,
    out_features: usize,
    bias: bool,
    activation_function: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pooling {
    Mean,
    First,
}

/// What comes after the transformer.
struct Layer {
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    dims: [usize; 2],
    tanh: bool,
}

/// Reads the folder `dir`.
pub(super) fn read(dir: &Path, precision: Precision) -> Result<Sentence, Refusal> {
    let path = dir.join("modules.json");
    let modules: Vec<Module> = json(&path, "the modules of a sentence-transformers text tower")?;
    let (mut base, mut pooling, mut layers) = (None, None, Vec::new());
    for module in &modules {
        let folder = if module.path.is_empty() { dir.to_owned() } else { dir.join(&module.path) };
        if module.path.contains("..") || Path::new(&module.path).is_absolute() {
            let next = "do not use a folder that reads other files of this machine";
            return Err(Refusal::new(
                &path,
                "modules in this folder",
                format!("{:?}", module.path),
                next,
            ));
        }
        // The package that a kind lies in differs from version to version.
        match module.kind.rsplit('.').next().unwrap_or_default() {
            "Transformer" if base.is_none() => base = Some(folder),
            "Pooling" if pooling.is_none() => pooling = Some(pooling_of(&folder)?),
            "Dense" => layers.push(dense(&folder)?),
            // Every embedding is scaled to unit length in the end.
            "Normalize" => {}
            other => {
                let next = "such a module is not known here; export the whole tower with an output sentence_embedding";
                let expected = "modules Transformer, Pooling, Dense and Normalize";
                return Err(Refusal::new(&path, expected, other, next));
            }
        }
    }
    let (Some(base), Some(pooling)) = (base, pooling) else {
        let got = modules.iter().map(|m| m.kind.rsplit('.').next().unwrap_or_default());
        let got = got.collect::<Vec<_>>().join(", ");
        return Err(Refusal::new(
            &path,
            "a Transformer and a Pooling module",
            got,
            "fetch all of the model's folders",
        ));
    };
    let folders = [base.join("onnx"), dir.join("onnx"), base.clone()];
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    let file = GraphFile::read(&graph(&folders, "model", precision)?)?;
    no_prompt(dir)?;
    let config = Config::read(&base.join("config.json"))?;
    let mut texts =
        Texts::read(if dir.join("tokenizer.json").is_file() { dir } else { &base }, Some(&config))?;
    let limits_path = base.join("sentence_bert_config.json");
    let limits: Limits = json_if_there(&limits_path, "the limits of texts")?.unwrap_or_default();
    if limits.do_lower_case == Some(true) {
        texts.clean = crate::manifest::Clean::LowerCase;
    }
    let tower = file.text(&config.family)?;
    let (graph, output, dim) = match tower.output {
        TextOutput::Pooled(output) => (file, output, tower.dim),
        TextOutput::Tokens(tokens) => {
            let (graph, dim) = pooled(&file, &tokens, tower.dim, pooling, &layers)?;
            (graph, OUTPUT.to_owned(), dim)
        }
    };
    Ok(Sentence {
        graph,
        output,
        dim,
        width: tower.width,
        masked: tower.masked,
        context: limits.max_seq_length.or(config.context),
        pooling: match pooling {
            Pooling::Mean => "mean".into(),
            Pooling::First => "first token".into(),
        },
        name: config.family.phrase(),
        texts,
    })
}

/// The output that pooling gives.
const OUTPUT: &str = "sentence_embedding";

/// Texts that would have to be given with words before them are refused.
fn no_prompt(dir: &Path) -> Result<(), Refusal> {
    let path = dir.join("config_sentence_transformers.json");
    let prompts: Prompts = json_if_there(&path, "the tower's prompts")?.unwrap_or_default();
    let prompt = prompts.default_prompt_name.and_then(|name| prompts.prompts.get(&name).cloned());
    match prompt.filter(|prompt| !prompt.is_empty()) {
        None => Ok(()),
        Some(prompt) => Err(Refusal::new(
            &path,
            "no default prompt",
            format!("{prompt:?} before every text"),
            "such a tower is not supported so far",
        )),
    }
}

fn pooling_of(folder: &Path) -> Result<Pooling, Refusal> {
    let path = folder.join("config.json");
    let map: serde_json::Map<String, Json> = json(&path, "how tokens are pooled")?;
    // By one word, or by a switch for each way.
    let mut ways: Vec<&str> = map
        .iter()
        .filter(|(key, on)| key.starts_with("pooling_mode_") && **on == Json::Bool(true))
        .map(|(key, _)| key.trim_start_matches("pooling_mode_").trim_end_matches("_tokens"))
        .collect();
    ways.extend(map.get("pooling_mode").and_then(Json::as_str));
    match ways[..] {
        ["mean"] => Ok(Pooling::Mean),
        ["cls" | "cls_token"] => Ok(Pooling::First),
        _ => {
            let got = if ways.is_empty() { "none".into() } else { ways.join(" and ") };
            let next = "export the whole tower with an output sentence_embedding";
            Err(Refusal::new(&path, "pooling by mean or by cls", got, next))
        }
    }
}

fn dense(folder: &Path) -> Result<Layer, Refusal> {
    let path = folder.join("config.json");
    let dense: Dense = json(&path, "a dense layer")?;
    let tanh = match dense.activation_function.rsplit('.').next().unwrap_or_default() {
        "Identity" => false,
        "Tanh" => true,
        other => {
            let next = "export the whole tower with an output sentence_embedding";
            return Err(Refusal::new(&path, "activation Identity or Tanh", other, next));
        }
    };
    let file = folder.join("model.safetensors");
    if !file.is_file() {
        let pickled = folder.join("pytorch_model.bin").is_file();
        let got = if pickled { "only pytorch_model.bin, a Python pickle" } else { "no weights" };
        let next = "save the model again with a current sentence-transformers, which writes model.safetensors";
        return Err(Refusal::new(&file, "the dense layer's weights", got, next));
    }
    let (inside, outside) = (dense.in_features, dense.out_features);
    let weight = tensor(&file, "linear.weight", &[outside, inside])?;
    let bias = dense.bias.then(|| tensor(&file, "linear.bias", &[outside])).transpose()?;
    // Kept as [out, in]; multiplied from the right.
    let turned =
        (0..inside * outside).map(|i| weight[i % outside * inside + i / outside]).collect();
    Ok(Layer { weight: turned, bias, dims: [inside, outside], tanh })
}

/// A tensor's entry in the header of a safetensors file.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// Reads a tensor of 32-bit floats: eight bytes with the length of a JSON header, the
/// header, then the numbers that it points to.
fn tensor(path: &Path, name: &str, shape: &[usize]) -> Result<Vec<f32>, Refusal> {
    let expected = format!("{name} as f32 {shape:?}");
    let fail = |got: String| Refusal::new(path, expected.clone(), got, "fetch the file again");
    let all = bytes(path, "weights in the safetensors format")?;
    let header = all.first_chunk::<8>().map(|n| u64::from_le_bytes(*n));
    let header = header.and_then(|n| usize::try_from(n).ok()?.checked_add(8));
    let (header, data) = header
        .and_then(|end| Some((all.get(8..end)?, all.get(end..)?)))
        .ok_or_else(|| fail(format!("{} bytes without a header", all.len())))?;
    let header: serde_json::Map<String, Json> =
        serde_json::from_slice(header).map_err(|e| fail(e.to_string()))?;
    let entry = header
        .get(name)
        .ok_or_else(|| fail(header.keys().map(String::as_str).collect::<Vec<_>>().join(", ")))?;
    let entry = Entry::deserialize(entry).map_err(|e| fail(e.to_string()))?;
    if entry.dtype != "F32" || entry.shape != shape {
        return Err(fail(format!("{} {:?}", entry.dtype, entry.shape)));
    }
    let count: usize = shape.iter().product();
    let [from, to] = entry.data_offsets;
    let raw = data.get(from..to).filter(|raw| raw.len() == count * 4);
    let raw = raw.ok_or_else(|| fail(format!("{} bytes of numbers", data.len())))?;
    let (numbers, _) = raw.as_chunks::<4>();
    Ok(numbers.iter().map(|n| f32::from_le_bytes(*n)).collect())
}

/// The graph with pooling and layers after it, and how many numbers come out.
fn pooled(
    file: &GraphFile,
    tokens: &str,
    width: Option<usize>,
    pooling: Pooling,
    layers: &[Layer],
) -> Result<(GraphFile, Option<usize>), Refusal> {
    let fail = |e: ekphrasis_onnx::JoinError| {
        let next = "export the whole tower with an output sentence_embedding";
        Refusal::new(&file.path, "a graph that pooling can be added to", e.to_string(), next)
    };
    let mut g = Graph::extend(file.writable()?, "ekphrasis.").map_err(fail)?;
    let (batch, size) = g.batch_axis();
    let x = g.value(tokens).map_err(fail)?;
    let x = g.cast("tokens", &x, TensorType::F32);
    let mut x = match pooling {
        Pooling::Mean => {
            let mask = g.value("attention_mask").map_err(fail)?;
            let mask = g.cast("mask", &mask, TensorType::F32);
            let mask = g.unsqueeze("mask.wide", &mask, &[-1]);
            let kept = g.op("kept", "Mul", &[&x, &mask], &[]);
            let sum = g.reduce("sum", "ReduceSum", &kept, &[1], false);
            let count = g.reduce("count", "ReduceSum", &mask, &[1], false);
            let least = g.scalar("least", 1e-9);
            let count = g.op("count.safe", "Max", &[&count, &least], &[]);
            g.op("pooled", "Div", &[&sum, &count], &[])
        }
        Pooling::First => {
            let first = g.i64s("first", &[0]);
            let row = g.op("first.row", "Gather", &[&x, &first], &[("axis", Attr::Int(1))]);
            g.reduce("pooled", "ReduceSum", &row, &[1], false)
        }
    };
    let mut dim = width;
    for (n, layer) in layers.iter().enumerate() {
        let [inside, outside] = layer.dims;
        if dim.is_some_and(|dim| dim != inside) {
            let next = "the folders are of two models; fetch all of one";
            let got = dim.unwrap_or_default().to_string();
            let expected = format!("{inside} numbers a token, as the dense layer takes");
            return Err(Refusal::new(&file.path, expected, got, next));
        }
        let part = |name: &str| format!("dense.{n}.{name}");
        let weight = g.f32s(&part("weight"), &[inside as i64, outside as i64], &layer.weight);
        let bias = layer.bias.as_ref();
        let bias = bias.map(|bias| g.f32s(&part("bias"), &[outside as i64], bias));
        x = g.linear(&part("linear"), &x, &weight, bias.as_ref());
        if layer.tanh {
            x = g.op(&part("tanh"), "Tanh", &[&x], &[]);
        }
        dim = Some(outside);
    }
    let last = dim.map_or(-1, |dim| dim as i64);
    g.output(OUTPUT, &x, TensorType::F32, &[(&batch, size), ("dim", last)]);
    let graph = file.with(g.finish()).cut_to(OUTPUT)?;
    Ok((graph, dim))
}
