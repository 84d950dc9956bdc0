//! Given a step of a network that ONNX names differently from version to
//! version, or not at all, which operations make it? Methods of [`Graph`] that
//! give the same numbers under every operator set it takes.

use half::f16;

use crate::packed::{Channel, packed, twelve_bits};
use crate::{Attr, Channels, Graph, TensorType, Value};

/// How the numbers of a matrix are kept in the file. The graph turns them back
/// into floats when it is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// 32-bit floats: 4 bytes a number, nothing lost.
    #[default]
    F32,
    /// Half floats: 2 bytes a number, about 3 digits kept. Numbers over 65,504 become that.
    F16,
    /// 12-bit numbers with one scale a channel: 1.5 bytes a number, within 1/4094 of
    /// the channel's largest. Matrices with an odd first axis are kept as [`Storage::F16`].
    Bits12,
    /// 8-bit numbers with one scale a channel: 1 byte a number, within 1/254 of
    /// the channel's largest.
    Bits8,
}

impl Storage {
    /// What a graph gives back of a matrix or kernel that is kept so, bit for bit:
    /// `data` rounded to the numbers that the file can hold.
    ///
    /// # Panics
    /// If `data` has another number of elements than `shape`.
    pub fn rounded(self, shape: &[i64], data: &[f32], channels: Channels) -> Vec<f32> {
        assert_eq!(shape.iter().product::<i64>(), data.len() as i64, "{shape:?}");
        match self {
            Self::F32 => data.to_vec(),
            Self::Bits12 if even(shape) => twelve_bits(shape[0] as usize, data, channels),
            Self::F16 | Self::Bits12 => halves(data).into_iter().map(f16::to_f32).collect(),
            Self::Bits8 => {
                let Bytes { numbers, scales, channel, .. } = Bytes::of(shape, data, channels);
                let numbers = numbers.iter().enumerate();
                numbers.map(|(i, &n)| f32::from(n) * scales[channel.of(i)]).collect()
            }
        }
    }
}

/// Whether the first axis can be split in two.
fn even(shape: &[i64]) -> bool {
    shape.first().is_some_and(|n| n % 2 == 0)
}

fn halves(data: &[f32]) -> Vec<f16> {
    let most = f16::MAX.to_f32();
    data.iter().map(|v| f16::from_f32(v.clamp(-most, most))).collect()
}

/// A matrix as 8-bit numbers with one scale a channel.
struct Bytes {
    numbers: Vec<i8>,
    scales: Vec<f32>,
    channel: Channel,
    /// The scales' shape, to be multiplied with the numbers.
    shape: Vec<i64>,
}

impl Bytes {
    fn of(shape: &[i64], data: &[f32], channels: Channels) -> Self {
        let (axis, count) = match channels {
            Channels::First => (0, shape.first()),
            Channels::Last => (shape.len().saturating_sub(1), shape.last()),
        };
        let count = count.map_or(1, |&n| n.max(1) as usize);
        let per_first = (data.len() / count).max(1);
        let channel = Channel { per_first, last: count, channels };
        let mut scales = vec![0f32; count];
        for (i, value) in data.iter().enumerate() {
            scales[channel.of(i)] = scales[channel.of(i)].max(value.abs());
        }
        for scale in &mut scales {
            // A channel of zeros needs some scale; any gives zeros.
            *scale = if *scale > 0.0 { *scale / 127.0 } else { 1.0 };
        }
        let numbers = data.iter().enumerate();
        let numbers = numbers
            .map(|(i, v)| (v / scales[channel.of(i)]).round().clamp(-127.0, 127.0) as i8)
            .collect();
        let mut scale_shape = vec![1; shape.len()];
        if let Some(size) = scale_shape.get_mut(axis) {
            *size = count as i64;
        }
        Self { numbers, scales, channel, shape: scale_shape }
    }
}

