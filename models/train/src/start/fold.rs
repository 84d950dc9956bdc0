//! Given a start and a correction that was trained on it, what is published? One
//! head a side, on the base's own values: standardise, clip, one linear layer.

use ndarray::{Array1, Array2};

use super::{Correct, Start};
use crate::layer::{Array, Feature, Head, Layer, LayerError};
use crate::nn::{Params, Tower};

impl Start {
    /// The image side as a head on the base: `base` is its value that the start
    /// adds, `features` those it was fitted to, in that order.
    ///
    /// # Errors
    /// If the tower is no linear correction, a width does not fit, or a number is
    /// not finite.
    pub fn image_head(
        &self,
        tower: &Tower,
        params: &Params,
        base: Feature,
        features: Vec<Feature>,
    ) -> Result<Head, LayerError> {
        let standard = self.ridge.standard();
        let dim = self.dim();
        let from = match self.correct {
            Correct::Features => standard.width(),
            Correct::Embedding => dim,
        };
        let correction = linear(tower, params, from, dim)?;
        let mut weight = &self.weight * self.image_gain;
        let mut bias = Array1::zeros(dim);
        // What a correction of embeddings does to the base, too.
        let mut turn = None;
        if let Some((by, offset)) = correction {
            bias += &offset;
            match self.correct {
                Correct::Features => weight += &by,
                Correct::Embedding => {
                    weight = &weight + &weight.dot(&by);
                    turn = Some(by + Array2::<f32>::eye(dim));
                }
            }
        }
        let weight = self.ridge.unwhiten(weight.view());
        bias -= &standard.centre().dot(&weight);
        // Unit length follows, so all of it may be scaled: so that the base's part is
        // exactly the base where nothing turns it, which saves a map.
        let (mut added, mut map, mut by) = (None, None, 1.0);
        if self.base > 0.0 {
            added = Some(base);
            let gain = self.base * self.image_gain;
            let whole = match (self.space.map(), turn) {
                (None, None) => None,
                (Some(map), None) => Some(map.clone()),
                (None, Some(turn)) => Some(turn),
                (Some(map), Some(turn)) => Some(map.dot(&turn)),
            };
            bias.scaled_add(
                -gain,
                &whole.as_ref().map_or(self.base_mean.clone(), |w| self.base_mean.dot(w)),
            );
            match whole {
                None => by = 1.0 / gain,
                Some(whole) => map = Some(array(&(whole * gain))?),
            }
        }
        let mut body = standard.layers()?;
        body.push(layer(&(weight * by), &(bias * by))?);
        Head::new(added, map, features, body, crate::nn::UNIT_EPSILON)
    }

    /// The text side as a head on `own`, the base's text embedding.
    ///
    /// # Errors
    /// As [`Self::image_head`].
    pub fn text_head(
        &self,
        tower: &Tower,
        params: &Params,
        own: Feature,
    ) -> Result<Head, LayerError> {
        let dim = self.dim();
        // gain·(t − mean)·M·(I + A) + b
        let mut weight = self.space.map().cloned().unwrap_or_else(|| Array2::eye(dim));
        weight *= self.text_gain;
        let mut bias = Array1::zeros(dim);
        let correction = linear(tower, params, dim, dim)?;
        let plain = correction.is_none() && self.space.map().is_none();
        if let Some((by, offset)) = correction {
            weight = &weight + &weight.dot(&by);
            bias += &offset;
        }
        bias -= &self.space.mean().dot(&weight);
        let body = if plain {
            let array = |a: Vec<f32>| Array::new(&[dim], a);
            Layer::Scale { scale: array(vec![self.text_gain; dim])?, shift: array(bias.to_vec())? }
        } else {
            layer(&weight, &bias)?
        };
        Head::new(None, None, vec![own], vec![body], crate::nn::UNIT_EPSILON)
    }
}

fn array(a: &Array2<f32>) -> Result<Array, LayerError> {
    Array::new(&[a.nrows(), a.ncols()], a.iter().copied().collect())
}

fn layer(weight: &Array2<f32>, bias: &Array1<f32>) -> Result<Layer, LayerError> {
    let bias = Array::new(&[bias.len()], bias.to_vec())?;
    Ok(Layer::Linear { weight: array(weight)?, bias: Some(bias) })
}

type Affine = (Array2<f32>, Array1<f32>);

/// The correction's weight (from × to) and offset; none if there is no layer.
fn linear(
    tower: &Tower,
    params: &Params,
    from: usize,
    to: usize,
) -> Result<Option<Affine>, LayerError> {
    let named = |width| Feature { name: "start".to_owned(), width };
    let head = tower.head(params, Some(named(to)), vec![named(from)])?;
    let Some(body) = head.body() else { return Ok(None) };
    match body.layers() {
        [Layer::Linear { weight, bias }] => {
            let weight = Array2::from_shape_vec((from, to), weight.data().to_vec());
            let bias = bias.as_ref().map_or_else(|| vec![0.0; to], |b| b.data().to_vec());
            Ok(Some((weight.expect("checked when the head was made"), bias.into())))
        }
        other => {
            let names: Vec<&str> = other.iter().map(Layer::name).collect();
            Err(LayerError {
                place: "correction of the start".to_owned(),
                expected: "one Linear layer".to_owned(),
                got: names.join(", "),
                advice: "; set kind = \"linear\" on both sides",
            })
        }
    }
}
