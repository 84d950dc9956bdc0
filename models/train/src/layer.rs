//! What is a network, as plain data? Layers in order, checked to fit together.
//!
//! Nothing here knows how a network is trained (that is burn's part) or stored
//! (see `export`). [`Network::forward`] and [`Head::forward`] compute the same in
//! plain Rust, slowly and in 64 bits, so that both can be tested against them.
//!
//! Between layers flow batches; [`Flow`] says of what, without the batch axis.

mod forward;
mod head;

use std::fmt;

pub use forward::{Batch, Input};
pub use head::{Feature, Head};

/// Added to the attention score of a token that is padding.
pub(crate) const PADDING: f64 = -1e9;

/// A dense array in row-major order (the last axis runs fastest).
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// A linear map with an offset: `y = x · weight + bias`.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// inputs × outputs.
    pub weight: Array,
    /// outputs.
    pub bias: Array,
}

/// One step of a network.
///
/// "Along the last axis" means: for each row, or for each token.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a network has few layers; the numbers are elsewhere"
)]
pub enum Layer {
    /// `y = x · weight (+ bias)` along the last axis.
    Linear {
        /// inputs × outputs.
        weight: Array,
        /// outputs; none means zero.
        bias: Option<Array>,
    },
    /// `y = x ⊙ scale + shift` along the last axis; standardises features.
    Scale {
        /// One a number.
        scale: Array,
        /// One a number.
        shift: Array,
    },
    /// `y = (x − mean) / √(variance + epsilon) ⊙ scale + shift` along the last
    /// axis, with the variance divided by the width.
    LayerNorm {
        /// One a number.
        scale: Array,
        /// One a number.
        shift: Array,
        /// Over 0.
        epsilon: f32,
    },
    /// `y = x · ½ · (1 + erf(x / √2))`, the exact form and not the tanh one.
    Gelu,
    /// `y = max(0, x)`.
    Relu,
    /// `y = min(high, max(low, x))`.
    Clip {
        /// Not over `high`.
        low: f32,
        /// The most.
        high: f32,
    },
    /// A convolution over pictures, zeros outside.
    Conv2d {
        /// outputs × (inputs / groups) × height × width.
        weight: Array,
        /// outputs; none means zero.
        bias: Option<Array>,
        /// Pixels from one place to the next, both ways.
        stride: usize,
        /// Pixels of zeros added on all four sides.
        padding: usize,
        /// How many parts the channels fall into; the number of channels for a
        /// depthwise convolution.
        groups: usize,
    },
    /// The mean over all pixels: channels × height × width → channels.
    GlobalMean,
    /// Pixels become tokens, row by row: channels × height × width → (height · width)
    /// tokens as wide as there were channels. After a convolution whose stride
    /// is its kernel these are the patches of a vision transformer.
    Patches {
        /// (height · width) × channels, added.
        positions: Array,
    },
    /// Token ids become tokens: the table's row plus that of the position.
    TokenEmbedding {
        /// vocabulary × width.
        table: Array,
        /// longest text × width.
        positions: Array,
    },
    /// Multi-head self-attention: softmax(q · kᵀ / √(width / heads)) · v over the
    /// tokens that are no padding, heads joined, then `output`.
    Attention {
        /// Divides the width.
        heads: usize,
        /// width × width.
        query: Affine,
        /// width × width.
        key: Affine,
        /// width × width.
        value: Affine,
        /// width × width.
        output: Affine,
    },
    /// The mean over the tokens that are no padding: tokens → one row.
    MaskedMean,
    /// `y = x + inner(x)`; the inner layers keep the shape.
    Residual(Vec<Self>),
    /// Softmax along the last axis.
    Softmax,
    /// `y = x / √(Σx² + epsilon)` along the last axis: unit length, and no NaN for zeros.
    Normalise {
        /// Over 0, small beside the squared lengths that occur, such as 1e-12.
        epsilon: f32,
    },
}

/// What flows between two layers, without the batch axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// A vector: `[batch, width]`.
    Row {
        /// Numbers.
        width: usize,
    },
    /// A picture or its features: `[batch, channels, height, width]`.
    Picture {
        /// Channels.
        channels: usize,
        /// Rows of pixels.
        height: usize,
        /// Pixels in a row.
        width: usize,
    },
    /// Token ids with a mask, both `[batch, sequence]`.
    Ids,
    /// Tokens: `[batch, sequence, width]`.
    Tokens {
        /// Numbers in a token.
        width: usize,
        /// How many, where that is fixed and no mask is kept (patches); none
        /// for texts, which have a mask.
        length: Option<usize>,
    },
}