impl Graph {
    /// A matrix or kernel, kept as `storage` says and given as floats.
    ///
    /// # Panics
    /// If `data` has another number of elements than `shape`.
    pub fn weight(
        &mut self,
        name: &str,
        shape: &[i64],
        data: &[f32],
        channels: Channels,
        storage: Storage,
    ) -> Value {
        assert_eq!(shape.iter().product::<i64>(), data.len() as i64, "{name}: {shape:?}");
        match storage {
            Storage::F32 => self.f32s(name, shape, data),
            Storage::Bits12 if even(shape) => packed(self, name, shape, data, channels),
            Storage::F16 | Storage::Bits12 => {
                let halves = self.f16s(&format!("{name}.half"), shape, &halves(data));
                self.cast(name, &halves, TensorType::F32)
            }
            Storage::Bits8 => self.bytes(name, shape, data, channels),
        }
    }

    fn bytes(&mut self, name: &str, shape: &[i64], data: &[f32], channels: Channels) -> Value {
        let Bytes { numbers, scales, shape: scale_shape, .. } = Bytes::of(shape, data, channels);
        let numbers = self.i8s(&format!("{name}.byte"), shape, &numbers);
        let scales = self.f32s(&format!("{name}.scale"), &scale_shape, &scales);
        let numbers = self.cast(&format!("{name}.number"), &numbers, TensorType::F32);
        self.op(name, "Mul", &[&numbers, &scales], &[])
    }

    /// A reduction such as `ReduceSum` or `ReduceMean` over `axes`.
    pub fn reduce(
        &mut self,
        name: &str,
        op_type: &str,
        value: &Value,
        axes: &[i64],
        keep: bool,
    ) -> Value {
        let keep = ("keepdims", Attr::Int(i64::from(keep)));
        // Axes became an input: for the sum earlier than for the others.
        let since = if op_type == "ReduceSum" { 13 } else { 18 };
        if self.opset >= since {
            let axes = self.i64s(&format!("{name}.axes"), axes);
            self.op(name, op_type, &[value, &axes], &[keep])
        } else {
            self.op(name, op_type, &[value], &[("axes", Attr::Ints(axes)), keep])
        }
    }

    /// New axes of size 1 at these places of the result.
    pub fn unsqueeze(&mut self, name: &str, value: &Value, axes: &[i64]) -> Value {
        if self.opset >= 13 {
            let axes = self.i64s(&format!("{name}.axes"), axes);
            self.op(name, "Unsqueeze", &[value, &axes], &[])
        } else {
            self.op(name, "Unsqueeze", &[value], &[("axes", Attr::Ints(axes))])
        }
    }

    /// `x · weight (+ bias)` along the last axis, for any number of axes before it.
    pub fn linear(&mut self, name: &str, x: &Value, weight: &Value, bias: Option<&Value>) -> Value {
        let Some(bias) = bias else { return self.op(name, "MatMul", &[x, weight], &[]) };
        let product = self.op(&format!("{name}.product"), "MatMul", &[x, weight], &[]);
        self.op(name, "Add", &[&product, bias], &[])
    }

    /// `x · ½ · (1 + erf(x / √2))`.
    pub fn gelu(&mut self, name: &str, x: &Value) -> Value {
        let part = |suffix: &str| format!("{name}.{suffix}");
        let root = self.scalar(&part("root"), std::f32::consts::SQRT_2);
        let one = self.scalar(&part("one"), 1.0);
        let half = self.scalar(&part("half"), 0.5);
        let inner = self.op(&part("scaled"), "Div", &[x, &root], &[]);
        let inner = self.op(&part("erf"), "Erf", &[&inner], &[]);
        let inner = self.op(&part("shifted"), "Add", &[&inner, &one], &[]);
        let product = self.op(&part("product"), "Mul", &[x, &inner], &[]);
        self.op(name, "Mul", &[&product, &half], &[])
    }

