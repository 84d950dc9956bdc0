//! Given a frozen tower, what is trained on top of it? A [`Head`]: a small
//! network on some of the tower's values, added to another of them.

use super::forward::run;
use super::{Array, Batch, Flow, Layer, LayerError, Network};

/// A value of a tower: an output, or a value inside its graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name in the graph.
    pub name: String,
    /// Numbers a row.
    pub width: usize,
}

/// `y = normalise(base · map + body(features))`, all rows.
///
/// Without a base it is the body alone, with an empty body the (mapped) base
/// alone. So a head that was never trained can be the tower it stands on.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    base: Option<Feature>,
    map: Option<Array>,
    features: Vec<Feature>,
    body: Option<Network>,
    epsilon: f32,
    dim: usize,
}

impl Head {
    /// Checks that the parts fit.
    ///
    /// `base` is added as it is, or through `map` (base width × dim). The
    /// `features` are concatenated in this order and go through `body`, which has no
    /// `Normalise` at its end: the head's own follows, with `epsilon`
    /// (see [`Layer::Normalise`]).
    ///
    /// # Errors
    /// Without a base and a body, with a body but no features (or the other way
    /// round), with a map but no base, or if widths do not fit.
    pub fn new(
        base: Option<Feature>,
        map: Option<Array>,
        features: Vec<Feature>,
        body: Vec<Layer>,
        epsilon: f32,
    ) -> Result<Self, LayerError> {
        let width = features.iter().map(|f| f.width).sum();
        if features.is_empty() != body.is_empty() {
            let got = format!("{} features, {} layers", features.len(), body.len());
            return Err(LayerError::new("head", "features and layers, or neither", got));
        }
        let body = match body.is_empty() {
            true => None,
            false => Some(Network::new(Flow::Row { width }, body)?),
        };
        let base_width = match (&base, &map) {
            (None, Some(_)) => {
                return Err(LayerError::new("head", "a base to map", "a map without a base"));
            }
            (None, None) => None,
            (Some(base), None) => Some(base.width),
            (Some(base), Some(map)) => {
                let to = map.shape().get(1).copied().unwrap_or(0);
                map.check("head", "map", &[base.width, to])?;
                Some(to)
            }
        };
        let body_width = body.as_ref().and_then(Network::width);
        let dim = match (base_width, body_width) {
            (Some(a), Some(b)) if a != b => {
                let expected = format!("a body that ends in the base's {a} numbers");
                return Err(LayerError::new("head", expected, b));
            }
            (Some(dim), _) | (None, Some(dim)) => dim,
            (None, None) => {
                return Err(LayerError::new("head", "a base, or features and layers", "nothing"));
            }
        };
        Layer::Normalise { epsilon }.output(&Flow::Row { width: dim }, "head")?;
        Ok(Self { base, map, features, body, epsilon, dim })
    }

    /// What the body is added to.
    pub fn base(&self) -> Option<&Feature> {
        self.base.as_ref()
    }

    /// base width × dim; none means that the base is added as it is.
    pub fn map(&self) -> Option<&Array> {
        self.map.as_ref()
    }

    /// What the body reads, in this order.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// The trained network; none if the head is its base alone.
    pub fn body(&self) -> Option<&Network> {
        self.body.as_ref()
    }

    /// See [`Layer::Normalise`].
    pub fn epsilon(&self) -> f32 {
        self.epsilon
    }

    /// The width of the embedding.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many numbers are in it.
    pub fn parameters(&self) -> usize {
        self.map.as_ref().map_or(0, |m| m.data().len())
            + self.body.as_ref().map_or(0, Network::parameters)
    }

    /// The embeddings, `[rows, dim]`, for the values named by [`Self::base`] and
    /// [`Self::features`], each with its rows one after another.
    ///
    /// # Errors
    /// If a value has another number of elements than `rows` times its width.
    pub fn forward(
        &self,
        rows: usize,
        base: Option<&[f32]>,
        features: &[&[f32]],
    ) -> Result<Vec<f64>, LayerError> {
        let mut total = vec![0.0; rows * self.dim];
        if let Some(feature) = &self.base {
            let mut batch =
                Batch::rows(feature.width, checked(feature, rows, base.unwrap_or(&[]))?);
            if let Some(map) = &self.map {
                let layer = Layer::Linear { weight: map.clone(), bias: None };
                batch = run(&[layer], batch);
            }
            total.iter_mut().zip(batch.data()).for_each(|(t, v)| *t += v);
        }
        if let Some(body) = &self.body {
            if features.len() != self.features.len() {
                let expected = format!("{} features", self.features.len());
                return Err(LayerError::new("head", expected, features.len()));
            }
            for (feature, data) in self.features.iter().zip(features) {
                checked(feature, rows, data)?;
            }
            let joined = (0..rows).flat_map(|row| {
                let parts = self.features.iter().zip(features);
                parts.flat_map(move |(f, data)| &data[row * f.width..][..f.width])
            });
            let width = self.features.iter().map(|f| f.width).sum();
            let joined: Vec<f64> = joined.map(|&v| f64::from(v)).collect();
            let batch = run(body.layers(), Batch::rows(width, joined));
            total.iter_mut().zip(batch.data()).for_each(|(t, v)| *t += v);
        }
        let unit = Layer::Normalise { epsilon: self.epsilon };
        Ok(run(&[unit], Batch::rows(self.dim, total)).into_data())
    }
}

fn checked(feature: &Feature, rows: usize, data: &[f32]) -> Result<Vec<f64>, LayerError> {
    if data.len() != rows * feature.width {
        let expected = format!("{rows} rows of {} numbers", feature.width);
        let place = format!("head, value {:?}", feature.name);
        return Err(LayerError::new(place, expected, format!("{} numbers", data.len())));
    }
    Ok(data.iter().map(|&v| f64::from(v)).collect())
}
