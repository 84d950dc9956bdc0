//! Given trained layers, what is left of them in a file? The same layers, with the
//! numbers that the graph will hold once it is loaded.

use ekphrasis_onnx::{Channels, Storage};

use crate::layer::{Affine, Array, Head, Layer, LayerError, Network};

/// Matrices of fewer numbers are kept in 12 bits where 8 were asked for.
const MANY: usize = 1 << 18;

/// How the matrix of a linear layer is kept.
pub(super) fn of_linear(storage: Storage, weight: &Array) -> Storage {
    // A map of embeddings has few numbers, of very different sizes, and each of
    // them counts for every coordinate: 8 bits would show.
    match storage {
        Storage::Bits8 if weight.data().len() < MANY => Storage::Bits12,
        other => other,
    }
}

/// How the kernel of a convolution in so many groups is kept.
pub(super) fn of_kernel(storage: Storage, groups: usize) -> Storage {
    // A depthwise channel has few numbers: they matter most and weigh least.
    if groups > 1 { Storage::F32 } else { storage }
}

/// A head as it comes out of a file with this storage, bit for bit. Scales and
/// offsets are kept as they are.
///
/// # Errors
/// If a rounded number is not finite.
pub fn rounded_head(head: &Head, storage: Storage) -> Result<Head, LayerError> {
    let map = head.map().map(|map| linear(map, storage)).transpose()?;
    let body = head.body().map_or(Ok(Vec::new()), |body| layers(body.layers(), storage))?;
    Head::new(head.base().cloned(), map, head.features().to_vec(), body, head.epsilon())
}

/// The same of a network of its own.
///
/// # Errors
/// As [`rounded_head`].
pub fn rounded_network(network: &Network, storage: Storage) -> Result<Network, LayerError> {
    Network::new(network.input().clone(), layers(network.layers(), storage)?)
}

fn layers(all: &[Layer], storage: Storage) -> Result<Vec<Layer>, LayerError> {
    all.iter().map(|one| layer(one, storage)).collect()
}

fn layer(layer: &Layer, storage: Storage) -> Result<Layer, LayerError> {
    let affine = |affine: &Affine| {
        Ok::<_, LayerError>(Affine {
            weight: linear(&affine.weight, storage)?,
            bias: affine.bias.clone(),
        })
    };
    Ok(match layer {
        Layer::Linear { weight, bias } => {
            Layer::Linear { weight: linear(weight, storage)?, bias: bias.clone() }
        }
        Layer::Conv2d { weight, bias, stride, padding, groups } => Layer::Conv2d {
            weight: array(weight, Channels::First, of_kernel(storage, *groups))?,
            bias: bias.clone(),
            stride: *stride,
            padding: *padding,
            groups: *groups,
        },
        Layer::TokenEmbedding { table, positions } => Layer::TokenEmbedding {
            table: array(table, Channels::First, storage)?,
            positions: positions.clone(),
        },
        Layer::Attention { heads, query, key, value, output } => Layer::Attention {
            heads: *heads,
            query: affine(query)?,
            key: affine(key)?,
            value: affine(value)?,
            output: affine(output)?,
        },
        Layer::Residual(inner) => Layer::Residual(layers(inner, storage)?),
        Layer::Scale { .. }
        | Layer::LayerNorm { .. }
        | Layer::Gelu
        | Layer::Relu
        | Layer::Clip { .. }
        | Layer::GlobalMean
        | Layer::Patches { .. }
        | Layer::MaskedMean
        | Layer::Softmax
        | Layer::Normalise { .. } => layer.clone(),
    })
}

fn linear(weight: &Array, storage: Storage) -> Result<Array, LayerError> {
    array(weight, Channels::Last, of_linear(storage, weight))
}

fn array(array: &Array, channels: Channels, storage: Storage) -> Result<Array, LayerError> {
    let shape: Vec<i64> = array.shape().iter().map(|&n| n as i64).collect();
    Array::new(array.shape(), storage.rounded(&shape, array.data(), channels))
}
