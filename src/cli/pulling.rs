//! What can be typed after `ek model pull`.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// A model of the list, or OWNER/NAME on the hub; with @ and a branch, tag or commit for
    /// another than the newest [without: prints the list]
    #[arg(value_name = "NAME[@REVISION]")]
    pub(crate) wanted: Option<String>,
    /// How the weights are stored [default: fp32, or what the model has if it is made by ek]
    #[arg(long, value_enum, value_name = "P", requires = "wanted")]
    pub(crate) precision: Option<PrecisionArg>,
    /// What to call it here [default: its own name]
    #[arg(long, value_name = "NAME", requires = "wanted")]
    pub(crate) name: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionArg {
    /// 32-bit floats
    Fp32,
    /// 16-bit floats
    Fp16,
    /// 8-bit integers
    Int8,
    /// 8-bit integers without sign
    Uint8,
    /// 4-bit weights
    Q4,
    /// 4-bit weights, the rest in 16-bit floats
    Q4f16,
    /// 4-bit weights as bitsandbytes packs them
    Bnb4,
}
