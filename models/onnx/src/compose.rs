//! Given a step of a network that ONNX names differently from version to
//! version, or not at all, which operations make it? Methods of [`Graph`] that
//! give the same numbers under every operator set it takes.

use half::f16;

use crate::{Attr, Channels, Graph, TensorType, Value, packed};

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
            Storage::Bits12 if shape.first().is_some_and(|n| n % 2 == 0) => {
                packed(self, name, shape, data, channels)
            }
            Storage::F16 | Storage::Bits12 => {
                let most = f16::MAX.to_f32();
                let halves: Vec<f16> =
                    data.iter().map(|v| f16::from_f32(v.clamp(-most, most))).collect();
                let halves = self.f16s(&format!("{name}.half"), shape, &halves);
                self.cast(name, &halves, TensorType::F32)
            }
            Storage::Bits8 => self.bytes(name, shape, data, channels),
        }
    }

    fn bytes(&mut self, name: &str, shape: &[i64], data: &[f32], channels: Channels) -> Value {
        let (axis, count) = match channels {
            Channels::First => (0, shape.first()),
            Channels::Last => (shape.len().saturating_sub(1), shape.last()),
        };
        let count = count.map_or(1, |&n| n.max(1) as usize);
        let per_first = (data.len() / count).max(1);
        let channel = |i: usize| match channels {
            Channels::First => i / per_first,
            Channels::Last => i % count,
        };
        let mut scales = vec![0f32; count];
        for (i, value) in data.iter().enumerate() {
            scales[channel(i)] = scales[channel(i)].max(value.abs());
        }
        for scale in &mut scales {
            // A channel of zeros needs some scale; any gives zeros.
            *scale = if *scale > 0.0 { *scale / 127.0 } else { 1.0 };
        }
        let numbers: Vec<i8> = data
            .iter()
            .enumerate()
            .map(|(i, v)| (v / scales[channel(i)]).round().clamp(-127.0, 127.0) as i8)
            .collect();
        let mut scale_shape = vec![1; shape.len()];
        if let Some(size) = scale_shape.get_mut(axis) {
            *size = count as i64;
        }
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
