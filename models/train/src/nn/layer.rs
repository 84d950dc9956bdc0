//! What can a network that is being trained consist of?

use super::params::Slot;

/// One step, its arrays by place. The layers of [`crate::layer::Layer`] have the
/// same names and meanings; [`Op::Dropout`] and [`Op::BatchNorm`] exist in
/// training only.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `x · weight (+ bias)` along the last axis; weight inputs × outputs.
    Linear {
        /// inputs × outputs.
        weight: Slot,
        /// outputs.
        bias: Option<Slot>,
    },
    /// Along the last axis. Without scale and shift when a linear map follows,
    /// which contains them.
    LayerNorm {
        /// Scale and shift.
        affine: Option<(Slot, Slot)>,
        /// The size of the last axis.
        width: usize,
    },
    /// The exact form, with erf.
    Gelu,
    /// max(0, x).
    Relu,
    /// Sets this share of the numbers to zero in training, and scales the others up.
    Dropout(f32),
    /// A convolution, zeros outside.
    Conv2d {
        /// outputs × (inputs / groups) × height × width.
        weight: Slot,
        /// Pixels from one place to the next.
        stride: usize,
        /// Pixels of zeros on each side.
        padding: usize,
        /// Parts of the channels.
        groups: usize,
    },
    /// Standardises each channel over the batch; with running statistics at inference.
    BatchNorm {
        /// channels, trained.
        scale: Slot,
        /// channels, trained.
        shift: Slot,
        /// channels, followed.
        mean: Slot,
        /// channels, followed.
        variance: Slot,
    },
    /// channels × height × width → channels.
    GlobalMean,
    /// Pixels to tokens, with positions added.
    Patches {
        /// tokens × width.
        positions: Slot,
    },
    /// Ids to tokens, with positions added.
    TokenEmbedding {
        /// vocabulary × width.
        table: Slot,
        /// longest × width.
        positions: Slot,
    },
    /// Multi-head self-attention.
    Attention {
        /// Divides the width.
        heads: usize,
        /// Weight and bias of query, key, value and output.
        maps: [(Slot, Slot); 4],
    },
    /// The mean over the tokens that are no padding.
    MaskedMean,
    /// `x + inner(x)`.
    Residual(Vec<Self>),
}

/// Added to a variance under a root.
pub(crate) const NORM_EPSILON: f32 = 1e-5;
/// Added to a squared length under a root.
pub(crate) const UNIT_EPSILON: f32 = 1e-12;
/// How far running statistics move towards those of a batch.
pub(crate) const FOLLOW: f32 = 0.1;