    /// `(x − mean) / √(variance + epsilon) ⊙ scale + shift` along the last axis.
    pub fn layer_norm(
        &mut self,
        name: &str,
        x: &Value,
        scale: &Value,
        shift: &Value,
        epsilon: f32,
    ) -> Value {
        if self.opset >= 17 {
            let attributes: &[_] = &[("axis", Attr::Int(-1)), ("epsilon", Attr::Float(epsilon))];
            return self.op(name, "LayerNormalization", &[x, scale, shift], attributes);
        }
        let part = |suffix: &str| format!("{name}.{suffix}");
        let mean = self.reduce(&part("mean"), "ReduceMean", x, &[-1], true);
        let centred = self.op(&part("centred"), "Sub", &[x, &mean], &[]);
        let square = self.op(&part("square"), "Mul", &[&centred, &centred], &[]);
        let variance = self.reduce(&part("variance"), "ReduceMean", &square, &[-1], true);
        let epsilon = self.scalar(&part("epsilon"), epsilon);
        let variance = self.op(&part("safe"), "Add", &[&variance, &epsilon], &[]);
        let deviation = self.op(&part("deviation"), "Sqrt", &[&variance], &[]);
        let unit = self.op(&part("unit"), "Div", &[&centred, &deviation], &[]);
        let scaled = self.op(&part("scaled"), "Mul", &[&unit, scale], &[]);
        self.op(name, "Add", &[&scaled, shift], &[])
    }

    /// `x / √(Σx² + epsilon)` along the last axis.
    pub fn normalise(&mut self, name: &str, x: &Value, epsilon: f32) -> Value {
        let part = |suffix: &str| format!("{name}.{suffix}");
        let square = self.op(&part("square"), "Mul", &[x, x], &[]);
        let sum = self.reduce(&part("sum"), "ReduceSum", &square, &[-1], true);
        let epsilon = self.scalar(&part("epsilon"), epsilon);
        let safe = self.op(&part("safe"), "Add", &[&sum, &epsilon], &[]);
        let length = self.op(&part("length"), "Sqrt", &[&safe], &[]);
        self.op(name, "Div", &[x, &length], &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORAGES: [Storage; 4] = [Storage::F32, Storage::F16, Storage::Bits12, Storage::Bits8];

    #[test]
    fn rounding_is_within_half_a_step_and_keeps_what_was_rounded() {
        let shape = [6, 5];
        let data: Vec<f32> =
            (0..30).map(|i| ((i * 37 % 29) as f32 - 14.0) * 10f32.powi(i % 3 - 1)).collect();
        for channels in [Channels::First, Channels::Last] {
            for storage in STORAGES {
                let once = storage.rounded(&shape, &data, channels);
                let most = |i: usize| {
                    let own = (0..30usize).filter(|&j| match channels {
                        Channels::First => j / 5 == i / 5,
                        Channels::Last => j % 5 == i % 5,
                    });
                    own.map(|j| data[j].abs()).fold(0f32, f32::max)
                };
                for (i, (got, want)) in once.iter().zip(&data).enumerate() {
                    let step = match storage {
                        Storage::F32 => 0.0,
                        Storage::F16 => want.abs() / 2048.0,
                        Storage::Bits12 => most(i) / 4094.0,
                        Storage::Bits8 => most(i) / 254.0,
                    };
                    let off = (got - want).abs();
                    assert!(off <= step * 1.0001, "{storage:?} {channels:?} {i}: {got} for {want}");
                }
                let twice = storage.rounded(&shape, &once, channels);
                let still = once.iter().zip(&twice).all(|(a, b)| (a - b).abs() <= a.abs() * 1e-6);
                assert!(still, "{storage:?} {channels:?}");
                assert_eq!(storage == Storage::F32, once == data, "{storage:?}: it does round");
            }
        }
        // An odd first axis cannot be packed, and is kept in halves.
        let odd = Storage::Bits12.rounded(&[5, 6], &data, Channels::Last);
        assert_eq!(odd, Storage::F16.rounded(&[5, 6], &data, Channels::Last));
    }
}
