//! Given tensors of pictures, how does ONNX Runtime embed them?

use ekphrasis_embed::{Embedding, EncodeError, ImageEncoder, ImageTensor, Preprocess, Space};
use half::f16;
use ort::value::TensorRef;

use super::session::{Graph, Inputs, Real};
use crate::manifest::ImageTower;
use crate::model::{Model, ModelError};
use crate::provider::Provider;
use crate::runtime::Runtime;

/// Pictures in one run of a device; larger batches are cut, so that memory stays bounded. A
/// processor's core gains nothing by several, and takes as many times the memory
/// (`cargo bench -p ekphrasis-engine --bench pipeline -- --batches`).
const CHUNK: usize = 16;

/// The picture tower of a model on ONNX Runtime.
pub struct OrtImageEncoder {
    graph: Graph,
    tower: ImageTower,
    space: Space,
    chunk: usize,
    takes: Real,
}

impl OrtImageEncoder {
    pub(crate) fn new(
        model: &Model,
        runtime: &Runtime,
        sessions: usize,
    ) -> Result<Self, ModelError> {
        let tower = model.manifest().image().clone();
        let graph = Graph::open(model, &tower.file, &tower.external, runtime, (sessions, false))?;
        let bad = |problem| ModelError::Graph { path: model.path(&tower.file), problem };
        let size = i64::from(tower.preprocess.size());
        let wanted =
            format!("one f32 or f16 input {:?} as [batch, 3, {size}, {size}]", tower.input);
        let [(name, element, shape)] = graph.inputs() else {
            return Err(bad(format!("expected {wanted}, got {:?}", graph.inputs())));
        };
        let Some(takes) = Real::of(*element) else {
            return Err(bad(format!("expected {wanted}, got {name:?} of {element:?}")));
        };
        let is = |i: usize, n: i64| shape.get(i).is_some_and(|&d| d == n || d < 0);
        if *name != tower.input || shape.len() != 4 || !(is(1, 3) && is(2, size) && is(3, size)) {
            return Err(bad(format!("expected {wanted}, got {name:?} as {shape:?}")));
        }
        let chunk = match shape[0] {
            1 => 1,
            n if n < 0 && runtime.provider() == Provider::Cpu => 1,
            n if n < 0 => CHUNK,
            n => return Err(bad(format!("expected a batch of any size or of 1, got {n}"))),
        };
        graph.check_embedding(&tower.output, model.space().dim()).map_err(bad)?;
        let encoder = Self { graph, space: model.space().clone(), chunk, takes, tower };
        encoder.check_dim().map_err(|problem| ModelError::Graph {
            path: model.path(&encoder.tower.file),
            problem,
        })?;
        Ok(encoder)
    }

    /// Asks the graph itself where it does not declare the width of its output.
    fn check_dim(&self) -> Result<(), String> {
        if self.graph.output(&self.tower.output)?[1] >= 0 {
            return Ok(());
        }
        let side = self.tower.preprocess.size() as usize;
        let zeros = vec![0f32; 3 * side * side];
        let rows = self.run(&zeros, 1, &[&self.tower.output]).map_err(|e| e.to_string())?;
        if rows[0].len() != self.space.dim() {
            return Err(format!(
                "expected output {:?} as [batch, {}], got [batch, {}]",
                self.tower.output,
                self.space.dim(),
                rows[0].len()
            ));
        }
        Ok(())
    }

    /// Any f32 outputs of the graph, such as features or logits: for each name
    /// the rows of all pictures one after another, in input order.
    ///
    /// # Errors
    /// `InputSize` for tensors of another model, `Runtime` for an unknown
    /// output or a failure of the runtime.
    pub fn outputs(
        &self,
        batch: &[ImageTensor],
        names: &[&str],
    ) -> Result<Vec<Vec<f32>>, EncodeError> {
        let expected = self.tower.preprocess.size();
        if let Some(wrong) = batch.iter().find(|t| t.size() != expected) {
            return Err(EncodeError::InputSize { expected, got: wrong.size() });
        }
        for name in names {
            self.graph.output(name).map_err(|what| EncodeError::Runtime { what })?;
        }
        let mut all = vec![Vec::new(); names.len()];
        for chunk in batch.chunks(self.chunk) {
            let parts = match chunk {
                [one] => self.run(one.data(), 1, names)?,
                several => {
                    let data: Vec<&[f32]> = several.iter().map(ImageTensor::data).collect();
                    self.run(&data.concat(), several.len(), names)?
                }
            };
            all.iter_mut().zip(parts).for_each(|(rows, part)| rows.extend(part));
        }
        Ok(all)
    }

    fn run(
        &self,
        data: &[f32],
        batch: usize,
        names: &[&str],
    ) -> Result<Vec<Vec<f32>>, EncodeError> {
        let side = self.tower.preprocess.size() as usize;
        let shape = [batch, 3, side, side];
        let fail = |e: ort::Error| EncodeError::Runtime { what: e.to_string() };
        let name = || self.tower.input.as_str().into();
        let halves: Vec<f16>;
        let inputs: Inputs<'_> = match self.takes {
            Real::F32 => {
                vec![(name(), TensorRef::from_array_view((shape, data)).map_err(fail)?.into())]
            }
            Real::F16 => {
                halves = data.iter().map(|&v| f16::from_f32(v)).collect();
                let tensor = TensorRef::from_array_view((shape, &halves[..])).map_err(fail)?;
                vec![(name(), tensor.into())]
            }
        };
        self.graph.run(inputs, batch, names)
    }
}

impl ImageEncoder for OrtImageEncoder {
    fn space(&self) -> &Space {
        &self.space
    }

    fn preprocess(&self) -> &Preprocess {
        &self.tower.preprocess
    }

    fn embed_images(&self, batch: &[ImageTensor]) -> Result<Vec<Embedding>, EncodeError> {
        let rows = self.outputs(batch, &[&self.tower.output])?;
        rows.concat()
            .chunks(self.space.dim())
            .map(|row| Ok(Embedding::new(&self.space, row.to_vec())?))
            .collect()
    }
}
