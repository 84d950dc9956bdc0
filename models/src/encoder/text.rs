//! Given texts, how do tokenizer and ONNX Runtime embed them?

use ekphrasis_embed::{Embedding, EncodeError, Space, TextEncoder};
use ort::value::{TensorElementType, TensorRef};

use super::session::{Graph, Inputs, joined};
use super::tokens::{Batch, TokenInput, Tokens};
use crate::manifest::TextTower;
use crate::model::{Model, ModelError};
use crate::runtime::Runtime;

/// Texts in one run, and tokens in one run with padding: attention needs
/// memory by the square of a text's length.
const CHUNK: usize = 64;
const CHUNK_TOKENS: usize = 4096;

/// The element types of whole numbers that text towers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    I64,
    I32,
}

/// The inputs of a graph: name, what goes in, as which whole numbers.
type TakenInputs = Vec<(String, TokenInput, Whole)>;

/// The text tower of a model on ONNX Runtime.
pub struct OrtTextEncoder {
    graph: Graph,
    tokens: Tokens,
    tower: TextTower,
    space: Space,
    /// What the graph takes, in its own order.
    inputs: TakenInputs,
    chunk: usize,
}

impl OrtTextEncoder {
    pub(crate) fn new(
        model: &Model,
        runtime: &Runtime,
        sessions: usize,
    ) -> Result<Self, ModelError> {
        let tower = model.manifest().text().clone();
        // Side by side: either takes some tens of milliseconds of a first query.
        let (tokens, graph) = std::thread::scope(|scope| {
            let tokens = scope.spawn(|| Tokens::read(model, &tower));
            let how = (sessions, model.is_for_one_answer());
            let graph = Graph::open(model, &tower.file, &tower.external, runtime, how);
            (joined(tokens), graph)
        });
        let (tokens, graph) = (tokens?, graph?);
        let bad = |problem| ModelError::Graph { path: model.path(&tower.file), problem };
        let (inputs, chunk) = inputs(&graph, tower.context).map_err(bad)?;
        graph.check_embedding(&tower.output, model.space().dim()).map_err(bad)?;
        let encoder = Self { graph, tokens, space: model.space().clone(), inputs, chunk, tower };
        encoder.check_dim().map_err(|problem| ModelError::Graph {
            path: model.path(&encoder.tower.file),
            problem,
        })?;
        Ok(encoder)
    }

    fn check_dim(&self) -> Result<(), String> {
        if self.graph.output(&self.tower.output)?[1] >= 0 {
            return Ok(());
        }
        let got = self.rows(&["a"]).map_err(|e| e.to_string())?[0].len();
        let (name, dim) = (&self.tower.output, self.space.dim());
        if got != dim {
            return Err(format!("expected output {name:?} as [batch, {dim}], got [batch, {got}]"));
        }
        Ok(())
    }

    /// The token ids the graph gets for this text alone: cut to the context,
    /// special tokens included, padded only if the model always pads.
    ///
    /// # Errors
    /// `Runtime` with the tokenizer's words.
    pub fn token_ids(&self, text: &str) -> Result<Vec<i64>, EncodeError> {
        let encoded = self.tokens.encode(&[text])?;
        Ok(self.tokens.pad(&encoded, &[0]).ids)
    }

    /// How many rows a table needs that has one for every token id: one more than the
    /// greatest id of the tokenizer.
    pub fn token_count(&self) -> usize {
        self.tokens.count()
    }

    /// Any f32 outputs of the graph with one row a text, such as features: for
    /// each name the rows of all texts one after another, in input order.
    ///
    /// # Errors
    /// `Runtime` for an unknown output or a failure of tokenizer or runtime.
    pub fn outputs(&self, texts: &[&str], names: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
        for name in names {
            self.graph.output(name).map_err(|what| EncodeError::Runtime { what })?;
        }
        Ok(self.all(texts, names)?.into_iter().map(|rows| rows.concat()).collect())
    }

    /// One raw output row a text, in input order.
    fn rows(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let mut outputs = self.all(texts, &[&self.tower.output])?;
        Ok(outputs.pop().expect("one a name"))
    }

