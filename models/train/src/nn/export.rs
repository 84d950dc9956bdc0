//! Given a trained tower, what is it as plain data?

use super::layer::{NORM_EPSILON, Op, UNIT_EPSILON};
use super::params::{Params, Slot};
use super::tower::{Base, Tower};
use crate::layer::{Affine, Array, Feature, Flow, Head, Layer, LayerError, Network};

impl Tower {
    /// The tower as a head on a frozen one.
    ///
    /// # Errors
    /// If the named values do not have the widths it was trained with, or a
    /// number is not finite.
    pub fn head(
        &self,
        params: &Params,
        base: Option<Feature>,
        features: Vec<Feature>,
    ) -> Result<Head, LayerError> {
        let (base, map) = match &self.base {
            Base::None => (None, None),
            Base::Plain => (base, None),
            Base::Mapped(slot) => (base, Some(array(params, *slot)?)),
        };
        let body = layers(params, &self.body)?;
        let features = if body.is_empty() { Vec::new() } else { features };
        Head::new(base, map, features, body, UNIT_EPSILON)
    }

    /// The tower as a network of its own, ending in unit vectors.
    ///
    /// # Errors
    /// If the layers do not take `input`, or a number is not finite.
    pub fn network(&self, params: &Params, input: Flow) -> Result<Network, LayerError> {
        let mut body = layers(params, &self.body)?;
        body.push(Layer::Normalise { epsilon: UNIT_EPSILON });
        Network::new(input, body)
    }
}

fn array(params: &Params, slot: Slot) -> Result<Array, LayerError> {
    let param = params.get(slot);
    Array::new(&param.shape, param.values.clone())
}

fn layers(params: &Params, ops: &[Op]) -> Result<Vec<Layer>, LayerError> {
    let take = |slot: &Slot| array(params, *slot);
    let mut done = Vec::with_capacity(ops.len());
    let mut rest = ops.iter().peekable();
    while let Some(op) = rest.next() {
        done.push(match op {
            Op::Dropout(_) => continue,
            Op::Linear { weight, bias } => {
                Layer::Linear { weight: take(weight)?, bias: bias.as_ref().map(take).transpose()? }
            }
            Op::LayerNorm { affine, width } => {
                let (scale, shift) = match affine {
                    Some((scale, shift)) => (take(scale)?, take(shift)?),
                    None => (
                        Array::new(&[*width], vec![1.0; *width])?,
                        Array::new(&[*width], vec![0.0; *width])?,
                    ),
                };
                Layer::LayerNorm { scale, shift, epsilon: NORM_EPSILON }
            }
            Op::Gelu => Layer::Gelu,
            Op::Relu => Layer::Relu,
            Op::Conv2d { weight, stride, padding, groups } => {
                let weight = take(weight)?;
                let geometry = [*stride, *padding, *groups];
                if let Some(Op::BatchNorm { scale, shift, mean, variance }) = rest.peek() {
                    rest.next();
                    let four = [scale, shift, mean, variance]
                        .map(|slot| params.get(*slot).values.as_slice());
                    Layer::folded_conv(weight, four, NORM_EPSILON, geometry)?
                } else {
                    let [stride, padding, groups] = geometry;
                    Layer::Conv2d { weight, bias: None, stride, padding, groups }
                }
            }
            Op::BatchNorm { .. } => unreachable!("towers have it after a convolution only"),
            Op::GlobalMean => Layer::GlobalMean,
            Op::Patches { positions } => Layer::Patches { positions: take(positions)? },
            Op::TokenEmbedding { table, positions } => {
                Layer::TokenEmbedding { table: take(table)?, positions: take(positions)? }
            }
            Op::Attention { heads, maps } => {
                let affine = |(weight, bias): &(Slot, Slot)| {
                    Ok::<_, LayerError>(Affine { weight: take(weight)?, bias: take(bias)? })
                };
                let [query, key, value, output] = maps;
                Layer::Attention {
                    heads: *heads,
                    query: affine(query)?,
                    key: affine(key)?,
                    value: affine(value)?,
                    output: affine(output)?,
                }
            }
            Op::MaskedMean => Layer::MaskedMean,
            Op::Residual(inner) => Layer::Residual(layers(params, inner)?),
        });
    }
    Ok(done)
}