/// Layers that fit together, and all of whose numbers are finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    input: Flow,
    layers: Vec<Layer>,
    output: Flow,
}

/// Why layers are no network, or an input none for it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{place}: expected {expected}, got {got}{advice}")]
pub struct LayerError {
    /// Such as `layer 3 (Linear)`.
    pub place: String,
    /// What would fit.
    pub expected: String,
    /// What is there.
    pub got: String,
    /// What to do next, after a semicolon; empty where only a programmer can do something.
    pub advice: &'static str,
}

impl LayerError {
    fn new(place: impl fmt::Display, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self {
            place: place.to_string(),
            expected: expected.to_string(),
            got: got.to_string(),
            advice: "",
        }
    }
}

impl Array {
    /// An array of this shape.
    ///
    /// # Errors
    /// If `data` has another number of elements.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Result<Self, LayerError> {
        let elements = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if elements != Some(data.len()) {
            let expected = format!("the elements of {shape:?}");
            return Err(LayerError::new("array", expected, data.len()));
        }
        Ok(Self { shape: shape.to_vec(), data })
    }

    /// The size of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The elements, row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Gives the elements up.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    fn check(&self, place: &str, what: &str, shape: &[usize]) -> Result<(), LayerError> {
        if self.shape != shape {
            let expected = format!("{what} of shape {shape:?}");
            return Err(LayerError::new(place, expected, format!("{:?}", self.shape)));
        }
        self.finite(place, what)
    }

    fn finite(&self, place: &str, what: &str) -> Result<(), LayerError> {
        if let Some(i) = self.data.iter().position(|v| !v.is_finite()) {
            let got = format!("{} at {i}", self.data[i]);
            return Err(LayerError {
                advice: "; the training diverged: lower the learning rate or clip gradients",
                ..LayerError::new(place, format!("finite numbers in {what}"), got)
            });
        }
        Ok(())
    }
}

impl Affine {
    fn check(&self, place: &str, what: &str, from: usize, to: usize) -> Result<(), LayerError> {
        self.weight.check(place, &format!("{what} weight"), &[from, to])?;
        self.bias.check(place, &format!("{what} bias"), &[to])
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { width } => write!(f, "rows of {width}"),
            Self::Picture { channels, height, width } => {
                write!(f, "pictures of {channels} × {height} × {width}")
            }
            Self::Ids => write!(f, "token ids"),
            Self::Tokens { width, length: Some(n) } => write!(f, "{n} tokens of {width}"),
            Self::Tokens { width, length: None } => write!(f, "masked tokens of {width}"),
        }
    }
}

impl Flow {
    /// The size of the last axis of rows and tokens.
    fn last(&self) -> Option<usize> {
        match self {
            Self::Row { width } | Self::Tokens { width, .. } => Some(*width),
            Self::Picture { .. } | Self::Ids => None,
        }
    }

    fn with_last(&self, width: usize) -> Self {
        match self {
            Self::Tokens { length, .. } => Self::Tokens { width, length: *length },
            _ => Self::Row { width },
        }
    }
}