    /// For each output one row a text, in input order.
    fn all(&self, texts: &[&str], names: &[&str]) -> Result<Vec<Vec<Vec<f32>>>, EncodeError> {
        let encoded = self.tokens.encode(texts)?;
        // By length, so that short texts are not padded to the longest of all.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|&i| encoded[i].len());
        let mut all = vec![vec![Vec::new(); texts.len()]; names.len()];
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.fitting(&encoded, rest));
            let batch = self.tokens.pad(&encoded, now);
            for (rows, output) in all.iter_mut().zip(self.run(&batch, names)?) {
                let width = output.len() / now.len();
                for (&i, row) in now.iter().zip(output.chunks(width.max(1))) {
                    rows[i] = row.to_vec();
                }
            }
            rest = later;
        }
        Ok(all)
    }

    /// How many of `order`, sorted by length, fit into one run.
    fn fitting(&self, encoded: &[super::tokens::Encoded], order: &[usize]) -> usize {
        let fits = |n: usize| n * self.tokens.padded(encoded[order[n - 1]].len()) <= CHUNK_TOKENS;
        (1..=order.len().min(self.chunk)).take_while(|&n| fits(n)).last().unwrap_or(1)
    }

    fn run(&self, batch: &Batch, names: &[&str]) -> Result<Vec<Vec<f32>>, EncodeError> {
        let fail = |e: ort::Error| EncodeError::Runtime { what: e.to_string() };
        let shape = [batch.rows, batch.width];
        // Token ids are far below 2³¹: the tokenizer has them as u32 and no table is so long.
        let short = |input| batch.get(input).iter().map(|&n| n as i32).collect();
        let shorts: Vec<Vec<i32>> = self
            .inputs
            .iter()
            .map(|&(_, input, whole)| if whole == Whole::I32 { short(input) } else { Vec::new() })
            .collect();
        let inputs = self
            .inputs
            .iter()
            .zip(&shorts)
            .map(|((name, input, whole), shorts)| {
                let value = match whole {
                    Whole::I64 => {
                        TensorRef::from_array_view((shape, batch.get(*input))).map_err(fail)?.into()
                    }
                    Whole::I32 => {
                        TensorRef::from_array_view((shape, &shorts[..])).map_err(fail)?.into()
                    }
                };
                Ok((name.as_str().into(), value))
            })
            .collect::<Result<Inputs<'_>, EncodeError>>()?;
        self.graph.run(inputs, batch.rows, names)
    }
}

/// What the graph takes, and how many texts at a time.
fn inputs(graph: &Graph, context: usize) -> Result<(TakenInputs, usize), String> {
    let mut found = Vec::new();
    let mut chunk = CHUNK;
    let only = graph.inputs().len() == 1;
    for (name, ty, shape) in graph.inputs() {
        // What a graph alone takes are the ids, whatever it calls them.
        let input = if only { Some(TokenInput::Ids) } else { TokenInput::named(name) };
        let input = input.ok_or_else(|| {
            format!(
                "expected inputs input_ids, attention_mask, token_type_ids, position_ids; got {name:?}"
            )
        })?;
        let whole = match ty {
            TensorElementType::Int64 => Some(Whole::I64),
            TensorElementType::Int32 => Some(Whole::I32),
            _ => None,
        };
        let fits = |d: i64| d < 0 || d == context as i64;
        let whole = whole.filter(|_| shape.len() == 2 && fits(shape[1])).ok_or_else(|| {
            format!(
                "expected {name:?} as i64 or i32 [batch, up to {context}], got {ty:?} {shape:?}"
            )
        })?;
        match shape[0] {
            1 => chunk = 1,
            n if n < 0 => {}
            n => return Err(format!("expected a batch of any size or of 1, got {n}")),
        }
        found.push((name.clone(), input, whole));
    }
    if !found.iter().any(|(_, input, _)| *input == TokenInput::Ids) {
        return Err("expected an input input_ids, got none".into());
    }
    Ok((found, chunk))
}

impl TextEncoder for OrtTextEncoder {
    fn space(&self) -> &Space {
        &self.space
    }

    fn embed_texts(&self, batch: &[&str]) -> Result<Vec<Embedding>, EncodeError> {
        let rows = self.rows(batch)?;
        rows.into_iter().map(|row| Ok(Embedding::new(&self.space, row)?)).collect()
    }

    fn unknown_share(&self, text: &str) -> Result<f64, EncodeError> {
        self.tokens.unknown_share(text)
    }
}
