//! How are the numbers of a graph kept, how are its files named then, and how far may
//! what it says be off?

use std::fmt;
use std::str::FromStr;

/// How the weights of a model are kept, as public exports offer it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    Fp32,
    /// Half floats.
    Fp16,
    /// 8-bit numbers, signed (or whatever the export calls `quantized`).
    Int8,
    /// 8-bit numbers, unsigned.
    Uint8,
    /// 4-bit numbers in blocks.
    Q4,
    /// The same, computed with in half floats.
    Q4F16,
    /// 4-bit floats of bitsandbytes.
    Bnb4,
}

impl Precision {
    /// All, in the order of their names in messages.
    pub const ALL: [Self; 7] =
        [Self::Fp32, Self::Fp16, Self::Int8, Self::Uint8, Self::Q4, Self::Q4F16, Self::Bnb4];

    /// What goes before `.onnx` in the names of its files, the likeliest first.
    pub fn suffixes(self) -> &'static [&'static str] {
        match self {
            Self::Fp32 => &[""],
            Self::Fp16 => &["_fp16"],
            Self::Int8 => &["_quantized", "_int8"],
            Self::Uint8 => &["_uint8"],
            Self::Q4 => &["_q4"],
            Self::Q4F16 => &["_q4f16"],
            Self::Bnb4 => &["_bnb4"],
        }
    }

    /// The least cosine to what the 32-bit form says of the same input with which a
    /// variant counts as the same model.
    pub fn least_agreement(self) -> f32 {
        match self {
            Self::Fp32 | Self::Fp16 => 0.9999,
            Self::Int8 | Self::Uint8 | Self::Q4 | Self::Q4F16 | Self::Bnb4 => 0.99,
        }
    }

    /// Its name, as the option and the manifest have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Q4 => "q4",
            Self::Q4F16 => "q4f16",
            Self::Bnb4 => "bnb4",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|p| p.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("expected one of {names}, got {text:?}")
        })
    }
}

/// Which precision is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrecisionChoice {
    /// The fastest on this machine that agrees with the 32-bit form; see
    /// [`crate::Variant::fastest`].
    Auto,
    /// This one.
    Of(Precision),
}

impl FromStr for PrecisionChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Of).map_err(|e: String| format!("{e}, or auto")),
        }
    }
}