impl Layer {
    /// The layer's name, as in this enum.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "Linear",
            Self::Scale { .. } => "Scale",
            Self::LayerNorm { .. } => "LayerNorm",
            Self::Gelu => "Gelu",
            Self::Relu => "Relu",
            Self::Clip { .. } => "Clip",
            Self::Conv2d { .. } => "Conv2d",
            Self::GlobalMean => "GlobalMean",
            Self::Patches { .. } => "Patches",
            Self::TokenEmbedding { .. } => "TokenEmbedding",
            Self::Attention { .. } => "Attention",
            Self::MaskedMean => "MaskedMean",
            Self::Residual(_) => "Residual",
            Self::Softmax => "Softmax",
            Self::Normalise { .. } => "Normalise",
        }
    }

    /// A convolution that also does what a batch norm after it does at inference.
    ///
    /// # Shapes
    /// `weight` outputs × (inputs / groups) × height × width; the others outputs.
    ///
    /// # Errors
    /// If the four have another length than `weight` has outputs.
    pub fn folded_conv(
        weight: Array,
        [gamma, beta, mean, variance]: [&[f32]; 4],
        epsilon: f32,
        [stride, padding, groups]: [usize; 3],
    ) -> Result<Self, LayerError> {
        let outputs = weight.shape.first().copied().unwrap_or(0);
        for (what, part) in
            [("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance)]
        {
            if part.len() != outputs || outputs == 0 {
                let expected = format!("{what} of {outputs} channels, at least one");
                return Err(LayerError::new("Conv2d with batch norm", expected, part.len()));
            }
        }
        let by: Vec<f64> = (0..outputs)
            .map(|c| f64::from(gamma[c]) / (f64::from(variance[c]) + f64::from(epsilon)).sqrt())
            .collect();
        let each = weight.data.len() / outputs;
        let data = weight.data.iter().enumerate();
        let data = data.map(|(i, &w)| (f64::from(w) * by[i / each]) as f32).collect();
        let bias = (0..outputs)
            .map(|c| (f64::from(beta[c]) - f64::from(mean[c]) * by[c]) as f32)
            .collect();
        Ok(Self::Conv2d {
            weight: Array { shape: weight.shape, data },
            bias: Some(Array { shape: vec![outputs], data: bias }),
            stride,
            padding,
            groups,
        })
    }

    /// How many numbers are in it.
    pub fn parameters(&self) -> usize {
        let affine = |a: &Affine| a.weight.data.len() + a.bias.data.len();
        match self {
            Self::Linear { weight, bias } | Self::Conv2d { weight, bias, .. } => {
                weight.data.len() + bias.as_ref().map_or(0, |b| b.data.len())
            }
            Self::Scale { scale, shift } | Self::LayerNorm { scale, shift, .. } => {
                scale.data.len() + shift.data.len()
            }
            Self::Patches { positions } => positions.data.len(),
            Self::TokenEmbedding { table, positions } => table.data.len() + positions.data.len(),
            Self::Attention { query, key, value, output, .. } => {
                [query, key, value, output].into_iter().map(affine).sum()
            }
            Self::Residual(inner) => inner.iter().map(Self::parameters).sum(),
            Self::Gelu
            | Self::Relu
            | Self::Clip { .. }
            | Self::GlobalMean
            | Self::MaskedMean
            | Self::Softmax
            | Self::Normalise { .. } => 0,
        }
    }

    /// What comes out if `flow` goes in.
    ///
    /// # Errors
    /// If the layer cannot take `flow`, or its own arrays do not fit together.
    pub fn output(&self, flow: &Flow, place: &str) -> Result<Flow, LayerError> {
        let refuse = |expected: &str| Err(LayerError::new(place, expected, flow));
        let positive = |epsilon: f32| {
            if epsilon.is_finite() && epsilon > 0.0 {
                return Ok(());
            }
            Err(LayerError::new(place, "an epsilon over 0", epsilon))
        };
        match self {
            Self::Linear { weight, bias } => {
                let Some(width) = flow.last() else { return refuse("rows or tokens") };
                let &[_, to] = weight.shape() else {
                    let got = format!("{:?}", weight.shape);
                    return Err(LayerError::new(place, "weight as inputs × outputs", got));
                };
                weight.check(place, "weight", &[width, to])?;
                if let Some(bias) = bias {
                    bias.check(place, "bias", &[to])?;
                }
                Ok(flow.with_last(to))
            }
            Self::Scale { scale, shift } => {
                let Some(width) = flow.last() else { return refuse("rows or tokens") };
                scale.check(place, "scale", &[width])?;
                shift.check(place, "shift", &[width])?;
                Ok(flow.clone())
            }
            Self::LayerNorm { scale, shift, epsilon } => {
                let Some(width) = flow.last() else { return refuse("rows or tokens") };
                scale.check(place, "scale", &[width])?;
                shift.check(place, "shift", &[width])?;
                positive(*epsilon)?;
                Ok(flow.clone())
            }
            Self::Normalise { epsilon } => {
                if flow.last().is_none() {
                    return refuse("rows or tokens");
                }
                positive(*epsilon)?;
                Ok(flow.clone())
            }
            Self::Softmax if flow.last().is_none() => refuse("rows or tokens"),
            Self::Gelu | Self::Relu | Self::Clip { .. } if *flow == Flow::Ids => {
                refuse("anything but token ids")
            }
            // False for NaN, too.
            Self::Clip { low, high } if low <= high => Ok(flow.clone()),
            Self::Clip { low, high } => {
                Err(LayerError::new(place, "low <= high", format!("{low} and {high}")))
            }
            Self::Softmax | Self::Gelu | Self::Relu => Ok(flow.clone()),
            Self::Conv2d { weight, bias, stride, padding, groups } => {
                let &Flow::Picture { channels, height, width } = flow else {
                    return refuse("pictures");
                };
                let geometry = [*stride, *padding, *groups];
                conv(place, weight, bias.as_ref(), geometry, [channels, height, width])
            }
            Self::GlobalMean => match flow {
                Flow::Picture { channels, .. } => Ok(Flow::Row { width: *channels }),
                _ => refuse("pictures"),
            },
            Self::Patches { positions } => {
                let &Flow::Picture { channels, height, width } = flow else {
                    return refuse("pictures");
                };
                let length = height * width;
                positions.check(place, "positions", &[length, channels])?;
                Ok(Flow::Tokens { width: channels, length: Some(length) })
            }
            Self::TokenEmbedding { table, positions } => {
                if *flow != Flow::Ids {
                    return refuse("token ids");
                }
                let (&[words, width], &[longest, _]) = (table.shape(), positions.shape()) else {
                    let got = format!("{:?} and {:?}", table.shape, positions.shape);
                    return Err(LayerError::new(place, "two tables of rows", got));
                };
                if words == 0 || longest == 0 || width == 0 {
                    let got = format!("{words} words, {longest} positions of {width}");
                    return Err(LayerError::new(place, "at least one of each", got));
                }
                table.finite(place, "table")?;
                positions.check(place, "positions", &[longest, width])?;
                Ok(Flow::Tokens { width, length: None })
            }
            Self::Attention { heads, query, key, value, output } => {
                let &Flow::Tokens { width, .. } = flow else { return refuse("tokens") };
                if *heads == 0 || !width.is_multiple_of(*heads) {
                    let expected = format!("a number of heads that divides {width}");
                    return Err(LayerError::new(place, expected, heads));
                }
                let parts = [("query", query), ("key", key), ("value", value), ("output", output)];
                for (what, affine) in parts {
                    affine.check(place, what, width, width)?;
                }
                Ok(flow.clone())
            }
            Self::MaskedMean => match flow {
                Flow::Tokens { width, .. } => Ok(Flow::Row { width: *width }),
                _ => refuse("tokens"),
            },
            Self::Residual(inner) => {
                let end = through(flow, inner, &format!("{place}, "))?;
                if end != *flow {
                    let expected = format!("inner layers that keep {flow}");
                    return Err(LayerError::new(place, expected, end));
                }
                Ok(end)
            }
        }
    }
}

fn conv(
    place: &str,
    weight: &Array,
    bias: Option<&Array>,
    [stride, padding, groups]: [usize; 3],
    [channels, height, width]: [usize; 3],
) -> Result<Flow, LayerError> {
    let &[to, _, high, wide] = weight.shape() else {
        let got = format!("{:?}", weight.shape);
        return Err(LayerError::new(place, "weight with four axes", got));
    };
    let parted = |n: usize| groups > 0 && n.is_multiple_of(groups);
    if !parted(channels) || !parted(to) || to == 0 || stride == 0 || high == 0 || wide == 0 {
        let expected = format!("a stride and kernel over 0, groups dividing {channels} and {to}");
        let got = format!("stride {stride}, kernel {high} × {wide}, {groups} groups");
        return Err(LayerError::new(place, expected, got));
    }
    weight.check(place, "weight", &[to, channels / groups, high, wide])?;
    if let Some(bias) = bias {
        bias.check(place, "bias", &[to])?;
    }
    let side = |size: usize, kernel: usize| {
        (size + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1)
    };
    let (Some(height), Some(width)) = (side(height, high), side(width, wide)) else {
        let expected = format!("pictures of at least {high} × {wide} with padding {padding}");
        return Err(LayerError::new(place, expected, format!("{height} × {width}")));
    };
    Ok(Flow::Picture { channels: to, height, width })
}

fn through(input: &Flow, layers: &[Layer], prefix: &str) -> Result<Flow, LayerError> {
    let mut flow = input.clone();
    for (i, layer) in layers.iter().enumerate() {
        flow = layer.output(&flow, &format!("{prefix}layer {i} ({})", layer.name()))?;
    }
    Ok(flow)
}

impl Network {
    /// Checks that each layer takes what the one before gives, and that all numbers are finite.
    ///
    /// # Errors
    /// The first layer that does not fit.
    pub fn new(input: Flow, layers: Vec<Layer>) -> Result<Self, LayerError> {
        let output = through(&input, &layers, "")?;
        Ok(Self { input, layers, output })
    }

    /// What goes in.
    pub fn input(&self) -> &Flow {
        &self.input
    }

    /// The layers, first to last.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// What comes out.
    pub fn output(&self) -> &Flow {
        &self.output
    }

    /// The width of the rows that come out; none if it gives something else.
    pub fn width(&self) -> Option<usize> {
        match self.output {
            Flow::Row { width } => Some(width),
            _ => None,
        }
    }

    /// The longest text it takes, in tokens; none if it takes no tokens.
    pub fn longest(&self) -> Option<usize> {
        let mut found = self.layers.iter().filter_map(|layer| match layer {
            Layer::TokenEmbedding { positions, .. } => Some(positions.shape()[0]),
            _ => None,
        });
        found.next()
    }

    /// How many numbers are in it.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(Layer::parameters).sum()
    }
}
