//! Given a float matrix, how is it kept in the model file at 12 bits an
//! element? As fixed-point numbers with one scale a channel, which the graph
//! turns back into floats when the session is made.
//!
//! Twelve bits because eight lose 5e-4 of a text's cosine and sixteen do not
//! fit the size the repository allows.

use crate::{Attr, Graph, TensorType, Value};

/// Which axis has one scale per index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// The first: rows of a convolution or of a transposed linear layer.
    First,
    /// The last of two: columns of a linear layer.
    Last,
}

/// The largest magnitude in 12 bits, symmetric.
const LIMIT: f32 = 2047.0;

/// A matrix as 12-bit numbers.
#[derive(Debug, PartialEq)]
struct Packed {
    /// The upper 8 bits, signed, one an element.
    high: Vec<i8>,
    /// The lower 4 bits: byte `i` has those of element `i` in its upper half
    /// and those of element `i + n / 2` in its lower half.
    low: Vec<u8>,
    /// One a channel.
    scales: Vec<f32>,
}

/// Adds the matrix `data` to the graph and gives it as floats of `shape`.
///
/// The first axis of `shape` is even, so that the halves are whole rows.
pub fn packed(
    graph: &mut Graph,
    name: &str,
    shape: &[i64],
    data: &[f32],
    channels: Channels,
) -> Value {
    let rows = shape[0] as usize;
    debug_assert!(rows.is_multiple_of(2) && shape.iter().product::<i64>() == data.len() as i64);
    let Packed { high, low, scales } = pack(rows, data, channels);
    let mut half = shape.to_vec();
    half[0] /= 2;
    let mut scale_shape = vec![1; shape.len()];
    match channels {
        Channels::First => scale_shape[0] = shape[0],
        Channels::Last => scale_shape[shape.len() - 1] = shape[shape.len() - 1],
    }
    let part = |suffix: &str| format!("{name}.{suffix}");
    let high = graph.i8s(&part("high"), shape, &high);
    let low = graph.u8s(&part("low"), &half, low);
    let scales = graph.f32s(&part("scale"), &scale_shape, &scales);
    let four = graph.u8s(&part("four"), &[], vec![4]);
    let sixteen = graph.scalar(&part("sixteen"), 16.0);

    // Bytes are split and joined before they become floats: a quarter of the memory.
    let left: &[_] = &[("direction", Attr::Text("LEFT"))];
    let right: &[_] = &[("direction", Attr::Text("RIGHT"))];
    let first = graph.op(&part("first"), "BitShift", &[&low, &four], right);
    let second = graph.op(&part("cleared"), "BitShift", &[&low, &four], left);
    let second = graph.op(&part("second"), "BitShift", &[&second, &four], right);
    let low = graph.op(&part("nibbles"), "Concat", &[&first, &second], &[("axis", Attr::Int(0))]);
    let low = graph.cast(&part("lower"), &low, TensorType::F32);
    let high = graph.cast(&part("upper"), &high, TensorType::F32);
    let high = graph.op(&part("shifted"), "Mul", &[&high, &sixteen], &[]);
    let number = graph.op(&part("number"), "Add", &[&high, &low], &[]);
    graph.op(name, "Mul", &[&number, &scales], &[])
}

/// What [`packed`] gives back of `data`, bit for bit.
pub(crate) fn twelve_bits(rows: usize, data: &[f32], channels: Channels) -> Vec<f32> {
    unpack(rows, &pack(rows, data, channels), channels)
}

/// Which scale an element has.
#[derive(Clone, Copy)]
pub(crate) struct Channel {
    /// How many elements lie together at one place of the first axis.
    pub(crate) per_first: usize,
    /// The size of the last axis.
    pub(crate) last: usize,
    pub(crate) channels: Channels,
}

impl Channel {
    pub(crate) fn of(self, i: usize) -> usize {
        match self.channels {
            Channels::First => i / self.per_first,
            Channels::Last => i % self.last,
        }
    }
}

/// What the graph does, in Rust.
fn unpack(rows: usize, packed: &Packed, channels: Channels) -> Vec<f32> {
    let half = packed.low.len();
    let columns = packed.high.len() / rows;
    let channel = Channel { per_first: columns, last: columns, channels };
    (0..packed.high.len())
        .map(|i| {
            let low = if i < half { packed.low[i] >> 4 } else { packed.low[i - half] & 15 };
            (f32::from(packed.high[i]) * 16.0 + f32::from(low)) * packed.scales[channel.of(i)]
        })
        .collect()
}

fn pack(rows: usize, data: &[f32], channels: Channels) -> Packed {
    let columns = data.len() / rows;
    let channel = Channel { per_first: columns, last: columns, channels };
    let mut scales = vec![0f32; if channels == Channels::First { rows } else { columns }];
    for (i, value) in data.iter().enumerate() {
        let scale = &mut scales[channel.of(i)];
        *scale = scale.max(value.abs());
    }
    for scale in &mut scales {
        // A channel of zeros needs some scale; any gives zeros.
        *scale = if *scale > 0.0 { *scale / LIMIT } else { 1.0 };
    }
    let number = |i: usize| {
        let scaled = (data[i] / scales[channel.of(i)]).round();
        scaled.clamp(-LIMIT, LIMIT) as i16
    };
    let half = data.len() / 2;
    let low = |i: usize| (number(i) & 15) as u8;
    Packed {
        high: (0..data.len()).map(|i| (number(i) >> 4) as i8).collect(),
        low: (0..half).map(|i| low(i) << 4 | low(i + half)).collect(),
        scales,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unpacked_is_within_half_a_step() {
        let (rows, columns) = (6, 5);
        let data: Vec<f32> = (0..rows * columns)
            .map(|i| ((i * 37 % 29) as f32 - 14.0) * 10f32.powi(i as i32 % 3))
            .collect();
        for channels in [Channels::First, Channels::Last] {
            let packed = pack(rows, &data, channels);
            for (i, (got, want)) in unpack(rows, &packed, channels).iter().zip(&data).enumerate() {
                let channel = if channels == Channels::First { i / columns } else { i % columns };
                let step = packed.scales[channel];
                assert!((got - want).abs() <= step * 0.5001, "{channels:?} {i}: {got} for {want}");
            }
        }
    }

    #[test]
    fn zeros_and_extremes_survive() {
        let data = [0.0, 0.0, 0.0, 0.0, -1.0, 1.0, 0.5, -0.25];
        let packed = pack(4, &data, Channels::First);
        let back = unpack(4, &packed, Channels::First);
        assert_eq!(back[..6], data[..6]);
        assert_eq!(packed.high.iter().min(), Some(&-128));
    }
}
